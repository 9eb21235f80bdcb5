"""The error function of sparsemax: probabilities of which most are zero (Martins and Astudillo, ICML 2016)."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradagree.reference.multiclass import one_hot
from gradagree.reference.reductions import _ExampleByExample
from gradagree.reference.vectors import along


class MulticlassSparsemax(_ExampleByExample):
    """E = mean over examples of sum_c q_c (o_c - o_t) + (1 - sum_c q_c^2)/2, where q = sparsemax(o).

    q_c = max(o_c - tau, 0), with the tau for which they add up to 1.
    """

    targets = "classes"

    def _sparsemax(self, o: Any) -> Any:
        # c is one of the k classes with a share if sum_j max(o_j - o_c, 0) < 1, and k tau = sum of their o_j - 1
        above = np.sum(np.maximum(o[..., None, :] - o[..., :, None], 0), axis=-1)
        in_support = np.where(above < 1, 1.0, 0.0)
        tau = (along(in_support * o) - 1) / along(in_support)
        return np.maximum(o - tau, 0)

    def _example(self, o: Any, t: Any) -> Any:
        q = self._sparsemax(o)
        z = o - along(np.where(one_hot(t, o.shape[-1]), o, 0.0))
        return np.sum(q * z, axis=-1) + 0.5 * (1 - np.sum(q**2, axis=-1))

    def _slope(self, o: Any, t: Any) -> Any:
        # dE/do_c = q_c - [c is t]
        return self._sparsemax(o) - np.where(one_hot(t, o.shape[-1]), 1.0, 0.0)

    # Frameworks: as the q_c add up to 1, E is c + sum_c q_c (o_c - o_t - c) + (1 - sum_c q_c^2)/2 for any constant c.
    # With tau - o_t for c, what comes back to q_c is 0; with 0 it is tau - o_t, of which 16 bits hold too little.
    def torch(self, o, t, torch):
        above = torch.relu(o[..., None, :] - o[..., :, None]).sum(-1)
        in_support = (above < 1).to(o.dtype)
        tau = ((in_support * o).sum(-1, keepdim=True) - 1) / in_support.sum(-1, keepdim=True)
        q, z = torch.relu(o - tau), o - torch.gather(o, -1, t[..., None])
        c = (tau - torch.gather(o, -1, t[..., None])).detach()
        return self._gathered(c[..., 0] + (q * (z - c)).sum(-1) + 0.5 * (1 - (q**2).sum(-1)), torch.as_tensor)

    def jax(self, o, t, jax):
        jnp = jax.numpy
        above = jnp.sum(jnp.maximum(o[..., None, :] - o[..., :, None], 0), axis=-1)
        in_support = (above < 1).astype(o.dtype)
        tau = (jnp.sum(in_support * o, -1, keepdims=True) - 1) / jnp.sum(in_support, -1, keepdims=True)
        q, z = jnp.maximum(o - tau, 0), o - jnp.take_along_axis(o, t[..., None], axis=-1)
        c = jax.lax.stop_gradient(tau - jnp.take_along_axis(o, t[..., None], axis=-1))
        return self._gathered(c[..., 0] + jnp.sum(q * (z - c), -1) + 0.5 * (1 - jnp.sum(q**2, -1)), jnp.asarray)

    def optax(self, o, t, optax, jax):
        return self._gathered(optax.losses.multiclass_sparsemax_loss(o, t), jax.numpy.asarray)
