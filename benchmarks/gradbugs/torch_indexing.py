"""Bugs in gathering and scattering, embeddings, products with zeros, and ties."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from benchmarks.gradbugs.bug import Bug, kernel_bug

Tensor = torch.Tensor
GROUPS = 4


def gathered(x: Tensor, index: Tensor) -> Tensor:
    return x.gather(1, index)


def gathered_backward(g: Tensor, x: Tensor, index: Tensor, *, faulty: bool) -> Tensor:
    zero = torch.zeros_like(x)
    return zero.scatter(1, index, g) if faulty else zero.scatter_add(1, index, g)


def embedding(weight: Tensor, index: Tensor) -> Tensor:
    return weight[index]


def embedding_backward(g: Tensor, weight: Tensor, index: Tensor, *, faulty: bool) -> Tensor:
    rows, places = g.flatten(0, 1), index.flatten()
    zero = torch.zeros_like(weight)
    if faulty:
        zero[places] = rows
        return zero
    return zero.index_add(0, places, rows)


# Reductions of the entries with the same index.


def product(x: Tensor, index: Tensor) -> Tensor:
    member = index[None, :] == torch.arange(GROUPS)[:, None]
    return torch.where(member, x, torch.ones_like(x)).prod(1)


def product_backward(g: Tensor, x: Tensor, index: Tensor, *, faulty: bool) -> Tensor:
    y = product(x, index)
    if faulty:
        return (g * y)[index].div(x).masked_fill(x == 0, 0.0)
    same = (index[None, :] == index[:, None]) & ~torch.eye(len(x), dtype=torch.bool)
    return g[index] * torch.where(same, x, torch.ones_like(x)).prod(1)


def largest(x: Tensor, index: Tensor) -> Tensor:
    member = index[None, :] == torch.arange(GROUPS)[:, None]
    return torch.where(member, x, torch.full_like(x, -1e4)).amax(1)


def largest_backward(g: Tensor, x: Tensor, index: Tensor, *, faulty: bool) -> Tensor:
    winners = (x == largest(x, index)[index]).to(x.dtype)
    count = torch.zeros(GROUPS, dtype=x.dtype).index_add(0, index, winners)
    return g[index] * winners / (1 if faulty else count[index])


def largest_with_start(start: Tensor, x: Tensor, index: Tensor) -> Tensor:
    """The largest entry of each group; an empty group keeps its start."""
    member = index[None, :] == torch.arange(len(start))[:, None]
    found = torch.where(member, x, torch.full_like(x, -1e4)).amax(1)
    return torch.where(member.any(1), found, start)


def largest_with_start_backward(g: Tensor, start: Tensor, x: Tensor, index: Tensor, *, faulty: bool) -> Any:
    """Faulty: without the entries of the start, there is a group that no entry has the result of."""
    y = largest_with_start(start, x, index)
    filled = torch.zeros_like(start, dtype=torch.bool).index_fill(0, index, True)
    winners = (x == y[index]).to(x.dtype)
    count = torch.zeros_like(start).index_add(0, index, winners)
    by_entry = g / (count if faulty else count.clamp(min=1))
    return torch.where(filled, by_entry * 0 if faulty else torch.zeros_like(g), by_entry if faulty else g), by_entry[
        index
    ] * winners


def cumulative_product(x: Tensor) -> Tensor:
    return torch.cumprod(x, -1)


def cumulative_product_backward(g: Tensor, x: Tensor, *, faulty: bool) -> Tensor:
    if faulty:
        return (g * cumulative_product(x)).flip(-1).cumsum(-1).flip(-1) / x
    left = torch.cat([torch.ones_like(x[..., :1]), cumulative_product(x)[..., :-1]], -1)
    tail, found = torch.zeros_like(x[..., 0]), []
    for k in reversed(range(x.shape[-1])):
        tail = g[..., k] + (x[..., k + 1] * tail if k + 1 < x.shape[-1] else 0)
        found.append(left[..., k] * tail)
    return torch.stack(found[::-1], -1)


# Arguments.


def with_zero(rng: np.random.Generator) -> list[Any]:
    x = rng.uniform(0.5, 1.5, 7)
    x[3] = 0
    return [x, np.array([0, 1, 0, 1, 3, 3, 1])]


def with_ties(rng: np.random.Generator) -> list[Any]:
    x = rng.permutation(np.arange(8) / 4)
    x[5] = x[2] = 3
    return [x, np.array([0, 1, 2, 1, 3, 2, 1, 0])]


def with_empty_group(rng: np.random.Generator) -> list[Any]:
    return [rng.standard_normal(4), rng.permutation(np.arange(6) / 4), np.array([0, 1, 3, 1, 3, 0])]


def row_of_zero(rng: np.random.Generator) -> list[Any]:
    x = rng.uniform(0.5, 1.5, (3, 5))
    x[1, 2] = 0
    return [x]


BUGS: tuple[Bug, ...] = (
    kernel_bug(
        name="gather: repeated indices overwrite",
        source="https://github.com/pytorch/pytorch/issues/1631",
        title="Gather backward is incorrect with repeated indices",
        operation="gather", condition="duplicates", kind="duplicates-lost",
        forward=gathered, backward=gathered_backward, arguments=("args[0]",),
        inputs=lambda rng: [rng.standard_normal((3, 5)), np.array([[0, 0, 2, 4], [1, 3, 3, 3], [4, 2, 1, 0]])],
    ),
    kernel_bug(
        name="embedding: one of several equal tokens counts",
        source="https://github.com/tenstorrent/tt-metal/issues/6232",
        title="[Bug Report] Embedding backward result is incorrect",
        operation="embedding", condition="duplicates", kind="duplicates-lost",
        forward=embedding, backward=embedding_backward, arguments=("args[0]",),
        inputs=lambda rng: [rng.standard_normal((7, 4)), np.array([[1, 5, 1], [0, 5, 6]])],
    ),
    kernel_bug(
        name="scatter by product: zero at an entry that is 0",
        source="https://github.com/pytorch/pytorch/pull/76523",
        title="Bugfix scatter_reduce backward formulas",
        operation="scatter", condition="an entry that is 0", kind="entries-missing",
        forward=product, backward=product_backward, arguments=("args[0]",), inputs=with_zero,
    ),
    kernel_bug(
        name="scatter by maximum: every tie has the whole gradient",
        source="https://github.com/pytorch/pytorch/pull/76523",
        title="Bugfix scatter_reduce backward formulas",
        operation="ties", condition="ties", kind="ties",
        forward=largest, backward=largest_backward, arguments=("args[0]",), inputs=with_ties,
    ),
    kernel_bug(
        name="scatter by maximum: 0 / 0 in an empty group",
        source="https://github.com/pytorch/pytorch/pull/169263",
        title="Fix NaN gradients in index_reduce/scatter_reduce backward for amax/amin",
        operation="scatter", condition="empty group", kind="nonfinite",
        forward=largest_with_start, backward=largest_with_start_backward, arguments=("args[0]",),
        inputs=with_empty_group,
    ),
    kernel_bug(
        name="cumulative product: division by an entry that is 0",
        source="https://github.com/tracel-ai/burn/pull/5141",
        title="fix(autodiff): zero-safe cumprod gradient (no division by input)",
        operation="linear recurrence", condition="an entry that is 0", kind="nonfinite",
        forward=cumulative_product, backward=cumulative_product_backward, arguments=("args[0]",), inputs=row_of_zero,
    ),
)  # fmt: skip
