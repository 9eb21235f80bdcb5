"""One-sided limits and conditioning around a point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import flint
import numpy as np

from gradagree.arithmetic.ball import Ball, precision
from gradagree.arithmetic.model import FORMATS, FORMULA, Format
from gradagree.surveys.exact import Formula
from gradagree.surveys.points import round_to_format, ulp

# What is true on the sides of a point: near it in every direction, by balls
# --------------------------------------------------------------------------


ORDINARY_BITS = 320
ALL_ENTRIES = 16
"""Of longer rows only the first two entries and the last are moved alone."""
STEP_EXPONENT = -128
"""A side is looked at from 2^-128 of the input's size away (of 1, if it is larger); for zero, see `closest`."""


def step_exponent_at_zero(form: Format) -> int:
    """A side of zero is looked at from so near, as a power of 2: the square is far below the smallest number."""
    return -1400 if form.precision == FORMATS["float64"].precision else -400


def bits_at_zero(form: Format) -> int:
    """The precision that tells such a side from the point, beside ordinary numbers."""
    return -2 * step_exponent_at_zero(form) + ORDINARY_BITS


def range_of_limits(formula: Formula, points: np.ndarray, targets: Any, form: Format) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and the highest of what is true on all sides of each point; NaN where a side has no finite answer."""
    with precision(bits_at_zero(form)), np.errstate(all="ignore"):
        found = [midpoints(formula, side, targets) for side in points_beside(points, form, ())]
        low, high = np.minimum.reduce(found), np.maximum.reduce(found)
    finite = np.isfinite(low) & np.isfinite(high) & (np.maximum(np.abs(low), np.abs(high)) <= form.largest)
    return np.where(finite, low, np.nan), np.where(finite, high, np.nan)


def step_sizes(points: np.ndarray, form: Format, kinks: Sequence[float]) -> np.ndarray:
    """How far to go aside: further where a kink is no number of the format."""
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
    """The points moved to each side: of each entry, and of all entries together."""
    return shifted_points(points, step_sizes(points, form, kinks))


def shifted_points(points: np.ndarray, steps: np.ndarray) -> list[Ball]:
    """The points moved by these steps, one for each entry: up and down, in all entries at once and in each alone."""
    middle = Ball.exact(points).balls
    found = [Ball(middle + sign * steps) for sign in (1, -1)]
    if points.ndim == 2 and points.shape[1] > 1:
        n = points.shape[1]
        for j in range(n) if n <= ALL_ENTRIES else (0, 1, n - 1):
            unit = np.array([flint.arb(int(k == j)) for k in range(points.shape[1])], dtype=object)
            found += [Ball(middle + sign * steps * unit) for sign in (1, -1)]
        alternating = np.array([flint.arb(1 - 2 * (k % 2)) for k in range(points.shape[1])], dtype=object)
        found += [Ball(middle + sign * steps * alternating) for sign in (1, -1)]
    return found


def midpoints(formula: Formula, side: Ball, targets: Any) -> np.ndarray:
    """The formula's middle there; NaN where it is not finite."""
    found = formula(side) if targets is None else formula(side, targets)
    return found.middle if isinstance(found, Ball) else np.asarray(found, dtype=float)


# What is legitimate near a doubted answer: at a jump all between its sides, elsewhere what a nearby input has
# ------------------------------------------------------------------------------------------------------------


MAX_POINTS = 1500
"""Points whose sides are looked at, the simplest first."""
SLACK_ULPS = 16
ORDINARY_SIZE = 2.0**60
"""Of inputs from its inverse to it, few bits tell the sides from the point."""
SMALLEST_JUMP = 2.0**-64
"""Beside the function's size: what changes less from side to side does not jump."""
NEARLY_ALL = 0.95


def order_by_simplicity(x: np.ndarray) -> np.ndarray:
    """The rows of x in order: those with the fewest significant bits first, then those nearest to 1 in size."""
    rows = np.where(np.isfinite(x), x, 0.0).reshape(len(x), -1)
    mantissa, exponent = np.frexp(rows)
    scaled = np.ldexp(np.abs(mantissa), 53).astype(np.int64)
    bits = np.where(scaled == 0, 0, 53 - np.log2(np.where(scaled == 0, 1, scaled & -scaled)))
    far = np.where(rows == 0, 0, np.abs(exponent - 1))
    return np.lexsort((far.sum(axis=1), (4 * bits + far).sum(axis=1)))


