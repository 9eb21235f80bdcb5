"""A fused activation: its own backward pass in torch (autograd.Function) and in jax (custom_vjp), judged by hand.

    gradagree run --ext examples/fused_activation.py --cases 20

Fused functions keep what their backward pass needs and skip what it does not. That is where gradients go wrong, and
where torch and jax take your word for it: here both keep p alone and compute the gate anew.
"""

import numpy as np
from scipy.special import expit

from gradagree import Activation


class FusedSiluTanh(Activation):
    """A(p) = s(p) tanh p, where s is the logistic function."""

    def value(self, p):
        return expit(p) * np.tanh(p)

    def derivative(self, p):
        s, y = expit(p), np.tanh(p)
        return s * (1 - s) * y + s * (1 - y) * (1 + y)

    def torch(self, p, torch):
        class Fused(torch.autograd.Function):
            generate_vmap_rule = True

            @staticmethod
            def forward(p):
                return torch.sigmoid(p) * torch.tanh(p)

            @staticmethod
            def setup_context(context, inputs, output):
                context.save_for_backward(*inputs)
                context.save_for_forward(*inputs)

            @staticmethod
            def backward(context, delta_a):
                return delta_a * _slope(*context.saved_tensors, torch.sigmoid, torch.tanh)

            @staticmethod
            def jvp(context, tangent):
                return tangent * _slope(*context.saved_tensors, torch.sigmoid, torch.tanh)

        return Fused.apply(p)

    def jax(self, p, jax):
        @jax.custom_vjp
        def fused(p):
            return jax.nn.sigmoid(p) * jax.numpy.tanh(p)

        def forward(p):
            return fused(p), p

        def backward(p, delta_a):
            return (delta_a * _slope(p, jax.nn.sigmoid, jax.numpy.tanh),)

        fused.defvjp(forward, backward)
        return fused(p)


def _slope(p, sigmoid, tanh):
    """What the fused backward passes compute."""
    s, y = sigmoid(p), tanh(p)
    return s * ((1 - s) * y + (1 - y * y))
