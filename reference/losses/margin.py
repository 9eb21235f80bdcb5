"""Losses with a margin: hinge, perceptron, ranking, multi-class and multi-label margins, and triplets."""

from __future__ import annotations

import functools
from typing import Any, Literal

import numpy as np
from scipy.special import expit

from gradagree.reference.activations.rows import along, unit
from gradagree.reference.losses.classification import one_hot
from gradagree.reference.losses.reduction import _EntryByEntry, _ExampleByExample, of_kind, scale_derivative


class SoftMargin(_EntryByEntry):
    """E = mean_i log(1 + exp(-t_i o_i))."""

    targets = "signs"

    def _term(self, o: Any, t: Any) -> Any:
        return np.logaddexp(-t * o, 0)

    def _derivative(self, o: Any, t: Any) -> Any:
        return -t * expit(-t * o)

    def torch(self, o, t, torch):
        e = torch.nn.functional.soft_margin_loss(o, t, reduction=self.reduction)
        return self._reduce(e, torch.as_tensor)

    def jax(self, o, t, jax):
        return self._reduce(jax.nn.softplus(-t * o), jax.numpy.asarray)


class Hinge(_EntryByEntry):
    """E = mean_i max(0, margin - t_i o_i)."""

    targets = "signs"
    margin: float = 1.0

    def _term(self, o: Any, t: Any) -> Any:
        return np.maximum(self.margin - t * o, 0)

    def _derivative(self, o: Any, t: Any) -> Any:
        return np.where(t * o < self.margin, -t, 0.0)

    def kink(self, o: Any, t: Any) -> Any:
        return t * o == self.margin

    def across(self, o: Any, t: Any) -> Any:
        return t + 0 * o

    def torch(self, o, t, torch):
        return self._reduce(torch.clamp(self.margin - t * o, min=0), torch.as_tensor)

    def jax(self, o, t, jax):
        return self._reduce(jax.numpy.maximum(self.margin - t * o, 0), jax.numpy.asarray)

    def optax(self, o, t, optax, jax):
        return self._reduce(optax.losses.hinge_loss(o, t), jax.numpy.asarray) if self.margin == 1 else None


class Perceptron(_EntryByEntry):
    """E = mean_i max(0, -t_i o_i)."""

    targets = "signs"

    def _term(self, o: Any, t: Any) -> Any:
        return np.maximum(-t * o, 0)

    def _derivative(self, o: Any, t: Any) -> Any:
        return np.where(t * o < 0, -t, 0.0)

    def kink(self, o: Any, t: Any) -> Any:
        return (o == 0) & (t != 0)

    def across(self, o: Any, t: Any) -> Any:
        return t + 0 * o

    def torch(self, o, t, torch):
        return self._reduce(torch.relu(-t * o), torch.as_tensor)

    def jax(self, o, t, jax):
        return self._reduce(jax.numpy.maximum(-t * o, 0), jax.numpy.asarray)

    def optax(self, o, t, optax, jax):
        return self._reduce(optax.losses.perceptron_loss(o, t), jax.numpy.asarray)


class HingeEmbedding(_EntryByEntry):
    """E = mean_i of o_i where t_i = 1, and max(0, margin - o_i) where t_i = -1."""

    targets = "signs"
    margin: float = 1.0

    def _term(self, o: Any, t: Any) -> Any:
        return np.where(t > 0, o, np.maximum(self.margin - o, 0))

    def _derivative(self, o: Any, t: Any) -> Any:
        return np.where(t > 0, 1.0, np.where(o < self.margin, -1.0, 0.0))

    def kink(self, o: Any, t: Any) -> Any:
        return (o == self.margin) & (t < 0)

    def torch(self, o, t, torch):
        e = torch.nn.functional.hinge_embedding_loss(o, t, margin=self.margin, reduction=self.reduction)
        return self._reduce(e, torch.as_tensor)

    def jax(self, o, t, jax):
        e = jax.numpy.where(t > 0, o, jax.numpy.maximum(self.margin - o, 0))
        return self._reduce(e, jax.numpy.asarray)


