"""Operations that read and write entries at computed places."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from gradagree.adapters.aten.shapes import at, put
from gradagree.adapters.aten.table import aten, concrete
from gradagree.reference.operations.primitive import midpoints


class Writes(NamedTuple):
    """The sources of each place that receives any: row i of `sources` holds the positions for `places[i]`.

    Rows are filled up with the number of sources.
    """

    places: np.ndarray
    sources: np.ndarray


def groups(places: np.ndarray, every: np.ndarray | None = None) -> Writes:
    """Positions in an array of places, grouped by place, in their order; every: places that have a row in any case."""
    places = np.ravel(places)
    order = np.argsort(places, kind="stable")
    found, first, counts = np.unique(places[order], return_index=True, return_counts=True)
    sources = np.full((found.size, int(counts.max(initial=0))), places.size)
    rank = np.arange(places.size) - np.repeat(first, counts)
    sources[np.repeat(np.arange(found.size), counts), rank] = order
    if every is None:
        return Writes(found, sources)
    rows = np.full((every.size, sources.shape[1]), places.size)
    rows[found] = sources
    return Writes(every, rows)


def combine(
    x: Any, places: np.ndarray, source: Any, how: Callable[..., Any], neutral: float, include: bool = True
) -> Any:
    """x, with the entries of source that have the same place combined with the entry of x at that place.

    Args:
        x: Array to write into.
        places: Places in the flattened x, of the shape of source.
        source: Values to combine.
        how: Combines an array along its axis 0, such as a sum.
        neutral: The number that changes no combination.
        include: False if the entry of x at the place does not count.
    """
    if not np.size(places):
        return x
    if how is product and not include:
        written_to = np.isin(numbers(x), places)
        x, include = np.where(written_to, 1.0, x), True
    # the derivative of a product is also computed as product / x, where nothing was written too
    into = groups(places, np.arange(np.size(x)) if how is product else None)
    if np.isinf(neutral):  # a number beyond all others, but no larger than needed
        size = np.ceil(max(np.max(np.abs(midpoints(z)), initial=0.0) for z in (x, source))) + 1
        neutral = float(np.copysign(size, neutral))
    padded = np.concatenate([np.ravel(source), np.full(1, neutral)], axis=0)
    columns = [padded[column] for column in into.sources.T]
    flat = np.ravel(x)
    parts = [flat[into.places], *columns] if include else columns
    found = how(parts, into.sources.shape[1] - np.sum(into.sources == np.size(places), axis=1) + include)
    back = np.full(np.size(x), -1)
    back[into.places] = np.arange(into.places.size)
    new = np.concatenate([found, flat], axis=0)[np.where(back >= 0, back, found.size + np.arange(np.size(x)))]
    return np.reshape(new, np.shape(x))


def one_by_one(parts: Any, _: Any) -> Any:
    """The sum, with each partial sum stored: writes into memory are added one after the other."""
    return functools.reduce(np.add, parts)


def product(parts: Any, _: Any) -> Any:
    return np.prod(np.stack(parts, axis=0), axis=0)


def largest(parts: Any, _: Any) -> Any:
    return np.max(np.stack(parts, axis=0), axis=0)


def smallest(parts: Any, _: Any) -> Any:
    return np.min(np.stack(parts, axis=0), axis=0)


def average(parts: Any, counts: Any) -> Any:
    return one_by_one(parts, counts) / counts


REDUCTIONS: dict[str, tuple[Callable[..., Any], float]] = {
    "sum": (one_by_one, 0.0), "add": (one_by_one, 0.0), "prod": (product, 1.0), "multiply": (product, 1.0),
    "mean": (average, 0.0), "amax": (largest, -np.inf), "amin": (smallest, np.inf),
}  # fmt: skip


def numbers(x: Any) -> np.ndarray:
    """The number of each entry."""
    return np.arange(int(np.prod(np.shape(x)))).reshape(np.shape(x))


def along(x: Any, dim: int, index: Any) -> np.ndarray:
    """The places that gather and scatter name: those of x with the index in one axis."""
    index = concrete(index)
    if not np.ndim(x):
        return np.zeros(index.shape, int)
    grids = list(np.indices(index.shape))
    grids[dim] = index
    return numbers(x)[tuple(grids)]


def first_entries(source: Any, index: Any) -> Any:
    """The part of source that scatter reads: its first entries in each axis, as many as the index has."""
    shape = np.shape(index)
    if np.ndim(source) == 0 or np.shape(source) == shape:
        return np.broadcast_to(source, shape)
    return source[tuple(slice(n) for n in shape)]


def written(x: Any, places: np.ndarray, source: Any) -> Any:
    """x with its entries at the places replaced; of several sources of a place the last one counts."""
    flat = np.ravel(x)
    return np.reshape(put(flat, np.ravel(places), np.ravel(np.broadcast_to(source, np.shape(places)))), np.shape(x))


@aten("scatter")
def scatter(x: Any, dim: int, index: Any, source: Any = None, *, reduce: str | None = None, value: Any = None) -> Any:
    source = first_entries(value if source is None else source, index)
    places = along(x, dim, index)
    if reduce is None:
        return written(x, places, source)
    how, neutral = REDUCTIONS[reduce]
    return combine(x, places, source, how, neutral)


@aten("scatter_add")
def scatter_add(x: Any, dim: int, index: Any, source: Any) -> Any:
    return combine(x, along(x, dim, index), first_entries(source, index), *REDUCTIONS["sum"])


@aten("scatter_reduce")
def scatter_reduce(x: Any, dim: int, index: Any, source: Any, reduce: str, *, include_self: bool = True) -> Any:
    how, neutral = REDUCTIONS[reduce]
    return combine(x, along(x, dim, index), first_entries(source, index), how, neutral, include_self)


def rows(x: Any, dim: int, index: Any) -> np.ndarray:
    """The places of whole slices of x along one axis."""
    if not np.ndim(x):
        return np.zeros(np.shape(np.ravel(index)) if np.size(index) > 1 else (), int)
    return np.take(numbers(x), np.ravel(concrete(index)), axis=dim)


@aten("index_add")
def index_add(x: Any, dim: int, index: Any, source: Any, *, alpha: Any = 1) -> Any:
    places = rows(x, dim, index)
    source = np.reshape(source, np.shape(places))
    return combine(x, places, source if alpha == 1 else alpha * source, *REDUCTIONS["sum"])


@aten("index_copy")
def index_copy(x: Any, dim: int, index: Any, source: Any) -> Any:
    places = rows(x, dim, index)
    return written(x, places, np.reshape(source, np.shape(places)))


@aten("index_fill")
def index_fill(x: Any, dim: int, index: Any, value: Any) -> Any:
    return written(x, rows(x, dim, index), value)


@aten("index_reduce")
def index_reduce(x: Any, dim: int, index: Any, source: Any, reduce: str, *, include_self: bool = True) -> Any:
    how, neutral = REDUCTIONS[reduce]
    places = rows(x, dim, index)
    return combine(x, places, np.reshape(source, np.shape(places)), how, neutral, include_self)


@aten("index_put", "_unsafe_index_put")
def index_put(x: Any, indices: Any, values: Any, accumulate: bool = False, *_: Any) -> Any:
    given = tuple(slice(None) if i is None else concrete(i) for i in indices)
    places = numbers(x)[given]
    values = np.broadcast_to(values, np.shape(places))
    return combine(x, places, values, *REDUCTIONS["sum"]) if accumulate else written(x, places, values)


@aten("put")
def put_entries(x: Any, index: Any, source: Any, accumulate: bool = False) -> Any:
    places = concrete(index) % max(np.size(x), 1)
    source = np.reshape(source, np.shape(places))
    return combine(x, places, source, *REDUCTIONS["sum"]) if accumulate else written(x, places, source)


@aten("take")
def take(x: Any, index: Any) -> Any:
    return np.ravel(x)[concrete(index)]


@aten("masked_select")
def masked_select(x: Any, mask: Any) -> Any:
    shape = np.broadcast_shapes(np.shape(x), np.shape(mask))
    return np.broadcast_to(x, shape)[np.broadcast_to(concrete(mask), shape)]


@aten("masked_scatter")
def masked_scatter(x: Any, mask: Any, source: Any) -> Any:
    """The entries of source, in their order, where the mask is true."""
    shape = np.broadcast_shapes(np.shape(x), np.shape(mask))
    x, mask = np.broadcast_to(x, shape), np.broadcast_to(concrete(mask), shape)
    if not mask.any():
        return x
    rank = np.reshape(np.cumsum(np.ravel(mask)) - 1, shape)
    return np.where(mask, np.ravel(source)[np.where(mask, rank, 0)], x)


@aten("unfold")
def unfold(x: Any, dim: int, size: int, step: int) -> Any:
    """Windows along one axis, each in a new last axis."""
    if not np.ndim(x):
        return np.reshape(x, (size,))
    starts = np.arange(0, np.shape(x)[dim] - size + 1, step)
    taken = x[at(x, dim, np.ravel(starts[:, None] + np.arange(size)))]
    dim = dim % np.ndim(x)
    shape = (*np.shape(x)[:dim], len(starts), size, *np.shape(x)[dim + 1 :])
    return np.moveaxis(np.reshape(taken, shape), dim + 1, -1)


@aten("repeat_interleave")
def repeat_interleave(repeats: Any, **_: Any) -> Any:
    repeats = concrete(repeats)
    return np.repeat(np.arange(len(repeats)), repeats)


@aten("segment_reduce")
def segment_reduce(
    data: Any, reduce: str, *, lengths: Any = None, indices: Any = None, offsets: Any = None, axis: int = 0,
    unsafe: bool = False, initial: Any = None,
) -> Any:  # fmt: skip
    """Reductions of consecutive segments along the last axis of the lengths."""
    lengths = np.diff(concrete(offsets), axis=-1) if lengths is None else concrete(lengths)
    outer = lengths.shape[:-1]
    how, neutral = REDUCTIONS[{"max": "amax", "min": "amin"}.get(reduce, reduce)]
    empty = {"max": -np.inf, "min": np.inf, "mean": np.nan}.get(reduce, neutral) if initial is None else initial
    found = []
    for place in np.ndindex(*outer):
        start = 0
        for n in lengths[place]:
            rest = np.shape(data)[len(outer) + 1 :]
            parts = [np.full(rest, initial)] if initial is not None else []  # partial sums begin with it
            parts += [data[(*place, start + k)] for k in range(int(n))]
            start += int(n)
            found.append(how(parts, np.full(rest, max(int(n), 1))) if parts else np.full(rest, empty))
    return np.reshape(np.stack(found, axis=0), (*lengths.shape, *np.shape(data)[len(outer) + 1 :]))
