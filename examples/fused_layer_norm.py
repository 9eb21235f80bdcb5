"""A fused layer norm with a backward pass of its own in torch (autograd.Function) and in jax (custom_vjp).

    gradagree check examples/fused_layer_norm.py:FusedLayerNorm

Each row is normalised to mean 0 and variance 1, then scaled and shifted. The mean and the variance depend on every
entry of the row, so the backward pass has three terms; one that is missing may be a few percent only.
"""

import numpy as np

from gradagree import Layer


class FusedLayerNorm(Layer):
    """y = w (x - mean) / sqrt(variance + eps) + b, along the last axis."""

    eps: float = 2.0**-10
    settings = ("eps=0.25",)

    def value(self, x, w, b):
        y, _ = _normalised(x, self.eps, np.mean, np.sqrt)
        return y * w + b

    def vjp(self, g, x, w, b):
        y, deviation = _normalised(x, self.eps, np.mean, np.sqrt)
        return _by_x(g * w, y, deviation, np.mean), np.sum(g * y, axis=0), np.sum(g, axis=0)

    def example(self, rng):
        return {"x": rng.standard_normal((5, 8)), "w": 1 + rng.standard_normal(8) / 4, "b": rng.standard_normal(8)}

    def torch(self, x, w, b, *, torch):
        eps = self.eps

        def mean(z, axis, keepdims):
            return z.mean(axis, keepdim=keepdims)

        class Fused(torch.autograd.Function):
            @staticmethod
            def forward(context, x, w, b):
                y, deviation = _normalised(x.float() if x.itemsize < 4 else x, eps, mean, torch.sqrt)
                context.save_for_backward(y, deviation, w)
                return (y * w + b).to(x.dtype)

            @staticmethod
            def backward(context, g):
                y, deviation, w = context.saved_tensors
                wide = g.to(y.dtype)
                by_x, by_w = _by_x(wide * w, y, deviation, mean), (wide * y).sum(0)
                return by_x.to(g.dtype), by_w.to(g.dtype), wide.sum(0).to(g.dtype)

        return Fused.apply(x, w, b)

    def jax(self, x, w, b, *, jax):
        @jax.custom_vjp
        def fused(x, w, b):
            return forward(x, w, b)[0]

        def forward(x, w, b):
            y, deviation = _normalised(x, self.eps, jax.numpy.mean, jax.numpy.sqrt)
            return y * w + b, (y, deviation, w)

        def backward(saved, g):
            y, deviation, w = saved
            return _by_x(g * w, y, deviation, jax.numpy.mean), (g * y).sum(0), g.sum(0)

        fused.defvjp(forward, backward)
        return fused(x, w, b)


def _normalised(x, eps, mean, sqrt):
    """(the normalised rows, their standard deviations)."""
    centred = x - mean(x, axis=-1, keepdims=True)
    deviation = sqrt(mean(centred * centred, axis=-1, keepdims=True) + eps)
    return centred / deviation, deviation


def _by_x(g, y, deviation, mean):
    """(g - mean g - y mean(g y)) / deviation: the terms through y, the mean and the variance."""
    return (g - mean(g, axis=-1, keepdims=True) - y * mean(g * y, axis=-1, keepdims=True)) / deviation
