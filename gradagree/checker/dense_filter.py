"""The filter for dense layers: fast sufficient tests, as in floating-point filters, before rounded arithmetic.

What the filter accepts, rounded arithmetic accepts; everything else is passed on to it. Operations of many networks are
processed together. The radii of A(p) and A'(p) come from a table of those of rounded arithmetic at points next to p; a
sum is bounded by one product of absolute values in float32; underflow is not allowed for, and a sum that may be exact
has tolerance 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from gradagree.arithmetic.model import FORMATS, Model
from gradagree.checker.batching import Ragged, lowest_bits
from gradagree.checker.comparison import Comparison, Extremes, error_ratios, extremes, merged
from gradagree.checker.dense_operands import DenseArrays, Operands, exact_below, row_vjp, transpose
from gradagree.checker.filter import SAFE, Bound
from gradagree.checker.kinks import ADMISSIBLE, FROM_REFERENCE, Kinks, one_sided_derivative
from gradagree.reference import Activation

TILE = 1 << 16
"""Entries of a gradient that are processed together."""
NodeBounds = Iterator[tuple[DenseArrays, Bound | Comparison]]


def node_bounds(boxes: Sequence[DenseArrays]) -> NodeBounds:
    """The bounds of each node's c, delta_p, dw and db, where the filter has one; of a large dw, its comparison."""
    if boxes:
        on = Operands(boxes)
        for part in (pre_activation_bounds, cotangent_bounds, weight_gradient_bounds, bias_gradient_bounds):
            yield from part(on)


def pre_activation_bounds(on: Operands) -> NodeBounds:
    """c = A(p) w + b."""
    terms, lowest = on.terms(0), on.products("a", "w")
    dot = Ragged.products(on.a.views, on.w)
    size = Ragged.products(on.factor(on.sizes, on.value_radius, terms).views, on.w_sizes).flat
    u = dot.spread(on.weight_roundoff)
    radius = (size + u * np.abs(dot.flat)) * (size > dot.spread(on.exact(terms, lowest)))
    if any(one.box.b is not None for one in on.boxes):
        b = dot.like(np.zeros(dot.flat.size))
        for one, row in zip(on.boxes, b.views, strict=True):
            row[...] = 0.0 if one.box.b is None else one.box.b
        lowest = [min(both) for both in zip(lowest, lowest_bits([row[0] for row in b.views]), strict=True)]
        size = size + dot.spread(on.gains(terms)) * np.abs(b.flat)
        added, rounds = dot.flat + b.flat, (dot.flat != 0) & (b.flat != 0)
        radius = (radius + u * np.abs(added) * rounds) * (size > dot.spread(on.exact(terms, lowest)))
        dot = dot.like(added)
    return to_bounds(on.boxes, "c", dot, radius)


def cotangent_bounds(on: Operands) -> NodeBounds:
    """delta_p = A'(p) (delta_c w^T), with the one-sided derivatives that explain it at kinks."""
    terms, n = on.terms(1), on.elementwise
    delta_a = Ragged.products(on.delta_c.views, transpose(on.w))
    bound = Ragged.products(on.factor(on.delta_sizes, 0.0, terms).views, transpose(on.w_sizes)).flat
    inexact = bound > delta_a.spread(on.exact(terms, on.products("delta_c", "w")))
    inner = delta_a.like((bound + delta_a.spread(on.weight_roundoff) * np.abs(delta_a.flat)) * inexact)
    yield from elementwise_cotangent_bounds(on, Ragged.of(delta_a.views[:n]), Ragged.of(inner.views[:n]))
    for one, *cotangent in zip(on.boxes[n:], delta_a.views[n:], inner.views[n:], strict=True):
        if not one.kinks:
            yield one, one.bound("delta_p", *row_vjp(one, *cotangent))


def elementwise_cotangent_bounds(on: Operands, delta_a: Ragged, inner: Ragged) -> NodeBounds:
    """delta_p of the nodes with an elementwise activation; inner is the radius of delta_a."""
    boxes = on.boxes[: on.elementwise]
    value = delta_a.like(on.derivative * delta_a.flat)
    radius = np.abs(on.derivative) * inner.flat + on.derivative_radius * (np.abs(delta_a.flat) + inner.flat)
    u = value.spread([one.model.u for one in boxes])
    radius = value.like(radius + (on.derivative_radius > 0) * u * np.abs(value.flat))
    for one, expected, cotangent, around, allowed in zip(
        boxes, value.views, delta_a.views, inner.views, radius.views, strict=True
    ):
        given = (one.kinks, one.p, one.delta_p, cotangent, around)
        slopes = explaining_derivatives(one.activation, one.model, *given) if one.kinks else {}
        if slopes is not None:
            yield one, one.bound("delta_p", expected, allowed, slopes)


