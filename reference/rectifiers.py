"""The activations that bend p at a threshold."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradagree.reference.contract import Activation

SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946
"""Klambauer, Unterthiner, Mayr and Hochreiter, NIPS 2017."""


class Threshold(Activation):
    """A(p) = p where p > threshold, else to; at the threshold the value may jump."""

    threshold: float = 0.0
    to: float = 0.0

    @property
    def kinks(self) -> tuple[float, ...]:
        return (self.threshold,)

    def value(self, p: Any) -> Any:
        return np.where(p > self.threshold, p, self.to)

    def derivative(self, p: Any) -> Any:
        return np.where(p > self.threshold, 1.0, 0.0)

    def torch(self, p, torch):
        return torch.nn.functional.threshold(p, self.threshold, self.to)

    def jax(self, p, jax):
        return jax.numpy.where(p > self.threshold, p, self.to)


class Rrelu(Activation):
    """A(p) = p where p > 0, else (lower + upper)/2 p: the randomised leaky relu in evaluation mode."""

    lower: float = 0.125
    upper: float = 0.375

    @property
    def kinks(self) -> tuple[float, ...]:
        return () if self._slope == 1 else (0.0,)

    @property
    def _slope(self) -> float:
        return (self.lower + self.upper) / 2

    def value(self, p: Any) -> Any:
        return np.where(p > 0, p, self._slope * p)

    def derivative(self, p: Any) -> Any:
        return np.where(p > 0, 1.0, self._slope)

    def torch(self, p, torch):
        return torch.nn.functional.rrelu(p, lower=self.lower, upper=self.upper, training=False)

    def jax(self, p, jax):
        return jax.nn.leaky_relu(p, negative_slope=self._slope)


class Celu(Activation):
    """A(p) = p where p > 0, else alpha (exp(p / alpha) - 1)."""

    alpha: float = 1.0

    def value(self, p: Any) -> Any:
        return np.where(p > 0, p, self.alpha * np.expm1(np.where(p > 0, 0.0, p) / self.alpha))

    def derivative(self, p: Any) -> Any:
        return np.where(p > 0, 1.0, np.exp(np.minimum(p, 0) / self.alpha))

    def torch(self, p, torch):
        return torch.nn.functional.celu(p, alpha=self.alpha)

    def jax(self, p, jax):
        return jax.nn.celu(p, alpha=self.alpha)


class Selu(Activation):
    """A(p) = scale p where p > 0, else scale alpha (exp(p) - 1), with scale 1.0507... and alpha 1.6732..."""

    kinks = (0.0,)

    def value(self, p: Any) -> Any:
        return SELU_SCALE * np.where(p > 0, p, SELU_ALPHA * np.expm1(np.minimum(p, 0)))

    def derivative(self, p: Any) -> Any:
        return SELU_SCALE * np.where(p > 0, 1.0, SELU_ALPHA * np.exp(np.minimum(p, 0)))

    def torch(self, p, torch):
        return torch.nn.functional.selu(p)

    def jax(self, p, jax):
        return jax.nn.selu(p)


class SparsePlus(Activation):
    """A(p) = 0 where p <= -1, (p + 1)^2 / 4 within, p where p >= 1."""

    def value(self, p: Any) -> Any:
        return np.where(p <= -1, 0.0, np.where(p >= 1, p, (p + 1) ** 2 / 4))

    def derivative(self, p: Any) -> Any:
        return np.minimum(np.maximum((p + 1) / 2, 0), 1)

    def torch(self, p, torch):
        return torch.where(p <= -1, 0.0, torch.where(p >= 1, p, (p.clamp(-1, 1) + 1) ** 2 / 4))

    def jax(self, p, jax):
        return jax.nn.sparse_plus(p)
