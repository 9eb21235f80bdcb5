"""A fused activation with a custom backward pass in torch (autograd.Function) and in jax (custom_vjp).

    gradagree run --ext examples/fused_activation.py --cases 20

A fused function stores only what its backward pass needs: here p, from which the backward pass computes the gate again.
torch and jax do not check such a backward pass, so its gradient can be wrong.
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
                return delta_a * _derivative(*context.saved_tensors, torch.sigmoid, torch.tanh)

            @staticmethod
            def jvp(context, tangent):
                return tangent * _derivative(*context.saved_tensors, torch.sigmoid, torch.tanh)

        return Fused.apply(p)

    def jax(self, p, jax):
        @jax.custom_vjp
        def fused(p):
            return jax.nn.sigmoid(p) * jax.numpy.tanh(p)

        def forward(p):
            return fused(p), p

        def backward(p, delta_a):
            return (delta_a * _derivative(p, jax.nn.sigmoid, jax.numpy.tanh),)

        fused.defvjp(forward, backward)
        return fused(p)


def _derivative(p, sigmoid, tanh):
    """The derivative, as the fused backward passes compute it."""
    s, y = sigmoid(p), tanh(p)
    return s * ((1 - s) * y + (1 - y * y))
