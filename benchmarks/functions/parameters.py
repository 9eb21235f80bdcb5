"""Activations with trainable parameters, one for all entries or one for each entry, as modules have them."""

import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch.nn.functional as F
from scipy.special import expit

from gradagree import Activation
from gradagree.reference import Weight, Weights


class LearnedSwish(Activation):
    """A(p) = p s(beta p), with a trainable beta."""

    beta: Weight = Weight(1.25)

    def value(self, p):
        return p * expit(self.beta * p)

    def derivative(self, p):
        s = expit(self.beta * p)
        return s + self.beta * p * s * (1 - s)

    def by_beta(self, p):
        s = expit(self.beta * p)
        return p**2 * s * (1 - s)

    def torch(self, p, torch):
        return p * torch.sigmoid(self.beta * p)

    def jax(self, p, jax):
        return p * jax.nn.sigmoid(self.beta * p)


class LearnedSnake(Activation):
    """A(p) = p + sin^2(alpha p) / alpha, with a trainable alpha."""

    alpha: Weight = Weight(0.75)

    def value(self, p):
        return p + np.sin(self.alpha * p) ** 2 / self.alpha

    def derivative(self, p):
        return 1 + np.sin(2 * self.alpha * p)

    def by_alpha(self, p):
        return p * np.sin(2 * self.alpha * p) / self.alpha - np.sin(self.alpha * p) ** 2 / self.alpha**2

    def torch(self, p, torch):
        return p + (1.0 / self.alpha) * torch.sin(p * self.alpha).pow(2)

    def jax(self, p, jax):
        return p + jnp.sin(self.alpha * p) ** 2 / self.alpha


class StarReluOfMetaformer(Activation):
    """A(p) = s max(p, 0)^2 + b, with trainable s and b."""

    s: Weight = Weight(0.8944)
    b: Weight = Weight(-0.4472)

    def value(self, p):
        return self.s * np.maximum(p, 0) ** 2 + self.b

    def derivative(self, p):
        return 2 * self.s * np.maximum(p, 0)

    def by_s(self, p):
        return np.maximum(p, 0) ** 2

    def by_b(self, p):
        return np.ones_like(p)

    def torch(self, p, torch):
        return self.s * F.relu(p) ** 2 + self.b

    def jax(self, p, jax):
        return self.s * jnp.square(jax.nn.relu(p)) + self.b


class Sinlu(Activation):
    """A(p) = (p + a sin(b p)) s(p), with trainable a and b."""

    a: Weight = Weight(1.0)
    b: Weight = Weight(1.5)

    def value(self, p):
        return (p + self.a * np.sin(self.b * p)) * expit(p)

    def derivative(self, p):
        s = expit(p)
        return (1 + self.a * self.b * np.cos(self.b * p)) * s + (p + self.a * np.sin(self.b * p)) * s * (1 - s)

    def by_a(self, p):
        return np.sin(self.b * p) * expit(p)

    def by_b(self, p):
        return self.a * p * np.cos(self.b * p) * expit(p)

    def torch(self, p, torch):
        return torch.sigmoid(p) * (p + self.a * torch.sin(self.b * p))

    def jax(self, p, jax):
        return jax.nn.sigmoid(p) * (p + self.a * jnp.sin(self.b * p))


class Xielu(Activation):
    """A(p) = a p^2 + p/2 for p > 0, else b (exp(p) - 1) - b p + p/2, with trainable a and b."""

    a: Weight = Weight(0.8)
    b: Weight = Weight(0.6)

    def value(self, p):
        below = np.minimum(p, 0)
        return np.where(p > 0, self.a * p**2, self.b * (np.expm1(below) - p)) + 0.5 * p

    def derivative(self, p):
        return np.where(p > 0, 2 * self.a * p, self.b * np.expm1(np.minimum(p, 0))) + 0.5

    def by_a(self, p):
        return np.where(p > 0, p**2, 0.0)

    def by_b(self, p):
        return np.where(p > 0, 0.0, np.expm1(np.minimum(p, 0)) - p)

    def torch(self, p, torch):
        below = torch.expm1(torch.min(p, torch.zeros_like(p)))
        return torch.where(p > 0, self.a * p * p + 0.5 * p, (below - p) * self.b + 0.5 * p)

    def jax(self, p, jax):
        return jnp.where(p > 0, self.a * p * p + 0.5 * p, self.b * jnp.expm1(jnp.minimum(p, 0)) - self.b * p + 0.5 * p)


class LearnedSoftplus(Activation):
    """A(p) = log(1 + exp(beta p)) / beta, with a trainable beta."""

    beta: Weight = Weight(1.5)

    def value(self, p):
        return np.logaddexp(self.beta * p, 0) / self.beta

    def derivative(self, p):
        return expit(self.beta * p)

    def by_beta(self, p):
        return p * expit(self.beta * p) / self.beta - np.logaddexp(self.beta * p, 0) / self.beta**2

    def torch(self, p, torch):
        return torch.logaddexp(self.beta * p, torch.zeros_like(p)) / self.beta

    def jax(self, p, jax):
        return jax.nn.softplus(self.beta * p) / self.beta


class LearnedElu(Activation):
    """A(p) = p for p > 0, else alpha (exp(p) - 1), with a trainable alpha."""

    alpha: Weight = Weight(0.75)
    kinks = (0.0,)

    def value(self, p):
        return np.where(p > 0, p, self.alpha * np.expm1(np.minimum(p, 0)))

    def derivative(self, p):
        return np.where(p > 0, 1.0, self.alpha * np.exp(np.minimum(p, 0)))

    def by_alpha(self, p):
        return np.where(p > 0, 0.0, np.expm1(np.minimum(p, 0)))

    def torch(self, p, torch):
        return torch.where(p > 0, p, self.alpha * torch.expm1(p))

    def jax(self, p, jax):
        return jnp.where(p > 0, p, self.alpha * jnp.expm1(jnp.where(p > 0, 0.0, p)))


