"""-inf in an input, as masks and masked scores hold it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from gradagree.checker.verdict import Verdict
from gradagree.errors import UsageError
from gradagree.functions.assertions import check_function
from gradagree.functions.records import GradientRecord

torch = pytest.importorskip("torch")

DTYPES = ("float64", "float32", "float16", "bfloat16")


def scores(dtype: str) -> Any:
    x = torch.as_tensor(np.random.default_rng(5).standard_normal((4, 6))).to(getattr(torch, dtype))
    return x.masked_fill(torch.ones(4, 6).triu(2).bool(), -math.inf)


def gradient(function: Any, x: Any, reference: Any = None) -> GradientRecord:
    records = check_function(function, [x], reference=reference, layouts=False, repeat=1).records
    return next(record for record in records if record.quantity == "gradient")


class Leaking(torch.autograd.Function):  # type: ignore[misc]
    """A softmax whose backward pass forgets the mask."""

    @staticmethod
    def forward(context: Any, x: Any) -> Any:
        y = torch.softmax(x, -1)
        context.save_for_backward(x, y)
        return y

    @staticmethod
    def backward(context: Any, g: Any) -> Any:
        x, y = context.saved_tensors
        found = y * (g - (g * y).sum(-1, keepdim=True))
        return torch.where(torch.isinf(x), g / 64, found)


class Undefined(Leaking):
    @staticmethod
    def backward(context: Any, g: Any) -> Any:
        x, y = context.saved_tensors
        return y * (g - (g * y).sum(-1, keepdim=True)) + 0 * x


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
def test_that_masked_scores_are_judged(name: str, dtype: str) -> None:
    found = gradient(lambda x: getattr(torch, name)(x, -1), scores(dtype))
    assert found.verdict is Verdict.AGREE


@pytest.mark.parametrize("dtype", DTYPES)
def test_that_a_gradient_of_masked_scores_is_found(dtype: str) -> None:
    assert gradient(Leaking.apply, scores(dtype)).verdict is Verdict.DISAGREE
    assert gradient(Undefined.apply, scores(dtype)).verdict is Verdict.NONFINITE


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_that_attention_with_a_mask_of_infinities_is_judged(dtype: str) -> None:
    rng = np.random.default_rng(6)
    q, k, v = (torch.as_tensor(rng.standard_normal((1, 2, 4, 8))).to(getattr(torch, dtype)) for _ in range(3))
    mask = torch.zeros(4, 4, dtype=q.dtype).masked_fill(torch.ones(4, 4).triu(1).bool(), -math.inf)

    def attention(q: Any, k: Any, v: Any, mask: Any) -> Any:
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)

    report = check_function(attention, [q, k, v, mask], wrt=[0, 1, 2])
    assert report.verdict is Verdict.AGREE


def test_that_rows_without_an_entry_are_not_accused() -> None:
    x = scores("float32")
    x[0] = -math.inf
    assert not gradient(lambda x: torch.softmax(x, -1), x).verdict.fails


@pytest.mark.parametrize("entry", [math.nan, math.inf])
def test_that_other_numbers_that_are_not_finite_are_refused(entry: float) -> None:
    x = scores("float32")
    x[1, 1] = entry
    with pytest.raises(UsageError, match="give finite numbers, or -inf for masked entries"):
        check_function(torch.tanh, [x])
