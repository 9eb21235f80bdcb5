"""Activations of recent papers and models: smooth gates, soft caps, dead zones, and rows with masks and norms."""

import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch.nn.functional as F
from scipy.special import expit

from gradagree import Activation
from gradagree.reference.parameters import Weights


class Telu(Activation):
    """A(p) = p tanh(exp(p))."""

    def value(self, p):
        return p * np.tanh(np.exp(p))

    def derivative(self, p):
        e = np.exp(p)
        t = np.tanh(e)
        return np.where(p > 30, 1.0, t + p * (1 - t**2) * np.where(p > 30, 1.0, e))

    def torch(self, p, torch):
        return p * torch.tanh(torch.exp(p))

    def jax(self, p, jax):
        return p * jnp.tanh(jnp.exp(p))


class SoftModulus(Activation):
    """A(p) = p^2 (2 - |p|) where |p| <= 1, else |p|."""

    def value(self, p):
        return np.where(np.abs(p) <= 1, p**2 * (2 - np.abs(p)), np.abs(p))

    def derivative(self, p):
        return np.where(np.abs(p) <= 1, p * (4 - 3 * np.abs(p)), np.sign(p))

    def torch(self, p, torch):
        return torch.where(p.abs() <= 1, p.pow(2) * (2 - p.abs()), p.abs())

    def jax(self, p, jax):
        return jnp.where(jnp.abs(p) <= 1, jnp.square(p) * (2 - jnp.abs(p)), jnp.abs(p))


class ExpExpish(Activation):
    """A(p) = p exp(-exp(-p))."""

    def value(self, p):
        return p * np.exp(-np.exp(-p))

    def derivative(self, p):
        e = np.exp(-np.fmax(p, -30.0))
        return np.where(p > -30, np.exp(-e) * (1 + p * e), 0.0)

    def torch(self, p, torch):
        return p * torch.exp(-torch.exp(-p))

    def jax(self, p, jax):
        return p * jnp.exp(-jnp.exp(-p))


class ShiftedSoftplus(Activation):
    """A(p) = log(1 + exp(p)) - log 2, as in SchNet."""

    def value(self, p):
        return np.logaddexp(p, 0) - np.log(2.0)

    def derivative(self, p):
        return expit(p)

    def torch(self, p, torch):
        return torch.logaddexp(p, torch.zeros_like(p)) - float(np.log(2.0))

    def jax(self, p, jax):
        return jax.nn.softplus(p) - float(np.log(2.0))


class NaturalLogRelu(Activation):
    """A(p) = log(beta max(p, 0) + 1)."""

    kinks = (0.0,)
    beta: float = 0.75

    def value(self, p):
        return np.log(self.beta * np.maximum(p, 0) + 1)

    def derivative(self, p):
        return np.where(p > 0, self.beta / (self.beta * np.maximum(p, 0) + 1), 0.0)

    def torch(self, p, torch):
        return torch.log(self.beta * F.relu(p) + 1)

    def jax(self, p, jax):
        return jnp.log(self.beta * jax.nn.relu(p) + 1)


class Mila(Activation):
    """A(p) = p tanh(log(1 + exp(p + beta)))."""

    beta: float = -0.25

    def value(self, p):
        return p * np.tanh(np.logaddexp(p + self.beta, 0))

    def derivative(self, p):
        t = np.tanh(np.logaddexp(p + self.beta, 0))
        return t + p * (1 - t**2) * expit(p + self.beta)

    def torch(self, p, torch):
        return p * torch.tanh(torch.logaddexp(p + self.beta, torch.zeros_like(p)))

    def jax(self, p, jax):
        return p * jnp.tanh(jax.nn.softplus(p + self.beta))


class SquareplusByHand(Activation):
    """A(p) = (p + sqrt(p^2 + b)) / 2."""

    b: float = 4.0

    def value(self, p):
        return (p + np.sqrt(p**2 + self.b)) / 2

    def derivative(self, p):
        return (1 + p / np.sqrt(p**2 + self.b)) / 2

    def torch(self, p, torch):
        return (p + torch.sqrt(torch.square(p) + self.b)) / 2

    def jax(self, p, jax):
        return 0.5 * (p + jnp.sqrt(p * p + self.b))


