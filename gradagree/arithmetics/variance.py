"""Variance arithmetic: a number and the variance of its rounding error, for the end-to-end probabilistic tolerance.

Each rounding is an independent error, uniform on [-u |v|, u |v|], with variance (u v)^2 / 3. A sum of n terms rounds
each partial sum; their squares sum to (1 + n/2) sum (a w)^2 + n v^2 / 3 on average over the orders of summation (model:
Higham and Mary, SISC 41 (2019)). Equal rows have equal errors, which count as correlated. A comparison is open within
`DEVIATIONS` standard deviations, and an open `where` adds the square of the jump.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np

from gradagree.arithmetics.duck import Duck, Rules
from gradagree.arithmetics.model import FORMATS, Model

DEVIATIONS = 8
"""The probabilistic tolerance in standard deviations; worst error measured: 4.5 in 1.2e7 entries."""
TILE = 1 << 16
"""Entries processed together."""
MOVING = frozenset({np.swapaxes, np.transpose, np.moveaxis, np.expand_dims, np.reshape, np.broadcast_to, np.ravel})
"""Functions that only move entries."""
SMALLEST = 2.0**-450
"""Errors of numbers below this have squares that underflow, so they are unknown."""


class Variance(Duck):
    """A value and the variance of its error, entry by entry; infinite where the number may overflow the dtype."""

    __slots__ = ("largest", "model", "value", "variance")
    arithmetic = "variance"
    rules: ClassVar[Rules] = {}

    def __init__(self, value: Any, variance: Any, model: Model, largest: float | None = None) -> None:
        """largest: a bound on the magnitude of all values, if known."""
        self.value = value = np.asarray(value, dtype=np.float64)
        variance = np.asarray(variance, dtype=np.float64)
        if variance.shape != value.shape:
            variance = np.broadcast_to(variance, value.shape)
        self.largest = largest_of(value) if largest is None else largest
        if not self.largest <= model.format.largest:
            variance = np.where(np.abs(value) > model.format.largest, np.inf, variance)
        self.variance = variance
        self.model = model

    @classmethod
    def stored(cls, x: Any, model: Model) -> Self:
        """Numbers of the dtype, exact."""
        return cls(x, 0.0, model)

    @property
    def deviation(self) -> np.ndarray:
        """The standard deviation."""
        return np.asarray(np.sqrt(self.variance))

    @property
    def nothing(self) -> float:
        """Magnitude below which a computed value is acceptable for an exact zero; 0 except in float64."""
        return SMALLEST if self.model.format.precision == FORMATS["float64"].precision else 0.0

    @property
    def tolerance(self) -> np.ndarray:
        """`DEVIATIONS` standard deviations plus as many underflow errors; `nothing` for a zero without error.

        NaN for numbers so small that the squares of their errors underflow.
        """
        deviation = self.deviation
        probable = np.asarray(DEVIATIONS * (deviation + self.model.quantum))
        least = self.model.u * SMALLEST
        if np.min(deviation, initial=np.inf) >= least:
            return probable
        zero = (self.value == 0) & (self.variance == 0)
        known = zero | (np.abs(self.value) >= SMALLEST) | (deviation >= least)
        return np.where(known, np.where(zero, self.nothing, probable), np.nan)

    def _parts(self) -> tuple[Any, ...]:
        return (self.value, self.variance)

    def _like(self, *parts: Any) -> Self:
        value, variance = parts
        return type(self)(value, variance, self.model)

    def map(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Self:
        value, variance = (function(part, *args, **kwargs) for part in self._parts())
        return type(self)(value, variance, self.model, self.largest if function in MOVING else None)

    def __getitem__(self, index: Any) -> Self:
        return type(self)(self.value[index], self.variance[index], self.model, self.largest)

    @property
    def exact(self) -> bool:
        """True if no number has an error."""
        one = not any(self.variance.strides)
        return not (self.variance.flat[0] if one and self.variance.size else self.variance.any())

    def _lift(self, x: Any) -> Variance:
        if isinstance(x, Variance):
            return x
        x = np.asarray(x, dtype=np.float64)
        scaled = np.ldexp(np.frexp(x)[0], self.model.format.precision)
        return Variance(x, np.where(scaled == np.rint(scaled), 0.0, rounding(x, self.model)), self.model)

    def modelled(self, model: Model) -> Variance:
        """The same numbers under another rounding model from here on."""
        return Variance(self.value, self.variance, model)

    def of_terms(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Standard deviation of the error from rounding each term x_i y_j of the sum that gave this product."""
        return np.asarray(self.model.u * np.sqrt(np.swapaxes(x, -1, -2) ** 2 @ y**2 / 3))

    def widened(self, by: Any) -> Variance:
        """The same numbers with an additional independent error of standard deviation `by`."""
        return Variance(self.value, self.variance + np.square(by), self.model)


def largest_of(x: np.ndarray) -> float:
    """The largest magnitude; NaN if an entry is NaN."""
    ends = np.minimum.reduce(x, axis=None, initial=0.0), np.maximum.reduce(x, axis=None, initial=0.0)
    return float(np.maximum(-ends[0], ends[1]))


def lift_all(*xs: Any) -> tuple[Variance, ...]:
    known = next(x for x in xs if isinstance(x, Variance))
    return tuple(known._lift(x) for x in xs)


def rounding(v: Any, model: Model) -> Any:
    """The variance of one rounding, underflow included."""
    return (np.square(model.u * v) + np.where(v == 0, 0.0, np.square(model.quantum))) / 3


def blocks(x: np.ndarray) -> list[Any]:
    """Slices along the first axis of about `TILE` entries, which fit a processor cache."""
    rows = max(1, TILE * len(x) // x.size) if x.ndim and x.size else 0
    return [slice(start, start + rows) for start in range(0, len(x), rows)] if rows else [...]
