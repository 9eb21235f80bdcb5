"""A spelling of the wrong shape is told by its name and its shape, in whatever box it stands; so is a missing part."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gradagree import Case, check
from gradagree.api import Disagreement
from gradagree.checker.answers import malformed
from gradagree.reference.activations import Identity, Tanh

CASES = {"inside": "2-3-2:id*2:sse:n4:f32:grid:s1", "output": "2-3:id*2:sse:n4:f32:grid:s1"}


class _First(Identity):
    """Only the first number of each example."""

    def torch(self, p: Any, torch: Any) -> Any:
        return p[:, :1]

    jax = torch


class _Narrow(_First):
    """Only the first example."""

    def torch(self, p: Any, torch: Any) -> Any:
        return p[:1]

    jax = torch


class _Constant(_First):
    def torch(self, p: Any, torch: Any) -> Any:
        return 3.0

    jax = torch


def told(function: Any, framework: str, mode: str, place: str) -> list[str]:
    """The reasons of the records of a check of one case."""
    pytest.importorskip(framework)
    case = Case.parse(CASES[place])
    case = replace(case, activations=(case.activations[0], function))
    try:
        return [record.reason for record in check(case, frameworks=framework, modes=mode)]
    except Disagreement as wrong:
        return [record.reason for record in wrong.records]


@pytest.mark.parametrize(
    ("function", "shape"), [(_First(), (4, 1)), (_Narrow(), (1, 3)), (_Constant(), ())], ids=lambda x: type(x).__name__
)
@pytest.mark.parametrize("place", CASES)
@pytest.mark.parametrize(("framework", "mode"), [("torch", "backward"), ("torch", "forward"), ("jax", "grad")])
def test_that_a_spelling_of_another_shape_is_named_with_its_shape(
    function: Any, shape: tuple[int, ...], place: str, framework: str, mode: str
) -> None:
    (reason,) = told(function, framework, mode, place)
    wanted = f"{type(function).__name__}.{framework} returns shape {shape} for p of shape (4, 3); it must be (4, 3)"
    assert reason == wanted


@pytest.mark.parametrize("place", CASES)
def test_that_a_spelling_of_the_right_shape_is_not_accused(place: str) -> None:
    assert told(Tanh(), "torch", "backward", place) == [""]
    assert told(type("_Mine", (Tanh,), {})(), "torch", "backward", place) == [""]


def test_that_a_malformed_answer_is_reported_with_the_activation_of_its_box(bench: Any) -> None:
    case = Case.parse("2-3:id,tanh:sse:n4:f32:grid:s1")
    answer = bench.answer(case)
    assert malformed(case, case.arrays(), answer) is None
    short = replace(answer, values={**answer.values, "c2": answer.values["c2"][:, :1]})
    assert malformed(case, case.arrays(), short) == "c2, the value of tanh, has shape (4, 1), not (4, 3)"
