"""Sorting along an axis, and the largest entries."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gradagree.reference.operations.primitive import between, midpoints, possible, register
from gradagree.reference.operations.scatter import rows_by_target, scatter_add


def top_k(x: Any, k: int, axis: int = -1, largest: bool = True) -> Any:
    """The k largest (smallest) entries along an axis, the largest (smallest) first.

    Example:
        >>> top_k(np.array([3.0, 1.0, 2.0]), 2)
        array([3., 2.])
    """
    lined = np.moveaxis(np.sort(x, axis=axis), axis, -1)
    first = np.flip(lined, axis=-1) if largest else lined
    return np.moveaxis(first[..., :k], -1, axis)


def sort(g: Any, y: Any, x: Any, axis: int = -1) -> tuple[Any]:
    """Each entry has the cotangent of its position; entries that may be equal have those of their positions in any
    order."""
    shape = np.shape(x)
    order = np.argsort(midpoints(x), axis=axis, kind="stable")
    places = np.take_along_axis(np.arange(math.prod(shape)).reshape(shape), order, axis=axis)
    ordered, cotangents = (np.moveaxis(z, axis, -1) for z in (np.take_along_axis(x, order, axis=axis), g))
    g = np.moveaxis(among_equals(cotangents, possible(ordered[..., 1:] == ordered[..., :-1])), -1, axis)
    return (scatter_add(g, places, shape),)


def among_equals(g: Any, joined: np.ndarray) -> Any:
    """g along the last axis; any number between the least and the greatest where neighbours are joined."""
    if not joined.any():
        return g
    starts = np.concatenate([np.ones((*joined.shape[:-1], 1), dtype=bool), ~joined], axis=-1)
    groups = np.cumsum(starts.ravel()) - 1
    flat = np.ravel(g)
    for _, members in rows_by_target(groups):
        if members.shape[1] > 1:
            ends = (f(flat[members], axis=-1)[:, None] for f in (np.min, np.max))
            low, high = (np.broadcast_to(end, members.shape) for end in ends)
            flat = replaced(flat, members, between(np.ones(members.shape, dtype=bool), low, high))
    return np.reshape(flat, np.shape(g))


def replaced(flat: Any, members: np.ndarray, values: Any) -> Any:
    source = np.full(np.size(flat), -1)
    source[members] = np.arange(members.size).reshape(members.shape)
    return np.where(source >= 0, np.ravel(values)[np.maximum(source, 0)], flat)


register(np.sort, sort)
