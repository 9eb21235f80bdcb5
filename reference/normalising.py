"""The activations along the last axis that bring each example to a standard size."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradagree.reference.contract import Activation
from gradagree.reference.vectors import along


def mean(x: Any) -> Any:
    """The mean over the last axis, which is kept."""
    return np.mean(x, axis=-1, keepdims=True)


class LayerNorm(Activation):
    """A_i(p) = (p_i - m) / sqrt(v + eps), with the mean m and the variance v = mean((p - m)^2) of p."""

    eps: float = 2.0**-16

    def _scaled(self, p: Any) -> tuple[Any, Any]:
        d = p - mean(p)
        r = 1 / np.sqrt(mean(d**2) + self.eps)
        return d * r, r

    def value(self, p: Any) -> Any:
        return self._scaled(p)[0]

    def pull(self, p: Any, delta_a: Any) -> Any:
        # delta_p_i = (delta_a_i - mean(delta_a) - A_i mean(A delta_a)) / sqrt(v + eps)
        a, r = self._scaled(p)
        return r * (delta_a - mean(delta_a) - a * mean(a * delta_a))

    def torch(self, p, torch):
        return torch.nn.functional.layer_norm(p, p.shape[-1:], eps=self.eps)

    def jax(self, p, jax):
        wide = p.astype(jax.numpy.promote_types(p.dtype, "float32"))
        d = wide - jax.numpy.mean(wide, axis=-1, keepdims=True)
        return (d / jax.numpy.sqrt(jax.numpy.mean(d**2, axis=-1, keepdims=True) + self.eps)).astype(p.dtype)


class Standardize(LayerNorm):
    """A_i(p) = (p_i - m) / sqrt(mean(p^2) - m^2 + eps): layer_norm as jax has it, which loses digits to a large m."""

    def _scaled(self, p: Any) -> tuple[Any, Any]:
        m = mean(p)
        r = 1 / np.sqrt(mean(p**2) - m**2 + self.eps)
        return (p - m) * r, r

    def torch(self, p, torch):
        wide = p.to(torch.promote_types(p.dtype, torch.float32))
        m = torch.mean(wide, dim=-1, keepdim=True)
        return ((wide - m) / torch.sqrt(torch.mean(wide**2, dim=-1, keepdim=True) - m**2 + self.eps)).to(p.dtype)

    def jax(self, p, jax):
        return jax.nn.standardize(p, axis=-1, epsilon=self.eps)


class RmsNorm(Activation):
    """A_i(p) = p_i / sqrt(mean(p^2) + eps)."""

    eps: float = 2.0**-16

    def _scaled(self, p: Any) -> tuple[Any, Any]:
        r = 1 / np.sqrt(mean(p**2) + self.eps)
        return p * r, r

    def value(self, p: Any) -> Any:
        return self._scaled(p)[0]

    def pull(self, p: Any, delta_a: Any) -> Any:
        # delta_p_i = (delta_a_i - A_i mean(A delta_a)) / sqrt(mean(p^2) + eps)
        a, r = self._scaled(p)
        return r * (delta_a - a * mean(a * delta_a))

    def torch(self, p, torch):
        return torch.nn.functional.rms_norm(p, p.shape[-1:], eps=self.eps)

    def jax(self, p, jax):
        wide = p.astype(jax.numpy.promote_types(p.dtype, "float32"))
        squares = jax.numpy.mean(wide**2, axis=-1, keepdims=True)
        return (wide / jax.numpy.sqrt(squares + self.eps)).astype(p.dtype)


class Normalize(Activation):
    """A_i(p) = p_i / max(|p|, eps), where |p| = sqrt(sum_j p_j^2)."""

    eps: float = 2.0**-40

    def _norm(self, p: Any) -> tuple[Any, Any]:
        squares = along(p**2)
        large = squares > self.eps**2
        return np.where(large, np.sqrt(np.where(large, squares, 1.0)), self.eps), np.where(large, 1.0, 0.0)

    def value(self, p: Any) -> Any:
        return p / self._norm(p)[0]

    def pull(self, p: Any, delta_a: Any) -> Any:
        # delta_p_i = (delta_a_i - A_i sum_j A_j delta_a_j) / |p|, and delta_a_i / eps where |p| <= eps
        norm, large = self._norm(p)
        a = p / norm
        return (delta_a - large * a * along(a * delta_a)) / norm

    def torch(self, p, torch):
        return torch.nn.functional.normalize(p, dim=-1, eps=self.eps)

    def jax(self, p, jax):
        wide = p.astype(jax.numpy.promote_types(p.dtype, "float32"))
        squares = jax.numpy.sum(wide**2, axis=-1, keepdims=True)
        return (wide / jax.numpy.sqrt(jax.numpy.maximum(squares, self.eps**2))).astype(p.dtype)
