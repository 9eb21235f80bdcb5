"""Exact values: enclosures in float64 with error bounds, and in ball arithmetic."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import flint
import numpy as np

from gradagree.arithmetic.ball import LADDER, Ball, is_narrow, precision
from gradagree.arithmetic.model import FORMATS, Format, model
from gradagree.arithmetic.rounded import Rounded
from gradagree.arithmetic.rounding import round_to_format, ulp
from gradagree.surveys.subject import Subject

NARROW_BITS = 100
"""A ball is narrow if its midpoint has this many correct bits."""
PRINTED_BITS = 60
"""With so many correct bits, a midpoint is the exact value to all digits of a float64."""


def round_balls(balls: np.ndarray, form: Format) -> tuple[np.ndarray, ...]:
    """high, low and nearest as in `ExactValues`, and 1 where a ball determines the rounded value, else 0.

    The midpoint of a wider ball says nothing beyond the rounded value, which then stands for it.
    """
    lower, upper = rounded_ends(balls, form)
    middle, rest, narrow = (np.asarray(part, dtype=np.float64) for part in _MIDPOINT(balls))
    same = lower == upper
    known = same | (narrow > 0)
    nearest = np.where(same, upper, np.where(np.isfinite(middle), middle, upper))
    vague = known & ~are_precise(balls)
    middle, rest = np.where(vague, upper + 0.0, middle), np.where(vague, 0.0, rest)
    finite = known & np.isfinite(np.where(same, upper, middle))
    return np.where(finite, middle, 0.0), np.where(finite, rest, 0.0), nearest, known.astype(np.int8)


def are_precise(balls: np.ndarray) -> np.ndarray:
    """Where the midpoint of a ball has all digits that a float64 has."""
    return np.asarray(_PRECISE(balls), dtype=bool)


def rounded_ends(balls: np.ndarray, form: Format) -> tuple[np.ndarray, np.ndarray]:
    """Both ends of each ball, rounded to the format; NaN for a ball that is not finite."""
    lower, upper = (np.asarray(end, dtype=np.float64) for end in _ENDS(balls, form.name != "float64"))
    return round_to_format(lower, form), round_to_format(upper, form)


def _ends(ball: flint.arb, outward: bool) -> tuple[float, float]:
    """Both ends as float64; rounded outward on request, so that a second rounding does not meet a false tie."""
    if not ball.is_finite():
        return math.nan, math.nan
    ends = ball.lower(), ball.upper()
    lower, upper = map(float, ends)
    if outward:
        lower = lower if flint.arb(lower) == ends[0] else math.nextafter(lower, -math.inf)
        upper = upper if flint.arb(upper) == ends[1] else math.nextafter(upper, math.inf)
    return lower, upper


def _midpoint(ball: flint.arb) -> tuple[float, float, bool]:
    """The midpoint as float64, its rounding error, and whether the ball is narrow."""
    if not ball.is_finite():
        return math.nan, 0.0, False
    high = float(ball.mid())
    rest = float((ball - high).mid()) if math.isfinite(high) else 0.0
    return high, rest, is_narrow(ball, NARROW_BITS)


_PRECISE = np.frompyfunc(lambda ball: ball.is_finite() and is_narrow(ball, PRINTED_BITS), 1, 1)
_ENDS, _MIDPOINT = np.frompyfunc(_ends, 2, 2), np.frompyfunc(_midpoint, 1, 3)


BLOCK_SIZES = (2048, 128, 16)
MAX_RADIUS_ULPS = 1 / 16
"""Largest error bound, in ulps, with which a float64 value is accepted."""
INFINITE_RANGE = flint.arb(2) ** 1100, flint.arb(2) ** 1101
"""The interval that stands for an infinite input."""


FROM_LIMITS = 3
"""`ExactValues.known` where only the one-sided limits are known."""
TO_ROUNDING = 4
"""`ExactValues.known` where no precision of the ladder determines more than the rounded value."""


@dataclass(frozen=True)
class ExactValues:
    """The exact value as high + low, its correctly rounded value (nearest), and where both are known.

    known is 0 where no enclosure is narrow enough, 1 by float64 with an error bound, 2 by balls, 3 by the one-sided
    limits at a point where the formula itself is undefined, 4 by balls as wide as the rounding allows.
    """

    high: np.ndarray
    low: np.ndarray
    nearest: np.ndarray
    known: np.ndarray

    def at(self, places: Any) -> ExactValues:
        """The exact values of some of the points."""
        return ExactValues(self.high[places], self.low[places], self.nearest[places], self.known[places])


def compute_exact_values(subject: Subject, quantity: str, balls_only: bool = False) -> ExactValues:
    """Exact values of a quantity at every point (first axis), by the cheapest method that determines them.

    With `balls_only`, all are computed in ball arithmetic, each alone, and at higher precisions until every printed
    digit is correct.
    """
    form = FORMATS[subject.dtype]
    with np.errstate(all="ignore"):
        first = subject.at(slice(0, 1))
        shape = len(subject.points), *np.shape(first.evaluate(quantity, first.points))[1:]
        made = ExactValues(np.zeros(shape), np.zeros(shape), np.full(shape, np.nan), np.zeros(shape, dtype=np.int8))
        if subject.dtype != "float64" and not balls_only:
            _by_float64(made, subject, quantity, form)
        if subject.points.ndim == 1 and not subject.constants and not balls_only:
            _by_blocks(made, subject, quantity, form)
        _by_balls(made, subject, quantity, form, balls_only)
    return made


def _by_float64(made: ExactValues, subject: Subject, quantity: str, form: Format) -> None:
    """All points at once in float64, with error bounds."""
    points, ours = subject.points, model("float64")
    found = subject.evaluate(quantity, Rounded.stored(points, ours), lambda x: Rounded.stored(x, ours))
    value, radius = (found.value, found.radius) if isinstance(found, Rounded) else (np.asarray(found), 0.0)
    value, radius = np.broadcast_to(value, made.high.shape), np.broadcast_to(radius, made.high.shape)
    lower, upper = round_to_format(value - radius, form), round_to_format(value + radius, form)
    known = np.isfinite(value) & (lower == upper) & (radius <= MAX_RADIUS_ULPS * ulp(value, form))
    finite = np.isfinite(points).reshape(len(points), -1).all(axis=1)
    known &= finite.reshape(-1, *[1] * (known.ndim - 1))
    for part, x in ((made.high, value), (made.nearest, lower), (made.known, np.ones(known.shape))):
        part[known] = x[known]


def _by_blocks(made: ExactValues, subject: Subject, quantity: str, form: Format) -> None:
    """One ball for a block of neighbouring points that are undecided."""
    points = subject.points
    for size in BLOCK_SIZES:
        open = np.flatnonzero((made.known == 0) & np.isfinite(points))
        open = open[np.argsort(points[open], kind="stable")]
        blocks = [open[start : start + size] for start in range(0, len(open), size)]
        if not blocks:
            return
        with precision(LADDER[0]):
            ends = [flint.arb(float(points[b[0]])).union(flint.arb(float(points[b[-1]]))) for b in blocks]
            found = subject.evaluate(quantity, Ball(np.array(ends, dtype=object)))
            lower, upper = rounded_ends(balls_of(found, (len(blocks),)), form)
        for block, low, high in zip(blocks, lower + 0.0, upper, strict=True):
            if low == high:
                made.high[block], made.nearest[block], made.known[block] = finite_or_zero(low), low, 2


def to_balls(x: Any) -> Ball:
    """Exact balls; an infinity becomes the interval from 2^1100 to 2^1101 with its sign."""
    made = Ball.exact(x)
    for sign in (1, -1):
        where = np.asarray(x) == sign * np.inf
        if where.any():
            made.balls[where] = sign * INFINITE_RANGE[0].union(INFINITE_RANGE[1])
    return made


def balls_of(found: Any, shape: tuple[int, ...]) -> np.ndarray:
    """The balls of a formula, which may be plain numbers, in this shape."""
    return np.broadcast_to((found if isinstance(found, Ball) else Ball.exact(found)).balls, shape)


def finite_or_zero(x: float) -> float:
    return x if np.isfinite(x) else 0.0


def _by_balls(made: ExactValues, subject: Subject, quantity: str, form: Format, all_digits: bool) -> None:
    """A ball for each point, at increasing precisions; with `all_digits`, until it is precise."""
    points = subject.points
    numeric = ~np.isnan(points).reshape(len(points), -1).any(axis=1)
    for bits in LADDER:
        unsettled = (made.known == 0) | (made.known == TO_ROUNDING)
        open = np.flatnonzero(unsettled.reshape(len(points), -1).any(axis=1) & numeric)
        if not len(open):
            return
        with precision(bits):
            found = subject.at(open).evaluate(quantity, to_balls(points[open]), to_balls)
            balls = balls_of(found, (len(open), *made.high.shape[1:]))
            high, low, nearest, known = round_balls(balls, form)
        kinds = np.where(are_precise(balls), 2, TO_ROUNDING) if all_digits else np.full(known.shape, 2)
        new = (known > 0) & unsettled[open]
        fresh = np.zeros(made.known.shape, dtype=bool)
        fresh[open] = new
        for part, x in ((made.high, high), (made.low, low), (made.nearest, nearest), (made.known, kinds)):
            part[fresh] = x[new]
