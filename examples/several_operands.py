"""A function of several operands: the two halves of a row, as in gated linear units, in a fused backward pass.

    gradagree run --ext examples/several_operands.py --cases 20

The derivative of such a function is a vjp: the gradient of each operand, in the order of the row.
"""

import functools

import numpy as np

from gradagree import Activation


class TanhGate(Activation):
    """A(p) = p' tanh p'', where p' and p'' are the halves of a row."""

    def width(self, n):
        return n // 2 if n % 2 == 0 else None

    def value(self, p):
        half = p.shape[-1] // 2
        return p[..., :half] * np.tanh(p[..., half:])

    def vjp(self, p, delta_a):
        half = p.shape[-1] // 2
        y = np.tanh(p[..., half:])
        return np.concatenate([y * delta_a, p[..., :half] * ((1 - y) * (1 + y)) * delta_a], axis=-1)

    def torch(self, p, torch):
        half = p.shape[-1] // 2
        return _gate_in_torch(torch).apply(p[..., :half], p[..., half:])

    def jax(self, p, jax):
        half = p.shape[-1] // 2
        return _gate_in_jax(jax)(p[..., :half], p[..., half:])


@functools.cache
def _gate_in_torch(torch):
    class Gate(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(x, gate):
            return x * torch.tanh(gate)

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx, delta_a):
            x, gate = ctx.saved_tensors
            y = torch.tanh(gate)
            return delta_a * y, delta_a * x * ((1 - y) * (1 + y))

    return Gate


@functools.cache
def _gate_in_jax(jax):
    @jax.custom_vjp
    def gated(x, gate):
        return x * jax.numpy.tanh(gate)

    def forward(x, gate):
        return gated(x, gate), (x, gate)

    def backward(saved, delta_a):
        x, gate = saved
        y = jax.numpy.tanh(gate)
        return delta_a * y, delta_a * x * ((1 - y) * (1 + y))

    gated.defvjp(forward, backward)
    return gated
