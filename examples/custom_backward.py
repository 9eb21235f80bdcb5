"""A custom backward pass of torch, checked against a plain forward function in NumPy.

    gradagree check examples/custom_backward.py:RMSNorm.apply --inputs examples/custom_backward.py:inputs \
        --reference examples/custom_backward.py:rms_norm --dtypes float64,float32,bfloat16

The reference needs no derivative. The module needs no reference: its own forward pass says what its gradient should be.
"""

import numpy as np
import torch


class RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight):
        scale = torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6)
        ctx.save_for_backward(x, weight, scale)
        return x * scale * weight

    @staticmethod
    def backward(ctx, g):
        x, weight, scale = ctx.saved_tensors
        by_weight = (g * x * scale).sum(0)
        g = g * weight
        return scale * g - scale**3 * x * (g * x).mean(-1, keepdim=True), by_weight


def rms_norm(x, weight):
    return x / np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + 1e-6) * weight


class GatedNorm(torch.nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.gate = torch.nn.Linear(width, width)
        self.weight = torch.nn.Parameter(torch.ones(width))

    def forward(self, x):
        return RMSNorm.apply(x, self.weight) * torch.sigmoid(self.gate(x))


def inputs():
    rng = np.random.default_rng(0)
    return rng.standard_normal((4, 8)), rng.standard_normal(8)
