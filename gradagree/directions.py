"""An activation along the last axis in every direction at once: its Jacobian, and how it changes."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradagree.arithmetics.dual import Dual, slope_of
from gradagree.reference import Activation

__all__ = ["LARGEST", "along", "formed_pull", "pull_change", "rows", "value_change"]

LARGEST = 1 << 22
"""Numbers in the arrays that hold every direction at once; beyond, nothing is worked out."""


def each_way(x: Any, width: int) -> tuple[Any, Any]:
    """x (..., n) repeated for each direction of the last axis of that width, and the directions; None if too many."""
    shape = (width, *x.shape[:-1])
    if int(np.prod(shape)) * max(width, x.shape[-1]) > LARGEST:
        return None, None
    eye = np.eye(width).reshape(width, *[1] * (x.ndim - 1), width)
    return np.broadcast_to(x, (*shape, x.shape[-1])), np.broadcast_to(eye, (*shape, width))


def rows(activation: Activation, x: Any) -> Any:
    """dA_j/dp_i as (outputs j, ..., inputs i); None where there are too many numbers."""
    everywhere, unit = each_way(x, activation.width(x.shape[-1]) or 0)
    return None if unit is None else activation.pull(everywhere, unit if isinstance(x, np.ndarray) else x._lift(unit))


def along(partials: Any, tangent: Any) -> Any:
    """sum_i dA_j/dp_i p'_i, from what `rows` gives."""
    return np.moveaxis(np.sum(partials * tangent, axis=-1), 0, -1)


def value_change(activation: Activation, x: np.ndarray) -> Any:
    """sum_i |dA_j/dp_i p_i|: how much each A_j changes when every p_i changes by its own size."""
    found = rows(activation, x)
    return 0.0 if found is None else np.moveaxis(np.sum(np.abs(found * x), axis=-1), 0, -1)


def pull_change(activation: Activation, x: np.ndarray, delta_a: np.ndarray) -> Any:
    """sum_k |d(delta_p_i)/dp_k p_k|, likewise of the sensitivity."""
    _, unit = each_way(x, x.shape[-1])
    if unit is None:
        return 0.0
    change = slope_of(activation.pull(Dual(x[None], unit), delta_a[None]))
    return np.sum(np.abs(change) * np.moveaxis(np.abs(x), -1, 0)[..., None], axis=0)


def formed_pull(activation: Activation, p: Any, delta_a: Any) -> Any:
    """delta_p from the value alone, by dual numbers over p's own arithmetic; None where there are too many numbers."""
    _, unit = each_way(p, p.shape[-1])
    if unit is None:
        return None
    slope = p._lift(slope_of(activation.value(Dual(p[None], p._lift(unit)))))
    return np.broadcast_to(np.moveaxis(np.sum(slope * delta_a, axis=-1), 0, -1), p.shape)
