"""Losses of regression: squared, absolute, Huber and quantile errors, and negative log-likelihoods.

o has shape (..., examples, outputs); t the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gradagree.reference.contract import ErrorFunction
from gradagree.reference.losses.reduction import _EntryByEntry, scale_derivative
from gradagree.reference.parameters import Reduction

EXAMPLES_AND_OUTPUTS = (-2, -1)
LOG_2 = float(np.log(2.0))
HALF_LOG_2_PI = float(0.5 * np.log(2 * np.pi))
TWO_PI = float(2 * np.pi)


class SumOfSquares(ErrorFunction):
    """E = sum_i (o_i - t_i)^2."""

    name = "sse"

    def value(self, o: Any, t: Any) -> Any:
        return np.sum((o - t) ** 2, axis=EXAMPLES_AND_OUTPUTS)

    def sensitivity(self, o: Any, t: Any) -> Any:
        return 2 * (o - t)

    def torch(self, o, t, torch):
        return torch.nn.functional.mse_loss(o, t, reduction="sum")

    def jax(self, o, t, jax):
        return jax.numpy.sum((o - t) ** 2)


class MeanSquared(_EntryByEntry):
    """E = mean_i (o_i - t_i)^2."""

    name = "mse"

    def _term(self, o: Any, t: Any) -> Any:
        return (o - t) ** 2

    def _derivative(self, o: Any, t: Any) -> Any:
        return 2 * (o - t)

    def torch(self, o, t, torch):
        return self._reduce(torch.nn.functional.mse_loss(o, t, reduction=self.reduction), torch.as_tensor)

    def jax(self, o, t, jax):
        return self._reduce((o - t) ** 2, jax.numpy.asarray)

    def optax(self, o, t, optax, jax):
        return self._reduce(optax.squared_error(o, t), jax.numpy.asarray)


class Absolute(_EntryByEntry):
    """E = sum_i |o_i - t_i|."""

    reduction: Reduction = "sum"

    def _term(self, o: Any, t: Any) -> Any:
        return np.abs(o - t)

    def _derivative(self, o: Any, t: Any) -> Any:
        return np.sign(o - t)

    def kink(self, o: Any, t: Any) -> Any:
        return o == t

    def torch(self, o, t, torch):
        return self._reduce(torch.nn.functional.l1_loss(o, t, reduction=self.reduction), torch.as_tensor)

    def jax(self, o, t, jax):
        return self._reduce(jax.numpy.abs(o - t), jax.numpy.asarray)


class Huber(_EntryByEntry):
    """E = mean_i h(o_i - t_i), h(d) = d^2/2 where |d| <= delta, else delta (|d| - delta/2)."""

    delta: float = 1.0

    def _term(self, o: Any, t: Any) -> Any:
        d = np.abs(o - t)
        return np.where(d <= self.delta, 0.5 * d**2, self.delta * (d - 0.5 * self.delta))

    def _derivative(self, o: Any, t: Any) -> Any:
        return np.minimum(np.maximum(o - t, -self.delta), self.delta)

    def torch(self, o, t, torch):
        e = torch.nn.functional.huber_loss(o, t, reduction=self.reduction, delta=self.delta)
        return self._reduce(e, torch.as_tensor)

    def jax(self, o, t, jax):
        jnp = jax.numpy
        d = jnp.abs(o - t)
        near = jnp.where(d <= self.delta, d, 0)
        e = jnp.where(d <= self.delta, 0.5 * near**2, self.delta * (d - 0.5 * self.delta))
        return self._reduce(e, jnp.asarray)

    def optax(self, o, t, optax, jax):
        return self._reduce(optax.huber_loss(o, t, delta=self.delta), jax.numpy.asarray)


class HalfSquared(_EntryByEntry):
    """E = mean_i (o_i - t_i)^2 / 2."""

    def _term(self, o: Any, t: Any) -> Any:
        return 0.5 * (o - t) ** 2

    def _derivative(self, o: Any, t: Any) -> Any:
        return o - t

    def torch(self, o, t, torch):
        return self._reduce(0.5 * (o - t) ** 2, torch.as_tensor)

    def jax(self, o, t, jax):
        return self._reduce(0.5 * (o - t) ** 2, jax.numpy.asarray)

    def optax(self, o, t, optax, jax):
        return self._reduce(optax.l2_loss(o, t), jax.numpy.asarray)


class SmoothL1(_EntryByEntry):
    """E = mean_i h(o_i - t_i), h(d) = d^2 / (2 beta) where |d| < beta, else |d| - beta/2."""

    name = "smooth_l1"
    beta: float = 1.0

    def _term(self, o: Any, t: Any) -> Any:
        d = np.abs(o - t)
        return np.where(d < self.beta, 0.5 * d**2 / self.beta, d - 0.5 * self.beta)

    def _derivative(self, o: Any, t: Any) -> Any:
        return np.minimum(np.maximum((o - t) / self.beta, -1), 1)

    def torch(self, o, t, torch):
        e = torch.nn.functional.smooth_l1_loss(o, t, reduction=self.reduction, beta=self.beta)
        return self._reduce(e, torch.as_tensor)

    def jax(self, o, t, jax):
        d = jax.numpy.abs(o - t)
        near = jax.numpy.where(d < self.beta, d, 0)
        e = jax.numpy.where(d < self.beta, 0.5 * near**2 / self.beta, d - 0.5 * self.beta)
        return self._reduce(e, jax.numpy.asarray)


class LogCosh(_EntryByEntry):
    """E = mean_i log cosh(o_i - t_i)."""

    def _term(self, o: Any, t: Any) -> Any:
        return np.logaddexp(o - t, t - o) - LOG_2

    def _derivative(self, o: Any, t: Any) -> Any:
        return np.tanh(o - t)

    def torch(self, o, t, torch):
        return self._reduce(torch.logaddexp(o - t, t - o) - LOG_2, torch.as_tensor)

    def jax(self, o, t, jax):
        return self._reduce(jax.numpy.logaddexp(o - t, t - o) - LOG_2, jax.numpy.asarray)

    def optax(self, o, t, optax, jax):
        return self._reduce(optax.log_cosh(o, t), jax.numpy.asarray)


class Quantile(_EntryByEntry):
    """E = mean_i max(q (t_i - o_i), (q - 1) (t_i - o_i)): the pinball loss of the quantile q."""

    q: float = 0.75

    def _term(self, o: Any, t: Any) -> Any:
        d = t - o
        return np.maximum(self.q * d, (self.q - 1) * d)

    def _derivative(self, o: Any, t: Any) -> Any:
        return np.where(o > t, 1 - self.q, np.where(o < t, -self.q, 0.5 - self.q))

    def kink(self, o: Any, t: Any) -> Any:
        return o == t

    def torch(self, o, t, torch):
        return self._reduce(torch.maximum(self.q * (t - o), (self.q - 1) * (t - o)), torch.as_tensor)

    def jax(self, o, t, jax):
        return self._reduce(jax.numpy.maximum(self.q * (t - o), (self.q - 1) * (t - o)), jax.numpy.asarray)


def stirling(t: Any) -> Any:
    """Stirling's approximation of log t!, for t above 1, else 0."""
    large = np.where(t > 1, t, 1.0)
    return np.where(t > 1, large * np.log(large) - large + 0.5 * np.log(TWO_PI * large), 0.0)


