"""Functions of the shape of an S, other than tanh and the logistic function."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import erf

from gradagree.reference.contract import Activation

TWO_OVER_ROOT_PI = float(2.0 / np.sqrt(np.pi))


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
