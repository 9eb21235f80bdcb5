"""Bugs that need a memory layout: backward kernels that take an array for contiguous."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn import functional

from benchmarks.gradbugs.bug import Bug
from benchmarks.gradbugs.kernels import read, read_contiguous, torch_vjp, wide


def token_losses(logits: Any, target: Any) -> Any:
    return functional.cross_entropy(wide(logits), target, reduction="none").to(logits.dtype)


def token_losses_backward(load: Any) -> Any:
    """The gradient of the losses of tokens; load is how the kernel reads one number for each row."""

    def backward(g: Any, logits: Any, target: Any) -> Any:
        p = torch.softmax(wide(logits), -1)
        return ((p - functional.one_hot(target, p.shape[-1])) * wide(load(g))[:, None]).to(logits.dtype)

    return backward


def logits_and_targets(rng: np.random.Generator) -> list[Any]:
    return [rng.normal(size=(6, 9)), rng.integers(0, 9, 6)]


def scaled_and_squared(x: Any, weight: Any) -> Any:
    return x * weight + x * x


def scaled_and_squared_backward(follow: bool) -> Any:
    """The gradients of x w + x x; a kernel that does not follow the cotangent's strides uses those of x."""

    def backward(g: Any, x: Any, weight: Any) -> Any:
        g = g if follow else read(g, x.stride())
        x_, w, g = wide(x, weight, g)
        return (g * (w + 2 * x_)).to(x.dtype), (g * x_).sum(0).to(weight.dtype)

    return backward


def causal_convolution(x: Any, weight: Any) -> Any:
    """Each channel of x (time, channels) with its own filter (channels, width)."""
    n, width = x.shape[0], weight.shape[1]
    x_, w = wide(x, weight)
    padded = torch.cat([x_.new_zeros(width - 1, x.shape[1]), x_])
    return sum(padded[k : k + n] * w[:, k] for k in range(width)).to(x.dtype)


def causal_convolution_backward(load: Any) -> Any:
    def backward(g: Any, x: Any, weight: Any) -> Any:
        x_, w, g = wide(x, weight, load(g))
        n, width = x.shape[0], weight.shape[1]
        padded = torch.cat([x_.new_zeros(width - 1, x.shape[1]), x_])
        behind = torch.cat([g, g.new_zeros(width - 1, x.shape[1])])
        dx = sum(behind[width - 1 - k : width - 1 - k + n] * w[:, k] for k in range(width))
        dw = torch.stack([(padded[k : k + n] * g).sum(0) for k in range(width)], -1)
        return dx.to(x.dtype), dw.to(weight.dtype)

    return backward


def attention(q: Any, k: Any, v: Any) -> Any:
    q_, k_, v_ = wide(q, k, v)
    return (torch.softmax(q_ @ k_.mT * q.shape[-1] ** -0.5, -1) @ v_).to(q.dtype)


def attention_backward(load: Any) -> Any:
    def backward(g: Any, q: Any, k: Any, v: Any) -> Any:
        q_, k_, v_, g = wide(q, k, v, load(g))
        scale = q.shape[-1] ** -0.5
        p = torch.softmax(q_ @ k_.mT * scale, -1)
        dp = g @ v_.mT
        ds = p * (dp - (p * dp).sum(-1, keepdim=True)) * scale
        return (ds @ k_).to(q.dtype), (ds.mT @ q_).to(k.dtype), (p.mT @ g).to(v.dtype)

    return backward


def rms_norm(x: Any, weight: Any) -> Any:
    x_, w = wide(x, weight)
    return (x_ * torch.rsqrt(x_.square().mean(-1, keepdim=True) + 1e-6) * w).to(x.dtype)


def rms_norm_backward(load: Any) -> Any:
    def backward(g: Any, x: Any, weight: Any) -> Any:
        x_, w, g = wide(load(x), weight, g)
        r = torch.rsqrt(x_.square().mean(-1, keepdim=True) + 1e-6)
        h = x_ * r
        gw = g * w
        dx = r * (gw - h * (gw * h).mean(-1, keepdim=True))
        return dx.to(x.dtype), (g * h).sum(0).to(weight.dtype)

    return backward


def rows_with_one_stride(x: Any) -> Any:
    """A read of rows that follows their stride, and takes the columns for neighbours in memory."""
    return read(x, (x.stride(0), 1))


