"""A fault costs the mode that has it, and no other: the rest get their right answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradagree.cases.case import Arrays, Case
from gradagree.checker.response import Failure, Response
from gradagree.checker.verdict import Verdict
from gradagree.reference import backpropagate
from gradagree.runner.process import FrameworkProcess

FAKE = str(Path(__file__).parents[1] / "numpy_fake.py")
CASE = Case.parse("3-4b-2:id,tanh*2:sse:n5:f64:ordinary:s1")
FAULTS = {
    "segfault": (Verdict.CRASHED, "SIGSEGV"),
    "abort": (Verdict.CRASHED, "SIGABRT: the last word"),
    "exits": (Verdict.CRASHED, "exit code 1: leaving"),
    "garbage": (Verdict.CRASHED, "wrote invalid data to its pipe: a message of 18,446,744,073,"),
    "unframed": (Verdict.CRASHED, "wrote invalid data to its pipe: "),
    "raises": (Verdict.CRASHED, "raised RuntimeError: expected scalar type Float"),
    "sleep": (Verdict.TIMEOUT, "no result within 3 seconds"),
}  # fmt: skip


@pytest.fixture(scope="module")
def fake() -> Iterator[FrameworkProcess]:
    with FrameworkProcess("numpy_fake", [FAKE], limit=3) as started:
        yield started


@pytest.fixture
def arrays() -> Arrays:
    return CASE.arrays()


def assert_right(answer: Response | Failure, case: Case, arrays: Arrays) -> None:
    """The answer is that of the reference, bit for bit."""
    assert isinstance(answer, Response), answer
    given, expected = answer.tapped, backpropagate(case.network(arrays), arrays.inputs)
    assert expected.E == given.E
    gradients = {
        name: gradient._asdict()[part]
        for node, gradient in zip(case.nodes(arrays), expected.gradients, strict=False)
        for part, name in node.parameters.items()
    }
    assert given.gradients.keys() == gradients.keys()
    pairs = [*zip(expected.sensitivities, given.cotangents.values(), strict=True)]
    pairs += [(gradients[name], x) for name, x in given.gradients.items()]
    assert all(np.array_equal(one, other) for one, other in pairs)


@pytest.mark.parametrize("fault", FAULTS)
def test_that_a_fault_costs_its_own_mode_alone(fault: str, fake: FrameworkProcess, arrays: Arrays) -> None:
    modes = ["right", fault, "right", fault, fault, "right"]
    answers = list(fake.compute(CASE, arrays, modes))
    verdict, reason = FAULTS[fault]
    for mode, answer in zip(modes, answers, strict=True):
        assert answer.mode == mode
        if mode == "right":
            assert_right(answer, CASE, arrays)
        else:
            assert isinstance(answer, Failure)
            assert (answer.verdict, answer.reason[: len(reason)]) == (verdict, reason)
            assert "\n" not in answer.reason


@pytest.mark.parametrize("fault", FAULTS)
def test_that_the_next_case_gets_its_own_right_answer(fault: str, fake: FrameworkProcess, arrays: Arrays) -> None:
    list(fake.compute(CASE, arrays, [fault]))
    other = replace(CASE, seed=2)
    (answer,) = fake.compute(other, other.arrays(), ["right"])
    assert_right(answer, other, other.arrays())


def test_that_a_dead_process_is_replaced_and_a_living_one_kept(fake: FrameworkProcess, arrays: Arrays) -> None:
    numbers: list[Any] = []
    for modes in (["right"], ["raises"], ["right"], ["segfault", "right"], ["right"]):
        list(fake.compute(CASE, arrays, modes))
        assert fake._process is not None
        numbers.append(fake._process.pid)
    assert numbers[0] == numbers[1] == numbers[2] != numbers[3] == numbers[4]


def test_that_the_last_words_of_a_process_are_of_the_mode_that_died(fake: FrameworkProcess, arrays: Arrays) -> None:
    _, died = fake.compute(CASE, arrays, ["raises", "segfault"])
    assert died == Failure("segfault", Verdict.CRASHED, "SIGSEGV")


@pytest.mark.parametrize("mode", ["prints", "reads"])
def test_that_standard_input_and_output_are_not_the_pipes(mode: str, fake: FrameworkProcess, arrays: Arrays) -> None:
    """Megabytes are printed, or all that there is is read."""
    for answer in fake.compute(CASE, arrays, [mode, "right", mode, "right"]):
        assert_right(answer, CASE, arrays)


def test_that_a_mode_that_does_not_exist_costs_itself_alone(fake: FrameworkProcess, arrays: Arrays) -> None:
    unknown, right = fake.compute(CASE, arrays, ["unheard_of", "right"])
    assert unknown == Failure("unheard_of", Verdict.CRASHED, "raised KeyError: 'unheard_of'")
    assert_right(right, CASE, arrays)


def test_that_a_case_larger_than_the_buffer_of_a_pipe_arrives(fake: FrameworkProcess) -> None:
    large = Case.parse("300-200b-300:id,tanh:cross_entropy:n64:f64:ordinary:s1")
    arrays = large.arrays()
    for answer in fake.compute(large, arrays, ["right", "segfault", "right"]):
        if answer.mode == "right":
            assert_right(answer, large, arrays)


def test_that_an_answer_which_no_one_took_is_not_taken_for_that_of_another_case(
    fake: FrameworkProcess, arrays: Arrays
) -> None:
    answers = fake.compute(CASE, arrays, ["right", "right"])
    next(answers)
    answers.close()  # type: ignore[attr-defined]
    other = replace(CASE, seed=2)
    (answer,) = fake.compute(other, other.arrays(), ["right"])
    assert_right(answer, other, other.arrays())
