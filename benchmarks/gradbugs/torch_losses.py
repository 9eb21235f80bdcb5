"""Bugs in softmax and cross-entropy."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from benchmarks.gradbugs.bug import Bug, kernel_bug

Tensor = torch.Tensor
IGNORED = -100


def row_losses(logits: Tensor, target: Tensor) -> Tensor:
    """The cross-entropy of each row; 0 for the rows whose target is ignored."""
    picked = torch.log_softmax(logits, -1).gather(-1, target.clamp(min=0)[:, None])[:, 0]
    return torch.where(target == IGNORED, torch.zeros_like(picked), -picked)


def row_losses_backward(g: Tensor, logits: Tensor, target: Tensor) -> Tensor:
    difference = torch.softmax(logits, -1)
    difference = difference - torch.nn.functional.one_hot(target.clamp(min=0), logits.shape[-1]).to(difference.dtype)
    return difference * (g * (target != IGNORED))[:, None]


# The losses of a projection: the gradient of the weight is computed before the cotangent is known.


def linear_losses(x: Tensor, weight: Tensor, target: Tensor) -> Tensor:
    return row_losses(x @ weight.T, target)


def linear_losses_backward(g: Tensor, x: Tensor, weight: Tensor, target: Tensor, *, faulty: bool) -> Any:
    logits = x @ weight.T
    by_row = row_losses_backward(torch.ones_like(g), logits, target)
    dx = (by_row * g[:, None]) @ weight
    return dx, (by_row.T @ x) * g[0] if faulty else (by_row * g[:, None]).T @ x


# Logits times a constant, inside of the kernel.

SCALE = 0.75


def scaled_losses(logits: Tensor, target: Tensor) -> Tensor:
    return row_losses(logits * SCALE, target).mean()


def scaled_losses_backward(g: Tensor, logits: Tensor, target: Tensor, *, faulty: bool) -> Tensor:
    p = torch.softmax(logits * SCALE, -1)
    one = torch.nn.functional.one_hot(target, logits.shape[-1]).to(p.dtype)
    difference = p * SCALE - one if faulty else (p - one) * SCALE
    return difference * g / len(target)


def mean_of_probabilities(p: Tensor, target: Tensor) -> Tensor:
    return -(target * torch.log(p)).sum() / len(p)


def mean_of_probabilities_backward(g: Tensor, p: Tensor, target: Tensor, *, faulty: bool) -> Any:
    n = 1 if faulty else len(p)
    return -g * target / p / n, -g * torch.log(p) / len(p)


# Softmax.


def softmax(x: Tensor) -> Tensor:
    return torch.softmax(x * 0.5, -1)


def softmax_backward(g: Tensor, x: Tensor, *, faulty: bool) -> Tensor:
    y = softmax(x)
    found = g if faulty else g.clone()
    found.sub_((g * y).sum(-1, keepdim=True)).mul_(y).mul_(0.5)
    return found


def log_softmax(x: Tensor) -> Tensor:
    return torch.log_softmax(x, -1)


def log_softmax_backward(g: Tensor, x: Tensor, *, faulty: bool) -> Tensor:
    y = log_softmax(x)
    if faulty:
        return g - (g * y).sum(-1, keepdim=True)
    return g - torch.exp(y) * g.sum(-1, keepdim=True)


def masked_softmax(x: Tensor, mask: Tensor) -> Tensor:
    """A row of which nothing is kept is uniform."""
    return torch.softmax(x.masked_fill(~mask, -10000.0), -1)


def masked_softmax_backward(g: Tensor, x: Tensor, mask: Tensor, *, faulty: bool) -> Tensor:
    y = masked_softmax(x, mask)
    dx = y * (g - (g * y).sum(-1, keepdim=True))
    return dx if faulty else dx.masked_fill(~mask, 0.0)


def rows_with_ignored(rng: np.random.Generator) -> list[Any]:
    return [rng.standard_normal((7, 9)), np.array([3, IGNORED, 0, 8, 5, IGNORED, 2])]


def keep(rng: np.random.Generator) -> list[Any]:
    mask = rng.random((5, 7)) < 0.7
    mask[:, 0], mask[3] = True, False
    return [rng.standard_normal((5, 7)), mask]


def distribution(rng: np.random.Generator, *shape: int) -> np.ndarray:
    p = np.exp(rng.standard_normal(shape))
    return p / p.sum(-1, keepdims=True)


BUGS: tuple[Bug, ...] = (
    kernel_bug(
        name="fused linear cross-entropy: one cotangent for all rows",
        source="https://github.com/linkedin/Liger-Kernel/pull/1298",
        title="Fix wrong grad_weight/grad_bias for fused linear cross entropy with reduction='none'",
        operation="cross-entropy", condition="cotangent that is not uniform", kind="uniform-cotangent",
        forward=linear_losses, backward=linear_losses_backward, arguments=("args[1]",),
        inputs=lambda rng: [rng.standard_normal((7, 5)), rng.standard_normal((9, 5)), rows_with_ignored(rng)[1]],
    ),
    kernel_bug(
        name="cross-entropy of scaled logits: scale on the probabilities only",
        source="https://github.com/ServiceNow/Fast-LLM/issues/228",
        title="[bug] Logit scaling incorrect for triton and torch cross-entropy",
        operation="cross-entropy", condition="logits with a scale", kind="wrong-term",
        forward=scaled_losses, backward=scaled_losses_backward, arguments=("args[0]",),
        inputs=lambda rng: [rng.standard_normal((6, 8)), rng.integers(0, 8, 6)],
    ),
    kernel_bug(
        name="cross-entropy of probabilities: not divided by the batch",
        source="https://github.com/fetchai/ledger/pull/1580",
        title="fix crossentropy loss",
        operation="cross-entropy", condition="", kind="scale",
        forward=mean_of_probabilities, backward=mean_of_probabilities_backward, arguments=("args[0]",),
        inputs=lambda rng: [distribution(rng, 5, 4), distribution(rng, 5, 4)],
    ),
    kernel_bug(
        name="fused softmax: the cotangent is overwritten",
        source="https://github.com/NVIDIA/apex/issues/1430",
        title="fused_softmax kernel modifies input_grad tensor during backward step calculation.",
        operation="softmax", condition="another use of the cotangent", kind="modified",
        forward=softmax, backward=softmax_backward, arguments=("cotangent of output",),
        inputs=lambda rng: [rng.standard_normal((4, 6))], dtypes=("float64", "float32"),
    ),
    kernel_bug(
        name="log-softmax: the derivative of softmax",
        source="https://github.com/uxlfoundation/oneDNN/issues/616",
        title="Backward pass of the logsoftmax primitive seems to be incorrect",
        operation="softmax", condition="", kind="wrong-term",
        forward=log_softmax, backward=log_softmax_backward, arguments=("args[0]",),
        inputs=lambda rng: [rng.standard_normal((4, 6))],
    ),
    kernel_bug(
        name="masked softmax: a row that is masked as a whole",
        source="https://github.com/NVIDIA/apex/pull/1444",
        title="support for full mask in fused softmax kernel + avoiding inplace operation in bwd pass",
        operation="softmax", condition="row without an entry that is kept", kind="mask-not-applied",
        forward=masked_softmax, backward=masked_softmax_backward, arguments=("args[0]",), inputs=keep,
    ),
)  # fmt: skip
