"""What the quick tests work with: the numbers of many boxes laid end to end, their sizes, and how round they are."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from gradagree.arithmetics import quanta
from gradagree.arithmetics.model import Model
from gradagree.quick_box import Given
from gradagree.quick_values import Entries, along_rows
from gradagree.ragged import Ragged, joined, lowest_bits
from gradagree.tiles import SAFE

__all__ = ["Operands", "exact_below", "transposed"]

NO_WEIGHTS = np.zeros((1, 1))
NEVER = -1.0
"""No bound is as small: what is no sum of products is not exact for being small."""


class Operands:
    """Boxes, each activation's one after the other, first those whose activation works on entries; and their numbers.

    `entrywise` is the number of those; `a` are the activations, `value_radius` their radii, `slope` and
    `slope_radius` those of A'(p) of the entrywise ones, all laid end to end.
    """

    def __init__(self, boxes: Iterable[Given]) -> None:
        groups: dict[Any, list[Given]] = {}
        for one in boxes:
            groups.setdefault((one.activation.along_last_axis, one.activation, id(one.model)), []).append(one)
        entrywise, rows = ([group for key, group in groups.items() if key[0] is along] for along in (False, True))
        self.boxes = list(itertools.chain(*entrywise, *rows))
        self.entrywise = sum(map(len, entrywise))
        found = [Entries.of(group) for group in entrywise]
        alone = [along_rows(one) for one in self.boxes[self.entrywise :]]
        shapes = [*(one.p.shape for one in self.boxes[: self.entrywise]), *(a.shape for a, _ in alone)]
        self.a = Ragged(joined([*(x.a for x in found), *(a.ravel() for a, _ in alone)]), shapes)
        self.value_radius = joined([*(x.value_radius for x in found), *(radius.ravel() for _, radius in alone)])
        self.slope, self.slope_radius = (
            joined([getattr(x, part) for x in found]) for part in ("slope", "slope_radius")
        )

    @functools.cached_property
    def w(self) -> list[np.ndarray | None]:
        return [one.box.w for one in self.boxes]

    @functools.cached_property
    def w_sizes(self) -> list[np.ndarray | None]:
        """|w|, in float32."""
        views = iter(Ragged.sizes_of(w for w in self.w if w is not None).views)
        return [None if w is None else next(views) for w in self.w]

    @functools.cached_property
    def sizes(self) -> Ragged:
        """|a|."""
        return self.a.like(np.abs(self.a.flat))

    @functools.cached_property
    def delta_c(self) -> Ragged:
        return Ragged.of(one.delta_c for one in self.boxes)

    @functools.cached_property
    def delta_sizes(self) -> Ragged:
        """|delta_c|, in float32."""
        return Ragged.sizes_of(one.delta_c for one in self.boxes)

    @functools.cached_property
    def weighing(self) -> list[float]:
        """u of each box that has weights, 0 of the others."""
        return [0.0 if one.box.w is None else one.model.u for one in self.boxes]

    @functools.cached_property
    def lowest(self) -> dict[str, list[float]]:
        """The exponent of which all entries of a, w or delta_c are multiples, as far as some of them tell."""
        w = lowest_bits([NO_WEIGHTS if w is None else w for w in self.w])
        return {"a": lowest_bits(self.a.views), "w": w, "delta_c": lowest_bits(self.delta_c.views)}

    def products(self, x: str, y: str) -> list[float]:
        """Likewise of their products."""
        return [quanta.times(*both) for both in zip(self.lowest[x], self.lowest[y], strict=True)]

    def terms(self, axis: int) -> list[int]:
        """How many terms a sum over an axis of w has; 0 without weights."""
        return [0 if w is None else w.shape[axis] for w in self.w]

    def gains(self, terms: Sequence[int]) -> list[float]:
        """What sums of so many terms may gain, over the sum of the sizes."""
        return [SAFE * n * one.model.accumulator.u for n, one in zip(terms, self.boxes, strict=True)]

    def factor(self, size: Ragged, radius: Any, terms: Sequence[int]) -> Ragged:
        """What factors of such sizes, within radius, add to sums of so many terms, over the other factors' sizes."""
        return size.like(np.asarray(radius + size.spread(self.gains(terms)) * size.flat).astype(np.float32))

    def exact(self, terms: Sequence[int], lowest: Sequence[float]) -> list[float]:
        """For each box the bound up to which a sum of so many multiples of 2^lowest may be exact."""
        each = zip(self.boxes, terms, lowest, strict=True)
        return [exact_below(one.model, n, q) if n else NEVER for one, n, q in each]


def exact_below(model: Model, terms: int, lowest: float) -> float:
    """Up to this bound a sum of so many multiples of 2^lowest may be exact."""
    return quanta.largest_exact(lowest, model.format) * terms * model.accumulator.u


def transposed(arrays: Sequence[np.ndarray | None]) -> list[Any]:
    return [None if x is None else x.T for x in arrays]