class GaussianNll(_EntryByEntry):
    """E = mean_i (log v_i + (m_i - t_i)^2 / v_i) / 2, with the means m, the first half of o, and variances v, the rest.

    full adds log(2 pi) / 2. Variances below eps count as eps, except in the derivative.
    """

    domain = "positive"
    full: bool = False
    eps: float = 2.0**-20

    def width(self, n: int) -> int | None:
        return n // 2 if n % 2 == 0 else None

    def _halves(self, o: Any) -> tuple[Any, Any]:
        half = o.shape[-1] // 2
        return o[..., :half], np.maximum(o[..., half:], self.eps)

    def _term(self, o: Any, t: Any) -> Any:
        m, v = self._halves(o)
        return 0.5 * (np.log(v) + (m - t) ** 2 / v) + (HALF_LOG_2_PI if self.full else 0.0)

    def sensitivity(self, o: Any, t: Any) -> Any:
        # dE/dm = (m - t)/v        dE/dv = (1 - (m - t)^2/v) / (2 v)
        m, v = self._halves(o)
        d = (m - t) / v
        halves = [
            scale_derivative(derivative, self.reduction, t.shape[-2:]) for derivative in (d, 0.5 * (1 / v - d**2))
        ]
        return np.concatenate(halves, axis=-1)

    def torch(self, o, t, torch):
        m, v = o.chunk(2, dim=-1)
        # vmap cannot trace the function itself, which branches on whether a variance is below 0.
        e = torch.nn.functional.gaussian_nll_loss(m, t, v, full=self.full, eps=self.eps, reduction=self.reduction)
        return self._reduce(e, torch.as_tensor)

    def jax(self, o, t, jax):
        m, v = jax.numpy.split(o.astype(jax.numpy.promote_types(o.dtype, "float32")), 2, axis=-1)
        v = v + jax.lax.stop_gradient(jax.numpy.maximum(v, self.eps) - v)
        e = 0.5 * (jax.numpy.log(v) + (m - t) ** 2 / v) + (HALF_LOG_2_PI if self.full else 0.0)
        return self._reduce(e, jax.numpy.asarray).astype(o.dtype)


