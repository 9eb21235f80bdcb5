"""The reference's own value, slope and second derivative of one function, on any arithmetic's arrays."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from gradagree.arithmetics.dual import Dual, slope_of
from gradagree.reference import Activation, ErrorFunction
from gradagree.reference.losses.reduction import _EntryByEntry

QUANTITIES = ("value", "slope", "second")


def is_rows(function: Activation | ErrorFunction) -> bool:
    """Whether an example is a row of several numbers that belong together."""
    if isinstance(function, Activation):
        return function.along_last_axis
    return not isinstance(function, _EntryByEntry) or function.width(1) != 1 or function.targets == "simplex"


def summed(error: ErrorFunction) -> ErrorFunction:
    """The error function whose sensitivity does not depend on how many examples there are."""
    if any(field.name == "reduction" for field in dataclasses.fields(error)):
        return dataclasses.replace(error, reduction="sum")  # type: ignore[call-arg]
    return error


def formula(
    function: Activation | ErrorFunction, quantity: str, ks: tuple[int, ...] | None, js: tuple[int, ...] | None
) -> Callable[..., Any]:
    """The quantity as a function of (points, targets), in the shape that frameworks are asked for it."""
    if isinstance(function, Activation):
        return of_rows(function, quantity, ks or (), js or ()) if is_rows(function) else of_entries(function, quantity)
    return of_error(summed(function), quantity, js)


def of_entries(activation: Activation, quantity: str) -> Callable[..., Any]:
    if quantity != "second":
        return getattr(activation, {"value": "value", "slope": "derivative"}[quantity])

    def second(p: Any) -> Any:
        return slope_of(activation.derivative(Dual.variable(p)))

    return getattr(activation, "second", second)


def of_rows(activation: Activation, quantity: str, ks: tuple[int, ...], js: tuple[int, ...]) -> Callable[..., Any]:
    def unit(p: Any, k: int, n: int) -> Any:
        return of_kind(p, np.broadcast_to((np.arange(n) == k) * 1.0, (p.shape[0], n)))

    def slope(p: Any) -> Any:
        m = activation.width(p.shape[-1]) or 0
        return np.stack([activation.vjp(p, unit(p, k, m)) for k in ks], axis=1)

    def second(p: Any) -> Any:
        n, m = p.shape[-1], activation.width(p.shape[-1]) or 0
        along = [activation.vjp(Dual(p, unit(p, j, n)), unit(p, ks[0], m)) for j in js]
        return np.stack([lifted(p, slope_of(x)) for x in along], axis=1)

    return {"value": activation.value, "slope": slope, "second": second}[quantity]


def of_error(error: ErrorFunction, quantity: str, js: tuple[int, ...] | None) -> Callable[..., Any]:
    def value(o: Any, t: Any) -> Any:
        return error._term(o, t) if isinstance(error, _EntryByEntry) else error.value(o[:, None], t[:, None])

    def slope(o: Any, t: Any) -> Any:
        found = error.sensitivity(o, t)
        return found if js is None else found[:, None]

    def second(o: Any, t: Any) -> Any:
        found = []
        for j in js or (0,):
            along = np.broadcast_to((np.arange(o.shape[-1]) == j) * 1.0, o.shape)
            found.append(lifted(o, slope_of(error.sensitivity(Dual(o, of_kind(o, along)), t))))
        return found[0] if js is None else np.stack(found, axis=1)

    return {"value": value, "slope": slope, "second": second}[quantity]


def of_kind(like: Any, x: Any) -> Any:
    """x as an array of the other's arithmetic."""
    return x if isinstance(like, np.ndarray) or not isinstance(x, np.ndarray | float | int) else like._lift(x)


def lifted(like: Any, x: Any) -> Any:
    """Likewise, in the other's shape: a slope that is a constant is one for each entry."""
    return of_kind(like, np.broadcast_to(x, like.shape) if isinstance(x, np.ndarray | float | int) else x)
