"""Bugs of memory and numbers: rows that are never written, buffers that change, sums of 16 bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from benchmarks.gradbugs.bug import Bug
from benchmarks.gradbugs.kernels import torch_vjp, wide


def grouped_product(x: Any, weights: Any, counts: Any) -> Any:
    """The rows of x, sorted by expert, times the matrix of their expert; counts has the number of rows of each."""
    x_, w = wide(x, weights)
    parts = torch.split(x_, counts.tolist())
    return torch.cat([rows @ w[k] for k, rows in enumerate(parts)]).to(x.dtype)


def grouped_product_backward(allocate: Any, write: Any) -> Any:
    """The gradients, those of the matrices in a buffer from allocate, each written if write allows it."""

    def backward(g: Any, x: Any, weights: Any, counts: Any) -> Any:
        x_, w, g = wide(x, weights, g)
        n = counts.tolist()
        parts, of_parts = torch.split(x_, n), torch.split(g, n)
        dx = torch.cat([dy @ w[k].mT for k, dy in enumerate(of_parts)])
        dw = allocate(w)
        for k, (rows, dy) in enumerate(zip(parts, of_parts, strict=True)):
            if len(rows) or write == "all":
                dw[k] = rows.mT @ dy
            elif write == "neighbour":  # the kernel starts a tile at the group's offset whatever its length
                start = sum(n[:k])
                dw[k] = x_[start : start + 2].mT @ g[start : start + 2]
        return dx.to(x.dtype), dw.to(weights.dtype)

    return backward


def experts(rng: np.random.Generator) -> list[Any]:
    return [rng.normal(size=(7, 4)), rng.normal(size=(4, 4, 3)), np.array([3, 0, 4, 0])]


def packed(x: Any, lengths: Any, longest: int) -> Any:
    """The rows of x in segments (segment, longest, ...), filled up with zeros; longer segments are cut."""
    found = x.new_zeros(len(lengths), longest, *x.shape[1:])
    for k, rows in enumerate(torch.split(x, lengths.tolist())):
        found[k, : min(len(rows), longest)] = rows[:longest]
    return found


def packed_backward(allocate: Any) -> Any:
    def backward(g: Any, x: Any, lengths: Any, longest: int) -> Any:
        dx, start = allocate(x), 0
        for k, n in enumerate(lengths.tolist()):
            kept = min(n, longest)
            dx[start : start + kept] = g[k, :kept]
            start += n
        return dx

    return backward


class OverwritingGate(torch.autograd.Function):
    """a sigmoid(b), whose backward pass writes its gradients over the buffers of the forward pass."""

    @staticmethod
    def forward(ctx: Any, a: Any, b: Any) -> Any:
        a_, s = wide(a, b)
        ctx.buffers = (a_.clone(), torch.sigmoid(s))
        ctx.dtypes = a.dtype, b.dtype
        return (a_ * torch.sigmoid(s)).to(a.dtype)

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        a, s = ctx.buffers
        g = wide(g)
        db = g * a * s * (1 - s)
        da = s.mul_(g)
        a.copy_(db)
        return da.to(ctx.dtypes[0], copy=True), a.to(ctx.dtypes[1], copy=True)


def gate(a: Any, b: Any) -> Any:
    a_, b_ = wide(a, b)
    return (a_ * torch.sigmoid(b_)).to(a.dtype)


class GradientInInput(torch.autograd.Function):
    """The cross-entropy of rows, whose forward pass stores the gradient in the memory of the logits."""

    @staticmethod
    def forward(ctx: Any, logits: Any, target: Any) -> Any:
        loss = mean_loss(logits, target)
        p = torch.softmax(wide(logits), -1)
        p[torch.arange(len(target)), target] -= 1
        logits.data.copy_(p / len(target))  # as a kernel writes: unseen by autograd
        ctx.gradient = logits
        return loss

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return ctx.gradient * g, None


def mean_loss(logits: Any, target: Any) -> Any:
    rows = torch.log_softmax(wide(logits), -1)[torch.arange(len(target)), target]
    return -rows.mean().to(logits.dtype)


def mean_loss_backward(g: Any, logits: Any, target: Any) -> Any:
    p = torch.softmax(wide(logits), -1)
    p[torch.arange(len(target)), target] -= 1
    return (p / len(target) * wide(g)).to(logits.dtype)


def rms_norm(x: Any, weight: Any) -> Any:
    x_, w = wide(x, weight)
    return (x_ * torch.rsqrt(x_.square().mean(-1, keepdim=True) + 1e-6) * w).to(x.dtype)


def rms_norm_backward(total: Any) -> Any:
    """Rms norm, with the sum over the rows for the gradient of the weight."""

    def backward(g: Any, x: Any, weight: Any) -> Any:
        x_, w, g_ = wide(x, weight, g)
        r = torch.rsqrt(x_.square().mean(-1, keepdim=True) + 1e-6)
        h, gw = x_ * r, g_ * w
        dx = r * (gw - h * (gw * h).mean(-1, keepdim=True))
        return dx.to(x.dtype), total((g_ * h), weight.dtype).to(weight.dtype)

    return backward


def one_after_the_other(terms: Any, dtype: Any) -> Any:
    """The sum of rows in the dtype of the arrays, rounded after every row."""
    found = torch.zeros_like(terms[0], dtype=dtype)
    for row in terms.to(dtype):
        found = found + row
    return found


def embedding(weight: Any, indices: Any) -> Any:
    return weight[indices]


def embedding_backward(dtype: Any) -> Any:
    """Rows added one after the other in an array of a dtype; None for that of the weight."""

    def backward(g: Any, weight: Any, indices: Any) -> Any:
        found = torch.zeros_like(weight, dtype=dtype or weight.dtype)
        for row, k in zip(g.to(found.dtype), indices.tolist(), strict=True):
            found[k] = found[k] + row
        return found.to(weight.dtype)

    return backward


BUGS = (
    Bug(
        "matrices of experts without tokens are never written", "https://github.com/meta-pytorch/MSLK/pull/158",
        "Fix CUTLASS grouped GEMM wgrad NaN for zero-token experts", "torch", "mixture of experts", "empty group",
        "uninitialized", torch_vjp(grouped_product, grouped_product_backward(torch.empty_like, "")),
        torch_vjp(grouped_product, grouped_product_backward(torch.zeros_like, "")), experts, ("args[1]",),
        grouped_product,
    ),
    Bug(
        "matrices of experts without tokens get the gradient of other tokens",
        "https://github.com/pytorch/pytorch/issues/172439",
        "Bug: grouped_mm produces non-zero gradients for zero-size groups on B200 (Blackwell) GPUs", "torch",
        "mixture of experts", "empty group", "mask-not-applied",
        torch_vjp(grouped_product, grouped_product_backward(torch.zeros_like, "neighbour")),
        torch_vjp(grouped_product, grouped_product_backward(torch.zeros_like, "")),
        lambda rng: [rng.normal(size=(7, 4)), rng.normal(size=(4, 4, 3)), np.array([0, 3, 0, 4])], ("args[1]",),
        grouped_product,
    ),
    Bug(
        "rows that the forward pass cuts off are never written", "https://github.com/pytorch/FBGEMM/pull/5754",
        "pack_segments backward CUDA: zero-init gradient buffer to fix uninit-memory NaNs (#5754)", "torch",
        "scatter and gather", "segments that are too long", "uninitialized",
        torch_vjp(packed, packed_backward(torch.empty_like)), torch_vjp(packed, packed_backward(torch.zeros_like)),
        lambda rng: [rng.normal(size=(9, 3)), np.array([4, 2, 3]), 3], ("args[0]",), packed,
    ),
    Bug(
        "a second backward pass uses buffers that the first has overwritten",
        "https://github.com/axolotl-ai-cloud/axolotl/pull/3892",
        "B200-tuned factored LoRA MLP kernel behind lora_mlp_kernel_b200 + dedicated B200 CI suite", "torch",
        "elementwise", "second backward pass", "stale", OverwritingGate.apply, gate,
        lambda rng: [rng.normal(size=(4, 5)), rng.normal(size=(4, 5))], ("args[0]", "args[1]"), gate,
    ),
    Bug(
        "the gradient is stored in the memory of the input", "https://github.com/linkedin/Liger-Kernel/issues/272",
        "In-place operations in triton kernel might result in incorrect gradient calculations", "torch",
        "cross-entropy", "input used elsewhere", "modified", GradientInInput.apply,
        torch_vjp(mean_loss, mean_loss_backward),
        lambda rng: [rng.normal(size=(5, 7)), rng.integers(0, 7, 5)], ("args[0]",), mean_loss,
    ),
    Bug(
        "the gradient of the weight is summed in 16 bits", "https://github.com/linkedin/Liger-Kernel/pull/950",
        "fixbug, ensure FP32 accumulation for dW in Llama-mode RMSNorm backward", "torch", "RMS norm",
        "16-bit accumulation", "accumulation", torch_vjp(rms_norm, rms_norm_backward(one_after_the_other)),
        torch_vjp(rms_norm, rms_norm_backward(lambda terms, dtype: terms.sum(0))),
        lambda rng: [rng.uniform(0.5, 2, (4096, 4)), rng.normal(size=4)], ("args[1]",), rms_norm, ("bfloat16",),
    ),
    Bug(
        "a frequent token adds its gradients in 16 bits", "https://github.com/tenstorrent/tt-metal/pull/53386",
        "[Bug fix] embedding_bw: accumulate repeated indices in FP32", "torch", "embedding", "16-bit accumulation",
        "accumulation", torch_vjp(embedding, embedding_backward(None)),
        torch_vjp(embedding, embedding_backward(torch.float64)),
        lambda rng: [rng.normal(size=(4, 3)), np.minimum(rng.integers(0, 40, 1500), 3)], ("args[0]",),
        dtypes=("bfloat16",),
    ),
)  # fmt: skip
