"""The error functions with a margin, entry by entry; targets are signs -1 and 1."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit

from gradagree.reference.reductions import _EntryByEntry, counted, of_kind


class SoftMargin(_EntryByEntry):
    """E = mean_i log(1 + exp(-t_i o_i))."""

    targets = "signs"

    def _entry(self, o: Any, t: Any) -> Any:
        return np.logaddexp(-t * o, 0)

    def _slope(self, o: Any, t: Any) -> Any:
        return -t * expit(-t * o)

    def torch(self, o, t, torch):
        e = torch.nn.functional.soft_margin_loss(o, t, reduction=self.reduction)
        return self._gathered(e, torch.as_tensor)

    def jax(self, o, t, jax):
        return self._gathered(jax.nn.softplus(-t * o), jax.numpy.asarray)


class Hinge(_EntryByEntry):
    """E = mean_i max(0, margin - t_i o_i)."""

    targets = "signs"
    margin: float = 1.0

    def _entry(self, o: Any, t: Any) -> Any:
        return np.maximum(self.margin - t * o, 0)

    def _slope(self, o: Any, t: Any) -> Any:
        return np.where(t * o < self.margin, -t, 0.0)

    def kink(self, o: Any, t: Any) -> Any:
        return t * o == self.margin

    def across(self, o: Any, t: Any) -> Any:
        return t + 0 * o

    def torch(self, o, t, torch):
        return self._gathered(torch.clamp(self.margin - t * o, min=0), torch.as_tensor)

    def jax(self, o, t, jax):
        return self._gathered(jax.numpy.maximum(self.margin - t * o, 0), jax.numpy.asarray)

    def optax(self, o, t, optax, jax):
        return self._gathered(optax.losses.hinge_loss(o, t), jax.numpy.asarray) if self.margin == 1 else None


class Perceptron(_EntryByEntry):
    """E = mean_i max(0, -t_i o_i)."""

    targets = "signs"

    def _entry(self, o: Any, t: Any) -> Any:
        return np.maximum(-t * o, 0)

    def _slope(self, o: Any, t: Any) -> Any:
        return np.where(t * o < 0, -t, 0.0)

    def kink(self, o: Any, t: Any) -> Any:
        return (o == 0) & (t != 0)

    def across(self, o: Any, t: Any) -> Any:
        return t + 0 * o

    def torch(self, o, t, torch):
        return self._gathered(torch.relu(-t * o), torch.as_tensor)

    def jax(self, o, t, jax):
        return self._gathered(jax.numpy.maximum(-t * o, 0), jax.numpy.asarray)

    def optax(self, o, t, optax, jax):
        return self._gathered(optax.losses.perceptron_loss(o, t), jax.numpy.asarray)


class HingeEmbedding(_EntryByEntry):
    """E = mean_i of o_i where t_i = 1, and max(0, margin - o_i) where t_i = -1."""

    targets = "signs"
    margin: float = 1.0

    def _entry(self, o: Any, t: Any) -> Any:
        return np.where(t > 0, o, np.maximum(self.margin - o, 0))

    def _slope(self, o: Any, t: Any) -> Any:
        return np.where(t > 0, 1.0, np.where(o < self.margin, -1.0, 0.0))

    def kink(self, o: Any, t: Any) -> Any:
        return (o == self.margin) & (t < 0)

    def torch(self, o, t, torch):
        e = torch.nn.functional.hinge_embedding_loss(o, t, margin=self.margin, reduction=self.reduction)
        return self._gathered(e, torch.as_tensor)

    def jax(self, o, t, jax):
        e = jax.numpy.where(t > 0, o, jax.numpy.maximum(self.margin - o, 0))
        return self._gathered(e, jax.numpy.asarray)


class MarginRanking(_EntryByEntry):
    """E = mean_i max(0, margin - t_i (o'_i - o''_i)), where o' is the first half of the outputs, o'' the second."""

    targets = "signs"
    margin: float = 0.0

    def width(self, n: int) -> int | None:
        return n // 2 if n % 2 == 0 else None

    def _gap(self, o: Any, t: Any) -> Any:
        half = o.shape[-1] // 2
        return self.margin - t * (o[..., :half] - o[..., half:])

    def _entry(self, o: Any, t: Any) -> Any:
        return np.maximum(self._gap(o, t), 0)

    def sensitivity(self, o: Any, t: Any) -> Any:
        gap = self._gap(o, t)
        slope = counted(of_kind(np.where(gap > 0, -t, 0.0), gap), self.reduction, t.shape[-2:])
        return np.concatenate([slope, -slope], axis=-1)

    def kink(self, o: Any, t: Any) -> Any:
        return np.concatenate([self._gap(o, t)] * 2, axis=-1) == 0

    def across(self, o: Any, t: Any) -> Any:
        return np.concatenate([t, -t], axis=-1)

    def torch(self, o, t, torch):
        x, y = o.chunk(2, dim=-1)
        e = torch.nn.functional.margin_ranking_loss(x, y, t, margin=self.margin, reduction=self.reduction)
        return self._gathered(e, torch.as_tensor)

    def jax(self, o, t, jax):
        x, y = jax.numpy.split(o, 2, axis=-1)
        return self._gathered(jax.numpy.maximum(self.margin - t * (x - y), 0), jax.numpy.asarray)
