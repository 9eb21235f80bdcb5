"""The ways in which people write functions: old-style, in place, as a module with a parameter, with several operands.

    gradagree run --ext examples/ways_to_write.py --cases 20
    gradagree run --ext examples/ways_to_write.py --cases 20 --activations old_silu --frameworks torch

Each class has the reference (value, derivative) and the function under test (torch, jax). New-style functions of torch
(setup_context) and a custom_vjp of jax are in fused_activation.py.
"""

import functools

import numpy as np
from scipy.special import expit

from gradagree import Activation
from gradagree.reference import Weight


class OldSilu(Activation):
    """A(p) = p s(p), where s is the logistic function; an old-style autograd.Function and a custom_jvp.

    torch has no vmap and no forward mode for an old-style function, so these are `unsupported`.
    """

    def value(self, p):
        return p * expit(p)

    def derivative(self, p):
        s = expit(p)
        return s + p * s * (1 - s)

    def torch(self, p, torch):
        return _old_style_silu(torch).apply(p)

    def jax(self, p, jax):
        return _silu_with_jvp(jax)(p)


@functools.cache
def _old_style_silu(torch):
    class Silu(torch.autograd.Function):
        @staticmethod
        def forward(ctx, p):
            s = torch.sigmoid(p)
            ctx.save_for_backward(p, s)
            return p * s

        @staticmethod
        def backward(ctx, delta_a):
            p, s = ctx.saved_tensors
            return delta_a * (s + p * s * (1 - s))

    return Silu


@functools.cache
def _silu_with_jvp(jax):
    @jax.custom_jvp
    def silu(p):
        return p * jax.nn.sigmoid(p)

    @silu.defjvp
    def rule(primals, tangents):
        (p,), (dp,) = primals, tangents
        s = jax.nn.sigmoid(p)
        return p * s, dp * (s + p * s * (1 - s))

    return silu


class ClippedInPlace(Activation):
    """A(p) = min(max(p, -1), 2), where torch overwrites p."""

    kinks = (-1.0, 2.0)

    def value(self, p):
        return np.minimum(np.maximum(p, -1.0), 2.0)

    def derivative(self, p):
        return np.where((p > -1.0) & (p < 2.0), 1.0, 0.0)

    def torch(self, p, torch):
        return p.clamp_(-1.0, 2.0)

    def jax(self, p, jax):
        return jax.numpy.clip(p, -1.0, 2.0)


class ScaledTanh(Activation):
    """A(p) = a tanh p, where a is trainable; in torch an nn.Module with a parameter."""

    a: Weight = Weight(1.5)

    def value(self, p):
        return self.a * np.tanh(p)

    def derivative(self, p):
        y = np.tanh(p)
        return self.a * (1 - y) * (1 + y)

    def by_a(self, p):
        return np.tanh(p)

    def torch(self, p, torch):
        # functional_call gives the module the parameter whose gradient is checked.
        return torch.func.functional_call(_scaled_tanh_module(torch), {"a": self.a}, (p,))

    def jax(self, p, jax):
        return self.a * jax.numpy.tanh(p)


@functools.cache
def _scaled_tanh_module(torch):
    class Module(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.a = torch.nn.Parameter(torch.tensor(1.5))

        def forward(self, p):
            return self.a * torch.tanh(p)

    return Module()
