"""Scattering: arrays with entries added or replaced at given places."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from gradagree.reference.operations.primitive import overridable, register, sum_to


@overridable
def scatter_add(g: Any, places: np.ndarray, shape: Sequence[int]) -> Any:
    """The array of this shape whose entry i is the sum of the entries of g that have place i; 0 without any.

    Args:
        g: Array to scatter, of the shape of places.
        places: Positions in the flattened result, integers; those below 0 are dropped.
        shape: Shape of the result.

    Example:
        >>> scatter_add(np.array([1.0, 2.0, 3.0]), np.array([0, 2, 0]), (4,))
        array([4., 0., 2., 0.])
    """
    g, places = np.reshape(g, (-1,)), np.ravel(places)
    if type(g) is np.ndarray:
        kept = places >= 0
        return np.bincount(places[kept], g[kept], minlength=math.prod(shape)).reshape(shape)
    return reduce_at(g, places, shape, lambda rows: np.sum(rows, axis=-1))


def reduce_at(g: Any, places: np.ndarray, shape: Sequence[int], reduce: Callable[[Any], Any]) -> Any:
    """As `scatter_add`, with another reduction of rows, which may contain additional zeros."""
    size = math.prod(shape)
    padded = np.concatenate([g, np.zeros(1)], axis=0)
    back, found, first = np.full(size, -1), [], 0
    for targets, sources in rows_by_target(places, g.size):
        back[targets] = np.arange(first, first + targets.size)
        first += targets.size
        found.append(padded[sources[:, 0]] if sources.shape[1] == 1 else reduce(padded[sources]))
    if not found:
        return np.zeros(tuple(shape))
    joined = np.concatenate(found, axis=0) if len(found) > 1 else found[0]
    if (back < 0).any():
        joined = np.concatenate([joined, np.zeros(1)], axis=0)
    return np.reshape(joined[back], tuple(shape))


def rows_by_target(places: np.ndarray, fill: int | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Targets, and for each a row of the positions whose place it is.

    Targets are grouped by the length of their rows, rounded up to a power of 2; the rest of a row is filled with a
    given position, by default with its own first one.
    """
    order = np.argsort(places, kind="stable")
    order = order[places[order] >= 0]
    found, first, counts = np.unique(places[order], return_index=True, return_counts=True)
    length = 1 << np.ceil(np.log2(counts)).astype(int)
    for n in np.unique(length):
        chosen = np.flatnonzero(length == n)
        rank = np.arange(n)
        inside = rank < counts[chosen, None]
        own = order[first[chosen, None] + np.where(inside, rank, 0)]
        yield found[chosen], own if fill is None else np.where(inside, own, fill)


@overridable
def put(x: Any, index: Any, values: Any) -> Any:
    """A copy of x with ``x[index] = values``; of several values for one entry, the last one stays.

    Args:
        x: Array of any type that NumPy dispatches to.
        index: Any index that NumPy knows.
        values: Array of the shape of ``x[index]``, or one that broadcasts to it.

    Example:
        >>> put(np.zeros(4), [1, 3], 5.0)
        array([0., 5., 0., 5.])
    """
    if all(type(z) is np.ndarray or not hasattr(z, "__array_function__") for z in (x, values)):
        found = np.array(x, dtype=np.result_type(x, values))
        found[index] = values
        return found
    source = writers(np.shape(x), index)
    values = np.ravel(np.broadcast_to(values, np.shape(source[index])))
    return np.where(source >= 0, values[np.maximum(source, 0)], x) if np.size(values) else x


def writers(shape: Sequence[int], index: Any) -> np.ndarray:
    """For each entry of an array, the number of the value that an assignment to ``x[index]`` gives it, or -1."""
    found = np.full(tuple(shape), -1)
    found[index] = np.arange(found[index].size).reshape(found[index].shape)
    return found


def add_at(x: Any, index: Any, values: Any) -> Any:
    """A copy of x after ``np.add.at(x, index, values)``: each entry is one sum, in any order.

    Example:
        >>> add_at(np.ones(3), [0, 0], np.array([1.0, 2.0]))
        array([4., 1., 1.])
    """
    numbers = np.arange(math.prod(np.shape(x))).reshape(np.shape(x))
    places = numbers[index]
    terms = [np.ravel(x), np.ravel(np.broadcast_to(values, np.shape(places)))]
    both = np.concatenate([np.ravel(numbers), np.ravel(places)])
    return scatter_add(np.concatenate(terms, axis=0), both, np.shape(x))


def along_axis(indices: Any, axis: int) -> tuple[Any, ...]:
    """The index of np.take_along_axis and its relatives."""
    grids = list(np.indices(np.shape(indices), sparse=True))
    grids[axis] = np.asarray(indices)
    return tuple(grids)


def put_along_axis(x: Any, indices: Any, values: Any, axis: int) -> Any:
    """A copy of x after ``np.put_along_axis(x, indices, values, axis)``.

    Example:
        >>> put_along_axis(np.zeros((2, 2)), np.array([[1], [0]]), 7.0, axis=1)
        array([[0., 7.],
               [7., 0.]])
    """
    return put(x, along_axis(indices, axis), values)


def scatter_add_vjp(g: Any, y: Any, x: Any, places: np.ndarray, shape: Any) -> tuple[Any, None, None]:
    """Each entry has the cotangent of its place."""
    found = np.ravel(g)[np.maximum(places, 0)]
    found = np.where(places >= 0, found, 0.0) if np.any(places < 0) else found
    return np.reshape(found, np.shape(x)), None, None


def put_vjp(g: Any, y: Any, x: Any, index: Any, values: Any) -> tuple[Any, None, Any]:
    """Replaced entries of x have none; a value that another one replaced has none either."""
    source = writers(np.shape(x), index)[index]
    stays = source == np.arange(np.size(source)).reshape(np.shape(source))
    by_values = g[index] if np.all(stays) else np.where(stays, g[index], 0.0)
    return put(g, index, 0.0), None, sum_to(by_values, np.shape(values))


register(scatter_add, scatter_add_vjp)
register(put, put_vjp)
