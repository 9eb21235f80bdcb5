"""Bugs in norms: RMS, layer, group and batch."""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.gradbugs.bug import Bug, kernel_bug

Tensor = torch.Tensor
EPS = 1e-5


def rms_norm(x: Tensor, weight: Tensor) -> Tensor:
    return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + EPS) * weight


def rms_norm_backward(g: Tensor, x: Tensor, weight: Tensor, *, fault: str = "", faulty: bool = True) -> Any:
    fault = fault if faulty else ""
    r = torch.rsqrt((x * x).mean(-1, keepdim=True) + EPS)
    gw = g if fault == "weight" else g * weight
    row = (gw * x).mean(-1) * r[:, 0] ** 3
    dx = gw * r - x * (row if fault == "columns" else row[:, None])
    return dx, None if fault == "none" else (g * x * r).sum(0)


def without_weight(g: Tensor, x: Tensor, weight: Tensor, *, faulty: bool) -> Any:
    return rms_norm_backward(g, x, weight, fault="weight", faulty=faulty)


def over_columns(g: Tensor, x: Tensor, weight: Tensor, *, faulty: bool) -> Any:
    return rms_norm_backward(g, x, weight, fault="columns", faulty=faulty)


def no_weight_gradient(g: Tensor, x: Tensor, weight: Tensor, *, faulty: bool) -> Any:
    return rms_norm_backward(g, x, weight, fault="none", faulty=faulty)


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred * torch.rsqrt((centred * centred).mean(-1, keepdim=True) + EPS) * weight + bias


def layer_norm_backward(g: Tensor, x: Tensor, weight: Tensor, bias: Tensor, *, faulty: bool) -> Any:
    """Faulty: the sums of a row are those of the whole block of rows."""
    centred = x - x.mean(-1, keepdim=True)
    r = torch.rsqrt((centred * centred).mean(-1, keepdim=True) + EPS)
    h, gw, n = centred * r, g * weight, x.shape[-1]
    first, second = (gw.sum(), (gw * h).sum()) if faulty else (gw.sum(-1, True), (gw * h).sum(-1, True))
    return r * (gw - first / n - h * second / n), (g * h).sum(0), g.sum(0)


# The norm of groups of channels.

GROUPS = 2


def grouped_rms_norm(x: Tensor, weight: Tensor) -> Tensor:
    groups = x.reshape(len(x), GROUPS, -1)
    return (groups * torch.rsqrt((groups * groups).mean(-1, keepdim=True) + EPS)).reshape(x.shape) * weight


def grouped_rms_norm_backward(g: Tensor, x: Tensor, weight: Tensor, *, faulty: bool) -> Any:
    """Faulty: the sums are those of all channels."""
    groups, gw = x.reshape(len(x), GROUPS, -1), (g * weight).reshape(len(x), GROUPS, -1)
    r = torch.rsqrt((groups * groups).mean(-1, keepdim=True) + EPS)
    mean = (gw * groups).flatten(1).mean(-1)[:, None, None] if faulty else (gw * groups).mean(-1, keepdim=True)
    dx = gw * r - groups * r**3 * mean
    return dx.reshape(x.shape), (g * (groups * r).reshape(x.shape)).sum(0)


