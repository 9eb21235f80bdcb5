"""A model with a normalisation of its own, checked operation by operation.

    gradagree check examples/whole_model.py:model --inputs examples/whole_model.py:inputs --modules

The table names each module; a fault in a backward pass names its module and argument. In a test, one line checks it:

    check(model, inputs=inputs, modules=True)
"""

import torch
from torch import nn


class Normalise(torch.autograd.Function):
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


class Norm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return Normalise.apply(x, self.weight)


torch.manual_seed(0)
model = nn.Sequential(nn.Linear(6, 16), nn.GELU(), nn.Sequential(Norm(16), nn.Linear(16, 4)))


def inputs():
    return (torch.randn(8, 6),)
