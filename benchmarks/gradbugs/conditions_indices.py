"""Bugs that need certain numbers: ignored and repeated indices, ties, overlapping windows, unequal shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn import functional

from benchmarks.gradbugs.bug import Bug
from benchmarks.gradbugs.kernels import torch_vjp, wide


def losses(logits: Any, target: Any) -> Any:
    return functional.cross_entropy(wide(logits), target, reduction="none", ignore_index=-100).to(logits.dtype)


def losses_backward(ignore: bool) -> Any:
    def backward(g: Any, logits: Any, target: Any) -> Any:
        p = torch.softmax(wide(logits), -1)
        d = p - functional.one_hot(target.clamp(min=0), p.shape[-1]) * (target >= 0)[:, None]
        if ignore:
            d = d * (target >= 0)[:, None]
        return (d * wide(g)[:, None]).to(logits.dtype)

    return backward


def gather(x: Any, rows: Any) -> Any:
    return x[rows]


def gather_backward(accumulate: bool) -> Any:
    def backward(g: Any, x: Any, rows: Any) -> Any:
        dx = torch.zeros_like(wide(x))
        if accumulate:
            dx.index_add_(0, rows, wide(g))
        else:
            dx[rows] = wide(g)
        return dx.to(x.dtype)

    return backward


def largest(x: Any) -> Any:
    return x.amax(0)


def largest_backward(shared: bool) -> Any:
    def backward(g: Any, x: Any) -> Any:
        at = (x == x.amax(0)).to(wide(x).dtype)
        return (at * wide(g) / (at.sum(0) if shared else 1)).to(x.dtype)

    return backward


def sliding_maximum(x: Any) -> Any:
    """The largest of each three neighbours."""
    return x.unfold(-1, 3, 1).amax(-1)


def sliding_maximum_backward(by_window: bool) -> Any:
    """The gradient to the winner of each window; by mistake by a mark on each entry, left by the last window."""

    def backward(g: Any, x: Any) -> Any:
        g_ = wide(g)
        windows = x.unfold(-1, 3, 1)
        winner = windows.argmax(-1) + torch.arange(windows.shape[-2])
        if by_window:
            return torch.zeros_like(wide(x)).scatter_add_(-1, winner, g_).to(x.dtype)
        mark = torch.zeros_like(x, dtype=torch.bool)
        for w in range(windows.shape[-2]):
            mark[:, w : w + 3] = windows[:, w] == windows[:, w].amax(-1, keepdim=True)
        dx = torch.zeros_like(wide(x))
        for w in range(windows.shape[-2]):
            dx[:, w : w + 3] += mark[:, w : w + 3] * g_[:, w, None]
        return dx.to(x.dtype)

    return backward


BUGS = (
    Bug(
        "ignored tokens get a gradient", "https://github.com/PaddlePaddle/Paddle/pull/28622",
        "Fix gradients with ignore_idx in softmax_with_cross_entropy", "torch", "cross-entropy", "ignored targets",
        "mask-not-applied", torch_vjp(losses, losses_backward(False)), torch_vjp(losses, losses_backward(True)),
        lambda rng: [rng.normal(size=(6, 5)), np.array([2, -100, 0, 4, -100, 1])], ("args[0]",), losses,
    ),
    Bug(
        "of an index that occurs twice only the last gradient is kept",
        "https://github.com/PaddlePaddle/Paddle/pull/17662", "Gather dup index grad fix", "torch", "scatter and gather",
        "repeated indices", "duplicates-lost", torch_vjp(gather, gather_backward(False)),
        torch_vjp(gather, gather_backward(True)),
        lambda rng: [rng.normal(size=(6, 4)), np.array([1, 4, 1, 0, 5, 4, 1])], ("args[0]",), gather,
    ),
    Bug(
        "each of several largest entries gets the whole gradient", "https://github.com/apache/mxnet/issues/18563",
        "The gradient of a tensor whose elements are all the same is wrong when the tensor pass to nd.max", "torch",
        "ties", "equal entries", "ties", torch_vjp(largest, largest_backward(False)),
        torch_vjp(largest, largest_backward(True)),
        lambda rng: [np.concatenate([np.ones((4, 3)), rng.permuted(np.linspace(-2, 0.5, 8).reshape(4, 2), axis=0)], 1)],
        ("args[0]",), largest,
    ),
    Bug(
        "windows that overlap share one mark of their winners", "https://github.com/ahrefs/ocannl/issues/512",
        "tropical/einmax1 gradients are silently wrong for overlapping windows (last-write-wins gate)", "torch",
        "pooling", "overlapping windows", "where", torch_vjp(sliding_maximum, sliding_maximum_backward(False)),
        torch_vjp(sliding_maximum, sliding_maximum_backward(True)),
        lambda rng: [rng.permuted(np.arange(16.0).reshape(2, 8), axis=1)], ("args[0]",), sliding_maximum,
    ),
)  # fmt: skip
