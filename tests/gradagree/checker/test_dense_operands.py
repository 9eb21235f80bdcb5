"""Nodes are compared together as each is alone; rows and zeros are accepted only where that is certain."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gradagree import draw
from gradagree.adapters import Answer, ForTorch, Unsupported
from gradagree.arithmetic import exactness
from gradagree.arithmetic.model import FORMATS, model
from gradagree.cases.case import problem_of
from gradagree.checker.batching import SAMPLED, Ragged, lowest_bits
from gradagree.checker.dense import DenseCheck
from gradagree.checker.dense_operands import always_rounds
from gradagree.checker.judge import Framework, JudgeRequest, judge, judge_all
from gradagree.checker.response import Failure, Response, handshake
from gradagree.checker.reverse import accept
from gradagree.checker.verdict import Verdict
from gradagree.reference import Activation
from gradagree.reference.boxes import Box
from gradagree.reference.graph import Node


def asked(cases: int, dtypes: list[str]) -> list[JudgeRequest]:
    """torch's answers, every fifth of them with a gradient that is off; one is refused."""
    adapter = ForTorch()
    with adapter.settings():
        framework = Framework.of("torch", handshake(adapter))
        found = []
        for number, case in enumerate(draw(cases, 3, dtypes)):
            arrays = case.arrays()
            try:
                tapped, untapped = adapter.answers(problem_of(case, arrays), "backward")
            except (Unsupported, NotImplementedError):
                continue
            if number % 5 == 0:
                tapped = replace(tapped, gradients={**tapped.gradients, "w1": tapped.gradients["w1"] * 1.25})
            reply: Any = Response("backward", tapped, untapped)
            found.append(JudgeRequest(case, arrays, framework, reply, number))
    refused = Failure("backward", str(Verdict.TIMEOUT), "no answer")
    return [*found[:7], found[0]._replace(reply=refused), *found[7:]]


def test_that_answers_judged_together_have_the_records_of_each_alone() -> None:
    given = asked(40, list(FORMATS))
    together = list(judge_all(given))
    assert together == [judge(*one) for one in given]
    counts = {verdict: sum(record.verdict is verdict for record in together) for verdict in Verdict}
    assert counts[Verdict.TIMEOUT] == 1
    assert counts[Verdict.DISAGREE] > 10
    assert counts[Verdict.AGREE] > 40


def box(activation: str, p: np.ndarray, w: np.ndarray | None, **other: np.ndarray) -> DenseCheck:
    """A box without bias on the reference's own numbers, but for others that are given."""
    made = Box(Activation.named(activation), w, None, None)  # type: ignore[arg-type]
    c = made.weigh(p)
    delta_c = np.linspace(0.3, 1.7, c.size).reshape(c.shape)
    found = {"c": c, "delta_p": made.sensitivity(p, delta_c), "dw": made.gradient(p, delta_c).w} | other
    values, cotangents = {"inputs": p, "c1": found["c"]}, {"inputs": found["delta_p"], "c1": delta_c}
    node = Node(1, made, "inputs", "c1", {} if w is None else {"w": "w1"})
    return DenseCheck(node, Answer(0.0, values, cotangents, {"w1": found["dw"]}), model("float64"))


def cleared(one: DenseCheck) -> set[str]:
    accept([one])
    return {quantity.label for quantity in one.accepted}


UNEQUAL = np.array([[0.1, 0.7, -0.3, 0.2], [1.1, 0.4, 0.9, -2.0]])
W = np.random.default_rng(1).normal(size=(4, 3))


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "layer_norm"])
def test_that_rows_are_cleared_within_a_rounding_and_not_beyond(name: str) -> None:
    right = box(name, UNEQUAL, W)
    assert cleared(right) == {"c", "delta_p", "dw"}
    delta_p = right.answer.cotangents["inputs"]
    assert "delta_p" in cleared(box(name, UNEQUAL, W, delta_p=np.nextafter(delta_p, np.inf)))
    assert "delta_p" not in cleared(box(name, UNEQUAL, W, delta_p=delta_p * (1 + 2.0**-40)))


