"""Activations along the last axis: the softmax family, gated linear units and normalisations."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit

from gradagree.reference.contract import Activation


def softmax(p: Any) -> Any:
    """exp(p_i) / sum_j exp(p_j), from the distances to the largest."""
    z = np.exp(p - np.max(p, axis=-1, keepdims=True))
    return z / np.sum(z, axis=-1, keepdims=True)


def log_sum_exp(p: Any) -> Any:
    """log sum_j exp(p_j), the last axis kept."""
    top = np.max(p, axis=-1, keepdims=True)
    return top + np.log(np.sum(np.exp(p - top), axis=-1, keepdims=True))


def along(x: Any) -> Any:
    """The sum over the last axis, which is kept."""
    return np.sum(x, axis=-1, keepdims=True)


def unit(d: Any, length: Any) -> Any:
    """d / |d|, and 0 where the length is 0: there the length has a kink."""
    zero = length == 0
    return np.where(zero, 0.0, d / np.where(zero, 1.0, length))


def softmax_vjp(a: Any, delta_a: Any) -> Any:
    """a_i (delta_a_i - sum_j a_j delta_a_j)."""
    return a * (delta_a - along(a * delta_a))


class Softmax(Activation):
    """A_i(p) = exp(p_i) / sum_j exp(p_j)."""

    range = "simplex"

    def value(self, p: Any) -> Any:
        return softmax(p)

    def vjp(self, p: Any, delta_a: Any) -> Any:
        # delta_p_i = A_i (delta_a_i - sum_j A_j delta_a_j)
        return softmax_vjp(softmax(p), delta_a)

    def _vjp_of_stored(self, p: Any, a: Any, delta_a: Any) -> Any:
        return softmax_vjp(a, delta_a)

    def torch(self, p, torch):
        return torch.nn.functional.softmax(p, dim=-1)

    def jax(self, p, jax):
        return jax.nn.softmax(p, axis=-1)


class Softmin(Activation):
    """A_i(p) = exp(-p_i) / sum_j exp(-p_j)."""

    range = "simplex"

    def value(self, p: Any) -> Any:
        return softmax(-p)

    def vjp(self, p: Any, delta_a: Any) -> Any:
        # delta_p_i = -A_i (delta_a_i - sum_j A_j delta_a_j)
        return -softmax_vjp(softmax(-p), delta_a)

    def _vjp_of_stored(self, p: Any, a: Any, delta_a: Any) -> Any:
        return -softmax_vjp(a, delta_a)

    def torch(self, p, torch):
        return torch.nn.functional.softmin(p, dim=-1)

    def jax(self, p, jax):
        return jax.nn.softmax(-p, axis=-1)


class GumbelSoftmax(Activation):
    """A(p) = softmax((p + noise) / tau), with an optional fixed noise for each entry."""

    tau: float = 1.0
    noise: tuple[float, ...] = ()
    range = "simplex"

    def _softmax(self, p: Any) -> Any:
        return softmax((p + np.asarray(self.noise) if self.noise else p) / self.tau)

    def value(self, p: Any) -> Any:
        return self._softmax(p)

    def vjp(self, p: Any, delta_a: Any) -> Any:
        # delta_p_i = A_i (delta_a_i - sum_j A_j delta_a_j) / tau
        return softmax_vjp(self._softmax(p), delta_a) / self.tau

    def _vjp_of_stored(self, p: Any, a: Any, delta_a: Any) -> Any:
        return softmax_vjp(a, delta_a) / self.tau

    def torch(self, p, torch):
        noise = torch.tensor(self.noise, dtype=p.dtype) if self.noise else 0.0
        return torch.nn.functional.softmax((p + noise) / self.tau, dim=-1)

    def jax(self, p, jax):
        noise = jax.numpy.asarray(self.noise, p.dtype) if self.noise else 0.0
        return jax.nn.softmax((p + noise) / self.tau, axis=-1)


class LogSoftmax(Activation):
    """A_i(p) = p_i - log sum_j exp(p_j)."""

    range = "log_simplex"

    def value(self, p: Any) -> Any:
        z = p - np.max(p, axis=-1, keepdims=True)
        return z - np.log(along(np.exp(z)))

    def vjp(self, p: Any, delta_a: Any) -> Any:
        # delta_p_i = delta_a_i - softmax_i(p) sum_j delta_a_j
        return delta_a - softmax(p) * along(delta_a)

    def _vjp_of_stored(self, p: Any, a: Any, delta_a: Any) -> Any:
        # softmax_i(p) = exp(A_i)
        return delta_a - np.exp(a) * along(delta_a)

    def torch(self, p, torch):
        return torch.nn.functional.log_softmax(p, dim=-1)

    def jax(self, p, jax):
        return jax.nn.log_softmax(p, axis=-1)


class Logsumexp(Activation):
    """A(p) = log sum_j exp(p_j): one number."""

    def width(self, n: int) -> int:
        return 1

    def value(self, p: Any) -> Any:
        return log_sum_exp(p)

    def vjp(self, p: Any, delta_a: Any) -> Any:
        # delta_p_i = softmax_i(p) delta_a
        return softmax(p) * delta_a

    def _vjp_of_stored(self, p: Any, a: Any, delta_a: Any) -> Any:
        # softmax_i(p) = exp(p_i - log sum_j exp(p_j))
        return np.exp(p - a) * delta_a

    def _by_value(self, p: Any, delta_a: Any) -> Any:
        return Logsumexp._vjp_of_stored(self, p, log_sum_exp(p), delta_a)

    def torch(self, p, torch):
        return torch.logsumexp(p, dim=-1, keepdim=True)

    def jax(self, p, jax):
        return jax.nn.logsumexp(p, axis=-1, keepdims=True)


class Logmeanexp(Activation):
    """A(p) = log(1/n sum_j exp(p_j)): one number."""

    def width(self, n: int) -> int:
        return 1

    def value(self, p: Any) -> Any:
        return log_sum_exp(p) - np.log(float(p.shape[-1]))

    def vjp(self, p: Any, delta_a: Any) -> Any:
        # delta_p_i = softmax_i(p) delta_a
        return softmax(p) * delta_a

    _by_value = Logsumexp._by_value

    def torch(self, p, torch):
        return torch.logsumexp(p, dim=-1, keepdim=True) - float(np.log(p.shape[-1]))

    def jax(self, p, jax):
        return jax.nn.logmeanexp(p, axis=-1, keepdims=True)


class Glu(Activation):
    """A(p) = p' s(p''), where p' is the first half of p, p'' the second, and s the logistic function."""

    def width(self, n: int) -> int | None:
        return n // 2 if n % 2 == 0 else None

    def value(self, p: Any) -> Any:
        half = p.shape[-1] // 2
        return p[..., :half] * expit(p[..., half:])

    def vjp(self, p: Any, delta_a: Any) -> Any:
        # delta_p' = s(p'') delta_a        delta_p'' = p' s(p'') (1 - s(p'')) delta_a
        half = p.shape[-1] // 2
        s = expit(p[..., half:])
        return np.concatenate([s * delta_a, p[..., :half] * (s * (1 - s)) * delta_a], axis=-1)

    def torch(self, p, torch):
        return torch.nn.functional.glu(p, dim=-1)

    def jax(self, p, jax):
        return jax.nn.glu(p, axis=-1)


def mean(x: Any) -> Any:
    """The mean over the last axis, which is kept."""
    return np.mean(x, axis=-1, keepdims=True)


class _Scaled(Activation):
    """A(p) = d r, with d made of p, and r, one number for each example, the reciprocal of the length of d."""

    eps: float = 2.0**-16

    def _scale(self, p: Any) -> tuple[Any, Any]:
        """A(p) and r."""
        raise NotImplementedError

    def value(self, p: Any) -> Any:
        return self._scale(p)[0]


class LayerNorm(_Scaled):
    """A_i(p) = (p_i - m) / sqrt(v + eps), with the mean m and the variance v = mean((p - m)^2) of p."""

    def _scale(self, p: Any) -> tuple[Any, Any]:
        d = p - mean(p)
        r = 1 / np.sqrt(mean(d**2) + self.eps)
        return d * r, r

    def vjp(self, p: Any, delta_a: Any) -> Any:
        # delta_p_i = (delta_a_i - mean(delta_a) - A_i mean(A delta_a)) / sqrt(v + eps)
        a, r = self._scale(p)
        return r * (delta_a - mean(delta_a) - a * mean(a * delta_a))

    def torch(self, p, torch):
        return torch.nn.functional.layer_norm(p, p.shape[-1:], eps=self.eps)

    def jax(self, p, jax):
        wide = p.astype(jax.numpy.promote_types(p.dtype, "float32"))
        d = wide - jax.numpy.mean(wide, axis=-1, keepdims=True)
        return (d / jax.numpy.sqrt(jax.numpy.mean(d**2, axis=-1, keepdims=True) + self.eps)).astype(p.dtype)


class Standardize(LayerNorm):
    """A_i(p) = (p_i - m) / sqrt(mean(p^2) - m^2 + eps): layer_norm as jax has it, which loses digits to a large m."""

    def _scale(self, p: Any) -> tuple[Any, Any]:
        m = mean(p)
        r = 1 / np.sqrt(mean(p**2) - m**2 + self.eps)
        return (p - m) * r, r

    def torch(self, p, torch):
        wide = p.to(torch.promote_types(p.dtype, torch.float32))
        m = torch.mean(wide, dim=-1, keepdim=True)
        return ((wide - m) / torch.sqrt(torch.mean(wide**2, dim=-1, keepdim=True) - m**2 + self.eps)).to(p.dtype)

    def jax(self, p, jax):
        return jax.nn.standardize(p, axis=-1, epsilon=self.eps)


class RmsNorm(_Scaled):
    """A_i(p) = p_i / sqrt(mean(p^2) + eps)."""

    def _scale(self, p: Any) -> tuple[Any, Any]:
        r = 1 / np.sqrt(mean(p**2) + self.eps)
        return p * r, r

    def vjp(self, p: Any, delta_a: Any) -> Any:
        # delta_p_i = (delta_a_i - A_i mean(A delta_a)) / sqrt(mean(p^2) + eps)
        a, r = self._scale(p)
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

    def vjp(self, p: Any, delta_a: Any) -> Any:
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
