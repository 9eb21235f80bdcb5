"""Whether the vjp of an activation along the last axis matches its value, proved by ball arithmetic."""

from __future__ import annotations

import numpy as np

from gradagree.arithmetics.ball import Ball, precision
from gradagree.checker.derivative_forms import ad_vjp
from gradagree.errors import UsageError
from gradagree.proving import compare
from gradagree.reference import Activation

WIDTHS = (*range(6, 16), *range(1, 6))
ROWS = 4
BITS = 256


def prove_pull(activation: Activation, points: np.ndarray) -> np.ndarray:
    """The examples p that were tried; raises UsageError where vjp is not the transposed slope of value."""
    n, outputs = _widths(activation)
    p = points[: ROWS * n].reshape(-1, n)
    delta_a = np.resize(points[::-1], (len(p), outputs))
    value, pulled = activation.value(p), activation.vjp(p, delta_a)
    for name, shape, expected in (("value", value.shape, delta_a.shape), ("vjp", pulled.shape, p.shape)):
        if shape != expected:
            raise UsageError(f"{activation}: {name} returns shape {shape} for {n} numbers; it must be {expected}")
    with precision(BITS):
        balls, delta = Ball.exact(p), Ball.exact(delta_a)
        true = balls._lift(ad_vjp(activation, balls, delta))
        claimed = balls._lift(activation.vjp(balls, delta))
        size = np.max(np.abs(pulled), axis=-1, keepdims=True) + np.max(np.abs(delta_a), axis=-1, keepdims=True) / n
        scale = np.broadcast_to(size, p.shape).ravel()
        compare(activation, "vjp", "p", p.ravel(), claimed.reshape(-1), true.reshape(-1), scale)
    return p


def _widths(activation: Activation) -> tuple[int, int]:
    """A number of inputs that is allowed, and how many outputs belong to it."""
    lengths = tuple(len(x) for x in vars(activation).values() if isinstance(x, tuple))
    for n in (*lengths, *WIDTHS):
        if n and (outputs := activation.width(n)):
            return n, outputs
    raise UsageError(f"{activation}: width allows none of 1 to {max(WIDTHS)} inputs")
