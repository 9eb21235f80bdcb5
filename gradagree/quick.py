"""Cheap sound tests first: what passes them passes the box check; what does not is judged there.

The radii of A(p) and A'(p) are those of rounded arithmetic at points next to p, from a table; sums are bounded by one
product of sizes in float32; underflow is not allowed for, and where sums may be exact there is no tolerance.
"""

from __future__ import annotations

import functools
from dataclasses import replace
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
from gradagree.tiles import SAFE, Tile, passing

__all__ = ["QuickBox"]

TILE = 1 << 16
"""Entries of a gradient that are worked on together."""
FEW = 256
"""Factors that are looked at to see whether sums may be exact."""


class QuickBox:
    """One box of a case, with the framework's own p and delta_c."""

    def __init__(self, number: int, box: Box, p: np.ndarray, model: Model) -> None:
        self.number, self.box, self.p, self.model = number, box, p, model
        self.a = np.asarray(box.activation.value(p))
        if box.activation.along_last_axis:
            self.value_radius = JudgedVector(box.activation).value(Rounded.stored(p, model)).radius
        else:
            place, tables = cells(p), radii(box.activation, model)
            self.value_radius, self.slope_radius = (table[place] for table in tables)

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

    def delta_p(self, observed: np.ndarray, delta_c: np.ndarray, kinks: Kinks) -> Comparison | None:
        """delta_p = A'(p) (delta_c w^T), with the slopes that explain it on kinks."""
        if self.box.activation.along_last_axis:
            return None
        u, delta_a, radius, inexact = self.model.u, delta_c, np.zeros(()), np.ones(())
        slope = self.box.activation.derivative(self.p)
        if self.box.w is not None:
            delta_a, terms = delta_c @ self.box.w.T, self.box.w.shape[1]
            radius = self._factor(np.abs(delta_c), 0.0, terms) @ self.w_size.T
            inexact = radius > self._exact_below(terms, self._lowest(delta_c, self.box.w))
            radius = radius + u * np.abs(delta_a)
        value, inner = slope * delta_a, radius * inexact
        radius = np.abs(slope) * inner + self.slope_radius * (np.abs(delta_a) + radius)
        radius = radius + np.where(self.slope_radius > 0, u, 0.0) * np.abs(value)
        found = self._found("delta_p", observed, value, radius, not delta_c.any())
        if found is None or not kinks:
            return found
        slopes = explained(self.box.activation, self.model, kinks, self.p, observed, delta_a, inner)
        return None if slopes is None else replace(found, slopes=slopes)

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
        nothing = not (self.a.any() and delta_c.any())
        return passing(self.number, "dw", tiles, observed.size, self.model.format, nothing)

    def db(self, observed: np.ndarray, delta_c: np.ndarray) -> Comparison | None:
        """dE/db = the sum of delta_c over the examples."""
        value, examples = np.sum(delta_c, axis=-2), delta_c.shape[-2]
        bound = SAFE * examples * self.model.biases.u * np.sum(np.abs(delta_c), axis=-2)
        inexact = bound > self._exact_below(examples, quanta.lowest_bit(delta_c))
        return self._found("db", observed, value, (bound + self.model.u * np.abs(value)) * inexact, not delta_c.any())

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

    def _found(
        self, part: Part, observed: np.ndarray, value: np.ndarray, radius: np.ndarray, nothing: bool = False
    ) -> Comparison | None:
        if observed.shape != value.shape:
            return None
        tile = Tile.of(observed, value, np.abs(value), SAFE * radius, 0)
        return None if tile is None else passing(self.number, part, [tile], value.size, self.model.format, nothing)


def sizes(x: np.ndarray) -> np.ndarray:
    narrow = x.astype(np.float32)
    return np.abs(narrow, out=narrow)
