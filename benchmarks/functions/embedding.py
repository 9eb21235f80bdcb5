"""Losses of embeddings: contrastive, triplet, centers and redundancy, some over pairs of the batch."""

import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch.nn.functional as F
from scipy.special import expit

from gradagree import ErrorFunction

BOTH = (-2, -1)


def total(x):
    return np.sum(x, axis=-1, keepdims=True)


class CosineRegression(ErrorFunction):
    """mean over examples of 2 - 2 cos(o, t), with lengths sqrt(|x|^2 + eps), as in BYOL."""

    eps: float = 1e-6

    def _unit(self, x):
        return x / np.sqrt(total(x**2) + self.eps)

    def value(self, o, t):
        return np.mean(2 - 2 * np.sum(self._unit(o) * self._unit(t), axis=-1), axis=-1)

    def sensitivity(self, o, t):
        r = 1 / np.sqrt(total(o**2) + self.eps)
        d = -2 * self._unit(t) / o.shape[-2]
        return r * (d - r**2 * o * total(o * d))

    def torch(self, o, t, torch):
        a = o * torch.rsqrt((o * o).sum(-1, keepdim=True) + self.eps)
        b = t * torch.rsqrt((t * t).sum(-1, keepdim=True) + self.eps)
        return (2 - 2 * (a * b).sum(dim=-1)).mean()

    def jax(self, o, t, jax):
        a = o / jnp.sqrt(jnp.sum(o * o, -1, keepdims=True) + self.eps)
        b = t / jnp.sqrt(jnp.sum(t * t, -1, keepdims=True) + self.eps)
        return jnp.mean(2 - 2 * jnp.sum(a * b, axis=-1))


class InfoNce(ErrorFunction):
    """mean over i of -log softmax_i(o_i . t_j / T): the right target among those of the batch."""

    temperature: float = 0.5

    def _logits(self, o, t):
        return np.sum(o[..., :, None, :] * t[..., None, :, :], axis=-1) / self.temperature

    def value(self, o, t):
        z = self._logits(o, t)
        right = np.sum(z * np.eye(o.shape[-2]), axis=-1)
        return np.mean(np.logaddexp.reduce(z, axis=-1) - right, axis=-1)

    def sensitivity(self, o, t):
        z = self._logits(o, t)
        p = np.exp(z - np.logaddexp.reduce(z, axis=-1, keepdims=True)) - np.eye(o.shape[-2])
        return np.sum(p[..., None] * t[..., None, :, :], axis=-2) / self.temperature / o.shape[-2]

    def torch(self, o, t, torch):
        logits = o @ t.T / self.temperature
        return F.cross_entropy(logits, torch.arange(o.shape[0]))

    def jax(self, o, t, jax):
        logits = o @ t.T / self.temperature
        return -jnp.mean(jnp.diagonal(jax.nn.log_softmax(logits, axis=-1)))


class SiglipPairs(ErrorFunction):
    """mean over i of sum_j softplus(-y_ij o_i . t_j), y = 1 for i = j, else -1."""

    def _parts(self, o, t):
        y = 2 * np.eye(o.shape[-2]) - 1
        return y, np.sum(o[..., :, None, :] * t[..., None, :, :], axis=-1)

    def value(self, o, t):
        y, z = self._parts(o, t)
        return np.mean(np.sum(np.logaddexp(-y * z, 0), axis=-1), axis=-1)

    def sensitivity(self, o, t):
        y, z = self._parts(o, t)
        d = -y * expit(-y * z) / o.shape[-2]
        return np.sum(d[..., None] * t[..., None, :, :], axis=-2)

    def torch(self, o, t, torch):
        y = 2 * torch.eye(o.shape[0], dtype=o.dtype) - 1
        return -F.logsigmoid(y * (o @ t.T)).sum() / o.shape[0]

    def jax(self, o, t, jax):
        y = 2 * jnp.eye(o.shape[0], dtype=o.dtype) - 1
        return -jnp.sum(jax.nn.log_sigmoid(y * (o @ t.T))) / o.shape[0]


