"""Cheap sound tests first: what passes them passes the box check; what does not is judged there.

The radii of A(p) and A'(p) are those of rounded arithmetic at points next to p, from a table; sums are bounded by one
product of sizes in float32; underflow is not allowed for, and where sums may be exact there is no tolerance.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from gradagree.arithmetics import quanta
from gradagree.arithmetics.model import FORMATS, Model
from gradagree.comparison import Comparison, Part
from gradagree.radii import cells, radii
from gradagree.reference import Box
from gradagree.verdict import Verdict

__all__ = ["QuickBox"]

SAFE = 1 - 2.0**-8
"""Keeps a tolerance below the one that it stands for, whatever float32 rounds."""
TILE = 1 << 16
"""Entries of a gradient that are worked on together."""
FEW = 256
"""Factors that are looked at to see whether sums may be exact."""
DULL = 0.99
"""A sharpness from here on is left to the box check, which says what it means."""


class QuickBox:
    """One box of a case, with the framework's own p and delta_c."""

    def __init__(self, number: int, box: Box, p: np.ndarray, model: Model) -> None:
        self.number, self.box, self.p, self.model = number, box, p, model
        self.a = np.asarray(box.activation.value(p))
        self.value_radius, self.slope_radius = (table[cells(p)] for table in radii(box.activation, model))

    @staticmethod
    def suits(box: Box) -> bool:
        """Whether the box's activation works entry by entry."""
        return not box.activation.along_last_axis

    @functools.cached_property
    def w_size(self) -> np.ndarray:
        return sizes(self.box.w)

    def c(self, observed: np.ndarray) -> Comparison | None:
        """c = A(p) w + b."""
        u, w, b = self.model.u, self.box.w, self.box.b
        if w is None:
            return self._found("c", observed, self.a, self.value_radius)
        dot, terms, lowest = self.a @ w, w.shape[0], self._lowest(self.a, w)
        size = self._factor(np.abs(self.a), self.value_radius, terms) @ self.w_size
        radius = (size + u * np.abs(dot)) * (size > self._exact_below(terms, lowest))
        if b is None:
            return self._found("c", observed, dot, radius)
        size = size + SAFE * terms * self.model.accumulator.u * np.abs(b)
        inexact = size > self._exact_below(terms, min(lowest, quanta.lowest_bit(b)))
        rounding = u * np.abs(dot + b) * ((dot != 0) & (b != 0))
        return self._found("c", observed, dot + b, (radius + rounding) * inexact)

    def delta_p(self, observed: np.ndarray, delta_c: np.ndarray) -> Comparison | None:
        """delta_p = A'(p) (delta_c w^T)."""
        u, delta_a, radius, inexact = self.model.u, delta_c, np.zeros(()), np.ones(())
        slope = self.box.activation.derivative(self.p)
        if self.box.w is not None:
            delta_a, terms = delta_c @ self.box.w.T, self.box.w.shape[1]
            radius = self._factor(np.abs(delta_c), 0.0, terms) @ self.w_size.T
            inexact = radius > self._exact_below(terms, self._lowest(delta_c, self.box.w))
            radius = radius + u * np.abs(delta_a)
        value = slope * delta_a
        radius = np.abs(slope) * radius * inexact + self.slope_radius * (np.abs(delta_a) + radius)
        radius = radius + np.where(self.slope_radius > 0, u, 0.0) * np.abs(value)
        return self._found("delta_p", observed, value, radius)

    def dw(self, observed: np.ndarray, delta_c: np.ndarray) -> Comparison | None:
        """dE/dw = A(p)^T delta_c, some rows at a time."""
        if observed.shape != (self.a.shape[1], delta_c.shape[1]):
            return None
        examples = delta_c.shape[0]
        factor, size = self._factor(np.abs(self.a), self.value_radius, examples), sizes(delta_c)
        exact = self._exact_below(examples, self._lowest(self.a, delta_c))
        rows, tiles = max(1, TILE // delta_c.shape[1]), []
        for start in range(0, self.a.shape[1], rows):
            tile = slice(start, start + rows)
            value, bound = self.a[:, tile].T @ delta_c, factor[:, tile].T @ size
            found = self._tile(observed[tile], value, bound, bound > exact, start)
            if found is None:
                return None
            tiles.append(found)
        return self._judged("dw", tiles, observed.size)

    def db(self, observed: np.ndarray, delta_c: np.ndarray) -> Comparison | None:
        """dE/db = the sum of delta_c over the examples."""
        value, examples = np.sum(delta_c, axis=-2), delta_c.shape[-2]
        bound = SAFE * examples * self.model.biases.u * np.sum(np.abs(delta_c), axis=-2)
        inexact = bound > self._exact_below(examples, quanta.lowest_bit(delta_c))
        return self._found("db", observed, value, (bound + self.model.u * np.abs(value)) * inexact)

    def _factor(self, size: np.ndarray, radius: Any, terms: int) -> np.ndarray:
        """What factors of size |a| and radius r add to a sum of so many terms, over the other factors' sizes."""
        return np.asarray(radius + SAFE * terms * self.model.accumulator.u * size).astype(np.float32)

    def _lowest(self, x: np.ndarray, y: np.ndarray) -> float:
        """The exponent of which all products are multiples, as far as a few of the factors tell."""
        return quanta.times(*(quanta.lowest_bit(part.ravel()[:FEW]) for part in (x, y)))

    def _exact_below(self, terms: int, lowest: float) -> float:
        """Up to this bound a sum of multiples of 2^lowest may be exact."""
        return quanta.largest_exact(lowest, self.model.format) * terms * self.model.accumulator.u

    def _tile(self, observed: Any, value: Any, bound: np.ndarray, inexact: Any, start: int) -> Tile | None:
        """Some rows of a gradient: u |v| and the bound, where not exact. In float32 but for a float64 framework."""
        wide = self.model.u < FORMATS["float32"].u
        size = np.abs(value) if wide else np.abs(value, dtype=np.float32, casting="same_kind")
        radius = self.model.u * size
        radius += bound
        radius *= inexact
        radius *= SAFE
        return Tile.of(observed, value, size, radius, start)

    def _found(self, part: Part, observed: np.ndarray, value: np.ndarray, radius: np.ndarray) -> Comparison | None:
        if observed.shape != value.shape:
            return None
        tile = Tile.of(observed, value, np.abs(value), SAFE * radius, 0)
        return None if tile is None else self._judged(part, [tile], value.size)

    def _judged(self, part: Part, tiles: Sequence[Tile], entries: int) -> Comparison | None:
        """The comparison of an array whose entries all pass, if it is of the ordinary kind."""
        largest, tolerance = (max(getattr(tile, name) for tile in tiles) for name in ("largest", "tolerance"))
        if not (largest + tolerance < self.model.format.largest / 2 and tolerance < DULL * largest):
            return None
        worst = max(tiles, key=lambda tile: tile.ratio)
        return Comparison(
            self.number, part, Verdict.AGREE, worst.ratio, worst.place, worst.expected, worst.observed,
            worst.allowed, tolerance / largest, sum(tile.sharp for tile in tiles), entries,
        )  # fmt: skip


def sizes(x: np.ndarray) -> np.ndarray:
    narrow = x.astype(np.float32)
    return np.abs(narrow, out=narrow)


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
        first, *rest = (int(i) for i in np.unravel_index(place, value.shape))
        return cls(
            float(ratio.flat[place]), (start + first, *rest),
            float(value.flat[place]), float(observed.flat[place]), float(radius.flat[place]),
            float(np.max(size)), float(np.max(radius)), int(np.count_nonzero(size > radius)),
        )  # fmt: skip
