"""Sliding windows, and convolution by them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np


def windows(x: Any, sizes: Sequence[int], strides: Sequence[int], dilations: Sequence[int]) -> Any:
    """All windows over the last axes of an array.

    Args:
        x: Array of shape (..., *lengths).
        sizes: Entries of a window along each of the last axes.
        strides: Steps from one window to the next.
        dilations: Steps from one entry of a window to the next.

    Returns:
        Array of shape (..., *windows, *sizes).

    Example:
        >>> windows(np.arange(5.0), [2], [2], [1])
        array([[0., 1.],
               [2., 3.]])
    """
    spatial = len(sizes)
    lead, lengths = np.shape(x)[: np.ndim(x) - spatial], np.shape(x)[np.ndim(x) - spatial :]
    grid: Any = 0
    counts = []
    for k, (n, size, stride, dilation) in enumerate(zip(lengths, sizes, strides, dilations, strict=True)):
        counts.append(max((n - dilation * (size - 1) - 1) // stride + 1, 0))
        along = stride * np.arange(counts[-1])[:, None] + dilation * np.arange(size)
        shape = [1] * (2 * spatial)
        shape[k], shape[spatial + k] = along.shape
        grid = grid + along.reshape(shape) * math.prod(lengths[k + 1 :])
    flat = np.reshape(x, (*lead, math.prod(lengths)))
    return np.reshape(flat[..., np.ravel(grid)], (*lead, *counts, *sizes))


def spread_out(x: Any, widths: Sequence[tuple[int, int]], gaps: Sequence[int], value: float = 0.0) -> Any:
    """The last axes of an array with entries between, before and after; negative widths cut.

    Args:
        x: Array of shape (..., *lengths).
        widths: Entries before and after, for each of the last axes.
        gaps: Steps from one entry to the next: 1 for none between.
        value: The new entries.
    """
    lead = np.ndim(x) - len(widths)
    numbers = np.arange(math.prod(np.shape(x)[lead:])).reshape(np.shape(x)[lead:])
    lengths = [max((n - 1) * gap + 1, 0) for n, gap in zip(numbers.shape, gaps, strict=True)]
    places = np.full(lengths, -1)
    places[tuple(slice(None, None, gap) for gap in gaps)] = numbers
    places = np.pad(places, [(max(a, 0), max(b, 0)) for a, b in widths], constant_values=-1)
    places = places[tuple(slice(max(-a, 0), n - max(-b, 0)) for (a, b), n in zip(widths, places.shape, strict=True))]
    flat = np.reshape(x, (*np.shape(x)[:lead], numbers.size))
    if places.size == numbers.size and (places >= 0).all():
        return x
    taken = flat[..., np.maximum(np.ravel(places), 0)]
    return np.reshape(np.where(np.ravel(places) < 0, value, taken), (*np.shape(x)[:lead], *places.shape))


def convolution(
    x: Any, w: Any, strides: Sequence[int], widths: Sequence[tuple[int, int]], dilations: Sequence[int],
    groups: int = 1, gaps: Sequence[int] | None = None,
) -> Any:  # fmt: skip
    """y[n, o, i] = sum over c and k of x[n, c, stride i + dilation k] w[o, c, k], as one matrix product for each group.

    Args:
        x: Inputs, of shape (examples, channels, *lengths).
        w: Weights, of shape (outputs, channels / groups, *sizes).
        strides: Steps of the window, for each spatial axis.
        widths: Zeros before and after, for each spatial axis; negative ones cut.
        dilations: Steps between the entries of a window.
        groups: Number of groups into which channels and outputs are divided.
        gaps: Steps between the entries of x after zeros are put between them (of a transposed convolution).

    Returns:
        Array of shape (examples, outputs, *windows).

    Example:
        >>> convolution(np.ones((1, 1, 4)), np.ones((1, 1, 2)), [1], [(0, 1)], [1])
        array([[[2., 2., 2., 1.]]])
    """
    examples, channels = np.shape(x)[:2]
    outputs, own, *sizes = np.shape(w)
    spatial = len(sizes)
    spread = spread_out(x, widths, gaps or (1,) * spatial)
    seen = windows(spread, sizes, strides, dilations)
    counts = np.shape(seen)[2 : 2 + spatial]
    seen = np.reshape(seen, (examples, groups, channels // groups, math.prod(counts), math.prod(sizes)))
    rows = np.reshape(
        np.transpose(seen, (1, 0, 3, 2, 4)), (groups, examples * math.prod(counts), own * math.prod(sizes))
    )
    columns = np.swapaxes(np.reshape(w, (groups, outputs // groups, own * math.prod(sizes))), 1, 2)
    found = np.reshape(rows @ columns, (groups, examples, math.prod(counts), outputs // groups))
    return np.reshape(np.transpose(found, (1, 0, 3, 2)), (examples, outputs, *counts))
