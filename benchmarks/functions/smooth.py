"""Smooth activations of papers and model libraries, in the usual spelling of each framework."""

import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch.nn.functional as F
from scipy.special import erf, expit

from gradagree import Activation

ROOT_2 = float(np.sqrt(2.0))
ROOT_PI = float(np.sqrt(np.pi))


def softplus(p):
    return np.logaddexp(p, 0)


class MishOfSoftplus(Activation):
    """A(p) = p tanh(softplus(p))."""

    def value(self, p):
        return p * np.tanh(softplus(p))

    def derivative(self, p):
        t = np.tanh(softplus(p))
        return t + p * (1 - t**2) * expit(p)

    def torch(self, p, torch):
        return p * F.softplus(p).tanh()

    def jax(self, p, jax):
        return p * jnp.tanh(jax.nn.softplus(p))


class Serf(Activation):
    """A(p) = p erf(softplus(p))."""

    def value(self, p):
        return p * erf(softplus(p))

    def derivative(self, p):
        z = softplus(p)
        return erf(z) + p * 2 / ROOT_PI * np.exp(-(z**2)) * expit(p)

    def torch(self, p, torch):
        return p * torch.erf(F.softplus(p))

    def jax(self, p, jax):
        return p * jax.scipy.special.erf(jnp.log1p(jnp.exp(p)))


class Logish(Activation):
    """A(p) = p log(1 + s(p))."""

    def value(self, p):
        return p * np.log(1 + expit(p))

    def derivative(self, p):
        s = expit(p)
        return np.log(1 + s) + p * s * (1 - s) / (1 + s)

    def torch(self, p, torch):
        return p * torch.log(1 + torch.sigmoid(p))

    def jax(self, p, jax):
        return p * jnp.log1p(jax.nn.sigmoid(p))


class TanhExp(Activation):
    """A(p) = p tanh(exp(p))."""

    def value(self, p):
        return p * np.tanh(np.exp(p))

    def derivative(self, p):
        t = np.tanh(np.exp(p))
        return t + p * np.exp(p) * (1 - t**2)

    def torch(self, p, torch):
        return p * torch.tanh(torch.exp(p))

    def jax(self, p, jax):
        return p * jnp.tanh(jnp.exp(p))


class Gish(Activation):
    """A(p) = p log(2 - exp(-exp(p)))."""

    def value(self, p):
        return p * np.log(2 - np.exp(-np.exp(p)))

    def derivative(self, p):
        e = np.exp(-np.exp(p))
        return np.log(2 - e) + p * np.exp(p) * e / (2 - e)

    def torch(self, p, torch):
        return p * torch.log(2 - torch.exp(-torch.exp(p)))

    def jax(self, p, jax):
        return p * jnp.log(2 - jnp.exp(-jnp.exp(p)))


class Phish(Activation):
    """A(p) = p tanh(gelu(p))."""

    def _gelu(self, p):
        return 0.5 * p * (1 + erf(p / ROOT_2))

    def value(self, p):
        return p * np.tanh(self._gelu(p))

    def derivative(self, p):
        t = np.tanh(self._gelu(p))
        slope = 0.5 * (1 + erf(p / ROOT_2)) + p * np.exp(-0.5 * p**2) / (ROOT_2 * ROOT_PI)
        return t + p * (1 - t**2) * slope

    def torch(self, p, torch):
        return p * torch.tanh(F.gelu(p))

    def jax(self, p, jax):
        return p * jnp.tanh(jax.nn.gelu(p, approximate=False))


class Smish(Activation):
    """A(p) = alpha p tanh(log(1 + s(beta p)))."""

    alpha: float = 1.0
    beta: float = 1.0

    def value(self, p):
        return self.alpha * p * np.tanh(np.log(1 + expit(self.beta * p)))

    def derivative(self, p):
        s = expit(self.beta * p)
        t = np.tanh(np.log(1 + s))
        return self.alpha * (t + p * (1 - t**2) * self.beta * s * (1 - s) / (1 + s))

    def torch(self, p, torch):
        return self.alpha * p * torch.tanh(torch.log(1 + torch.sigmoid(self.beta * p)))


