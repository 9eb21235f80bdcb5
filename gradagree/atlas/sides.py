"""Where slopes or values jump: what is legitimate there, from balls around both sides of the point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import flint
import numpy as np

from gradagree.arithmetics.ball import Ball, precision
from gradagree.arithmetics.model import Format
from gradagree.atlas.numbers import ulp
from gradagree.atlas.proved import Formula

__all__ = ["MOST", "Sides", "limits", "simplest"]

FEW_BITS, BITS = 320, 3072
CLOSE, CLOSEST = -128, -1400
"""A side is looked at from 2^-128 of the input's size away, from 2^-1400 at zero."""
MOST = 1500
"""Points whose sides are looked at, the simplest first."""
WITHIN = 16


def simplest(x: np.ndarray) -> np.ndarray:
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

    low and high are the ends of what is legitimate, jumps where the sides differ; looked says for which points.
    """

    low: np.ndarray
    high: np.ndarray
    jumps: np.ndarray
    looked: np.ndarray

    @classmethod
    def of(cls, shape: tuple[int, ...]) -> Sides:
        """Nothing is known yet."""
        return cls(np.zeros(shape), np.zeros(shape), np.zeros(shape, dtype=bool), np.zeros(shape[0], dtype=bool))

    def look(
        self, rows: np.ndarray, formula: Formula, points: np.ndarray, targets: Any, quantity: str, form: Format,
        kinks: Sequence[float],
    ) -> None:  # fmt: skip
        """Look around these points (rows are their places): first with one ball around each, then on all sides."""
        self.looked[rows] = True
        wide = doubtful(formula, points, targets, form, kinks)
        if not wide.any():
            return
        rows, points = rows[wide], points[wide]
        targets = targets if targets is None else targets[wide]
        with precision(BITS), np.errstate(all="ignore"):
            found = [middles(formula, side, targets) for side in sides(points, form, kinks)]
            low, high = np.fmin.reduce(found), np.fmax.reduce(found)
            jumps = (high - low) > WITHIN * ulp(np.fmax(np.abs(low), np.abs(high)), form)
        if quantity != "value":
            low, high = np.where(jumps, np.fmin(low, 0), low), np.where(jumps, np.fmax(high, 0), high)
        self.low[rows], self.high[rows], self.jumps[rows] = low, high, jumps

    def inside(self, given: np.ndarray, form: Format) -> np.ndarray:
        """Where an answer lies between what is true on all sides of a jump."""
        with np.errstate(all="ignore"):
            slack = WITHIN * ulp(np.fmax(np.abs(self.low), np.abs(self.high)), form)
            return np.asarray(self.jumps & (given >= self.low - slack) & (given <= self.high + slack))


def limits(formula: Formula, points: np.ndarray, targets: Any, form: Format) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and the highest of what is true on all sides of each point; NaN where a side has no finite answer."""
    with precision(BITS), np.errstate(all="ignore"):
        found = [middles(formula, side, targets) for side in sides(points, form, ())]
        low, high = np.minimum.reduce(found), np.maximum.reduce(found)
    finite = np.isfinite(low) & np.isfinite(high) & (np.maximum(np.abs(low), np.abs(high)) <= form.largest)
    return np.where(finite, low, np.nan), np.where(finite, high, np.nan)


def steps_of(points: np.ndarray, form: Format, kinks: Sequence[float]) -> np.ndarray:
    """How far to go aside: further where a kink is no number of the format."""
    near = np.zeros(points.shape, dtype=bool)
    for kink in kinks:
        near |= np.abs(points - kink) <= ulp(np.asarray(float(kink)), form)
    _, exponent = np.frexp(points)
    powers = np.where(points == 0, CLOSEST, exponent + CLOSE)
    small = np.array([flint.arb(2) ** int(e) for e in powers.ravel()], dtype=object)
    wide = np.array([flint.arb(float(2 * s)) for s in ulp(points, form).ravel()], dtype=object)
    return np.asarray(np.where(near.ravel(), wide, small).reshape(points.shape))


def doubtful(formula: Formula, points: np.ndarray, targets: Any, form: Format, kinks: Sequence[float]) -> np.ndarray:
    """Where one ball around the point and its sides is not mapped to a narrow one."""
    with precision(FEW_BITS), np.errstate(all="ignore"):
        step = steps_of(points, form, kinks)
        around = np.frompyfunc(lambda x, d: (x - d).union(x + d), 2, 1)(Ball.exact(points).balls, step)
        found = formula(Ball(around)) if targets is None else formula(Ball(around), targets)
        if not isinstance(found, Ball):
            return np.zeros(len(points), dtype=bool)
        wide = ~(found.radius <= ulp(found.middle, form))
    return np.broadcast_to(wide.reshape(len(wide), -1).any(axis=1), (len(points),))


def sides(points: np.ndarray, form: Format, kinks: Sequence[float]) -> list[Ball]:
    """The points moved to each side: of each entry, and of all entries together."""
    steps = steps_of(points, form, kinks)
    middle = Ball.exact(points).balls
    found = [Ball(middle + sign * steps) for sign in (1, -1)]
    if points.ndim == 2 and points.shape[1] > 1:
        for j in range(points.shape[1]):
            unit = np.array([flint.arb(int(k == j)) for k in range(points.shape[1])], dtype=object)
            found += [Ball(middle + sign * steps * unit) for sign in (1, -1)]
        alternating = np.array([flint.arb(1 - 2 * (k % 2)) for k in range(points.shape[1])], dtype=object)
        found += [Ball(middle + sign * steps * alternating) for sign in (1, -1)]
    return found


def middles(formula: Formula, side: Ball, targets: Any) -> np.ndarray:
    """The formula's middle there; NaN where it is not finite."""
    found = formula(side) if targets is None else formula(side, targets)
    return found.middle if isinstance(found, Ball) else np.asarray(found, dtype=float)
