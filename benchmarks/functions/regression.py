"""Losses of regression: quantile and relative errors, and means over the batch."""

import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch.nn.functional as F

from gradagree import ErrorFunction

BOTH = (-2, -1)


def mean(x):
    return np.mean(x, axis=BOTH)


def count(o):
    return o.shape[-1] * o.shape[-2]


class Pinball(ErrorFunction):
    """mean of max(q (t - o), (q - 1)(t - o))."""

    q: float = 0.9

    def value(self, o, t):
        d = t - o
        return mean(np.maximum(self.q * d, (self.q - 1) * d))

    def sensitivity(self, o, t):
        return np.where(o > t, 1 - self.q, np.where(o < t, -self.q, 0.5 - self.q)) / count(o)

    def kink(self, o, t):
        return o == t

    def torch(self, o, t, torch):
        d = t - o
        return torch.where(d >= 0, self.q * d, (self.q - 1) * d).mean()

    def jax(self, o, t, jax):
        d = t - o
        return jnp.mean(jnp.maximum(self.q * d, (self.q - 1) * d))


class Expectile(ErrorFunction):
    """mean of |tau - [d < 0]| d^2, with d = t - o, as in implicit Q-learning."""

    tau: float = 0.7

    def value(self, o, t):
        d = t - o
        return mean(np.where(d > 0, self.tau, 1 - self.tau) * d**2)

    def sensitivity(self, o, t):
        return -2 * np.where(t - o > 0, self.tau, 1 - self.tau) * (t - o) / count(o)

    def torch(self, o, t, torch):
        d = t - o
        return (torch.abs(self.tau - (d < 0).to(d.dtype)) * d**2).mean()

    def jax(self, o, t, jax):
        d = t - o
        return (jnp.where(d > 0, self.tau, 1 - self.tau) * d**2).mean()


class SquaredLogError(ErrorFunction):
    """mean of (log(1 + o) - log(1 + t))^2."""

    domain = "positive"
    targets = "positive"

    def value(self, o, t):
        return mean((np.log1p(o) - np.log1p(t)) ** 2)

    def sensitivity(self, o, t):
        return 2 * (np.log1p(o) - np.log1p(t)) / (1 + o) / count(o)

    def torch(self, o, t, torch):
        return F.mse_loss(torch.log1p(o), torch.log1p(t))

    def jax(self, o, t, jax):
        return jnp.mean(jnp.square(jnp.log1p(o) - jnp.log1p(t)))


class PercentageError(ErrorFunction):
    """mean of |(o - t) / t|."""

    targets = "positive"

    def value(self, o, t):
        return mean(np.abs((o - t) / t))

    def sensitivity(self, o, t):
        return np.sign(o - t) / t / count(o)

    def kink(self, o, t):
        return o == t

    def torch(self, o, t, torch):
        return torch.mean(torch.abs((o - t) / t))

    def jax(self, o, t, jax):
        return jnp.mean(jnp.abs((t - o) / t))


class SymmetricPercentageError(ErrorFunction):
    """mean of 2 |o - t| / (|o| + |t| + eps), of positive outputs."""

    domain = "positive"
    targets = "positive"
    eps: float = 1e-4

    def value(self, o, t):
        return mean(2 * np.abs(o - t) / (np.abs(o) + np.abs(t) + self.eps))

    def sensitivity(self, o, t):
        s = o + t + self.eps
        return 2 * (np.sign(o - t) / s - np.abs(o - t) / s**2) / count(o)

    def kink(self, o, t):
        return o == t

    def torch(self, o, t, torch):
        return (2 * (o - t).abs() / (o.abs() + t.abs() + self.eps)).mean()

    def jax(self, o, t, jax):
        return jnp.mean(2 * jnp.abs(o - t) / (jnp.abs(o) + jnp.abs(t) + self.eps))


class RootMeanSquare(ErrorFunction):
    """sqrt(mean (o - t)^2 + eps), as in fastai's and Kaggle's code."""

    eps: float = 1e-6

    def value(self, o, t):
        return np.sqrt(mean((o - t) ** 2) + self.eps)

    def sensitivity(self, o, t):
        return (o - t) / count(o) / self.value(o, t)[..., None, None]

    def torch(self, o, t, torch):
        return torch.sqrt(F.mse_loss(o, t) + self.eps)

    def jax(self, o, t, jax):
        return jnp.sqrt(jnp.mean((o - t) ** 2) + self.eps)


