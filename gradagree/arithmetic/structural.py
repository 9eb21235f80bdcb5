"""Functions that only move entries or read shapes, shared by all arithmetics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gradagree.arithmetic.duck import Duck, NoRule

STRUCTURAL = (
    np.broadcast_to, np.copy, np.diagonal, np.expand_dims, np.flip, np.fliplr, np.flipud, np.moveaxis, np.ravel,
    np.repeat, np.reshape, np.roll, np.rollaxis, np.rot90, np.squeeze, np.swapaxes, np.take, np.take_along_axis,
    np.tile, np.transpose, np.lib.stride_tricks.sliding_window_view,
)  # fmt: skip
"""Functions that move entries and compute nothing."""

SPLITTING = (np.array_split, np.dsplit, np.hsplit, np.split, np.vsplit)
"""Functions that return a list of parts."""

JOINING = (np.concatenate, np.stack)

SHAPES = (np.empty_like, np.full_like, np.ndim, np.ones_like, np.shape, np.size, np.zeros_like)
"""Functions of the shape alone; they return ordinary arrays."""


def require_array(x: Any, function: Callable[..., Any]) -> Duck:
    if not isinstance(x, Duck):
        raise NoRule(f"{function.__name__} accepts ordinary numbers only for all arguments after the first")
    return x


def per_component(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, *args, **kwargs: require_array(x, function).map(function, *args, **kwargs)


def split_components(function: Callable[..., Any]) -> Callable[..., Any]:
    def rule(x: Any, *args: Any, **kwargs: Any) -> list[Any]:
        parts = (function(part, *args, **kwargs) for part in require_array(x, function)._parts())
        return [x._like(*pieces) for pieces in zip(*parts, strict=True)]

    return rule


def join_components(function: Callable[..., Any]) -> Callable[..., Any]:
    def rule(arrays: Sequence[Any], axis: int = 0) -> Any:
        highest = max((x for x in arrays if isinstance(x, Duck)), key=lambda x: x.rank)
        return highest._join(function, arrays, axis)

    return rule


def of_shape(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, *args, **kwargs: function(np.empty(require_array(x, function).shape), *args, **kwargs)


def at_least(dimensions: int) -> Callable[..., Any]:
    """np.atleast_1d and so on: leading axes of length 1; as in NumPy, the third axis is appended."""
    function: Any = (np.atleast_1d, np.atleast_2d, np.atleast_3d)[dimensions - 1]

    def rule(*xs: Any) -> Any:
        found = tuple(x.map(function) if isinstance(x, Duck) else function(x) for x in xs)
        return found[0] if len(found) == 1 else found

    return rule


def hstack(arrays: Sequence[Any]) -> Any:
    arrays = [np.atleast_1d(x) for x in arrays]
    return np.concatenate(arrays, axis=min(arrays[0].ndim - 1, 1))


def column_stack(arrays: Sequence[Any]) -> Any:
    return np.concatenate([x if np.ndim(x) > 1 else np.atleast_2d(x).T for x in arrays], axis=1)


def append(x: Any, y: Any, axis: int | None = None) -> Any:
    return np.concatenate([np.ravel(x), np.ravel(y)] if axis is None else [x, y], axis=axis or 0)


def broadcast_arrays(*arrays: Any) -> tuple[Any, ...]:
    shape = np.broadcast_shapes(*map(np.shape, arrays))
    return tuple(np.broadcast_to(x, shape) for x in arrays)


PAD_MODES = ("constant", "edge", "reflect", "symmetric", "wrap")
"""Modes of np.pad that repeat entries, or fill in a constant."""


def pad(x: Any, pad_width: Any, mode: str = "constant", constant_values: Any = 0.0) -> Any:
    """np.pad: each entry of the result is an entry of x or the constant."""
    if mode not in PAD_MODES:
        raise NoRule(f"np.pad supports only the modes {', '.join(PAD_MODES)} here, not {mode!r}; write np.concatenate")
    places = np.arange(x.size).reshape(x.shape)
    if mode != "constant":
        return np.ravel(x)[np.pad(places, pad_width, mode)]  # type: ignore[call-overload]
    places = np.pad(places, pad_width, constant_values=-1)
    if np.ndim(constant_values):
        constant_values = np.pad(np.zeros(x.shape), pad_width, constant_values=constant_values)
    if not x.size:
        return np.broadcast_to(constant_values, places.shape) + np.zeros(places.shape)
    return np.where(places < 0, constant_values, np.ravel(x)[np.maximum(places, 0)])


def triangle(keep: Callable[..., Any]) -> Callable[..., Any]:
    """np.tril and np.triu: zeros on the other side of a diagonal."""
    return lambda x, k=0: np.where(keep(np.ones(np.shape(x)[-2:]), k) > 0, x, 0.0)


Duck.derived.update({
    **{f: per_component(f) for f in STRUCTURAL}, **{f: split_components(f) for f in SPLITTING},
    **{f: join_components(f) for f in JOINING}, **{f: of_shape(f) for f in SHAPES},
    np.atleast_1d: at_least(1), np.atleast_2d: at_least(2), np.atleast_3d: at_least(3), np.hstack: hstack,
    np.vstack: lambda arrays: np.concatenate([np.atleast_2d(x) for x in arrays], axis=0),
    np.dstack: lambda arrays: np.concatenate([np.atleast_3d(x) for x in arrays], axis=2),
    np.column_stack: column_stack, np.append: append, np.broadcast_arrays: broadcast_arrays, np.pad: pad,
    np.tril: triangle(np.tril), np.triu: triangle(np.triu),
})  # fmt: skip
