"""The activations along the last axis: each output depends on all inputs of its example."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradagree.reference.contract import Activation


def softmax(p: Any) -> Any:
    """exp(p_i) / sum_j exp(p_j), from the distances to the largest."""
    z = np.exp(p - np.max(p, axis=-1, keepdims=True))
    return z / np.sum(z, axis=-1, keepdims=True)


def along(x: Any) -> Any:
    """The sum over the last axis, which is kept."""
    return np.sum(x, axis=-1, keepdims=True)


class Softmax(Activation):
    """A_i(p) = exp(p_i) / sum_j exp(p_j)."""

    range = "simplex"

    def value(self, p: Any) -> Any:
        return softmax(p)

    def pull(self, p: Any, delta_a: Any) -> Any:
        # delta_p_i = A_i (delta_a_i - sum_j A_j delta_a_j)
        a = softmax(p)
        return a * (delta_a - along(a * delta_a))

    def torch(self, p, torch):
        return torch.nn.functional.softmax(p, dim=-1)

    def jax(self, p, jax):
        return jax.nn.softmax(p, axis=-1)
