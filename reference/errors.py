"""The error functions: E(o, t), the error box's sensitivity, and the spelling in each framework.

o has shape (..., examples, outputs); t the same, or (..., examples) where it holds class numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit

from gradagree.reference.contract import ErrorFunction

EXAMPLES_AND_OUTPUTS = (-2, -1)


def entries(o: Any) -> int:
    """How many outputs one network has over all its examples."""
    return int(o.shape[-2] * o.shape[-1])


class SumOfSquares(ErrorFunction):
    """E = sum_i (o_i - t_i)^2."""

    name = "sse"

    def value(self, o: Any, t: Any) -> Any:
        return np.sum((o - t) ** 2, axis=EXAMPLES_AND_OUTPUTS)

    def sensitivity(self, o: Any, t: Any) -> Any:
        return 2 * (o - t)

    def torch(self, o, t, torch):
        return torch.nn.functional.mse_loss(o, t, reduction="sum")

    def jax(self, o, t, jax):
        return jax.numpy.sum((o - t) ** 2)


class MeanSquared(ErrorFunction):
    """E = mean_i (o_i - t_i)^2."""

    name = "mse"

    def value(self, o: Any, t: Any) -> Any:
        return np.mean((o - t) ** 2, axis=EXAMPLES_AND_OUTPUTS)

    def sensitivity(self, o: Any, t: Any) -> Any:
        return 2 * (o - t) / entries(o)

    def torch(self, o, t, torch):
        return torch.nn.functional.mse_loss(o, t, reduction="mean")

    def jax(self, o, t, jax):
        return jax.numpy.mean((o - t) ** 2)


class Absolute(ErrorFunction):
    """E = sum_i |o_i - t_i|."""

    def value(self, o: Any, t: Any) -> Any:
        return np.sum(np.abs(o - t), axis=EXAMPLES_AND_OUTPUTS)

    def sensitivity(self, o: Any, t: Any) -> Any:
        return np.sign(o - t)

    def kink(self, o: Any, t: Any) -> Any:
        return o == t

    def torch(self, o, t, torch):
        return torch.nn.functional.l1_loss(o, t, reduction="sum")

    def jax(self, o, t, jax):
        return jax.numpy.sum(jax.numpy.abs(o - t))


class Huber(ErrorFunction):
    """E = mean_i h(o_i - t_i), h(d) = d^2/2 where |d| <= delta, else delta (|d| - delta/2)."""

    delta: float = 1.0

    def value(self, o: Any, t: Any) -> Any:
        d = np.abs(o - t)
        h = np.where(d <= self.delta, 0.5 * d**2, self.delta * (d - 0.5 * self.delta))
        return np.mean(h, axis=EXAMPLES_AND_OUTPUTS)

    def sensitivity(self, o: Any, t: Any) -> Any:
        return np.minimum(np.maximum(o - t, -self.delta), self.delta) / entries(o)

    def torch(self, o, t, torch):
        return torch.nn.functional.huber_loss(o, t, reduction="mean", delta=self.delta)

    def jax(self, o, t, jax):
        jnp = jax.numpy
        d = jnp.abs(o - t)
        return jnp.mean(jnp.where(d <= self.delta, 0.5 * d**2, self.delta * (d - 0.5 * self.delta)))


class BinaryCrossEntropyOnLogits(ErrorFunction):
    """E = mean_i log(1 + exp(o_i)) - t_i o_i: binary cross-entropy of s(o), from the logits o."""

    name = "bce_logits"
    targets = "bits"

    def value(self, o: Any, t: Any) -> Any:
        return np.mean(np.logaddexp(o, 0) - t * o, axis=EXAMPLES_AND_OUTPUTS)

    def sensitivity(self, o: Any, t: Any) -> Any:
        return (expit(o) - t) / entries(o)

    def torch(self, o, t, torch):
        return torch.nn.functional.binary_cross_entropy_with_logits(o, t, reduction="mean")

    def jax(self, o, t, jax):
        log_s = jax.nn.log_sigmoid
        return -jax.numpy.mean(t * log_s(o) + (1 - t) * log_s(-o))


class SoftmaxCrossEntropy(ErrorFunction):
    """E = mean over examples of log(sum_j exp o_j) - o_t, where t is the number of the right class."""

    name = "cross_entropy"
    targets = "classes"

    def value(self, o: Any, t: Any) -> Any:
        z = o - np.max(o, axis=-1, keepdims=True)
        right = np.sum(np.where(self._right(o, t), z, 0.0), axis=-1)
        return np.mean(np.log(np.sum(np.exp(z), axis=-1)) - right, axis=-1)

    def sensitivity(self, o: Any, t: Any) -> Any:
        z = np.exp(o - np.max(o, axis=-1, keepdims=True))
        softmax = z / np.sum(z, axis=-1, keepdims=True)
        return (softmax - np.where(self._right(o, t), 1.0, 0.0)) / o.shape[-2]

    def _right(self, o: Any, t: Any) -> Any:
        return t[..., None] == np.arange(o.shape[-1])

    def torch(self, o, t, torch):
        return torch.nn.functional.cross_entropy(o, t, reduction="mean")

    def jax(self, o, t, jax):
        log_softmax = jax.nn.log_softmax(o, axis=-1)
        return -jax.numpy.mean(jax.numpy.take_along_axis(log_softmax, t[..., None], axis=-1))
