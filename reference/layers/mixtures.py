"""Mixture of experts: a router, its largest scores, and the products of the chosen experts."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradagree.reference.activations.rows import softmax, softmax_vjp
from gradagree.reference.layer import Layer
from gradagree.reference.layers.linear import dense_vjp
from gradagree.reference.operations.scatter import scatter_add


class MixtureOfExperts(Layer):
    """y = sum over the top experts e of p_e w_e x, p = softmax of the top scores of r x (Shazeer et al. 2017).

    Shapes: x (tokens, inputs), r (experts, inputs), w (experts, outputs, inputs), chosen (tokens, top): the experts of
    each token, which have no derivative.
    """

    top: int = 2

    def _parts(self, x: Any, r: Any, w: Any, chosen: np.ndarray) -> tuple[Any, Any, Any]:
        scores = x @ r.T
        p = softmax(np.take_along_axis(scores, chosen, axis=-1))
        each = np.einsum("ekoi,ei->eko", w[chosen], x)
        return scores, p, each

    def value(self, x: Any, r: Any, w: Any, chosen: Any) -> Any:
        _, p, each = self._parts(x, r, w, np.asarray(chosen))
        return np.sum(p[..., None] * each, axis=1)

    def vjp(self, g: Any, x: Any, r: Any, w: Any, chosen: Any) -> tuple[Any, ...]:
        chosen = np.asarray(chosen)
        scores, p, each = self._parts(x, r, w, chosen)
        by_each = p[..., None] * g[:, None, :]
        by_top = softmax_vjp(p, np.sum(each * g[:, None, :], axis=-1))
        experts = np.shape(w)[0]
        places = np.arange(len(chosen))[:, None] * experts + chosen
        by_x, by_r = dense_vjp(scatter_add(by_top, places, np.shape(scores)), x, r)
        by_x = by_x + np.einsum("ekoi,eko->ei", w[chosen], by_each)
        outer = by_each[..., None] * x[:, None, None, :]
        inner = np.arange(np.shape(w)[1] * np.shape(w)[2]).reshape(np.shape(w)[1:])
        by_w = scatter_add(outer, chosen[..., None, None] * inner.size + inner, np.shape(w))
        return by_x, by_r, by_w, None

    def example(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        x, r = rng.standard_normal((5, 3)), rng.standard_normal((4, 3))
        chosen = np.argsort(-(x @ r.T), axis=-1)[:, : self.top]
        return {"x": x, "r": r, "w": rng.standard_normal((4, 2, 3)), "chosen": chosen}

    def torch(self, x, r, w, chosen, *, torch):
        p = torch.softmax(torch.gather(x @ r.T, 1, chosen), -1)
        y = torch.zeros(x.shape[0], w.shape[1], dtype=x.dtype)
        for expert in range(w.shape[0]):
            token, place = torch.nonzero(chosen == expert, as_tuple=True)
            part = torch.nn.functional.linear(x[token], w[expert]) * p[token, place][:, None]
            y = y.index_add(0, token, part)
        return y

    def jax(self, x, r, w, chosen, *, jax):
        p = jax.nn.softmax(jax.numpy.take_along_axis(x @ r.T, chosen, axis=-1), axis=-1)
        return jax.numpy.einsum("ek,ekoi,ei->eo", p, w[chosen], x)
