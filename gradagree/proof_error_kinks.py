"""Whether an error function marks its kinks: none is found, in o or in t, at which ``kink(o, t)`` is false."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit

from gradagree.arithmetics.ball import Ball, lift
from gradagree.arithmetics.dual import Dual, slope_of
from gradagree.arithmetics.trilean import split
from gradagree.drawing import Source
from gradagree.errors import UsageError
from gradagree.reference import ErrorFunction
from gradagree.reference.activations.rows import log_sum_exp, softmax
from gradagree.unlisted import Jump, jumps, side_by_side

WAY = side_by_side(np.linspace(-4, 4, 97) + 2.0**-10)
INTO = {
    "real": lambda x: x, "positive": np.exp, "unit": expit, "simplex": softmax,
    "log_simplex": lambda x: x - log_sum_exp(x),
}  # fmt: skip
"""From real numbers into each domain, without a kink of its own."""


@dataclass(frozen=True)
class Line:
    """Outputs o(x + s along) or, if it leads through the targets, targets t(x + s along), for numbers s.

    The slope is that of E in the direction `across` of the outputs (of x, where o depends on s).
    """

    error: ErrorFunction
    x: np.ndarray
    t: Any
    along: np.ndarray
    across: np.ndarray
    of_targets: bool = False

    def at(self, s: Ball) -> tuple[Any, Any, Any]:
        """(x, o, t) for each s."""
        moved = Ball.exact(self.t if self.of_targets else self.x) + s[:, None, None] * self.along
        x = Ball.exact(np.broadcast_to(self.x, (len(s), *self.x.shape))) if self.of_targets else moved
        t = INTO[self.error.targets](moved) if self.of_targets else exact(self.error, self.t)
        return x, INTO[self.error.domain](x), t

    def slope(self, s: Ball) -> Any:
        x, _, t = self.at(s)
        pushed = Dual(x, lift(np.broadcast_to(self.across, x.shape)))
        return slope_of(self.error.value(INTO[self.error.domain](pushed), t))

    def marked(self, between: Ball) -> bool:
        """Whether ``kink`` is true, or may be, within the interval; true where it has no rule for numbers in balls."""
        if type(self.error).kink is ErrorFunction.kink:
            return False
        _, o, t = self.at(between.reshape(1))
        try:
            true, open = split(self.error.kink(o, t))
        except Exception:  # noqa: BLE001  (nothing is known then, and nobody is accused)
            return True
        return bool(np.any(true | open))


def prove_error_kinks(error: ErrorFunction, o: np.ndarray, t: Any) -> None:
    """Raises UsageError, naming the place and both slopes, where the slope jumps and ``kink`` is false."""
    for line, found in unlisted_error_kinks(error, o.shape, t):
        left, right = (float(x.mid()) for x in (found.left, found.right))
        _, o, targets = line.at(found.between.reshape(1))
        where = f"o = {numbers(o)[0]} and t = {numbers(targets)}"
        raise UsageError(
            f"{error}: an unlisted kink: the slope of value jumps from {left!r} to {right!r} (proved) at {where}, "
            "where kink(o, t) is false; make it true wherever the slope jumps"
        )


def unlisted_error_kinks(error: ErrorFunction, shape: tuple[int, ...], t: Any) -> Iterator[tuple[Line, Jump]]:
    """The jumps on a few lines through outputs and targets at which ``kink`` is certainly false."""
    for line in lines(error, shape, t):
        for found in jumps(line.slope, WAY, line.marked):
            yield line, found


def lines(error: ErrorFunction, shape: tuple[int, ...], t: Any) -> Iterator[Line]:
    """Along each output of one example, along all outputs at once, and along all targets where they are no labels."""
    source = Source(f"lines {error}")
    x, across = (source.dyadic(shape, 20, 1) for _ in range(2))
    for k in range(shape[1]):
        along = np.zeros(shape)
        along[0, k] = 1.0
        yield Line(error, x, t, along, along)
    yield Line(error, x, t, across, across)
    if error.targets in INTO and t.size:
        yield Line(error, x, source.dyadic(t.shape, 20, 1), source.dyadic(t.shape, 20, 1), across, of_targets=True)


def exact(error: ErrorFunction, t: Any) -> Any:
    return t if error.targets == "classes" else Ball.exact(t)


def numbers(x: Any) -> list[Any]:
    return np.asarray(x.middle if isinstance(x, Ball) else x).tolist()
