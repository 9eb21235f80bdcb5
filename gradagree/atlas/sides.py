"""Where slopes or values jump: what is legitimate there, from balls around both sides of the point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flint
import numpy as np

from gradagree.arithmetics.ball import Ball, precision
from gradagree.arithmetics.model import Format
from gradagree.atlas.classes import Code
from gradagree.atlas.numbers import ulp
from gradagree.atlas.proved import Formula

__all__ = ["MOST", "forgiven", "simplest"]

BITS = 4096
CLOSE, CLOSEST = -256, -1400
"""A side is looked at from 2^-256 of the input's size away, from 2^-1400 at zero."""
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


def forgiven(
    formula: Formula, points: np.ndarray, targets: Any, given: np.ndarray, quantity: str, form: Format,
    kinks: Sequence[float] = (),
) -> tuple[np.ndarray, np.ndarray]:
    """For each entry: whether the answer lies between what is true on all sides, and whether the sides differ."""
    with precision(BITS), np.errstate(all="ignore"):
        found = [middles(formula, side, targets) for side in sides(points, form, kinks)]
    low, high = np.fmin.reduce(found), np.fmax.reduce(found)
    with np.errstate(all="ignore"):
        size = np.fmax(np.abs(low), np.abs(high))
        jumps = (high - low) > WITHIN * ulp(size, form)
        if quantity != "value":
            low, high = np.where(jumps, np.fmin(low, 0), low), np.where(jumps, np.fmax(high, 0), high)
        slack = WITHIN * ulp(size, form)
        inside = (given >= low - slack) & (given <= high + slack)
    return jumps & inside, jumps


def sides(points: np.ndarray, form: Format, kinks: Sequence[float]) -> list[Ball]:
    """The points moved to each side: of each entry, and of all entries together."""
    near = np.zeros(points.shape, dtype=bool)
    for kink in kinks:
        near |= np.abs(points - kink) <= ulp(np.asarray(float(kink)), form)
    _, exponent = np.frexp(points)
    step = np.array([flint.arb(2) ** int(e) for e in np.where(points == 0, CLOSEST, exponent + CLOSE).ravel()], dtype=object)
    wide = np.array([flint.arb(float(2 * s)) for s in ulp(points, form).ravel()], dtype=object)
    steps = np.where(near.ravel(), wide, step).reshape(points.shape)
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
