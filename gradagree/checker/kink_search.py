"""A search for kinks that a function does not list: points where the derivative of its value jumps.

The derivative is evaluated at the ends of many small intervals, in ball arithmetic. An interval over which it changes
as in a jump is bisected repeatedly, and the part with the larger change is kept. The change of a continuous derivative
vanishes with the interval; that of a jump remains. So a smooth function is not reported, unless its derivative changes
within 2^-1000 of an interval.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import flint
import numpy as np
from scipy.special import expit

from gradagree.arithmetic.ball import Ball, lift, precision
from gradagree.arithmetic.dual import Dual, tangent_of
from gradagree.arithmetic.three_valued import split
from gradagree.cases.regimes import Source
from gradagree.checker.kinks import has_kinks
from gradagree.errors import UsageError
from gradagree.reference import Activation, ErrorFunction
from gradagree.reference.activations.rows import log_sum_exp, softmax

BITS = 256
LEVELS = (24, 64, 512, 1024)
"""Numbers of bisections after which the change is compared with that of the level before."""
MIN_CHANGE = flint.arb(2) ** -60
"""Relative to the largest derivative: a smaller change is invisible in float64."""
BESIDE = 2.0**-256
"""Distance to both sides of a jump: far beyond its interval, and far below the changes of a smooth function."""
CUT = flint.arb("0.4375")
"""Where an interval is cut: not in its middle, which may be a kink itself."""
NEAR = np.linspace(-20, 20, 1281) + 2.0**-10
FAR = np.geomspace(20, 1024, 65) + 2.0**-10
"""Ends of the intervals that are searched for kinks of an activation: |p| up to 20, and beyond."""
LINE_ENDS = np.linspace(-4, 4, 97) + 2.0**-10
"""Ends of the intervals that are searched on each line for kinks of a loss."""
TO_DOMAIN = {
    "real": lambda x: x, "positive": np.exp, "unit": expit, "simplex": softmax,
    "log_simplex": lambda x: x - log_sum_exp(x),
}  # fmt: skip
"""Smooth maps from the real numbers into each domain."""

Derivative = Callable[[Ball], Any]
IsListed = Callable[[Ball], bool]


@dataclass(frozen=True)
class Jump:
    """An interval far shorter than the spacing of float64, and the derivatives at its ends."""

    start: flint.arb
    end: flint.arb
    left: flint.arb
    right: flint.arb

    @property
    def interval(self) -> Ball:
        """A ball that contains the interval, and the kink."""
        return Ball(self.start.union(self.end))

    @property
    def point(self) -> float:
        """The number with the fewest decimals in the interval, or else the float64 next to it."""
        near, interval = float(self.start.mid()), self.start.union(self.end)
        short = (float(f"{near:.{decimals}f}") for decimals in range(18))
        return next((x for x in short if interval.contains(x)), near) + 0.0


def margin_of(kink: float) -> float:
    """How far from a listed kink the jump may be: constants such as 0.2 in 0.2 p + 0.5 are rounded."""
    return 2.0**-40 * max(abs(kink), 1.0)


def adjacent_intervals(ends: np.ndarray, listed: tuple[float, ...] = ()) -> np.ndarray:
    """(starts, ends) of the intervals between points, leaving out 2^-40 on both sides of each listed kink."""
    for kink in listed:
        margin = margin_of(kink)
        ends = np.concatenate([ends[np.abs(ends - kink) > margin], [kink - margin, kink + margin]])
    ends = np.unique(ends)
    pairs = np.stack([ends[:-1], ends[1:]])
    return pairs[:, ~np.any([(pairs[0] < kink) & (kink < pairs[1]) for kink in (*listed, np.inf)], axis=0)]


def find_jumps(
    derivative: Derivative, intervals: np.ndarray, is_listed: IsListed = lambda interval: False
) -> Iterator[Jump]:
    """The jumps of a derivative, at most one in each of the intervals (starts, ends), unless it is listed."""
    starts, lengths = intervals[0], intervals[1] - intervals[0]
    with precision(BITS), np.errstate(all="ignore"):
        cuts = [Ball.exact(starts + part * lengths) for part in (0.0, float(CUT), 1.0)]
        derivatives = [lift(derivative(x)).balls for x in cuts]
        size = max((abs(x).upper() for part in derivatives for x in part if x.is_finite()), default=flint.arb(0))
        found = [k for k in range(len(starts)) if may_jump([part[k] for part in derivatives], size * MIN_CHANGE)]
    for k in found:
        jump = bisect_jump(
            derivative, cuts[0].balls[k], cuts[2].balls[k], derivatives[0][k], derivatives[2][k], is_listed
        )
        if jump is not None:
            yield jump


def may_jump(derivatives: Sequence[flint.arb], least: flint.arb) -> bool:
    """True if the change is visible and most of it is in one part of the interval."""
    left, middle, right = derivatives
    parts = abs(middle - left), abs(right - middle)
    if not all(part.is_finite() and part.rad() < least for part in parts) or parts[0] + parts[1] < least:
        return False
    return bool(max(parts[0] / CUT, parts[1] / (1 - CUT)) > (parts[0] + parts[1]) * flint.arb("1.25"))


def bisect_jump(
    derivative: Derivative, start: flint.arb, end: flint.arb, left: flint.arb, right: flint.arb, is_listed: IsListed
) -> Jump | None:
    """The jump between two points, or None if the change of the derivative vanishes, or grows, with their distance."""
    before = None
    for level in range(1, LEVELS[-1] + 1):
        last = next(last for last in LEVELS if level <= last)
        with precision(last + 64):
            cut = (start + (end - start) * CUT).mid()
        with precision(BITS + 2 * last):
            middle = lift(derivative(Ball(np.array([cut], dtype=object)))).balls[0]
            if not middle.is_finite():
                return None
            if abs(middle - left) >= abs(right - middle):
                end, right = cut, middle
            else:
                start, left = cut, middle
            change = abs(right - left)
            if level in LEVELS:
                if not change > 0 or (before is not None and not before / 2 < change < before * 2):
                    return None
                if level == LEVELS[1] and is_listed(Ball(start.union(end))):
                    return None
                before = change
    return Jump(start, end, left, right)


def prove_kinks(activation: Activation) -> None:
    """Raises UsageError, with the point and both derivatives, where A' jumps and ``kinks`` does not list it."""
    for found in unlisted_kinks(activation):
        at, left, right = found.point, *(float(x.mid()) for x in (found.left, found.right))
        listed = ", ".join(f"{kink!r}" for kink in activation.kinks) or "none"
        raise UsageError(
            f"{activation}: an unlisted kink: at p = {at!r} the derivative of value jumps from {left!r} to {right!r} "
            f"(proved), and kinks has {listed}; add {at!r} to kinks"
        )


