"""A logarithmic axis, and the figure around it, as SVG. Colours come from the page's style."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

__all__ = ["AXIS", "LEFT", "RIGHT", "TOP", "WIDTH", "Axis", "axis_for", "figure", "frame"]

WIDTH, LEFT, RIGHT = 440, 72, 12
TOP, AXIS = 22, 34
SIDE = 30
"""Room beside the axis for what no logarithm places: exactly 0, and not finite."""
LOWEST, HIGHEST = -18, 6
MOST_TICKS = 6
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Axis:
    """Powers of ten from low to high across the figure, with room for 0 and for what is not finite."""

    low: int
    high: int
    zeros: bool = False
    infinite: bool = False

    def at(self, exponent: float) -> float:
        """Where 10^exponent lies, from the left; the nearer end for what is beyond an end."""
        start, end = LEFT + SIDE * self.zeros, WIDTH - RIGHT - SIDE * self.infinite
        place = (min(max(exponent, self.low), self.high) - self.low) / (self.high - self.low)
        return round(start + place * (end - start), 1)

    def place(self, x: float) -> float:
        """Where the number x lies, 0 and infinity in the room beside the axis."""
        if x == 0:
            return LEFT + 9
        return self.at(math.log10(x)) if math.isfinite(x) else WIDTH - RIGHT - 9

    def ticks(self) -> list[int]:
        step = -(-(self.high - self.low) // MOST_TICKS)
        return [decade for decade in range(self.low, self.high + 1) if decade % step == 0]


def axis_for(exponents: Sequence[float], zeros: bool, infinite: bool) -> Axis:
    """Whole decades around the exponents, 10^-1 to 10 at least, 10^-18 to 10^6 at most."""
    low = max(math.floor(min([*exponents, -1.0])), LOWEST)
    high = min(math.floor(max([*exponents, 0.0])) + 1, HIGHEST)
    return Axis(low, high, zeros, infinite)


def power(decade: int) -> str:
    """10⁻³, or 1."""
    return "10" + str(decade).translate(SUPERSCRIPTS) if decade else "1"


def frame(axis: Axis, height: float, bound: str) -> Markup:
    """Decades below, faint lines up, the bound at 1 with its name on top."""
    floor, one = height - AXIS + 6, axis.at(0)
    line = Markup('<line class="{}" x1="{x}" y1="{}" x2="{x}" y2="{}"/>')
    text = Markup('<text class="tick" x="{}" y="{}" text-anchor="middle">{}</text>')
    parts = [line.format("grid", TOP, floor, x=axis.at(decade)) for decade in axis.ticks()]
    parts += [text.format(axis.at(decade), floor + 16, power(decade)) for decade in axis.ticks()]
    parts += [text.format(LEFT + 9, floor + 16, "0")] * axis.zeros
    parts += [text.format(WIDTH - RIGHT - 9, floor + 16, "∞")] * axis.infinite
    parts.append(line.format("bound", TOP - 4, floor, x=one))
    name = Markup('<text class="boundname" x="{}" y="{}" text-anchor="{}">{}</text>')
    parts.append(name.format(one, TOP - 9, "end" if one > WIDTH * 0.7 else "middle", bound))
    return Markup("").join(parts)


def figure(title: str, words: str, height: float, inside: Sequence[Markup]) -> Markup:
    """The svg element; title and words are read out in its place."""
    whole = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>')
    return whole.format(WIDTH, height, f"{title}. {words}", Markup("").join(inside))
