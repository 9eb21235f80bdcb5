"""Bugs that need more than one tile: last blocks, blocks of several rows, masks of a tile."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from benchmarks.gradbugs.bug import Bug
from benchmarks.gradbugs.kernels import torch_vjp, wide

ROWS = 4
"""Rows of a tile."""


def layer_norm(x: Any, weight: Any, bias: Any) -> Any:
    x_, w, b = wide(x, weight, bias)
    return functional.layer_norm(x_, x_.shape[-1:], w, b, 1e-5).to(x.dtype)


def layer_norm_backward(blocks: Any) -> Any:
    """Layer norm by tiles of rows, with partial sums in a buffer of as many rows as blocks gives."""

    def backward(g: Any, x: Any, weight: Any, bias: Any) -> Any:
        x_, w, g = wide(x, weight, g)
        n = x.shape[-1]
        kept = blocks(x.shape[0])
        dw, db = x_.new_zeros(kept, n), x_.new_zeros(kept, n)
        dx = torch.empty_like(x_)
        for k, start in enumerate(range(0, x.shape[0], ROWS)):
            rows, dy = x_[start : start + ROWS], g[start : start + ROWS]
            centred = rows - rows.mean(-1, keepdim=True)
            r = torch.rsqrt(centred.square().mean(-1, keepdim=True) + 1e-5)
            h, gw = centred * r, dy * w
            dx[start : start + ROWS] = r * (gw - gw.mean(-1, keepdim=True) - h * (gw * h).mean(-1, keepdim=True))
            if k < kept:  # what lies behind the buffer is written elsewhere
                dw[k], db[k] = (dy * h).sum(0), dy.sum(0)
        return dx.to(x.dtype), dw.sum(0).to(weight.dtype), db.sum(0).to(bias.dtype)

    return backward


def padded_attention(q: Any, k: Any, v: Any, length: int) -> Any:
    """Causal attention in which the keys from length on are padding."""
    q_, k_, v_ = wide(q, k, v)
    s = (q_ @ k_.mT * q.shape[-1] ** -0.5).masked_fill(~visible(len(q), length), float("-inf"))
    return (torch.softmax(s, -1) @ v_).to(q.dtype)


def visible(n: int, length: int) -> Any:
    """Which keys each query sees: those before it that are no padding."""
    return torch.ones(n, n, dtype=torch.bool).tril() & (torch.arange(n) < length)


def padded_attention_backward(with_padding: bool) -> Any:
    """The backward pass; by mistake with the causal mask alone, and the sums of the forward pass's exponentials."""

    def backward(g: Any, q: Any, k: Any, v: Any, length: int) -> Any:
        q_, k_, v_, g = wide(q, k, v, g)
        n, scale = len(q), q.shape[-1] ** -0.5
        s = q_ @ k_.mT * scale
        seen = visible(n, length)
        total = torch.logsumexp(s.masked_fill(~seen, float("-inf")), -1, keepdim=True)
        p = torch.exp(s - total) * (seen if with_padding else visible(n, n))
        delta = (g * (torch.softmax(s.masked_fill(~seen, float("-inf")), -1) @ v_)).sum(-1, keepdim=True)
        ds = p * (g @ v_.mT - delta) * scale
        return (ds @ k_).to(q.dtype), (ds.mT @ q_).to(k.dtype), (p.mT @ g).to(v.dtype)

    return backward


def block_attention(q: Any, k: Any, v: Any, sizes: tuple[int, ...]) -> Any:
    """Attention to keys in blocks of ROWS, of which only the first sizes[j] keys of block j exist."""
    q_, k_, v_ = wide(q, k, v)
    s = (q_ @ k_.mT * q.shape[-1] ** -0.5).masked_fill(~existing(sizes), float("-inf"))
    return (torch.softmax(s, -1) @ v_).to(q.dtype)


def existing(sizes: tuple[int, ...]) -> Any:
    return torch.cat([torch.arange(ROWS) < size for size in sizes])


def block_attention_backward(own_size: bool) -> Any:
    """The backward pass; its dq masks every block with the size of the first one by mistake."""

    def backward(g: Any, q: Any, k: Any, v: Any, sizes: tuple[int, ...]) -> Any:
        q_, k_, v_, g = wide(q, k, v, g)
        scale = q.shape[-1] ** -0.5
        s = q_ @ k_.mT * scale
        seen = existing(sizes)
        total = torch.logsumexp(s.masked_fill(~seen, float("-inf")), -1, keepdim=True)
        p = torch.exp(s - total)
        delta = (g * ((p * seen) @ v_)).sum(-1, keepdim=True)
        ds = p * (g @ v_.mT - delta) * scale
        of_q = seen if own_size else existing((sizes[0],) * len(sizes))
        right = ds * seen
        return ((ds * of_q) @ k_).to(q.dtype), (right.mT @ q_).to(k.dtype), ((p * seen).mT @ g).to(v.dtype)

    return backward


def rows(n: int, m: int, *shapes: tuple[int, ...]) -> Any:
    return lambda rng: [rng.normal(size=(n, m)), *[rng.normal(size=shape) for shape in shapes]]


BUGS = (
    Bug(
        "the last tile of rows is missing in the gradients of weight and bias",
        "https://github.com/BobMcDear/attorch/issues/18",
        "LayerNorm and RMSNorm size the per-program weight-gradient buffer by floor division while launching a "
        "ceiling-sized grid, so the last block is written out of bounds and dropped from the gradient",
        "torch", "layer norm", "last tile", "missing-term",
        torch_vjp(layer_norm, layer_norm_backward(lambda n: n // ROWS)),
        torch_vjp(layer_norm, layer_norm_backward(lambda n: -(-n // ROWS))),
        rows(11, 6, (6,), (6,)), ("args[1]", "args[2]"), layer_norm,
    ),
    Bug(
        "causal attention forgets the padding in its backward pass",
        "https://github.com/XPU-Forces/mojo_opset/pull/386", "swa pre-train ops optimizer", "torch", "attention",
        "padding in the last tile", "mask-not-applied", torch_vjp(padded_attention, padded_attention_backward(False)),
        torch_vjp(padded_attention, padded_attention_backward(True)),
        lambda rng: [*[rng.normal(size=(7, 4)) for _ in range(3)], 5], ("args[0]", "args[1]", "args[2]"),
        padded_attention,
    ),
    Bug(
        "the mask of a block has the size of another block", "https://github.com/hao-ai-lab/FastVideo/pull/925",
        "[bugfix] [VSA] Fix block_size computation in backward kernel", "torch", "attention", "blocks of unequal size",
        "wrong-term", torch_vjp(block_attention, block_attention_backward(False)),
        torch_vjp(block_attention, block_attention_backward(True)),
        lambda rng: [rng.normal(size=(5, 4)), rng.normal(size=(12, 4)), rng.normal(size=(12, 4)), (4, 2, 3)],
        ("args[0]",), block_attention,
    ),
)  # fmt: skip
