"""Robust losses of regression: errors that grow more slowly than squares."""

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


class Wing(ErrorFunction):
    """mean of w log(1 + |d|/eps) for |d| < w, else |d| - c, with d = o - t."""

    w: float = 1.5
    eps: float = 0.5

    def value(self, o, t):
        d = np.abs(o - t)
        c = self.w - self.w * np.log(1 + self.w / self.eps)
        return mean(np.where(d < self.w, self.w * np.log(1 + d / self.eps), d - c))

    def sensitivity(self, o, t):
        d = np.abs(o - t)
        slope = np.where(d < self.w, self.w / (self.eps + d), 1.0)
        return slope * np.sign(o - t) / count(o)

    def kink(self, o, t):
        return (o == t) | (np.abs(o - t) == self.w)

    def torch(self, o, t, torch):
        d = (o - t).abs()
        c = self.w - self.w * float(np.log(1 + self.w / self.eps))
        return torch.where(d < self.w, self.w * torch.log(1 + d / self.eps), d - c).mean()

    def jax(self, o, t, jax):
        d = jnp.abs(o - t)
        c = self.w - self.w * float(np.log(1 + self.w / self.eps))
        return jnp.mean(jnp.where(d < self.w, self.w * jnp.log(1 + d / self.eps), d - c))


class AdaptiveWing(ErrorFunction):
    """mean of w log(1 + |d/eps|^a) for |d| < theta, else a line, with d = o - t."""

    w: float = 2.0
    eps: float = 1.0
    theta: float = 0.5
    a: float = 2.5

    def _line(self):
        power = (self.theta / self.eps) ** self.a
        slope = self.w / (1 + power) * self.a * (self.theta / self.eps) ** (self.a - 1) / self.eps
        return slope, self.theta * slope - self.w * float(np.log1p(power))

    def value(self, o, t):
        d = np.abs(o - t)
        slope, c = self._line()
        near = np.minimum(d, self.theta)
        return mean(np.where(d < self.theta, self.w * np.log1p((near / self.eps) ** self.a), slope * d - c))

    def sensitivity(self, o, t):
        d = np.abs(o - t)
        slope, _ = self._line()
        z = np.minimum(d, self.theta) / self.eps
        inside = self.w * self.a * z ** (self.a - 1) / (1 + z**self.a) / self.eps
        return np.where(d < self.theta, inside, slope) * np.sign(o - t) / count(o)

    def torch(self, o, t, torch):
        d = (t - o).abs()
        slope, c = self._line()
        near = self.w * torch.log(1 + torch.pow(d / self.eps, self.a))
        return torch.where(d < self.theta, near, slope * d - c).mean()

    def jax(self, o, t, jax):
        d = jnp.abs(t - o)
        slope, c = self._line()
        near = self.w * jnp.log1p((d / self.eps) ** self.a)
        return jnp.where(d < self.theta, near, slope * d - c).mean()


class Barron(ErrorFunction):
    """sum of |a - 2|/a (((d/c)^2 / |a - 2| + 1)^(a/2) - 1), the general robust loss, with d = o - t."""

    a: float = 1.5
    c: float = 0.75

    def value(self, o, t):
        b = abs(self.a - 2)
        return np.sum(b / self.a * ((((o - t) / self.c) ** 2 / b + 1) ** (self.a / 2) - 1), axis=BOTH)

    def sensitivity(self, o, t):
        b = abs(self.a - 2)
        return (o - t) / self.c**2 * (((o - t) / self.c) ** 2 / b + 1) ** (self.a / 2 - 1)

    def torch(self, o, t, torch):
        b = abs(self.a - 2)
        squared = torch.pow((o - t) / self.c, 2)
        return ((b / self.a) * (torch.pow(squared / b + 1.0, 0.5 * self.a) - 1.0)).sum()

    def jax(self, o, t, jax):
        b = abs(self.a - 2)
        squared = jnp.square((o - t) / self.c)
        return jnp.sum((b / self.a) * (jnp.power(squared / b + 1.0, 0.5 * self.a) - 1.0))


class Charbonnier(ErrorFunction):
    """mean of sqrt(d^2 + eps^2), with d = o - t."""

    eps: float = 1e-3

    def value(self, o, t):
        return mean(np.sqrt((o - t) ** 2 + self.eps**2))

    def sensitivity(self, o, t):
        return (o - t) / np.sqrt((o - t) ** 2 + self.eps**2) / count(o)

    def torch(self, o, t, torch):
        return torch.sqrt((o - t) ** 2 + self.eps**2).mean()

    def jax(self, o, t, jax):
        return jnp.mean(jnp.sqrt(jnp.square(o - t) + self.eps**2))


class GemanMcClure(ErrorFunction):
    """sum of 2 d^2 / (d^2 + 4), with d = o - t."""

    def value(self, o, t):
        d = (o - t) ** 2
        return np.sum(2 * d / (d + 4), axis=BOTH)

    def sensitivity(self, o, t):
        return 16 * (o - t) / ((o - t) ** 2 + 4) ** 2

    def torch(self, o, t, torch):
        d = (o - t) ** 2
        return torch.sum(2 * d / (d + 4))

    def jax(self, o, t, jax):
        d = jnp.square(o - t)
        return jnp.sum(2 * d / (d + 4))


