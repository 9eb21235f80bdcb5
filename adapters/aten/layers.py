"""Layers and losses."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradagree.adapters.aten.table import aten


@aten("native_layer_norm", "layer_norm")
def layer_norm(x: Any, shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5, *_: Any) -> Any:
    """(the normalised values, the mean, the reciprocal standard deviation)."""
    over = tuple(range(-len(shape), 0))
    middle = np.mean(x, axis=over, keepdims=True)
    centred = x - middle
    scale = 1 / np.sqrt(np.mean(centred * centred, axis=over, keepdims=True) + eps)
    found = centred * scale
    found = found if weight is None else found * weight
    return (found if bias is None else found + bias), middle, scale


@aten("nll_loss_forward")
def nll_loss(x: Any, target: Any, weight: Any, reduction: int, ignore_index: int) -> Any:
    """(the loss, the total weight)."""
    target = np.asarray(target)
    kept = target != ignore_index
    chosen = np.where(kept, target, 0)
    picked = -(x[np.arange(len(target)), chosen] if np.ndim(x) > 1 else x[chosen])
    each = np.where(kept, 1.0, 0.0) if weight is None else np.where(kept, weight[chosen], 0.0)
    loss, total = picked * each, np.sum(each)
    return (
        (loss, total) if reduction == 0 else (np.sum(loss) / total, total) if reduction == 1 else (np.sum(loss), total)
    )