@dataclass
class Sides:
    """What is true around points that were doubted: kept, for every mode asks about the same points.

    low and high are the ends of what is legitimate at a jump, near_low and near_high of what inputs have that are
    within 8 units of the last place; looked says for which points.
    """

    low: np.ndarray
    high: np.ndarray
    near_low: np.ndarray
    near_high: np.ndarray
    jumps: np.ndarray
    looked: np.ndarray

    @classmethod
    def of(cls, shape: tuple[int, ...]) -> Sides:
        """Nothing is known yet."""
        low, high, near_low, near_high = (np.full(shape, x) for x in (0.0, 0.0, np.nan, np.nan))
        return cls(low, high, near_low, near_high, np.zeros(shape, dtype=bool), np.zeros(shape[0], dtype=bool))

    def look(
        self, rows: np.ndarray, formula: Formula, points: np.ndarray, targets: Any, quantity: str, form: Format,
        kinks: Sequence[float], scale: np.ndarray, one: float, near: Any = None, jumps: bool = True,
    ) -> None:  # fmt: skip
        """Look around these points (rows are their places).

        scale is the function's size there, one what an input is at least as large as where it meets a constant.
        near is what inputs nearby have, where it is known; jumps says whether the function may jump there.
        """
        self.looked[rows] = True
        low, high = nearby_range(formula, points, targets, form, one) if near is None else near
        self.near_low[rows], self.near_high[rows] = low, high
        wide = may_jump(formula, points, targets, form, kinks) if jumps else np.zeros(len(points), dtype=bool)
        usual = np.all(
            (np.abs(points) >= 1 / ORDINARY_SIZE) & (np.abs(points) <= ORDINARY_SIZE), axis=tuple(range(1, points.ndim))
        )
        for some, digits in ((wide & usual, ORDINARY_BITS), (wide & ~usual, bits_at_zero(form))):
            if some.any():
                theirs = targets if targets is None else targets[some]
                with precision(digits):
                    self._jumps(rows[some], formula, points[some], theirs, quantity, form, kinks, scale[some])

    def _jumps(
        self, rows: np.ndarray, formula: Formula, points: np.ndarray, targets: Any, quantity: str, form: Format,
        kinks: Sequence[float], scale: np.ndarray,
    ) -> None:  # fmt: skip
        with np.errstate(all="ignore"):
            found = [midpoints(formula, side, targets) for side in points_beside(points, form, kinks)]
            low, high = np.fmin.reduce(found), np.fmax.reduce(found)
            jumps = (high - low) > SLACK_ULPS * ulp(np.fmax(np.abs(low), np.abs(high)), form)
            jumps &= (high - low) > SMALLEST_JUMP * scale.reshape(-1, *[1] * (low.ndim - 1))
        if quantity != "value":
            low, high = np.where(jumps, np.fmin(low, 0), low), np.where(jumps, np.fmax(high, 0), high)
        self.low[rows], self.high[rows], self.jumps[rows] = low, high, jumps

    def inside(self, given: np.ndarray, form: Format) -> np.ndarray:
        """Where an answer lies between what is true on all sides of a jump."""
        return self.jumps & is_between(given, self.low, self.high, form)

    def nearby(self, given: np.ndarray, doubted: np.ndarray, form: Format) -> np.ndarray:
        """Where an answer is that of a nearby input; everywhere, if nearly all that were looked at are."""
        found = is_between(given, self.near_low, self.near_high, form)
        looked = np.broadcast_to(self.looked.reshape(-1, *[1] * (given.ndim - 1)), given.shape) & doubted
        if looked.any() and np.mean(found[looked]) >= NEARLY_ALL:
            found = found | (doubted & ~looked)
        return found


def nearby_range(
    formula: Formula, points: np.ndarray, targets: Any, form: Format, one: float
) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and the highest of what inputs have that are within 8 units of the last place."""
    with precision(ORDINARY_BITS), np.errstate(all="ignore"):
        size = np.maximum(np.abs(points).reshape(len(points), -1).max(axis=1), one)
        steps = np.array([flint.arb(float(FORMULA * form.u * x)) for x in size], dtype=object)
        steps = np.broadcast_to(steps.reshape(-1, *[1] * (points.ndim - 1)), points.shape)
        near = [midpoints(formula, side, targets) for side in shifted_points(points, steps)]
        return np.fmin.reduce(near), np.fmax.reduce(near)


def is_between(given: np.ndarray, low: np.ndarray, high: np.ndarray, form: Format) -> np.ndarray:
    with np.errstate(all="ignore"):
        slack = SLACK_ULPS * ulp(np.fmax(np.abs(low), np.abs(high)), form)
        return np.asarray((given >= low - slack) & (given <= high + slack))


def may_jump(formula: Formula, points: np.ndarray, targets: Any, form: Format, kinks: Sequence[float]) -> np.ndarray:
    """Where one ball around the point and its sides is not mapped to a narrow one."""
    with precision(ORDINARY_BITS), np.errstate(all="ignore"):
        step = step_sizes(points, form, kinks)
        around = np.frompyfunc(lambda x, d: (x - d).union(x + d), 2, 1)(Ball.exact(points).balls, step)
        found = formula(Ball(around)) if targets is None else formula(Ball(around), targets)
        if not isinstance(found, Ball):
            return np.zeros(len(points), dtype=bool)
        wide = ~(found.radius <= ulp(found.middle, form))
    return np.broadcast_to(wide.reshape(len(wide), -1).any(axis=1), (len(points),))