def group_norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x of images, channels and positions."""
    groups = x.reshape(len(x), GROUPS, -1)
    centred = groups - groups.mean(-1, keepdim=True)
    h = centred * torch.rsqrt((centred * centred).mean(-1, keepdim=True) + EPS)
    return h.reshape(x.shape) * weight[:, None] + bias[:, None]


def group_statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    groups = x.reshape(len(x), GROUPS, -1)
    mean = groups.mean(-1, keepdim=True)
    return mean, torch.rsqrt(((groups - mean) ** 2).mean(-1, keepdim=True) + EPS)


def padded_group_backward(g: Tensor, x: Tensor, weight: Tensor, bias: Tensor, *, faulty: bool) -> Any:
    """Faulty: three channels a group are padded to four, and the sums take in the first channel of the next group."""
    mean, r = group_statistics(x)
    h = (x.reshape(len(x), GROUPS, -1) - mean) * r
    gw = g * weight[:, None]
    size, positions = x.shape[1] // GROUPS, x.shape[2]
    sums = []
    for terms in (gw, gw * h.reshape(x.shape)):
        own = terms.reshape(len(x), GROUPS, -1).sum(-1)
        if faulty:
            own = own + torch.cat([terms[:, size::size].sum(-1), torch.zeros_like(own[:, :1])], 1)
        sums.append(own[:, :, None] / (size * positions))
    dx = r * (gw.reshape(len(x), GROUPS, -1) - sums[0] - h * sums[1])
    return dx.reshape(x.shape), (g * h.reshape(x.shape)).sum((0, 2)), g.sum((0, 2))


def other_group_backward(g: Tensor, x: Tensor, weight: Tensor, bias: Tensor, *, faulty: bool) -> Any:
    """Faulty: the gradient of the weight takes the statistics of group (channel mod groups)."""
    dx, dweight, dbias = padded_group_backward(g, x, weight, bias, faulty=False)
    if faulty:
        mean, r = (s[:, :, 0] for s in group_statistics(x))
        group = torch.arange(x.shape[1]) % GROUPS
        dweight = (g * (x - mean[:, group, None]) * r[:, group, None]).sum((0, 2))
    return dx, dweight, dbias


def batch_norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    centred = x - x.mean(0)
    return centred * torch.rsqrt((centred * centred).mean(0) + EPS) * weight + bias


def batch_norm_backward(g: Tensor, x: Tensor, weight: Tensor, bias: Tensor, *, faulty: bool) -> Any:
    """Faulty: mean and variance as constants."""
    centred = x - x.mean(0)
    r = torch.rsqrt((centred * centred).mean(0) + EPS)
    h, gw = centred * r, g * weight
    dx = r * gw if faulty else r * (gw - gw.mean(0) - h * (gw * h).mean(0))
    return dx, (g * h).sum(0), g.sum(0)


def evaluated_batch_norm(x: Tensor, mean: Tensor, var: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return (x - mean.detach()) * torch.rsqrt(var.detach() + EPS) * weight + bias


def evaluated_backward(g: Tensor, x: Tensor, mean: Tensor, var: Tensor, weight: Tensor, bias: Tensor, *, faulty: bool):  # type: ignore[no-untyped-def]
    """Faulty: the backward pass of training."""
    r = torch.rsqrt(var + EPS)
    h, gw = (x - mean) * r, g * weight
    dx = r * (gw - gw.mean(0) - h * (gw * h).mean(0)) if faulty else r * gw
    return dx, None, None, (g * h).sum(0), g.sum(0)


def two_layer_norms(x: Tensor, other: Tensor, scale: Tensor) -> Tensor:
    """The norm of x plus another branch, each row of both times its own scale (rows of x first)."""
    n = len(x)
    total = x * scale[:n, None] + other * scale[n:, None]
    return total * torch.rsqrt((total * total).mean(-1, keepdim=True) + EPS)


def two_layer_norms_backward(g: Tensor, x: Tensor, other: Tensor, scale: Tensor, *, faulty: bool) -> Any:
    n = len(x)
    total = x * scale[:n, None] + other * scale[n:, None]
    r = torch.rsqrt((total * total).mean(-1, keepdim=True) + EPS)
    d = g * r - total * r**3 * (g * total).mean(-1, keepdim=True)
    dscale = torch.cat([(d * x).sum(-1), (d * other).sum(-1)])
    return d * scale[:n, None], d if faulty else d * scale[n:, None], dscale


def normal(*shapes: tuple[int, ...]) -> Any:
    return lambda rng: [rng.standard_normal(shape) for shape in shapes]


BUGS: tuple[Bug, ...] = (
    kernel_bug(
        name="RMS norm: term of a row broadcast over the columns",
        source="https://github.com/BobMcDear/attorch/issues/17",
        title="RMSNorm backward broadcasts each row's correction term across columns",
        operation="RMS norm", condition="as many rows as columns in a block", kind="wrong-axis",
        forward=rms_norm, backward=over_columns, arguments=("args[0]",), inputs=normal((6, 6), (6,)),
    ),
    kernel_bug(
        name="RMS norm: no gradient of the weight",
        source="https://github.com/unslothai/unsloth/pull/4550",
        title="fix: compute RMSNorm weight gradients in fast_rms_layernorm backward (#4533)",
        operation="RMS norm", condition="", kind="entries-missing",
        forward=rms_norm, backward=no_weight_gradient, arguments=("args[1]",), inputs=normal((5, 8), (8,)),
    ),
    kernel_bug(
        name="RMS norm: not multiplied by the weight",
        source="https://github.com/karpathy/llm.c/pull/763",
        title="rmsnorm backward simple baseline kernel",
        operation="RMS norm", condition="weight other than 1", kind="missing-term",
        forward=rms_norm, backward=without_weight, arguments=("args[0]",), inputs=normal((5, 8), (8,)),
    ),
    kernel_bug(
        name="layer norm: sums over all rows of a block",
        source="https://github.com/flagos-ai/FlagGems/pull/59",
        title="[bugfix] fix error in layer_norm_backward_kernel",
        operation="layer norm", condition="several rows in a block", kind="wrong-axis",
        forward=layer_norm, backward=layer_norm_backward, arguments=("args[0]",), inputs=normal((4, 8), (8,), (8,)),
    ),
    kernel_bug(
        name="grouped RMS norm: sums over all groups",
        source="https://github.com/state-spaces/mamba/pull/547",
        title="Fix Consider group_size in layer_norm_bwd",
        operation="RMS norm", condition="more than one group", kind="wrong-axis",
        forward=grouped_rms_norm, backward=grouped_rms_norm_backward, arguments=("args[0]",),
        inputs=normal((4, 8), (8,)),
    ),
    kernel_bug(
        name="group norm: padding takes in the next group",
        source="https://github.com/flagos-ai/FlagGems/pull/4985",
        title="fix(group_norm): mask padding lanes when group size is not a power of two",
        operation="group norm", condition="last tile", kind="wrong-axis",
        forward=group_norm, backward=padded_group_backward, arguments=("args[0]",),
        inputs=normal((3, 6, 4), (6,), (6,)),
    ),
    kernel_bug(
        name="group norm: statistics of another group",
        source="https://github.com/tenstorrent/tt-metal/pull/56202",
        title="Fix moreh_group_norm_backward gamma_grad group index from global channel (#51278 item 5)",
        operation="group norm", condition="more than one group", kind="region",
        forward=group_norm, backward=other_group_backward, arguments=("args[1]",),
        inputs=normal((3, 6, 4), (6,), (6,)),
    ),
    kernel_bug(
        name="batch norm: statistics as constants",
        source="https://github.com/facebookresearch/CrypTen/pull/143",
        title="Fix batchnorm input gradient",
        operation="batch norm", condition="training", kind="missing-term",
        forward=batch_norm, backward=batch_norm_backward, arguments=("args[0]",), inputs=normal((6, 5), (5,), (5,)),
    ),
    kernel_bug(
        name="batch norm in evaluation: gradient of training",
        source="https://github.com/pytorch/xla/issues/913",
        title="Batchnorm produce wrong gradient in eval mode",
        operation="batch norm", condition="evaluation", kind="extra-term",
        forward=evaluated_batch_norm, backward=evaluated_backward, arguments=("args[0]",),
        inputs=lambda rng: [
            rng.standard_normal((6, 5)), rng.standard_normal(5), rng.uniform(0.5, 2, 5), *rng.standard_normal((2, 5))
        ],
        kwargs=(("wrt", (0, 3, 4)),),
    ),
    kernel_bug(
        name="norm of two branches: scale of the rows of one branch missing",
        source="https://github.com/state-spaces/mamba/pull/1023",
        title="Fix layer_norm backward to reuse the forward dropout mask and scale dx1 by rowscale",
        operation="layer norm", condition="scale of the rows", kind="missing-term",
        forward=two_layer_norms, backward=two_layer_norms_backward, arguments=("args[1]",),
        inputs=normal((4, 8), (4, 8), (8,)),
    ),
)  # fmt: skip