def test_that_a_row_of_equal_numbers_has_no_tolerance_for_it_may_be_exact() -> None:
    equal = np.array([[0.5, 0.5, 0.5, 0.5], [0.1, 0.7, -0.3, 0.2]])
    right = box("softmax", equal, None)
    assert "delta_p" in cleared(right)
    off = np.nextafter(right.answer.cotangents["inputs"], np.inf)
    assert "delta_p" not in cleared(box("softmax", equal, None, delta_p=off))
    near = np.nextafter(box("softmax", UNEQUAL, None)._arrays.delta_p, np.inf)
    assert "delta_p" in cleared(box("softmax", UNEQUAL, None, delta_p=near))


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
def test_that_exponentials_of_unequal_numbers_always_round(name: str) -> None:
    assert always_rounds(Activation.named(name), model("float32")) == {"value": True, "vjp": True}


@pytest.mark.parametrize("name", ["prelu_by_column", "dropout"])
def test_that_what_is_exact_at_some_round_numbers_is_known(name: str) -> None:
    assert not all(always_rounds(Activation.named(name), model("float32")).values())


def test_that_zeros_for_want_of_a_factor_are_cleared_and_nothing_beside_them() -> None:
    nothing = np.zeros((4, 3))
    assert cleared(box("tanh", UNEQUAL, nothing)) == {"c", "delta_p", "dw"}
    tiny = np.zeros((2, 3))
    tiny[0, 0] = 2.0**-1074
    assert cleared(box("tanh", UNEQUAL, nothing, c=tiny)) == {"delta_p", "dw"}


def test_that_sums_that_cancel_to_zero_are_not_taken_for_nothing() -> None:
    cancelling = np.array([[0.5], [0.25], [-0.5], [-0.25]]) * np.ones(3)
    p = np.tile(np.array([[0.5, 0.75, 0.5, 0.75]]), (2, 1))
    assert not np.any(box("id", p, cancelling).answer.values["c1"])
    assert "c" not in cleared(box("id", p, cancelling))


def test_that_the_lowest_bits_are_those_of_each_array_from_some_of_its_entries() -> None:
    bits = np.random.default_rng(3)
    arrays = [
        np.ldexp(bits.integers(-99, 99, n).astype(np.float64), bits.integers(-30, 30, n)) for n in (1, 7, SAMPLED)
    ]
    arrays += [np.zeros((2, 3)), np.array([1.0, np.inf]), np.array([2.0**-1074]), np.array([0.1])]
    assert lowest_bits(arrays) == [exactness.lowest_bit(x) for x in arrays]
    late = np.zeros((4, SAMPLED))
    late[-1] = 0.5
    assert lowest_bits([late]) == [-1.0], "entries of all rows are looked at"
    late[0, 0] = 0.25
    assert lowest_bits([late]) == [-1.0], "but not all entries"
    assert lowest_bits([]) == []


def test_that_ragged_arrays_keep_their_numbers_and_shapes() -> None:
    arrays = [np.arange(6.0).reshape(2, 3), -np.arange(4.0).reshape(4, 1)]
    ragged = Ragged.of(arrays)
    for view, x in zip(ragged.views, arrays, strict=True):
        np.testing.assert_array_equal(view, x)
    assert ragged.spread([1.0, 2.0]).tolist() == [1.0] * 6 + [2.0] * 4
    np.testing.assert_array_equal(Ragged.sizes_of(arrays).views[1], np.arange(4.0).reshape(4, 1))
    (product, same) = Ragged.products(arrays, [np.ones((3, 2)), None]).views
    np.testing.assert_array_equal(product, arrays[0] @ np.ones((3, 2)))
    np.testing.assert_array_equal(same, arrays[1])