class QuickGelu(Activation):
    """A(p) = p s(1.702 p), as in CLIP."""

    def value(self, p):
        return p * expit(1.702 * p)

    def derivative(self, p):
        s = expit(1.702 * p)
        return s + 1.702 * p * s * (1 - s)

    def torch(self, p, torch):
        return p * torch.sigmoid(1.702 * p)

    def jax(self, p, jax):
        return p * jax.nn.sigmoid(1.702 * p)


class NewGelu(Activation):
    """A(p) = p/2 (1 + tanh(sqrt(2/pi) (p + 0.044715 p^3))), as in GPT-2."""

    def value(self, p):
        return 0.5 * p * (1 + np.tanh(np.sqrt(2 / np.pi) * (p + 0.044715 * p**3)))

    def derivative(self, p):
        c = np.sqrt(2 / np.pi)
        t = np.tanh(c * (p + 0.044715 * p**3))
        return 0.5 * (1 + t) + 0.5 * p * (1 - t**2) * c * (1 + 0.134145 * p**2)

    def torch(self, p, torch):
        return 0.5 * p * (1.0 + torch.tanh(np.sqrt(2.0 / np.pi).item() * (p + 0.044715 * torch.pow(p, 3.0))))

    def jax(self, p, jax):
        return 0.5 * p * (1.0 + jnp.tanh(np.sqrt(2.0 / np.pi).item() * (p + 0.044715 * jnp.power(p, 3))))


class FastGelu(Activation):
    """A(p) = p/2 (1 + tanh(0.7978845608 p (1 + 0.044715 p^2)))."""

    def value(self, p):
        return 0.5 * p * (1 + np.tanh(p * 0.7978845608 * (1 + 0.044715 * p * p)))

    def derivative(self, p):
        t = np.tanh(p * 0.7978845608 * (1 + 0.044715 * p * p))
        return 0.5 * (1 + t) + 0.5 * p * (1 - t * t) * 0.7978845608 * (1 + 3 * 0.044715 * p * p)

    def torch(self, p, torch):
        return 0.5 * p * (1.0 + torch.tanh(p * 0.7978845608 * (1.0 + 0.044715 * p * p)))

    def jax(self, p, jax):
        return 0.5 * p * (1.0 + jnp.tanh(p * 0.7978845608 * (1.0 + 0.044715 * p * p)))


class AriaTwo(Activation):
    """A(p) = p (1 + exp(-beta p))^(-alpha)."""

    alpha: float = 1.5
    beta: float = 2.0

    def value(self, p):
        return p * expit(self.beta * p) ** self.alpha

    def derivative(self, p):
        s = expit(self.beta * p)
        return s**self.alpha * (1 + self.alpha * self.beta * p * (1 - s))

    def torch(self, p, torch):
        return p * torch.sigmoid(self.beta * p) ** self.alpha

    def jax(self, p, jax):
        return p * jnp.power(1 + jnp.exp(-self.beta * p), -self.alpha)


class Snake(Activation):
    """A(p) = p + sin^2(a p) / a."""

    a: float = 1.5

    def value(self, p):
        return p + np.sin(self.a * p) ** 2 / self.a

    def derivative(self, p):
        return 1 + np.sin(2 * self.a * p)

    def torch(self, p, torch):
        return p + (1.0 / self.a) * torch.pow(torch.sin(self.a * p), 2)

    def jax(self, p, jax):
        return p + jnp.square(jnp.sin(self.a * p)) / self.a


class SnakeOfCosine(Activation):
    """A(p) = p + (1 - cos(2 a p)) / (2 a): snake by another formula."""

    a: float = 0.75

    def value(self, p):
        return p + (1 - np.cos(2 * self.a * p)) / (2 * self.a)

    def derivative(self, p):
        return 1 + np.sin(2 * self.a * p)

    def torch(self, p, torch):
        return p + (1 - torch.cos(2 * self.a * p)) / (2 * self.a)

    def jax(self, p, jax):
        return p + (1 - jnp.cos(2 * self.a * p)) / (2 * self.a)


