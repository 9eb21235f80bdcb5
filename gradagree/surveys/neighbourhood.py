"""One-sided limits and the range of nearby values around a point."""

from __future__ import annotations

from collections.abc import Sequence

import flint
import numpy as np

from gradagree.arithmetic.ball import Ball, precision
from gradagree.arithmetic.model import FORMATS, FORMULA, Format
from gradagree.arithmetic.rounding import round_to_format, ulp
from gradagree.surveys.classify import largest_at_similar_size, per_point
from gradagree.surveys.exact import ExactValues, are_precise
from gradagree.surveys.points import kinks_of
from gradagree.surveys.subject import WIDEST_ROWS, Subject

ORDINARY_BITS = 320
ALL_ENTRIES = 16
"""Rows up to this length have each entry shifted alone; of longer rows only the first two and the last."""
STEP_EXPONENT = -128
"""One-sided limits are evaluated at 2^-128 of the input's size (of 1 for larger inputs); at 0 see below."""
MAX_POINTS = 1500
"""Points that one call of `Neighbourhood.evaluate` evaluates, the simplest first."""
SLACK_ULPS = 16
ORDINARY_SIZE = 2.0**60
"""Up to this size, and down to its inverse, `ORDINARY_BITS` separate a shifted point from the point itself."""
SMALLEST_JUMP = 2.0**-64
"""Relative to the function's size; a smaller difference between one-sided limits is no jump."""
NEARLY_ALL = 0.95


class Neighbourhood:
    """Admissible values around the flagged points of one subject and quantity.

    At a jump, the values between the one-sided limits are admissible, and no others. Elsewhere, an inaccurate value
    is ill-conditioned if an input within 8 units of the last place has it. Each point is evaluated once, and serves
    the results of all modes.
    """

    def __init__(self, subject: Subject, quantity: str, exact: ExactValues) -> None:
        shape = exact.high.shape
        self._subject, self._quantity, self._exact = subject, quantity, exact
        self._low, self._high = np.zeros(shape), np.zeros(shape)
        self._near_low, self._near_high = np.full(shape, np.nan), np.full(shape, np.nan)
        self._evaluated = np.zeros(shape[0], dtype=bool)
        self.jumps = np.zeros(shape, dtype=bool)

    def evaluate(self, rows: np.ndarray) -> None:
        """Evaluate the points with these indices, without those that are known already."""
        new = rows[~self._evaluated[rows]]
        if not len(new):
            return
        new = self._subject.order[np.isin(self._subject.order, new)][:MAX_POINTS]
        subject = self._subject.at(new)
        self._evaluated[new] = True
        self._near_low[new], self._near_high[new] = nearby_range(subject, self._quantity)
        if subject.masks or subject.inputs == WIDEST_ROWS:
            return
        form, size = FORMATS[subject.dtype], np.abs(subject.points)
        jumping = may_jump(subject, self._quantity)
        ordinary = np.all((size >= 1 / ORDINARY_SIZE) & (size <= ORDINARY_SIZE), axis=tuple(range(1, size.ndim)))
        scale = largest_at_similar_size(self._exact, self._subject)
        for some, bits in ((jumping & ordinary, ORDINARY_BITS), (jumping & ~ordinary, bits_at_zero(form))):
            if some.any():
                rows = new[some]
                with precision(bits):
                    found = admissible_range(self._subject.at(rows), self._quantity, scale[rows])
                self._low[rows], self._high[rows], self.jumps[rows] = found

    def is_admissible_at_jump(self, observed: np.ndarray) -> np.ndarray:
        """Where a value lies between the one-sided limits at a jump."""
        return self.jumps & is_between(observed, self._low, self._high, FORMATS[self._subject.dtype])

    def is_ill_conditioned(self, observed: np.ndarray, flagged: np.ndarray) -> np.ndarray:
        """Where a value is that of a nearby input; at all flagged points if at nearly all evaluated ones."""
        found = is_between(observed, self._near_low, self._near_high, FORMATS[self._subject.dtype])
        evaluated = np.broadcast_to(per_point(self._evaluated, observed), observed.shape) & flagged
        if evaluated.any() and np.mean(found[evaluated]) >= NEARLY_ALL:
            found = found | (flagged & ~evaluated)
        return found


