"""Bugs in attention and rotary embeddings."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from benchmarks.gradbugs.bug import Bug, kernel_bug

Tensor = torch.Tensor


def probabilities(q: Tensor, k: Tensor, bias: Tensor | float = 0.0) -> Tensor:
    return torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) + bias, -1)


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(d)) v, without a mask."""
    return probabilities(q, k) @ v


def causal_backward(g: Tensor, q: Tensor, k: Tensor, v: Tensor, *, faulty: bool) -> Any:
    """Faulty: the blocks above the diagonal are skipped, although the forward pass has no mask."""
    p = probabilities(q, k)
    delta = (g * (p @ v)).sum(-1, keepdim=True)
    p = p.tril() if faulty else p
    ds = p * (g @ v.transpose(-1, -2) - delta) / math.sqrt(q.shape[-1])
    return ds @ k, ds.transpose(-1, -2) @ q, p.transpose(-1, -2) @ g


def narrow_backward(g: Tensor, q: Tensor, k: Tensor, v: Tensor, *, faulty: bool) -> Any:
    """Faulty: the channels of v beyond the width of q are not read."""
    p, d = probabilities(q, k), q.shape[-1]
    dp = g[..., :d] @ v[..., :d].transpose(-1, -2) if faulty else g @ v.transpose(-1, -2)
    ds = p * (dp - (g * (p @ v)).sum(-1, keepdim=True)) / math.sqrt(d)
    dk = p * (g @ v.transpose(-1, -2) - (g * (p @ v)).sum(-1, keepdim=True)) / math.sqrt(d)
    return ds @ k, dk.transpose(-1, -2) @ q, p.transpose(-1, -2) @ g


# Groups of query heads: query head h belongs to the head h mod (number of heads) of keys.


def interleaved(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    n = len(q) // len(k)
    return attention(q, k.repeat(n, 1, 1), v.repeat(n, 1, 1))


def interleaved_backward(g: Tensor, q: Tensor, k: Tensor, v: Tensor, *, faulty: bool) -> Any:
    heads, n = len(k), len(q) // len(k)
    key, value = k.repeat(n, 1, 1), v.repeat(n, 1, 1)
    p = probabilities(q, key)
    ds = p * (g @ value.transpose(-1, -2) - (g * (p @ value)).sum(-1, keepdim=True)) / math.sqrt(q.shape[-1])
    dk, dv = ds.transpose(-1, -2) @ q, p.transpose(-1, -2) @ g
    if faulty:
        dk, dv = (x.reshape(heads, n, *x.shape[1:]).sum(1) for x in (dk, dv))
    else:
        dk, dv = (x.reshape(n, heads, *x.shape[1:]).sum(0) for x in (dk, dv))
    return ds @ key, dk, dv


def biased(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """A bias of one row for all queries."""
    return probabilities(q, k, bias) @ v


def biased_backward(g: Tensor, q: Tensor, k: Tensor, v: Tensor, bias: Tensor, *, faulty: bool) -> Any:
    p = probabilities(q, k, bias)
    ds = p * (g @ v.transpose(-1, -2) - (g * (p @ v)).sum(-1, keepdim=True))
    scale = 1 / math.sqrt(q.shape[-1])
    dbias = ds[:, -1:] if faulty else ds.sum(1, keepdim=True)
    return ds @ k * scale, ds.transpose(-1, -2) @ q * scale, p.transpose(-1, -2) @ g, dbias


# Rotary embedding of the pairs (x_i, x_(i + d/2)), with its own sine for both halves.


def rotate_half(x: Tensor) -> Tensor:
    first, second = x.chunk(2, -1)
    return torch.cat([-second, first], -1)


def rotate_back(x: Tensor) -> Tensor:
    first, second = x.chunk(2, -1)
    return torch.cat([second, -first], -1)


def rotary(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    return x * cosine + rotate_half(x) * sine


def rotary_backward(g: Tensor, x: Tensor, cosine: Tensor, sine: Tensor, *, faulty: bool) -> Any:
    dx = g * cosine + (rotate_back(g) * sine if faulty else rotate_back(g * sine))
    return dx, g * x, g * rotate_half(x)


def detached_rotary_backward(g: Tensor, x: Tensor, cosine: Tensor, sine: Tensor, *, faulty: bool) -> Any:
    dx, *others = rotary_backward(g, x, cosine, sine, faulty=False)
    return None if faulty else dx, *others


def heads(*shapes: tuple[int, ...]) -> Any:
    return lambda rng: [rng.standard_normal(shape) for shape in shapes]


def angles(rng: np.random.Generator) -> list[Any]:
    angle = np.arange(6)[:, None] / 10.0 ** np.arange(8)
    return [rng.standard_normal((2, 6, 8)), np.cos(angle), np.sin(angle) * np.where(np.arange(8) < 4, 1.0, 0.5)]


BUGS: tuple[Bug, ...] = (
    kernel_bug(
        name="attention: backward pass is always causal",
        source="https://github.com/triton-lang/triton/issues/4541",
        title="[Tutorial] Fused-attention `bwd` tutorial incorrect for `causal=True`",
        operation="attention", condition="no mask", kind="missing-term",
        forward=attention, backward=causal_backward, arguments=("args[0]", "args[1]", "args[2]"),
        inputs=heads((2, 7, 4), (2, 7, 4), (2, 7, 4)),
    ),
    kernel_bug(
        name="attention: values wider than queries",
        source="https://github.com/XunhaoLai/native-sparse-attention-triton/issues/27",
        title="flash_attention_varlen backward: wrong head-count division and wrong v-space extents in backward_dq",
        operation="attention", condition="values wider than queries", kind="region",
        forward=attention, backward=narrow_backward, arguments=("args[0]",),
        inputs=heads((2, 5, 4), (2, 6, 4), (2, 6, 7)),
    ),
    kernel_bug(
        name="grouped queries: gradients of other heads",
        source="https://github.com/XunhaoLai/native-sparse-attention-triton/issues/27",
        title="flash_attention_varlen backward: wrong head-count division and wrong v-space extents in backward_dq",
        operation="attention", condition="interleaved groups of heads", kind="wrong-axis",
        forward=interleaved, backward=interleaved_backward, arguments=("args[1]", "args[2]"),
        inputs=heads((6, 5, 4), (2, 6, 4), (2, 6, 4)),
    ),
    kernel_bug(
        name="attention: the last row of a bias for all queries",
        source="https://github.com/HKUSTDial/flash-sparse-attention/pull/194",
        title="[FEATURE SUPPORT] Robust dBias accumulation for seqlen_q_bias == 1",
        operation="attention", condition="bias that is broadcast", kind="wrong-axis",
        forward=biased, backward=biased_backward, arguments=("args[3]",),
        inputs=heads((2, 5, 4), (2, 6, 4), (2, 6, 4), (2, 1, 6)),
    ),
    kernel_bug(
        name="rotary embedding: sine of the other half",
        source="https://github.com/PaddlePaddle/Paddle/pull/74716",
        title="fix_fused_rotary_position_embedding",
        operation="rotary embedding", condition="halves with different sines", kind="wrong-term",
        forward=rotary, backward=rotary_backward, arguments=("args[0]",), inputs=angles,
    ),
    kernel_bug(
        name="rotary embedding: no gradient",
        source="https://github.com/huggingface/candle/pull/3612",
        title="Add backward pass to fused rope kernels",
        operation="rotary embedding", condition="", kind="entries-missing",
        forward=rotary, backward=detached_rotary_backward, arguments=("args[0]",), inputs=angles,
    ),
)  # fmt: skip
