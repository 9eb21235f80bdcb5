"""Smooth activations: value, derivative, and implementation in each framework."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import erf, expit, log_expit

from gradagree.reference.contract import Activation

ROOT_2 = float(np.sqrt(2.0))
ROOT_2_PI = float(np.sqrt(2.0 * np.pi))
ROOT_2_OVER_PI = float(np.sqrt(2.0 / np.pi))
TWO_OVER_ROOT_PI = float(2.0 / np.sqrt(np.pi))
LOG_2 = float(np.log(2.0))


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

    range = "unit"

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
    range = "positive"

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
        derivative = ROOT_2_OVER_PI * (1 + 3 * (0.044715 * p**2))
        return 0.5 * (1 + y) + p * 0.5 * (1 - y**2) * derivative

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


class Atan(Activation):
    """A(p) = arctan p."""

    def value(self, p: Any) -> Any:
        return np.arctan(p)

    def derivative(self, p: Any) -> Any:
        return 1 / (1 + p**2)

    def torch(self, p, torch):
        return torch.atan(p)

    def jax(self, p, jax):
        return jax.numpy.arctan(p)


class Asinh(Activation):
    """A(p) = arsinh p = log(p + sqrt(p^2 + 1))."""

    def value(self, p: Any) -> Any:
        return np.arcsinh(p)

    def derivative(self, p: Any) -> Any:
        return 1 / np.sqrt(1 + p**2)

    def torch(self, p, torch):
        return torch.asinh(p)

    def jax(self, p, jax):
        return jax.numpy.arcsinh(p)


class Erf(Activation):
    """A(p) = erf p."""

    def value(self, p: Any) -> Any:
        return erf(p)

    def derivative(self, p: Any) -> Any:
        return TWO_OVER_ROOT_PI * np.exp(-(p**2))

    def torch(self, p, torch):
        return torch.erf(p)

    def jax(self, p, jax):
        return jax.scipy.special.erf(p)


class LogSigmoid(Activation):
    """A(p) = log s(p) = -log(1 + exp(-p))."""

    def value(self, p: Any) -> Any:
        return log_expit(p)

    def derivative(self, p: Any) -> Any:
        return expit(-p)

    def torch(self, p, torch):
        return torch.nn.functional.logsigmoid(p)

    def jax(self, p, jax):
        return jax.nn.log_sigmoid(p)


class Mish(Activation):
    """A(p) = p tanh(log(1 + exp(p)))."""

    def value(self, p: Any) -> Any:
        return p * np.tanh(np.logaddexp(p, 0))

    def derivative(self, p: Any) -> Any:
        y = np.tanh(np.logaddexp(p, 0))
        return y + p * (1 - y**2) * expit(p)

    def torch(self, p, torch):
        return torch.nn.functional.mish(p)

    def jax(self, p, jax):
        return jax.nn.mish(p)


class Squareplus(Activation):
    """A(p) = (p + sqrt(p^2 + b)) / 2."""

    b: float = 4.0
    range = "positive"

    def value(self, p: Any) -> Any:
        return (p + np.sqrt(p**2 + self.b)) / 2

    def derivative(self, p: Any) -> Any:
        return (1 + p / np.sqrt(p**2 + self.b)) / 2

    def torch(self, p, torch):
        return (p + torch.sqrt(p**2 + self.b)) / 2

    def jax(self, p, jax):
        return jax.nn.squareplus(p, b=self.b)


class SoftplusThreshold(Activation):
    """A(p) = p where beta p > threshold, else log(1 + exp(beta p)) / beta: torch's softplus, which jumps there."""

    beta: float = 1.0
    threshold: float = 20.0
    range = "positive"

    @property
    def kinks(self) -> tuple[float, ...]:
        return (self.threshold / self.beta,)

    def value(self, p: Any) -> Any:
        z = self.beta * p
        return np.where(z > self.threshold, p, np.logaddexp(z, 0) / self.beta)

    def derivative(self, p: Any) -> Any:
        z = self.beta * p
        return np.where(z > self.threshold, 1.0, expit(z))

    def torch(self, p, torch):
        return torch.nn.functional.softplus(p, beta=self.beta, threshold=self.threshold)

    def jax(self, p, jax):
        z = self.beta * p
        return jax.numpy.where(z > self.threshold, p, jax.nn.softplus(z) / self.beta)


