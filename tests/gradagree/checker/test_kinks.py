"""Kinks: one admissible slope at all entries of a kink is a convention; other slopes, and mixes, disagree."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gradagree import Case, check
from gradagree.arithmetic.model import FORMULA, model
from gradagree.arithmetic.rounded import Rounded
from gradagree.cases.case import Arrays
from gradagree.checker.allowances import ToleranceOptions
from gradagree.checker.comparison import compare, explaining
from gradagree.checker.kinks import (
    ADMISSIBLE,
    FROM_REFERENCE,
    activation_kinks,
    loss_gradient_beside,
    loss_kinks,
    one_sided_derivative,
    one_sided_loss_gradient,
)
from gradagree.checker.verdict import Verdict
from gradagree.reference import Activation, ErrorFunction
from gradagree.reference.errors import PairwiseDistance, TripletMargin, TripletMarginOfSquares
from gradagree.reference.graph import quantity_of

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
INADMISSIBLE = 0.3


def on_the_kinks(name: str, dtype: str) -> Case:
    """An activation on the output, six of whose twelve inputs fault on its kinks, three examples of four outputs."""
    activation = Activation.named(name)
    kinks = itertools.islice(itertools.cycle(activation.kinks), 6)
    x = np.array([*kinks, -2.0, -1.25, -0.25, 0.75, 1.25, 2.0]).reshape(3, 4, order="F")
    case = Case.parse(f"4-4:id,{name}:sse:n3:{dtype}:ordinary:s0")
    t = np.arange(12.0).reshape(3, 4) + 16.5
    return Case.of(case, Arrays((np.eye(4),), (None,), x, t))


def at_kinks(names: Mapping[float, str]) -> Any:
    """A planted fault: the derivative of this name at each kink."""

    def fault(right: np.ndarray, at: SimpleNamespace) -> np.ndarray:
        for kink, name in names.items():
            right = np.where(at.p == kink, one_sided_derivative(at.activation, at.p, name), right)
        return right

    return fault


def delta_p(bench: Any, case: Case, fault: Any) -> Any:
    """The comparison of the cotangent at the node with the kinks; all others agree."""
    found = bench.compared(case, bench.answer(case, {(2, "slope"): fault}))
    (one,) = (c for c in found if (c.box, c.part) == (2, "delta_p"))
    assert {c.verdict for c in found if c is not one} == {Verdict.AGREE}
    return one


@each_dtype
@each_function
@pytest.mark.parametrize("side", ADMISSIBLE)
def test_that_an_admissible_derivative_is_a_convention_and_the_references_own_agrees(
    bench: Any, name: str, side: str, dtype: str
) -> None:
    case = on_the_kinks(name, dtype)
    activation, kinks = case.activations[1], case.activations[1].kinks
    own = {kink: activation.derivative(np.array([kink])) for kink in kinks}
    other = [kink for kink in kinks if own[kink] != one_sided_derivative(activation, np.array([kink]), side)]
    found = delta_p(bench, case, at_kinks(dict.fromkeys(kinks, side)))
    assert found.verdict is (Verdict.CONVENTION if other else Verdict.AGREE)
    assert all(f"slope at p = {kink:g}" in found.reason for kink in other)


@each_dtype
@each_function
def test_that_an_inadmissible_derivative_disagrees(bench: Any, name: str, dtype: str) -> None:
    case = on_the_kinks(name, dtype)
    for kink in case.activations[1].kinks:
        found = delta_p(bench, case, lambda right, at, kink=kink: np.where(at.p == kink, INADMISSIBLE, right))
        assert found.verdict is Verdict.DISAGREE
        assert case.arrays().inputs[found.index] == kink


@each_dtype
@each_function
@pytest.mark.parametrize(("one", "other"), [*itertools.combinations(ADMISSIBLE, 2)])
def test_that_a_mix_of_derivatives_at_one_kink_disagrees(
    bench: Any, name: str, one: str, other: str, dtype: str
) -> None:
    case = on_the_kinks(name, dtype)
    kink = case.activations[1].kinks[0]
    first = np.arange(12).reshape(3, 4, order="F") == 0
    slopes = [one_sided_derivative(case.activations[1], np.array([kink]), side)[0] for side in (one, other)]

    def mixed(right: np.ndarray, at: SimpleNamespace) -> np.ndarray:
        return np.where(at.p == kink, np.where(first, *slopes), right)

    found = delta_p(bench, case, mixed)
    assert found.verdict.fails == (slopes[0] != slopes[1])


@each_dtype
@pytest.mark.parametrize(("low", "high"), [*itertools.permutations(ADMISSIBLE, 2)])
def test_that_different_kinks_may_have_different_derivatives(bench: Any, low: str, high: str, dtype: str) -> None:
    case = on_the_kinks("hardtanh", dtype)
    found = delta_p(bench, case, at_kinks({-1.0: low, 1.0: high}))
    own = all(
        one_sided_derivative(case.activations[1], np.array([k]), s)[0] == 0 for k, s in ((-1.0, low), (1.0, high))
    )
    assert found.verdict is (Verdict.AGREE if own else Verdict.CONVENTION)
    for kink, side in ((-1, low), (1, high)):
        if one_sided_derivative(case.activations[1], np.array([float(kink)]), side)[0] != 0:
            assert f"{side} slope at p = {kink}" in found.reason


@each_dtype
@each_function
def test_that_a_fault_away_from_the_kink_is_not_hidden_by_a_convention(bench: Any, name: str, dtype: str) -> None:
    case = on_the_kinks(name, dtype)
    right_derivative = at_kinks(dict.fromkeys(case.activations[1].kinks, "right"))
    found = delta_p(bench, case, lambda right, at: np.where(at.p == 2, 4.0, right_derivative(right, at)))
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
@pytest.mark.parametrize("side", ADMISSIBLE)
def test_that_a_loss_may_have_any_admissible_derivative_at_its_kink(bench: Any, side: str, dtype: str) -> None:
    case = error_case(dtype)
    fault = lambda right, at: np.where(at.p == at.t, one_sided_loss_gradient(case.error, at.p, at.t, side), right)  # noqa: E731
    (found,) = (
        c
        for c in bench.compared(case, bench.answer(case, {("error", "delta_p"): fault}))
        if c.part == "delta_p" and c.box == "error"
    )
    assert found.verdict is (Verdict.CONVENTION if side in ("left", "right") else Verdict.AGREE)
    assert found.verdict is Verdict.AGREE or found.reason == f"{side} slope at the kink"


@each_dtype
def test_that_a_loss_with_another_derivative_at_its_kink_disagrees(bench: Any, dtype: str) -> None:
    case = error_case(dtype)
    fault = lambda right, at: np.where(at.p == at.t, INADMISSIBLE, right)  # noqa: E731
    assert bench.failing(case, bench.answer(case, {("error", "delta_p"): fault})) == [("error", "delta_p")]


@each_dtype
def test_that_the_record_of_a_convention_names_function_and_derivative_and_does_not_fail(
    bench: Any, dtype: str
) -> None:
    case = on_the_kinks("relu", dtype)
    record = bench.judged(case, bench.answer(case, {(2, "slope"): at_kinks({0.0: "right"})}))
    assert (record.verdict, record.box, record.function) == (Verdict.CONVENTION, 2, "relu")
    assert record.reason == "relu: right slope at p = 0"


@each_dtype
def test_that_a_convention_beside_an_overflow_is_not_reported(bench: Any, dtype: str) -> None:
    top = float(np.finfo({"f64": np.float64, "f32": np.float32}[dtype]).max)
    w = np.array([[1.0, 1.0], [top, top]])
    case = Case.parse(f"2-2-2:id,relu:absolute:n1:{dtype}:ordinary:s0")
    case = Case.of(case, Arrays((np.eye(2), w), (None, None), np.array([[0.0, 1.0]]), np.zeros((1, 2))))
    verdicts = {}
    for side in ADMISSIBLE:
        found = bench.compared(case, bench.answer(case, {(2, "slope"): at_kinks({0.0: side})}))
        (verdicts[side],) = (c.verdict for c in found if (c.box, c.part) == (2, "delta_p"))
    assert verdicts["left"] is Verdict.OUT_OF_RANGE
    assert not any(verdict.fails for verdict in verdicts.values()), verdicts
    fault = {(2, "slope"): lambda right, at: np.where(at.p == 0, INADMISSIBLE, right)}
    assert (2, "delta_p") in bench.failing(case, bench.answer(case, fault))


@each_dtype
@each_function
def test_that_entries_on_a_kink_with_zero_cotangent_do_not_choose_the_derivative(
    bench: Any, name: str, dtype: str
) -> None:
    case = on_the_kinks(name, dtype)
    x = case.arrays()
    t = x.targets.copy()
    t.flat[0] = case.activations[1].value(x.inputs).flat[0]
    case = Case.of(case, Arrays(x.weights, x.biases, x.inputs, t))
    answer = bench.answer(case, {(2, "slope"): at_kinks(dict.fromkeys(case.activations[1].kinks, "right"))})
    assert answer.cotangents["c2"].flat[0] == 0
    assert bench.failing(case, answer) == []


@pytest.mark.parametrize("observed", [math.nan, 5.0])
def test_that_an_undecided_entry_rules_out_no_derivative(observed: float) -> None:
    value, radius = np.array([[math.nan, 1.0]]), np.array([[math.nan, 0.0]])
    expect = lambda how: Rounded(value, radius, model("float64"))  # noqa: E731
    found = compare(
        quantity_of(2, "delta_p", 2), np.array([[observed, 1.0]]), expect, {"p = 0": np.array([[True, False]])}
    )
    assert found.slopes == {"p = 0": {*ADMISSIBLE, FROM_REFERENCE}}
    wrong = explaining(np.array([[observed, 2.0]]), expect, np.array([[True, True]]))
    assert not wrong


MODES = {"torch": "backward", "jax": "grad"}
NONE = np.zeros((1, 0))
SWAPPING = TripletMargin(swap=True)
EPS = SWAPPING.eps


def test_that_each_kind_of_kink_has_a_name_and_a_mask() -> None:
    plain = TripletMargin(eps=0.0)
    swapping = TripletMargin(eps=0.0, swap=True)
    at_margin, equal, apart = [[0.0, 0.0, 1.0]], [[0.0, 2.0, 1.0]], [[0.0, 3.0, 2.0]]
    assert list(loss_kinks(swapping, np.array([[0.5, 0.5, 0.75]]), NONE)) == ["a distance of 0"]
    assert list(loss_kinks(swapping, np.array(equal), NONE)) == ["equal distances"]
    assert list(loss_kinks(plain, np.array(equal), NONE)) == []
    assert list(loss_kinks(plain, np.array(at_margin), NONE)) == ["the margin"]
    assert list(loss_kinks(swapping, np.array(apart), NONE)) == []


def test_that_a_step_absorbed_by_other_numbers_is_lengthened() -> None:
    o = np.zeros((1, 6))
    left, right, mean = (one_sided_loss_gradient(SWAPPING, o, NONE, side) for side in ("left", "right", "mean"))
    assert (left != right).any()
    np.testing.assert_array_equal(mean, (left + right) / 2)
    near = np.sqrt(2.0) / 2
    halves = np.array([[near / 2, near / 2, -1.5 * near, -1.5 * near, near, near]])
    assert np.all(np.abs(mean - halves) <= 8 * np.spacing(1.5))


def test_that_a_step_that_leaves_the_kink_stays_one_ulp() -> None:
    error, o, t = PairwiseDistance(eps=0.0), np.array([[1.0]]), np.array([[1.0]])
    assert [float(loss_gradient_beside(error, o, t, side).item()) for side in (-1, 1)] == [-1.0, 1.0]


def test_that_a_distance_of_zero_is_a_kink_with_derivative_zero() -> None:
    error = PairwiseDistance()
    o = np.array([[0.5 - EPS, 0.25 - EPS], [1.0, 0.0]])
    t = np.array([[0.5, 0.25], [1.0, 0.5]])
    assert error.kink(o, t).tolist() == [[True, True], [False, False]]
    assert error.sensitivity(o, t)[0].tolist() == [0.0, 0.0]
    assert np.isfinite(error.sensitivity(o, t)).all()


def test_that_the_margin_of_triplets_of_squares_is_a_kink() -> None:
    error = TripletMarginOfSquares(eps=0.0, margin=1.0)
    assert error.kink(np.array([[0.0, 1.0, 2.0]]), NONE).all()
    assert not error.kink(np.array([[0.0, 1.0, 2.5]]), NONE).any()


@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_that_kinks_of_two_kinds_may_have_two_derivatives(framework: str) -> None:
    pytest.importorskip(framework)
    o = np.array([[0.0, -0.25, 1.25], [0.0, 2.0, 1.0]])
    case = Case.parse("3-3:id:triplet_margin(eps=0.0,swap=True):n2:f64:ordinary:s1")
    case = Case.of(case, Arrays((np.eye(3),), (None,), o, np.zeros((2, 0))))
    assert list(loss_kinks(case.error, o, case.arrays().targets)) == ["the margin", "equal distances"]
    (record,) = check(case, frameworks=framework, modes=MODES[framework])
    assert not record.verdict.fails


@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_that_swapped_triplets_agree_at_all_their_kinks(framework: str) -> None:
    pytest.importorskip(framework)
    records = check(SWAPPING, frameworks=framework, modes=MODES[framework])
    assert {record.verdict for record in records} <= {Verdict.AGREE, Verdict.CONVENTION, Verdict.UNDECIDED}
    assert any(Verdict.AGREE is record.verdict for record in records)


F = np.float32
RULES = {dtype: model(dtype) for dtype in ("float64", "float32")}


def points(seed: int, shape: tuple[int, ...] = (40, 5), reach: int = 6) -> np.ndarray:
    """Numbers of float32 near and far, a few of them on kinks."""
    source = np.random.default_rng(seed)
    x = source.normal(size=shape) * 2.0 ** source.integers(-20, reach - 2, shape)
    x.flat[:4] = 0.0, 1.0, -1.0, -0.0
    return np.clip(x, -(2.0**reach), 2.0**reach).astype(F).astype(np.float64)


@pytest.mark.parametrize("name", [name for name in Activation.catalogue if Activation.named(name).kinks])
@pytest.mark.parametrize("side", ADMISSIBLE)
def test_that_a_derivative_applies_at_the_kinks_and_other_entries_are_undecided(name: str, side: str) -> None:
    activation = Activation.named(name)
    numbers = points(5)
    numbers.flat[4 : 4 + len(activation.kinks)] = activation.kinks
    p = Rounded.stored(numbers, RULES["float32"])
    kinked = np.isin(p.value, activation.kinks)
    chosen = ToleranceOptions(one_sided=side).bounds(activation).derivative(p)
    assert kinked.any()
    assert np.isnan(chosen.radius[~kinked]).all()
    assert np.array_equal(chosen.value[kinked], one_sided_derivative(activation, p.value, side)[kinked])
    assert np.array_equal(chosen.radius[kinked], FORMULA * RULES["float32"].u * np.abs(chosen.value[kinked]))


@pytest.mark.parametrize(
    ("name", "kink", "slopes"),
    [
        ("relu", 0.0, (0, 1, 0.5, 0)),
        ("leaky_relu(negative_slope=0.25)", 0.0, (0.25, 1, 0.625, 0.25)),
        ("elu(alpha=2.0)", 0.0, (2, 1, 1.5, 1)),
        ("hardtanh", -1.0, (0, 1, 0.5, 0)),
        ("hardtanh", 1.0, (1, 0, 0.5, 0)),
    ],
)
def test_that_the_derivatives_at_a_kink_are_those_on_its_two_sides(name: str, kink: float, slopes: Any) -> None:
    activation = Activation.named(name)
    assert tuple(float(one_sided_derivative(activation, np.array([kink]), side)[0]) for side in ADMISSIBLE) == slopes
    assert activation_kinks(activation, np.array([kink, 0.7]))[f"p = {kink:g}"].tolist() == [True, False]
    assert activation_kinks(activation, np.array([0.7, -0.3])) == {}


class _Doubled(Activation):
    """Its derivative jumps from 1 to 2 at 0."""

    name = "_doubled_beyond_zero"
    kinks = (0.0,)

    def value(self, p: Any) -> Any:
        return np.where(p > 0, 2 * p, p)

    def derivative(self, p: Any) -> Any:
        return np.where(p > 0, 2.0, 1.0)


def test_that_zero_is_admissible_only_between_the_derivatives_of_the_two_sides() -> None:
    at = np.array([0.0])
    assert [float(one_sided_derivative(_Doubled(), at, side)[0]) for side in ADMISSIBLE] == [1, 2, 1.5, 1]


def test_that_the_derivatives_of_the_absolute_error_are_those_on_its_two_sides() -> None:
    error, o, t = ErrorFunction.named("absolute"), np.array([[1.5, 2.0]]), np.array([[1.5, 0.0]])
    assert [one_sided_loss_gradient(error, o, t, side)[0, 0] for side in ADMISSIBLE] == [-1.0, 1.0, 0.0, 0.0]
    assert loss_kinks(error, o, t)["the kink"].tolist() == [[True, False]]
    assert loss_kinks(error, o, t - 1) == {}
    assert loss_kinks(ErrorFunction.named("sse"), o, t) == {}


def test_that_an_output_which_does_not_move_across_the_kink_stays_where_it_is_without_a_warning() -> None:
    """Of a triplet whose distances tie only the anchor moves, to the left of which the far one is the smaller."""
    error = ErrorFunction.named("triplet_margin(swap=True)")
    o, t = np.ones((1, 6)), np.zeros((1, 0))
    assert error.across(o, t).tolist() == [[1.0, 1.0, 0.0, 0.0, 0.0, 0.0]]
    left, right, mean = (one_sided_loss_gradient(error, o, t, side) for side in ADMISSIBLE[:3])
    assert not np.array_equal(left, right)
    assert np.array_equal(mean, (left + right) / 2)
