"""Normalisation: batch, group, layer and root-mean-square norm, and `renorm`'s relatives."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradagree.adapters.aten.table import aten


def normalised(x: Any, over: tuple[int, ...], eps: float) -> tuple[Any, Any, Any]:
    """(x with mean 0 and variance 1 over the axes, the mean, the reciprocal standard deviation)."""
    middle = np.mean(x, axis=over, keepdims=True)
    centred = x - middle
    scale = 1 / np.sqrt(np.mean(centred * centred, axis=over, keepdims=True) + eps)
    return centred * scale, middle, scale


def affine(x: Any, weight: Any, bias: Any, shape: Any = None) -> Any:
    """x times a weight plus a bias, both optional, after a change of their shape."""
    weight, bias = (z if z is None or shape is None else np.reshape(z, shape) for z in (weight, bias))
    x = x if weight is None else x * weight
    return x if bias is None else x + bias


@aten("native_layer_norm", "layer_norm")
def layer_norm(x: Any, shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5, *_: Any) -> Any:
    """(the normalised values, the mean, the reciprocal standard deviation)."""
    found, middle, scale = normalised(x, tuple(range(-len(shape), 0)), eps)
    return affine(found, weight, bias), middle, scale


@aten("_fused_rms_norm")
def rms_norm(x: Any, shape: Any, weight: Any = None, eps: float | None = None) -> Any:
    """(x over its root mean square, the reciprocal root mean square)."""
    over = tuple(range(-len(shape), 0))
    scale = 1 / np.sqrt(np.mean(x * x, axis=over, keepdims=True) + (eps or 0.0))
    return affine(x * scale, weight, None), scale


@aten("native_group_norm")
def group_norm(
    x: Any, weight: Any, bias: Any, n: int, channels: int, size: int, groups: int, eps: float
) -> tuple[Any, Any, Any]:
    """(the normalised values, the mean and the reciprocal standard deviation of each group)."""
    found, middle, scale = normalised(np.reshape(x, (n, groups, channels // groups * size)), (-1,), eps)
    found = affine(np.reshape(found, np.shape(x)), weight, bias, (1, -1, *(1,) * (np.ndim(x) - 2)))
    return found, middle[..., 0], scale[..., 0]


@aten("native_batch_norm", "_native_batch_norm_legit_no_training", "cudnn_batch_norm")
def batch_norm(
    x: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, training: bool, momentum: float, eps: float
) -> tuple[Any, Any, Any]:
    """(the normalised values, the mean and the reciprocal standard deviation of the batch)."""
    along = (1, -1, *(1,) * (np.ndim(x) - 2))
    over = (0, *range(2, np.ndim(x)))
    if training:
        found, middle, scale = normalised(x, over, eps)
        return affine(found, weight, bias, along), np.reshape(middle, (-1,)), np.reshape(scale, (-1,))
    scale = 1 / np.sqrt(running_var + eps)
    found = (x - np.reshape(running_mean, along)) * np.reshape(scale, along)
    return affine(found, weight, bias, along), np.zeros(0), np.zeros(0)


@aten("_native_batch_norm_legit")
def batch_norm_legit(x: Any, weight: Any, bias: Any, *args: Any) -> tuple[Any, Any, Any]:
    """`batch_norm`; without running statistics in the short form."""
    return batch_norm(x, weight, bias, *args) if len(args) == 5 else batch_norm(x, weight, bias, None, None, *args)


@aten("_native_batch_norm_legit_functional")
def batch_norm_functional(
    x: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, training: bool, momentum: float, eps: float
) -> tuple[Any, ...]:
    """As `batch_norm`, then the new running mean and variance."""
    found = batch_norm(x, weight, bias, running_mean, running_var, training, momentum, eps)
    if not training:
        return *found, running_mean, running_var
    over = (0, *range(2, np.ndim(x)))
    variance = np.var(x, axis=over, ddof=1)
    means = (1 - momentum) * running_mean + momentum * found[1]
    return *found, means, (1 - momentum) * running_var + momentum * variance
