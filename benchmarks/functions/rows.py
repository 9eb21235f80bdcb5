"""Activations along the last axis: gated units, softmax variants and normalizations, as model libraries write them."""

import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch.nn.functional as F
from scipy.special import erf, expit

from gradagree import Activation

ROOT_2, ROOT_2_PI = float(np.sqrt(2.0)), float(np.sqrt(2.0 * np.pi))


def total(x):
    return np.sum(x, axis=-1, keepdims=True)


def average(x):
    return np.mean(x, axis=-1, keepdims=True)


def half(n):
    return n // 2 if n % 2 == 0 else None


class Bilinear(Activation):
    """A(p) = p' p'', of the halves of p."""

    def width(self, n):
        return half(n)

    def value(self, p):
        n = p.shape[-1] // 2
        return p[..., :n] * p[..., n:]

    def vjp(self, p, delta_a):
        n = p.shape[-1] // 2
        return np.concatenate([delta_a * p[..., n:], delta_a * p[..., :n]], axis=-1)

    def torch(self, p, torch):
        a, b = p.chunk(2, dim=-1)
        return a * b

    def jax(self, p, jax):
        a, b = jnp.split(p, 2, axis=-1)
        return a * b


class Reglu(Activation):
    """A(p) = p' max(p'', 0), of the halves of p."""

    def width(self, n):
        return half(n)

    def value(self, p):
        n = p.shape[-1] // 2
        return p[..., :n] * np.maximum(p[..., n:], 0)

    def vjp(self, p, delta_a):
        n = p.shape[-1] // 2
        a, b = p[..., :n], p[..., n:]
        return np.concatenate([delta_a * np.maximum(b, 0), delta_a * a * np.where(b > 0, 1.0, 0.0)], axis=-1)

    def torch(self, p, torch):
        a, b = p.chunk(2, dim=-1)
        return a * F.relu(b)

    def jax(self, p, jax):
        a, b = jnp.split(p, 2, axis=-1)
        return a * jax.nn.relu(b)


class Geglu(Activation):
    """A(p) = p' gelu(p''), of the halves of p."""

    def width(self, n):
        return half(n)

    def value(self, p):
        n = p.shape[-1] // 2
        b = p[..., n:]
        return p[..., :n] * (0.5 * b * (1 + erf(b / ROOT_2)))

    def vjp(self, p, delta_a):
        n = p.shape[-1] // 2
        a, b = p[..., :n], p[..., n:]
        cdf = 0.5 * (1 + erf(b / ROOT_2))
        slope = cdf + b * np.exp(-0.5 * b**2) / ROOT_2_PI
        return np.concatenate([delta_a * b * cdf, delta_a * a * slope], axis=-1)

    def torch(self, p, torch):
        a, b = p.chunk(2, dim=-1)
        return a * F.gelu(b)

    def jax(self, p, jax):
        a, b = jnp.split(p, 2, axis=-1)
        return a * jax.nn.gelu(b, approximate=False)


class Swiglu(Activation):
    """A(p) = silu(p') p'', of the halves of p, as in LLaMA."""

    def width(self, n):
        return half(n)

    def value(self, p):
        n = p.shape[-1] // 2
        a, b = p[..., :n], p[..., n:]
        return a * expit(a) * b

    def vjp(self, p, delta_a):
        n = p.shape[-1] // 2
        a, b = p[..., :n], p[..., n:]
        s = expit(a)
        return np.concatenate([delta_a * b * (s + a * s * (1 - s)), delta_a * a * s], axis=-1)

    def torch(self, p, torch):
        a, b = p.chunk(2, dim=-1)
        return F.silu(a) * b

    def jax(self, p, jax):
        a, b = jnp.split(p, 2, axis=-1)
        return jax.nn.silu(a) * b


class SwigluFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        return a * torch.sigmoid(a) * b

    @staticmethod
    def backward(ctx, g):
        a, b = ctx.saved_tensors
        s = torch.sigmoid(a)
        return g * b * s * (1 + a * (1 - s)), g * a * s


class FusedSwiglu(Swiglu):
    """A(p) = silu(p') p'', of the halves of p, by an old-style function of two operands."""

    def torch(self, p, torch):
        return SwigluFunction.apply(*p.chunk(2, dim=-1))

    def jax(self, p, jax):
        n = p.shape[-1] // 2
        return fused_swiglu(p[..., :n], p[..., n:])


@jax.custom_vjp
def fused_swiglu(a, b):
    return a * jax.nn.sigmoid(a) * b


def _swiglu_bwd(saved, g):
    a, b = saved
    s = jax.nn.sigmoid(a)
    return g * b * s * (1 + a * (1 - s)), g * a * s


