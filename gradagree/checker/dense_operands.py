"""Operands of the filter for dense layers: the arrays of many nodes in flat arrays, with tabulated radii.

No radius here is larger than that of rounded arithmetic.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from gradagree.arithmetic import exactness
from gradagree.arithmetic.model import Model
from gradagree.arithmetic.rounded import Rounded
from gradagree.checker.allowances import ActivationBounds, ToleranceOptions
from gradagree.checker.batching import Ragged, concatenate, lowest_bits
from gradagree.checker.filter import SAFE, Bound, all_samples_rounded, not_representable
from gradagree.checker.kinks import Kinks
from gradagree.reference import Activation, Box
from gradagree.reference.graph import Node, Quantity
from gradagree.reference.samples import allowed_width, to_domain


@dataclass(frozen=True, eq=False)
class DenseArrays:
    """A dense layer with the framework's own p, c, delta_p and delta_c; a gradient is None if the filter skips it."""

    node: Node
    box: Box
    model: Model
    kinks: Kinks
    p: np.ndarray
    c: np.ndarray
    delta_p: np.ndarray
    delta_c: np.ndarray
    dw: np.ndarray | None
    db: np.ndarray | None

    @property
    def activation(self) -> Activation:
        return self.box.activation

    def bound(self, label: str, value: Any, radius: Any, slopes: Any = None) -> Bound:
        """The bound that the framework's c, delta_p, dw or db lies within radius of value."""
        observed, zero = getattr(self, label), getattr(self, f"no_{label}")
        quantity = self.quantities[label]
        return Bound(quantity, observed, value, SAFE * radius, self.model.format, zero, slopes or {})

    @functools.cached_property
    def quantities(self) -> dict[str, Quantity]:
        """The node's arrays by their names here."""
        node = self.node
        return {x.label: x for x in (node.value(), node.cotangent(), *map(node.gradient, node.parameters))}

    def no_c(self) -> bool:
        """True if each product in c has a factor 0, and there is no bias."""
        w, b = self.box.w, self.box.b
        if w is None or (b is not None and b.any()):
            return False
        return not (w.any() and np.any(self.activation.value(self.p)))

    def no_delta_p(self) -> bool:
        """True if the incoming cotangent, the weights, or the local derivative are all zero."""
        w = self.box.w
        if self.no_db() or (w is not None and not w.any()):
            return True
        return not self.activation.along_last_axis and not np.any(self.activation.derivative(self.p))

    def no_dw(self) -> bool:
        """True if each product in dE/dw has a factor 0."""
        return self.no_db() or not np.any(self.activation.value(self.p))

    def no_db(self) -> bool:
        """True if the incoming cotangent is zero."""
        return not self.delta_c.any()


LOWEST_BINADE, HIGHEST_BINADE = -64, 16
"""Binades of p that the tables cover."""
CELLS_PER_BINADE = 16
"""Cells of the tables in each binade."""
CELL_SAMPLES = np.array([0.0, 0.5, 1 - 2.0**-20])


@functools.lru_cache(maxsize=256)
def tabulated_radii(activation: Activation, model: Model) -> tuple[np.ndarray, np.ndarray]:
    """The radii of A(p) and of A'(p), one for each of `table_cells`.

    First the radius at 0, then the smallest at several points of each cell; last NaN, for p outside the table.
    """
    edges = np.ldexp(
        1 + np.arange(CELLS_PER_BINADE) / CELLS_PER_BINADE, np.arange(LOWEST_BINADE, HIGHEST_BINADE)[:, None]
    ).ravel()
    widths = np.ldexp(
        np.full(CELLS_PER_BINADE, 1 / CELLS_PER_BINADE), np.arange(LOWEST_BINADE, HIGHEST_BINADE)[:, None]
    ).ravel()
    points = edges[:, None] + widths[:, None] * CELL_SAMPLES
    both = np.concatenate([np.zeros((1, CELL_SAMPLES.size)), points, -points])
    bounds, p = ActivationBounds(activation, ToleranceOptions(ad_forms=True)), Rounded.stored(both, model)
    found = (bounds.value(p).radius, bounds.derivative(p).radius)
    value, derivative = (np.append(np.where(np.isfinite(x), x, np.nan).min(axis=-1), np.nan) for x in found)
    return value, derivative


