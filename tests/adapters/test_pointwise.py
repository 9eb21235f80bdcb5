"""A survey of an adapter that defines no modes for surveys uses its own reverse modes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradagree import survey
from gradagree.adapters import Adapter
from gradagree.adapters.pointwise import PointwiseByMode, framework_implementation
from gradagree.reference import Activation
from gradagree.reference.activations import Tanh
from gradagree.reference.errors import SumOfSquares
from gradagree.runner.extensions import load

EXAMPLE = str(Path(__file__).parents[2] / "examples" / "adapter.py")
PLANTED = """
import numpy as np

from gradagree import Adapter

ForTape = Adapter.catalogue["tape"]


def tanh(function, p):
    y = np.tanh(p.x)
    derivative = np.where(p.x == 0.5, -1, 1) * (1 - y * y)
    return type(p)(y, (p, lambda d: d * derivative))


class ForFaultyTape(ForTape):
    name = "faulty_tape"
    implementations = {**ForTape.implementations, "tanh": tanh}
"""
POINTS = np.array([-1.5, 0.0, 0.5, 3.0])


@pytest.fixture
def extensions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The adapter of the examples, and one with the derivative of tanh negated at 0.5."""
    monkeypatch.setenv("GRADAGREE_CACHE", "off")
    for base in (Activation, Adapter):
        monkeypatch.setattr(base, "catalogue", dict(base.catalogue))
    file = tmp_path / "faulty_tape.py"
    file.write_text(PLANTED, encoding="utf-8")
    load([EXAMPLE])
    Adapter.catalogue.setdefault("tape", next(kind for kind in Adapter.__subclasses__() if kind.name == "tape"))
    load([str(file)])
    return [EXAMPLE, str(file)]


def derivative(name: str, function: Any, *constants: np.ndarray) -> np.ndarray:
    adapter = Adapter.catalogue[name]()
    pointwise = adapter.pointwise()
    assert isinstance(pointwise, PointwiseByMode)
    f = framework_implementation(function, adapter, "float64")
    x, targets = adapter.array(POINTS, "float64"), tuple(adapter.constant(t, "float64") for t in constants)
    return adapter.back(pointwise.modes("slope")["backward"](f, x, targets))


def test_that_values_and_derivatives_are_those_of_the_function(extensions: list[str]) -> None:
    pointwise = Adapter.catalogue["tape"]().pointwise()
    assert [list(pointwise.modes(quantity)) for quantity in ("value", "slope", "second")] == [
        ["eager"],
        ["backward"],
        [],
    ]
    assert np.array_equal(derivative("tape", Tanh()), 1 - np.tanh(POINTS) * np.tanh(POINTS))
    assert np.array_equal(derivative("tape", SumOfSquares(), np.ones(4)), 2 * (POINTS - 1))


def test_that_a_survey_finds_a_wrong_derivative_of_another_authors_adapter(extensions: list[str]) -> None:
    found = survey(
        activations="tanh", errors="sse", frameworks="tape,faulty_tape", modes="backward", dtypes="float32",
        profile="quick", ext=extensions,
    )  # fmt: skip
    wrong = [one for one in found.findings if one.kind == "wrong sign"]
    assert [(one.framework, one.function, one.quantity, one.example["input"]) for one in wrong] == [
        ("faulty_tape", "tanh", "slope", [0.5])
    ]
