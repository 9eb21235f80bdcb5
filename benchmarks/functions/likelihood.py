"""Negative log-likelihoods and scores of distributions, with parameters in the halves of the outputs."""

import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch.nn.functional as F
from scipy.special import erf, expit, gammaln

from gradagree import ErrorFunction

BOTH = (-2, -1)
LOG_2_PI, ROOT_2, ROOT_PI = float(np.log(2 * np.pi)), float(np.sqrt(2)), float(np.sqrt(np.pi))


def halves(o):
    n = o.shape[-1] // 2
    return o[..., :n], o[..., n:]


class _OfHalves(ErrorFunction):
    """A loss whose outputs have two numbers for each target."""

    def width(self, n):
        return n // 2 if n % 2 == 0 else None


class GaussianOfLogVariance(_OfHalves):
    """mean of (s + (m - t)^2 exp(-s)) / 2, with the halves m and s of o."""

    def value(self, o, t):
        m, s = halves(o)
        return np.mean(0.5 * (s + (m - t) ** 2 * np.exp(-s)), axis=BOTH)

    def sensitivity(self, o, t):
        m, s = halves(o)
        d = (m - t) * np.exp(-s)
        return np.concatenate([d, 0.5 * (1 - (m - t) * d)], axis=-1) / (t.shape[-1] * t.shape[-2])

    def torch(self, o, t, torch):
        m, s = o.chunk(2, dim=-1)
        return (0.5 * (s + (m - t) ** 2 / torch.exp(s))).mean()

    def jax(self, o, t, jax):
        m, s = jnp.split(o, 2, axis=-1)
        return jnp.mean(0.5 * (s + jnp.square(m - t) * jnp.exp(-s)))


class GaussianCrps(_OfHalves):
    """sum of s (z (2 Phi(z) - 1) + 2 phi(z) - 1/sqrt(pi)), z = (t - m)/s, with the halves m and log s of o."""

    def value(self, o, t):
        m, log_s = halves(o)
        s = np.exp(log_s)
        z = (t - m) / s
        density = np.exp(-0.5 * z**2) / (ROOT_2 * ROOT_PI)
        return np.sum(s * (z * erf(z / ROOT_2) + 2 * density - 1 / ROOT_PI), axis=BOTH)

    def sensitivity(self, o, t):
        m, log_s = halves(o)
        s = np.exp(log_s)
        z = (t - m) / s
        density = np.exp(-0.5 * z**2) / (ROOT_2 * ROOT_PI)
        return np.concatenate([-erf(z / ROOT_2), s * (2 * density - 1 / ROOT_PI)], axis=-1)

    def torch(self, o, t, torch):
        m, log_s = o.chunk(2, dim=-1)
        s = log_s.exp()
        z = (t - m) / s
        density = torch.exp(-0.5 * z**2) / (ROOT_2 * ROOT_PI)
        return (s * (z * torch.erf(z / ROOT_2) + 2 * density - 1 / ROOT_PI)).sum()

    def jax(self, o, t, jax):
        m, log_s = jnp.split(o, 2, axis=-1)
        s = jnp.exp(log_s)
        z = (t - m) / s
        cdf = 0.5 * (1 + jax.lax.erf(z / ROOT_2))
        return jnp.sum(s * (z * (2 * cdf - 1) + 2 * jnp.exp(-0.5 * z * z) / (ROOT_2 * ROOT_PI) - 1 / ROOT_PI))


class LaplaceNll(_OfHalves):
    """mean of log(2 b) + |m - t| / b, with the halves m and b of o."""

    domain = "positive"

    def value(self, o, t):
        m, b = halves(o)
        return np.mean(np.log(2 * b) + np.abs(m - t) / b, axis=BOTH)

    def sensitivity(self, o, t):
        m, b = halves(o)
        parts = [np.sign(m - t) / b, 1 / b - np.abs(m - t) / b**2]
        return np.concatenate(parts, axis=-1) / (t.shape[-1] * t.shape[-2])

    def kink(self, o, t):
        m, _ = halves(o)
        return np.concatenate([m == t, m != m], axis=-1)

    def torch(self, o, t, torch):
        m, b = o.chunk(2, dim=-1)
        return (torch.log(2 * b) + (t - m).abs() / b).mean()

    def jax(self, o, t, jax):
        m, b = jnp.split(o, 2, axis=-1)
        return jnp.mean(jnp.log(2 * b) + jnp.abs(t - m) / b)


