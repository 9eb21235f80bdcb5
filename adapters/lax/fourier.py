"""Discrete Fourier transforms, as products with the matrix of cosines and sines."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradagree.adapters.lax.table import form
from gradagree.reference.operations.complex_numbers import join_parts
from gradagree.reference.operations.spectral import in_norm


def waves(n: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """cos and sin of 2 pi j k / n, in rows j and columns k; exact at multiples of a quarter turn."""
    eighths = (8 * np.outer(np.arange(n), np.arange(columns)) % (8 * n)) / n
    angle = np.pi / 4 * eighths
    exact = eighths % 2 == 0
    cos, sin = np.cos(angle), np.sin(angle)
    return np.where(exact, np.rint(cos), cos), np.where(exact, np.rint(sin), sin)


def transformed(re: Any, im: Any, axis: int, inverse: bool) -> tuple[Any, Any]:
    """The transform along one axis, without a factor for the inverse."""
    n = np.shape(re)[axis]
    cos, sin = waves(n, n)
    sin = sin if inverse else -sin
    re, im = np.moveaxis(re, axis, -1), np.moveaxis(im, axis, -1)
    found = re @ cos - im @ sin, re @ sin + im @ cos
    return np.moveaxis(found[0], -1, axis), np.moveaxis(found[1], -1, axis)


def to_half(x: Any, n: int) -> tuple[Any, Any]:
    """The first n // 2 + 1 terms of the transform of real numbers along the last axis."""
    cos, sin = waves(n, n // 2 + 1)
    return x @ cos, x @ -sin


def from_half(re: Any, im: Any, n: int) -> Any:
    """Real numbers from the first n // 2 + 1 terms; imaginary parts that must be 0 do not count."""
    cos, sin = (np.transpose(z) for z in waves(n, n // 2 + 1))
    weights = np.where((np.arange(n // 2 + 1) == 0) | (2 * np.arange(n // 2 + 1) == n), 1.0, 2.0)[:, None]
    return re @ (weights * cos) - im @ (weights * sin)


@form("fft")
def fft(params: Any, z: Any) -> Any:
    """Along the last axes, as many as there are lengths."""
    kind, lengths = int(params["fft_type"]), tuple(params["fft_lengths"])
    real_input, real_output = kind == 2, kind == 3
    inverse = kind in (1, 3)
    others = range(-len(lengths), 0) if kind < 2 else range(-len(lengths), -1)
    axes = tuple(range(-len(lengths), 0))
    if real_input:
        re, im = to_half(in_norm(z, axes), lengths[-1])
    else:
        re, im = accurate_in_norm(np.real(z), np.imag(z), axes)
    for axis in others:
        re, im = transformed(re, im, axis, inverse)
    scale = float(np.prod(lengths))
    if real_output:
        return in_norm(from_half(re, im, lengths[-1]) / scale, axes)
    if inverse:
        re, im = re / scale, im / scale
    return join_parts(*accurate_in_norm(re, im, axes))


def accurate_in_norm(re: Any, im: Any, axes: tuple[int, ...]) -> tuple[Any, Any]:
    both = in_norm(np.stack([re, im], axis=-1), (*(k - 1 for k in axes), -1))
    return both[..., 0], both[..., 1]
