"""Padding modes, shuffles of channels, and other layers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import special

from gradagree.adapters.aten.norms import vector_norm
from gradagree.adapters.aten.table import aten


def padded(x: Any, pad: Any, mode: str) -> Any:
    """x with entries of its own around the last axes; negative widths cut entries off."""
    count = len(pad) // 2
    widths = [(int(pad[2 * k]), int(pad[2 * k + 1])) for k in reversed(range(count))]
    for axis, (before, after) in enumerate(widths, np.ndim(x) - count):
        n = np.shape(x)[axis]
        places = np.pad(np.arange(n), (max(before, 0), max(after, 0)), mode=mode)  # type: ignore[call-overload]
        x = np.take(x, places[max(-before, 0) : len(places) - max(-after, 0)], axis=axis)
    return x


@aten("reflection_pad1d", "reflection_pad2d", "reflection_pad3d")
def reflection_pad(x: Any, padding: Any) -> Any:
    return padded(x, padding, "reflect")


@aten("replication_pad1d", "replication_pad2d", "replication_pad3d")
def replication_pad(x: Any, padding: Any) -> Any:
    return padded(x, padding, "edge")


@aten("pixel_shuffle")
def pixel_shuffle(x: Any, factor: int) -> Any:
    """(..., c r^2, h, w) as (..., c, h r, w r)."""
    *lead, c, h, w = np.shape(x)
    split = np.reshape(x, (math.prod(lead), c // factor**2, factor, factor, h, w))
    return np.reshape(np.transpose(split, (0, 1, 4, 2, 5, 3)), (*lead, c // factor**2, h * factor, w * factor))


@aten("pixel_unshuffle")
def pixel_unshuffle(x: Any, factor: int) -> Any:
    """(..., c, h r, w r) as (..., c r^2, h, w)."""
    *lead, c, h, w = np.shape(x)
    split = np.reshape(x, (math.prod(lead), c, h // factor, factor, w // factor, factor))
    return np.reshape(np.transpose(split, (0, 1, 3, 5, 2, 4)), (*lead, c * factor**2, h // factor, w // factor))


@aten("channel_shuffle", "native_channel_shuffle")
def channel_shuffle(x: Any, groups: int) -> Any:
    n, c, *rest = np.shape(x)
    return np.reshape(np.swapaxes(np.reshape(x, (n, groups, c // groups, *rest)), 1, 2), np.shape(x))


@aten("glu")
def glu(x: Any, dim: int = -1) -> Any:
    first, gate = np.split(x, 2, axis=dim)
    return first * special.expit(gate)


@aten("_prelu_kernel")
def prelu(x: Any, weight: Any) -> Any:
    return np.where(x > 0, x, weight * x)


@aten("celu")
def celu(x: Any, alpha: float = 1.0) -> Any:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0.0) / alpha))


@aten("hardsigmoid")
def hardsigmoid(x: Any) -> Any:
    return np.clip(x + 3, 0.0, 6.0) / 6


@aten("hardswish")
def hardswish(x: Any) -> Any:
    return x * np.clip(x + 3, 0.0, 6.0) / 6


@aten("threshold")
def threshold(x: Any, threshold: float, value: float) -> Any:
    return np.where(x > threshold, x, float(value))


@aten("softshrink")
def softshrink(x: Any, lambd: float = 0.5) -> Any:
    return np.where(x > lambd, x - lambd, np.where(x < -lambd, x + lambd, 0.0))


@aten("hardshrink")
def hardshrink(x: Any, lambd: float = 0.5) -> Any:
    return np.where((x >= -lambd) & (x <= lambd), 0.0, x)


@aten("rrelu_with_noise", "rrelu_with_noise_functional")
def rrelu(x: Any, noise: Any, lower: float = 0.125, upper: float = 1 / 3, training: bool = False, *_: Any) -> Any:
    """In evaluation the slope of the negative side is the middle of the range."""
    return np.where(x > 0, x, ((lower + upper) / 2) * x)


@aten("_trilinear")
def trilinear(
    a: Any, b: Any, c: Any, expand_a: Any, expand_b: Any, expand_c: Any, summed: Any, unroll_dim: int = 1
) -> Any:
    """The sum over axes of the product of three arrays, after new axes of length 1."""
    a, b, c = (np.expand_dims(x, tuple(e)) if e else x for x, e in ((a, expand_a), (b, expand_b), (c, expand_c)))
    return np.sum(a * b * c, axis=tuple(summed))


@aten("_pdist_forward")
def pdist(x: Any, p: float = 2.0) -> Any:
    """The distances of all pairs of rows."""
    first, second = np.triu_indices(np.shape(x)[0], 1)
    return vector_norm(x[first] - x[second], p, -1)
