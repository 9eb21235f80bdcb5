"""The weights that activations have of their own: one leaf for each, behind the weights and biases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gradagree.reference import Activation


def own_weights(activations: Sequence[Activation]) -> list[np.ndarray]:
    """Their numbers, each an array without axes or of one, from the outermost box inwards."""
    return [np.asarray(getattr(a, name), dtype=np.float64) for a in activations for name in a.own_weights]


def by_box(activations: Sequence[Activation], leaves: Sequence[Any]) -> tuple[tuple[Any, ...], ...]:
    """The leaves of each box; the last ones are those of own weights."""
    rest = iter(leaves[len(leaves) - sum(len(a.own_weights) for a in activations) :])
    return tuple(tuple(next(rest) for _ in a.own_weights) for a in activations)


def holding(activations: Sequence[Activation], leaves: Sequence[Any]) -> list[Activation]:
    """The activations with the framework's arrays in place of their own weights' numbers."""
    each = zip(activations, by_box(activations, leaves), strict=True)
    return [a.holding(**dict(zip(a.own_weights, arrays, strict=True))) if arrays else a for a, arrays in each]