class Contrastive(ErrorFunction):
    """mean of y d^2 + (1 - y) max(m - d, 0)^2, d the distance of the halves of o."""

    targets = "bits"
    margin: float = 1.5
    eps: float = 1e-6

    def width(self, n):
        return 1 if n % 2 == 0 else None

    def _distance(self, o):
        n = o.shape[-1] // 2
        d = o[..., :n] - o[..., n:]
        return d, np.sqrt(total(d**2) + self.eps)

    def value(self, o, t):
        _, r = self._distance(o)
        return np.mean(t * r**2 + (1 - t) * np.maximum(self.margin - r, 0) ** 2, axis=BOTH)

    def sensitivity(self, o, t):
        d, r = self._distance(o)
        slope = (2 * t * r - 2 * (1 - t) * np.maximum(self.margin - r, 0)) * d / r / o.shape[-2]
        return np.concatenate([slope, -slope], axis=-1)

    def torch(self, o, t, torch):
        a, b = o.chunk(2, dim=-1)
        r = torch.sqrt(((a - b) ** 2).sum(-1, keepdim=True) + self.eps)
        return (t * r**2 + (1 - t) * torch.clamp(self.margin - r, min=0.0) ** 2).mean()

    def jax(self, o, t, jax):
        a, b = jnp.split(o, 2, axis=-1)
        r = jnp.sqrt(jnp.sum((a - b) ** 2, -1, keepdims=True) + self.eps)
        return jnp.mean(t * r**2 + (1 - t) * jnp.maximum(self.margin - r, 0) ** 2)


class SoftTriplet(ErrorFunction):
    """mean over examples of softplus(|a - p|^2 - |a - n|^2), a, p and n the thirds of o."""

    def width(self, n):
        return 1 if n % 3 == 0 else None

    def _thirds(self, o):
        n = o.shape[-1] // 3
        return o[..., :n], o[..., n : 2 * n], o[..., 2 * n :]

    def value(self, o, t):
        a, p, n = self._thirds(o)
        return np.mean(np.logaddexp(np.sum((a - p) ** 2, axis=-1) - np.sum((a - n) ** 2, axis=-1), 0), axis=-1)

    def sensitivity(self, o, t):
        a, p, n = self._thirds(o)
        s = 2 * expit(total((a - p) ** 2) - total((a - n) ** 2)) / o.shape[-2]
        return np.concatenate([s * (n - p), s * (p - a), s * (a - n)], axis=-1)

    def torch(self, o, t, torch):
        a, p, n = o.chunk(3, dim=-1)
        return F.softplus((a - p).pow(2).sum(-1) - (a - n).pow(2).sum(-1), threshold=60).mean()

    def jax(self, o, t, jax):
        a, p, n = jnp.split(o, 3, axis=-1)
        return jnp.mean(jax.nn.softplus(jnp.sum((a - p) ** 2, -1) - jnp.sum((a - n) ** 2, -1)))


class CenterLoss(ErrorFunction):
    """sum over examples of |o - t|^2 / 2, averaged, where t is the center of the example's class."""

    def value(self, o, t):
        return 0.5 * np.mean(np.sum((o - t) ** 2, axis=-1), axis=-1)

    def sensitivity(self, o, t):
        return (o - t) / o.shape[-2]

    def torch(self, o, t, torch):
        return 0.5 * (o - t).pow(2).sum(dim=-1).mean()

    def jax(self, o, t, jax):
        return 0.5 * jnp.mean(jnp.sum(jnp.square(o - t), axis=-1))


class VarianceHinge(ErrorFunction):
    """mean over columns of max(0, 1 - sqrt(var + eps)), and the mean of (o - t)^2, as in VICReg."""

    eps: float = 1e-4

    def _spread(self, o):
        d = o - np.mean(o, axis=-2, keepdims=True)
        return d, np.sqrt(np.mean(d**2, axis=-2, keepdims=True) + self.eps)

    def value(self, o, t):
        _, s = self._spread(o)
        return np.mean(np.maximum(1 - s, 0), axis=BOTH) + np.mean((o - t) ** 2, axis=BOTH)

    def sensitivity(self, o, t):
        d, s = self._spread(o)
        hinge = np.where(s < 1, -d / s, 0.0) / (o.shape[-1] * o.shape[-2])
        return hinge + 2 * (o - t) / (o.shape[-1] * o.shape[-2])

    def kink(self, o, t):
        _, s = self._spread(o)
        return (s == 1) & (o == o)

    def torch(self, o, t, torch):
        s = torch.sqrt(o.var(dim=0, unbiased=False) + self.eps)
        return F.relu(1 - s).mean() + F.mse_loss(o, t)

    def jax(self, o, t, jax):
        s = jnp.sqrt(jnp.var(o, axis=0) + self.eps)
        return jnp.mean(jax.nn.relu(1 - s)) + jnp.mean((o - t) ** 2)
