"""The error functions of distances and angles between embeddings; the outputs may hold two of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradagree.reference.reductions import _ExampleByExample
from gradagree.reference.vectors import along, unit

EPSILON = float(np.float32(1e-12))
"""What torch adds to the squared lengths in its cosine_embedding_loss."""


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

    def _example(self, o: Any, t: Any) -> Any:
        cos = self._cos(o)[0]
        return np.where(t > 0, 1 - cos, np.maximum(cos - self.margin, 0))[..., 0]

    def _slope(self, o: Any, t: Any) -> Any:
        # dcos/dx = y / (|x| |y|) - cos x / |x|^2, and likewise for y
        x, y = self._halves(o)
        cos, lengths, xx, yy = self._cos(o)
        slope = np.concatenate([y / lengths - cos * x / xx, x / lengths - cos * y / yy], axis=-1)
        return np.where(t > 0, -1.0, np.where(cos > self.margin, 1.0, 0.0)) * slope

    def kink(self, o: Any, t: Any) -> Any:
        at = (self._cos(o)[0] == self.margin) & (t < 0)
        return np.broadcast_to(at, o.shape)

    def across(self, o: Any, t: Any) -> Any:
        return np.concatenate(self._halves(o)[::-1], axis=-1)

    def torch(self, o, t, torch):
        x, y = o.chunk(2, dim=-1)
        options = {"margin": self.margin, "reduction": self.reduction}
        return self._gathered(torch.nn.functional.cosine_embedding_loss(x, y, t[..., 0], **options), torch.as_tensor)

    def jax(self, o, t, jax):
        jnp = jax.numpy
        x, y = jnp.split(o.astype(jnp.promote_types(o.dtype, "float32")), 2, axis=-1)
        lengths = jnp.sqrt(jnp.sum(x**2, -1) + EPSILON) * jnp.sqrt(jnp.sum(y**2, -1) + EPSILON)
        cos = jnp.sum(x * y, -1) / lengths
        e = jnp.where(t[..., 0] > 0, 1 - cos, jnp.maximum(cos - self.margin, 0))
        return self._gathered(e, jnp.asarray).astype(o.dtype)


class CosineDistance(_ExampleByExample):
    """E = mean over examples of 1 - o't / (|o| |t|); squared lengths below eps count as eps."""

    eps: float = 2.0**-24

    def _parts(self, o: Any, t: Any) -> tuple[Any, Any, Any]:
        """The two unit vectors, and the length of o."""
        oo, tt = (np.sqrt(np.maximum(along(x**2), self.eps)) for x in (o, t))
        return o / oo, t / tt, oo

    def _example(self, o: Any, t: Any) -> Any:
        u, v, _ = self._parts(o, t)
        return 1 - np.sum(u * v, axis=-1)

    def _slope(self, o: Any, t: Any) -> Any:
        # dE/do = (cos u - v) / |o|, and -v / sqrt(eps) where o is shorter
        u, v, length = self._parts(o, t)
        long = np.where(along(o**2) > self.eps, 1.0, 0.0)
        return (long * along(u * v) * u - v) / length

    def torch(self, o, t, torch):
        x, y = (z.to(torch.promote_types(o.dtype, torch.float32)) for z in (o, t))
        xx, yy = (torch.sqrt(torch.clamp((z**2).sum(-1, keepdim=True), min=self.eps)) for z in (x, y))
        return self._gathered(1 - ((x / xx) * (y / yy)).sum(-1), torch.as_tensor).to(o.dtype)

    def jax(self, o, t, jax):
        jnp = jax.numpy
        x, y = (z.astype(jnp.promote_types(o.dtype, "float32")) for z in (o, t))
        xx, yy = (jnp.sqrt(jnp.maximum(jnp.sum(z**2, -1, keepdims=True), self.eps)) for z in (x, y))
        return self._gathered(1 - jnp.sum((x / xx) * (y / yy), -1), jnp.asarray).astype(o.dtype)

    def optax(self, o, t, optax, jax):
        return self._gathered(optax.cosine_distance(o, t, epsilon=self.eps), jax.numpy.asarray)


class PairwiseDistance(_ExampleByExample):
    """E = mean over examples of |o - t + eps|, the length of the difference."""

    eps: float = 2.0**-20

    def _example(self, o: Any, t: Any) -> Any:
        return np.sqrt(np.sum((o - t + self.eps) ** 2, axis=-1))

    def _slope(self, o: Any, t: Any) -> Any:
        d = o - t + self.eps
        return unit(d, np.sqrt(along(d**2)))

    def kink(self, o: Any, t: Any) -> Any:
        return np.broadcast_to(along((o - t + self.eps) ** 2) == 0, o.shape)

    def torch(self, o, t, torch):
        return self._gathered(torch.nn.functional.pairwise_distance(o, t, eps=self.eps), torch.as_tensor)

    def jax(self, o, t, jax):
        x, y = (z.astype(jax.numpy.promote_types(o.dtype, "float32")) for z in (o, t))
        lengths = jax.numpy.sqrt(jax.numpy.sum((x - y + self.eps) ** 2, -1))
        return self._gathered(lengths, jax.numpy.asarray).astype(o.dtype)
