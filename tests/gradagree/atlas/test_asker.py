"""What a framework's process is asked: each point alone."""

from __future__ import annotations

import numpy as np
import pytest

from gradagree.atlas.asker import Asked
from gradagree.atlas.messages import Failure, Question
from gradagree.atlas.subject import Subject
from gradagree.reference import ErrorFunction


@pytest.mark.parametrize(("name", "told"), [("ntxent", "couples the examples"), ("mse", "")])
def test_that_what_couples_examples_has_no_point_of_its_own(name: str, told: str) -> None:
    pytest.importorskip("torch")
    points = np.linspace(-1, 1, 12).reshape(4, 3)
    targets = np.arange(4) if name == "ntxent" else points[::-1].copy()
    question = Question("error", name, "float64", "slope", "backward", points, (targets,), (0,), (0, 1, 2))
    asked = Asked("torch", [])
    with asked.adapter.settings():
        answer = asked.answer(question)
    if told:
        assert isinstance(answer, Failure)
        assert (answer.word, told in answer.reason) == ("unsupported", True)
    else:
        assert isinstance(answer, np.ndarray)


@pytest.mark.parametrize("name", ["ntxent", "generalized_dice"])
def test_that_what_couples_examples_is_not_proved_either(name: str) -> None:
    assert "couples the examples" in Subject.of(ErrorFunction.named(name), "float64", 8).unfit
    assert Subject.of(ErrorFunction.named("mse"), "float64", 8).unfit == ""