class Log1mexp(Activation):
    """A(p) = log(1 - exp(-p)), for p above 0."""

    domain = "positive"

    def value(self, p: Any) -> Any:
        near = np.minimum(p, LOG_2)
        return np.where(p < LOG_2, np.log(-np.expm1(-near)), np.log1p(-np.exp(-np.maximum(p, LOG_2))))

    def derivative(self, p: Any) -> Any:
        return -np.exp(-p) / np.expm1(-p)

    def torch(self, p, torch):
        near = torch.log(-torch.expm1(-p.clamp(max=LOG_2)))
        return torch.where(p < LOG_2, near, torch.log1p(-torch.exp(-p.clamp(min=LOG_2))))

    def jax(self, p, jax):
        return jax.nn.log1mexp(p)


class Sin(Activation):
    """A(p) = sin p."""

    def value(self, p: Any) -> Any:
        return np.sin(p)

    def derivative(self, p: Any) -> Any:
        return np.cos(p)

    def torch(self, p, torch):
        return torch.sin(p)

    def jax(self, p, jax):
        return jax.numpy.sin(p)


class Cos(Activation):
    """A(p) = cos p."""

    def value(self, p: Any) -> Any:
        return np.cos(p)

    def derivative(self, p: Any) -> Any:
        return -np.sin(p)

    def torch(self, p, torch):
        return torch.cos(p)

    def jax(self, p, jax):
        return jax.numpy.cos(p)


class Exp(Activation):
    """A(p) = exp p."""

    range = "positive"

    def value(self, p: Any) -> Any:
        return np.exp(p)

    def derivative(self, p: Any) -> Any:
        return np.exp(p)

    def torch(self, p, torch):
        return torch.exp(p)

    def jax(self, p, jax):
        return jax.numpy.exp(p)


class Gaussian(Activation):
    """A(p) = exp(-p^2)."""

    def value(self, p: Any) -> Any:
        return np.exp(-(p**2))

    def derivative(self, p: Any) -> Any:
        return -2 * p * np.exp(-(p**2))

    def torch(self, p, torch):
        return torch.exp(-(p**2))

    def jax(self, p, jax):
        return jax.numpy.exp(-(p**2))


class Square(Activation):
    """A(p) = p^2."""

    def value(self, p: Any) -> Any:
        return p**2

    def derivative(self, p: Any) -> Any:
        return 2 * p

    def torch(self, p, torch):
        return torch.square(p)

    def jax(self, p, jax):
        return jax.numpy.square(p)


class AbsoluteValue(Activation):
    """A(p) = |p|."""

    name = "abs"
    kinks = (0.0,)

    def value(self, p: Any) -> Any:
        return np.abs(p)

    def derivative(self, p: Any) -> Any:
        return np.sign(p)

    def torch(self, p, torch):
        return torch.abs(p)

    def jax(self, p, jax):
        return jax.numpy.abs(p)


class Sqrt(Activation):
    """A(p) = sqrt p, for p above 0."""

    domain = "positive"
    range = "positive"

    def value(self, p: Any) -> Any:
        return np.sqrt(p)

    def derivative(self, p: Any) -> Any:
        return 0.5 / np.sqrt(p)

    def torch(self, p, torch):
        return torch.sqrt(p)

    def jax(self, p, jax):
        return jax.numpy.sqrt(p)


class Reciprocal(Activation):
    """A(p) = 1 / p, for p above 0."""

    domain = "positive"
    range = "positive"

    def value(self, p: Any) -> Any:
        return 1 / p

    def derivative(self, p: Any) -> Any:
        return -1 / p**2

    def torch(self, p, torch):
        return torch.reciprocal(p)

    def jax(self, p, jax):
        return jax.numpy.reciprocal(p)


class Log(Activation):
    """A(p) = log p, for p above 0."""

    domain = "positive"

    def value(self, p: Any) -> Any:
        return np.log(p)

    def derivative(self, p: Any) -> Any:
        return 1 / p

    def torch(self, p, torch):
        return torch.log(p)

    def jax(self, p, jax):
        return jax.numpy.log(p)
