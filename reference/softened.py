"""The smooth activations made of logarithms and exponentials."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit, log_expit

from gradagree.reference.contract import Activation

LOG_2 = float(np.log(2.0))


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
