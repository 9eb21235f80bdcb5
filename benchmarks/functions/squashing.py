"""Smooth activations that squash their input: sigmoids, tanh, softplus and logarithms, naive and stable."""

import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch.nn.functional as F
from scipy.special import erf, expit

from gradagree import Activation

ROOT_2 = float(np.sqrt(2.0))
ROOT_PI = float(np.sqrt(np.pi))


class Isru(Activation):
    """A(p) = p / sqrt(1 + alpha p^2)."""

    alpha: float = 0.5

    def value(self, p):
        return p / np.sqrt(1 + self.alpha * p**2)

    def derivative(self, p):
        return (1 + self.alpha * p**2) ** -1.5

    def torch(self, p, torch):
        return p * torch.rsqrt(1 + self.alpha * p * p)

    def jax(self, p, jax):
        return p / jnp.sqrt(1 + self.alpha * p**2)


class LecunTanh(Activation):
    """A(p) = 1.7159 tanh(2 p / 3)."""

    def value(self, p):
        return 1.7159 * np.tanh(2 * p / 3)

    def derivative(self, p):
        return 1.7159 * 2 / 3 * (1 - np.tanh(2 * p / 3) ** 2)

    def torch(self, p, torch):
        return 1.7159 * torch.tanh(2 / 3 * p)

    def jax(self, p, jax):
        return 1.7159 * jnp.tanh(p * 2 / 3)


class SoftClipping(Activation):
    """A(p) = log((1 + exp(alpha p)) / (1 + exp(alpha (p - 1)))) / alpha."""

    alpha: float = 2.0

    def value(self, p):
        return (np.logaddexp(self.alpha * p, 0) - np.logaddexp(self.alpha * (p - 1), 0)) / self.alpha

    def derivative(self, p):
        return expit(self.alpha * p) - expit(self.alpha * (p - 1))

    def torch(self, p, torch):
        return (F.softplus(self.alpha * p) - F.softplus(self.alpha * (p - 1))) / self.alpha

    def jax(self, p, jax):
        return (jax.nn.softplus(self.alpha * p) - jax.nn.softplus(self.alpha * (p - 1))) / self.alpha


class NaiveSigmoid(Activation):
    """A(p) = 1 / (1 + exp(-p))."""

    def value(self, p):
        return 1 / (1 + np.exp(-p))

    def derivative(self, p):
        s = 1 / (1 + np.exp(-p))
        return s * (1 - s)

    def torch(self, p, torch):
        return 1 / (1 + torch.exp(-p))

    def jax(self, p, jax):
        return 1 / (1 + jnp.exp(-p))


class NaiveTanh(Activation):
    """A(p) = (exp(p) - exp(-p)) / (exp(p) + exp(-p))."""

    def value(self, p):
        return np.tanh(p)

    def derivative(self, p):
        return 1 - np.tanh(p) ** 2

    def torch(self, p, torch):
        return (torch.exp(p) - torch.exp(-p)) / (torch.exp(p) + torch.exp(-p))

    def jax(self, p, jax):
        return (jnp.exp(p) - jnp.exp(-p)) / (jnp.exp(p) + jnp.exp(-p))


class NaiveSoftplus(Activation):
    """A(p) = log(1 + exp(p))."""

    def value(self, p):
        return np.log(1 + np.exp(p))

    def derivative(self, p):
        return 1 / (1 + np.exp(-p))

    def torch(self, p, torch):
        return torch.log(1 + torch.exp(p))

    def jax(self, p, jax):
        return jnp.log(1 + jnp.exp(p))


class StableSoftplus(Activation):
    """A(p) = max(p, 0) + log(1 + exp(-|p|))."""

    def value(self, p):
        return np.maximum(p, 0) + np.log1p(np.exp(-np.abs(p)))

    def derivative(self, p):
        return expit(p)

    def torch(self, p, torch):
        return torch.clamp(p, min=0) + torch.log1p(torch.exp(-torch.abs(p)))

    def jax(self, p, jax):
        return jnp.maximum(p, 0) + jnp.log1p(jnp.exp(-jnp.abs(p)))


class NaiveLogSigmoid(Activation):
    """A(p) = -log(1 + exp(-p))."""

    def value(self, p):
        return -np.log(1 + np.exp(-p))

    def derivative(self, p):
        return 1 / (1 + np.exp(p))

    def torch(self, p, torch):
        return -torch.log(1 + torch.exp(-p))

    def jax(self, p, jax):
        return jnp.log(jax.nn.sigmoid(p))


class LaplaceOfMega(Activation):
    """A(p) = (1 + erf((p - mu) / (sigma sqrt 2))) / 2."""

    mu: float = 0.707107
    sigma: float = 0.282095

    def value(self, p):
        return 0.5 * (1 + erf((p - self.mu) / (self.sigma * ROOT_2)))

    def derivative(self, p):
        z = (p - self.mu) / (self.sigma * ROOT_2)
        return np.exp(-(z**2)) / (self.sigma * ROOT_2 * ROOT_PI)

    def torch(self, p, torch):
        return 0.5 * (1.0 + torch.erf((p - self.mu).div(self.sigma * ROOT_2)))

    def jax(self, p, jax):
        return 0.5 * (1 + jax.lax.erf((p - self.mu) / (self.sigma * ROOT_2)))


class GaussianBump(Activation):
    """A(p) = exp(-beta p^2)."""

    beta: float = 0.5

    def value(self, p):
        return np.exp(-self.beta * p**2)

    def derivative(self, p):
        return -2 * self.beta * p * np.exp(-self.beta * p**2)

    def torch(self, p, torch):
        return torch.exp(-self.beta * p.pow(2))

    def jax(self, p, jax):
        return jnp.exp(-self.beta * p**2)


class SymmetricLog(Activation):
    """A(p) = sign(p) log(1 + |p|), as in DreamerV3."""

    def value(self, p):
        return np.sign(p) * np.log1p(np.abs(p))

    def derivative(self, p):
        return 1 / (1 + np.abs(p))

    def torch(self, p, torch):
        return torch.where(p < 0, -torch.log1p(-p), torch.log1p(p))

    def jax(self, p, jax):
        return jnp.where(p < 0, -jnp.log1p(jnp.abs(p)), jnp.log1p(jnp.abs(p)))
