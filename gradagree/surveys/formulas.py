"""Formulas of the reference: value, derivative and second derivative on the arrays of any arithmetic."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from gradagree.adapters.pointwise import REDUCTION, is_rows
from gradagree.arithmetic.dual import Dual, mean_at_ties, tangent_of
from gradagree.reference import Activation, ErrorFunction
from gradagree.reference.losses.reduction import _EntryByEntry

QUANTITIES = ("value", "slope", "second")


def with_sum_reduction(error: ErrorFunction) -> ErrorFunction:
    """The loss function with sum reduction, whose cotangent does not depend on the number of examples.

    A loss that reduces the losses of the examples itself is evaluated as it is.
    """
    if hasattr(error, REDUCTION) and any(field.name == "reduction" for field in dataclasses.fields(error)):
        return dataclasses.replace(error, reduction="sum")  # type: ignore[call-arg]
    return error


def formula(
    function: Activation | ErrorFunction, quantity: str, ks: tuple[int, ...] | None, js: tuple[int, ...] | None
) -> Callable[..., Any]:
    """The quantity as a function of (points, targets), in the shape that adapters return."""
    if isinstance(function, Activation):
        return (
            row_formula(function, quantity, ks or (), js or ())
            if is_rows(function)
            else elementwise_formula(function, quantity)
        )
    return loss_formula(with_sum_reduction(function), quantity, js)


def vjp_formula(function: Activation | ErrorFunction) -> Callable[..., Any]:
    """The vjp as a function of (points, cotangents, targets), in the shape of a derivative."""
    rows = is_rows(function)
    if isinstance(function, Activation):
        activation = function
        return lambda p, c: activation.vjp(p, c)[:, None] if rows else c * activation.derivative(p)
    error = with_sum_reduction(function)

    def loss(o: Any, c: Any, t: Any) -> Any:
        found = c[:, None] * error.sensitivity(o, t)
        return found[:, None] if rows else found

    return loss


def target_formula(function: Any) -> Callable[..., Any]:
    """The derivative of a loss by its target, as a function of (targets, outputs), in the shape of a derivative."""
    if function.name == "bce":  # the reference's formula is that of labels
        return lambda t, o: lift_to_shape(t, np.asarray(function.weight) * (np.log1p(-o) - np.log(o)))
    error = with_sum_reduction(function)

    def derivative(t: Any, o: Any) -> Any:
        return lift_to_shape(t, tangent_of(function._term(o, Dual.variable(t))))

    def of_rows(t: Any, o: Any) -> Any:
        found = []
        for j in range(t.shape[-1]):
            along = lift(t, np.broadcast_to((np.arange(t.shape[-1]) == j) * 1.0, t.shape))
            E = error.value(o[:, None], Dual(t[:, None], along[:, None]))
            found.append(lift_to_shape(t[:, 0], tangent_of(E)))
        return np.stack(found, axis=-1)[:, None]

    return of_rows if is_rows(function) else derivative


def weight_formula(function: Any, name: str) -> Callable[..., Any]:
    """The derivative of a loss by a weight in which it is linear, as a function of (weights, outputs, targets).

    A weight for each entry multiplies the entry's loss, and ``pos_weight`` a part of it that is 0 at other labels.
    """
    without = {"pos_weight": 0.0} if name == "pos_weight" else {}
    one = dataclasses.replace(function, **{name: 1.0})
    zero = dataclasses.replace(function, **without)

    def entry(o: Any, t: Any) -> Any:
        return one._term(o, t) - zero._term(o, t) if without else one._term(o, t)

    def derivative(w: Any, o: Any, t: Any) -> Any:
        if not is_rows(function):
            return lift_to_shape(w, entry(o, t))
        n = o.shape[-1]  # of one class each, times its share of the mean over the classes
        return np.stack([lift_to_shape(w[:, 0], entry(o[:, j : j + 1], t[:, j : j + 1]) / n) for j in range(n)], -1)[
            :, None
        ]

    return derivative


def elementwise_formula(activation: Activation, quantity: str) -> Callable[..., Any]:
    if quantity != "second":
        return getattr(activation, {"value": "value", "slope": "derivative"}[quantity])

    def second(p: Any) -> Any:
        return tangent_of(activation.derivative(Dual.variable(p)))

    return getattr(activation, "second", second)


def row_formula(activation: Activation, quantity: str, ks: tuple[int, ...], js: tuple[int, ...]) -> Callable[..., Any]:
    def unit(p: Any, k: int, n: int) -> Any:
        return lift(p, np.broadcast_to((np.arange(n) == k) * 1.0, (p.shape[0], n)))

    def derivative(p: Any) -> Any:
        m = activation.width(p.shape[-1]) or 0
        return np.stack([activation.vjp(p, unit(p, k, m)) for k in ks], axis=1)

    def second(p: Any) -> Any:
        n, m = p.shape[-1], activation.width(p.shape[-1]) or 0
        with mean_at_ties():
            along = [activation.vjp(Dual(p, unit(p, j, n)), unit(p, ks[0], m)) for j in js]
        return np.stack([lift_to_shape(p, tangent_of(x)) for x in along], axis=1)

    return {"value": activation.value, "slope": derivative, "second": second}[quantity]


def loss_formula(error: ErrorFunction, quantity: str, js: tuple[int, ...] | None) -> Callable[..., Any]:
    def value(o: Any, t: Any) -> Any:
        return error._term(o, t) if isinstance(error, _EntryByEntry) else error.value(o[:, None], t[:, None])

    def derivative(o: Any, t: Any) -> Any:
        found = error.sensitivity(o, t)
        return found if js is None else found[:, None]

    def second(o: Any, t: Any) -> Any:
        found = []
        for j in js or (0,):
            along = np.broadcast_to((np.arange(o.shape[-1]) == j) * 1.0, o.shape)
            with mean_at_ties():
                found.append(lift_to_shape(o, tangent_of(error.sensitivity(Dual(o, lift(o, along)), t))))
        return found[0] if js is None else np.stack(found, axis=1)

    return {"value": value, "slope": derivative, "second": second}[quantity]


def lift(like: Any, x: Any) -> Any:
    """x as an array of the arithmetic of `like`."""
    return x if isinstance(like, np.ndarray) or not isinstance(x, np.ndarray | float | int) else like._lift(x)


def lift_to_shape(like: Any, x: Any) -> Any:
    """x as an array of the arithmetic and the shape of `like`; a constant derivative is repeated."""
    return lift(like, np.broadcast_to(x, like.shape) if isinstance(x, np.ndarray | float | int) else x)
