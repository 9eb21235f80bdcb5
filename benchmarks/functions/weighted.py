"""Losses with masks, weights, temperatures, margins, smoothed labels and rankings, in the styles of libraries."""

import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch.nn.functional as F
from scipy.special import expit

from gradagree import ErrorFunction

BOTH = (-2, -1)


def count(o):
    return o.shape[-1] * o.shape[-2]


def log_softmax(o):
    return o - np.logaddexp.reduce(o, axis=-1, keepdims=True)


def one_hot(t, n):
    return np.where(t[..., None] == np.arange(n), 1.0, 0.0)


class SmoothedLogits(ErrorFunction):
    """mean of BCE(o, t (1 - a) + a/2) with the weight w of positive labels, by max(-o, 0) + log(1 + exp(-|o|))."""

    targets = "bits"
    a: float = 0.125
    w: float = 2.5

    def value(self, o, t):
        y = t * (1 - self.a) + self.a / 2
        return np.mean((1 - y) * o + (1 + (self.w - 1) * y) * np.logaddexp(-o, 0), axis=BOTH)

    def sensitivity(self, o, t):
        y = t * (1 - self.a) + self.a / 2
        return (1 - y - (1 + (self.w - 1) * y) * expit(-o)) / count(o)

    def torch(self, o, t, torch):
        y = t * (1 - self.a) + 0.5 * self.a
        return F.binary_cross_entropy_with_logits(o, y, pos_weight=torch.as_tensor(self.w, dtype=o.dtype))

    def jax(self, o, t, jax):
        y = t * (1 - self.a) + 0.5 * self.a
        return jnp.mean((1 - y) * o + (1 + (self.w - 1) * y) * jnp.logaddexp(-o, 0.0))


class MaskedSquares(ErrorFunction):
    """The mean of (o - t)^2 over the entries with t > 0; 0 without any."""

    def value(self, o, t):
        kept = np.where(t > 0, 1.0, 0.0)
        number = np.maximum(np.sum(kept, axis=BOTH), 1.0)
        return np.sum(kept * (o - t) ** 2, axis=BOTH) / number

    def sensitivity(self, o, t):
        kept = np.where(t > 0, 1.0, 0.0)
        return 2 * kept * (o - t) / np.maximum(np.sum(kept, axis=BOTH, keepdims=True), 1.0)

    def torch(self, o, t, torch):
        kept = t > 0
        return (o - t).masked_fill(~kept, 0).square().sum() / kept.sum().clamp(min=1)

    def jax(self, o, t, jax):
        kept = t > 0
        return jnp.sum(jnp.where(kept, jnp.square(o - t), 0)) / jnp.maximum(jnp.sum(kept), 1).astype(o.dtype)


class AsymmetricFocal(ErrorFunction):
    """-sum of t (1 - s)^2 log s + (1 - t) s^2 log(1 - s), s = s(o)."""

    targets = "bits"

    def value(self, o, t):
        s, up, down = expit(o), np.logaddexp(-o, 0), np.logaddexp(o, 0)
        return np.sum(t * (1 - s) ** 2 * up + (1 - t) * s**2 * down, axis=BOTH)

    def sensitivity(self, o, t):
        s, r, up, down = expit(o), expit(-o), np.logaddexp(-o, 0), np.logaddexp(o, 0)
        positive = -(r**2) * (r + 2 * s * up)
        return t * positive + (1 - t) * s**2 * (s + 2 * r * down)

    def torch(self, o, t, torch):
        s = torch.sigmoid(o)
        loss = t * (1 - s).pow(2) * F.logsigmoid(o) + (1 - t) * s.pow(2) * F.logsigmoid(-o)
        return -loss.sum()

    def jax(self, o, t, jax):
        s, r = jax.nn.sigmoid(o), jax.nn.sigmoid(-o)
        return -jnp.sum(t * r**2 * jax.nn.log_sigmoid(o) + (1 - t) * s**2 * jax.nn.log_sigmoid(-o))


class QuantileHuber(ErrorFunction):
    """mean of |tau - [d < 0]| huber(d), d = t - o, as in distributional reinforcement learning."""

    tau: float = 0.875

    def value(self, o, t):
        d = t - o
        h = np.where(np.abs(d) <= 1, d**2 / 2, np.abs(d) - 0.5)
        return np.mean(np.where(d < 0, 1 - self.tau, self.tau) * h, axis=BOTH)

    def sensitivity(self, o, t):
        d = t - o
        return -np.where(d < 0, 1 - self.tau, self.tau) * np.clip(d, -1, 1) / count(o)

    def torch(self, o, t, torch):
        d = t - o
        return ((self.tau - (d.detach() < 0).to(d.dtype)).abs() * F.huber_loss(o, t, reduction="none")).mean()

    def jax(self, o, t, jax):
        d = t - o
        size = jnp.abs(d)
        quadratic = jnp.minimum(size, 1)
        return jnp.mean(jnp.where(d < 0, 1 - self.tau, self.tau) * (0.5 * quadratic**2 + (size - quadratic)))


