"""Interpolation: upsampling by nearest neighbours and by linear and cubic weights, and sampling at a grid."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gradagree.adapters.aten.table import ATEN, aten
from gradagree.reference.operations.primitive import midpoints
from gradagree.reference.operations.spectral import like

CUBIC = -0.75
"""The parameter of the cubic kernel that PyTorch uses."""


def output_lengths(x: Any, size: Any, scales: Sequence[Any], axes: int) -> tuple[list[int], list[float | None]]:
    """The lengths of the result and the scale of each axis, None where the lengths give it."""
    shape = np.shape(x)[np.ndim(x) - axes :]
    given = list(scales[0]) if scales and isinstance(scales[0], list | tuple) else list(scales)
    given = (given + [None] * axes)[:axes]
    if size is None:
        return [int(np.floor(float(n) * s)) for n, s in zip(shape, given, strict=True)], given
    return [int(n) for n in size], given


def nearest(axes: int, exact: bool) -> Callable[..., Any]:
    """PyTorch computes the places in single precision, for every dtype."""

    def upsample(x: Any, size: Any, *scales: Any) -> Any:
        lengths, given = output_lengths(x, size, scales, axes)
        for axis, (m, scale) in enumerate(zip(lengths, given, strict=True), np.ndim(x) - axes):
            x = np.take(x, nearest_places(np.shape(x)[axis], m, scale, exact), axis=axis)
        return x

    return upsample


def nearest_places(n: int, m: int, scale: float | None, exact: bool) -> np.ndarray:
    single = np.float32
    step = single(1.0 / scale) if scale else single(n) / single(m)
    places = np.arange(m).astype(single)
    if not exact and m == n:
        return np.arange(n)
    if not exact and m == 2 * n:
        return np.arange(m) // 2
    found = np.floor((places + single(0.5 if exact else 0)) * step)
    return np.minimum(found.astype(int), n - 1)


def step_of(n: int, m: int, scale: float | None, align_corners: bool) -> float:
    if align_corners:
        return (n - 1) / (m - 1) if m > 1 else 0.0
    return 1.0 / scale if scale else n / m


def positions(x: Any, n: int, m: int, scale: float | None, align_corners: bool, cubic: bool) -> Any:
    """The position in x of each of m new entries."""
    step = step_of(n, m, scale, align_corners)
    numbers = like(np.arange(m).astype(float), x)
    found = numbers * step if align_corners else (numbers + 0.5) * step - 0.5
    return found if cubic else np.maximum(found, 0.0)


def linear_weights(at: Any) -> list[tuple[np.ndarray, Any]]:
    """The entries near a position, each with its weight max(0, 1 - distance).

    There are three of them, one of which has weight 0, so that a position may lie on either side of an entry within
    its rounding error.
    """
    middle = np.rint(midpoints(at)).astype(int)
    places = [middle - 1, middle, middle + 1]
    return [(place, np.maximum(1 - np.abs(at - place.astype(float)), 0.0)) for place in places]


def cubic_entries(at: Any) -> list[tuple[np.ndarray, Any]]:
    """The four entries near a position, each with its weight."""
    before = np.floor(midpoints(at)).astype(int)
    return [(before + k, weight) for k, weight in enumerate(cubic_weights(at - before.astype(float)), -1)]


def cubic_weights(t: Any) -> list[Any]:
    """The weights of the entries at -1, 0, 1 and 2 for a position t between 0 and 1 (Keys 1981)."""

    def near(x: Any) -> Any:
        return ((CUBIC + 2) * x - (CUBIC + 3)) * x * x + 1

    def far(x: Any) -> Any:
        return ((CUBIC * x - 5 * CUBIC) * x + 8 * CUBIC) * x - 4 * CUBIC

    return [far(t + 1), near(t), near(1 - t), far(2 - t)]


def interpolate(x: Any, axis: int, m: int, scale: float | None, align_corners: bool, cubic: bool) -> Any:
    """One axis at new positions: the sum of the neighbours times their weights."""
    n = np.shape(x)[axis]
    if n == m and not cubic:
        return x
    at = positions(x, n, m, scale, align_corners, cubic)
    along = [1] * np.ndim(x)
    along[axis] = m
    total: Any = None
    for place, weight in cubic_entries(at) if cubic else linear_weights(at):
        part = np.take(x, np.clip(place, 0, n - 1), axis=axis) * np.reshape(weight, along)
        total = part if total is None else total + part
    return total


def linear(axes: int, cubic: bool = False) -> Callable[..., Any]:
    def upsample(x: Any, size: Any, align_corners: bool, *scales: Any) -> Any:
        lengths, given = output_lengths(x, size, scales, axes)
        for axis in reversed(range(axes)):
            x = interpolate(x, np.ndim(x) - axes + axis, lengths[axis], given[axis], align_corners, cubic)
        return x

    return upsample


for count in (1, 2, 3):
    ATEN[f"aten.upsample_nearest{count}d"] = nearest(count, exact=False)
    ATEN[f"aten._upsample_nearest_exact{count}d"] = nearest(count, exact=True)
for name, count in (("linear1d", 1), ("bilinear2d", 2), ("trilinear3d", 3)):
    ATEN[f"aten.upsample_{name}"] = linear(count)
ATEN["aten.upsample_bicubic2d"] = linear(2, cubic=True)


ANTIALIASED_CUBIC = -0.5
"""The parameter of the cubic kernel with antialiasing."""


def triangle(t: Any) -> Any:
    """max(0, 1 - |t|)."""
    return np.maximum(1 - np.abs(t), 0.0)


def cubic_kernel(t: Any) -> Any:
    """The cubic convolution kernel (Keys 1981), 0 from a distance of 2 on."""
    a, size = ANTIALIASED_CUBIC, np.abs(t)
    near = ((a + 2) * size - (a + 3)) * size * size + 1
    far = (((size - 5) * size + 8) * size - 4) * a
    return np.where(size < 1, near, np.where(size < 2, far, 0.0))


def antialiased_axis(
    x: Any, axis: int, m: int, scale: float | None, align_corners: bool, kernel: Callable[..., Any], radius: int
) -> Any:
    """One axis at m new positions: weighted means over the kernel, which is stretched when the axis gets shorter."""
    n = np.shape(x)[axis]
    step = step_of(n, m, scale, align_corners)
    stretch = max(step, 1.0)
    middle = (np.arange(m) + 0.5) * step
    first = np.floor(middle - radius * stretch).astype(int)
    places = first[:, None] + np.arange(int(np.ceil(2 * radius * stretch)) + 1)
    inside = (places >= 0) & (places < n)
    center = (like(np.arange(m).astype(float), x) + 0.5) * step
    weights = np.where(inside, kernel((places + 0.5 - np.expand_dims(center, 1)) / stretch), 0.0)
    weights = weights / np.sum(weights, axis=1, keepdims=True)
    seen = np.moveaxis(x, axis, -1)[..., np.clip(places, 0, n - 1)]
    return np.moveaxis(np.sum(seen * weights, axis=-1), -1, axis)


def antialiased(kernel: Callable[..., Any], radius: int) -> Callable[..., Any]:
    def upsample(x: Any, size: Any, align_corners: bool, *scales: Any) -> Any:
        lengths, given = output_lengths(x, size, scales, 2)
        for axis in (1, 0):
            place = np.ndim(x) - 2 + axis
            x = antialiased_axis(x, place, lengths[axis], given[axis], align_corners, kernel, radius)
        return x

    return upsample


ATEN["aten._upsample_bilinear2d_aa"] = antialiased(triangle, 1)
ATEN["aten._upsample_bicubic2d_aa"] = antialiased(cubic_kernel, 2)


BILINEAR, NEAREST, BICUBIC = 0, 1, 2
ZEROS, BORDER, REFLECTION = 0, 1, 2


@aten("grid_sampler_2d", "grid_sampler_3d")
def grid_sampler(x: Any, grid: Any, mode: int, padding: int, align_corners: bool) -> Any:
    """x (batch, channels, *shape) at the positions of a grid (batch, *out, axes), which run from -1 to 1."""
    shape = np.shape(x)[2:]
    positions = []
    for k, n in enumerate(shape):
        own = grid[..., len(shape) - 1 - k]
        at = (own + 1) / 2 * float(n - 1) if align_corners else ((own + 1) * float(n) - 1) / 2
        positions.append(at if mode == BICUBIC else into_range(at, n, padding, align_corners))
    corners = [neighbours(at, mode) for at in positions]
    total: Any = None
    for choice in itertools.product(*corners):
        weight: Any = None
        for _, own in choice:
            weight = own if weight is None or own is None else weight * own
        seen = entries(x, [place for place, _ in choice], padding, align_corners)
        part = seen if weight is None else seen * np.expand_dims(weight, 1)
        total = part if total is None else total + part
    return total


def neighbours(at: Any, mode: int) -> list[tuple[np.ndarray, Any]]:
    """The entries near a position, each with its weight; None stands for 1."""
    if mode == NEAREST:
        return nearest_entries(at)
    return linear_weights(at) if mode == BILINEAR else cubic_entries(at)


def nearest_entries(at: Any) -> list[tuple[np.ndarray, Any]]:
    """The entries near a position, of which the nearest has weight 1; halfway within the error, any one may have it."""
    middle = np.rint(midpoints(at)).astype(int)
    rest = at - middle.astype(float)
    rest = rest - np.where(np.abs(midpoints(rest)) == 0.5, midpoints(rest), 0.0)  # halfway, the nearest one is even
    steps = [(step, np.where(np.abs(rest - step) < 0.5, 1.0, 0.0)) for step in (-1, 0, 1)]
    return [(middle + step, weight) for step, weight in steps]


def into_range(at: Any, n: int, padding: int, align_corners: bool) -> Any:
    """Positions outside moved to the border, or reflected at it."""
    if padding == REFLECTION:
        low, span = (0.0, float(n - 1)) if align_corners else (-0.5, float(n))
        if span == 0:
            return at * 0.0
        periods = np.rint(midpoints(at - low) / (2 * span))
        at = np.abs(at - low - 2 * span * periods) + low
    return at if padding == ZEROS else np.clip(at, 0.0, float(n - 1))


def entries(x: Any, places: list[np.ndarray], padding: int, align_corners: bool) -> Any:
    """The entries (batch, channels, *out) at integer places, 0 outside."""
    shape = np.shape(x)[2:]
    inside = np.ones(places[0].shape, dtype=bool)
    found = []
    for place, n in zip(places, shape, strict=True):
        if padding != ZEROS:
            place = np.rint(into_range(place.astype(float), n, padding, align_corners)).astype(int)
        inside = inside & (place >= 0) & (place < n)
        found.append(np.expand_dims(np.clip(place, 0, n - 1), 1))
    batch = np.arange(np.shape(x)[0]).reshape(-1, *(1,) * (found[0].ndim - 1))
    channels = np.arange(np.shape(x)[1]).reshape(1, -1, *(1,) * (found[0].ndim - 2))
    seen = x[(batch, channels, *found)]
    return seen if inside.all() else np.where(np.expand_dims(inside, 1), seen, 0.0)
