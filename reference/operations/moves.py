"""Operations that move entries: one rule for all of them, the scatter of the cotangent to where the entries came from.

Every such operation is ``y = ravel(x)[places]``, with an integer array ``places`` that the operation itself gives when
it is applied to the numbers 0, 1, 2, ... in the shape of x.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradagree.reference.operations.primitive import PRIMITIVES, Vjp, register, sum_to
from gradagree.reference.operations.scatter import put, scatter_add


def gather(x: Any, index: Any) -> Any:
    """x[index], for every index that NumPy knows."""
    return x[index]


def stop_gradient(x: Any) -> Any:
    """x, as a constant for differentiation."""
    return x.stop_gradient() if hasattr(x, "stop_gradient") else x


def constant(x: Any, c: Any) -> Any:
    """c in the arithmetic of x, on which it does not depend."""
    if hasattr(x, "record"):
        return x.record(PRIMITIVES[constant], x, c)
    return x._lift(c) if hasattr(x, "_lift") else np.asarray(c)


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


def swapaxes(g: Any, y: Any, x: Any, axis1: int, axis2: int) -> tuple[Any, None, None]:
    return np.swapaxes(g, axis1, axis2), None, None


def moveaxis(g: Any, y: Any, x: Any, source: Any, destination: Any) -> tuple[Any, None, None]:
    return np.moveaxis(g, destination, source), None, None


def flip(g: Any, y: Any, x: Any, axis: Any = None) -> tuple[Any, None]:
    return np.flip(g, axis), None


def roll(g: Any, y: Any, x: Any, shift: Any, axis: Any = None) -> tuple[Any, None, None]:
    return np.roll(g, np.negative(shift), axis), None, None


def taken(g: Any, y: Any, x: Any, index: Any) -> tuple[Any, None]:
    """Slices and single places: each entry of x is taken at most once, so that nothing is added."""
    parts = index if isinstance(index, tuple) else (index,)
    if all(part is None or part is Ellipsis or isinstance(part, slice | int) for part in parts):
        return put(np.zeros(np.shape(x)), index, g), None
    return moved(gather)(g, y, x, index)  # type: ignore[return-value]


MOVES: tuple[Any, ...] = (
    np.diagonal, np.fliplr, np.flipud, np.repeat, np.rot90, np.take, np.take_along_axis, np.tile, np.rollaxis,
    np.lib.stride_tricks.sliding_window_view,
)  # fmt: skip
RESHAPES: tuple[Any, ...] = (np.expand_dims, np.ravel, np.reshape, np.squeeze, np.copy)
for function in MOVES:
    register(function, moved(function))
for function in RESHAPES:
    register(function, reshape)
register(gather, taken, "indexing")
register(np.swapaxes, swapaxes)
register(np.moveaxis, moveaxis)
register(np.flip, flip)
register(np.roll, roll)
register(stop_gradient, None)
register(constant, None)
register(np.transpose, transpose)
register(np.broadcast_to, broadcast_to)
CONCATENATE, STACK = joined(np.concatenate), joined(np.stack)
register(CONCATENATE, concatenate, "concatenate")
register(STACK, stack, "stack")