class MarginRanking(_EntryByEntry):
    """E = mean_i max(0, margin - t_i (o'_i - o''_i)), where o' is the first half of the outputs, o'' the second."""

    targets = "signs"
    margin: float = 0.0

    def width(self, n: int) -> int | None:
        return n // 2 if n % 2 == 0 else None

    def _gap(self, o: Any, t: Any) -> Any:
        half = o.shape[-1] // 2
        return self.margin - t * (o[..., :half] - o[..., half:])

    def _term(self, o: Any, t: Any) -> Any:
        return np.maximum(self._gap(o, t), 0)

    def sensitivity(self, o: Any, t: Any) -> Any:
        gap = self._gap(o, t)
        derivative = scale_derivative(of_kind(np.where(gap > 0, -t, 0.0), gap), self.reduction, t.shape[-2:])
        return np.concatenate([derivative, -derivative], axis=-1)

    def kink(self, o: Any, t: Any) -> Any:
        return np.concatenate([self._gap(o, t)] * 2, axis=-1) == 0

    def across(self, o: Any, t: Any) -> Any:
        return np.concatenate([t, -t], axis=-1)

    def torch(self, o, t, torch):
        x, y = o.chunk(2, dim=-1)
        e = torch.nn.functional.margin_ranking_loss(x, y, t, margin=self.margin, reduction=self.reduction)
        return self._reduce(e, torch.as_tensor)

    def jax(self, o, t, jax):
        x, y = jax.numpy.split(o, 2, axis=-1)
        return self._reduce(jax.numpy.maximum(self.margin - t * (x - y), 0), jax.numpy.asarray)


class _LargestScore(_ExampleByExample):
    """max_c (o_c + m_c) - o_t; in a tie, each largest entry has an equal share of the derivative."""

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

    def _term(self, o: Any, t: Any) -> Any:
        scores = o + self._margins(one_hot(t, o.shape[-1]))
        return np.max(scores, axis=-1) - np.sum(np.where(one_hot(t, o.shape[-1]), o, 0.0), axis=-1)

    def _derivative(self, o: Any, t: Any) -> Any:
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
        return self._reduce(torch.amax(o, dim=-1) - right, torch.as_tensor)

    def jax(self, o, t, jax):
        right = jax.numpy.take_along_axis(o, t[..., None], axis=-1)[..., 0]
        return self._reduce(jax.numpy.max(o, axis=-1) - right, jax.numpy.asarray)

    def optax(self, o, t, optax, jax):
        return self._reduce(optax.losses.multiclass_perceptron_loss(o, t), jax.numpy.asarray)


class MulticlassHinge(_LargestScore):
    """E = mean over examples of max_c (o_c + [c is not t]) - o_t (Crammer and Singer, JMLR 2001)."""

    def _margins(self, right: Any) -> Any:
        return np.where(right, 0.0, 1.0)

    def torch(self, o, t, torch):
        right = torch.gather(o, -1, t[..., None])
        wrong = (torch.arange(o.shape[-1]) != t[..., None]).to(o.dtype)
        return self._reduce(torch.amax(o + wrong, dim=-1) - right[..., 0], torch.as_tensor)

    def jax(self, o, t, jax):
        hot = jax.nn.one_hot(t, o.shape[-1], dtype=o.dtype)
        return self._reduce(jax.numpy.max(o + 1 - hot, axis=-1) - jax.numpy.sum(o * hot, -1), jax.numpy.asarray)

    def optax(self, o, t, optax, jax):
        return self._reduce(optax.losses.multiclass_hinge_loss(o, t), jax.numpy.asarray)


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

    def _term(self, o: Any, t: Any) -> Any:
        gaps, w = self._gaps(o, t)
        return np.sum(w * gaps**self.p, axis=-1) / o.shape[-1]

    def _derivative(self, o: Any, t: Any) -> Any:
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
        return self._reduce(torch.nn.functional.multi_margin_loss(o, t, weight=w, **options), torch.as_tensor)

    def jax(self, o, t, jax):
        jnp, hot = jax.numpy, jax.nn.one_hot(t, o.shape[-1], dtype=o.dtype)
        own = jnp.sum(o * hot, axis=-1, keepdims=True)
        w = jnp.sum(hot * jnp.asarray(self.weight, o.dtype), axis=-1) / o.shape[-1]
        gaps = (1 - hot) * jnp.maximum(self.margin - own + o, 0) ** self.p
        return self._reduce(w * jnp.sum(gaps, axis=-1), jnp.asarray)