class StudentNll(ErrorFunction):
    """sum of (nu + 1)/2 log(1 + (o - t)^2 / nu)."""

    nu: float = 3.0

    def value(self, o, t):
        return np.sum((self.nu + 1) / 2 * np.log1p((o - t) ** 2 / self.nu), axis=BOTH)

    def sensitivity(self, o, t):
        return (self.nu + 1) * (o - t) / (self.nu + (o - t) ** 2)

    def torch(self, o, t, torch):
        return (0.5 * (self.nu + 1) * torch.log1p((o - t) ** 2 / self.nu)).sum()

    def jax(self, o, t, jax):
        return 0.5 * (self.nu + 1) * jnp.sum(jnp.log1p(jnp.square(o - t) / self.nu))


class PoissonOfLogs(ErrorFunction):
    """mean of exp(o) - t o."""

    targets = "positive"

    def value(self, o, t):
        return np.mean(np.exp(o) - t * o, axis=BOTH)

    def sensitivity(self, o, t):
        return (np.exp(o) - t) / (o.shape[-1] * o.shape[-2])

    def torch(self, o, t, torch):
        return F.poisson_nll_loss(o, t, log_input=True)

    def jax(self, o, t, jax):
        return jnp.mean(jnp.exp(o) - t * o)


class NegativeBinomial(ErrorFunction):
    """mean of -log NB(t; r, mean exp(o)), by logits o - log r."""

    targets = "positive"
    r: float = 4.0

    def value(self, o, t):
        z = o - np.log(self.r)
        constant = gammaln(t + 1) + gammaln(self.r) - gammaln(t + self.r)
        return np.mean(constant + (t + self.r) * np.logaddexp(z, 0) - t * z, axis=BOTH)

    def sensitivity(self, o, t):
        z = o - np.log(self.r)
        return ((t + self.r) * expit(z) - t) / (o.shape[-1] * o.shape[-2])

    def torch(self, o, t, torch):
        z = o - float(np.log(self.r))
        constant = torch.lgamma(t + 1) + torch.lgamma(t.new_tensor(self.r)) - torch.lgamma(t + self.r)
        return (constant - self.r * F.logsigmoid(-z) - t * F.logsigmoid(z)).mean()

    def jax(self, o, t, jax):
        z = o - float(np.log(self.r))
        lgamma = jax.scipy.special.gammaln
        constant = lgamma(t + 1) + float(gammaln(self.r)) - lgamma(t + self.r)
        return jnp.mean(constant + (t + self.r) * jax.nn.softplus(z) - t * z)


class Tweedie(ErrorFunction):
    """mean of -t exp(o (1 - q)) / (1 - q) + exp(o (2 - q)) / (2 - q)."""

    targets = "positive"
    q: float = 1.5

    def value(self, o, t):
        return np.mean(
            -t * np.exp(o * (1 - self.q)) / (1 - self.q) + np.exp(o * (2 - self.q)) / (2 - self.q), axis=BOTH
        )

    def sensitivity(self, o, t):
        return (np.exp(o * (2 - self.q)) - t * np.exp(o * (1 - self.q))) / (o.shape[-1] * o.shape[-2])

    def torch(self, o, t, torch):
        a = t * torch.exp(o * (1 - self.q)) / (1 - self.q)
        b = torch.exp(o * (2 - self.q)) / (2 - self.q)
        return torch.mean(-a + b)

    def jax(self, o, t, jax):
        return jnp.mean(-t * jnp.exp(o * (1 - self.q)) / (1 - self.q) + jnp.exp(o * (2 - self.q)) / (2 - self.q))


class GammaNll(ErrorFunction):
    """mean of t / o + log o."""

    domain = "positive"
    targets = "positive"

    def value(self, o, t):
        return np.mean(t / o + np.log(o), axis=BOTH)

    def sensitivity(self, o, t):
        return (1 / o - t / o**2) / (o.shape[-1] * o.shape[-2])

    def torch(self, o, t, torch):
        return (t / o + torch.log(o)).mean()

    def jax(self, o, t, jax):
        return jnp.mean(t / o + jnp.log(o))


class KlOfStandardNormal(_OfHalves):
    """-1/2 sum(1 + s - m^2 - exp(s)) + mean (m - t)^2, a variational autoencoder's, with the halves m and s of o."""

    def value(self, o, t):
        m, s = halves(o)
        return -0.5 * np.sum(1 + s - m**2 - np.exp(s), axis=BOTH) + np.mean((m - t) ** 2, axis=BOTH)

    def sensitivity(self, o, t):
        m, s = halves(o)
        return np.concatenate([m + 2 * (m - t) / (t.shape[-1] * t.shape[-2]), 0.5 * (np.exp(s) - 1)], axis=-1)

    def torch(self, o, t, torch):
        m, s = o.chunk(2, dim=-1)
        return -0.5 * torch.sum(1 + s - m.pow(2) - s.exp()) + F.mse_loss(m, t)

    def jax(self, o, t, jax):
        m, s = jnp.split(o, 2, axis=-1)
        return -0.5 * jnp.sum(1 + s - m**2 - jnp.exp(s)) + jnp.mean((m - t) ** 2)