class Welsch(ErrorFunction):
    """mean of 1 - exp(-(d/c)^2 / 2), with d = o - t."""

    c: float = 1.5

    def value(self, o, t):
        return mean(1 - np.exp(-0.5 * ((o - t) / self.c) ** 2))

    def sensitivity(self, o, t):
        z = (o - t) / self.c
        return z * np.exp(-0.5 * z**2) / self.c / count(o)

    def torch(self, o, t, torch):
        return torch.mean(1 - torch.exp(-0.5 * ((o - t) / self.c) ** 2))

    def jax(self, o, t, jax):
        return -jnp.mean(jnp.expm1(-0.5 * ((o - t) / self.c) ** 2))


class Cauchy(ErrorFunction):
    """mean of log(1 + (d/c)^2 / 2), with d = o - t."""

    c: float = 0.75

    def value(self, o, t):
        return mean(np.log1p(0.5 * ((o - t) / self.c) ** 2))

    def sensitivity(self, o, t):
        z = (o - t) / self.c
        return z / (1 + 0.5 * z**2) / self.c / count(o)

    def torch(self, o, t, torch):
        return torch.log(0.5 * ((o - t) / self.c) ** 2 + 1).mean()

    def jax(self, o, t, jax):
        return jnp.mean(jnp.log1p(0.5 * ((o - t) / self.c) ** 2))


class Tukey(ErrorFunction):
    """mean of c^2/6 (1 - (1 - (d/c)^2)^3) for |d| <= c, else c^2/6, with d = o - t."""

    c: float = 4.6851

    def value(self, o, t):
        z = np.minimum(((o - t) / self.c) ** 2, 1)
        return mean(self.c**2 / 6 * (1 - (1 - z) ** 3))

    def sensitivity(self, o, t):
        d = o - t
        return np.where(np.abs(d) < self.c, d * (1 - (d / self.c) ** 2) ** 2, 0.0) / count(o)

    def torch(self, o, t, torch):
        d = o - t
        inside = (self.c**2 / 6) * (1 - (1 - (d / self.c) ** 2) ** 3)
        return torch.where(d.abs() <= self.c, inside, torch.full_like(d, self.c**2 / 6)).mean()

    def jax(self, o, t, jax):
        z = jnp.clip((o - t) / self.c, -1, 1)
        return jnp.mean((self.c**2 / 6) * (1 - (1 - z**2) ** 3))


class PseudoHuber(ErrorFunction):
    """mean of delta^2 (sqrt(1 + (d/delta)^2) - 1), with d = o - t."""

    delta: float = 1.5

    def value(self, o, t):
        return mean(self.delta**2 * (np.sqrt(1 + ((o - t) / self.delta) ** 2) - 1))

    def sensitivity(self, o, t):
        return (o - t) / np.sqrt(1 + ((o - t) / self.delta) ** 2) / count(o)

    def torch(self, o, t, torch):
        return (self.delta**2 * (torch.sqrt(1 + ((o - t) / self.delta) ** 2) - 1)).mean()

    def jax(self, o, t, jax):
        return jnp.mean(self.delta**2 * (jnp.sqrt(1 + jnp.square((o - t) / self.delta)) - 1))


class HuberByHand(ErrorFunction):
    """mean of d^2/2 for |d| <= delta, else delta (|d| - delta/2), by quadratic and linear parts."""

    delta: float = 1.0

    def value(self, o, t):
        d = np.abs(o - t)
        q = np.minimum(d, self.delta)
        return mean(0.5 * q**2 + self.delta * (d - q))

    def sensitivity(self, o, t):
        return np.clip(o - t, -self.delta, self.delta) / count(o)

    def torch(self, o, t, torch):
        d = torch.abs(o - t)
        quadratic = torch.clamp(d, max=self.delta)
        return (0.5 * quadratic**2 + self.delta * (d - quadratic)).mean()

    def jax(self, o, t, jax):
        d = jnp.abs(o - t)
        return jnp.mean(jnp.where(d > self.delta, self.delta * (d - 0.5 * self.delta), 0.5 * d**2))


class LogCoshOfSoftplus(ErrorFunction):
    """mean of log cosh d = d + softplus(-2 d) - log 2, with d = o - t."""

    def value(self, o, t):
        d = o - t
        return mean(d + np.logaddexp(-2 * d, 0) - np.log(2))

    def sensitivity(self, o, t):
        return np.tanh(o - t) / count(o)

    def torch(self, o, t, torch):
        d = o - t
        return torch.mean(d + F.softplus(-2.0 * d, threshold=50) - float(np.log(2.0)))

    def jax(self, o, t, jax):
        d = o - t
        return jnp.mean(d + jax.nn.softplus(-2.0 * d) - jnp.log(2.0).astype(d.dtype))


class LogCoshNaive(ErrorFunction):
    """mean of log(cosh(o - t))."""

    def value(self, o, t):
        return mean(np.log(np.cosh(o - t)))

    def sensitivity(self, o, t):
        return np.tanh(o - t) / count(o)

    def torch(self, o, t, torch):
        return torch.log(torch.cosh(o - t)).mean()

    def jax(self, o, t, jax):
        return jnp.log(jnp.cosh(o - t)).mean()