class MultilabelMargin(_ExampleByExample):
    """E = mean over examples of 1/C sum_ij max(0, 1 - o_i + o_j) over classes i that are right and j that are not."""

    targets = "bits"

    def _pairs(self, o: Any, t: Any) -> tuple[Any, Any]:
        """1 - o_i + o_j, and whether the pair (i, j) counts."""
        right = t > 0.5
        return 1 - o[..., :, None] + o[..., None, :], right[..., :, None] & ~right[..., None, :]

    def _term(self, o: Any, t: Any) -> Any:
        gap, counts = self._pairs(o, t)
        return np.sum(np.where(counts, np.maximum(gap, 0), 0.0), axis=(-2, -1)) / o.shape[-1]

    def _derivative(self, o: Any, t: Any) -> Any:
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
        return self._reduce(e, torch.as_tensor)

    def jax(self, o, t, jax):
        jnp = jax.numpy
        counts = t[..., :, None] * (1 - t[..., None, :])
        gaps = counts * jnp.maximum(1 - o[..., :, None] + o[..., None, :], 0)
        return self._reduce(jnp.sum(gaps, axis=(-2, -1)) / o.shape[-1], jnp.asarray)


class MultilabelSoftMargin(_ExampleByExample):
    """E = mean over examples of 1/C sum_c w_c (t_c log(1 + exp(-o_c)) + (1 - t_c) log(1 + exp(o_c)))."""

    targets = "bits"
    weight: float | tuple[float, ...] = 1.0

    def _term(self, o: Any, t: Any) -> Any:
        e = t * np.logaddexp(-o, 0) + (1 - t) * np.logaddexp(o, 0)
        return np.sum(np.asarray(self.weight) * e, axis=-1) / o.shape[-1]

    def _derivative(self, o: Any, t: Any) -> Any:
        return np.asarray(self.weight) * ((1 - t) * expit(o) - t * expit(-o)) / o.shape[-1]

    def torch(self, o, t, torch):
        w = torch.as_tensor(self.weight, dtype=o.dtype)
        e = torch.nn.functional.multilabel_soft_margin_loss(o, t, w, reduction=self.reduction)
        return self._reduce(e, torch.as_tensor)

    def jax(self, o, t, jax):
        log_s, w = jax.nn.log_sigmoid, jax.numpy.asarray(self.weight, o.dtype)
        e = -w * (t * log_s(o) + (1 - t) * log_s(-o))
        return self._reduce(jax.numpy.sum(e, axis=-1) / o.shape[-1], jax.numpy.asarray)


