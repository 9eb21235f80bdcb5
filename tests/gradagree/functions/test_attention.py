"""Attention in 16 bits is checked by tolerances that mean something, with a mask and without."""

from __future__ import annotations

import math
from typing import Any

import pytest

from gradagree.arithmetic.model import model
from gradagree.checker.verdict import Verdict, plain
from gradagree.functions.assertions import check_function

torch = pytest.importorskip("torch")


def attention(q: Any, k: Any, v: Any, mask: Any = None) -> Any:
    scores = q @ k.transpose(-1, -2) / 8**0.5
    if mask is not None:
        scores = scores.masked_fill(mask, float("-inf"))
    return torch.softmax(scores, -1) @ v


class WithoutMask(torch.autograd.Function):  # type: ignore[misc]
    """Masked attention whose backward pass forgets the mask."""

    @staticmethod
    def forward(ctx: Any, q: Any, k: Any, v: Any, mask: Any) -> Any:
        ctx.save_for_backward(q, k, v)
        return attention(q, k, v, mask)

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        with torch.enable_grad():
            arrays = [x.detach().requires_grad_() for x in ctx.saved_tensors]
            return *torch.autograd.grad(attention(*arrays), arrays, g), None


def arrays(dtype: str) -> list[Any]:
    made = torch.Generator().manual_seed(0)
    return [torch.randn(2, 16, 8, generator=made).to(getattr(torch, dtype)) for _ in range(3)]


MASK = torch.triu(torch.ones(16, 16, dtype=torch.bool), 1)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("mask", [None, MASK], ids=["plain", "causal"])
def test_that_right_attention_agrees(dtype: str, mask: Any) -> None:
    report = check_function(attention, [*arrays(dtype), mask])
    assert report.verdict is Verdict.AGREE
    if dtype == "float32":
        assert max(plain(r.sharpness) for r in report.records) < math.sqrt(model(dtype).u)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_that_a_forgotten_mask_is_found(dtype: str) -> None:
    report = check_function(WithoutMask.apply, [*arrays(dtype), MASK])
    assert report.verdict in (Verdict.DISAGREE, Verdict.SUSPECT)
    assert any("WithoutMask.backward" in r.reason for r in report.records)
