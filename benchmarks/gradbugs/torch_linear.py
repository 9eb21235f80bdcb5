"""Bugs in quantised and low-rank linear layers, mixtures of experts, dropout and the singular value decomposition."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from benchmarks.gradbugs.bug import Bug, kernel_bug

Tensor = torch.Tensor


# Fake quantisation with a scale that is learned; rounding has the derivative 1.

LARGEST = 4


def through(x: Tensor, y: Tensor) -> Tensor:
    """The value y with the derivative of x."""
    return x + (y - x).detach()


def quantised(x: Tensor, scale: Tensor) -> Tensor:
    level = (x / scale).clamp(-LARGEST, LARGEST)
    return through(level, level.round()) * scale


def quantised_backward(g: Tensor, x: Tensor, scale: Tensor, *, faulty: bool) -> Any:
    """Faulty: the gradient of the scale is computed from that of x, which is 0 where x is clipped."""
    level = x / scale
    dx = g * (level.abs() <= LARGEST)
    level = level.clamp(-LARGEST, LARGEST)
    factor = torch.where((x / scale).abs() <= LARGEST, level.round() - level, level)
    return dx, ((dx if faulty else g) * factor).sum(0)


# Weights of low rank with a magnitude for each row.

RANK_SCALE = 2.0


def adapted(weight: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return weight + RANK_SCALE * b @ a


def normalised_rows(weight: Tensor) -> Tensor:
    return weight * torch.rsqrt((weight * weight).sum(-1, keepdim=True))


def decomposed(x: Tensor, weight: Tensor, a: Tensor, b: Tensor, magnitude: Tensor) -> Tensor:
    return x @ (magnitude[:, None] * normalised_rows(adapted(weight, a, b))).T


def decomposed_backward(
    g: Tensor, x: Tensor, weight: Tensor, a: Tensor, b: Tensor, magnitude: Tensor, *, faulty: bool
) -> Any:  # fmt: skip
    total = adapted(weight, a, b)
    unit, r = normalised_rows(total), torch.rsqrt((total * total).sum(-1, keepdim=True))
    d = g.T @ x
    dmagnitude = (d * unit).sum(-1)
    if faulty:
        dmagnitude = dmagnitude * magnitude
    scaled = d * magnitude[:, None]
    dtotal = r * (scaled - unit * (scaled * unit).sum(-1, keepdim=True))
    dx = g @ (magnitude[:, None] * unit)
    return dx, dtotal, RANK_SCALE * b.T @ dtotal, RANK_SCALE * dtotal @ a.T, dmagnitude


# Dropout with a mask that is given.

KEPT = 0.75


def dropout(x: Tensor, mask: Tensor) -> Tensor:
    return torch.where(mask, x / KEPT, torch.zeros_like(x))


def ratio_backward(g: Tensor, x: Tensor, mask: Tensor, *, faulty: bool) -> Tensor:
    """Faulty: the mask is taken from output / input, and is 1 where the input is 0."""
    if not faulty:
        return g * mask / KEPT
    return torch.where(x == 0, g, dropout(x, mask) / x * g)


# A mixture of experts whose experts are partly on other devices: those slots have an expert's output and weight 0.


def mixture(x: Tensor, weights: Tensor, experts: Tensor, index: Tensor, local: Tensor) -> Tensor:
    """The sum over two experts a token, of those that are here."""
    outputs = torch.einsum("nd,nkde->nke", x, experts[index])
    return (torch.where(local, weights, torch.zeros_like(weights))[..., None] * outputs).sum(1)


def mixture_backward(
    g: Tensor, x: Tensor, weights: Tensor, experts: Tensor, index: Tensor, local: Tensor, *, faulty: bool
) -> Any:  # fmt: skip
    outputs = torch.einsum("nd,nkde->nke", x, experts[index])
    used = weights * local
    dweights = torch.einsum("ne,nke->nk", g, outputs)
    douts = g[:, None] * used[..., None]
    dx = torch.einsum("nke,nkde->nd", douts, experts[index])
    each = torch.einsum("nd,nke->nkde", x, douts)
    dexperts = torch.zeros_like(experts).index_add(0, index.flatten(), each.flatten(0, 1))
    return dx, dweights if faulty else dweights * local, dexperts


def uninitialised_slots(
    g: Tensor, x: Tensor, weights: Tensor, experts: Tensor, index: Tensor, local: Tensor, *, faulty: bool
) -> Any:  # fmt: skip
    """Faulty: the gradient of the weights is written for the slots of the experts that are here only."""
    dx, dweights, dexperts = mixture_backward(g, x, weights, experts, index, local, faulty=False)
    if faulty:
        written = torch.empty_like(dweights)
        written[local] = dweights[local]
        dweights = written
    return dx, dweights, dexperts


# Singular value decomposition of a matrix with more rows than columns.


def singular(a: Tensor) -> tuple[Tensor, Tensor]:
    """The singular values, and the singular vectors as their projector times a weight for each."""
    u, s, vh = torch.linalg.svd(a, full_matrices=False)
    return s, (u * torch.arange(1, 1 + len(s), dtype=a.dtype)) @ vh


def singular_backward(gs: Tensor, gw: Tensor, a: Tensor, *, faulty: bool) -> Tensor:
    """Faulty: without the term of the rows that are orthogonal to all left singular vectors."""
    u, s, vh = torch.linalg.svd(a, full_matrices=False)
    weights = torch.arange(1, 1 + len(s), dtype=a.dtype)
    gu, gv = gw @ vh.T * weights, gw.T @ u * weights
    difference = s[None, :] ** 2 - s[:, None] ** 2
    f = torch.where(torch.eye(len(s), dtype=torch.bool), torch.zeros_like(difference), 1 / difference)
    left, right = f * (u.T @ gu - gu.T @ u), f * (vh @ gv - gv.T @ vh.T)
    da = u @ (torch.diag(gs) + left * s[None, :] + s[:, None] * right) @ vh
    outside = (gu - u @ (u.T @ gu)) / s @ vh
    return da if faulty else da + outside


def adapter(rng: np.random.Generator) -> list[Any]:
    return [rng.standard_normal(s) for s in ((5, 4), (6, 4), (2, 4), (6, 2))] + [rng.uniform(0.5, 2, 6)]


def slots(rng: np.random.Generator) -> list[Any]:
    index, local = np.array([[0, 2], [1, 0], [2, 1], [0, 1], [2, 0]]), np.ones((5, 2), bool)
    local[index == 1] = False
    return [rng.standard_normal((5, 3)), rng.uniform(0.2, 0.8, (5, 2)), rng.standard_normal((3, 3, 4)), index, local]


def kept(rng: np.random.Generator, zero: bool = False) -> list[Any]:
    x, mask = rng.standard_normal((4, 6)), rng.random((4, 6)) < KEPT
    mask[:, 0], mask[:, -1] = True, False
    if zero:
        x[1:3, -1] = 0
    return [x, mask]


BUGS: tuple[Bug, ...] = (
    kernel_bug(
        name="fake quantisation: scale by the gradient of the input",
        source="https://github.com/pytorch/pytorch/pull/42034",
        title="Updates to Scale and Zero Point Gradient Calculation",
        operation="quantised linear layer", condition="entries that are clipped", kind="region",
        forward=quantised, backward=quantised_backward, arguments=("args[1]",),
        inputs=lambda rng: [4 * rng.standard_normal((7, 3)), rng.uniform(0.8, 1.2, 3)],
    ),
    kernel_bug(
        name="low rank with magnitudes: magnitude counted twice",
        source="https://github.com/axolotl-ai-cloud/axolotl/pull/3528",
        title="feat: LoRA kernel support for bias, dropout, dora, embeddings",
        operation="low-rank linear layer", condition="magnitude other than 1", kind="wrong-term",
        forward=decomposed, backward=decomposed_backward, arguments=("args[4]",), inputs=adapter,
    ),
    kernel_bug(
        name="dropout: mask from the ratio of output and input",
        source="https://github.com/kaldi-asr/kaldi/issues/3890",
        title="Potential bug in the back propagation implementation of DropoutComponent",
        operation="dropout", condition="an entry that is 0", kind="mask-not-applied",
        forward=dropout, backward=ratio_backward, arguments=("args[0]",), inputs=lambda rng: kept(rng, zero=True),
    ),
    kernel_bug(
        name="mixture of experts: gradient of slots on other devices",
        source="https://github.com/huggingface/transformers/issues/48687",
        title='Wrong router gradient with `experts_implementation="batched_mm"` under expert parallelism',
        operation="mixture of experts", condition="experts on other devices", kind="mask-not-applied",
        forward=mixture, backward=mixture_backward, arguments=("args[1]",), inputs=slots,
    ),
    kernel_bug(
        name="mixture of experts: slots that are never written",
        source="https://github.com/huggingface/kernels-community/pull/1056",
        title="sonic-moe: never scatter the uninitialized tail of the colvec reduce …",
        operation="mixture of experts", condition="experts on other devices", kind="uninitialized",
        forward=mixture, backward=uninitialised_slots, arguments=("args[1]",), inputs=slots,
    ),
    kernel_bug(
        name="singular values: term of the orthogonal rows",
        source="https://github.com/HIPS/autograd/pull/137",
        title="Implement svd gradient",
        operation="svd", condition="more rows than columns", kind="missing-term",
        forward=singular, backward=singular_backward, arguments=("args[0]",),
        inputs=lambda rng: [rng.standard_normal((5, 3))], dtypes=("float64", "float32"),
    ),
)  # fmt: skip
