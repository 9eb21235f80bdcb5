"""Three-valued logic: comparisons of numbers known within a radius are true, false or open (undecided)."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Self

import numpy as np

from gradagree.arithmetic.duck import Duck, Rules

OPEN: contextvars.ContextVar[list[np.ndarray] | None] = contextvars.ContextVar("open", default=None)


@contextlib.contextmanager
def recorded_comparisons() -> Iterator[list[np.ndarray]]:
    """Within this context, the list gets the open entries of every comparison."""
    found: list[np.ndarray] = []
    token = OPEN.set(found)
    try:
        yield found
    finally:
        OPEN.reset(token)


class Trilean(Duck):
    """Truth values: ``true`` holds for the central values; ``open`` marks entries where the opposite is possible."""

    __slots__ = ("lift", "open", "true")
    arithmetic = "three-valued"
    rules: ClassVar[Rules] = {}
    rank = 0

    def __init__(self, true: Any, open: Any, lift: Callable[[Any], Any]) -> None:
        """lift turns a number into an array of the arithmetic that was compared."""
        self.true = np.asarray(true, dtype=bool)
        self.open = np.asarray(open, dtype=bool)
        self.lift = lift
        if (kept := OPEN.get()) is not None:
            kept.append(self.open)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if ufunc in self.rules:
            return super().__array_ufunc__(ufunc, method, *inputs, **kwargs)
        numbers = (_where(x, 1.0, 0.0) if isinstance(x, Trilean) else x for x in inputs)
        return getattr(ufunc, method)(*numbers, **kwargs)

    def _parts(self) -> tuple[Any, ...]:
        return (self.true, self.open)

    def _like(self, *parts: Any) -> Self:
        true, open = parts
        return type(self)(true, open, self.lift)

    def _lift(self, x: Any) -> Trilean:
        """Ordinary truth values, which are certain."""
        return x if isinstance(x, Trilean) else Trilean(*split(x), self.lift)


def split(x: Any) -> tuple[Any, Any]:
    """(true, open) of a Trilean or of an ordinary boolean array."""
    if isinstance(x, Trilean):
        return x.true, x.open
    truth = np.asarray(x, dtype=bool)
    return truth, np.zeros(truth.shape, dtype=bool)


def between(where: np.ndarray, x: Any, y: Any) -> Any:
    """x; where marked, any number between x and y."""
    marked = np.broadcast_to(where, np.broadcast_shapes(np.shape(where), np.shape(x), np.shape(y)))
    known = next(z for z in (x, y) if isinstance(z, Duck))
    return np.where(Trilean(np.ones(marked.shape, dtype=bool), marked, known._lift), x, y)  # type: ignore[call-overload]


def between_about_middle(where: np.ndarray, x: Any, y: Any) -> Any:
    """As `between`, for arithmetics whose np.where has the first number in the middle: with (x + y) / 2 there."""
    return between(where, np.where(where, (x + y) / 2, x), y)


def _join(decides: bool) -> Callable[[Any, Any], Trilean]:
    """A certain False decides ``and``, a certain True decides ``or``."""

    def rule(x: Any, y: Any) -> Trilean:
        (x_true, x_open), (y_true, y_open) = split(x), split(y)
        settled = (~x_open & (x_true == decides)) | (~y_open & (y_true == decides))
        true = (x_true | y_true) if decides else (x_true & y_true)
        lift = x.lift if isinstance(x, Trilean) else y.lift
        return Trilean(np.where(settled, decides, true), (x_open | y_open) & ~settled, lift)

    return rule


def _not(x: Trilean) -> Trilean:
    return Trilean(~x.true, x.open, x.lift)


def _where(condition: Trilean, x: Any, y: Any) -> Any:
    """np.where by the rule of the arithmetic of x or y, or of the comparison itself."""
    known = next((z for z in (x, y) if isinstance(z, Duck)), None)
    if known is None:
        known = x = condition.lift(x)
    return known.rules[np.where](condition, x, y)


def on_numbers(f: Callable[..., Any]) -> Callable[..., Any]:
    """A reduction of the numbers 1 (true) and 0 (false)."""
    return lambda x, axis=None, keepdims=False: f(+x, axis=axis, keepdims=keepdims)


def any_true(x: Trilean, axis: Any = None, keepdims: bool = False) -> Trilean:
    """Decided by one certain True, or where no entry is open."""
    true, certain, open = (np.any(part, axis=axis, keepdims=keepdims) for part in (x.true, x.true & ~x.open, x.open))
    return Trilean(true, open & ~certain, x.lift)


def all_true(x: Trilean, axis: Any = None, keepdims: bool = False) -> Trilean:
    return ~any_true(~x, axis, keepdims)


Trilean.rules.update({
    np.bitwise_and: _join(False), np.logical_and: _join(False), np.bitwise_or: _join(True), np.logical_or: _join(True),
    np.invert: _not, np.logical_not: _not, np.where: _where, np.any: any_true, np.all: all_true,
    np.sum: on_numbers(np.sum), np.count_nonzero: on_numbers(np.sum), np.mean: on_numbers(np.mean),
    np.max: on_numbers(np.max), np.min: on_numbers(np.min),
})  # fmt: skip
Duck.between = staticmethod(between)