class BentIdentity(Activation):
    """A(p) = (sqrt(p^2 + 1) - 1) / 2 + p."""

    def value(self, p):
        return (np.sqrt(p**2 + 1) - 1) / 2 + p

    def derivative(self, p):
        return p / (2 * np.sqrt(p**2 + 1)) + 1

    def torch(self, p, torch):
        return (torch.sqrt(p**2 + 1) - 1) / 2 + p

    def jax(self, p, jax):
        return (jnp.sqrt(jnp.square(p) + 1) - 1) / 2 + p


class GrowingCosine(Activation):
    """A(p) = p cos(p)."""

    def value(self, p):
        return p * np.cos(p)

    def derivative(self, p):
        return np.cos(p) - p * np.sin(p)

    def torch(self, p, torch):
        return p * torch.cos(p)

    def jax(self, p, jax):
        return p * jnp.cos(p)


class ESwish(Activation):
    """A(p) = beta p s(p)."""

    beta: float = 1.75

    def value(self, p):
        return self.beta * p * expit(p)

    def derivative(self, p):
        s = expit(p)
        return self.beta * (s + p * s * (1 - s))

    def torch(self, p, torch):
        return self.beta * p * p.sigmoid()

    def jax(self, p, jax):
        return self.beta * p / (1 + jnp.exp(-p))


class ErfAct(Activation):
    """A(p) = p erf(alpha exp(beta p))."""

    alpha: float = 0.75
    beta: float = 0.75

    def value(self, p):
        return p * erf(self.alpha * np.exp(self.beta * p))

    def derivative(self, p):
        z = self.alpha * np.exp(self.beta * p)
        return erf(z) + p * 2 / ROOT_PI * np.exp(-(z**2)) * z * self.beta

    def torch(self, p, torch):
        return p * torch.erf(self.alpha * torch.exp(self.beta * p))

    def jax(self, p, jax):
        return p * jax.lax.erf(self.alpha * jnp.exp(self.beta * p))


class DerivativeOfSilu(Activation):
    """A(p) = s(p) (1 + p (1 - s(p)))."""

    def value(self, p):
        s = expit(p)
        return s * (1 + p * (1 - s))

    def derivative(self, p):
        s = expit(p)
        return s * (1 - s) * (2 + p * (1 - 2 * s))

    def torch(self, p, torch):
        s = torch.sigmoid(p)
        return s * (1 + p * (1 - s))

    def jax(self, p, jax):
        return jax.vmap(jax.grad(jax.nn.silu))(p.reshape(-1)).reshape(p.shape)


class Pade(Activation):
    """A(p) = (a0 + a1 p + a2 p^2 + a3 p^3) / (1 + (b1 p)^2 + b2 p^4): a rational activation."""

    a0: float = 0.03125
    a1: float = 0.5
    a2: float = 0.75
    a3: float = 0.25
    b1: float = 0.5
    b2: float = 0.0625

    def value(self, p):
        return self._top(p) / self._bottom(p)

    def _top(self, p):
        return self.a0 + self.a1 * p + self.a2 * p**2 + self.a3 * p**3

    def _bottom(self, p):
        return 1 + (self.b1 * p) ** 2 + self.b2 * p**4

    def derivative(self, p):
        top = self.a1 + 2 * self.a2 * p + 3 * self.a3 * p**2
        bottom = 2 * self.b1**2 * p + 4 * self.b2 * p**3
        return (top * self._bottom(p) - self._top(p) * bottom) / self._bottom(p) ** 2

    def torch(self, p, torch):
        powers = torch.stack([torch.ones_like(p), p, p**2, p**3], dim=-1)
        top = powers @ torch.tensor([self.a0, self.a1, self.a2, self.a3], dtype=p.dtype)
        return top / self._bottom(p)

    def jax(self, p, jax):
        return jnp.polyval(jnp.array([self.a3, self.a2, self.a1, self.a0], p.dtype), p) / self._bottom(p)


class ParabolicCone(Activation):
    """A(p) = p (2 - p)."""

    def value(self, p):
        return p * (2 - p)

    def derivative(self, p):
        return 2 - 2 * p

    def torch(self, p, torch):
        return p * (2 - p)

    def jax(self, p, jax):
        return p * (2 - p)
