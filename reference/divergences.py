"""Divergences between distributions: targets are probabilities, their logarithms, or positive numbers."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from gradagree.reference.reductions import _EntryByEntry, counted, of_kind, total


def x_log_x(t: Any) -> Any:
    """t log t, and 0 where t is 0."""
    return np.where(t > 0, t * np.log(np.where(t > 0, t, 1.0)), 0.0)


class KlDiv(_EntryByEntry):
    """E = sum_i t_i (log t_i - o_i) over the number of examples, of log-probabilities o and probabilities t."""

    targets = "simplex"
    domain = "log_simplex"
    reduction: Literal["mean", "sum", "none", "batchmean"] = "batchmean"  # type: ignore[assignment]

    def _entry(self, o: Any, t: Any) -> Any:
        return x_log_x(t) - t * o

    def value(self, o: Any, t: Any) -> Any:
        e = self._entry(o, t)
        if self.reduction == "batchmean":
            return np.sum(e, axis=(-2, -1)) / float(o.shape[-2])
        return total(e, self.reduction, 2)

    def sensitivity(self, o: Any, t: Any) -> Any:
        slope = of_kind(-self._shares(t), o)
        if self.reduction == "batchmean":
            return slope / float(o.shape[-2])
        return counted(slope, self.reduction, o.shape[-2:])

    def _shares(self, t: Any) -> Any:
        return t

    def torch(self, o, t, torch):
        return self._gathered(torch.nn.functional.kl_div(o, t, reduction=self.reduction), torch.as_tensor)

    def jax(self, o, t, jax):
        return self._gathered_by_examples(jax.scipy.special.xlogy(t, t) - t * o, jax)

    def _gathered_by_examples(self, e, jax):
        if self.reduction == "batchmean":
            return jax.numpy.sum(e) / e.shape[0]
        return self._gathered(e, jax.numpy.asarray)

    def optax(self, o, t, optax, jax):
        return optax.losses.kl_divergence(o, t).mean() if self.reduction == "batchmean" else None


class KlDivOfLogs(KlDiv):
    """E = sum_i exp(t_i) (t_i - o_i) over the number of examples, of log-probabilities o and t."""

    targets = "real"

    def _entry(self, o: Any, t: Any) -> Any:
        return np.exp(t) * (t - o)

    def _shares(self, t: Any) -> Any:
        return np.exp(t)

    def torch(self, o, t, torch):
        e = torch.nn.functional.kl_div(o, t, reduction=self.reduction, log_target=True)
        return self._gathered(e, torch.as_tensor)

    def jax(self, o, t, jax):
        return self._gathered_by_examples(jax.numpy.exp(t) * (t - o), jax)

    def optax(self, o, t, optax, jax):
        return optax.losses.kl_divergence_with_log_targets(o, t).mean() if self.reduction == "batchmean" else None


class GeneralizedKl(_EntryByEntry):
    """E = mean_i t_i (log t_i - o_i) + exp(o_i) - t_i, of the logarithms o of positive numbers, and such t."""

    targets = "positive"

    def _entry(self, o: Any, t: Any) -> Any:
        return x_log_x(t) - t * o + np.exp(o) - t

    def _slope(self, o: Any, t: Any) -> Any:
        return np.exp(o) - t

    def torch(self, o, t, torch):
        return self._gathered(torch.xlogy(t, t) - t * o + torch.exp(o) - t, torch.as_tensor)

    def jax(self, o, t, jax):
        e = jax.scipy.special.xlogy(t, t) - t * o + jax.numpy.exp(o) - t
        return self._gathered(e, jax.numpy.asarray)

    def optax(self, o, t, optax, jax):
        e = optax.losses.generalized_kl_divergence(o[..., None], t[..., None])
        return self._gathered(e, jax.numpy.asarray)
