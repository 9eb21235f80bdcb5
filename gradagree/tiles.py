"""What is kept of arrays whose entries all pass a quick test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from gradagree.arithmetics.model import Format
from gradagree.comparison import Comparison, Part
from gradagree.verdict import Verdict

__all__ = ["SAFE", "Tile", "passing"]

SAFE = 1 - 2.0**-8
"""Keeps a tolerance below the one that it stands for, whatever float32 rounds."""
DULL = 0.99
"""A sharpness from here on is left to the box check, which says what it means."""


class Tile(NamedTuple):
    """What is kept of some rows of an array whose entries all pass."""

    ratio: float
    place: tuple[int, ...]
    expected: float
    observed: float
    allowed: float
    largest: float
    tolerance: float
    sharp: int

    @classmethod
    def of(cls, observed: Any, value: Any, size: np.ndarray, radius: np.ndarray, start: int) -> Tile | None:
        """None unless every entry passes; start is the number of the first row."""
        ratio = np.abs(observed - value)
        ratio /= np.maximum(radius, np.finfo(radius.dtype).smallest_subnormal)
        place = int(np.argmax(ratio))
        if not ratio.flat[place] <= 1:
            return None
        first, *rest = (*(int(i) for i in np.unravel_index(place, value.shape)), 0)[: max(value.ndim, 1)]
        return cls(
            float(ratio.flat[place]), (start + first, *rest)[: value.ndim],
            float(value.flat[place]), float(observed.flat[place]), float(radius.flat[place]),
            float(np.max(size)), float(np.max(radius)), int(np.count_nonzero((size > radius) | (radius == 0))),
        )  # fmt: skip


def passing(
    box: int | str, part: Part, tiles: Sequence[Tile], entries: int, form: Format, nothing: bool = False
) -> Comparison | None:
    """The comparison of an array whose entries all pass, if it is of the ordinary kind.

    nothing says that all entries are 0 because a factor of each is.
    """
    largest, tolerance = (max(getattr(tile, name) for tile in tiles) for name in ("largest", "tolerance"))
    dull = not (nothing and largest == tolerance == 0) and not tolerance < DULL * largest
    if dull or not largest + tolerance < form.largest / 2:
        return None
    worst = max(tiles, key=lambda tile: tile.ratio)
    return Comparison(
        box, part, Verdict.AGREE, worst.ratio, worst.place, worst.expected, worst.observed, worst.allowed,
        0.0 if nothing else tolerance / largest, sum(tile.sharp for tile in tiles), entries,
    )  # fmt: skip