def table_cells(p: np.ndarray) -> np.ndarray:
    """The index of each p in the tables."""
    bits = np.ascontiguousarray(p).view(np.int64)
    place = ((bits & 0x7FFF_FFFF_FFFF_FFFF) >> 48) - ((LOWEST_BINADE + 1023) << 4)
    size = (HIGHEST_BINADE - LOWEST_BINADE) * CELLS_PER_BINADE
    inside = place + 1 + np.where(bits < 0, size, 0)
    return np.where(p == 0, 0, np.where((place >= 0) & (place < size), inside, 2 * size + 1))


class ElementwiseValues(NamedTuple):
    """A(p) and A'(p) of all entries of some nodes, with their radii."""

    a: np.ndarray
    value_radius: np.ndarray
    derivative: np.ndarray
    derivative_radius: np.ndarray

    @classmethod
    def of(cls, group: Sequence[DenseArrays]) -> ElementwiseValues:
        """For nodes with the same activation and the same model."""
        activation = group[0].activation
        p = concatenate([one.p.ravel() for one in group])[None]
        place, tables = table_cells(p), tabulated_radii(activation, group[0].model)
        a, derivative = (np.broadcast_to(x, p.shape) for x in (activation.value(p), activation.derivative(p)))
        return cls(a[0], tables[0][place[0]], derivative[0], tables[1][place[0]])


def row_values(one: DenseArrays) -> tuple[np.ndarray, np.ndarray]:
    """A(p) of an activation along the last axis, within 8 u |A| where it is rounded."""
    return with_radius(one, "value", np.asarray(one.activation.value(one.p)))


