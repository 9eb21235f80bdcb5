"""Operations that move entries: one rule for all of them, the scatter of the cotangent to where the entries came from.

Every such operation is ``y = ravel(x)[places]``, with an integer array ``places`` that the operation itself gives when
it is applied to the numbers 0, 1, 2, ... in the shape of x.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gradagree.reference.operations.primitive import Vjp, midpoints, register, sum_to


def gather(x: Any, index: Any) -> Any:
    """x[index], for every index that NumPy knows."""
    return x[index]


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
    size = int(np.prod(shape))
    g, places = np.reshape(g, (-1,)), np.ravel(places)
    if type(g) is np.ndarray:
        kept = places >= 0
        return np.bincount(places[kept], g[kept], minlength=size).reshape(shape)
    order = np.argsort(places, kind="stable")
    order = order[places[order] >= 0]
    found, first, counts = np.unique(places[order], return_index=True, return_counts=True)
    if not found.size:
        return np.zeros(shape)
    most = int(counts.max())
    rank = np.arange(order.size) - np.repeat(first, counts)
    sources = np.full((found.size, most), g.size)
    sources[np.repeat(np.arange(found.size), counts), rank] = order
    padded = np.concatenate([g, np.zeros(1)], axis=0)
    sums = np.sum(padded[sources], axis=-1) if most > 1 else padded[sources[:, 0]]
    back = np.full(size, found.size)
    back[found] = np.arange(found.size)
    return np.reshape(np.concatenate([sums, np.zeros(1)], axis=0)[back], tuple(shape))


def moved(function: Callable[..., Any]) -> Vjp:
    """The vjp of a function that moves the entries of its first argument."""

    def vjp(g: Any, y: Any, x: Any, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        shape = np.shape(x)
        places = function(np.arange(int(np.prod(shape))).reshape(shape), *args, **kwargs)
        return (scatter_add(g, places, shape), *(None for _ in args))

    return vjp


def joined(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of a list of arrays as a function of that many arguments."""

    def call(*arrays: Any, axis: int = 0) -> Any:
        return function(list(arrays), axis=axis)

    return call


def concatenate(g: Any, y: Any, *arrays: Any, axis: int = 0) -> list[Any]:
    found, start = [], 0
    index: list[Any] = [slice(None)] * np.ndim(g)
    for x in arrays:
        index[axis] = slice(start, start + np.shape(x)[axis])
        start += np.shape(x)[axis]
        found.append(g[tuple(index)])
    return found


def stack(g: Any, y: Any, *arrays: Any, axis: int = 0) -> list[Any]:
    lined = np.moveaxis(g, axis, 0)
    return [lined[k] for k in range(len(arrays))]


def reshape(g: Any, y: Any, x: Any, *args: Any, **kwargs: Any) -> tuple[Any]:
    return (np.reshape(g, np.shape(x)),)


def transpose(g: Any, y: Any, x: Any, axes: Any = None) -> tuple[Any]:
    return (np.transpose(g, None if axes is None else [int(k) for k in np.argsort([k % np.ndim(x) for k in axes])]),)


def broadcast_to(g: Any, y: Any, x: Any, *args: Any, **kwargs: Any) -> tuple[Any]:
    return (sum_to(g, np.shape(x)),)


def sort(g: Any, y: Any, x: Any, axis: int = -1) -> tuple[Any]:
    """Equal entries may come in any order; a stable sort's is taken."""
    order = np.argsort(midpoints(x), axis=axis, kind="stable")
    places = np.take_along_axis(np.arange(int(np.prod(np.shape(x)))).reshape(np.shape(x)), order, axis=axis)
    return (scatter_add(g, places, np.shape(x)),)


MOVES: tuple[Any, ...] = (
    np.diagonal, np.flip, np.fliplr, np.flipud, np.repeat, np.roll, np.rot90, np.take, np.take_along_axis, np.tile,
    np.moveaxis, np.rollaxis, np.swapaxes,
)  # fmt: skip
RESHAPES: tuple[Any, ...] = (np.expand_dims, np.ravel, np.reshape, np.squeeze, np.copy)
for function in MOVES:
    register(function, moved(function))
for function in RESHAPES:
    register(function, reshape)
register(gather, moved(gather), "indexing")
register(np.transpose, transpose)
register(np.broadcast_to, broadcast_to)
register(np.sort, sort)
CONCATENATE, STACK = joined(np.concatenate), joined(np.stack)
register(CONCATENATE, concatenate, "concatenate")
register(STACK, stack, "stack")
