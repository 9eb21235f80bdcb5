"""The spread of positive numbers over many decades, in one pass and in memory that does not grow with their count."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = ["PER_DECADE", "Histogram", "Spread"]

PER_DECADE = 256
"""Fine bins of one factor of ten: a quantile is off by a factor of at most 10^(1/512)."""
BARS = 4
"""Bars of a histogram in one decade."""


@dataclass(frozen=True)
class Histogram:
    """bars[k] numbers lie in [10^(k/4), 10^((k+1)/4)); zeros are exactly 0, infinite are not finite."""

    bars: dict[int, int]
    zeros: int
    infinite: int

    @property
    def total(self) -> int:
        return sum(self.bars.values()) + self.zeros + self.infinite


@dataclass
class Spread:
    """How numbers from 0 to infinity are spread; NaN counts as infinity."""

    fine: Counter[int] = field(default_factory=Counter)
    zeros: int = 0
    infinite: int = 0
    least: float = math.inf
    most: float = 0.0

    def add(self, x: float) -> None:
        if not x < math.inf:
            self.infinite += 1
            return
        if x <= 0:
            self.zeros += 1
        else:
            self.fine[math.floor(math.log10(x) * PER_DECADE)] += 1
        self.least, self.most = min(self.least, x), max(self.most, x)

    @property
    def total(self) -> int:
        return self.zeros + self.infinite + sum(self.fine.values())

    def quantile(self, q: float) -> float:
        """The smallest number that a share q of all does not exceed, to a factor of 10^(1/512); NaN for no numbers."""
        rank = max(math.ceil(q * self.total), 1)
        seen = 0
        for value, count in self._ascending():
            seen += count
            if seen >= rank:
                return value
        return math.nan

    def _ascending(self) -> Iterator[tuple[float, int]]:
        yield 0.0, self.zeros
        for place, count in sorted(self.fine.items()):
            middle = 10 ** ((place + 0.5) / PER_DECADE) if place < 308 * PER_DECADE else self.most
            yield min(max(middle, self.least), self.most), count
        yield math.inf, self.infinite

    def histogram(self) -> Histogram:
        bars: Counter[int] = Counter()
        for place, count in self.fine.items():
            bars[place // (PER_DECADE // BARS)] += count
        return Histogram(dict(sorted(bars.items())), self.zeros, self.infinite)
