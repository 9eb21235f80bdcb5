"""Primitives that only move entries: one form for all arithmetics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from gradagree.adapters.lax.table import PLACED, form, placed
from gradagree.reference.operations.scatter import scatter_add


@form("split")
def split(params: Any, x: Any) -> Any:
    ends = [int(k) for k in np.cumsum(params["sizes"])[:-1]]
    return np.split(x, ends, axis=params["axis"])


def numbers(shape: Sequence[int], first: int = 0) -> Any:
    """The numbers of the entries of an array of this shape."""
    return jnp.arange(first, first + int(np.prod(shape)), dtype=jnp.int32).reshape(shape)


@placed("gather")
def gather(params: dict[str, Any], operands: Sequence[Any]) -> Callable[..., Any]:
    """The form of a gather: JAX itself says where each entry comes from."""
    x, indices = operands
    own = {name: params[name] for name in ("dimension_numbers", "slice_sizes", "mode")}
    found = lax.gather(numbers(np.shape(x)), jnp.asarray(indices), fill_value=-1, **own)
    places = np.asarray(found)
    filled = params.get("fill_value")
    outside = np.nan if filled is None else filled

    def run(x: Any, _: Any) -> Any:
        picked = np.ravel(x)[np.maximum(places, 0)]
        return np.where(places < 0, outside, picked) if (places < 0).any() else picked

    return run


@form("iota")
def iota(params: Any) -> Any:
    shape, axis = tuple(params["shape"]), params["dimension"]
    lined = [1] * len(shape)
    lined[axis] = shape[axis]
    return np.broadcast_to(np.arange(shape[axis]).reshape(lined), shape)


@form("concatenate")
def concatenate(params: Any, *xs: Any) -> Any:
    return np.concatenate(xs, axis=params["dimension"])


@form("stack")
def stack(params: Any, *xs: Any) -> Any:
    return np.stack(xs, axis=params["axis"])


@form("unstack")
def unstack(params: Any, x: Any) -> Any:
    lined = np.moveaxis(x, params["axis"], 0)
    return [lined[k] for k in range(np.shape(lined)[0])]


@form("tile")
def tile(params: Any, x: Any) -> Any:
    return np.tile(x, tuple(params["reps"]))


@form("pad")
def pad(params: Any, x: Any, value: Any) -> Any:
    """Low, high and interior padding; negative widths cut."""
    places = np.arange(int(np.prod(np.shape(x)))).reshape(np.shape(x))
    for axis, (low, high, inner) in enumerate(params["padding_config"]):
        n = places.shape[axis]
        spread = np.full([*places.shape[:axis], n + max(n - 1, 0) * inner, *places.shape[axis + 1 :]], -1)
        spread[(slice(None),) * axis + (slice(None, None, inner + 1),)] = places
        widths = [(0, 0)] * places.ndim
        widths[axis] = (max(low, 0), max(high, 0))
        places = np.pad(spread, widths, constant_values=-1)
        places = places[(slice(None),) * axis + (slice(max(-low, 0), places.shape[axis] - max(-high, 0)),)]
    return np.where(places < 0, value, np.ravel(x)[np.maximum(places, 0)])


def starts(x: Any, sizes: Sequence[int], at: Sequence[Any]) -> tuple[slice, ...]:
    """The window of a dynamic slice, moved inside the array."""
    first = [min(max(int(k), 0), n - m) for k, n, m in zip(at, np.shape(x), sizes, strict=True)]
    return tuple(slice(k, k + m) for k, m in zip(first, sizes, strict=True))


@form("dynamic_slice")
def dynamic_slice(params: Any, x: Any, *at: Any) -> Any:
    return x[starts(x, params["slice_sizes"], at)]


@form("dynamic_update_slice")
def dynamic_update_slice(params: Any, x: Any, update: Any, *at: Any) -> Any:
    places = np.full(np.shape(x), -1)
    places[starts(x, np.shape(update), at)] = np.arange(int(np.prod(np.shape(update)))).reshape(np.shape(update))
    return np.where(places < 0, x, np.ravel(update)[np.maximum(places, 0)])


@form("reshape")
def reshape(params: Any, x: Any) -> Any:
    """With its axes in another order first, where the program says so."""
    order = params.get("dimensions")
    return np.reshape(x if order is None else np.transpose(x, tuple(order)), tuple(params["new_sizes"]))


@form("squeeze")
def squeeze(params: Any, x: Any) -> Any:
    return np.squeeze(x, tuple(params["dimensions"])) if params["dimensions"] else x


@form("expand_dims")
def expand_dims(params: Any, x: Any) -> Any:
    return np.expand_dims(x, tuple(params["dimensions"]))


@form("transpose")
def transpose(params: Any, x: Any) -> Any:
    return np.transpose(x, tuple(params["permutation"]))


@form("rev")
def rev(params: Any, x: Any) -> Any:
    return np.flip(x, tuple(params["dimensions"]))


@form("slice")
def slice_(params: Any, x: Any) -> Any:
    steps = params["strides"] or (1,) * np.ndim(x)
    ends = zip(params["start_indices"], params["limit_indices"], steps, strict=True)
    return x[tuple(slice(a, b, c) for a, b, c in ends)]


@form("broadcast_in_dim")
def broadcast_in_dim(params: Any, x: Any, *_: Any) -> Any:
    shape, at = tuple(params["shape"]), params["broadcast_dimensions"]
    own = [1] * len(shape)
    for k, n in zip(at, np.shape(x), strict=True):
        own[k] = n
    return np.broadcast_to(np.reshape(x, own), shape)


# Scatters.


def scatter_places(params: dict[str, Any], operands: Sequence[Any]) -> np.ndarray:
    """The place of each update in the flattened operand, by the gather that reads where the scatter writes.

    Updates outside the operand have the place -1.
    """
    x, indices, updates = operands
    own = params["dimension_numbers"]
    window = [k for k in range(np.ndim(x)) if k not in (*own.inserted_window_dims, *own.operand_batching_dims)]
    sizes = [1] * np.ndim(x)
    for k, at in zip(window, own.update_window_dims, strict=True):
        sizes[k] = np.shape(updates)[at]
    numbers_of = lax.GatherDimensionNumbers(
        offset_dims=own.update_window_dims,
        collapsed_slice_dims=own.inserted_window_dims,
        start_index_map=own.scatter_dims_to_operand_dims,
        operand_batching_dims=own.operand_batching_dims,
        start_indices_batching_dims=own.scatter_indices_batching_dims,
    )
    found = lax.gather(
        numbers(np.shape(x)), jnp.asarray(indices), numbers_of, tuple(sizes), mode=params["mode"], fill_value=-1,
    )  # fmt: skip
    return np.asarray(found)


@placed("scatter")
def scatter(params: dict[str, Any], operands: Sequence[Any]) -> Callable[..., Any]:
    """Each update replaces the entry at its place."""
    places = scatter_places(params, operands)
    source = np.full(int(np.prod(np.shape(operands[0]))), -1)
    source[places[places >= 0]] = np.arange(places.size).reshape(places.shape)[places >= 0]

    def run(x: Any, _: Any, updates: Any) -> Any:
        if not source.size or not places.size:
            return x
        return np.reshape(np.where(source >= 0, np.ravel(updates)[np.maximum(source, 0)], np.ravel(x)), np.shape(x))

    return run


@placed("scatter-sub")
def subtracted(params: dict[str, Any], operands: Sequence[Any]) -> Callable[..., Any]:
    add = added(params, operands)
    return lambda x, indices, updates: add(x, indices, -updates)


@placed("scatter-add")
def added(params: dict[str, Any], operands: Sequence[Any]) -> Callable[..., Any]:
    """Each entry and the updates at its place are one sum."""
    places = scatter_places(params, operands)

    def run(x: Any, _: Any, updates: Any) -> Any:
        own = np.arange(int(np.prod(np.shape(x))))
        terms = np.concatenate([np.ravel(x), np.ravel(updates)], axis=0)
        return scatter_add(terms, np.concatenate([own, places.ravel()]), np.shape(x))

    return run


def combining(function: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """A scatter that combines each entry with its updates, one after the other."""

    def at(params: dict[str, Any], operands: Sequence[Any]) -> Callable[..., Any]:
        sources = sources_of(scatter_places(params, operands), int(np.prod(np.shape(operands[0]))))

        def run(x: Any, _: Any, updates: Any) -> Any:
            found, flat = np.ravel(x), np.ravel(updates)
            for source in sources:
                hit = np.flatnonzero(source >= 0)
                combined = function(found[hit], flat[source[hit]])
                back = np.full(source.size, -1)
                back[hit] = np.arange(hit.size)
                found = np.where(source >= 0, combined[np.maximum(back, 0)], found)
            return np.reshape(found, np.shape(x))

        return run

    return at


for name, function in {"scatter-mul": np.multiply, "scatter-min": np.minimum, "scatter-max": np.maximum}.items():
    PLACED[name] = combining(function)


def sources_of(places: np.ndarray, size: int) -> list[np.ndarray]:
    """For the first, second, ... update of each entry its number among the updates; -1 for an entry without one."""
    flat = places.ravel()
    order = np.argsort(flat, kind="stable")
    order = order[flat[order] >= 0]
    found, first, counts = np.unique(flat[order], return_index=True, return_counts=True)
    rank = np.arange(order.size) - np.repeat(first, counts)
    sources = np.full((int(counts.max(initial=0)), size), -1)
    sources[rank, np.repeat(found, counts)] = order
    return list(sources)
