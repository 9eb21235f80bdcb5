"""The activations that shrink p towards zero, and the hard forms of sigmoid and swish."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradagree.reference.contract import Activation


class Hardshrink(Activation):
    """A(p) = p where |p| > lambd, else 0; at both ends the value jumps."""

    lambd: float = 0.5

    @property
    def kinks(self) -> tuple[float, ...]:
        return (-self.lambd, self.lambd)

    def value(self, p: Any) -> Any:
        return np.where(np.abs(p) > self.lambd, p, 0.0)

    def derivative(self, p: Any) -> Any:
        return np.where(np.abs(p) > self.lambd, 1.0, 0.0)

    def torch(self, p, torch):
        return torch.nn.functional.hardshrink(p, lambd=self.lambd)

    def jax(self, p, jax):
        return jax.numpy.where(abs(p) > self.lambd, p, 0.0)


class Softshrink(Activation):
    """A(p) = p - lambd where p > lambd, p + lambd where p < -lambd, else 0."""

    lambd: float = 0.5

    @property
    def kinks(self) -> tuple[float, ...]:
        return (-self.lambd, self.lambd)

    def value(self, p: Any) -> Any:
        return np.where(p > self.lambd, p - self.lambd, np.where(p < -self.lambd, p + self.lambd, 0.0))

    def derivative(self, p: Any) -> Any:
        return np.where(np.abs(p) > self.lambd, 1.0, 0.0)

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

    def pull(self, p: Any, delta_a: Any) -> Any:
        return delta_a * self._factor if self.keep else delta_a

    def torch(self, p, torch):
        if not self.keep:
            return torch.nn.functional.dropout(p, self.rate, training=False)
        return p * torch.tensor(self.keep, dtype=p.dtype) / (1 - self.rate)

    def jax(self, p, jax):
        return p * jax.numpy.asarray(self.keep, p.dtype) / (1 - self.rate) if self.keep else p
