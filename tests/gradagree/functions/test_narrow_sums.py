"""An array that only sums in the dtype explain, some entries of which may overflow."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gradagree import assert_grads
from gradagree.arithmetic.tape import trace
from gradagree.arithmetic.variance import equal_terms
from gradagree.checker.verdict import Verdict
from gradagree.functions.assertions import check_function
from gradagree.functions.enclosures import SUMS, Expected
from gradagree.functions.judge import judge
from gradagree.functions.records import Disagreement
from gradagree.functions.terms import largest_term

VALUE = np.array([1.0, 2.0, 3.0, 4.0])
NARROW = SUMS + "float16"


def finding(observed: np.ndarray, radius: np.ndarray) -> Verdict:
    return judge(observed, {"stored": Expected(VALUE, np.full(4, 1e-4)), NARROW: Expected(VALUE, radius)}).verdict


@pytest.mark.parametrize("unbounded", [1, 2])
def test_that_sums_which_may_overflow_explain_the_other_entries(unbounded: int) -> None:
    radius = np.full(4, 0.1)
    radius[:unbounded] = np.inf
    assert finding(VALUE + 0.05, radius) is Verdict.INACCURATE
    assert finding(VALUE + np.array([0.05, 0.05, 0.05, 1.0]), radius).fails


def test_that_an_overflow_is_accused() -> None:
    assert finding(VALUE + np.array([np.inf, 0.05, 0.05, 0.05]), np.array([np.inf, 0.1, 0.1, 0.1])) is Verdict.NONFINITE


def test_that_sums_which_may_overflow_in_most_entries_explain_nothing() -> None:
    radius = np.array([np.inf, np.inf, np.inf, 0.1])
    assert finding(VALUE + 0.05, radius).fails


SCORES = [3.125, -1.765625, -8.0625, -2.40625, 4.9375, 5.78125, -4.40625, 2.328125]
"""Terms of a sum that is -0.46875, and -0.484375 if each partial sum is stored in bfloat16."""


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_that_a_sum_whose_terms_cancel_may_be_inaccurate(reduction: str) -> None:
    x = torch.tensor(SCORES, dtype=torch.bfloat16).reshape(2, 1, 2, 2)
    target = torch.zeros(2, 2, 2, dtype=torch.int64)
    report = assert_grads(lambda x: torch.nn.functional.nll_loss(x, target, reduction=reduction), [x])
    assert report.records[0].verdict is Verdict.INACCURATE


@pytest.mark.parametrize("factor", [3.0, -1.0])
def test_that_another_number_than_the_sum_is_accused(factor: float) -> None:
    x = torch.tensor(SCORES, dtype=torch.bfloat16)
    with pytest.raises(Disagreement, match="value-differs"):
        assert_grads(lambda x: factor * x.sum(), [x], reference=lambda x: x.sum())


def test_that_the_terms_of_a_sum_are_found() -> None:
    x = np.array([[1.0, -6.0], [2.0, 4.0]])
    for function, size in (
        (np.sum, 6.0), (lambda x: np.mean(-x), 1.5), (lambda x: np.reshape(np.sum(x, axis=0), (2, 1)) / 3, 2.0),
        (lambda x: np.sum(np.square(x)), 36.0), (lambda x: x * 2, 0.0), (lambda x: np.sum(x) * x, 0.0),
    ):  # fmt: skip
        graph = trace(function, x, names=["x"])
        assert largest_term(graph, [x], graph.outputs[0]) == size


@pytest.mark.parametrize("number", [0.1, 0.3, 0.7])
def test_that_a_sum_of_equal_terms_in_a_row_is_not_accused(number: float) -> None:
    """All partial sums in one binade are rounded in the same direction, by the same amount."""
    image = torch.full((2, 3, 60, 60), number)
    report = check_function(lambda x: torch.nn.functional.avg_pool2d(x, 60), (image,), layouts=False, repeat=1)
    assert report.verdict is Verdict.AGREE
    rows, columns = torch.full((4, 3600), number), torch.full((3600, 4), 0.7)
    report = check_function(torch.matmul, (rows, columns), layouts=False, repeat=1)
    assert report.verdict is Verdict.AGREE


def test_that_a_wrong_sum_of_equal_terms_is_found() -> None:
    image = torch.full((2, 3, 60, 60), 0.1)
    report = check_function(
        lambda x: torch.nn.functional.avg_pool2d(x, 60) * 1.001, (image,), layouts=False, repeat=1,
        reference=lambda x: np.mean(x, axis=(2, 3), keepdims=True),
    )  # fmt: skip
    assert report.verdict is Verdict.VALUE_DIFFERS


def test_equal_terms_are_counted_row_by_row() -> None:
    rows = np.array([[0.1, 0.2, 0.1, 0.1], [0.0, 0.0, 0.0, 0.5], [1.0, 2.0, 3.0, 4.0]])
    assert equal_terms(rows).tolist() == [3, 1, 1]