def row_vjp(one: DenseArrays, delta_a: np.ndarray, inner: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """delta_p of an activation along the last axis, within 8 u |delta_p| where it is rounded, and delta_a's error.

    delta_p is linear in delta_a, so the vjp of any error within inner, such as one of alternating signs, may occur.
    """
    vjp = one.activation.vjp
    found, radius = with_radius(one, "vjp", np.asarray(vjp(one.p, delta_a)))
    if not inner.any():
        return found, radius
    place = np.arange(delta_a.shape[-1])
    signs = (np.where(side, 1.0, -1.0) for side in (place % 2, place < place.size // 2))
    one_way, other = (np.abs(vjp(one.p, sign * inner)) for sign in signs)
    return found, radius + np.maximum(one_way, other)


def with_radius(one: DenseArrays, part: str, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The numbers, and 8 u of each where it must have been rounded.

    It must where it is not representable in the dtype; and for a function that never returns exact numbers, unless a
    row holds equal numbers.
    """
    equal = one.p.shape[-1] < 2 or (one.p == one.p[..., :1]).all(axis=-1).any()
    surely = not equal and always_rounds(one.activation, one.model)[part]
    return found, one.model.formula * one.model.u * np.abs(found) * (surely or not_representable(found, one.model))


@functools.lru_cache(maxsize=256)
def always_rounds(activation: Activation, model: Model) -> dict[str, bool]:
    """True if A(p), or delta_p, has no exact entries but 0, even for p with few bits."""

    def samples() -> Iterator[dict[str, Any]]:
        for p in round_rows(activation):
            stored: Any = Rounded.stored(p, model)
            a = activation.value(stored)
            delta_a = Rounded.stored(1.0 + np.arange(a.shape[-1]) * np.ones(a.shape), model)
            yield {"value": a, "vjp": activation.vjp(stored, delta_a)}

    return all_samples_rounded(("value", "vjp"), samples())


def round_rows(activation: Activation) -> list[np.ndarray]:
    """Short rows of numbers with few bits, not all equal: unit vectors, signs, twice these, and quarters."""
    found = []
    for least in (2, 3, 4, 5):
        n = allowed_width(activation, least)
        if n > 1:
            signs = np.where(np.arange(n) % 2, 1.0, -1.0)
            quarters = np.arange(3 * n).reshape(3, n) / 4 - n / 2
            found.append(to_domain(activation.domain, np.vstack([np.eye(n), -np.eye(n), signs, 2 * signs, quarters])))
    return found


NO_WEIGHTS = np.zeros((1, 1))
NEVER = -1.0
"""Less than any bound: without a sum of products, a small result need not be exact."""


class Operands:
    """Nodes grouped by activation, elementwise ones first, and their arrays.

    `elementwise` is the number of nodes with an elementwise activation; `a` holds A(p) of all nodes, `value_radius`
    its radii, `derivative` and `derivative_radius` those of A'(p) of the elementwise ones, all in flat arrays.
    """

    def __init__(self, boxes: Iterable[DenseArrays]) -> None:
        groups: dict[Any, list[DenseArrays]] = {}
        for one in boxes:
            groups.setdefault((one.activation.along_last_axis, one.activation, id(one.model)), []).append(one)
        elementwise, rows = ([group for key, group in groups.items() if key[0] is along] for along in (False, True))
        self.boxes = list(itertools.chain(*elementwise, *rows))
        self.elementwise = sum(map(len, elementwise))
        found = [ElementwiseValues.of(group) for group in elementwise]
        alone = [row_values(one) for one in self.boxes[self.elementwise :]]
        shapes = [*(one.p.shape for one in self.boxes[: self.elementwise]), *(a.shape for a, _ in alone)]
        self.a = Ragged(concatenate([*(x.a for x in found), *(a.ravel() for a, _ in alone)]), shapes)
        self.value_radius = concatenate([*(x.value_radius for x in found), *(radius.ravel() for _, radius in alone)])
        self.derivative, self.derivative_radius = (
            concatenate([getattr(x, part) for x in found]) for part in ("derivative", "derivative_radius")
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
    def weight_roundoff(self) -> list[float]:
        """u of each node with weights, 0 of the others."""
        return [0.0 if one.box.w is None else one.model.u for one in self.boxes]

    @functools.cached_property
    def lowest(self) -> dict[str, list[float]]:
        """Upper bounds on the exponents q for which all entries of a, w or delta_c are multiples of 2^q."""
        w = lowest_bits([NO_WEIGHTS if w is None else w for w in self.w])
        return {"a": lowest_bits(self.a.views), "w": w, "delta_c": lowest_bits(self.delta_c.views)}

    def products(self, x: str, y: str) -> list[float]:
        """The same exponents, for the products of two of them."""
        return [exactness.product_exponent(*both) for both in zip(self.lowest[x], self.lowest[y], strict=True)]

    def terms(self, axis: int) -> list[int]:
        """The number of terms of a sum over an axis of w; 0 without weights."""
        return [0 if w is None else w.shape[axis] for w in self.w]

    def gains(self, terms: Sequence[int]) -> list[float]:
        """The rounding error of sums with these numbers of terms, relative to the sum of absolute values."""
        return [SAFE * n * one.model.accumulator.u for n, one in zip(terms, self.boxes, strict=True)]

    def factor(self, size: Ragged, radius: Any, terms: Sequence[int]) -> Ragged:
        """The error that a factor adds to sums of products, relative to the absolute value of the other factor.

        size and radius are those of the factor, terms the numbers of terms of the sums.
        """
        return size.like(np.asarray(radius + size.spread(self.gains(terms)) * size.flat).astype(np.float32))

    def exact(self, terms: Sequence[int], lowest: Sequence[float]) -> list[float]:
        """For each node the bound up to which a sum of multiples of 2^lowest may be exact."""
        each = zip(self.boxes, terms, lowest, strict=True)
        return [exact_below(one.model, n, q) if n else NEVER for one, n, q in each]


def exact_below(model: Model, terms: int, lowest: float) -> float:
    """The bound up to which a sum of this number of multiples of 2^lowest may be exact."""
    return exactness.largest_exact(lowest, model.format) * terms * model.accumulator.u


def transpose(arrays: Sequence[np.ndarray | None]) -> list[Any]:
    return [None if x is None else x.T for x in arrays]
