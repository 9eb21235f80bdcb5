"""Bugs in convolutions, interpolation, grid sampling and pooling."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from benchmarks.gradbugs.bug import Bug, kernel_bug

Tensor = torch.Tensor


def by_autograd(function: Any, g: Tensor, *arrays: Tensor) -> tuple[Tensor, ...]:
    """The gradients of a plain function."""
    with torch.enable_grad():
        leaves = [x.detach().requires_grad_() for x in arrays]
        return torch.autograd.grad(function(*leaves), leaves, g)


GROUPS = 2


def grouped_convolution(x: Tensor, weight: Tensor) -> Tensor:
    return functional.conv1d(x, weight, padding=1, groups=GROUPS)


def grouped_convolution_backward(g: Tensor, x: Tensor, weight: Tensor, *, faulty: bool) -> Any:
    """Faulty: channels of the output and of the group are exchanged in the gradient of the filters."""
    dx, _ = by_autograd(grouped_convolution, g, x, weight)
    out, own, width = weight.shape
    padded = functional.pad(x, (1, 1))
    terms = torch.stack([torch.einsum("nol,nil->oi", g, padded[..., k : k + g.shape[-1]]) for k in range(width)], -1)
    every = terms.reshape(GROUPS, out // GROUPS, GROUPS, own, width)
    blocks = torch.stack([every[k, :, GROUPS - 1 - k if faulty else k] for k in range(GROUPS)])
    return dx, blocks.reshape(weight.shape)


def spread(x: Tensor, weight: Tensor) -> Tensor:
    """A transposed convolution with a filter of one entry and stride 2."""
    return functional.conv_transpose2d(x, weight, stride=2)


def spread_backward(g: Tensor, x: Tensor, weight: Tensor, *, faulty: bool) -> Any:
    """Faulty: the cotangent is read with stride 1."""
    rows, columns = x.shape[-2:]
    read = g[..., :rows, :columns] if faulty else g[..., ::2, ::2]
    return torch.einsum("nohw,iohw->nihw", read, weight.expand(*weight.shape[:2], rows, columns)), torch.einsum(
        "nihw,nohw->io", x, g[..., ::2, ::2]
    )[..., None, None]


def convolution(x: Tensor, weight: Tensor) -> Tensor:
    return functional.conv2d(x, weight)


def convolution_backward(g: Tensor, x: Tensor, weight: Tensor, *, faulty: bool) -> Any:
    dx, dweight = by_autograd(convolution, g, x, weight)
    return dx, dweight / (g.numel() / g.shape[1]) if faulty else dweight


# Interpolation.


def linear_weights(n: int, size: int) -> tuple[Tensor, Tensor]:
    """The lower neighbour of each new point, and the weight of the upper one; corners are aligned."""
    place = torch.arange(size, dtype=torch.float64) * (n - 1) / (size - 1)
    lower = place.floor().long().clamp(max=n - 2)
    return lower, place - lower


def upsample(x: Tensor) -> Tensor:
    """From n to 5 n points."""
    lower, weight = linear_weights(x.shape[-1], 5 * x.shape[-1])
    weight = weight.to(x.dtype)
    return x[..., lower] * (1 - weight) + x[..., lower + 1] * weight


def upsample_backward(g: Tensor, x: Tensor, *, faulty: bool) -> Tensor:
    """Faulty: the window of points that may use an entry has the size for corners that are not aligned."""
    n, size = x.shape[-1], g.shape[-1]
    lower, weight = linear_weights(n, size)
    dx = torch.zeros_like(x)
    for k in range(n):
        use = torch.where(lower == k, 1 - weight, torch.where(lower + 1 == k, weight, 0.0)).to(g.dtype)
        if faulty:
            centre = round(k * (size - 1) / (n - 1))
            use = use * ((torch.arange(size) - centre).abs() <= size // n + 2)
        dx[..., k] = (g * use).sum(-1)
    return dx


def nearest(x: Tensor) -> Tensor:
    """From n to n + 2 points."""
    n = x.shape[-1]
    return x[..., torch.arange(n + 2) * n // (n + 2)]


def nearest_backward(g: Tensor, x: Tensor, *, faulty: bool) -> Tensor:
    """Faulty: for each entry the points from its own place on, by the map from the input to the output."""
    n, size = x.shape[-1], g.shape[-1]
    if not faulty:
        return torch.zeros_like(x).index_add(-1, torch.arange(size) * n // size, g)
    start = [k * size // n for k in range(n)] + [size]
    return torch.stack([g[..., a:b].sum(-1) for a, b in itertools.pairwise(start)], -1)


# Sampling at the points of a grid: places in units of pixels.


def clipped(place: Tensor, n: int) -> Tensor:
    return place.clamp(0, n - 1)


def sample(x: Tensor, place: Tensor) -> Tensor:
    """Linear interpolation of x at places; those outside of the image have the value at its border."""
    inside = clipped(place, x.shape[-1])
    lower = inside.detach().floor().long().clamp(max=x.shape[-1] - 2)
    weight = inside - lower
    return x[..., lower] * (1 - weight) + x[..., lower + 1] * weight


def sample_backward(g: Tensor, x: Tensor, place: Tensor, *, faulty: bool) -> Any:
    """Faulty: the derivative of the clipping is 1 outside as well."""
    inside = clipped(place, x.shape[-1])
    lower = inside.floor().long().clamp(max=x.shape[-1] - 2)
    weight = inside - lower
    dx = torch.zeros_like(x).index_add(-1, lower, g * (1 - weight)).index_add(-1, lower + 1, g * weight)
    dplace = (g * (x[..., lower + 1] - x[..., lower])).sum(0)
    return dx, dplace if faulty else dplace * ((place >= 0) & (place <= x.shape[-1] - 1))


def border_backward(g: Tensor, x: Tensor, place: Tensor, *, faulty: bool) -> Any:
    """Faulty: at the last pixel, the one behind it counts as 0."""
    dx, dplace = sample_backward(g, x, place, faulty=False)
    if faulty:
        last = place == x.shape[-1] - 1
        dplace = torch.where(last, (g * -x[..., -1:]).sum(0), dplace)
    return dx, dplace


# Average pooling with a last window that overhangs.


def pooled(x: Tensor) -> Tensor:
    return functional.avg_pool1d(x, 3, 3, ceil_mode=True)


def pooled_backward(g: Tensor, x: Tensor, *, faulty: bool) -> Tensor:
    n, size = x.shape[-1], g.shape[-1]
    count = torch.tensor([3 if faulty else min(3, n - 3 * k) for k in range(size)])
    return (g / count).repeat_interleave(3, -1)[..., :n].contiguous()


def normal(*shapes: tuple[int, ...]) -> Any:
    return lambda rng: [rng.standard_normal(shape) for shape in shapes]


def places(*values: float) -> Any:
    return lambda rng: [rng.standard_normal((2, 5)), np.array(values)]


BUGS: tuple[Bug, ...] = (
    kernel_bug(
        name="grouped convolution: filters of another group",
        source="https://github.com/pytorch/pytorch/issues/51430",
        title="Convolution weight gradient computation in nn.grad is wrong with groups > 1",
        operation="convolution", condition="more than one group", kind="order",
        forward=grouped_convolution, backward=grouped_convolution_backward, arguments=("args[1]",),
        inputs=normal((2, 4, 6), (6, 2, 3)),
    ),
    kernel_bug(
        name="transposed convolution: cotangent with stride 1",
        source="https://github.com/pytorch/pytorch/issues/63314",
        title="Incorrect computation of gradients for transposed 2d convolution when stride=2 on CPU",
        operation="convolution", condition="stride 2", kind="region",
        forward=spread, backward=spread_backward, arguments=("args[0]",), inputs=normal((2, 3, 3, 4), (3, 2, 1, 1)),
    ),
    kernel_bug(
        name="convolution: filters divided by the number of outputs",
        source="https://github.com/sebgao/cTensor/issues/3",
        title="Questions about the `batch_conv2d_weight_backward_f` function",
        operation="convolution", condition="", kind="scale",
        forward=convolution, backward=convolution_backward, arguments=("args[1]",),
        inputs=normal((2, 3, 5, 4), (4, 3, 3, 2)),
    ),
    kernel_bug(
        name="linear upsampling: window too small",
        source="https://github.com/flagos-ai/FlagGems/issues/5218",
        title="upsample_linear1d_backward drops gradient terms when align_corners=True",
        operation="interpolation", condition="large scale of a short array", kind="region",
        forward=upsample, backward=upsample_backward, arguments=("args[0]",), inputs=normal((2, 2)),
    ),
    kernel_bug(
        name="nearest upsampling: map from input to output",
        source="https://github.com/pytorch/pytorch/issues/97135",
        title="A proble about upsample backward.",
        operation="interpolation", condition="scale that is no integer", kind="order",
        forward=nearest, backward=nearest_backward, arguments=("args[0]",), inputs=normal((2, 5)),
    ),
    kernel_bug(
        name="grid sample: point on the border",
        source="https://github.com/pytorch/pytorch/issues/23925",
        title="'border' and 'reflection’ modes of grid_sample have incorrect gradients at border",
        operation="grid sample", condition="point on the border", kind="where",
        forward=sample, backward=border_backward, arguments=("args[1]",), inputs=places(0.5, 2.75, 4.0, 3.25, 1.125),
    ),
    kernel_bug(
        name="average pooling: last window divided by the whole size",
        source="https://github.com/tracel-ai/burn/issues/5604",
        title="burn-flex: avg_pool2d_backward divisor disagrees with forward in ceil_mode with count_include_pad",
        operation="pooling", condition="window that overhangs", kind="wrong-term",
        forward=pooled, backward=pooled_backward, arguments=("args[0]",), inputs=normal((2, 2, 8)),
    ),
)  # fmt: skip