def admissible_range(subject: Subject, quantity: str, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The smallest and the largest admissible value at each point, and True where the quantity jumps.

    These are the one-sided limits; scale is the function's size at each point.
    """
    form = FORMATS[subject.dtype]
    with np.errstate(all="ignore"):
        beside = points_beside(subject.points, form, kinks_of(subject.function))
        limits = [midpoints(subject, quantity, points) for points in beside]
        low, high = np.fmin.reduce(limits), np.fmax.reduce(limits)
        jumps = (high - low) > SLACK_ULPS * ulp(np.fmax(np.abs(low), np.abs(high)), form)
        jumps &= (high - low) > SMALLEST_JUMP * per_point(scale, low)
    return low, high, jumps


def is_between(x: np.ndarray, low: np.ndarray, high: np.ndarray, form: Format) -> np.ndarray:
    """Where x lies between low and high, within a few ulps."""
    with np.errstate(all="ignore"):
        slack = SLACK_ULPS * ulp(np.fmax(np.abs(low), np.abs(high)), form)
        return np.asarray((x >= low - slack) & (x <= high + slack))


def nearby_range(subject: Subject, quantity: str) -> tuple[np.ndarray, np.ndarray]:
    """The smallest and the largest value at inputs within 8 units of the last place, for each point.

    The units are those of the input's largest entry, and for loss functions at least those of 1.
    """
    is_row = subject.points.ndim == 2 and subject.points.shape[1] > 1
    narrow = FORMATS[subject.dtype].precision <= FORMATS["float16"].precision
    # float64 is accurate enough for 16-bit rows, whose units are large; balls would take minutes for wide rows.
    by_float64 = subject.is_wide or (is_row and narrow)
    return nearby_range_by_float64(subject, quantity) if by_float64 else nearby_range_by_balls(subject, quantity)


def nearby_range_by_balls(subject: Subject, quantity: str) -> tuple[np.ndarray, np.ndarray]:
    """`nearby_range` in ball arithmetic."""
    points = subject.points
    with precision(ORDINARY_BITS), np.errstate(all="ignore"):
        least = 1.0 if subject.kind == "error" else 0.0
        size = np.maximum(np.abs(points).reshape(len(points), -1).max(axis=1), least)
        steps = np.array([flint.arb(float(FORMULA * FORMATS[subject.dtype].u * x)) for x in size], dtype=object)
        steps = np.broadcast_to(per_point(steps, points), points.shape)
        near = [midpoints(subject, quantity, shifted) for shifted in shifted_points(points, steps)]
        return np.fmin.reduce(near), np.fmax.reduce(near)


def nearby_range_by_float64(subject: Subject, quantity: str) -> tuple[np.ndarray, np.ndarray]:
    """`nearby_range` of rows in float64."""
    x = subject.points
    size = np.maximum(np.abs(x).max(axis=1, keepdims=True), subject.kind == "error")
    step = FORMULA * FORMATS[subject.dtype].u * size
    signs = [np.ones(x.shape[1]), np.arange(x.shape[1]) == 0, 1 - 2.0 * (np.arange(x.shape[1]) % 2)]
    with np.errstate(all="ignore"):
        shifted = [x + side * step * sign for sign in signs for side in (1, -1)]
        found = [subject.evaluate(quantity, y) for y in shifted]
    return np.fmin.reduce(found), np.fmax.reduce(found)


def may_jump(subject: Subject, quantity: str) -> np.ndarray:
    """Where the enclosure of the quantity over a ball around the point is wider than an ulp."""
    points, form = subject.points, FORMATS[subject.dtype]
    with precision(ORDINARY_BITS), np.errstate(all="ignore"):
        steps = step_sizes(points, form, kinks_of(subject.function))
        balls = np.frompyfunc(lambda x, d: (x - d).union(x + d), 2, 1)(Ball.exact(points).balls, steps)
        found = subject.evaluate(quantity, Ball(balls), Ball.exact)
        if not isinstance(found, Ball):
            return np.zeros(len(points), dtype=bool)
        wide = ~(found.radius <= ulp(found.middle, form))
    return np.broadcast_to(wide.reshape(len(wide), -1).any(axis=1), (len(points),))


def range_of_limits(subject: Subject, quantity: str) -> tuple[np.ndarray, np.ndarray]:
    """The smallest and the largest one-sided limit at each point; NaN where one is not finite or not known."""
    form = FORMATS[subject.dtype]
    with precision(bits_at_zero(form)), np.errstate(all="ignore"):
        limits = [precise_midpoints(subject, quantity, points) for points in points_beside(subject.points, form, ())]
        low, high = np.minimum.reduce(limits), np.maximum.reduce(limits)
    # a derivative without a finite limit has none times a small cotangent either
    largest = form.largest * per_point(np.minimum(subject.scale, 1.0), low)
    finite = np.isfinite(low) & np.isfinite(high) & (np.maximum(np.abs(low), np.abs(high)) <= largest)
    return np.where(finite, low, np.nan), np.where(finite, high, np.nan)


def step_exponent_at_zero(form: Format) -> int:
    """Exponent of the step from 0 to the point of a limit; its square is far below the smallest number."""
    return -1400 if form.precision == FORMATS["float64"].precision else -400


def bits_at_zero(form: Format) -> int:
    """The precision that separates such a point from 0 beside ordinary numbers."""
    return -2 * step_exponent_at_zero(form) + ORDINARY_BITS


def step_sizes(points: np.ndarray, form: Format, kinks: Sequence[float]) -> np.ndarray:
    """Distances at which limits are evaluated: two ulps beside a kink that is not representable in the format."""
    near = np.zeros(points.shape, dtype=bool)
    for kink in kinks:
        if float(round_to_format(np.asarray(float(kink)), form)) == kink:
            continue
        near |= np.abs(points - kink) <= ulp(np.asarray(float(kink)), form)
    _, exponent = np.frexp(points)
    powers = np.where(points == 0, step_exponent_at_zero(form), np.minimum(exponent, 0) + STEP_EXPONENT)
    small = np.array([flint.arb(2) ** int(e) for e in powers.ravel()], dtype=object)
    wide = np.array([flint.arb(float(2 * s)) for s in ulp(points, form).ravel()], dtype=object)
    return np.asarray(np.where(near.ravel(), wide, small).reshape(points.shape))


def points_beside(points: np.ndarray, form: Format, kinks: Sequence[float]) -> list[Ball]:
    """The points at which one-sided limits are evaluated."""
    return shifted_points(points, step_sizes(points, form, kinks))


def shifted_points(points: np.ndarray, steps: np.ndarray) -> list[Ball]:
    """The points shifted by these steps up and down: all entries of a row together, each alone, and alternating.

    Of long rows, only some entries are shifted alone. There the signs follow each binary digit of the entry's index:
    any two entries differ in one of them, so that each of the two is moved above and below the other.
    """
    middle = Ball.exact(points).balls
    found = [Ball(middle + sign * steps) for sign in (1, -1)]
    if points.ndim == 2 and points.shape[1] > 1:
        n = points.shape[1]
        for j in range(n) if n <= ALL_ENTRIES else (0, 1, n - 1):
            unit = np.array([flint.arb(int(k == j)) for k in range(n)], dtype=object)
            found += [Ball(middle + sign * steps * unit) for sign in (1, -1)]
        digits = 1 if n <= ALL_ENTRIES else (n - 1).bit_length()
        for digit in range(digits):
            signs = np.array([flint.arb(1 - 2 * (k >> digit & 1)) for k in range(n)], dtype=object)
            found += [Ball(middle + sign * steps * signs) for sign in (1, -1)]
    return found


def midpoints(subject: Subject, quantity: str, points: Ball) -> np.ndarray:
    """Midpoints of the quantity's balls; NaN where one is not finite."""
    found = subject.evaluate(quantity, points, Ball.exact)
    return found.middle if isinstance(found, Ball) else np.asarray(found, dtype=float)


def precise_midpoints(subject: Subject, quantity: str, points: Ball) -> np.ndarray:
    """As `midpoints`, but 0 where a ball holds only numbers that round to 0, and NaN where it is wide otherwise."""
    found = subject.evaluate(quantity, points, Ball.exact)
    if not isinstance(found, Ball):
        return np.asarray(found, dtype=float)
    least = FORMATS[subject.dtype].smallest / 4
    with np.errstate(invalid="ignore"):
        vanishing = np.abs(found.middle) + found.radius < least
    return np.where(are_precise(found.balls), found.middle, np.where(vanishing, 0.0, np.nan))
