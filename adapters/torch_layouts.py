"""Tensors with the same numbers in another memory layout, and memory that nothing has written to."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator

import torch


def layouts(x: torch.Tensor) -> dict[str, Callable[[], torch.Tensor]]:
    """What makes the tensor in other layouts, by name; none for parameters, which a program stores contiguously."""
    if isinstance(x, torch.nn.Parameter) or x.layout is not torch.strided or x.numel() < 2:
        return {}
    x = x.detach()
    found = {"non-contiguous": lambda: with_gaps(x)}
    if x.ndim > 1 and min(x.shape[-2:]) > 1:
        found["transposed"] = lambda: x.transpose(-1, -2).contiguous().transpose(-1, -2)
    if x.ndim == 4:
        found["channels-last"] = lambda: x.contiguous(memory_format=torch.channels_last)
    return found


def with_gaps(x: torch.Tensor) -> torch.Tensor:
    """The tensor with NaN in memory between its entries, so that a kernel does not take it for entries unnoticed."""
    gaps = torch.full_like(x, torch.nan) if is_inexact(x) else x.flip(tuple(range(x.ndim)))
    return torch.stack([x, gaps], dim=-1)[..., 0]


def expanded(x: torch.Tensor) -> torch.Tensor | None:
    """The first entries along the first axis, repeated with stride 0; None where that is no other layout."""
    if isinstance(x, torch.nn.Parameter) or x.layout is not torch.strided or x.ndim == 0 or len(x) < 2:
        return None
    return x.detach()[:1].clone().expand(x.shape)


def expanded_ones(like: torch.Tensor) -> torch.Tensor:
    """Ones with stride 0 in every axis, as ``sum`` passes them back; NaN follows in memory."""
    memory = torch.full((max(like.numel(), 1),), torch.nan, dtype=like.dtype, device=like.device)
    memory[0] = 1
    return memory.as_strided(like.shape, (0,) * like.ndim)


def is_inexact(x: torch.Tensor) -> bool:
    return x.dtype.is_floating_point or x.dtype.is_complex


@contextlib.contextmanager
def uninitialized_as_nan() -> Iterator[None]:
    """Fill what ``torch.empty`` returns with NaN.

    PyTorch does that itself with deterministic algorithms; see ``torch.utils.deterministic``.
    """
    on, warn_only = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    fills = torch.utils.deterministic.fill_uninitialized_memory
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.use_deterministic_algorithms(True, warn_only=True)
            torch.utils.deterministic.fill_uninitialized_memory = True
            yield
    finally:
        torch.use_deterministic_algorithms(on, warn_only=warn_only)
        torch.utils.deterministic.fill_uninitialized_memory = fills
