"""The slopes that dual numbers have on the way to an answer, and the roundings that another program may take there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np

from gradagree.arithmetics.rounded import Rounded


class OnTheWay:
    """The slopes of all dual numbers that are made; `more`: how often more the slopes of functions are rounded."""

    now: ClassVar[OnTheWay | None] = None

    def __init__(self, more: float, merges: bool) -> None:
        self.more, self.merges = more, merges
        self.all: list[Any] = []
        self._functions: list[tuple[Rounded, Rounded]] = []

    def widened(self, slope: Any) -> Any:
        """A function's slope with the roundings more, where it is rounded at all."""
        if not self.more or not isinstance(slope, Rounded):
            return slope
        size = np.where(slope.radius > 0, np.abs(slope.value), 0.0)
        wider = slope.widened(self.more * slope.model.u * size)
        self._functions.append((wider, slope))
        return wider

    def merged(self, slope: Any, x: Any, y: Any) -> Any:
        """A sum of two slopes, x and y, with what a sum of more that begins with the larger of them rounds."""
        if not self.merges or not isinstance(slope, Rounded):
            return slope
        smaller = np.minimum(*(np.abs(getattr(part, "value", part)) for part in (x, y)))
        return slope.widened(slope.model.u * smaller) if smaller.any() else slope

    def alone(self, slope: Any) -> Any:
        """The slope without the roundings more, if it is a function's own."""
        return next((plain for wider, plain in self._functions if wider is slope), slope)


@contextmanager
def slopes_on_the_way(more: float = 0, merges: bool = False) -> Iterator[OnTheWay]:
    """How fast each intermediate changes with the variable.

    Where a function's slope is rounded, it is rounded so many times more, for a framework may take it in other steps;
    with merges, where two paths meet, what comes back along others may have been added to the greater one first.
    """
    before = OnTheWay.now
    OnTheWay.now = seen = OnTheWay(more, merges)
    try:
        yield seen
    finally:
        OnTheWay.now = before


def of_function(slope: Any) -> Any:
    """A slope that a library function's rule gives."""
    return slope if OnTheWay.now is None else OnTheWay.now.widened(slope)


def merged(slope: Any, x: Any, y: Any) -> Any:
    """A sum of two slopes."""
    return slope if OnTheWay.now is None else OnTheWay.now.merged(slope, x, y)
