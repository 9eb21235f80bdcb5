"""The activations of several pieces: their slope may jump where two pieces meet."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradagree.reference.contract import Activation, Weight


class Relu(Activation):
    """A(p) = max(p, 0)."""

    kinks = (0.0,)

    def value(self, p: Any) -> Any:
        return np.maximum(p, 0)

    def derivative(self, p: Any) -> Any:
        return np.where(p > 0, 1.0, 0.0)

    def torch(self, p, torch):
        return torch.nn.functional.relu(p)

    def jax(self, p, jax):
        return jax.nn.relu(p)


class LeakyRelu(Activation):
    """A(p) = p where p > 0, else negative_slope p."""

    negative_slope: float = 0.01

    @property
    def kinks(self) -> tuple[float, ...]:
        return () if self.negative_slope == 1 else (0.0,)

    def value(self, p: Any) -> Any:
        return np.where(p > 0, p, self.negative_slope * p)

    def derivative(self, p: Any) -> Any:
        return np.where(p > 0, 1.0, self.negative_slope)

    def torch(self, p, torch):
        return torch.nn.functional.leaky_relu(p, negative_slope=self.negative_slope)

    def jax(self, p, jax):
        return jax.nn.leaky_relu(p, negative_slope=self.negative_slope)


class Elu(Activation):
    """A(p) = p where p > 0, else alpha (exp(p) - 1)."""

    alpha: float = 1.0

    @property
    def kinks(self) -> tuple[float, ...]:
        return () if self.alpha == 1 else (0.0,)

    def value(self, p: Any) -> Any:
        return np.where(p > 0, p, self.alpha * np.expm1(np.minimum(p, 0)))

    def derivative(self, p: Any) -> Any:
        return np.where(p > 0, 1.0, self.alpha * np.exp(np.minimum(p, 0)))

    def torch(self, p, torch):
        return torch.nn.functional.elu(p, alpha=self.alpha)

    def jax(self, p, jax):
        return jax.nn.elu(p, alpha=self.alpha)


class Hardtanh(Activation):
    """A(p) = p within [min_val, max_val], the nearer bound outside."""

    min_val: float = -1.0
    max_val: float = 1.0

    @property
    def kinks(self) -> tuple[float, ...]:
        return (self.min_val, self.max_val)

    def value(self, p: Any) -> Any:
        return np.minimum(np.maximum(p, self.min_val), self.max_val)

    def derivative(self, p: Any) -> Any:
        return np.where((p > self.min_val) & (p < self.max_val), 1.0, 0.0)

    def torch(self, p, torch):
        return torch.nn.functional.hardtanh(p, min_val=self.min_val, max_val=self.max_val)

    def jax(self, p, jax):
        if self.kinks == (-1.0, 1.0):
            return jax.nn.hard_tanh(p)
        return jax.numpy.clip(p, self.min_val, self.max_val)


class Prelu(Activation):
    """A(p) = p where p > 0, else a p, where a is a weight."""

    a: Weight = Weight(0.25)

    @property
    def kinks(self) -> tuple[float, ...]:
        return () if float(self.a) == 1 else (0.0,)

    def value(self, p: Any) -> Any:
        return np.where(p > 0, p, self.a * p)

    def derivative(self, p: Any) -> Any:
        return np.where(p > 0, 1.0, self.a)

    def by_a(self, p: Any) -> Any:
        return np.where(p > 0, 0.0, p)

    def torch(self, p, torch):
        return torch.nn.functional.prelu(p, self.a)

    def jax(self, p, jax):
        return jax.numpy.where(p > 0, p, self.a * p)