fused_swiglu.defvjp(lambda a, b: (fused_swiglu(a, b), (a, b)), _swiglu_bwd)


class Crelu(Activation):
    """A(p) = (max(p, 0), max(-p, 0)): twice the width."""

    def width(self, n):
        return 2 * n

    def value(self, p):
        return np.concatenate([np.maximum(p, 0), np.maximum(-p, 0)], axis=-1)

    def vjp(self, p, delta_a):
        n = p.shape[-1]
        return np.where(p > 0, delta_a[..., :n], 0.0) - np.where(p < 0, delta_a[..., n:], 0.0)

    def torch(self, p, torch):
        return torch.cat([F.relu(p), F.relu(-p)], dim=-1)

    def jax(self, p, jax):
        return jax.nn.relu(jnp.concatenate([p, -p], axis=-1))


class QuietSoftmax(Activation):
    """A_i(p) = exp(p_i) / (1 + sum_j exp(p_j))."""

    def value(self, p):
        m = np.maximum(np.max(p, axis=-1, keepdims=True), 0)
        e = np.exp(p - m)
        return e / (np.exp(-m) + total(e))

    def vjp(self, p, delta_a):
        a = self.value(p)
        return a * (delta_a - total(a * delta_a))

    def torch(self, p, torch):
        zeros = p.new_zeros(*p.shape[:-1], 1)
        return torch.softmax(torch.cat([p, zeros], dim=-1), dim=-1)[..., :-1]

    def jax(self, p, jax):
        m = jax.lax.stop_gradient(jnp.maximum(p.max(-1, keepdims=True), 0))
        e = jnp.exp(p - m)
        return e / (jnp.exp(-m) + e.sum(-1, keepdims=True))


class NaiveSoftmax(Activation):
    """A_i(p) = exp(p_i) / sum_j exp(p_j), without a shift."""

    def value(self, p):
        return np.exp(p) / total(np.exp(p))

    def vjp(self, p, delta_a):
        a = np.exp(p) / total(np.exp(p))
        return a * (delta_a - total(a * delta_a))

    def torch(self, p, torch):
        return torch.exp(p) / torch.exp(p).sum(-1, keepdim=True)

    def jax(self, p, jax):
        return jnp.exp(p) / jnp.exp(p).sum(-1, keepdims=True)


class TemperatureSoftmax(Activation):
    """A(p) = softmax(p / T)."""

    t: float = 0.7

    def value(self, p):
        z = p / self.t
        e = np.exp(z - np.max(z, axis=-1, keepdims=True))
        return e / total(e)

    def vjp(self, p, delta_a):
        a = self.value(p)
        return a * (delta_a - total(a * delta_a)) / self.t

    def torch(self, p, torch):
        return F.softmax(p / self.t, dim=-1)

    def jax(self, p, jax):
        return jnp.exp(p / self.t - jax.scipy.special.logsumexp(p / self.t, axis=-1, keepdims=True))


class SoftmaxFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        y = torch.softmax(x, -1)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, g):
        (y,) = ctx.saved_tensors
        return y * (g - (g * y).sum(-1, keepdim=True))


class OldStyleSoftmax(Activation):
    """A(p) = softmax(p), by an old-style function and a custom_jvp."""

    def value(self, p):
        e = np.exp(p - np.max(p, axis=-1, keepdims=True))
        return e / total(e)

    def vjp(self, p, delta_a):
        a = self.value(p)
        return a * delta_a - a * total(a * delta_a)

    def torch(self, p, torch):
        return SoftmaxFunction.apply(p)

    def jax(self, p, jax):
        return softmax_of_jvp(p)


@jax.custom_jvp
def softmax_of_jvp(x):
    e = jnp.exp(x - jnp.max(x, axis=-1, keepdims=True))
    return e / jnp.sum(e, axis=-1, keepdims=True)


@softmax_of_jvp.defjvp
def _softmax_jvp(primals, tangents):
    y = softmax_of_jvp(primals[0])
    return y, y * (tangents[0] - jnp.sum(y * tangents[0], axis=-1, keepdims=True))


class LogSoftmaxByHand(Activation):
    """A_i(p) = p_i - log sum_j exp(p_j), by the log of a sum of shifted exponentials."""

    def value(self, p):
        return p - np.logaddexp.reduce(p, axis=-1, keepdims=True)

    def vjp(self, p, delta_a):
        return delta_a - np.exp(self.value(p)) * total(delta_a)

    def torch(self, p, torch):
        z = p - p.max(dim=-1, keepdim=True)[0]
        return z - z.exp().sum(-1, keepdim=True).log()

    def jax(self, p, jax):
        z = p - jax.lax.stop_gradient(jnp.max(p, axis=-1, keepdims=True))
        return z - jnp.log(jnp.sum(jnp.exp(z), axis=-1, keepdims=True))


