"""Records intermediate tangents of dual arithmetic, and the extra roundings that another program may make there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np

from gradagree.arithmetics.rounded import Rounded


class OnTheWay:
    """The tangents of all dual numbers created; `more` counts the extra roundings of each function's derivative."""

    now: ClassVar[OnTheWay | None] = None

    def __init__(self, more: float, merges: bool) -> None:
        self.more, self.merges = more, merges
        self.all: list[Any] = []
        self._functions: list[tuple[Rounded, Rounded]] = []

    def widened(self, slope: Any) -> Any:
        """The derivative of a function with its extra roundings, where it is rounded at all."""
        if not self.more or not isinstance(slope, Rounded):
            return slope
        size = np.where(slope.radius > 0, np.abs(slope.value), 0.0)
        wider = slope.widened(self.more * slope.model.u * size)
        self._functions.append((wider, slope))
        return wider

    def merged(self, slope: Any, x: Any, y: Any) -> Any:
        """A sum of two tangents, with the rounding of a sum that adds further terms to the larger one first."""
        if not self.merges or not isinstance(slope, Rounded):
            return slope
        smaller = np.minimum(*(np.abs(getattr(part, "value", part)) for part in (x, y)))
        return slope.widened(slope.model.u * smaller) if smaller.any() else slope

    def alone(self, slope: Any) -> Any:
        """The derivative of a function without its extra roundings; other tangents unchanged."""
        return next((plain for wider, plain in self._functions if wider is slope), slope)


@contextmanager
def slopes_on_the_way(more: float = 0, merges: bool = False) -> Iterator[OnTheWay]:
    """Record the tangent of every intermediate value.

    `more`: extra roundings of each function's derivative, which a framework may compute in other steps. `merges`: where
    tangents are added, reverse mode may have added further terms to the larger one first.
    """
    before = OnTheWay.now
    OnTheWay.now = seen = OnTheWay(more, merges)
    try:
        yield seen
    finally:
        OnTheWay.now = before


def of_function(slope: Any) -> Any:
    """Mark a tangent as the derivative of a library function."""
    return slope if OnTheWay.now is None else OnTheWay.now.widened(slope)


def merged(slope: Any, x: Any, y: Any) -> Any:
    """Mark a tangent as the sum of two."""
    return slope if OnTheWay.now is None else OnTheWay.now.merged(slope, x, y)
