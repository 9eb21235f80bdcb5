"""Windows that slide over the last axes of an array: where their entries come from, and the entries themselves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np


def per_axis(x: Any, count: int) -> list[int]:
    """One number for each axis, from a number or a list that may hold one for all."""
    given = [int(k) for k in np.atleast_1d(np.asarray(x, dtype=np.int64))]
    return given * count if len(given) == 1 else given


def window_starts(
    n: int, kernel: int, stride: int, padding: int, dilation: int = 1, ceil_mode: bool = False
) -> np.ndarray:
    """The first positions of the windows along an axis of length n; negative in the padding."""
    free = n + 2 * padding - dilation * (kernel - 1) - 1
    count = (-(-free // stride) if ceil_mode else free // stride) + 1
    if ceil_mode and (count - 1) * stride >= n + padding:
        count -= 1
    return np.arange(count) * stride - padding


def combine_axes(positions: Sequence[np.ndarray], shape: Sequence[int]) -> np.ndarray:
    """Places in the flattened axes from the positions along each axis.

    Args:
        positions: For each axis an array (windows, entries of a window); those outside the axis mark no entry.
        shape: Lengths of the axes.

    Returns:
        Integers (windows along each axis, entries of a window); -1 for no entry.
    """
    count = len(shape)
    places = np.zeros((1,) * (2 * count), dtype=np.int64)
    outside = np.zeros((1,) * (2 * count), dtype=bool)
    for k, (own, n) in enumerate(zip(positions, shape, strict=True)):
        along = [1] * (2 * count)
        along[k], along[count + k] = own.shape
        wide = own.reshape(along)
        places, outside = places * n + wide, outside | (wide < 0) | (wide >= n)
    full = np.where(outside, -1, places)
    return full.reshape((*full.shape[:count], -1))


def window_places(
    shape: Sequence[int], kernel: Any, stride: Any, padding: Any, dilation: Any = 1, ceil_mode: bool = False
) -> np.ndarray:
    """Places of the entries of sliding windows in the flattened axes; -1 in the padding.

    Args:
        shape: Lengths of the axes over which the windows slide.
        kernel: Lengths of the windows; like the following, a number or one for each axis.
        stride: Steps of the windows; an empty list stands for the kernel.
        padding: Entries before and after each axis.
        dilation: Steps within the windows.
        ceil_mode: True to let windows run beyond the end.

    Example:
        >>> window_places((4,), 2, 1, 0)
        array([[0, 1],
               [1, 2],
               [2, 3]])
    """
    count = len(shape)
    kernel = per_axis(kernel, count)
    stride = per_axis(stride if np.size(stride) else kernel, count)
    padding, dilation = per_axis(padding, count), per_axis(dilation, count)
    positions = []
    for n, k, s, p, d in zip(shape, kernel, stride, padding, dilation, strict=True):
        positions.append(window_starts(n, k, s, p, d, ceil_mode)[:, None] + d * np.arange(k))
    return combine_axes(positions, shape)


def take_windows(x: Any, places: np.ndarray, fill: float = 0.0) -> Any:
    """The entries of windows over the last axes of x, an array (..., *shape of places); `fill` where places is -1."""
    shape, over = np.shape(x), places.ndim - 1
    lead = shape[: len(shape) - over]
    flat = np.reshape(x, (*lead, math.prod(shape[len(lead) :])))
    if (places < 0).any():
        flat = np.concatenate([flat, np.full((*lead, 1), fill)], axis=-1)
    return flat[..., places]


def bins(n: int, count: int) -> np.ndarray:
    """Positions in adaptive windows (count, entries): bin i runs from floor(i n / count) to ceil((i+1) n / count)."""
    starts = [i * n // count for i in range(count)]
    ends = [-(-(i + 1) * n // count) for i in range(count)]
    most = max((b - a for a, b in zip(starts, ends, strict=True)), default=0)
    found = np.full((count, most), -1)
    for i, (a, b) in enumerate(zip(starts, ends, strict=True)):
        found[i, : b - a] = np.arange(a, b)
    return found
