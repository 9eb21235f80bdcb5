"""Scales for numbers that are drawn upwards: linear, or logarithmic where they span more than a factor of ten."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from gradagree.reporting.axes import power

__all__ = ["Logarithmic", "Scale", "nice_step", "scale_for"]

MOST_TICKS = 5
ONES, FEW_DECADES = (1, 2, 5), 2
SPAN = 1.0
"""From so many decades on, a logarithm helps."""
MARGIN, ZERO = 0.04, 0.08
"""Room at both ends of a logarithmic scale, and below it for 0, as shares of it."""
SMALLEST, LARGEST = -307, 308
"""Powers of ten that float64 holds."""
MOST = sys.float_info.max
SAME = 1e-5
"""Numbers that differ by less than this share are drawn as equal."""


@dataclass(frozen=True)
class Scale:
    """A linear scale from low to high."""

    low: float
    high: float

    def at(self, x: float) -> float:
        """Where x lies, from 0 at the low end to 1 at the high end."""
        size = self.high / 2 - self.low / 2
        return min(max((x / 2 - self.low / 2) / size, 0.0), 1.0) if size > 0 else 0.5

    def ticks(self) -> list[tuple[float, str]]:
        """Numbers to stand at the axis, and how they are written."""
        step = nice_step(self.high / MOST_TICKS - self.low / MOST_TICKS)
        if not step:
            return [(x, f"{x:.3g}") for x in dict.fromkeys((self.low, self.high))]
        places = range(math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9) + 1)
        return [(place * step, f"{place * step:.6g}") for place in places]


@dataclass(frozen=True)
class Logarithmic(Scale):
    """A logarithmic scale from 10^low to 10^high; 0 lies at its end, below all others."""

    zeros: bool = False

    def at(self, x: float) -> float:
        if x <= 0:
            return 0.0
        floor = ZERO * self.zeros
        return floor + (1 - floor) * super().at(math.log10(x))

    def ticks(self) -> list[tuple[float, str]]:
        low, high = max(math.ceil(self.low), SMALLEST), min(math.floor(self.high), LARGEST)
        step = math.ceil(max(high - low, 1) / MOST_TICKS)
        found = [(10.0**decade, power(decade)) for decade in range(low, high + 1) if decade % step == 0]
        if high - low < FEW_DECADES:
            numbers = [one * 10.0**decade for decade in range(max(low - 1, SMALLEST), high + 1) for one in ONES]
            found = [(x, f"{x:g}") for x in numbers if self.low <= math.log10(x) <= self.high]
        return [(0.0, "0")] * self.zeros + found


def nice_step(least: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is at least so large; 0 where there is none."""
    if not 10.0**SMALLEST <= least < 10.0**LARGEST:
        return 0.0
    size = 10.0 ** math.floor(math.log10(least))
    return next((one * size for one in (*ONES, 10) if one * size >= least * (1 - 1e-9)), 0.0)


def scale_for(numbers: Iterable[float], from_zero: bool = False) -> Scale:
    """The scale that holds all finite numbers, its ends at ticks where it is linear."""
    finite = [x for x in numbers if math.isfinite(x)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    exponents = [math.log10(x) for x in finite if x > 0]
    if not from_zero and low >= 0 and exponents and max(exponents) - min(exponents) >= SPAN:
        margin = MARGIN * (max(exponents) - min(exponents))
        return Logarithmic(min(exponents) - margin, max(exponents) + margin, zeros=low == 0)
    return _linear(min(low, 0.0) if from_zero else low, high, from_zero)


def _linear(low: float, high: float, from_zero: bool) -> Scale:
    step = nice_step(high / MOST_TICKS - low / MOST_TICKS)
    if step > SAME * max(abs(low), abs(high)):
        low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    else:
        margin = abs(high) / 2 or 1.0
        low, high = low if from_zero else low - margin, high + margin
    return Scale(max(low, -MOST), min(high, MOST))