def gated_state(x: Any, state: Any) -> Any:
    """y[t] = silu(x[t] + decay[t] state), the outputs of a convolution with an initial state."""
    x_, s = wide(x, state)
    decay = 0.5 ** torch.arange(1, x.shape[0] + 1, dtype=x_.dtype)[:, None]
    return functional.silu(x_ + decay * s).to(x.dtype)


def gated_state_backward(follow: bool) -> Any:
    """A kernel for the state's gradient that reads y, which is contiguous, with the cotangent's strides."""

    def backward(g: Any, x: Any, state: Any) -> Any:
        x_, s, g_ = wide(x, state, g)
        decay = 0.5 ** torch.arange(1, x.shape[0] + 1, dtype=x_.dtype)[:, None]
        y = (x_ + decay * s).contiguous()
        sigmoid = torch.sigmoid(y)
        slope = sigmoid * (1 + y * (1 - sigmoid))
        read_slope = slope if follow else read(slope, g.stride())
        return (g_ * slope).to(x.dtype), (g_ * read_slope * decay).sum(0).to(state.dtype)

    return backward


BUGS = (
    Bug(
        "cross-entropy reads an expanded cotangent as one number a row", "https://github.com/ROCm/TransformerEngine/pull/623",
        "Fix fused cross-entropy backward with broadcasted grad_output", "torch", "cross-entropy", "expanded cotangent",
        "layout", torch_vjp(token_losses, token_losses_backward(read_contiguous)),
        torch_vjp(token_losses, token_losses_backward(lambda g: g)), logits_and_targets, ("args[0]",), token_losses,
    ),
    Bug(
        "a kernel reads its cotangent with the strides of its input", "https://github.com/pytorch/pytorch/issues/194719",
        "Wrong gradient with torch.cat after custom Triton kernel", "torch", "elementwise",
        "cotangent from a concatenation", "layout", torch_vjp(scaled_and_squared, scaled_and_squared_backward(False)),
        torch_vjp(scaled_and_squared, scaled_and_squared_backward(True)),
        lambda rng: [rng.normal(size=(5, 8)), rng.normal(size=8)], ("args[0]", "args[1]"), scaled_and_squared,
    ),
    Bug(
        "causal convolution takes its cotangent for contiguous",
        "https://github.com/fla-org/flash-linear-attention/pull/871",
        "[Conv] Fix causal_conv1d backward producing wrong gradients for non-contiguous dy", "torch", "convolution",
        "cotangent from a concatenation", "layout",
        torch_vjp(causal_convolution, causal_convolution_backward(read_contiguous)),
        torch_vjp(causal_convolution, causal_convolution_backward(lambda g: g)),
        lambda rng: [rng.normal(size=(9, 4)), rng.normal(size=(4, 3))], ("args[0]", "args[1]"), causal_convolution,
    ),
    Bug(
        "attention takes its cotangent for contiguous", "https://github.com/Dao-AILab/flash-attention/issues/355",
        "Incorrect backward pass for non-contiguous output grads", "torch", "attention", "transposed cotangent",
        "layout", torch_vjp(attention, attention_backward(read_contiguous)),
        torch_vjp(attention, attention_backward(lambda g: g)),
        lambda rng: [rng.normal(size=(2, 7, 4)) for _ in range(3)], ("args[0]", "args[1]", "args[2]"), attention,
    ),
    Bug(
        "rms norm takes the columns of its input for neighbours in memory",
        "https://github.com/ByteDance-Seed/VeOmni/pull/958",
        "[ops, perf] feat: single-pass fwd + fused bwd for deterministic RMSNorm on H100", "torch", "RMS norm",
        "strided input", "layout", torch_vjp(rms_norm, rms_norm_backward(rows_with_one_stride)),
        torch_vjp(rms_norm, rms_norm_backward(lambda x: x)),
        lambda rng: [rng.normal(size=(5, 12)), rng.normal(size=12)],
        ("args[0]", "args[1]"), rms_norm,
    ),
    Bug(
        "the gradient of an initial state reads the output with the strides of the cotangent",
        "https://github.com/fla-org/flash-linear-attention/pull/1139",
        "[Fix] Honor the real layouts of `y` and `dy` in `compute_dh0_kernel`", "torch", "linear recurrence",
        "expanded cotangent", "layout", torch_vjp(gated_state, gated_state_backward(False)),
        torch_vjp(gated_state, gated_state_backward(True)), lambda rng: [rng.normal(size=(6, 5)), rng.normal(size=5)],
        ("args[1]",), gated_state,
    ),
)  # fmt: skip
