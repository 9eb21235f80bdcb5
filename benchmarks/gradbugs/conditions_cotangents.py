"""Bugs that need an unequal cotangent, a second output or a second derivative."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn import functional

from benchmarks.gradbugs.bug import Bug
from benchmarks.gradbugs.kernels import torch_vjp, wide


def token_losses(logits: Any, target: Any) -> Any:
    kept = functional.cross_entropy(wide(logits), target, reduction="none", ignore_index=-100)
    return kept.to(logits.dtype)


def token_losses_backward(choose: Any) -> Any:
    """The gradient of the losses of tokens; choose is what the kernel takes from the cotangent."""

    def backward(g: Any, logits: Any, target: Any) -> Any:
        p = torch.softmax(wide(logits), -1)
        d = (p - functional.one_hot(target.clamp(min=0), p.shape[-1])) * (target != -100)[:, None]
        return (d * choose(wide(g))).to(logits.dtype)

    return backward


def logits_and_targets(rng: np.random.Generator) -> list[Any]:
    return [rng.normal(size=(6, 9)), np.array([1, 4, -100, 8, 0, 3])]


def linear_losses(x: Any, weight: Any, target: Any) -> Any:
    """The loss of each token from its hidden state and the weight of the last layer."""
    x_, w = wide(x, weight)
    return functional.cross_entropy(x_ @ w.mT, target, reduction="none").to(x.dtype)


def linear_losses_backward(weighted: bool) -> Any:
    """Gradients computed in the forward pass, times the cotangent; unweighted: times its first entry."""

    def backward(g: Any, x: Any, weight: Any, target: Any) -> Any:
        x_, w, g = wide(x, weight, g)
        d = torch.softmax(x_ @ w.mT, -1) - functional.one_hot(target, w.shape[0])
        d = d * (g[:, None] if weighted else g[0])
        return (d @ w).to(x.dtype), (d.mT @ x_).to(weight.dtype)

    return backward


def recurrence(x: Any, decay: Any, state: Any) -> tuple[Any, Any]:
    """The outputs h[t] = decay h[t-1] + x[t], and the last of them as the new state."""
    x_, a, h = wide(x, decay, state)
    found = []
    for row in x_:
        h = a * h + row
        found.append(h)
    return torch.stack(found).to(x.dtype), h.to(x.dtype)


def recurrence_backward(with_state: bool) -> Any:
    """The gradients of a recurrence; without the cotangent of its last state."""

    def backward(g: Any, g_state: Any, x: Any, decay: Any, state: Any) -> Any:
        x_, a, h0, g = wide(x, decay, state, g)
        before, h = [], h0
        for row in x_:
            before.append(h)
            h = a * h + row
        carried = wide(g_state) if with_state else torch.zeros_like(h0)
        dx, da = [], torch.zeros_like(a)
        for t in range(len(x_) - 1, -1, -1):
            carried = carried + g[t]
            dx.insert(0, carried)
            da = da + carried * before[t]
            carried = carried * a
        return torch.stack(dx).to(x.dtype), da.to(decay.dtype), carried.to(state.dtype)

    return backward


class DetachedSquare(torch.autograd.Function):
    """(2 x)², whose backward pass uses 2 x from the forward pass as a constant."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.doubled = 2 * x
        return ctx.doubled**2

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return 4 * ctx.doubled * g


class Square(torch.autograd.Function):
    """(2 x)², whose backward pass starts from x."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return (2 * x) ** 2

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (x,) = ctx.saved_tensors
        return 8 * x * g


def silu(x: Any, beta: Any) -> Any:
    x_, b = wide(x, beta)
    return (x_ * torch.sigmoid(b * x_)).to(x.dtype)


def silu_backward(to_one_number: bool) -> Any:
    """The gradients of x sigmoid(beta x), that of beta summed over all axes or over those that beta lacks."""

    def backward(g: Any, x: Any, beta: Any) -> Any:
        x_, b, g = wide(x, beta, g)
        s = torch.sigmoid(b * x_)
        terms = g * x_ * x_ * s * (1 - s)
        db = terms.sum().expand_as(beta) if to_one_number else terms.sum(0)
        return (g * (s + b * x_ * s * (1 - s))).to(x.dtype), db.to(beta.dtype)

    return backward


BUGS = (
    Bug(
        "the cotangent of token losses is taken for one number", "https://github.com/ROCm/TransformerEngine/pull/336",
        "Fused Cross Entropy Triton - Loss Scaling and Vanishing Grads Bugfix", "torch", "cross-entropy",
        "unequal cotangent", "uniform-cotangent",
        torch_vjp(token_losses, token_losses_backward(lambda g: g[0])),
        torch_vjp(token_losses, token_losses_backward(lambda g: g[:, None])), logits_and_targets, ("args[0]",),
        token_losses,
    ),
    Bug(
        "fused linear losses ignore the weights of the tokens", "https://github.com/linkedin/Liger-Kernel/issues/968",
        "[BUG]LigerFusedLinearCrossEntropyLoss(reduction='none') results in wrong grad, even causes grad=0", "torch",
        "cross-entropy", "unequal cotangent", "uniform-cotangent",
        torch_vjp(linear_losses, linear_losses_backward(False)), torch_vjp(linear_losses, linear_losses_backward(True)),
        lambda rng: [rng.normal(size=(5, 6)), rng.normal(size=(7, 6)), rng.integers(0, 7, 5)], ("args[0]", "args[1]"),
        linear_losses,
    ),
    Bug(
        "the cotangent of the last state is ignored", "https://github.com/huggingface/transformers/pull/23774",
        "Fix RWKV backward on GPU", "torch", "linear recurrence", "second output", "missing-term",
        torch_vjp(recurrence, recurrence_backward(False)), torch_vjp(recurrence, recurrence_backward(True)),
        lambda rng: [rng.normal(size=(5, 4)), rng.uniform(0.2, 0.9, 4), rng.normal(size=4)],
        ("args[0]", "args[1]", "args[2]"), recurrence,
    ),
    Bug(
        "the second derivative ignores what the forward pass has saved",
        "https://github.com/pytorch/pytorch/issues/58509",
        "custom Function intermediary results are dangerous for double backward", "torch", "elementwise",
        "second order", "second-order", DetachedSquare.apply, Square.apply, lambda rng: [rng.normal(size=7)],
        ("args[0]",), order=2,
    ),
    Bug(
        "the gradient of a vector that was broadcast is summed to one number",
        "https://github.com/tensorflow/tensorflow/issues/127690",
        "SiLU/Swish returns incorrect gradients for broadcasted Tensor beta", "torch", "elementwise", "broadcasting",
        "wrong-axis", torch_vjp(silu, silu_backward(True)), torch_vjp(silu, silu_backward(False)),
        lambda rng: [rng.normal(size=(6, 5)), rng.uniform(0.5, 2, 5)], ("args[1]",), silu,
    ),
)  # fmt: skip
