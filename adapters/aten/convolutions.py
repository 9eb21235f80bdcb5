"""Convolutions: matrix products with sliding windows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gradagree.adapters.aten.table import aten
from gradagree.adapters.aten.windows import per_axis, take_windows, window_places
from gradagree.reference.operations import windows
from gradagree.reference.operations.scatter import scatter_add


@aten("convolution", "_convolution", "conv1d", "conv2d", "conv3d")
def convolution(
    x: Any, w: Any, b: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, transposed: bool = False,
    output_padding: Any = 0, groups: int = 1, *_: Any,
) -> Any:  # fmt: skip
    """Of images (batch, channels, *shape) with weights (outputs, channels / groups, *kernel)."""
    count = np.ndim(w) - 2
    sizes = [per_axis(z, count) for z in (stride, padding, dilation, output_padding)]
    batched = np.ndim(x) == np.ndim(w)
    x = x if batched else np.expand_dims(x, 0)
    if transposed:
        found = transpose_convolution(x, w, groups, *sizes)
    else:
        found = windows.convolution(x, w, sizes[0], [(p, p) for p in sizes[1]], sizes[2], groups)
    if b is not None:
        found = found + np.reshape(b, (-1, *(1,) * count))
    return found if batched else found[0]


def transpose_convolution(
    x: Any, w: Any, groups: int, stride: list[int], padding: list[int], dilation: list[int], extra: list[int]
) -> Any:
    """Each entry of x adds a multiple of the kernel (channels, outputs / groups, *kernel) to the result."""
    n, channels, *shape = np.shape(x)
    kernel = np.shape(w)[2:]
    sizes = zip(shape, stride, padding, dilation, kernel, extra, strict=True)
    out = [(m - 1) * s - 2 * p + d * (k - 1) + e + 1 for m, s, p, d, k, e in sizes]
    positions = window_places(out, kernel, stride, padding, dilation)[tuple(slice(m) for m in shape)]
    seen = np.swapaxes(np.reshape(x, (n, groups, channels // groups, -1)), -1, -2)
    terms = np.shape(w)[1] * math.prod(kernel)
    product = seen @ np.reshape(w, (groups, channels // groups, terms))
    outputs = np.shape(w)[1] * groups
    parts = np.reshape(product, (n, groups, math.prod(shape), np.shape(w)[1], math.prod(kernel)))
    parts = np.reshape(np.swapaxes(parts, 2, 3), (n * outputs, math.prod(shape) * math.prod(kernel)))
    size, images = math.prod(out), np.arange(n * outputs)[:, None]
    places = np.ravel(positions)
    return np.reshape(
        scatter_add(parts, np.where(places < 0, -1, places + size * images), (n * outputs * size,)), (n, outputs, *out)
    )


@aten("im2col")
def im2col(x: Any, kernel: Any, dilation: Any, padding: Any, stride: Any) -> Any:
    """(..., channels x kernel, windows)."""
    places = window_places(np.shape(x)[-2:], kernel, stride, padding, dilation)
    count = math.prod(places.shape[:-1])
    seen = np.reshape(take_windows(x, places), (*np.shape(x)[:-2], count, places.shape[-1]))
    return np.reshape(np.swapaxes(seen, -1, -2), (*np.shape(x)[:-3], np.shape(x)[-3] * places.shape[-1], count))


@aten("col2im")
def col2im(x: Any, shape: Any, kernel: Any, dilation: Any, padding: Any, stride: Any) -> Any:
    """The sum of the windows (..., channels x kernel, windows) at their places."""
    places = window_places(shape, kernel, stride, padding, dilation)
    places = np.swapaxes(places.reshape(-1, places.shape[-1]), 0, 1)
    lead, size = (*np.shape(x)[:-2], np.shape(x)[-2] // places.shape[0]), math.prod(shape)
    images = np.arange(math.prod(lead)).reshape(-1, 1, 1)
    spread = np.where(places < 0, -1, places + size * images)
    return np.reshape(scatter_add(x, spread, (math.prod(lead) * size,)), (*lead, *shape))
