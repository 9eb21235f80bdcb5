"""Kinks: a legitimate slope is a convention if it is the same at all entries of a kink; others, and mixes, disagree."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gradagree import Case
from gradagree.arithmetic.model import model
from gradagree.arithmetic.rounded import Rounded
from gradagree.cases.case import Arrays
from gradagree.checker.comparison import compare, explaining
from gradagree.checker.kinks import OWN, SLOPES, one_sided_derivative, one_sided_loss_gradient
from gradagree.checker.verdict import Verdict
from gradagree.reference import Activation

KINKED = (
    "relu",
    "leaky_relu",
    "leaky_relu(negative_slope=-0.5)",
    "elu(alpha=2.0)",
    "hardtanh",
    "hardtanh(min_val=-0.5,max_val=1.5)",
)
each_dtype = pytest.mark.parametrize("dtype", ["f64", "f32"])
each_function = pytest.mark.parametrize("name", KINKED)
ILLEGITIMATE = 0.3


def on_the_kinks(name: str, dtype: str) -> Case:
    """An activation on the output, six of whose twelve inputs lie on its kinks, three examples of four outputs."""
    activation = Activation.named(name)
    kinks = itertools.islice(itertools.cycle(activation.kinks), 6)
    x = np.array([*kinks, -2.0, -1.25, -0.25, 0.75, 1.25, 2.0]).reshape(3, 4, order="F")
    case = Case.parse(f"4-4:id,{name}:sse:n3:{dtype}:ordinary:s0")
    t = np.arange(12.0).reshape(3, 4) + 16.5
    return Case.of(case, Arrays((np.eye(4),), (None,), x, t))


def told(slopes: Mapping[float, str]) -> Any:
    """A lie that takes the named slope at each kink."""

    def lie(right: np.ndarray, at: SimpleNamespace) -> np.ndarray:
        for kink, name in slopes.items():
            right = np.where(at.p == kink, one_sided_derivative(at.activation, at.p, name), right)
        return right

    return lie


def delta_p(bench: Any, case: Case, lie: Any) -> Any:
    """The comparison of the sensitivity of the box with the kinks; all others agree."""
    found = bench.compared(case, bench.answer(case, {(2, "slope"): lie}))
    (one,) = (c for c in found if (c.box, c.part) == (2, "delta_p"))
    assert {c.verdict for c in found if c is not one} == {Verdict.AGREE}
    return one


@each_dtype
@each_function
@pytest.mark.parametrize("slope", SLOPES)
def test_that_a_legitimate_slope_is_a_convention_and_the_references_own_agrees(
    bench: Any, name: str, slope: str, dtype: str
) -> None:
    case = on_the_kinks(name, dtype)
    activation, kinks = case.activations[1], case.activations[1].kinks
    own = {kink: activation.derivative(np.array([kink])) for kink in kinks}
    other = [kink for kink in kinks if own[kink] != one_sided_derivative(activation, np.array([kink]), slope)]
    found = delta_p(bench, case, told(dict.fromkeys(kinks, slope)))
    assert found.verdict is (Verdict.CONVENTION if other else Verdict.AGREE)
    assert all(f"slope at p = {kink:g}" in found.reason for kink in other)


@each_dtype
@each_function
def test_that_an_illegitimate_slope_disagrees(bench: Any, name: str, dtype: str) -> None:
    case = on_the_kinks(name, dtype)
    for kink in case.activations[1].kinks:
        found = delta_p(bench, case, lambda right, at, kink=kink: np.where(at.p == kink, ILLEGITIMATE, right))
        assert found.verdict is Verdict.DISAGREE
        assert case.arrays().inputs[found.index] == kink


@each_dtype
@each_function
@pytest.mark.parametrize(("one", "other"), [*itertools.combinations(SLOPES, 2)])
def test_that_a_mix_of_slopes_at_one_kink_disagrees(bench: Any, name: str, one: str, other: str, dtype: str) -> None:
    case = on_the_kinks(name, dtype)
    kink = case.activations[1].kinks[0]
    first = np.arange(12).reshape(3, 4, order="F") == 0
    slopes = [one_sided_derivative(case.activations[1], np.array([kink]), slope)[0] for slope in (one, other)]

    def mixed(right: np.ndarray, at: SimpleNamespace) -> np.ndarray:
        return np.where(at.p == kink, np.where(first, *slopes), right)

    found = delta_p(bench, case, mixed)
    assert found.verdict.fails == (slopes[0] != slopes[1])


@each_dtype
@pytest.mark.parametrize(("low", "high"), [*itertools.permutations(SLOPES, 2)])
def test_that_different_kinks_may_have_different_slopes(bench: Any, low: str, high: str, dtype: str) -> None:
    case = on_the_kinks("hardtanh", dtype)
    found = delta_p(bench, case, told({-1.0: low, 1.0: high}))
    own = all(
        one_sided_derivative(case.activations[1], np.array([k]), s)[0] == 0 for k, s in ((-1.0, low), (1.0, high))
    )
    assert found.verdict is (Verdict.AGREE if own else Verdict.CONVENTION)
    for kink, slope in ((-1, low), (1, high)):
        if one_sided_derivative(case.activations[1], np.array([float(kink)]), slope)[0] != 0:
            assert f"{slope} slope at p = {kink}" in found.reason


@each_dtype
@each_function
def test_that_a_fault_away_from_the_kink_is_not_hidden_by_a_convention(bench: Any, name: str, dtype: str) -> None:
    case = on_the_kinks(name, dtype)
    right_slope = told(dict.fromkeys(case.activations[1].kinks, "right"))
    found = delta_p(bench, case, lambda right, at: np.where(at.p == 2, 4.0, right_slope(right, at)))
    assert found.verdict is Verdict.DISAGREE
    assert case.arrays().inputs[found.index] == 2


def error_case(dtype: str) -> Case:
    """Absolute error, with every other output on its target."""
    x = np.arange(6.0).reshape(3, 2)
    return Case.of(
        Case.parse(f"2-2:id:absolute:n3:{dtype}:ordinary:s0"),
        Arrays((np.eye(2),), (None,), x, x + np.array([0.0, 1.0])),
    )


@each_dtype
@pytest.mark.parametrize("slope", SLOPES)
def test_that_an_error_function_may_have_any_legitimate_slope_at_its_kink(bench: Any, slope: str, dtype: str) -> None:
    case = error_case(dtype)
    lie = lambda right, at: np.where(at.p == at.t, one_sided_loss_gradient(case.error, at.p, at.t, slope), right)  # noqa: E731
    (found,) = (
        c
        for c in bench.compared(case, bench.answer(case, {("error", "delta_p"): lie}))
        if c.part == "delta_p" and c.box == "error"
    )
    assert found.verdict is (Verdict.CONVENTION if slope in ("left", "right") else Verdict.AGREE)
    assert found.verdict is Verdict.AGREE or found.reason == f"{slope} slope at the kink"


@each_dtype
def test_that_an_error_function_with_another_slope_at_its_kink_disagrees(bench: Any, dtype: str) -> None:
    case = error_case(dtype)
    lie = lambda right, at: np.where(at.p == at.t, ILLEGITIMATE, right)  # noqa: E731
    assert bench.failing(case, bench.answer(case, {("error", "delta_p"): lie})) == [("error", "delta_p")]


@each_dtype
def test_that_the_record_of_a_convention_names_function_and_slope_and_does_not_fail(bench: Any, dtype: str) -> None:
    case = on_the_kinks("relu", dtype)
    record = bench.judged(case, bench.answer(case, {(2, "slope"): told({0.0: "right"})}))
    assert (record.verdict, record.box, record.function) == (Verdict.CONVENTION, 2, "relu")
    assert record.reason == "relu: right slope at p = 0"


@each_dtype
def test_that_a_convention_beside_a_number_past_the_range_is_no_finding(bench: Any, dtype: str) -> None:
    top = float(np.finfo({"f64": np.float64, "f32": np.float32}[dtype]).max)
    w = np.array([[1.0, 1.0], [top, top]])
    case = Case.parse(f"2-2-2:id,relu:absolute:n1:{dtype}:ordinary:s0")
    case = Case.of(case, Arrays((np.eye(2), w), (None, None), np.array([[0.0, 1.0]]), np.zeros((1, 2))))
    verdicts = {}
    for slope in SLOPES:
        found = bench.compared(case, bench.answer(case, {(2, "slope"): told({0.0: slope})}))
        (verdicts[slope],) = (c.verdict for c in found if (c.box, c.part) == (2, "delta_p"))
    assert verdicts["left"] is Verdict.OUT_OF_RANGE
    assert not any(verdict.fails for verdict in verdicts.values()), verdicts
    lie = {(2, "slope"): lambda right, at: np.where(at.p == 0, ILLEGITIMATE, right)}
    assert (2, "delta_p") in bench.failing(case, bench.answer(case, lie))


@each_dtype
@each_function
def test_that_entries_on_a_kink_without_sensitivity_do_not_choose_the_slope(bench: Any, name: str, dtype: str) -> None:
    case = on_the_kinks(name, dtype)
    x = case.arrays()
    t = x.targets.copy()
    t.flat[0] = case.activations[1].value(x.inputs).flat[0]
    case = Case.of(case, Arrays(x.weights, x.biases, x.inputs, t))
    answer = bench.answer(case, {(2, "slope"): told(dict.fromkeys(case.activations[1].kinks, "right"))})
    assert answer.cotangents["c2"].flat[0] == 0
    assert bench.failing(case, answer) == []


@pytest.mark.parametrize("observed", [math.nan, 5.0])
def test_that_an_entry_of_which_nothing_is_known_speaks_against_no_slope(observed: float) -> None:
    value, radius = np.array([[math.nan, 1.0]]), np.array([[math.nan, 0.0]])
    expect = lambda how: Rounded(value, radius, model("float64"))  # noqa: E731
    found = compare(2, "delta_p", np.array([[observed, 1.0]]), expect, {"p = 0": np.array([[True, False]])})
    assert found.slopes == {"p = 0": {*SLOPES, OWN}}
    wrong = explaining(np.array([[observed, 2.0]]), expect, np.array([[True, True]]))
    assert not wrong
