"""The error function of contrasts: examples of one class are to be alike, and unlike those of all other classes."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradagree.reference.contract import ErrorFunction
from gradagree.reference.vectors import along


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