class PoissonNll(_EntryByEntry):
    """E = mean_i exp(o_i) - t_i o_i, of the logarithms o of rates; full adds Stirling's log t_i! for t_i above 1."""

    targets = "positive"
    full: bool = False

    def _term(self, o: Any, t: Any) -> Any:
        return np.exp(o) - t * o + (stirling(t) if self.full else 0.0)

    def _derivative(self, o: Any, t: Any) -> Any:
        return np.exp(o) - t

    def torch(self, o, t, torch):
        e = torch.nn.functional.poisson_nll_loss(o, t, log_input=True, full=self.full, reduction=self.reduction)
        return self._reduce(e, torch.as_tensor)

    def jax(self, o, t, jax):
        return self._reduce(jax.numpy.exp(o) - t * o + (_stirling(t, jax) if self.full else 0.0), jax.numpy.asarray)


class PoissonNllOfRates(_EntryByEntry):
    """E = mean_i o_i - t_i log(o_i + eps), of the rates o; full adds Stirling's log t_i! for t_i above 1."""

    targets = "positive"
    domain = "positive"
    full: bool = False
    eps: float = 1e-8

    def _term(self, o: Any, t: Any) -> Any:
        return o - t * np.log(o + self.eps) + (stirling(t) if self.full else 0.0)

    def _derivative(self, o: Any, t: Any) -> Any:
        return 1 - t / (o + self.eps)

    def torch(self, o, t, torch):
        e = torch.nn.functional.poisson_nll_loss(
            o, t, log_input=False, full=self.full, eps=self.eps, reduction=self.reduction
        )
        return self._reduce(e, torch.as_tensor)

    def jax(self, o, t, jax):
        e = o - t * jax.numpy.log(o + self.eps) + (_stirling(t, jax) if self.full else 0.0)
        return self._reduce(e, jax.numpy.asarray)


def _stirling(t, jax):
    large = jax.numpy.where(t > 1, t, 1.0)
    found = large * jax.numpy.log(large) - large + 0.5 * jax.numpy.log(TWO_PI * large)
    return jax.numpy.where(t > 1, found, 0.0)