class EpsilonInsensitive(ErrorFunction):
    """sum of max(|o - t| - eps, 0)."""

    eps: float = 0.25

    def value(self, o, t):
        return np.sum(np.maximum(np.abs(o - t) - self.eps, 0), axis=BOTH)

    def sensitivity(self, o, t):
        return np.where(np.abs(o - t) > self.eps, np.sign(o - t), 0.0)

    def kink(self, o, t):
        return np.abs(o - t) == self.eps

    def torch(self, o, t, torch):
        return F.relu((o - t).abs() - self.eps).sum()

    def jax(self, o, t, jax):
        return jax.nn.relu(jnp.abs(o - t) - self.eps).sum()


class ScaleInvariantLog(ErrorFunction):
    """mean d^2 - lam (mean d)^2, with d = log o - log t over an example, averaged: depth estimation."""

    domain = "positive"
    targets = "positive"
    lam: float = 0.5

    def value(self, o, t):
        d = np.log(o) - np.log(t)
        return np.mean(np.mean(d**2, axis=-1) - self.lam * np.mean(d, axis=-1) ** 2, axis=-1)

    def sensitivity(self, o, t):
        d = np.log(o) - np.log(t)
        return 2 * (d - self.lam * np.mean(d, axis=-1, keepdims=True)) / o / count(o)

    def torch(self, o, t, torch):
        d = torch.log(o) - torch.log(t)
        return ((d**2).mean(-1) - self.lam * d.mean(-1) ** 2).mean()

    def jax(self, o, t, jax):
        d = jnp.log(o) - jnp.log(t)
        return jnp.mean(jnp.mean(jnp.square(d), axis=-1) - self.lam * jnp.square(jnp.mean(d, axis=-1)))


class Concordance(ErrorFunction):
    """1 - 2 cov(o, t) / (var o + var t + (mean o - mean t)^2 + eps), over the whole batch."""

    eps: float = 1e-3

    def _parts(self, o, t):
        mo, mt = (np.mean(x, axis=BOTH, keepdims=True) for x in (o, t))
        top = 2 * np.mean((o - mo) * (t - mt), axis=BOTH, keepdims=True)
        spread = np.mean((o - mo) ** 2, axis=BOTH, keepdims=True) + np.mean((t - mt) ** 2, axis=BOTH, keepdims=True)
        return mo, mt, top, spread + (mo - mt) ** 2 + self.eps

    def value(self, o, t):
        _, _, top, bottom = self._parts(o, t)
        return 1 - np.squeeze(top / bottom, axis=BOTH)

    def sensitivity(self, o, t):
        mo, mt, top, bottom = self._parts(o, t)
        by_top = 2 * (t - mt) / count(o)
        by_bottom = (2 * (o - mo) + 2 * (mo - mt)) / count(o)
        return -by_top / bottom + top / bottom**2 * by_bottom

    def torch(self, o, t, torch):
        covariance = ((o - o.mean()) * (t - t.mean())).mean()
        bottom = o.var(unbiased=False) + t.var(unbiased=False) + (o.mean() - t.mean()) ** 2 + self.eps
        return 1 - 2 * covariance / bottom

    def jax(self, o, t, jax):
        covariance = jnp.mean((o - o.mean()) * (t - t.mean()))
        return 1 - 2 * covariance / (jnp.var(o) + jnp.var(t) + (o.mean() - t.mean()) ** 2 + self.eps)


class SquaresFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, o, t):
        ctx.save_for_backward(o, t)
        return ((o - t) ** 2).mean()

    @staticmethod
    def backward(ctx, g):
        o, t = ctx.saved_tensors
        d = g * 2 * (o - t) / o.numel()
        return d, -d


class OldStyleSquares(ErrorFunction):
    """mean of (o - t)^2: an old-style function of two operands, and a custom_vjp."""

    def value(self, o, t):
        return mean((o - t) ** 2)

    def sensitivity(self, o, t):
        return 2 * (o - t) / count(o)

    def torch(self, o, t, torch):
        return SquaresFunction.apply(o, t)

    def jax(self, o, t, jax):
        return squares_of_vjp(o, t)


@jax.custom_vjp
def squares_of_vjp(o, t):
    return jnp.mean((o - t) ** 2)


def _squares_bwd(saved, g):
    d = g * 2 * (saved[0] - saved[1]) / saved[0].size
    return d, -d


squares_of_vjp.defvjp(lambda o, t: (squares_of_vjp(o, t), (o, t)), _squares_bwd)
