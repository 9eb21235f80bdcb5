"""The activations of several pieces: their slope may jump where two pieces meet."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradagree.reference.contract import Activation, Weight, Weights


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


class MaximumZero(Relu):
    """A(p) = max(p, 0), by the frameworks' maximum of two numbers; the same function as relu."""

    def torch(self, p, torch):
        return torch.maximum(p, torch.zeros_like(p))

    def jax(self, p, jax):
        return jax.numpy.maximum(p, 0)


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


class _Clipped(Activation):
    """A(p) = p between two bounds, the nearer bound outside."""

    @property
    def kinks(self) -> tuple[float, ...]:
        return self._bounds()

    def _bounds(self) -> tuple[float, float]:
        raise NotImplementedError

    def value(self, p: Any) -> Any:
        low, high = self._bounds()
        return np.minimum(np.maximum(p, low), high)

    def derivative(self, p: Any) -> Any:
        low, high = self._bounds()
        return np.where((p > low) & (p < high), 1.0, 0.0)


class Hardtanh(_Clipped):
    """A(p) = p within [min_val, max_val], the nearer bound outside."""

    min_val: float = -1.0
    max_val: float = 1.0

    def _bounds(self) -> tuple[float, float]:
        return self.min_val, self.max_val

    def torch(self, p, torch):
        return torch.nn.functional.hardtanh(p, min_val=self.min_val, max_val=self.max_val)

    def jax(self, p, jax):
        if self.kinks == (-1.0, 1.0):
            return jax.nn.hard_tanh(p)
        return jax.numpy.clip(p, self.min_val, self.max_val)


class Clip(_Clipped):
    """A(p) = p within [low, high], the nearer bound outside, by the frameworks' clip; the same function as hardtanh."""

    low: float = -1.0
    high: float = 1.0

    def _bounds(self) -> tuple[float, float]:
        return self.low, self.high

    def torch(self, p, torch):
        return torch.clamp(p, self.low, self.high)

    def jax(self, p, jax):
        return jax.numpy.clip(p, self.low, self.high)


class Relu6(_Clipped):
    """A(p) = min(max(p, 0), 6)."""

    def _bounds(self) -> tuple[float, float]:
        return 0.0, 6.0

    def torch(self, p, torch):
        return torch.nn.functional.relu6(p)

    def jax(self, p, jax):
        return jax.nn.relu6(p)


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


class PreluByColumn(Activation):
    """A_i(p) = p_i where p_i > 0, else a_i p_i, where every number of an example has a weight of its own.

    At p_i = 0 the slope is a_i, as in the frameworks.
    """

    a: Weights = Weights((0.25, -0.5, 0.75))

    def _slopes(self) -> Any:
        return np.asarray(self.a) if isinstance(self.a, tuple) else self.a

    def value(self, p: Any) -> Any:
        return np.where(p > 0, p, self._slopes() * p)

    def pull(self, p: Any, delta_a: Any) -> Any:
        return np.where(p > 0, 1.0, self._slopes()) * delta_a

    def by_a(self, p: Any) -> Any:
        return np.where(p > 0, 0.0, p)

    def torch(self, p, torch):
        return torch.nn.functional.prelu(p, self.a)

    def jax(self, p, jax):
        return jax.numpy.where(p > 0, p, self.a * p)