class HuberOfTwo(torch.autograd.Function):
    @staticmethod
    def forward(ctx, o, t, delta):
        d = o - t
        ctx.save_for_backward(d)
        ctx.delta = delta
        return torch.where(d.abs() < delta, 0.5 * d * d, delta * (d.abs() - 0.5 * delta)).sum()

    @staticmethod
    def backward(ctx, g):
        (d,) = ctx.saved_tensors
        slope = g * d.clamp(-ctx.delta, ctx.delta)
        return slope, -slope, None


@jax.custom_vjp
def huber_of_two(o, t):
    d = jnp.abs(o - t)
    return jnp.sum(jnp.where(d < 0.75, 0.5 * d * d, 0.75 * (d - 0.375)))


huber_of_two.defvjp(
    lambda o, t: (huber_of_two(o, t), o - t),
    lambda d, g: (g * jnp.clip(d, -0.75, 0.75), -g * jnp.clip(d, -0.75, 0.75)),
)


class HuberFunction(ErrorFunction):
    """sum of huber(o - t) up to 0.75: an old-style function of two operands, and a custom_vjp."""

    def value(self, o, t):
        d = np.abs(o - t)
        return np.sum(np.where(d < 0.75, d**2 / 2, 0.75 * (d - 0.375)), axis=BOTH)

    def sensitivity(self, o, t):
        return np.clip(o - t, -0.75, 0.75)

    def torch(self, o, t, torch):
        return HuberOfTwo.apply(o, t, 0.75)

    def jax(self, o, t, jax):
        return huber_of_two(o, t)


class BerHu(ErrorFunction):
    """mean of |d| up to c, else (d^2 + c^2) / (2 c), d = o - t: the reverse Huber loss of depths."""

    c: float = 0.5

    def value(self, o, t):
        d = np.abs(o - t)
        return np.mean(np.where(d <= self.c, d, (d**2 + self.c**2) / (2 * self.c)), axis=BOTH)

    def sensitivity(self, o, t):
        d = o - t
        return np.where(np.abs(d) <= self.c, np.sign(d), d / self.c) / count(o)

    def kink(self, o, t):
        return o == t

    def torch(self, o, t, torch):
        d = (o - t).abs()
        return torch.where(d <= self.c, d, (d.pow(2) + self.c**2) / (2 * self.c)).mean()

    def jax(self, o, t, jax):
        d = jnp.abs(o - t)
        return jnp.mean(jnp.where(d <= self.c, d, (d * d + self.c**2) / (2 * self.c)))


class LogisticNll(ErrorFunction):
    """sum of z + s + 2 log(1 + exp(-z)), z = (t - m) exp(-s), with the halves m and s of o."""

    def width(self, n):
        return n // 2 if n % 2 == 0 else None

    def _parts(self, o, t):
        n = o.shape[-1] // 2
        m, s = o[..., :n], o[..., n:]
        return (t - m) * np.exp(-s), s

    def value(self, o, t):
        z, s = self._parts(o, t)
        return np.sum(z + s + 2 * np.logaddexp(-z, 0), axis=BOTH)

    def sensitivity(self, o, t):
        z, s = self._parts(o, t)
        slope = np.tanh(z / 2)
        return np.concatenate([-slope * np.exp(-s), 1 - slope * z], axis=-1)

    def torch(self, o, t, torch):
        m, s = o.chunk(2, dim=-1)
        z = (t - m) * torch.exp(-s)
        return (z + s - 2 * F.logsigmoid(z)).sum()

    def jax(self, o, t, jax):
        m, s = jnp.split(o, 2, axis=-1)
        z = (t - m) * jnp.exp(-s)
        return jnp.sum(z + s - 2 * jax.nn.log_sigmoid(z))


class PersonalizedRanking(ErrorFunction):
    """-mean of log s(t (a - b)), with the halves a and b of o: Bayesian personalized ranking with weights t."""

    targets = "positive"

    def width(self, n):
        return n // 2 if n % 2 == 0 else None

    def value(self, o, t):
        n = o.shape[-1] // 2
        return np.mean(np.logaddexp(-t * (o[..., :n] - o[..., n:]), 0), axis=BOTH)

    def sensitivity(self, o, t):
        n = o.shape[-1] // 2
        slope = -t * expit(-t * (o[..., :n] - o[..., n:])) / (t.shape[-1] * t.shape[-2])
        return np.concatenate([slope, -slope], axis=-1)

    def torch(self, o, t, torch):
        a, b = o.chunk(2, dim=-1)
        return -F.logsigmoid(t * (a - b)).mean()

    def jax(self, o, t, jax):
        a, b = jnp.split(o, 2, axis=-1)
        return -jnp.mean(jax.nn.log_sigmoid(t * (a - b)))


