"""Where boxes within boxes and their units lie: frames from the outermost box to the error box."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

__all__ = ["RADIUS", "Frame", "chosen", "frames"]

UNIT, COLUMN, STRIP = 32, 124, 26
"""From unit to unit, from border to border, and the room for a line of text at a box's top and bottom."""
LEFT, SIDE, ERROR = 34, 12, 170
"""Room left of the inputs, between right borders, and the width of the error box."""
RADIUS = 12.5


@dataclass(frozen=True)
class Frame:
    """One box: its current input enters through the left border, where its units lie."""

    x: float
    y: float
    width: float
    height: float
    units: tuple[int, ...]

    def place(self, k: int) -> float:
        """Where the k-th of the units drawn lies, from the top."""
        return self.y + self.height / 2 + UNIT * (k - (len(self.units) - 1) / 2)


def frames(units: Sequence[tuple[int, ...]]) -> list[Frame]:
    """Frames that hold these units, each within the one before it, about a common middle line."""
    height, heights = 0.0, []
    for drawn in reversed(units):
        height = max(height, UNIT * len(drawn)) + 2 * STRIP
        heights.append(height)
    heights.reverse()
    found = []
    for k, drawn in enumerate(units):
        inner = len(units) - 1 - k
        width = COLUMN * inner + ERROR + SIDE * inner
        found.append(Frame(LEFT + COLUMN * k, 1 + (heights[0] - heights[k]) / 2, width, heights[k], drawn))
    return found


def chosen(numbers: Sequence[float], most: int, always: Collection[int] = ()) -> tuple[int, ...]:
    """At most so many places, in their order: those given, then those of the largest numbers; NaN is the largest."""

    def rank(place: int) -> tuple[bool, float]:
        x = abs(numbers[place])
        return place not in always, -(math.inf if math.isnan(x) else x)

    return tuple(sorted(sorted(range(len(numbers)), key=rank)[:most]))