class _Triplet(_ExampleByExample):
    """max(0, margin + d(x, y) - d(x, z)) of an anchor x, a positive y and a negative z, the thirds of the outputs."""

    def width(self, n: int) -> int | None:
        return 0 if n % 3 == 0 else None

    def _gap(self, o: Any) -> Any:
        """margin + d(x, y) - d(x, z), the last axis kept."""
        raise NotImplementedError

    def _term(self, o: Any, t: Any) -> Any:
        return np.maximum(self._gap(o), 0)[..., 0]

    def kink(self, o: Any, t: Any) -> Any:
        return np.broadcast_to(self._gap(o) == 0, o.shape)

    def across(self, o: Any, t: Any) -> Any:
        return np.where(np.arange(o.shape[-1]) < o.shape[-1] // 3, 1.0, 0.0) * np.ones_like(o)

    def _thirds(self, o: Any) -> tuple[Any, Any, Any]:
        third = o.shape[-1] // 3
        return o[..., :third], o[..., third : 2 * third], o[..., 2 * third :]


class TripletMargin(_Triplet):
    """E = mean over examples of max(0, margin + |x - y + eps| - |x - z + eps|), thirds x, y, z of the outputs.

    With swap, |y - z + eps| takes the place of |x - z + eps| where it is smaller.
    """

    margin: float = 1.0
    eps: float = 2.0**-20
    swap: bool = False

    def _differences(self, o: Any) -> tuple[Any, Any, Any]:
        x, y, z = self._thirds(o)
        return x - y + self.eps, x - z + self.eps, y - z + self.eps

    def _squares(self, o: Any) -> list[Any]:
        return [along(d**2) for d in self._differences(o)]

    def _gap(self, o: Any) -> Any:
        near, far, other = (np.sqrt(square) for square in self._squares(o))
        return self.margin + near - (np.minimum(far, other) if self.swap else far)

    def _derivative(self, o: Any, t: Any) -> Any:
        squares = self._squares(o)
        near, far, other = (unit(d, np.sqrt(square)) for d, square in zip(self._differences(o), squares, strict=True))
        swapped = np.where(squares[2] < squares[1], 1.0, 0.0) if self.swap else 0.0
        kept = 1 - swapped
        derivative = [near - kept * far, -near - swapped * other, kept * far + swapped * other]
        return np.where(self._gap(o) > 0, 1.0, 0.0) * np.concatenate(derivative, axis=-1)

    def kinks(self, o: Any, t: Any) -> dict[str, Any]:
        near, far, other = self._squares(o)
        on, zero = self._gap(o) > 0, (near == 0) | (far == 0) | ((other == 0) & self.swap)
        found = {"the margin": ~on & (self._gap(o) == 0), "a distance of 0": on & zero}
        if self.swap:
            found["equal distances"] = on & ~zero & (far == other)
        return {name: np.broadcast_to(where, o.shape) for name, where in found.items()}

    def kink(self, o: Any, t: Any) -> Any:
        return functools.reduce(np.logical_or, self.kinks(o, t).values())

    def torch(self, o, t, torch):
        options = {"margin": self.margin, "eps": self.eps, "swap": self.swap, "reduction": self.reduction}
        return self._reduce(torch.nn.functional.triplet_margin_loss(*o.chunk(3, -1), **options), torch.as_tensor)

    def jax(self, o, t, jax):
        jnp = jax.numpy
        wide = o.astype(jnp.promote_types(o.dtype, "float32"))
        near, far, other = (jnp.sqrt(jnp.sum(d**2, axis=-1)) for d in self._differences(wide))
        far = jnp.minimum(far, other) if self.swap else far
        return self._reduce(jnp.maximum(self.margin + near - far, 0), jnp.asarray).astype(o.dtype)


class TripletMarginOfSquares(_Triplet):
    """E = mean over examples of max(0, margin + sqrt(|x - y|^2 + eps) - sqrt(|x - z|^2 + eps)): the one of optax."""

    margin: float = 1.0
    eps: float = 2.0**-20

    def _parts(self, o: Any) -> tuple[Any, Any, Any, Any]:
        """Both differences, and both distances."""
        x, y, z = self._thirds(o)
        near, far = x - y, x - z
        return near, far, np.sqrt(along(near**2) + self.eps), np.sqrt(along(far**2) + self.eps)

    def _gap(self, o: Any) -> Any:
        _, _, r, s = self._parts(o)
        return self.margin + r - s

    def _derivative(self, o: Any, t: Any) -> Any:
        near, far, r, s = self._parts(o)
        near, far = near / r, far / s
        return np.where(self.margin + r - s > 0, 1.0, 0.0) * np.concatenate([near - far, -near, far], axis=-1)

    def torch(self, o, t, torch):
        x, y, z = o.to(torch.promote_types(o.dtype, torch.float32)).chunk(3, dim=-1)
        near, far = (torch.sqrt(((x - other) ** 2).sum(-1) + self.eps) for other in (y, z))
        return self._reduce(torch.relu(self.margin + near - far), torch.as_tensor).to(o.dtype)

    def jax(self, o, t, jax):
        jnp = jax.numpy
        x, y, z = jnp.split(o.astype(jnp.promote_types(o.dtype, "float32")), 3, axis=-1)
        near, far = (jnp.sqrt(jnp.sum((x - other) ** 2, -1) + self.eps) for other in (y, z))
        return self._reduce(jnp.maximum(self.margin + near - far, 0), jnp.asarray).astype(o.dtype)

    def optax(self, o, t, optax, jax):
        thirds = jax.numpy.split(o, 3, axis=-1)
        e = optax.losses.triplet_margin_loss(*thirds, margin=self.margin, eps=self.eps)
        return self._reduce(e, jax.numpy.asarray)
