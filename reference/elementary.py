"""Elementary functions that people use as activations and frameworks file elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradagree.reference.contract import Activation


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