class T5Norm(Activation):
    """A_i(p) = p_i / sqrt(mean(p^2) + eps)."""

    eps: float = 1e-6

    def value(self, p):
        return p / np.sqrt(average(p**2) + self.eps)

    def vjp(self, p, delta_a):
        r = 1 / np.sqrt(average(p**2) + self.eps)
        return r * delta_a - r**3 * p * average(p * delta_a)

    def torch(self, p, torch):
        variance = p.to(torch.promote_types(p.dtype, torch.float32)).pow(2).mean(-1, keepdim=True)
        return (p * torch.rsqrt(variance + self.eps)).to(p.dtype)

    def jax(self, p, jax):
        wide = p.astype(jnp.promote_types(p.dtype, jnp.float32))
        variance = jnp.square(wide).mean(-1, keepdims=True)
        return (wide * jax.lax.rsqrt(variance + self.eps)).astype(p.dtype)


class UnitNorm(Activation):
    """A(p) = p / sqrt(sum p^2 + eps)."""

    eps: float = 1e-5

    def value(self, p):
        return p / np.sqrt(total(p**2) + self.eps)

    def vjp(self, p, delta_a):
        r = 1 / np.sqrt(total(p**2) + self.eps)
        return r * (delta_a - r**2 * p * total(p * delta_a))

    def torch(self, p, torch):
        return p / torch.sqrt((p * p).sum(dim=-1, keepdim=True) + self.eps)

    def jax(self, p, jax):
        return p / jnp.sqrt(jnp.sum(p * p, axis=-1, keepdims=True) + self.eps)


class Squash(Activation):
    """A(p) = p |p|^2 / (1 + |p|^2) / sqrt(|p|^2 + eps), as in capsule networks."""

    eps: float = 1e-7

    def value(self, p):
        q = total(p**2)
        return p * (q / (1 + q) / np.sqrt(q + self.eps))

    def vjp(self, p, delta_a):
        q = total(p**2)
        f = q / (1 + q) / np.sqrt(q + self.eps)
        slope = 1 / (1 + q) ** 2 / np.sqrt(q + self.eps) - 0.5 * q / (1 + q) / (q + self.eps) ** 1.5
        return f * delta_a + 2 * slope * p * total(p * delta_a)

    def torch(self, p, torch):
        squared = torch.sum(p**2, dim=-1, keepdim=True)
        return (squared / (1.0 + squared)) * (p / torch.sqrt(squared + self.eps))

    def jax(self, p, jax):
        squared = jnp.sum(jnp.square(p), axis=-1, keepdims=True)
        return squared / (1 + squared) / jnp.sqrt(squared + self.eps) * p


class CenteredRows(Activation):
    """A_i(p) = p_i - mean(p)."""

    def value(self, p):
        return p - average(p)

    def vjp(self, p, delta_a):
        return delta_a - average(delta_a)

    def torch(self, p, torch):
        return p - p.mean(dim=-1, keepdim=True)

    def jax(self, p, jax):
        return p - jnp.mean(p, axis=-1, keepdims=True)


class SoftmaxPool(Activation):
    """A(p) = sum_i softmax_i(p) p_i: one number."""

    def width(self, n):
        return 1

    def value(self, p):
        e = np.exp(p - np.max(p, axis=-1, keepdims=True))
        return total(e / total(e) * p)

    def vjp(self, p, delta_a):
        e = np.exp(p - np.max(p, axis=-1, keepdims=True))
        s = e / total(e)
        return delta_a * s * (1 + p - total(s * p))

    def torch(self, p, torch):
        return (F.softmax(p, dim=-1) * p).sum(-1, keepdim=True)

    def jax(self, p, jax):
        return jnp.sum(jax.nn.softmax(p, axis=-1) * p, axis=-1, keepdims=True)


class GeneralizedMean(Activation):
    """A(p) = mean(exp(b p))^(1/b) in logarithms: log(mean(exp(b p))) / b, one number."""

    b: float = 3.0

    def width(self, n):
        return 1

    def value(self, p):
        return (np.logaddexp.reduce(self.b * p, axis=-1, keepdims=True) - np.log(p.shape[-1])) / self.b

    def vjp(self, p, delta_a):
        z = self.b * p
        return delta_a * np.exp(z - np.logaddexp.reduce(z, axis=-1, keepdims=True))

    def torch(self, p, torch):
        return (torch.logsumexp(self.b * p, dim=-1, keepdim=True) - float(np.log(p.shape[-1]))) / self.b

    def jax(self, p, jax):
        return jax.nn.logsumexp(self.b * p, axis=-1, keepdims=True, b=1 / p.shape[-1]) / self.b
