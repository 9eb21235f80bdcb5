"""Piecewise activations, whose derivative or value may jump where two pieces meet."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradagree.reference.contract import Activation
from gradagree.reference.parameters import Weight, Weights

SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946
"""Klambauer, Unterthiner, Mayr and Hochreiter, NIPS 2017."""


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


class _Leaky(Activation):
    """A(p) = p where p > 0, else slope p."""

    @property
    def _slope(self) -> Any:
        raise NotImplementedError

    @property
    def kinks(self) -> tuple[float, ...]:
        return () if float(self._slope) == 1 else (0.0,)

    def value(self, p: Any) -> Any:
        return np.where(p > 0, p, self._slope * p)

    def derivative(self, p: Any) -> Any:
        return np.where(p > 0, 1.0, self._slope)


class LeakyRelu(_Leaky):
    """A(p) = p where p > 0, else negative_slope p."""

    negative_slope: float = 0.01

    @property
    def _slope(self) -> float:
        return self.negative_slope

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


class Prelu(_Leaky):
    """A(p) = p where p > 0, else a p, where a is a weight."""

    a: Weight = Weight(0.25)

    @property
    def _slope(self) -> Any:
        return self.a

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

    def vjp(self, p: Any, delta_a: Any) -> Any:
        return np.where(p > 0, 1.0, self._slopes()) * delta_a

    def by_a(self, p: Any) -> Any:
        return np.where(p > 0, 0.0, p)

    def torch(self, p, torch):
        return torch.nn.functional.prelu(p, self.a)

    def jax(self, p, jax):
        return jax.numpy.where(p > 0, p, self.a * p)


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


class Rrelu(_Leaky):
    """A(p) = p where p > 0, else (lower + upper)/2 p: the randomised leaky relu in evaluation mode."""

    lower: float = 0.125
    upper: float = 0.375

    @property
    def _slope(self) -> float:
        return (self.lower + self.upper) / 2

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


class _Shrink(Activation):
    """A(p) = 0 within [-lambd, lambd]; outside, its derivative is 1."""

    lambd: float = 0.5

    @property
    def kinks(self) -> tuple[float, ...]:
        return (-self.lambd, self.lambd)

    def derivative(self, p: Any) -> Any:
        return np.where(np.abs(p) > self.lambd, 1.0, 0.0)


class Hardshrink(_Shrink):
    """A(p) = p where |p| > lambd, else 0; at both ends the value jumps."""

    def value(self, p: Any) -> Any:
        return np.where(np.abs(p) > self.lambd, p, 0.0)

    def torch(self, p, torch):
        return torch.nn.functional.hardshrink(p, lambd=self.lambd)

    def jax(self, p, jax):
        return jax.numpy.where(abs(p) > self.lambd, p, 0.0)


class Softshrink(_Shrink):
    """A(p) = p - lambd where p > lambd, p + lambd where p < -lambd, else 0."""

    def value(self, p: Any) -> Any:
        return np.where(p > self.lambd, p - self.lambd, np.where(p < -self.lambd, p + self.lambd, 0.0))

    def torch(self, p, torch):
        return torch.nn.functional.softshrink(p, lambd=self.lambd)

    def jax(self, p, jax):
        where = jax.numpy.where
        return where(p > self.lambd, p - self.lambd, where(p < -self.lambd, p + self.lambd, 0.0))


class Tanhshrink(Activation):
    """A(p) = p - tanh p."""

    def value(self, p: Any) -> Any:
        return p - np.tanh(p)

    def derivative(self, p: Any) -> Any:
        return np.tanh(p) ** 2

    def torch(self, p, torch):
        return torch.nn.functional.tanhshrink(p)

    def jax(self, p, jax):
        return p - jax.numpy.tanh(p)


class Hardsigmoid(Activation):
    """A(p) = min(max(p + 3, 0), 6) / 6."""

    kinks = (-3.0, 3.0)

    def value(self, p: Any) -> Any:
        return np.minimum(np.maximum(p + 3, 0), 6) / 6

    def derivative(self, p: Any) -> Any:
        return np.where((p > -3) & (p < 3), np.where(True, 1.0, p), 0.0) / 6

    def torch(self, p, torch):
        return torch.nn.functional.hardsigmoid(p)

    def jax(self, p, jax):
        return jax.nn.hard_sigmoid(p)


class Hardswish(Activation):
    """A(p) = p min(max(p + 3, 0), 6) / 6."""

    kinks = (-3.0, 3.0)

    def value(self, p: Any) -> Any:
        return p * np.minimum(np.maximum(p + 3, 0), 6) / 6

    def derivative(self, p: Any) -> Any:
        return np.where(p <= -3, 0.0, np.where(p >= 3, 1.0, (2 * p + 3) / 6))

    def torch(self, p, torch):
        return torch.nn.functional.hardswish(p)

    def jax(self, p, jax):
        return jax.nn.hard_swish(p)


class SparseSigmoid(Activation):
    """A(p) = min(max((p + 1)/2, 0), 1)."""

    kinks = (-1.0, 1.0)

    def value(self, p: Any) -> Any:
        return np.minimum(np.maximum((p + 1) / 2, 0), 1)

    def derivative(self, p: Any) -> Any:
        return np.where((p > -1) & (p < 1), 0.5, 0.0)

    def torch(self, p, torch):
        return torch.clamp((p + 1) / 2, 0, 1)

    def jax(self, p, jax):
        return jax.nn.sparse_sigmoid(p)


class Dropout(Activation):
    """A(p) = p in evaluation mode; with a mask of 0 and 1 for each entry in keep, A(p) = keep p / (1 - rate)."""

    rate: float = 0.5
    keep: tuple[float, ...] = ()

    @property
    def _factor(self) -> Any:
        return np.asarray(self.keep) / (1 - self.rate)

    def value(self, p: Any) -> Any:
        return p * self._factor if self.keep else p

    def vjp(self, p: Any, delta_a: Any) -> Any:
        return delta_a * self._factor if self.keep else delta_a

    def torch(self, p, torch):
        if not self.keep:
            return torch.nn.functional.dropout(p, self.rate, training=False)
        return p * torch.tensor(self.keep, dtype=p.dtype) / (1 - self.rate)

    def jax(self, p, jax):
        return p * jax.numpy.asarray(self.keep, p.dtype) / (1 - self.rate) if self.keep else p
