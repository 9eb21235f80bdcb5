"""A search for kinks that a function does not list: points where the slope of its value jumps.

The slope is looked at in the ends of many small intervals, in ball arithmetic. An interval over which it changes as in
a jump is cut again and again, and the part that keeps the larger change is kept. The change of a smooth slope vanishes
with the interval; that of a jump stays, however short the interval is. So a smooth function is never accused, unless
its slope turns within 2^-1000 of an interval.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import flint
import numpy as np

from gradagree.arithmetics.ball import Ball, lift, precision

BITS = 256
LEVELS = (24, 64, 512, 1024)
"""So many times an interval is cut before its change is compared with that of the level before."""
LEAST = flint.arb(2) ** -60
"""A smaller change than this part of the largest slope is none in float64."""
OFF_CENTRE = flint.arb("0.4375")
"""Where an interval is cut: not in its middle, which may be a kink itself."""

Slope = Callable[[Ball], Any]
Listed = Callable[[Ball], bool]


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

    @property
    def place(self) -> float:
        """The number of fewest decimals in the interval, or the one next to it."""
        near, whole = float(self.start.mid()), self.start.union(self.end)
        short = (float(f"{near:.{decimals}f}") for decimals in range(18))
        return next((x for x in short if whole.contains(x)), near) + 0.0


def side_by_side(ends: np.ndarray, listed: tuple[float, ...] = ()) -> np.ndarray:
    """(starts, ends) of the intervals between points, without the kinks listed and 2^-40 to both sides of them."""
    for kink in listed:
        margin = 2.0**-40 * max(abs(kink), 1.0)
        ends = np.concatenate([ends[np.abs(ends - kink) > margin], [kink - margin, kink + margin]])
    ends = np.unique(ends)
    pairs = np.stack([ends[:-1], ends[1:]])
    return pairs[:, ~np.any([(pairs[0] < kink) & (kink < pairs[1]) for kink in (*listed, np.inf)], axis=0)]


def jumps(slope: Slope, intervals: np.ndarray, listed: Listed = lambda between: False) -> Iterator[Jump]:
    """The jumps of a slope in (starts, ends) of intervals, at the most one in each, unless its interval is listed."""
    starts, lengths = intervals[0], intervals[1] - intervals[0]
    with precision(BITS), np.errstate(all="ignore"):
        cuts = [Ball.exact(starts + part * lengths) for part in (0.0, float(OFF_CENTRE), 1.0)]
        slopes = [lift(slope(x)).balls for x in cuts]
        size = max((abs(x).upper() for part in slopes for x in part if x.is_finite()), default=flint.arb(0))
        found = [k for k in range(len(starts)) if suspicious([part[k] for part in slopes], size * LEAST)]
    for k in found:
        jump = narrowed(slope, cuts[0].balls[k], cuts[2].balls[k], slopes[0][k], slopes[2][k], listed)
        if jump is not None:
            yield jump


def suspicious(slopes: Sequence[flint.arb], least: flint.arb) -> bool:
    """Whether most of the change, which is not too small to be seen, is in one part of the interval."""
    left, middle, right = slopes
    parts = abs(middle - left), abs(right - middle)
    if not all(part.is_finite() and part.rad() < least for part in parts) or parts[0] + parts[1] < least:
        return False
    return bool(max(parts[0] / OFF_CENTRE, parts[1] / (1 - OFF_CENTRE)) > (parts[0] + parts[1]) * flint.arb("1.25"))


def narrowed(
    slope: Slope, start: flint.arb, end: flint.arb, left: flint.arb, right: flint.arb, listed: Listed
) -> Jump | None:
    """The jump between two points, or None where the change of the slope vanishes, or grows, with their distance."""
    before = None
    for level in range(1, LEVELS[-1] + 1):
        last = next(last for last in LEVELS if level <= last)
        with precision(last + 64):
            cut = (start + (end - start) * OFF_CENTRE).mid()
        with precision(BITS + 2 * last):
            at = lift(slope(Ball(np.array([cut], dtype=object)))).balls[0]
            if not at.is_finite():
                return None
            if abs(at - left) >= abs(right - at):
                end, right = cut, at
            else:
                start, left = cut, at
            change = abs(right - left)
            if level in LEVELS:
                if not change > 0 or (before is not None and not before / 2 < change < before * 2):
                    return None
                if level == LEVELS[1] and listed(Ball(start.union(end))):
                    return None
                before = change
    return Jump(start, end, left, right)
