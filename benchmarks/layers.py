"""Eight functions of today's networks, each one formula for NumPy, PyTorch and JAX, with its arguments."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Formula = Callable[..., Any]
"""A function of a library (``numpy``, ``torch`` or ``jax.numpy``) and then of arrays."""


@dataclass(frozen=True)
class LayerFunction:
    """One function.

    Args:
        name: Name in tables.
        formula: The function; the first argument is the library whose arrays it computes with.
        shapes: Shapes of its arrays. An integer stands for a scale: normal numbers divided by its square root.
        faulty: The argument whose gradient gets a fault.
    """

    name: str
    formula: Formula
    shapes: tuple[tuple[int, ...], ...]
    faulty: int = 0

    def arguments(self, seed: int = 0) -> list[np.ndarray]:
        """Normal random numbers; matrices of weights are divided by the square root of their rows."""
        rng = np.random.default_rng([seed, zlib.crc32(self.name.encode())])
        found = [rng.standard_normal(shape) for shape in self.shapes]
        weights = [k for k, shape in enumerate(self.shapes) if k and len(shape) == 2 and self.name in PROJECTIONS]
        return [x / np.sqrt(len(x)) if k in weights else x for k, x in enumerate(found)]

    def numpy(self, *arrays: Any) -> Any:
        """The function in NumPy: the reference."""
        return self.formula(np, *arrays)


def softmax(xp: Any, x: Any) -> Any:
    z = xp.exp(x - xp.amax(x, axis=-1, keepdims=True))
    return z / xp.sum(z, axis=-1, keepdims=True)


def sigmoid(xp: Any, x: Any) -> Any:
    return 1 / (1 + xp.exp(-x))


def attention(xp: Any, q: Any, k: Any, v: Any) -> Any:
    """softmax(q k^T / sqrt(d)) v, with arrays of heads, positions and channels."""
    scores = q @ xp.swapaxes(k, -1, -2) * q.shape[-1] ** -0.5
    return softmax(xp, scores) @ v


def layer_norm(xp: Any, x: Any, weight: Any, bias: Any) -> Any:
    centred = x - xp.mean(x, axis=-1, keepdims=True)
    return centred / xp.sqrt(xp.mean(centred**2, axis=-1, keepdims=True) + 1e-5) * weight + bias


def rms_norm(xp: Any, x: Any, weight: Any) -> Any:
    return x / xp.sqrt(xp.mean(x**2, axis=-1, keepdims=True) + 1e-6) * weight


def swiglu(xp: Any, x: Any, gate: Any, up: Any) -> Any:
    p = x @ gate
    return p * sigmoid(xp, p) * (x @ up)


def cross_entropy(xp: Any, logits: Any) -> Any:
    """The mean over the rows; row k belongs to class k mod the number of classes."""
    z = logits - xp.amax(logits, axis=-1, keepdims=True)
    log_probabilities = z - xp.log(xp.sum(xp.exp(z), axis=-1, keepdims=True))
    rows, classes = logits.shape
    return -xp.mean(log_probabilities[list(range(rows)), [k % classes for k in range(rows)]])


def rotary_embedding(xp: Any, x: Any, cosine: Any, sine: Any) -> Any:
    """Rotation of the pairs (x_i, x_(i + d/2))."""
    half = x.shape[-1] // 2
    first, second = x[..., :half], x[..., half:]
    return xp.concatenate([first * cosine - second * sine, second * cosine + first * sine], axis=-1)


def convolution(xp: Any, x: Any, weight: Any, bias: Any) -> Any:
    """Images (N, C, H, W) and filters (O, C, 3, 3), as one product of the windows and the filters."""
    rows, columns = x.shape[-2] - 2, x.shape[-1] - 2
    windows = xp.stack([x[..., i : i + rows, j : j + columns] for i in range(3) for j in range(3)], axis=2)
    return xp.einsum("nckhw,ock->nohw", windows, weight.reshape(*weight.shape[:2], 9)) + bias[:, None, None]


def lstm_cell(xp: Any, x: Any, h: Any, c: Any, w: Any, u: Any, b: Any) -> Any:
    """The next h and c; the gates are input, forget, cell and output."""
    gates, n = x @ w + h @ u + b, h.shape[-1]
    i, f, g, o = (gates[:, k * n : (k + 1) * n] for k in range(4))
    c = sigmoid(xp, f) * c + sigmoid(xp, i) * xp.tanh(g)
    return sigmoid(xp, o) * xp.tanh(c), c


PROJECTIONS = ("SwiGLU", "LSTM cell")
"""Functions with matrices of weights, all arguments of two axes but the first."""

FUNCTIONS = (
    LayerFunction("attention", attention, ((2, 12, 4), (2, 12, 4), (2, 12, 4))),
    LayerFunction("layer norm", layer_norm, ((8, 16), (16,), (16,))),
    LayerFunction("RMS norm", rms_norm, ((8, 16), (16,))),
    LayerFunction("SwiGLU", swiglu, ((4, 8), (8, 8), (8, 8)), faulty=1),
    LayerFunction("cross-entropy", cross_entropy, ((16, 10),)),
    LayerFunction("rotary embedding", rotary_embedding, ((2, 8, 8), (8, 4), (8, 4))),
    LayerFunction("convolution", convolution, ((2, 2, 6, 6), (3, 2, 3, 3), (3,)), faulty=1),
    LayerFunction("LSTM cell", lstm_cell, ((4, 6), (4, 6), (4, 6), (6, 24), (6, 24), (24,)), faulty=4),
)
