"""The error functions of regression, entry by entry: of the difference o - t."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradagree.reference.reductions import _EntryByEntry

LOG_2 = float(np.log(2.0))


class HalfSquared(_EntryByEntry):
    """E = mean_i (o_i - t_i)^2 / 2."""

    def _entry(self, o: Any, t: Any) -> Any:
        return 0.5 * (o - t) ** 2

    def _slope(self, o: Any, t: Any) -> Any:
        return o - t

    def torch(self, o, t, torch):
        return self._gathered(0.5 * (o - t) ** 2, torch.as_tensor)

    def jax(self, o, t, jax):
        return self._gathered(0.5 * (o - t) ** 2, jax.numpy.asarray)

    def optax(self, o, t, optax, jax):
        return self._gathered(optax.l2_loss(o, t), jax.numpy.asarray)


class SmoothL1(_EntryByEntry):
    """E = mean_i h(o_i - t_i), h(d) = d^2 / (2 beta) where |d| < beta, else |d| - beta/2."""

    name = "smooth_l1"
    beta: float = 1.0

    def _entry(self, o: Any, t: Any) -> Any:
        d = np.abs(o - t)
        return np.where(d < self.beta, 0.5 * d**2 / self.beta, d - 0.5 * self.beta)

    def _slope(self, o: Any, t: Any) -> Any:
        return np.minimum(np.maximum((o - t) / self.beta, -1), 1)

    def torch(self, o, t, torch):
        e = torch.nn.functional.smooth_l1_loss(o, t, reduction=self.reduction, beta=self.beta)
        return self._gathered(e, torch.as_tensor)

    def jax(self, o, t, jax):
        d = jax.numpy.abs(o - t)
        near = jax.numpy.where(d < self.beta, d, 0)
        e = jax.numpy.where(d < self.beta, 0.5 * near**2 / self.beta, d - 0.5 * self.beta)
        return self._gathered(e, jax.numpy.asarray)


class LogCosh(_EntryByEntry):
    """E = mean_i log cosh(o_i - t_i)."""

    def _entry(self, o: Any, t: Any) -> Any:
        return np.logaddexp(o - t, t - o) - LOG_2

    def _slope(self, o: Any, t: Any) -> Any:
        return np.tanh(o - t)

    def torch(self, o, t, torch):
        return self._gathered(torch.logaddexp(o - t, t - o) - LOG_2, torch.as_tensor)

    def jax(self, o, t, jax):
        return self._gathered(jax.numpy.logaddexp(o - t, t - o) - LOG_2, jax.numpy.asarray)

    def optax(self, o, t, optax, jax):
        return self._gathered(optax.log_cosh(o, t), jax.numpy.asarray)


class Quantile(_EntryByEntry):
    """E = mean_i max(q (t_i - o_i), (q - 1) (t_i - o_i)): the pinball loss of the quantile q."""

    q: float = 0.75

    def _entry(self, o: Any, t: Any) -> Any:
        d = t - o
        return np.maximum(self.q * d, (self.q - 1) * d)

    def _slope(self, o: Any, t: Any) -> Any:
        return np.where(o > t, 1 - self.q, np.where(o < t, -self.q, 0.5 - self.q))

    def kink(self, o: Any, t: Any) -> Any:
        return o == t

    def torch(self, o, t, torch):
        return self._gathered(torch.maximum(self.q * (t - o), (self.q - 1) * (t - o)), torch.as_tensor)

    def jax(self, o, t, jax):
        return self._gathered(jax.numpy.maximum(self.q * (t - o), (self.q - 1) * (t - o)), jax.numpy.asarray)
