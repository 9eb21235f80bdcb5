"""Quick tests of many arrays at once: what is claimed of each, and what is kept of those whose entries all pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from gradagree.arithmetics.model import Format
from gradagree.comparison import Comparison, Part
from gradagree.verdict import Verdict

__all__ = ["SAFE", "Claim", "Tile", "index", "passing", "settled"]

SAFE = 1 - 2.0**-8
"""Keeps a tolerance below the one that it stands for, whatever float32 rounds."""
DULL = 0.99
"""A sharpness from here on is left to the box check, which says what it means."""


class Claim(NamedTuple):
    """That an array is value within radius; nothing says whether all entries are 0 because a factor of each is."""

    box: int | str
    part: Part
    observed: np.ndarray
    value: np.ndarray
    radius: np.ndarray
    format: Format
    nothing: Callable[[], bool] = lambda: False
    slopes: Mapping[str, frozenset[str]] = {}


def settled(claims: Sequence[Claim]) -> list[Comparison | None]:
    """The comparison for each claim all of whose entries hold, if it is of the ordinary kind; None for the others.

    All entries are looked at in one go: a call of NumPy's costs as much as a small array.
    """
    if not claims:
        return []
    observed, value, radius = (np.concatenate([x.ravel() for x in xs]) for xs in list(zip(*claims, strict=True))[2:5])
    size, ratio = np.abs(value), np.abs(observed - value)
    ratio = np.divide(ratio, radius, out=np.zeros(ratio.shape), where=ratio != 0)
    ends = np.cumsum([claim.value.size for claim in claims])
    starts = np.concatenate([[0], ends[:-1]])
    ratios, largest, tolerance = (np.maximum.reduceat(x, starts).tolist() for x in (ratio, size, radius))
    sharp = np.add.reduceat((size > radius) | (radius == 0), starts, dtype=np.int64).tolist()
    found: list[Comparison | None] = []
    for k, (claim, start, end) in enumerate(zip(claims, starts.tolist(), ends.tolist(), strict=True)):
        if not ratios[k] <= 1:
            found.append(None)
            continue
        place = int(ratio[start:end].argmax())
        expected, seen, allowed = (float(x[start + place]) for x in (value, observed, radius))
        at = index(place, claim.value.shape)
        tile = Tile(ratios[k], at, expected, seen, allowed, largest[k], tolerance[k], sharp[k])
        found.append(passing(claim, [tile], end - start))
    return found


def index(place: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The index of an entry by its place in a flat array."""
    if len(shape) == 2:
        return divmod(place, shape[1])
    return tuple(int(i) for i in np.unravel_index(place, shape))


class Tile(NamedTuple):
    """What is kept of some rows of an array: the worst entry, the largest entry and tolerance, how many are sharp."""

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
        first, *rest = index(place, value.shape)
        return cls(
            float(ratio.flat[place]), (start + first, *rest),
            float(value.flat[place]), float(observed.flat[place]), float(radius.flat[place]),
            float(np.max(size)), float(np.max(radius)), int(np.count_nonzero((size > radius) | (radius == 0))),
        )  # fmt: skip


def passing(claim: Claim, tiles: Sequence[Tile], entries: int) -> Comparison | None:
    """The comparison of an array whose entries all pass, if it is of the ordinary kind."""
    largest, tolerance = max(tile.largest for tile in tiles), max(tile.tolerance for tile in tiles)
    dull = not tolerance < DULL * largest and not (largest == tolerance == 0 and claim.nothing())
    if dull or not largest + tolerance < claim.format.largest / 2:
        return None
    worst = max(tiles, key=lambda tile: tile.ratio)
    return Comparison(
        claim.box, claim.part, Verdict.AGREE, worst.ratio, worst.place, worst.expected, worst.observed, worst.allowed,
        tolerance / largest if largest else 0.0, sum(tile.sharp for tile in tiles), entries, slopes=claim.slopes,
    )  # fmt: skip
