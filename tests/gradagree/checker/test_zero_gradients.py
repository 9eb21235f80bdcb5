"""Gradients that are entirely zero check nothing; a derivative that is zero everywhere is named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradagree import Case, check
from gradagree.adapters import Answer
from gradagree.cases.case import Arrays
from gradagree.checker.judge import unless_zero
from gradagree.checker.verdict import Verdict
from gradagree.checker.zero_gradients import is_zero_everywhere, zero_gradient

SATURATED = "1-2:id,hardtanh:sse:n2:f64:ordinary:s0"
NOTHING = "passes on no cotangent at these inputs: nothing is checked"


def saturated(inputs: float) -> Case:
    """A network in which hardtanh is constant if the input is large."""
    arrays = Arrays((np.array([[1.0, -2.0]]),), (None,), np.full((2, 1), inputs), np.zeros((2, 2)))
    return Case.of(Case.parse(SATURATED), arrays)


def test_a_record_whose_gradient_is_entirely_zero_is_undecided(bench: Any) -> None:
    case = saturated(5.0)
    record = bench.judged(case, bench.answer(case))
    assert (record.verdict, record.box, record.function) == (Verdict.UNDECIDED, 2, "hardtanh")
    assert record.reason == f"every gradient is 0, as hardtanh {NOTHING}"
    assert (record.share, record.entry) == (0.0, None)


def test_one_nonzero_derivative_is_enough(bench: Any) -> None:
    case = saturated(0.75)
    assert bench.judged(case, bench.answer(case)).verdict is Verdict.AGREE


def test_a_wrong_zero_is_still_a_fault(bench: Any) -> None:
    case = saturated(0.25)
    lie = bench.answer(case, {(2, "slope"): lambda right, at: 0 * right})
    assert bench.judged(case, lie).verdict is Verdict.DISAGREE


@pytest.mark.filterwarnings("ignore")
def test_directions_that_are_entirely_zero_check_nothing() -> None:
    pytest.importorskip("torch")
    for text in ("2-16-16:id,relu:sse:n2:f32:ordinary:s1", "2-3:id,relu:sse:n2:f32:ordinary:s1"):
        case = Case.parse(text)
        arrays = case.arrays()
        dead = Arrays(tuple(-np.abs(w) for w in arrays.weights), arrays.biases, np.abs(arrays.inputs), arrays.targets)
        (record,) = check(Case.of(case, dead), frameworks="torch", modes="forward")
        assert record.verdict is Verdict.UNDECIDED, text
        assert record.function == "relu"
        assert record.reason.endswith(NOTHING)


@pytest.mark.parametrize(
    ("text", "place", "everywhere"),
    [
        ("3-1:id,softmax:mse:n4:f32:ordinary:s1", 1, True),
        ("3-2:id,softmax:mse:n4:f32:ordinary:s1", 1, False),
        ("3-1:id:cross_entropy:n4:f32:ordinary:s1", -1, True),
        ("3-2:id:cross_entropy:n4:f32:ordinary:s1", -1, False),
        ("3-1:id,relu:hinge:n4:f32:ordinary:s1", 1, False),
        ("3-1:id,relu:hinge:n4:f32:ordinary:s1", -1, False),
    ],
)
def test_a_derivative_that_is_zero_everywhere_is_told_from_one_at_these_inputs(
    text: str, place: int, everywhere: bool
) -> None:
    case = Case.parse(text)
    node = case.nodes(case.arrays())[place]
    assert is_zero_everywhere(node, case.value_shapes[node.input]) is everywhere


def test_a_derivative_that_is_zero_everywhere_leaves_the_verdict_and_says_why() -> None:
    case = Case.parse("3-1:id,softmax:mse:n4:f32:ordinary:s1")
    zeros = Answer(0.0, {}, {"inputs": np.zeros((4, 3))}, {"w1": np.zeros((3, 1))})
    assert zero_gradient(case, case.arrays(), zeros) is not None
    assert unless_zero(case, case.arrays(), zeros) == {
        "reason": "every gradient is 0, as the derivative of softmax is 0 everywhere"
    }
