"""Balls read in a format: both ends rounded to it, or the middle of a narrow ball."""

from __future__ import annotations

import math
from typing import Any

import flint
import numpy as np

from gradagree.arithmetics.ball import Ball, is_narrow
from gradagree.arithmetics.model import FORMATS, Format
from gradagree.atlas.numbers import rounded_to

ENOUGH = 100
"""Bits of a narrow ball."""


def ends_of(found: Any, count: int, form: Format) -> tuple[list[float], list[float]]:
    """Both ends of each ball, rounded to the format; NaN and 0 where there are none."""
    if not isinstance(found, Ball):
        plain = rounded_to(np.broadcast_to(np.asarray(found, dtype=float), (count,)), form)
        return list(plain), list(plain)
    balls = np.broadcast_to(found.balls, (count,))
    return [_end(ball, form, "lower") for ball in balls], [_end(ball, form, "upper") for ball in balls]


def _end(ball: Any, form: Format, side: str) -> float:
    if ball.is_nan() or not ball.is_finite():
        return float("nan")
    end = getattr(ball, side)()
    if abs(end) > flint.arb(form.largest) * 2:
        return float("inf") if end > 0 else float("-inf")
    if abs(end) < flint.arb(form.smallest) / 2:
        return 0.0
    if form.precision == FORMATS["float64"].precision:
        return float(end)
    return float(rounded_to(np.asarray(_nudged(end, math.inf if side == "upper" else -math.inf)), form))


def _nudged(end: Any, far: float) -> float:
    """A float64 on the far side of the end."""
    x = float(end)
    return x if flint.arb(x) == end else math.nextafter(x, far)


def read(balls: np.ndarray, form: Format) -> tuple[np.ndarray, ...]:
    """high, low, nearest, and 1 where a ball is narrow enough, else 0."""
    wide = form.precision == FORMATS["float64"].precision
    told = READ(balls, not wide)
    lower, upper, middle, rest = (np.asarray(part, dtype=np.float64) for part in told[:4])
    lower, upper = rounded_to(lower, form), rounded_to(upper, form)
    same = lower == upper
    known = same | np.asarray(told[4], dtype=bool)
    nearest = np.where(same, upper, np.where(np.isfinite(middle), middle, upper))
    finite = known & np.isfinite(np.where(same, upper, middle))
    return np.where(finite, middle, 0.0), np.where(finite, rest, 0.0), nearest, known.astype(np.int8)


def _read(ball: Any, outward: bool) -> tuple[float, float, float, float, bool]:
    """Both ends as float64 (on their far sides, if wanted), the middle, what float64 loses of it; if it is narrow."""
    if not ball.is_finite():
        return math.nan, math.nan, math.nan, 0.0, False
    lower, upper, high = ball.lower(), ball.upper(), float(ball.mid())
    ends = [_nudged(lower, -math.inf), _nudged(upper, math.inf)] if outward else [float(lower), float(upper)]
    narrow = is_narrow(ball, ENOUGH)
    return ends[0], ends[1], high, float((ball - high).mid()) if math.isfinite(high) else 0.0, narrow


READ = np.frompyfunc(_read, 2, 5)
