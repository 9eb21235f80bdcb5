"""The functions that move entries or look at shapes only, for all arithmetics alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gradagree.arithmetics.duck import Duck, NoRule

STRUCTURAL = (
    np.broadcast_to, np.copy, np.diagonal, np.expand_dims, np.flip, np.fliplr, np.flipud, np.moveaxis, np.ravel,
    np.repeat, np.reshape, np.roll, np.rollaxis, np.rot90, np.squeeze, np.swapaxes, np.take, np.take_along_axis,
    np.tile, np.transpose,
)  # fmt: skip
"""Functions that move entries and compute nothing."""

SPLITTING = (np.array_split, np.dsplit, np.hsplit, np.split, np.vsplit)
"""Functions that answer with a list of parts."""

JOINING = (np.concatenate, np.stack)

SHAPES = (np.empty_like, np.full_like, np.ndim, np.ones_like, np.shape, np.size, np.zeros_like)
"""Functions that look only at the shape; they answer with ordinary arrays."""


def first(x: Any, function: Callable[..., Any]) -> Duck:
    if not isinstance(x, Duck):
        raise NoRule(f"{function.__name__} takes ordinary numbers for all arguments but its first")
    return x


def moved(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, *args, **kwargs: first(x, function).map(function, *args, **kwargs)


def parted(function: Callable[..., Any]) -> Callable[..., Any]:
    def rule(x: Any, *args: Any, **kwargs: Any) -> list[Any]:
        parts = (function(part, *args, **kwargs) for part in first(x, function)._parts())
        return [x._like(*pieces) for pieces in zip(*parts, strict=True)]

    return rule


def joined(function: Callable[..., Any]) -> Callable[..., Any]:
    def rule(arrays: Sequence[Any], axis: int = 0) -> Any:
        highest = max((x for x in arrays if isinstance(x, Duck)), key=lambda x: x.rank)
        return highest._join(function, arrays, axis)

    return rule


def shaped(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, *args, **kwargs: function(np.empty(first(x, function).shape), *args, **kwargs)


def at_least(dimensions: int) -> Callable[..., Any]:
    """Leading axes of length 1; the third dimension is added behind, as NumPy does."""
    function: Any = (np.atleast_1d, np.atleast_2d, np.atleast_3d)[dimensions - 1]

    def rule(*xs: Any) -> Any:
        made = tuple(x.map(function) if isinstance(x, Duck) else function(x) for x in xs)
        return made[0] if len(made) == 1 else made

    return rule


def horizontally(arrays: Sequence[Any]) -> Any:
    arrays = [np.atleast_1d(x) for x in arrays]
    return np.concatenate(arrays, axis=min(arrays[0].ndim - 1, 1))


def in_columns(arrays: Sequence[Any]) -> Any:
    return np.concatenate([x if np.ndim(x) > 1 else np.atleast_2d(x).T for x in arrays], axis=1)


def appended(x: Any, y: Any, axis: int | None = None) -> Any:
    return np.concatenate([np.ravel(x), np.ravel(y)] if axis is None else [x, y], axis=axis or 0)


def broadcast(*arrays: Any) -> tuple[Any, ...]:
    shape = np.broadcast_shapes(*map(np.shape, arrays))
    return tuple(np.broadcast_to(x, shape) for x in arrays)


def padded(x: Any, pad_width: Any, mode: str = "constant", constant_values: float = 0.0) -> Any:
    """Each entry of the result is one of x, or the constant."""
    if np.ndim(constant_values):
        raise NoRule("np.pad takes one number for constant_values here: write np.concatenate")
    places = np.arange(x.size).reshape(x.shape)
    if mode != "constant":
        return np.ravel(x)[np.pad(places, pad_width, mode)]  # type: ignore[call-overload]
    places = np.pad(places, pad_width, constant_values=-1)
    return np.where(places < 0, constant_values, np.ravel(x)[places])


def triangle(keep: Callable[..., Any]) -> Callable[..., Any]:
    """np.tril and np.triu: zeros on the other side of a diagonal."""
    return lambda x, k=0: np.where(keep(np.ones(np.shape(x)[-2:]), k) > 0, x, 0.0)


Duck.derived.update({
    **{f: moved(f) for f in STRUCTURAL}, **{f: parted(f) for f in SPLITTING}, **{f: joined(f) for f in JOINING},
    **{f: shaped(f) for f in SHAPES},
    np.atleast_1d: at_least(1), np.atleast_2d: at_least(2), np.atleast_3d: at_least(3), np.hstack: horizontally,
    np.vstack: lambda arrays: np.concatenate([np.atleast_2d(x) for x in arrays], axis=0),
    np.dstack: lambda arrays: np.concatenate([np.atleast_3d(x) for x in arrays], axis=2),
    np.column_stack: in_columns, np.append: appended, np.broadcast_arrays: broadcast, np.pad: padded,
    np.tril: triangle(np.tril), np.triu: triangle(np.triu),
})  # fmt: skip