def weight_gradient_bounds(on: Operands) -> NodeBounds:
    """dE/dw = A(p)^T delta_c; a large one is compared a block of rows at a time."""
    examples = [one.p.shape[0] for one in on.boxes]
    factor = on.factor(on.sizes, on.value_radius, examples)
    exact = on.exact(examples, on.products("a", "delta_c"))
    operands = list(zip(on.boxes, on.a.views, factor.views, on.delta_c.views, on.delta_sizes.views, exact, strict=True))
    for one, *numbers in operands:
        if one.dw is not None and one.dw.size > TILE:
            found = compare_in_tiles(one, *numbers)
            if found is not None:
                yield one, found
    small = [each for each in operands if each[0].dw is not None and each[0].dw.size <= TILE]
    if small:
        boxes, a, factors, delta_c, sizes, exact = map(list, zip(*small, strict=True))
        value = Ragged.products(transpose(a), delta_c)
        bound = Ragged.products(transpose(factors), sizes).flat
        radius = bound + value.spread([one.model.u for one in boxes]) * np.abs(value.flat)
        yield from to_bounds(boxes, "dw", value, radius * (bound > value.spread(exact)))


def compare_in_tiles(one: DenseArrays, a: Any, factor: Any, delta_c: Any, size: Any, exact: float) -> Comparison | None:
    """Compare dE/dw a block of rows at a time; None if an entry exceeds its radius u |v| + bound (0 where exact).

    Absolute values are float32, except for a float64 framework.
    """
    assert one.dw is not None
    u, rows = one.model.u, max(1, TILE // delta_c.shape[1])
    tiles: list[Extremes] = []
    wide = u < FORMATS["float32"].u
    for start in range(0, a.shape[1], rows):
        tile = slice(start, start + rows)
        value, bound = a[:, tile].T @ delta_c, factor[:, tile].T @ size
        entries = np.abs(value) if wide else np.abs(value, dtype=np.float32, casting="same_kind")
        radius = u * entries
        radius += bound
        radius *= bound > exact
        radius *= SAFE
        ratio = error_ratios(one.dw[tile], value, radius)
        found = extremes(ratio, one.dw[tile], value, entries, radius)
        if not found.ratio <= 1:
            return None
        tiles.append(found.below(start))
    return one.bound("dw", value, radius).accept(merged(tiles))


def bias_gradient_bounds(on: Operands) -> NodeBounds:
    """dE/db = the sum of delta_c over the examples."""
    boxes = [one for one in on.boxes if one.db is not None]
    if not boxes:
        return
    value = Ragged.of(np.add.reduce(one.delta_c, -2) for one in boxes)
    size = Ragged.of(np.add.reduce(np.abs(one.delta_c), -2) for one in boxes).flat
    bound = size * value.spread([SAFE * one.p.shape[0] * one.model.biases.u for one in boxes])
    lowest = lowest_bits([one.delta_c for one in boxes])
    exact = [exact_below(one.model, one.p.shape[0], q) for one, q in zip(boxes, lowest, strict=True)]
    radius = bound + value.spread([one.model.u for one in boxes]) * np.abs(value.flat)
    yield from to_bounds(boxes, "db", value, radius * (bound > value.spread(exact)))


def to_bounds(boxes: Sequence[DenseArrays], label: str, value: Ragged, radius: np.ndarray) -> NodeBounds:
    for one, expected, allowed in zip(boxes, value.views, value.like(radius).views, strict=True):
        yield one, one.bound(label, expected, allowed)


MAX_ROUNDING = 16
"""In tolerances: a larger difference is not due to rounding."""
MAX_UNDERFLOW = 2.0**32
"""In smallest normal numbers: a larger difference is not due to underflow."""


def explaining_derivatives(
    activation: Activation, model: Model, kinks: Kinks, p: Any, observed: Any, delta_a: Any, radius: Any
) -> dict[str, frozenset[str]] | None:
    """The derivatives that explain all entries on each kink, given delta_a within its radius; None if unclear.

    A derivative explains a kink if every entry is within its rounding errors and those of delta_a, and does not if
    one entry is far off.
    """
    found = {}
    for name, on in kinks.items():
        here = [np.broadcast_to(x, on.shape)[on] for x in (observed, delta_a, radius)]
        explains = {side: _explains(one_sided_derivative(activation, p[on], side), model, *here) for side in ADMISSIBLE}
        if None in explains.values():
            return None
        found[name] = frozenset([FROM_REFERENCE, *(side for side, yes in explains.items() if yes)])
    return found


def _explains(derivative: Any, model: Model, observed: Any, delta_a: Any, radius: Any) -> bool | None:
    value = derivative * delta_a
    tolerance = np.abs(derivative) * radius + model.u * (model.formula * np.abs(derivative) * np.abs(delta_a))
    off = np.abs(observed - value)
    if np.all((off == 0) | (off <= SAFE * tolerance)):
        return True
    return False if np.any(off > MAX_ROUNDING * tolerance + MAX_UNDERFLOW * model.format.smallest_normal) else None
