"""Cheap sound tests first: what passes them passes the box check; what does not is judged there.

The radii of A(p) and A'(p) are those of rounded arithmetic at points next to p, from a table; sums are bounded by one
product of sizes in float32; underflow is not allowed for, and where sums may be exact there is no tolerance.
"""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any

import numpy as np

from gradagree.arithmetics import quanta
from gradagree.arithmetics.model import FORMATS, Model
from gradagree.arithmetics.rounded import Rounded
from gradagree.comparison import Comparison, Part
from gradagree.judged_vector import JudgedVector
from gradagree.kinks import Kinks
from gradagree.quick_kinks import explained
from gradagree.radii import cells, radii
from gradagree.reference import Box
from gradagree.tiles import SAFE, Claim, Tile, passing

__all__ = ["QuickBox"]

TILE = 1 << 16
"""Entries of a gradient that are worked on together."""
FIRST, FEW, MANY = 4, 1 << 9, 1 << 14
"""Factors: arrays of up to so few are small, and of larger ones so many are looked at to see whether sums are exact."""


class QuickBox:
    """One box of a case, with the framework's own p and delta_c: what is claimed of c, delta_p, dw and db."""

    def __init__(self, number: int, box: Box, p: np.ndarray, delta_c: np.ndarray, model: Model) -> None:
        self.number, self.box, self.p, self.delta_c, self.model = number, box, p, delta_c, model
        self._known: dict[str, float] = {}
        self.a = np.asarray(box.activation.value(p))
        if box.activation.along_last_axis:
            self.value_radius = JudgedVector(box.activation).value(Rounded.stored(p, model)).radius
        else:
            place, tables = cells(p), radii(box.activation, model)
            self.value_radius, self.slope_radius = (table[place] for table in tables)

    @functools.cached_property
    def w_size(self) -> np.ndarray:
        return sizes(self.box.w)

    @functools.cached_property
    def a_size(self) -> np.ndarray:
        return np.abs(self.a)

    def c(self, observed: np.ndarray) -> Claim:
        """c = A(p) w + b."""
        u, w, b = self.model.u, self.box.w, self.box.b
        if w is None:
            return self._claim("c", observed, self.a, self.value_radius)
        dot, terms, lowest = self.a @ w, w.shape[0], quanta.times(self._lowest("a"), self._lowest("w"))
        size = self._factor(self.a_size, self.value_radius, terms) @ self.w_size
        radius = (size + u * np.abs(dot)) * (size > self._exact_below(terms, lowest))
        if b is None:
            return self._claim("c", observed, dot, radius)
        size = size + SAFE * terms * self.model.accumulator.u * np.abs(b)
        inexact = size > self._exact_below(terms, min(lowest, quanta.lowest_bit(b)))
        rounding = u * np.abs(dot + b) * ((dot != 0) & (b != 0))
        return self._claim("c", observed, dot + b, (radius + rounding) * inexact)

    def delta_p(self, observed: np.ndarray, kinks: Kinks) -> Claim | None:
        """delta_p = A'(p) (delta_c w^T), with the slopes that explain it on kinks."""
        if self.box.activation.along_last_axis:
            return None
        u, delta_c = self.model.u, self.delta_c
        slope, delta_a, inner = self.box.activation.derivative(self.p), delta_c, np.zeros(())
        if self.box.w is not None:
            delta_a, terms = delta_c @ self.box.w.T, self.box.w.shape[1]
            bound = self._factor(np.abs(delta_c), 0.0, terms) @ self.w_size.T
            inexact = bound > self._exact_below(terms, quanta.times(self._lowest("delta_c"), self._lowest("w")))
            inner = (bound + u * np.abs(delta_a)) * inexact
        value = slope * delta_a
        radius = np.abs(slope) * inner + self.slope_radius * (np.abs(delta_a) + inner)
        radius = radius + (self.slope_radius > 0) * u * np.abs(value)
        slopes = None
        if kinks:
            slopes = explained(self.box.activation, self.model, kinks, self.p, observed, delta_a, inner)
            if slopes is None:
                return None
        return self._claim("delta_p", observed, value, radius, self.still, slopes)

    def dw(self, observed: np.ndarray) -> Claim | Comparison | None:
        """dE/dw = A(p)^T delta_c; a large one some rows at a time."""
        examples, rows = self.delta_c.shape[0], max(1, TILE // self.delta_c.shape[1])
        factor, size = self._factor(self.a_size, self.value_radius, examples), sizes(self.delta_c)
        exact = self._exact_below(examples, quanta.times(self._lowest("a"), self._lowest("delta_c")))
        nothing, tiles = self.still or not self.a.any(), []
        if self.a.shape[1] <= rows:
            return self._claim("dw", observed, *self._tile(slice(None), factor, size, exact)[:2], nothing)
        for start in range(0, self.a.shape[1], rows):
            tile = slice(start, start + rows)
            value, radius, entries = self._tile(tile, factor, size, exact)
            found = Tile.of(observed[tile], value, entries, radius, start)
            if found is None:
                return None
            tiles.append(found)
        return passing(self.number, "dw", tiles, observed.size, self.model.format, nothing, {})

    def db(self, observed: np.ndarray) -> Claim:
        """dE/db = the sum of delta_c over the examples."""
        value, examples = np.add.reduce(self.delta_c, -2), self.delta_c.shape[-2]
        bound = SAFE * examples * self.model.biases.u * np.add.reduce(np.abs(self.delta_c), -2)
        inexact = bound > self._exact_below(examples, self._lowest("delta_c"))
        return self._claim("db", observed, value, (bound + self.model.u * np.abs(value)) * inexact, self.still)

    @functools.cached_property
    def still(self) -> bool:
        """Whether nothing inside changes."""
        return not self.delta_c.any()

    def _factor(self, size: np.ndarray, radius: Any, terms: int) -> np.ndarray:
        """What factors of size |a| and radius r add to a sum of so many terms, over the other factors' sizes."""
        return np.asarray(radius + SAFE * terms * self.model.accumulator.u * size).astype(np.float32)

    def _lowest(self, name: str) -> float:
        """The exponent of which all entries of a, w or delta_c are multiples, as far as a few of them tell."""
        if name not in self._known:
            x = {"a": self.a, "w": self.box.w, "delta_c": self.delta_c}[name]
            self._known[name] = few_lowest(x, self.model.format.precision)
        return self._known[name]

    def _exact_below(self, terms: int, lowest: float) -> float:
        """Up to this bound a sum of multiples of 2^lowest may be exact."""
        return quanta.largest_exact(lowest, self.model.format) * terms * self.model.accumulator.u

    def _tile(self, tile: slice, factor: np.ndarray, size: np.ndarray, exact: float) -> tuple[Any, Any, Any]:
        """Some rows of dE/dw, their radii (u |v| and the bound, where not exact), and their sizes.

        In float32 but for a float64 framework.
        """
        value, bound = self.a[:, tile].T @ self.delta_c, factor[:, tile].T @ size
        wide = self.model.u < FORMATS["float32"].u
        entries = np.abs(value) if wide else np.abs(value, dtype=np.float32, casting="same_kind")
        radius = self.model.u * entries
        radius += bound
        radius *= bound > exact
        radius *= SAFE
        return value, radius, entries

    def _claim(
        self, part: Part, observed: Any, value: Any, radius: Any, nothing: bool = False, slopes: Any = None
    ) -> Claim:
        radius = SAFE * radius
        if radius.shape != value.shape:
            radius = np.broadcast_to(radius, value.shape)
        return Claim(self.number, part, observed, value, radius, nothing, slopes or {})


def sizes(x: np.ndarray) -> np.ndarray:
    narrow = x.astype(np.float32)
    return np.abs(narrow, out=narrow)


def few_lowest(x: np.ndarray, precision: int) -> float:
    """A bound from above on `quanta.lowest_bit`, from some of the entries.

    Of few ones in Python's own numbers, which cost less than a call of NumPy's, up to one that has nearly all its bits:
    most often one of the first.
    """
    flat = x.ravel()
    if x.size > FEW:
        return quanta.lowest_bit(flat[:: max(1, x.size // MANY)])
    lowest = math.inf
    for v in itertools.chain.from_iterable(part.tolist() for part in (flat[:FIRST], flat[FIRST:])):
        if not math.isfinite(v):
            return quanta.NONE
        if v:
            mantissa, exponent = math.frexp(v)
            whole = int(mantissa * 2.0**53)
            low = (whole & -whole).bit_length()
            lowest = min(lowest, exponent - 54 + low)
            if 56 - low >= precision:
                break
    return lowest