class ListNet(ErrorFunction):
    """-mean over examples of sum softmax(t) log softmax(o)."""

    def value(self, o, t):
        return -np.sum(np.exp(log_softmax(t)) * log_softmax(o), axis=BOTH) / o.shape[-2]

    def sensitivity(self, o, t):
        return (np.exp(log_softmax(o)) - np.exp(log_softmax(t))) / o.shape[-2]

    def torch(self, o, t, torch):
        return -(F.softmax(t, dim=-1) * F.log_softmax(o, dim=-1)).sum(dim=-1).mean()

    def jax(self, o, t, jax):
        return -jnp.mean(jnp.sum(jax.nn.softmax(t) * jax.nn.log_softmax(o), axis=-1))


class _OfClasses(ErrorFunction):
    """A loss of class numbers; the mean over examples."""

    targets = "classes"


class TemperatureCrossEntropy(_OfClasses):
    """mean of -log softmax(o / T) at the right class."""

    T: float = 0.25

    def value(self, o, t):
        return -np.sum(one_hot(t, o.shape[-1]) * log_softmax(o / self.T), axis=BOTH) / o.shape[-2]

    def sensitivity(self, o, t):
        return (np.exp(log_softmax(o / self.T)) - one_hot(t, o.shape[-1])) / (self.T * o.shape[-2])

    def torch(self, o, t, torch):
        return F.cross_entropy(o.div(self.T), t)

    def jax(self, o, t, jax):
        logs = jax.nn.log_softmax(o / self.T)
        return -jnp.mean(jnp.take_along_axis(logs, t[:, None], axis=-1))


class ZLoss(_OfClasses):
    """mean of log sum exp(o) - o_t + c (log sum exp(o))^2, as large language models have it."""

    c: float = 0.0625

    def value(self, o, t):
        z = np.logaddexp.reduce(o, axis=-1)
        right = np.sum(one_hot(t, o.shape[-1]) * o, axis=-1)
        return np.mean(z - right + self.c * z**2, axis=-1)

    def sensitivity(self, o, t):
        z = np.logaddexp.reduce(o, axis=-1, keepdims=True)
        return ((1 + 2 * self.c * z) * np.exp(o - z) - one_hot(t, o.shape[-1])) / o.shape[-2]

    def torch(self, o, t, torch):
        z = torch.logsumexp(o, dim=-1)
        return F.cross_entropy(o, t) + self.c * z.square().mean()

    def jax(self, o, t, jax):
        z = jax.nn.logsumexp(o, axis=-1)
        right = jnp.take_along_axis(o, t[:, None], axis=-1)[:, 0]
        return jnp.mean(z - right + self.c * jnp.square(z))


class PolyOne(_OfClasses):
    """mean of -log softmax(o)_t + c (1 - softmax(o)_t)."""

    c: float = 1.5

    def value(self, o, t):
        logs = np.sum(one_hot(t, o.shape[-1]) * log_softmax(o), axis=-1)
        return np.mean(-logs + self.c * (1 - np.exp(logs)), axis=-1)

    def sensitivity(self, o, t):
        hot, probabilities = one_hot(t, o.shape[-1]), np.exp(log_softmax(o))
        right = np.sum(hot * probabilities, axis=-1, keepdims=True)
        return (1 + self.c * right) * (probabilities - hot) / o.shape[-2]

    def torch(self, o, t, torch):
        right = torch.sum(F.one_hot(t, o.shape[-1]) * F.softmax(o, dim=-1), dim=-1)
        return (F.cross_entropy(o, t, reduction="none") + self.c * (1 - right)).mean()

    def jax(self, o, t, jax):
        logs = jnp.sum(jax.nn.one_hot(t, o.shape[-1], dtype=o.dtype) * jax.nn.log_softmax(o), axis=-1)
        return jnp.mean(-logs + self.c * (1 - jnp.exp(logs)))


class MarginCrossEntropy(_OfClasses):
    """mean of -log softmax(s (o - m e_t)), with a margin m at the right class, as in CosFace."""

    s: float = 4.0
    m: float = 0.25

    def _moved(self, o, t):
        return self.s * (o - self.m * one_hot(t, o.shape[-1]))

    def value(self, o, t):
        return -np.sum(one_hot(t, o.shape[-1]) * log_softmax(self._moved(o, t)), axis=BOTH) / o.shape[-2]

    def sensitivity(self, o, t):
        return self.s * (np.exp(log_softmax(self._moved(o, t))) - one_hot(t, o.shape[-1])) / o.shape[-2]

    def torch(self, o, t, torch):
        index = torch.zeros_like(o).scatter_(1, t.view(-1, 1), 1.0)
        return F.cross_entropy(self.s * (o - self.m * index), t)

    def jax(self, o, t, jax):
        moved = o.at[jnp.arange(len(t)), t].add(-self.m) * self.s
        return jnp.mean(jax.nn.logsumexp(moved, axis=-1) - moved[jnp.arange(len(t)), t])
