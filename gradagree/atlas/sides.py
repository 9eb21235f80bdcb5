"""What is true on the sides of a point: near it in every direction, by balls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flint
import numpy as np

from gradagree.arithmetics.ball import Ball, precision
from gradagree.arithmetics.model import FORMATS, Format
from gradagree.atlas.numbers import rounded_to, ulp
from gradagree.atlas.proved import Formula

FEW_BITS = 320
ALL_ENTRIES = 16
"""Of longer rows only the first two entries and the last are moved alone."""
CLOSE = -128
"""A side is looked at from 2^-128 of the input's size away (of 1, if it is larger); for zero, see `closest`."""


def closest(form: Format) -> int:
    """A side of zero is looked at from so near, as a power of 2: the square is far below the smallest number."""
    return -1400 if form.precision == FORMATS["float64"].precision else -400


def bits(form: Format) -> int:
    """The precision that tells such a side from the point, beside ordinary numbers."""
    return -2 * closest(form) + FEW_BITS


def limits(formula: Formula, points: np.ndarray, targets: Any, form: Format) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and the highest of what is true on all sides of each point; NaN where a side has no finite answer."""
    with precision(bits(form)), np.errstate(all="ignore"):
        found = [middles(formula, side, targets) for side in sides(points, form, ())]
        low, high = np.minimum.reduce(found), np.maximum.reduce(found)
    finite = np.isfinite(low) & np.isfinite(high) & (np.maximum(np.abs(low), np.abs(high)) <= form.largest)
    return np.where(finite, low, np.nan), np.where(finite, high, np.nan)


def steps_of(points: np.ndarray, form: Format, kinks: Sequence[float]) -> np.ndarray:
    """How far to go aside: further where a kink is no number of the format."""
    near = np.zeros(points.shape, dtype=bool)
    for kink in kinks:
        if float(rounded_to(np.asarray(float(kink)), form)) == kink:
            continue
        near |= np.abs(points - kink) <= ulp(np.asarray(float(kink)), form)
    _, exponent = np.frexp(points)
    powers = np.where(points == 0, closest(form), np.minimum(exponent, 0) + CLOSE)
    small = np.array([flint.arb(2) ** int(e) for e in powers.ravel()], dtype=object)
    wide = np.array([flint.arb(float(2 * s)) for s in ulp(points, form).ravel()], dtype=object)
    return np.asarray(np.where(near.ravel(), wide, small).reshape(points.shape))


def sides(points: np.ndarray, form: Format, kinks: Sequence[float]) -> list[Ball]:
    """The points moved to each side: of each entry, and of all entries together."""
    return moved_by(points, steps_of(points, form, kinks))


def moved_by(points: np.ndarray, steps: np.ndarray) -> list[Ball]:
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


def middles(formula: Formula, side: Ball, targets: Any) -> np.ndarray:
    """The formula's middle there; NaN where it is not finite."""
    found = formula(side) if targets is None else formula(side, targets)
    return found.middle if isinstance(found, Ball) else np.asarray(found, dtype=float)