class SquareNonlinearity(Activation):
    """A(p) = p - sign(p) p^2 / 4 where |p| <= 2, else sign(p)."""

    def value(self, p):
        return np.where(np.abs(p) <= 2, p - np.sign(p) * p**2 / 4, np.sign(p))

    def derivative(self, p):
        return np.where(np.abs(p) <= 2, 1 - np.abs(p) / 2, 0.0)

    def torch(self, p, torch):
        q = p.clamp(-2, 2)
        return q - q * q.abs() / 4

    def jax(self, p, jax):
        q = jnp.clip(p, -2, 2)
        return q - q * jnp.abs(q) / 4


class ComplementaryLogLog(Activation):
    """A(p) = 1 - exp(-exp(p))."""

    def value(self, p):
        return -np.expm1(-np.exp(p))

    def derivative(self, p):
        return np.exp(p - np.exp(p))

    def torch(self, p, torch):
        return 1 - torch.exp(-torch.exp(p))

    def jax(self, p, jax):
        return -jnp.expm1(-jnp.exp(p))


class TemperedSigmoid(Activation):
    """A(p) = scale / (1 + exp(-temperature p)) - offset, for private training."""

    scale: float = 2.0
    temperature: float = 1.5
    offset: float = 1.0

    def value(self, p):
        return self.scale * expit(self.temperature * p) - self.offset

    def derivative(self, p):
        s = expit(self.temperature * p)
        return self.scale * self.temperature * s * (1 - s)

    def torch(self, p, torch):
        return self.scale * torch.sigmoid(self.temperature * p) - self.offset

    def jax(self, p, jax):
        return self.scale * jax.nn.sigmoid(self.temperature * p) - self.offset


class CappedLogits(Activation):
    """A(p) = cap tanh(p / cap), the soft cap of logits."""

    cap: float = 30.0

    def value(self, p):
        return self.cap * np.tanh(p / self.cap)

    def derivative(self, p):
        return 1 - np.tanh(p / self.cap) ** 2

    def torch(self, p, torch):
        p = p / self.cap
        p = torch.tanh(p)
        return p * self.cap

    def jax(self, p, jax):
        return jnp.tanh(p / self.cap) * self.cap