def unlisted_kinks(activation: Activation) -> Iterator[Jump]:
    """The jumps of A' between -1024 and 1024 that are not in the activation's kinks."""
    ends = np.concatenate([-FAR[::-1], NEAR, FAR])
    if activation.domain != "real":
        ends = ends[ends > 0] if activation.domain == "positive" else np.linspace(0, 1, 257)[1:-1] + 2.0**-20
    yield from find_jumps(lambda p: derivative_by_dual(activation, p), adjacent_intervals(ends, activation.kinks))


def derivative_by_dual(activation: Activation, p: Ball) -> Any:
    """A'(p), of value."""
    return tangent_of(activation.value(Dual.variable(p)))


@dataclass(frozen=True)
class SearchLine:
    """A line of outputs o(x + s along) or, with `of_targets`, of targets t(x + s along), for numbers s.

    `derivative` is that of E in the direction `across` of the outputs (of x, if o depends on s).
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
        t = TO_DOMAIN[self.error.targets](moved) if self.of_targets else exact_targets(self.error, self.t)
        return x, TO_DOMAIN[self.error.domain](x), t

    def derivative(self, s: Ball) -> Any:
        return self.derivative_beside(s, 0.0)

    def derivative_beside(self, s: Ball, distance: Any) -> Any:
        """The derivative at outputs that are moved by a distance across the line."""
        x, _, t = self.at(s)
        x = x + self.across * distance
        dual = Dual(x, lift(np.broadcast_to(self.across, x.shape)))
        return tangent_of(self.error.value(TO_DOMAIN[self.error.domain](dual), t))

    def crosses(self, found: Jump) -> bool:
        """True if the derivative jumps across the line too: it does not where targets alone choose a branch."""
        if not self.of_targets:
            return True
        with precision(BITS + 2 * LEVELS[-1]), np.errstate(all="ignore"):
            at = Ball(np.array([found.start.mid()], dtype=object))
            sides = [lift(self.derivative_beside(at, way * BESIDE)).balls[0] for way in (-1, 1)]
            return not abs(sides[1] - sides[0]) < abs(found.right - found.left) / 4

    def is_marked(self, interval: Ball) -> bool:
        """True if ``kink`` may be true within the interval, or cannot be evaluated in ball arithmetic."""
        if not has_kinks(self.error):
            return False
        _, o, t = self.at(interval.reshape(1))
        try:
            true, open = split(self.error.kink(o, t))
        except Exception:  # noqa: BLE001  (then nothing is known, and nothing is reported)
            return True
        return bool(np.any(true | open))


def prove_loss_kinks(error: ErrorFunction, o: np.ndarray, t: Any) -> None:
    """Raises UsageError, with the outputs, targets and both derivatives, where dE/do jumps and ``kink`` is false."""
    for line, found in unlisted_loss_kinks(error, o.shape, t):
        left, right = (float(x.mid()) for x in (found.left, found.right))
        _, o, targets = line.at(found.interval.reshape(1))
        where = f"o = {midpoints(o)[0]} and t = {midpoints(targets)}"
        raise UsageError(
            f"{error}: an unlisted kink: the derivative of value jumps from {left!r} to {right!r} (proved) at {where}, "
            "where kink(o, t) is false; make it true wherever the derivative jumps"
        )


def unlisted_loss_kinks(error: ErrorFunction, shape: tuple[int, ...], t: Any) -> Iterator[tuple[SearchLine, Jump]]:
    """The jumps on a few lines through outputs and targets at which ``kink`` is provably false."""
    intervals = adjacent_intervals(LINE_ENDS)
    for line in search_lines(error, shape, t):
        for found in find_jumps(line.derivative, intervals, line.is_marked):
            if line.crosses(found):
                yield line, found


def search_lines(error: ErrorFunction, shape: tuple[int, ...], t: Any) -> Iterator[SearchLine]:
    """Along each output of one example, along all outputs at once, and along all targets unless they are classes."""
    source = Source(f"lines {error}")
    x, across = (source.dyadic(shape, 20, 1) for _ in range(2))
    for k in range(shape[1]):
        along = np.zeros(shape)
        along[0, k] = 1.0
        yield SearchLine(error, x, t, along, along)
    yield SearchLine(error, x, t, across, across)
    if error.targets in TO_DOMAIN and t.size:
        yield SearchLine(
            error, x, source.dyadic(t.shape, 20, 1), source.dyadic(t.shape, 20, 1), across, of_targets=True
        )


def exact_targets(error: ErrorFunction, t: Any) -> Any:
    return t if error.targets == "classes" else Ball.exact(t)


def midpoints(x: Any) -> list[Any]:
    return np.asarray(x.middle if isinstance(x, Ball) else x).tolist()
