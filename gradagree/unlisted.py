"""A search for kinks that a function does not list: points where the slope of its value jumps.

The slope is looked at in the ends of many small intervals, in ball arithmetic. An interval over which it changes as in
a jump is cut again and again, and the part that keeps the larger change is kept. The change of a smooth slope vanishes
with the interval; that of a jump stays, however short the interval is. So a smooth function is never accused, unless
its slope turns within 2^-1000 of an interval.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import flint
import numpy as np

from gradagree.arithmetics.ball import Ball, lift, precision

__all__ = ["Jump", "jumps", "side_by_side"]

BITS = 256
LEVELS = (24, 64, 512, 1024)
"""So many times an interval is cut before its change is compared with that of the level before."""
MOST_BITS = 2600
"""Enough for the ends of the shortest interval, and for their slopes."""
OFF_CENTRE = flint.arb("0.4375")
"""Where an interval is cut: not in its middle, which may be a kink itself."""

Slope = Callable[[Ball], Any]


@dataclass(frozen=True)
class Jump:
    """An interval, as short as float64 can tell and far shorter, and the slopes at its ends."""

    start: flint.arb
    end: flint.arb
    left: flint.arb
    right: flint.arb

    @property
    def between(self) -> Ball:
        """A ball that holds the whole interval, and the kink."""
        return Ball(self.start.union(self.end))


def side_by_side(ends: np.ndarray, listed: tuple[float, ...] = ()) -> np.ndarray:
    """(starts, ends) of the intervals between points, without the kinks listed and 2^-40 to both sides of them."""
    for kink in listed:
        margin = 2.0**-40 * max(abs(kink), 1.0)
        ends = np.concatenate([ends[np.abs(ends - kink) > margin], [kink - margin, kink + margin]])
    ends = np.unique(ends)
    pairs = np.stack([ends[:-1], ends[1:]])
    return pairs[:, ~np.any([(pairs[0] < kink) & (kink < pairs[1]) for kink in (*listed, np.inf)], axis=0)]


def jumps(slope: Slope, intervals: np.ndarray) -> Iterator[Jump]:
    """The jumps of a slope in (starts, ends) of intervals; at the most one in each."""
    with precision(BITS), np.errstate(all="ignore"):
        cuts = [Ball.exact(intervals[0] + f * (intervals[1] - intervals[0])) for f in (0.0, 0.4375, 1.0)]
        slopes = [lift(slope(x)).balls for x in cuts]
    for k in range(intervals.shape[1]):
        left, middle, right = (s[k] for s in slopes)
        if suspicious(left, middle, right):
            found = narrowed(slope, *(cut.balls[k] for cut in cuts[::2]), left, right)
            if found is not None:
                yield found


def suspicious(left: flint.arb, middle: flint.arb, right: flint.arb) -> bool:
    """Whether most of the change is in one part of the interval."""
    if not (left.is_finite() and middle.is_finite() and right.is_finite()):
        return False
    parts = abs(middle - left), abs(right - middle)
    return bool(max(parts[0] / OFF_CENTRE, parts[1] / (1 - OFF_CENTRE)) > (parts[0] + parts[1]) * flint.arb("1.25"))


def narrowed(slope: Slope, start: flint.arb, end: flint.arb, left: flint.arb, right: flint.arb) -> Jump | None:
    """The jump between two points, or None where the change of the slope vanishes, or grows, with their distance."""
    before = None
    with precision(MOST_BITS):
        for level in range(1, LEVELS[-1] + 1):
            cut = (start + (end - start) * OFF_CENTRE).mid()
            at = lift(slope(Ball(np.array([cut], dtype=object)))).balls[0]
            if not at.is_finite():
                return None
            if abs(at - left) >= abs(right - at):
                end, right = cut, at
            else:
                start, left = cut, at
            if level in LEVELS:
                change = abs(right - left)
                if not change > 0 or (before is not None and not before / 2 < change < before * 2):
                    return None
                before = change
    return Jump(start, end, left, right)