class DynamicTanh(Activation):
    """A(p) = g tanh(alpha p) + b, with trainable alpha, g and b, in place of a normalization."""

    alpha: Weight = Weight(0.5)
    g: Weight = Weight(1.25)
    b: Weight = Weight(0.1)

    def value(self, p):
        return self.g * np.tanh(self.alpha * p) + self.b

    def derivative(self, p):
        return self.g * self.alpha * (1 - np.tanh(self.alpha * p) ** 2)

    def by_alpha(self, p):
        return self.g * p * (1 - np.tanh(self.alpha * p) ** 2)

    def by_g(self, p):
        return np.tanh(self.alpha * p)

    def by_b(self, p):
        return np.ones_like(p)

    def torch(self, p, torch):
        return torch.tanh(self.alpha * p) * self.g + self.b

    def jax(self, p, jax):
        return jnp.tanh(self.alpha * p) * self.g + self.b


class AconC(Activation):
    """A_i(p) = (a_i - b_i) p_i s(c_i (a_i - b_i) p_i) + b_i p_i, with trainable a, b and c for each entry."""

    a: Weights = Weights((1.25, 0.5, -0.75))
    b: Weights = Weights((0.25, -0.5, 0.5))
    c: Weights = Weights((1.0, 1.5, 0.75))

    def width(self, n):
        return n if n == 3 else None

    def _parts(self, p):
        a, b, c = (np.asarray(x) if isinstance(x, tuple) else x for x in (self.a, self.b, self.c))
        d = (a - b) * p
        return a, b, c, d, expit(c * d)

    def value(self, p):
        _, b, _, d, s = self._parts(p)
        return d * s + b * p

    def vjp(self, p, delta_a):
        a, b, c, d, s = self._parts(p)
        return ((a - b) * (s + c * d * s * (1 - s)) + b) * delta_a

    def by_a(self, p):
        _, _, c, d, s = self._parts(p)
        return p * (s + c * d * s * (1 - s))

    def by_b(self, p):
        _, _, c, d, s = self._parts(p)
        return p - p * (s + c * d * s * (1 - s))

    def by_c(self, p):
        _, _, _, d, s = self._parts(p)
        return d**2 * s * (1 - s)

    def torch(self, p, torch):
        difference = (self.a - self.b) * p
        return difference * torch.sigmoid(self.c * difference) + self.b * p

    def jax(self, p, jax):
        difference = (self.a - self.b) * p
        return difference * jax.nn.sigmoid(self.c * difference) + self.b * p


class PreluFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, a):
        ctx.save_for_backward(x, a)
        return torch.where(x > 0, x, a * x)

    @staticmethod
    def backward(ctx, g):
        x, a = ctx.saved_tensors
        return torch.where(x > 0, g, a * g), torch.where(x > 0, 0.0, g * x).sum().reshape(a.shape)


class OldStylePrelu(Activation):
    """A(p) = p for p > 0, else a p, with a trainable a: an old-style function of two operands, and a custom_vjp."""

    a: Weight = Weight(0.25)
    kinks = (0.0,)

    def value(self, p):
        return np.where(p > 0, p, self.a * p)

    def derivative(self, p):
        return np.where(p > 0, 1.0, self.a)

    def by_a(self, p):
        return np.where(p > 0, 0.0, p)

    def torch(self, p, torch):
        return PreluFunction.apply(p, self.a)

    def jax(self, p, jax):
        return prelu_of_vjp(p, self.a)


@jax.custom_vjp
def prelu_of_vjp(x, a):
    return jnp.where(x > 0, x, a * x)


def _prelu_bwd(saved, g):
    x, a = saved
    return jnp.where(x > 0, g, a * g), jnp.sum(jnp.where(x > 0, 0.0, g * x)).reshape(jnp.shape(a))


prelu_of_vjp.defvjp(lambda x, a: (prelu_of_vjp(x, a), (x, a)), _prelu_bwd)


class AffineNorm(Activation):
    """A_i(p) = g_i (p_i - mean(p)) / sqrt(var(p) + eps) + b_i, with trainable g and b."""

    g: Weights = Weights((1.25, 0.5, -0.75, 1.0))
    b: Weights = Weights((0.25, -0.5, 0.5, 0.0))
    eps: float = 1e-5

    def width(self, n):
        return n if n == 4 else None

    def _normal(self, p):
        d = p - np.mean(p, axis=-1, keepdims=True)
        r = 1 / np.sqrt(np.mean(d**2, axis=-1, keepdims=True) + self.eps)
        return d * r, r

    def value(self, p):
        g, b = (np.asarray(x) if isinstance(x, tuple) else x for x in (self.g, self.b))
        return g * self._normal(p)[0] + b

    def vjp(self, p, delta_a):
        a, r = self._normal(p)
        d = (np.asarray(self.g) if isinstance(self.g, tuple) else self.g) * delta_a
        return r * (d - np.mean(d, axis=-1, keepdims=True) - a * np.mean(a * d, axis=-1, keepdims=True))

    def by_g(self, p):
        return self._normal(p)[0]

    def by_b(self, p):
        return np.ones_like(p)

    def torch(self, p, torch):
        return F.layer_norm(p, (4,), self.g, self.b, self.eps)

    def jax(self, p, jax):
        wide = p.astype(jnp.promote_types(p.dtype, jnp.float32))
        d = wide - wide.mean(-1, keepdims=True)
        normal = d * jax.lax.rsqrt(jnp.square(d).mean(-1, keepdims=True) + self.eps)
        return (normal * self.g + self.b).astype(p.dtype)
