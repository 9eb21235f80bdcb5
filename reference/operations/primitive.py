"""Primitives: NumPy functions with hand-written vjps, which run on every array type that NumPy dispatches to."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Vjp = Callable[..., Sequence[Any]]


@dataclass(frozen=True)
class Primitive:
    """One NumPy function y = f(x1, x2, ..., **parameters) and its vjp.

    Args:
        name: Name in messages.
        function: The function; NumPy dispatches it to the type of its arrays.
        vjp: The cotangents of the inputs from the cotangent g of the output: ``vjp(g, y, *inputs, **parameters)``, a
            sequence with one cotangent for each input, in its shape, or None for an input without a derivative. None
            for a function without a derivative, such as a comparison.

    Example:
        >>> import numpy as np
        >>> from gradagree.reference.operations import PRIMITIVES
        >>> x = np.array([0.0, 1.0])
        >>> PRIMITIVES[np.square].vjp(np.ones(2), x**2, x)
        (array([0., 2.]),)
    """

    name: str
    function: Callable[..., Any]
    vjp: Vjp | None = None


PRIMITIVES: dict[Any, Primitive] = {}
"""All primitives, by their NumPy function."""


def register(function: Any, vjp: Vjp | None, name: str | None = None) -> Primitive:
    """Add a primitive to `PRIMITIVES`."""
    found = PRIMITIVES[function] = Primitive(name or function.__name__.strip("_"), function, vjp)
    return found


OVERRIDABLE: list[Any] = []
"""Functions of this package that dispatch to the type of their arrays, as NumPy's do."""


def overridable(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that arrays with ``__array_function__`` may replace by a rule of their own (NEP 18).

    The function itself, under ``__wrapped__``, is written in NumPy's functions and so runs on any array type.
    """

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        others = [x for x in args if type(x) is not np.ndarray and hasattr(x, "__array_function__")]
        types = {type(x) for x in others}
        for x in others:
            found = x.__array_function__(call, types, args, kwargs)
            if found is not NotImplemented:
                return found
        return function(*args, **kwargs)

    OVERRIDABLE.append(call)
    return call


def sum_to(g: Any, shape: Sequence[int]) -> Any:
    """The cotangent of an array that was broadcast: the sum over the axes along which it was repeated."""
    shape = tuple(shape)
    if np.shape(g) == shape:
        return g
    leading = np.ndim(g) - len(shape)
    repeated = tuple(k + leading for k, n in enumerate(shape) if n == 1 and np.shape(g)[k + leading] != 1)
    axes = (*range(leading), *repeated)
    return np.reshape(np.sum(g, axis=axes) if axes else g, shape)


def is_constant(x: Any) -> bool:
    """True for numbers and arrays that have no floating-point derivative."""
    return not hasattr(x, "dtype") or x.dtype.kind in "biu"


def certain(condition: Any) -> np.ndarray:
    """The entries for which a condition holds without doubt (see `gradagree.arithmetic.three_valued`)."""
    condition = getattr(condition, "numbers", condition)  # on a tape: as it is for the given inputs
    true, open = getattr(condition, "true", condition), getattr(condition, "open", False)
    return np.asarray(true & ~np.asarray(open))


def possible(condition: Any) -> np.ndarray:
    """The entries for which a condition may hold."""
    condition = getattr(condition, "numbers", condition)  # on a tape: as it is for the given inputs
    true, open = getattr(condition, "true", condition), getattr(condition, "open", False)
    return np.asarray(true | np.asarray(open))


def between(where: np.ndarray, x: Any, y: Any) -> Any:
    """x; where marked, any number between x and y, which an arithmetic without intervals takes halfway.

    It stands for the derivatives at a kink or at a tie, where programs differ.
    """
    if not where.any():
        return x
    if (chosen := CHOSEN.get()) is not None:
        return np.where(where, y, x) if chosen else x
    for array in (x, y):
        if hasattr(array, "between"):
            return array.between(where, x, y)
    return np.where(where, (x + y) / 2, x)


CHOSEN: contextvars.ContextVar[int | None] = contextvars.ContextVar("chosen", default=None)


TIES: contextvars.ContextVar[list[bool] | None] = contextvars.ContextVar("ties", default=None)
CLOSE = 2.0**-40
"""Numbers this close, relative to the largest, are equal: the same terms may have been added in another order."""


@contextlib.contextmanager
def noted_ties() -> Iterator[list[bool]]:
    """A list that is not empty after this context if a largest or smallest number was not the only one in it."""
    noted: list[bool] = []
    token = TIES.set(noted)
    try:
        yield noted
    finally:
        TIES.reset(token)


def note_ties(x: Any, y: Any, axis: Any = None, least: int = 1) -> None:
    """Note it if at least so many entries of x along an axis equal those that are chosen, y."""
    if (noted := TIES.get()) is None:
        return
    x, y = midpoints(x), midpoints(y)
    equal = ~(np.abs(x - y) > CLOSE * max(np.max(np.abs(x), initial=0.0), np.max(np.abs(y), initial=0.0)))
    if equal.any() and (np.sum(equal, axis=axis) >= least).any():
        noted.append(True)


@contextlib.contextmanager
def one_choice(end: int) -> Iterator[None]:
    """Within this context, `between` is x where it is marked (end 0), or y (end 1)."""
    token = CHOSEN.set(end)
    try:
        yield
    finally:
        CHOSEN.reset(token)


def or_by_division(found: Any, product: Any, x: Any) -> Any:
    """A derivative of a product, which programs may also compute as product / x where x is not 0."""
    divides = certain(x != 0)
    return between(divides, found, product / np.where(divides, x, 1.0))


def restore(reduced: Any, shape: Sequence[int], axis: Any, keepdims: bool) -> Any:
    """The result of a reduction with its reduced axes kept, as axes of length 1."""
    if keepdims:
        return reduced
    kept = list(shape)
    for k in range(len(shape)) if axis is None else np.atleast_1d(axis):
        kept[int(k)] = 1
    return np.reshape(reduced, kept)


def count(shape: Sequence[int], axis: Any) -> int:
    """Number of entries that a reduction combines into one."""
    return math.prod(shape) if axis is None else math.prod(shape[int(k)] for k in np.atleast_1d(axis))


def midpoints(x: Any) -> np.ndarray:
    """The central values of an array of any arithmetic, as float64."""
    while not isinstance(x, np.ndarray):
        x = x.middle if hasattr(x, "middle") else x._parts()[0] if hasattr(x, "_parts") else np.asarray(x)
    return np.asarray(x, dtype=np.float64)
