"""Losses of similarity: cosine and distance of embeddings, contrastive losses, and divergences."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from gradagree.reference.activations.rows import along, unit
from gradagree.reference.contract import ErrorFunction
from gradagree.reference.losses.reduction import (
    _EntryByEntry,
    _ExampleByExample,
    of_kind,
    reduce_losses,
    scale_derivative,
)

EPSILON = float(np.float32(1e-12))
"""The term that torch adds to the squared lengths in its cosine_embedding_loss."""


class _Pairs(_ExampleByExample):
    """Of two embeddings, the halves of the outputs."""

    def _halves(self, o: Any) -> tuple[Any, Any]:
        half = o.shape[-1] // 2
        return o[..., :half], o[..., half:]


class CosineEmbedding(_Pairs):
    """E = mean over examples of 1 - cos where t = 1 and max(0, cos - margin) where t = -1.

    cos = x'y / sqrt((x'x + 1e-12) (y'y + 1e-12)), where x and y are the two halves of the outputs.
    """

    targets = "signs"
    margin: float = 0.0

    def width(self, n: int) -> int | None:
        return 1 if n % 2 == 0 else None

    def _cos(self, o: Any) -> tuple[Any, Any, Any, Any]:
        """cos, the product of both lengths, and their squares."""
        x, y = self._halves(o)
        xx, yy = along(x**2) + EPSILON, along(y**2) + EPSILON
        lengths = np.sqrt(xx * yy)
        return along(x * y) / lengths, lengths, xx, yy

    def _term(self, o: Any, t: Any) -> Any:
        cos = self._cos(o)[0]
        return np.where(t > 0, 1 - cos, np.maximum(cos - self.margin, 0))[..., 0]

    def _derivative(self, o: Any, t: Any) -> Any:
        # dcos/dx = y / (|x| |y|) - cos x / |x|^2, and the same with x and y swapped
        x, y = self._halves(o)
        cos, lengths, xx, yy = self._cos(o)
        derivative = np.concatenate([y / lengths - cos * x / xx, x / lengths - cos * y / yy], axis=-1)
        return np.where(t > 0, -1.0, np.where(cos > self.margin, 1.0, 0.0)) * derivative

    def kink(self, o: Any, t: Any) -> Any:
        at = (self._cos(o)[0] == self.margin) & (t < 0)
        return np.broadcast_to(at, o.shape)

    def across(self, o: Any, t: Any) -> Any:
        return np.concatenate(self._halves(o)[::-1], axis=-1)

    def torch(self, o, t, torch):
        x, y = o.chunk(2, dim=-1)
        options = {"margin": self.margin, "reduction": self.reduction}
        return self._reduce(torch.nn.functional.cosine_embedding_loss(x, y, t[..., 0], **options), torch.as_tensor)

    def jax(self, o, t, jax):
        jnp = jax.numpy
        x, y = jnp.split(o.astype(jnp.promote_types(o.dtype, "float32")), 2, axis=-1)
        lengths = jnp.sqrt(jnp.sum(x**2, -1) + EPSILON) * jnp.sqrt(jnp.sum(y**2, -1) + EPSILON)
        cos = jnp.sum(x * y, -1) / lengths
        e = jnp.where(t[..., 0] > 0, 1 - cos, jnp.maximum(cos - self.margin, 0))
        return self._reduce(e, jnp.asarray).astype(o.dtype)


class CosineDistance(_ExampleByExample):
    """E = mean over examples of 1 - o't / (|o| |t|); squared lengths below eps count as eps."""

    eps: float = 2.0**-24

    def _parts(self, o: Any, t: Any) -> tuple[Any, Any, Any]:
        """The two unit vectors, and the length of o."""
        oo, tt = (np.sqrt(np.maximum(along(x**2), self.eps)) for x in (o, t))
        return o / oo, t / tt, oo

    def _term(self, o: Any, t: Any) -> Any:
        u, v, _ = self._parts(o, t)
        return 1 - np.sum(u * v, axis=-1)

    def _derivative(self, o: Any, t: Any) -> Any:
        # dE/do = (cos u - v) / |o|, and -v / sqrt(eps) where o is shorter
        u, v, length = self._parts(o, t)
        long = np.where(along(o**2) > self.eps, 1.0, 0.0)
        return (long * along(u * v) * u - v) / length

    def torch(self, o, t, torch):
        x, y = (z.to(torch.promote_types(o.dtype, torch.float32)) for z in (o, t))
        xx, yy = (torch.sqrt(torch.clamp((z**2).sum(-1, keepdim=True), min=self.eps)) for z in (x, y))
        return self._reduce(1 - ((x / xx) * (y / yy)).sum(-1), torch.as_tensor).to(o.dtype)

    def jax(self, o, t, jax):
        jnp = jax.numpy
        x, y = (z.astype(jnp.promote_types(o.dtype, "float32")) for z in (o, t))
        xx, yy = (jnp.sqrt(jnp.maximum(jnp.sum(z**2, -1, keepdims=True), self.eps)) for z in (x, y))
        return self._reduce(1 - jnp.sum((x / xx) * (y / yy), -1), jnp.asarray).astype(o.dtype)

    def optax(self, o, t, optax, jax):
        return self._reduce(optax.cosine_distance(o, t, epsilon=self.eps), jax.numpy.asarray)


class PairwiseDistance(_ExampleByExample):
    """E = mean over examples of |o - t + eps|, the length of the difference."""

    eps: float = 2.0**-20

    def _term(self, o: Any, t: Any) -> Any:
        return np.sqrt(np.sum((o - t + self.eps) ** 2, axis=-1))

    def _derivative(self, o: Any, t: Any) -> Any:
        d = o - t + self.eps
        return unit(d, np.sqrt(along(d**2)))

    def kink(self, o: Any, t: Any) -> Any:
        return np.broadcast_to(along((o - t + self.eps) ** 2) == 0, o.shape)

    def torch(self, o, t, torch):
        return self._reduce(torch.nn.functional.pairwise_distance(o, t, eps=self.eps), torch.as_tensor)

    def jax(self, o, t, jax):
        x, y = (z.astype(jax.numpy.promote_types(o.dtype, "float32")) for z in (o, t))
        lengths = jax.numpy.sqrt(jax.numpy.sum((x - y + self.eps) ** 2, -1))
        return self._reduce(lengths, jax.numpy.asarray).astype(o.dtype)


class Ntxent(ErrorFunction):
    """E = mean over pairs i, j of one class of log(exp s_ij + sum_k exp s_ik) - s_ij, over the k of other classes.

    s_ij is the cosine of o_i and o_j over the temperature, in which squared lengths below eps count as eps (optax's is
    that of the dtype). Each pair counts in both orders. An example that is alone in its class is in no pair, only among
    the k of others. Where all are alone, E is the mean of nothing, NaN, and dE/do is 0, as of optax.
    """

    targets = "classes"
    temperature: float = 0.07
    eps: float = 2.0**-24

    def _pairs(self, t: Any) -> tuple[Any, Any, Any]:
        """Whether i and j are two of one class, whether they are of two classes, and the number of pairs."""
        alike = t[..., :, None] == t[..., None, :]
        pair = alike & ~np.eye(t.shape[-1], dtype=bool)
        return pair, ~alike, np.sum(pair, axis=(-2, -1))

    def _units(self, o: Any) -> tuple[Any, Any]:
        """The unit vectors, and the lengths."""
        length = np.sqrt(np.maximum(along(o**2), self.eps))
        return o / length, length

    def _parts(self, u: Any, t: Any) -> tuple[Any, Any, Any]:
        """z_ij = s_ij less the largest that it can be, exp of that, and the sums in the logarithms, 1 for no pair."""
        pair, unlike, _ = self._pairs(t)
        z = (u @ np.swapaxes(u, -1, -2) - 1) / self.temperature
        e = np.exp(z)
        return z, e, np.where(pair, e + along(np.where(unlike, e, 0.0)), 1.0)

    def value(self, o: Any, t: Any) -> Any:
        pair, _, count = self._pairs(t)
        z, _, below = self._parts(self._units(o)[0], t)
        E = np.sum(np.where(pair, np.log(below) - z, 0.0), axis=(-2, -1)) / np.maximum(count, 1)
        return np.where(count > 0, E, np.nan)

    def sensitivity(self, o: Any, t: Any) -> Any:
        pair, unlike, count = self._pairs(t)
        u, length = self._units(o)
        _, e, below = self._parts(u, t)
        # dE/ds_ij = exp s_ij / D_ij - 1 of a pair, exp s_ik sum_j 1 / D_ij of other classes, over the number of pairs
        shares = e * along(np.where(pair, 1 / below, 0.0))
        g = np.where(pair, e / below - 1, np.where(unlike, shares, 0.0))
        g = g / (self.temperature * np.maximum(count, 1)[..., None, None])
        # dE/du_i = sum_j (dE/ds_ij + dE/ds_ji) u_j / temperature
        d = (g + np.swapaxes(g, -1, -2)) @ u
        # dE/do_i = (d_i - (d_i'u_i) u_i) / |o_i|, and d_i / sqrt(eps) where o_i is shorter
        long = np.where(along(o**2) > self.eps, 1.0, 0.0)
        return (d - long * along(d * u) * u) / length

    def kink(self, o: Any, t: Any) -> Any:
        return np.broadcast_to(along(o**2) == self.eps, o.shape)

    def across(self, o: Any, t: Any) -> Any:
        return o

    def torch(self, o, t, torch):
        wide = o.to(torch.promote_types(o.dtype, torch.float32))
        u = wide / torch.sqrt(torch.clamp((wide**2).sum(-1, keepdim=True), min=self.eps))
        alike, itself = t[:, None] == t, torch.eye(len(t), dtype=torch.bool)
        s = (u @ u.T / self.temperature).masked_fill(itself, -1 / self.temperature)
        z = s - s.detach().amax(-1, keepdim=True)
        below = torch.exp(z) + torch.exp(z).masked_fill(alike, 0).sum(-1, keepdim=True)
        alone = ~alike | itself
        e, count = torch.log(below.masked_fill(alone, 1)) - z, (~alone).sum()
        E = (e.masked_fill(alone, 0).sum() / count.clamp(min=1)).masked_fill(count == 0, torch.nan)
        return E.to(o.dtype)

    def jax(self, o, t, jax):
        jnp = jax.numpy
        wide = o.astype(jnp.promote_types(o.dtype, "float32"))
        u = wide / jnp.sqrt(jnp.maximum(jnp.sum(wide**2, -1, keepdims=True), self.eps))
        alike, itself = t[:, None] == t, jnp.eye(len(t), dtype=bool)
        s, pair = jnp.where(itself, -1 / self.temperature, u @ u.T / self.temperature), alike & ~itself
        z = s - jax.lax.stop_gradient(jnp.max(s, -1, keepdims=True))
        below = jnp.exp(z) + jnp.sum(jnp.exp(z), -1, keepdims=True, where=~alike)
        e, count = jnp.log(jnp.where(pair, below, 1)) - z, jnp.sum(pair)
        return jnp.where(count > 0, jnp.sum(e, where=pair) / jnp.maximum(count, 1), jnp.nan).astype(o.dtype)

    def optax(self, o, t, optax, jax):
        return optax.losses.ntxent(o, t, temperature=self.temperature)


def x_log_x(t: Any) -> Any:
    """t log t, and 0 where t is 0."""
    return np.where(t > 0, t * np.log(np.where(t > 0, t, 1.0)), 0.0)


class KlDiv(_EntryByEntry):
    """E = sum_i t_i (log t_i - o_i) over the number of examples, of log-probabilities o and probabilities t."""

    targets = "simplex"
    domain = "log_simplex"
    reduction: Literal["mean", "sum", "none", "batchmean"] = "batchmean"  # type: ignore[assignment]

    def _term(self, o: Any, t: Any) -> Any:
        return x_log_x(t) - t * o

    def value(self, o: Any, t: Any) -> Any:
        e = self._term(o, t)
        if self.reduction == "batchmean":
            return np.sum(e, axis=(-2, -1)) / float(o.shape[-2])
        return reduce_losses(e, self.reduction, 2)

    def sensitivity(self, o: Any, t: Any) -> Any:
        derivative = of_kind(-self._shares(t), o)
        if self.reduction == "batchmean":
            return derivative / float(o.shape[-2])
        return scale_derivative(derivative, self.reduction, o.shape[-2:])

    def _shares(self, t: Any) -> Any:
        return t

    def torch(self, o, t, torch):
        return self._reduce(torch.nn.functional.kl_div(o, t, reduction=self.reduction), torch.as_tensor)

    def jax(self, o, t, jax):
        return self._reduce_by_examples(jax.scipy.special.xlogy(t, t) - t * o, jax)

    def _reduce_by_examples(self, e, jax):
        if self.reduction == "batchmean":
            return jax.numpy.sum(e) / e.shape[0]
        return self._reduce(e, jax.numpy.asarray)

    def optax(self, o, t, optax, jax):
        return optax.losses.kl_divergence(o, t).mean() if self.reduction == "batchmean" else None


class KlDivOfLogs(KlDiv):
    """E = sum_i exp(t_i) (t_i - o_i) over the number of examples, of log-probabilities o and t."""

    targets = "real"

    def _term(self, o: Any, t: Any) -> Any:
        return np.exp(t) * (t - o)

    def _shares(self, t: Any) -> Any:
        return np.exp(t)

    def torch(self, o, t, torch):
        e = torch.nn.functional.kl_div(o, t, reduction=self.reduction, log_target=True)
        return self._reduce(e, torch.as_tensor)

    def jax(self, o, t, jax):
        return self._reduce_by_examples(jax.numpy.exp(t) * (t - o), jax)

    def optax(self, o, t, optax, jax):
        return optax.losses.kl_divergence_with_log_targets(o, t).mean() if self.reduction == "batchmean" else None


class GeneralizedKl(_EntryByEntry):
    """E = mean_i t_i (log t_i - o_i) + exp(o_i) - t_i, of the logarithms o of positive numbers, and such t."""

    targets = "positive"

    def _term(self, o: Any, t: Any) -> Any:
        return x_log_x(t) - t * o + np.exp(o) - t

    def _derivative(self, o: Any, t: Any) -> Any:
        return np.exp(o) - t

    def torch(self, o, t, torch):
        return self._reduce(torch.xlogy(t, t) - t * o + torch.exp(o) - t, torch.as_tensor)

    def jax(self, o, t, jax):
        e = jax.scipy.special.xlogy(t, t) - t * o + jax.numpy.exp(o) - t
        return self._reduce(e, jax.numpy.asarray)

    def optax(self, o, t, optax, jax):
        e = optax.losses.generalized_kl_divergence(o[..., None], t[..., None])
        return self._reduce(e, jax.numpy.asarray)
