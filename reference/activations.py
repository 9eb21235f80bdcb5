"""The smooth activations: the formula, its derivative, its kinks, and its spelling in each framework."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import erf, expit

from gradagree.reference.contract import Activation
from gradagree.reference.piecewise import Elu as Elu
from gradagree.reference.piecewise import Hardtanh as Hardtanh
from gradagree.reference.piecewise import LeakyRelu as LeakyRelu
from gradagree.reference.piecewise import Prelu as Prelu
from gradagree.reference.piecewise import Relu as Relu
from gradagree.reference.vectors import Softmax as Softmax

ROOT_2 = float(np.sqrt(2.0))
ROOT_2_PI = float(np.sqrt(2.0 * np.pi))
ROOT_2_OVER_PI = float(np.sqrt(2.0 / np.pi))


class Identity(Activation):
    """A(p) = p."""

    name = "id"

    def value(self, p: Any) -> Any:
        return p

    def derivative(self, p: Any) -> Any:
        return np.ones_like(p)

    def torch(self, p, torch):
        return p

    def jax(self, p, jax):
        return p


class Tanh(Activation):
    """A(p) = tanh p."""

    def value(self, p: Any) -> Any:
        return np.tanh(p)

    def derivative(self, p: Any) -> Any:
        return 1 - np.tanh(p) ** 2

    def torch(self, p, torch):
        return torch.tanh(p)

    def jax(self, p, jax):
        return jax.numpy.tanh(p)


class Sigmoid(Activation):
    """A(p) = s(p) = 1 / (1 + exp(-p))."""

    def value(self, p: Any) -> Any:
        return expit(p)

    def derivative(self, p: Any) -> Any:
        return expit(p) * (1 - expit(p))

    def torch(self, p, torch):
        return torch.sigmoid(p)

    def jax(self, p, jax):
        return jax.nn.sigmoid(p)


class Softplus(Activation):
    """A(p) = log(1 + exp(beta p)) / beta."""

    beta: float = 1.0

    def value(self, p: Any) -> Any:
        return np.logaddexp(self.beta * p, 0) / self.beta

    def derivative(self, p: Any) -> Any:
        return expit(self.beta * p)

    def torch(self, p, torch):
        # Above its threshold torch returns p, which at the default of 20 is another function by 2e-9; past 64 by 1e-28.
        return torch.nn.functional.softplus(p, beta=self.beta, threshold=64)

    def jax(self, p, jax):
        return jax.nn.softplus(self.beta * p) / self.beta


class Silu(Activation):
    """A(p) = p s(p), also called swish."""

    def value(self, p: Any) -> Any:
        return p * expit(p)

    def derivative(self, p: Any) -> Any:
        s = expit(p)
        return s * (1 + p * (1 - s))

    def torch(self, p, torch):
        return torch.nn.functional.silu(p)

    def jax(self, p, jax):
        return jax.nn.silu(p)


class Gelu(Activation):
    """A(p) = p/2 (1 + erf(p / sqrt 2))."""

    def value(self, p: Any) -> Any:
        return p * 0.5 * (1 + erf(p / ROOT_2))

    def derivative(self, p: Any) -> Any:
        return 0.5 * (1 + erf(p / ROOT_2)) + p * np.exp(-0.5 * p**2) / ROOT_2_PI

    def torch(self, p, torch):
        return torch.nn.functional.gelu(p, approximate="none")

    def jax(self, p, jax):
        return jax.nn.gelu(p, approximate=False)


class GeluTanh(Activation):
    """A(p) = p/2 (1 + tanh z), z = sqrt(2/pi) (p + 0.044715 p^3)."""

    def _tanh(self, p: Any) -> Any:
        return np.tanh(ROOT_2_OVER_PI * (p + 0.044715 * p**3))

    def value(self, p: Any) -> Any:
        return p * 0.5 * (1 + self._tanh(p))

    def derivative(self, p: Any) -> Any:
        y = self._tanh(p)
        slope = ROOT_2_OVER_PI * (1 + 3 * (0.044715 * p**2))
        return 0.5 * (1 + y) + p * 0.5 * (1 - y**2) * slope

    def torch(self, p, torch):
        return torch.nn.functional.gelu(p, approximate="tanh")

    def jax(self, p, jax):
        return jax.nn.gelu(p, approximate=True)


class Softsign(Activation):
    """A(p) = p / (1 + |p|)."""

    def value(self, p: Any) -> Any:
        return p / (1 + np.abs(p))

    def derivative(self, p: Any) -> Any:
        return 1 / (1 + np.abs(p)) ** 2

    def torch(self, p, torch):
        return torch.nn.functional.softsign(p)

    def jax(self, p, jax):
        return jax.nn.soft_sign(p)
