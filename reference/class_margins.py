"""The error functions of several classes with a margin between the right ones and the others."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from scipy.special import expit

from gradagree.reference.multiclass import one_hot
from gradagree.reference.reductions import _ExampleByExample, of_kind
from gradagree.reference.vectors import along


class _LargestScore(_ExampleByExample):
    """max_c (o_c + m_c) - o_t; where several are the largest, each has an equal share of the slope."""

    targets = "classes"

    def _margins(self, right: Any) -> Any:
        """The m_c, given which class is right."""
        raise NotImplementedError

    def _largest(self, o: Any, t: Any) -> Any:
        """1 for each class whose o_c + m_c no other one exceeds, else 0."""
        scores = o + self._margins(one_hot(t, o.shape[-1]))
        gap = scores[..., :, None] - scores[..., None, :]
        others = ~np.eye(o.shape[-1], dtype=bool)
        exceeded = np.sum(np.where((gap < 0) & others, 1.0, 0.0), axis=-1)
        return np.where(exceeded < 0.5, 1.0, 0.0)

    def _example(self, o: Any, t: Any) -> Any:
        scores = o + self._margins(one_hot(t, o.shape[-1]))
        return np.max(scores, axis=-1) - np.sum(np.where(one_hot(t, o.shape[-1]), o, 0.0), axis=-1)

    def _slope(self, o: Any, t: Any) -> Any:
        largest = self._largest(o, t)
        return largest / along(largest) - np.where(one_hot(t, o.shape[-1]), 1.0, 0.0)

    def kink(self, o: Any, t: Any) -> Any:
        largest = self._largest(o, t)
        return (largest > 0) & (along(largest) > 1)

    def across(self, o: Any, t: Any) -> Any:
        return np.where(one_hot(t, o.shape[-1]), 1.0, -1.0)


class MulticlassPerceptron(_LargestScore):
    """E = mean over examples of max_c o_c - o_t."""

    def _margins(self, right: Any) -> Any:
        return np.zeros(right.shape)

    def torch(self, o, t, torch):
        right = torch.gather(o, -1, t[..., None])[..., 0]
        return self._gathered(torch.amax(o, dim=-1) - right, torch.as_tensor)

    def jax(self, o, t, jax):
        right = jax.numpy.take_along_axis(o, t[..., None], axis=-1)[..., 0]
        return self._gathered(jax.numpy.max(o, axis=-1) - right, jax.numpy.asarray)

    def optax(self, o, t, optax, jax):
        return self._gathered(optax.losses.multiclass_perceptron_loss(o, t), jax.numpy.asarray)


class MulticlassHinge(_LargestScore):
    """E = mean over examples of max_c (o_c + [c is not t]) - o_t (Crammer and Singer, JMLR 2001)."""

    def _margins(self, right: Any) -> Any:
        return np.where(right, 0.0, 1.0)

    def torch(self, o, t, torch):
        right = torch.gather(o, -1, t[..., None])
        wrong = (torch.arange(o.shape[-1]) != t[..., None]).to(o.dtype)
        return self._gathered(torch.amax(o + wrong, dim=-1) - right[..., 0], torch.as_tensor)

    def jax(self, o, t, jax):
        hot = jax.nn.one_hot(t, o.shape[-1], dtype=o.dtype)
        return self._gathered(jax.numpy.max(o + 1 - hot, axis=-1) - jax.numpy.sum(o * hot, -1), jax.numpy.asarray)

    def optax(self, o, t, optax, jax):
        return self._gathered(optax.losses.multiclass_hinge_loss(o, t), jax.numpy.asarray)


class MultiMargin(_ExampleByExample):
    """E = mean over examples of w_t/C sum_c max(0, margin - o_t + o_c)^p over the C classes c other than t.

    weight is one number, or one for each class.
    """

    targets = "classes"
    p: Literal[1, 2] = 1
    margin: float = 1.0
    weight: float | tuple[float, ...] = 1.0

    def _gaps(self, o: Any, t: Any) -> tuple[Any, Any]:
        """The positive gaps to the other classes, and w_t."""
        right = one_hot(t, o.shape[-1])
        own = along(np.where(right, o, 0.0))
        w = along(np.where(right, np.asarray(self.weight), 0.0))
        return np.where(right, 0.0, np.maximum(self.margin - own + o, 0)), w

    def _example(self, o: Any, t: Any) -> Any:
        gaps, w = self._gaps(o, t)
        return np.sum(w * gaps**self.p, axis=-1) / o.shape[-1]

    def _slope(self, o: Any, t: Any) -> Any:
        gaps, w = self._gaps(o, t)
        others = w * (np.where(gaps > 0, 1.0, 0.0) if self.p == 1 else 2 * gaps)
        return of_kind(others - np.where(one_hot(t, o.shape[-1]), along(others), 0.0), o) / o.shape[-1]

    def kink(self, o: Any, t: Any) -> Any:
        right = one_hot(t, o.shape[-1])
        at = ~right & (self.margin - along(np.where(right, o, 0.0)) + o == 0) & (self.p == 1)
        return at | (right & (along(np.where(at, 1.0, 0.0)) > 0))

    def across(self, o: Any, t: Any) -> Any:
        return np.where(one_hot(t, o.shape[-1]), -1.0, 1.0)

    def torch(self, o, t, torch):
        w = torch.tensor(np.broadcast_to(self.weight, o.shape[-1:]).astype(float), dtype=o.dtype)
        options = {"p": self.p, "margin": self.margin, "reduction": self.reduction}
        return self._gathered(torch.nn.functional.multi_margin_loss(o, t, weight=w, **options), torch.as_tensor)

    def jax(self, o, t, jax):
        jnp, hot = jax.numpy, jax.nn.one_hot(t, o.shape[-1], dtype=o.dtype)
        own = jnp.sum(o * hot, axis=-1, keepdims=True)
        w = jnp.sum(hot * jnp.asarray(self.weight, o.dtype), axis=-1) / o.shape[-1]
        gaps = (1 - hot) * jnp.maximum(self.margin - own + o, 0) ** self.p
        return self._gathered(w * jnp.sum(gaps, axis=-1), jnp.asarray)


class MultilabelMargin(_ExampleByExample):
    """E = mean over examples of 1/C sum_ij max(0, 1 - o_i + o_j) over classes i that are right and j that are not."""

    targets = "bits"

    def _pairs(self, o: Any, t: Any) -> tuple[Any, Any]:
        """1 - o_i + o_j, and whether the pair (i, j) counts."""
        right = t > 0.5
        return 1 - o[..., :, None] + o[..., None, :], right[..., :, None] & ~right[..., None, :]

    def _example(self, o: Any, t: Any) -> Any:
        gap, counts = self._pairs(o, t)
        return np.sum(np.where(counts, np.maximum(gap, 0), 0.0), axis=(-2, -1)) / o.shape[-1]

    def _slope(self, o: Any, t: Any) -> Any:
        gap, counts = self._pairs(o, t)
        on = np.where(counts & (gap > 0), 1.0, 0.0)
        return of_kind(np.sum(on, axis=-2) - np.sum(on, axis=-1), o) / o.shape[-1]

    def kink(self, o: Any, t: Any) -> Any:
        gap, counts = self._pairs(o, t)
        on = counts & (gap == 0)
        return np.any(on, axis=-2) | np.any(on, axis=-1)

    def across(self, o: Any, t: Any) -> Any:
        return np.where(t > 0.5, -1.0, 1.0)

    def torch(self, o, t, torch):
        order = torch.argsort(t, dim=-1, descending=True, stable=True)
        numbers = torch.where(torch.gather(t, -1, order) > 0.5, order, -1)
        e = torch.nn.functional.multilabel_margin_loss(o, numbers, reduction=self.reduction)
        return self._gathered(e, torch.as_tensor)

    def jax(self, o, t, jax):
        jnp = jax.numpy
        counts = t[..., :, None] * (1 - t[..., None, :])
        gaps = counts * jnp.maximum(1 - o[..., :, None] + o[..., None, :], 0)
        return self._gathered(jnp.sum(gaps, axis=(-2, -1)) / o.shape[-1], jnp.asarray)


class MultilabelSoftMargin(_ExampleByExample):
    """E = mean over examples of 1/C sum_c w_c (t_c log(1 + exp(-o_c)) + (1 - t_c) log(1 + exp(o_c)))."""

    targets = "bits"
    weight: float | tuple[float, ...] = 1.0

    def _example(self, o: Any, t: Any) -> Any:
        e = t * np.logaddexp(-o, 0) + (1 - t) * np.logaddexp(o, 0)
        return np.sum(np.asarray(self.weight) * e, axis=-1) / o.shape[-1]

    def _slope(self, o: Any, t: Any) -> Any:
        return np.asarray(self.weight) * ((1 - t) * expit(o) - t * expit(-o)) / o.shape[-1]

    def torch(self, o, t, torch):
        w = torch.as_tensor(self.weight, dtype=o.dtype)
        e = torch.nn.functional.multilabel_soft_margin_loss(o, t, w, reduction=self.reduction)
        return self._gathered(e, torch.as_tensor)

    def jax(self, o, t, jax):
        log_s, w = jax.nn.log_sigmoid, jax.numpy.asarray(self.weight, o.dtype)
        e = -w * (t * log_s(o) + (1 - t) * log_s(-o))
        return self._gathered(jax.numpy.sum(e, axis=-1) / o.shape[-1], jax.numpy.asarray)