class DeadZone(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.width = width

    def forward(self, x):
        up = (x - self.width).relu_()
        down = x.neg().sub_(self.width).relu_()
        return up - down


class DeadZoneModule(Activation):
    """A(p) = max(p - c, 0) - max(-p - c, 0): a module with in-place operations."""

    kinks = (-0.375, 0.375)

    def value(self, p):
        return np.maximum(p - 0.375, 0) - np.maximum(-p - 0.375, 0)

    def derivative(self, p):
        return np.where(np.abs(p) > 0.375, 1.0, 0.0)

    def torch(self, p, torch):
        return DeadZone(0.375)(p)

    def jax(self, p, jax):
        return jax.nn.relu(p - 0.375) - jax.nn.relu(-p - 0.375)


class GatedSine(torch.autograd.Function):
    @staticmethod
    def forward(x, frequency):
        return x * torch.sin(frequency * x).square()

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, ctx.frequency = inputs
        ctx.save_for_backward(x)
        ctx.save_for_forward(x)

    @staticmethod
    def _slope(ctx):
        (x,) = ctx.saved_tensors
        s, c = torch.sin(ctx.frequency * x), torch.cos(ctx.frequency * x)
        return s * s + 2 * ctx.frequency * x * s * c

    @staticmethod
    def backward(ctx, g):
        return g * GatedSine._slope(ctx), None

    @staticmethod
    def jvp(ctx, tangent, _):
        return tangent * GatedSine._slope(ctx)

    @staticmethod
    def vmap(info, in_dims, x, frequency):
        return GatedSine.apply(x, frequency), in_dims[0]


@jax.custom_jvp
def gated_sine(x):
    return x * jnp.square(jnp.sin(x))


@gated_sine.defjvp
def _gated_sine_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    s = jnp.sin(x)
    return gated_sine(x), (s * s + 2 * x * s * jnp.cos(x)) * dx


class GatedSineFunction(Activation):
    """A(p) = p sin^2 p: a new-style function with jvp and vmap, and a custom_jvp."""

    def value(self, p):
        return p * np.sin(p) ** 2

    def derivative(self, p):
        return np.sin(p) ** 2 + 2 * p * np.sin(p) * np.cos(p)

    def torch(self, p, torch):
        return GatedSine.apply(p, 1.0)

    def jax(self, p, jax):
        return gated_sine(p)


class MaskedSoftmax(Activation):
    """The softmax of every entry but the last two, which are 0: a mask of attention."""

    def width(self, n):
        return n if n > 3 else None

    def value(self, p):
        kept = p[..., :-2]
        e = np.exp(kept - np.max(kept, axis=-1, keepdims=True))
        a = e / np.sum(e, axis=-1, keepdims=True)
        return np.concatenate([a, np.zeros_like(p[..., -2:])], axis=-1)

    def vjp(self, p, delta_a):
        a = self.value(p)
        return a * (delta_a - np.sum(a * delta_a, axis=-1, keepdims=True))

    def torch(self, p, torch):
        masked = torch.arange(p.shape[-1]) >= p.shape[-1] - 2
        return torch.softmax(p.masked_fill(masked, float("-inf")), dim=-1)

    def jax(self, p, jax):
        kept = jnp.arange(p.shape[-1]) < p.shape[-1] - 2
        return jax.nn.softmax(jnp.where(kept, p, -jnp.inf), axis=-1)


class AnnotatedNorm(Activation):
    """A_i(p) = a_i (p_i - mean(p)) / (sd(p) + eps) + b_i, with n - 1 in the standard deviation."""

    a: Weights = Weights((1.5, 0.75, -0.5, 1.0))
    b: Weights = Weights((0.25, 0.0, -0.5, 0.125))
    eps: float = 1e-3

    def width(self, n):
        return n if n == 4 else None

    def _parts(self, p):
        d = p - np.mean(p, axis=-1, keepdims=True)
        return d, np.sqrt(np.sum(d**2, axis=-1, keepdims=True) / 3)

    def value(self, p):
        a, b = (np.asarray(x) if isinstance(x, tuple) else x for x in (self.a, self.b))
        d, sd = self._parts(p)
        return a * d / (sd + self.eps) + b

    def vjp(self, p, delta_a):
        d, sd = self._parts(p)
        g = (np.asarray(self.a) if isinstance(self.a, tuple) else self.a) * delta_a
        g = g / (sd + self.eps)
        along = np.sum(g * d, axis=-1, keepdims=True) / (3 * (sd + self.eps))
        unit = np.where(sd > 0, d / np.where(sd > 0, sd, 1.0), 0.0)
        return g - np.mean(g, axis=-1, keepdims=True) - unit * along

    def by_a(self, p):
        d, sd = self._parts(p)
        return d / (sd + self.eps)

    def by_b(self, p):
        return np.ones_like(p)

    def torch(self, p, torch):
        mean, sd = p.mean(-1, keepdim=True), p.std(-1, keepdim=True)
        return self.a * (p - mean) / (sd + self.eps) + self.b

    def jax(self, p, jax):
        mean, sd = jnp.mean(p, -1, keepdims=True), jnp.std(p, -1, ddof=1, keepdims=True)
        return self.a * (p - mean) / (sd + self.eps) + self.b


class Stablemax(Activation):
    """A_i(p) = s(p_i) / sum s(p), with s(x) = x + 1 from 0 and 1 / (1 - x) below."""

    def _s(self, p):
        return np.where(p >= 0, p + 1, 1 / (1 - np.minimum(p, 0)))

    def _slope(self, p):
        return np.where(p >= 0, 1.0, 1 / (1 - np.minimum(p, 0)) ** 2)

    def value(self, p):
        s = self._s(p)
        return s / np.sum(s, axis=-1, keepdims=True)

    def vjp(self, p, delta_a):
        s = self._s(p)
        total = np.sum(s, axis=-1, keepdims=True)
        return self._slope(p) * (delta_a - np.sum(s * delta_a, axis=-1, keepdims=True) / total) / total

    def torch(self, p, torch):
        s = torch.where(p < 0, 1 / (1 - p.clamp(max=0)), p + 1)
        return s / s.sum(-1, keepdim=True)

    def jax(self, p, jax):
        s = jnp.where(p < 0, 1 / (1 - jnp.where(p < 0, p, 0)), p + 1)
        return s / jnp.sum(s, axis=-1, keepdims=True)
