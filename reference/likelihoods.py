"""Negative logarithms of likelihoods."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradagree.reference.reductions import _EntryByEntry, counted

HALF_LOG_2_PI = float(0.5 * np.log(2 * np.pi))
TWO_PI = float(2 * np.pi)


def stirling(t: Any) -> Any:
    """Stirling's approximation of log t!, for t above 1, else 0."""
    large = np.where(t > 1, t, 1.0)
    return np.where(t > 1, large * np.log(large) - large + 0.5 * np.log(TWO_PI * large), 0.0)


class GaussianNll(_EntryByEntry):
    """E = mean_i (log v_i + (m_i - t_i)^2 / v_i) / 2, with the means m, the first half of o, and variances v, the rest.

    full adds log(2 pi) / 2. Variances below eps count as eps, but for their slope.
    """

    domain = "positive"
    full: bool = False
    eps: float = 2.0**-20

    def width(self, n: int) -> int | None:
        return n // 2 if n % 2 == 0 else None

    def _halves(self, o: Any) -> tuple[Any, Any]:
        half = o.shape[-1] // 2
        return o[..., :half], np.maximum(o[..., half:], self.eps)

    def _entry(self, o: Any, t: Any) -> Any:
        m, v = self._halves(o)
        return 0.5 * (np.log(v) + (m - t) ** 2 / v) + (HALF_LOG_2_PI if self.full else 0.0)

    def sensitivity(self, o: Any, t: Any) -> Any:
        # dE/dm = (m - t)/v        dE/dv = (1 - (m - t)^2/v) / (2 v)
        m, v = self._halves(o)
        d = (m - t) / v
        halves = [counted(slope, self.reduction, t.shape[-2:]) for slope in (d, 0.5 * (1 / v - d**2))]
        return np.concatenate(halves, axis=-1)

    def torch(self, o, t, torch):
        m, v = o.chunk(2, dim=-1)
        # The function itself cannot be mapped over examples: it asks whether some variance is below 0.
        e = torch.nn.functional.gaussian_nll_loss(m, t, v, full=self.full, eps=self.eps, reduction=self.reduction)
        return self._gathered(e, torch.as_tensor)

    def jax(self, o, t, jax):
        m, v = jax.numpy.split(o.astype(jax.numpy.promote_types(o.dtype, "float32")), 2, axis=-1)
        v = v + jax.lax.stop_gradient(jax.numpy.maximum(v, self.eps) - v)
        e = 0.5 * (jax.numpy.log(v) + (m - t) ** 2 / v) + (HALF_LOG_2_PI if self.full else 0.0)
        return self._gathered(e, jax.numpy.asarray).astype(o.dtype)


class PoissonNll(_EntryByEntry):
    """E = mean_i exp(o_i) - t_i o_i, of the logarithms o of rates; full adds Stirling's log t_i! for t_i above 1."""

    targets = "positive"
    full: bool = False

    def _entry(self, o: Any, t: Any) -> Any:
        return np.exp(o) - t * o + (stirling(t) if self.full else 0.0)

    def _slope(self, o: Any, t: Any) -> Any:
        return np.exp(o) - t

    def torch(self, o, t, torch):
        e = torch.nn.functional.poisson_nll_loss(o, t, log_input=True, full=self.full, reduction=self.reduction)
        return self._gathered(e, torch.as_tensor)

    def jax(self, o, t, jax):
        return self._gathered(jax.numpy.exp(o) - t * o + (_stirling(t, jax) if self.full else 0.0), jax.numpy.asarray)


class PoissonNllOfRates(_EntryByEntry):
    """E = mean_i o_i - t_i log(o_i + eps), of the rates o; full adds Stirling's log t_i! for t_i above 1."""

    targets = "positive"
    domain = "positive"
    full: bool = False
    eps: float = 1e-8

    def _entry(self, o: Any, t: Any) -> Any:
        return o - t * np.log(o + self.eps) + (stirling(t) if self.full else 0.0)

    def _slope(self, o: Any, t: Any) -> Any:
        return 1 - t / (o + self.eps)

    def torch(self, o, t, torch):
        e = torch.nn.functional.poisson_nll_loss(
            o, t, log_input=False, full=self.full, eps=self.eps, reduction=self.reduction
        )
        return self._gathered(e, torch.as_tensor)

    def jax(self, o, t, jax):
        e = o - t * jax.numpy.log(o + self.eps) + (_stirling(t, jax) if self.full else 0.0)
        return self._gathered(e, jax.numpy.asarray)


def _stirling(t, jax):
    large = jax.numpy.where(t > 1, t, 1.0)
    found = large * jax.numpy.log(large) - large + 0.5 * jax.numpy.log(TWO_PI * large)
    return jax.numpy.where(t > 1, found, 0.0)
