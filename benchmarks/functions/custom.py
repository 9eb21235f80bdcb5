"""Activations with hand-written derivatives: torch.autograd.Function, old and new style, custom_vjp and custom_jvp."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch.nn.functional as F
from scipy.special import erf, expit

from gradagree import Activation

ROOT_2_PI = float(np.sqrt(2.0 * np.pi))


def swish_forward(x):
    return x.mul(torch.sigmoid(x))


def swish_backward(x, grad_output):
    x_sigmoid = torch.sigmoid(x)
    return grad_output * (x_sigmoid * (1 + x * (1 - x_sigmoid)))


class SwishFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return swish_forward(x)

    @staticmethod
    def backward(ctx, grad_output):
        (x,) = ctx.saved_tensors
        return swish_backward(x, grad_output)


class OldStyleSwish(Activation):
    """A(p) = p s(p): a memory-efficient old-style function, and a custom_vjp."""

    def value(self, p):
        return p * expit(p)

    def derivative(self, p):
        s = expit(p)
        return s * (1 + p * (1 - s))

    def torch(self, p, torch):
        return SwishFunction.apply(p)

    def jax(self, p, jax):
        return swish_of_vjp(p)


@jax.custom_vjp
def swish_of_vjp(x):
    return x * jax.nn.sigmoid(x)


def _swish_fwd(x):
    s = jax.nn.sigmoid(x)
    return x * s, (x, s)


def _swish_bwd(saved, g):
    x, s = saved
    return (g * (s + x * s * (1 - s)),)


swish_of_vjp.defvjp(_swish_fwd, _swish_bwd)


class MishFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.mul(torch.tanh(F.softplus(x)))

    @staticmethod
    def backward(ctx, grad_output):
        x = ctx.saved_tensors[0]
        x_sigmoid = torch.sigmoid(x)
        x_tanh_sp = F.softplus(x).tanh()
        return grad_output.mul(x_tanh_sp + x * x_sigmoid * (1 - x_tanh_sp * x_tanh_sp))


class OldStyleMish(Activation):
    """A(p) = p tanh(softplus(p)): an old-style function, and a custom_jvp."""

    def value(self, p):
        return p * np.tanh(np.log1p(np.exp(p)))

    def derivative(self, p):
        t = np.tanh(np.logaddexp(p, 0))
        return t + p * expit(p) * (1 - t * t)

    def torch(self, p, torch):
        return MishFunction.apply(p)

    def jax(self, p, jax):
        return mish_of_jvp(p)


@jax.custom_jvp
def mish_of_jvp(x):
    return x * jnp.tanh(jax.nn.softplus(x))


@mish_of_jvp.defjvp
def _mish_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    t = jnp.tanh(jax.nn.softplus(x))
    return x * t, (t + x * jax.nn.sigmoid(x) * (1 - t**2)) * dx


class HardSwishFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * (x + 3).clamp(min=0, max=6).div(6.0)

    @staticmethod
    def backward(ctx, grad_output):
        x = ctx.saved_tensors[0]
        m = torch.ones_like(x) * (x >= 3.0)
        m = torch.where((x >= -3.0) & (x <= 3.0), x / 3.0 + 0.5, m)
        return grad_output * m


class OldStyleHardSwish(Activation):
    """A(p) = p clip(p + 3, 0, 6) / 6: an old-style function."""

    kinks = (-3.0, 3.0)

    def value(self, p):
        return p * np.clip(p + 3, 0, 6) / 6

    def derivative(self, p):
        return np.where(p <= -3, 0.0, np.where(p >= 3, 1.0, p / 3 + 0.5))

    def torch(self, p, torch):
        return HardSwishFunction.apply(p)


class TanhFunction(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return torch.tanh(x)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(output)
        ctx.save_for_forward(output)

    @staticmethod
    def backward(ctx, g):
        (y,) = ctx.saved_tensors
        return g * (1 - y * y)

    @staticmethod
    def jvp(ctx, tangent):
        (y,) = ctx.saved_tensors
        return tangent * (1 - y**2)


class NewStyleTanh(Activation):
    """A(p) = tanh p: a new-style function that saves its output, with jvp and a vmap rule."""

    def value(self, p):
        return np.tanh(p)

    def derivative(self, p):
        return 1 - np.tanh(p) ** 2

    def torch(self, p, torch):
        return TanhFunction.apply(p)


class ExpFunction(torch.autograd.Function):
    @staticmethod
    def forward(x):
        return torch.exp(x)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx, g):
        return g * ctx.saved_tensors[0]

    @staticmethod
    def vmap(info, in_dims, x):
        return ExpFunction.apply(x), in_dims[0]


class NewStyleExp(Activation):
    """A(p) = exp(-softplus(p)): a new-style exp without jvp, with its own vmap."""

    def value(self, p):
        return expit(-p)

    def derivative(self, p):
        return -expit(p) * expit(-p)

    def torch(self, p, torch):
        return ExpFunction.apply(-F.softplus(p))


class GeluFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * 0.5 * (1.0 + torch.erf(x / 1.4142135623730951))

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        cdf = 0.5 * (1.0 + torch.erf(x / 1.4142135623730951))
        return g * (cdf + x * torch.exp(-0.5 * x * x) / 2.5066282746310002)


class OldStyleGelu(Activation):
    """A(p) = p/2 (1 + erf(p / sqrt 2)): an old-style function, and a custom_vjp."""

    def value(self, p):
        return p * 0.5 * (1 + erf(p / np.sqrt(2)))

    def derivative(self, p):
        return 0.5 * (1 + erf(p / np.sqrt(2))) + p * np.exp(-(p**2) / 2) / ROOT_2_PI

    def torch(self, p, torch):
        return GeluFunction.apply(p)

    def jax(self, p, jax):
        return gelu_of_vjp(p)


@jax.custom_vjp
def gelu_of_vjp(x):
    return 0.5 * x * (1 + jax.lax.erf(x / np.sqrt(2).astype(x.dtype)))


def _gelu_fwd(x):
    return gelu_of_vjp(x), x


def _gelu_bwd(x, g):
    cdf = 0.5 * (1 + jax.lax.erf(x / np.sqrt(2).astype(x.dtype)))
    return (g * (cdf + x * jnp.exp(-0.5 * jnp.square(x)) * (1 / ROOT_2_PI)),)


gelu_of_vjp.defvjp(_gelu_fwd, _gelu_bwd)


class LeakyFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, slope):
        ctx.slope = slope
        ctx.positive = x > 0
        return torch.where(ctx.positive, x, slope * x)

    @staticmethod
    def backward(ctx, g):
        return torch.where(ctx.positive, g, ctx.slope * g), None


class OldStyleLeaky(Activation):
    """A(p) = p above 0, else slope p: an old-style function with a mask in its context."""

    slope: float = 0.2
    kinks = (0.0,)

    def value(self, p):
        return np.where(p > 0, p, self.slope * p)

    def derivative(self, p):
        return np.where(p > 0, 1.0, self.slope)

    def torch(self, p, torch):
        return LeakyFunction.apply(p, self.slope)

    def jax(self, p, jax):
        return leaky_of_vjp(self.slope, p)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def leaky_of_vjp(slope, x):
    return jnp.where(x > 0, x, slope * x)


leaky_of_vjp.defvjp(
    lambda slope, x: (leaky_of_vjp(slope, x), x > 0), lambda slope, on, g: (g * jnp.where(on, 1, slope),)
)


class InPlaceFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.mark_dirty(x)
        x.clamp_(min=0)
        ctx.save_for_backward(x)
        return x

    @staticmethod
    def backward(ctx, g):
        (y,) = ctx.saved_tensors
        return g * (y > 0)


class DirtyRelu(Activation):
    """A(p) = max(p, 0): a function that marks its input as dirty."""

    kinks = (0.0,)

    def value(self, p):
        return np.maximum(p, 0)

    def derivative(self, p):
        return (p > 0).astype(float)

    def torch(self, p, torch):
        return InPlaceFunction.apply(p)


class CheckpointedSilu(Activation):
    """A(p) = p s(p), recomputed in the backward pass."""

    def value(self, p):
        return p * expit(p)

    def derivative(self, p):
        s = expit(p)
        return s + p * s * (1 - s)

    def torch(self, p, torch):
        from torch.utils.checkpoint import checkpoint

        return checkpoint(F.silu, p, use_reentrant=False)

    def jax(self, p, jax):
        return jax.checkpoint(jax.nn.silu)(p)


@torch.jit.script
def scripted_mish(x):
    return x.mul(torch.tanh(torch.nn.functional.softplus(x)))


class ScriptedMish(Activation):
    """A(p) = p tanh(softplus(p)), by torch.jit.script and jax.jit."""

    def value(self, p):
        return p * np.tanh(np.logaddexp(0, p))

    def derivative(self, p):
        t = np.tanh(np.logaddexp(0, p))
        return t + p * expit(p) * (1 - t**2)

    def torch(self, p, torch):
        return scripted_mish(p)

    def jax(self, p, jax):
        return jax.jit(jax.nn.mish)(p)


@jax.custom_jvp
def safe_sqrt_of_square(x):
    return jnp.sqrt(x * x + 1e-6)


safe_sqrt_of_square.defjvps(lambda t, y, x: t * x / y)


class SmoothAbs(Activation):
    """A(p) = sqrt(p^2 + 1e-6), by custom_jvp."""

    def value(self, p):
        return np.sqrt(p * p + 1e-6)

    def derivative(self, p):
        return p / np.sqrt(p * p + 1e-6)

    def torch(self, p, torch):
        return torch.sqrt(p * p + 1e-6)

    def jax(self, p, jax):
        return safe_sqrt_of_square(p)


class Module(torch.nn.Module):
    def __init__(self, beta=1.25):
        super().__init__()
        self.register_buffer("beta", torch.tensor(beta, dtype=torch.float64))
        self.gate = torch.nn.Sigmoid()

    def forward(self, x):
        return x * self.gate(self.beta.to(x.dtype) * x)


MODULE = Module()


class ModuleSwish(Activation):
    """A(p) = p s(1.25 p): a module with a buffer."""

    def value(self, p):
        return p * expit(1.25 * p)

    def derivative(self, p):
        s = expit(1.25 * p)
        return s + 1.25 * p * s * (1 - s)

    def torch(self, p, torch):
        return MODULE(p)


class SequentialModule(Activation):
    """A(p) = softsign(softplus(p)): torch.nn.Sequential."""

    def value(self, p):
        z = np.logaddexp(p, 0)
        return z / (1 + z)

    def derivative(self, p):
        return expit(p) / (1 + np.logaddexp(p, 0)) ** 2

    def torch(self, p, torch):
        return torch.nn.Sequential(torch.nn.Softplus(), torch.nn.Softsign())(p)

    def jax(self, p, jax):
        return jax.nn.soft_sign(jax.nn.softplus(p))
