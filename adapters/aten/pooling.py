"""Pooling: the mean or the largest entry of sliding or adaptive windows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gradagree.adapters.aten.indexing import groups
from gradagree.adapters.aten.table import aten
from gradagree.adapters.aten.windows import bins, combine_axes, per_axis, take_windows, window_places, window_starts
from gradagree.reference.operations.primitive import midpoints


@aten("avg_pool1d")
def average_pool_1d(x: Any, *args: Any, **kwargs: Any) -> Any:
    return average_pool(x, 1, *args, **kwargs)


@aten("avg_pool2d")
def average_pool_2d(x: Any, *args: Any, **kwargs: Any) -> Any:
    return average_pool(x, 2, *args, **kwargs)


@aten("avg_pool3d")
def average_pool_3d(x: Any, *args: Any, **kwargs: Any) -> Any:
    return average_pool(x, 3, *args, **kwargs)


def average_pool(
    x: Any, count: int, kernel_size: Any, stride: Any = (), padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> Any:  # fmt: skip
    """The sum of each window over its number of entries; those in the padding count if asked for."""
    shape = np.shape(x)[np.ndim(x) - count :]
    places = window_places(shape, kernel_size, stride, padding, 1, ceil_mode)
    total = np.sum(take_windows(x, places), axis=-1)
    if divisor_override is not None:
        return total / float(divisor_override)
    return total / window_sizes(places, shape, kernel_size, stride, padding, ceil_mode, count_include_pad)


def window_sizes(
    places: np.ndarray, shape: Any, kernel: Any, stride: Any, padding: Any, ceil_mode: bool, with_padding: bool
) -> np.ndarray:
    """Number of entries of each window, without what lies beyond the padding."""
    if not with_padding:
        return np.sum(places >= 0, axis=-1).astype(float)
    sizes = np.ones(())
    kernel = per_axis(kernel, len(shape))
    stride = per_axis(stride if np.size(stride) else kernel, len(shape))
    for n, k, s, p in zip(shape, kernel, stride, per_axis(padding, len(shape)), strict=True):
        starts = window_starts(n, k, s, p, 1, ceil_mode)
        sizes = np.multiply.outer(sizes, np.minimum(starts + k, n + p) - starts)
    return sizes


@aten(
    "_adaptive_avg_pool2d", "adaptive_avg_pool2d", "_adaptive_avg_pool3d", "adaptive_avg_pool3d", "adaptive_avg_pool1d"
)
def adaptive_average_pool(x: Any, output_size: Any) -> Any:
    places = adaptive_places(x, output_size)
    return np.sum(take_windows(x, places), axis=-1) / np.sum(places >= 0, axis=-1).astype(float)


def adaptive_places(x: Any, output_size: Any) -> np.ndarray:
    """Places of the entries of adaptive windows over the last axes."""
    out = [int(n) for n in np.atleast_1d(output_size)]
    shape = np.shape(x)[np.ndim(x) - len(out) :]
    return combine_axes([bins(n, m) for n, m in zip(shape, out, strict=True)], shape)


@aten("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d")
def adaptive_max_pool(x: Any, output_size: Any) -> Any:
    return largest(x, adaptive_places(x, output_size))


def largest(x: Any, places: np.ndarray, taken: np.ndarray | None = None) -> Any:
    """(the largest entry of each window, its place: the one that PyTorch took, if its entry is the largest)."""
    if taken is not None and is_largest(midpoints(x), places, taken):
        lead = np.shape(taken)[: np.ndim(taken) - (places.ndim - 1)]
        picked = np.take_along_axis(np.reshape(x, (*lead, -1)), np.reshape(taken, (*lead, -1)), axis=-1)
        return np.reshape(picked, np.shape(taken)), taken
    seen = take_windows(x, places, -np.inf)
    first = np.argmax(midpoints(seen), axis=-1)
    found = np.take_along_axis(np.broadcast_to(places, np.shape(seen)), first[..., None], axis=-1)[..., 0]
    return np.max(seen, axis=-1), found


def is_largest(x: np.ndarray, places: np.ndarray, taken: np.ndarray) -> bool:
    """True if each place is in its window, and no entry of the window is larger."""
    seen = take_windows(x, places, -np.inf)
    if taken.shape != seen.shape[:-1] or taken.size == 0 or taken.min() < 0:
        return False
    lead = taken.shape[: taken.ndim - (places.ndim - 1)]
    flat = x.reshape(*lead, -1)
    if taken.max() >= flat.shape[-1] or not (places == taken[..., None]).any(axis=-1).all():
        return False
    picked = np.take_along_axis(flat, taken.reshape(*lead, -1), axis=-1).reshape(taken.shape)
    return bool(np.array_equal(picked, np.max(seen, axis=-1)))


@aten("max_pool2d_with_indices")
def max_pool_2d(
    x: Any, kernel: Any, stride: Any = (), padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    taken: np.ndarray | None = None,
) -> Any:  # fmt: skip
    return largest(x, window_places(np.shape(x)[-2:], kernel, stride, padding, dilation, ceil_mode), taken)


@aten("max_pool3d_with_indices")
def max_pool_3d(
    x: Any, kernel: Any, stride: Any = (), padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    taken: np.ndarray | None = None,
) -> Any:  # fmt: skip
    return largest(x, window_places(np.shape(x)[-3:], kernel, stride, padding, dilation, ceil_mode), taken)


@aten("fractional_max_pool2d", "fractional_max_pool3d")
def fractional_max_pool(x: Any, kernel: Any, output_size: Any, samples: Any) -> Any:
    """Windows at the pseudo-random starts that the samples (batch, channels, axes) give."""
    out = [int(n) for n in np.atleast_1d(output_size)]
    shape = np.shape(x)[np.ndim(x) - len(out) :]
    lead = np.shape(x)[: np.ndim(x) - len(out)]
    kernel = per_axis(kernel, len(out))
    if not np.size(x):
        return np.zeros((*lead, *out)), np.zeros((*lead, *out), int)
    samples = midpoints(samples).reshape(math.prod(lead), len(out))
    places = []
    for own in samples:
        axes = [
            fractional_starts(u, n, m, k)[:, None] + np.arange(k)
            for u, n, m, k in zip(own[::-1] if len(out) == 2 else own, shape, out, kernel, strict=True)
        ]
        places.append(combine_axes(axes, shape))
    size = math.prod(shape)
    flat = np.reshape(x, (-1,))
    local = np.stack(places)
    every = local + size * np.arange(len(places)).reshape(-1, *(1,) * (local.ndim - 1))
    seen = flat[every]
    first = np.argmax(midpoints(seen), axis=-1)
    found = np.take_along_axis(local, first[..., None], axis=-1)[..., 0]
    return np.reshape(np.max(seen, axis=-1), (*lead, *out)), found.reshape((*lead, *out))


def fractional_starts(sample: float, n: int, out: int, kernel: int) -> np.ndarray:
    """trunc((i + u) a) - trunc(u a) with a = (n - kernel) / (out - 1); the last window ends with the axis."""
    found = np.full(out, n - kernel)
    if out > 1:
        step = (n - kernel) / (out - 1)
        found[:-1] = np.trunc((np.arange(out - 1) + sample) * step) - np.trunc(sample * step)
    return found


@aten("max_unpool2d", "max_unpool3d")
def max_unpool(x: Any, indices: Any, output_size: Any, *_: Any) -> Any:
    """Each entry at its place in an array of zeros; of equal entries with one place, any one may be written."""
    count, out = len(output_size), [int(n) for n in output_size]
    lead = np.shape(x)[: np.ndim(x) - count]
    size, images = math.prod(out), math.prod(lead)
    places = np.ravel(np.asarray(indices).reshape(images, -1) + size * np.arange(images)[:, None])
    if not places.size:
        return np.zeros((*lead, *out))
    numbers, flat = midpoints(x).ravel(), np.reshape(x, (-1,))
    last = np.full(images * size, -1)
    last[places] = np.arange(places.size)
    written = groups(np.where(numbers == numbers[last[places]], places, images * size))
    padded = np.concatenate([flat, np.full(1, np.floor(np.min(numbers)) - 1)], axis=0)
    largest = np.max(padded[written.sources], axis=-1)
    source = np.full(images * size + 1, written.places.size)
    source[written.places] = np.arange(written.places.size)
    return np.reshape(np.concatenate([largest, np.zeros(1)], axis=0)[source[:-1]], (*lead, *out))
