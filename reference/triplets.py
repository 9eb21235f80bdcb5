"""The error functions of triplets of embeddings, which are the thirds of the outputs; there are no targets."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from gradagree.reference.reductions import _ExampleByExample
from gradagree.reference.vectors import along, unit


class _Triplet(_ExampleByExample):
    """max(0, margin + d(x, y) - d(x, z)) of an anchor x, a positive y and a negative z, the thirds of the outputs."""

    def width(self, n: int) -> int | None:
        return 0 if n % 3 == 0 else None

    def _gap(self, o: Any) -> Any:
        """margin + d(x, y) - d(x, z), the last axis kept."""
        raise NotImplementedError

    def _example(self, o: Any, t: Any) -> Any:
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

    def _slope(self, o: Any, t: Any) -> Any:
        squares = self._squares(o)
        near, far, other = (unit(d, np.sqrt(square)) for d, square in zip(self._differences(o), squares, strict=True))
        swapped = np.where(squares[2] < squares[1], 1.0, 0.0) if self.swap else 0.0
        kept = 1 - swapped
        slope = [near - kept * far, -near - swapped * other, kept * far + swapped * other]
        return np.where(self._gap(o) > 0, 1.0, 0.0) * np.concatenate(slope, axis=-1)

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
        return self._gathered(torch.nn.functional.triplet_margin_loss(*o.chunk(3, -1), **options), torch.as_tensor)

    def jax(self, o, t, jax):
        jnp = jax.numpy
        wide = o.astype(jnp.promote_types(o.dtype, "float32"))
        near, far, other = (jnp.sqrt(jnp.sum(d**2, axis=-1)) for d in self._differences(wide))
        far = jnp.minimum(far, other) if self.swap else far
        return self._gathered(jnp.maximum(self.margin + near - far, 0), jnp.asarray).astype(o.dtype)


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

    def _slope(self, o: Any, t: Any) -> Any:
        near, far, r, s = self._parts(o)
        near, far = near / r, far / s
        return np.where(self.margin + r - s > 0, 1.0, 0.0) * np.concatenate([near - far, -near, far], axis=-1)

    def torch(self, o, t, torch):
        x, y, z = o.to(torch.promote_types(o.dtype, torch.float32)).chunk(3, dim=-1)
        near, far = (torch.sqrt(((x - other) ** 2).sum(-1) + self.eps) for other in (y, z))
        return self._gathered(torch.relu(self.margin + near - far), torch.as_tensor).to(o.dtype)

    def jax(self, o, t, jax):
        jnp = jax.numpy
        x, y, z = jnp.split(o.astype(jnp.promote_types(o.dtype, "float32")), 3, axis=-1)
        near, far = (jnp.sqrt(jnp.sum((x - other) ** 2, -1) + self.eps) for other in (y, z))
        return self._gathered(jnp.maximum(self.margin + near - far, 0), jnp.asarray).astype(o.dtype)

    def optax(self, o, t, optax, jax):
        thirds = jax.numpy.split(o, 3, axis=-1)
        e = optax.losses.triplet_margin_loss(*thirds, margin=self.margin, eps=self.eps)
        return self._gathered(e, jax.numpy.asarray)
