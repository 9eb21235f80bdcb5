"""Error classes follow their definitions, and deviations are found at planted errors."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gradagree.arithmetic.model import FORMATS
from gradagree.arithmetic.rounding import ulp
from gradagree.reference import Activation, ErrorFunction
from gradagree.reference.samples import allowed_width, some_targets
from gradagree.surveys.cache import cached_exact_values
from gradagree.surveys.classify import (
    ACCEPTED_ULPS,
    CLASSES,
    ErrorCode,
    PointErrors,
    classify_errors,
    window_has_both_signs,
    window_maximum,
)
from gradagree.surveys.exact import ExactValues, compute_exact_values
from gradagree.surveys.measurements import deviations, measure, mode_deviations, survey_row
from gradagree.surveys.neighbourhood import nearby_range_by_balls, nearby_range_by_float64
from gradagree.surveys.points import kinks_of, thresholds
from gradagree.surveys.subject import Subject

FORM = FORMATS["float32"]


def exact_values(*numbers: float) -> ExactValues:
    high = np.array(numbers)
    return ExactValues(high, np.zeros(len(high)), high.copy(), np.full(len(high), 2))


def classify(
    points: np.ndarray, observed: np.ndarray, exact: ExactValues, dtype: str = "float32", name: str = "layer_norm"
) -> PointErrors:
    return classify_errors(Subject(Activation.named(name), dtype, points), "value", observed, exact)


def code(observed: float, exact: float, point: float = 1.0, dtype: str = "float32") -> ErrorCode:
    points = np.array([point, 3.0])
    return ErrorCode(int(classify(points, np.array([observed, 1.0]), exact_values(exact, 1.0), dtype).codes[0]))


U = 2.0**-23
CASES = [
    (1.0, 1.0, ErrorCode.RIGHT), (1 + 15 * U, 1.0, ErrorCode.RIGHT), (1 + 17 * U, 1.0, ErrorCode.INACCURATE),
    (1 + 4097 * U, 1.0, ErrorCode.DIGITS), (1.5, 1.0, ErrorCode.NO_DIGIT), (0.0, 1e-20, ErrorCode.ZERO),
    (0.0, 1e-37, ErrorCode.UNDERFLOW), (0.9e-37, 1e-37, ErrorCode.RIGHT), (0.0, 1e-38, ErrorCode.RIGHT),
    (-1.0, 1.0, ErrorCode.SIGN), (math.nan, 1.0, ErrorCode.NONFINITE), (math.inf, 1.0, ErrorCode.NONFINITE),
    (math.inf, FORM.largest, ErrorCode.RIGHT), (math.inf, math.inf, ErrorCode.RIGHT),
    (math.nan, math.inf, ErrorCode.OVERFLOW),
]  # fmt: skip


@pytest.mark.parametrize(("observed", "exact", "expected"), CASES)
def test_that_a_value_has_the_error_class_of_its_definition(observed: float, exact: float, expected: ErrorCode) -> None:
    assert code(observed, exact) == expected


def test_that_infinite_and_nan_inputs_have_their_own_error_classes() -> None:
    assert code(math.nan, 1.0, point=math.inf) == ErrorCode.INFINITY
    assert code(0.5, 0.0, point=math.nan) == ErrorCode.NAN_LOST
    assert code(math.nan, 0.0, point=2.0**-130) == ErrorCode.RIGHT
    assert code(math.nan, 0.0, point=2.0**-16, dtype="float16") == ErrorCode.NONFINITE


def value_code(name: str, x: float, observed: float, dtype: str = "float32") -> ErrorCode:
    one = Subject(Activation.named(name), dtype, np.array([x]))
    exact = compute_exact_values(one, "value")
    return ErrorCode(int(measure(one, "value", "jax", "jit", np.array([observed]), exact).errors.codes[0]))


SMALL, SUBNORMAL = 2.0**-125, 2.0**-130
NEAR_UNDERFLOW = [
    ("tanh", SMALL, 0.0, ErrorCode.UNDERFLOW), ("tanh", SMALL, SMALL, ErrorCode.RIGHT),
    ("tanh", -SMALL, SMALL, ErrorCode.UNDERFLOW), ("reciprocal", SMALL, math.inf, ErrorCode.UNDERFLOW),
    ("exp", -87.0, 0.0, ErrorCode.UNDERFLOW), ("exp", -88.0, 0.0, ErrorCode.RIGHT),
    ("tanh", SUBNORMAL, 0.0, ErrorCode.RIGHT), ("tanh", SUBNORMAL, -0.0, ErrorCode.SUBNORMAL),
    ("tanh", -SUBNORMAL, -0.0, ErrorCode.RIGHT), ("tanh", -SUBNORMAL, 0.0, ErrorCode.SUBNORMAL),
    ("tanh", SUBNORMAL, -SUBNORMAL, ErrorCode.SUBNORMAL), ("square", SUBNORMAL, -0.0, ErrorCode.RIGHT),
    ("reciprocal", 2.0**-127, math.inf, ErrorCode.SUBNORMAL), ("reciprocal", 2.0**-140, math.inf, ErrorCode.RIGHT),
    ("sqrt", SUBNORMAL, 0.0, ErrorCode.SUBNORMAL), ("sqrt", SUBNORMAL, 2.0**-65, ErrorCode.RIGHT),
]  # fmt: skip


@pytest.mark.parametrize(("name", "x", "observed", "expected"), NEAR_UNDERFLOW)
def test_that_lost_numbers_and_signs_near_underflow_have_classes(
    name: str, x: float, observed: float, expected: ErrorCode
) -> None:
    assert value_code(name, x, observed) == expected


def test_that_the_slope_of_relu_at_a_subnormal_input_is_1() -> None:
    one = Subject(Activation.named("relu"), "float32", np.array([SUBNORMAL, -SUBNORMAL]))
    exact = compute_exact_values(one, "slope")
    for observed, expected in (([1.0, 0.0], [0, 0]), ([0.0, 0.0], [ErrorCode.SUBNORMAL, 0])):
        assert measure(one, "slope", "jax", "jit", np.array(observed), exact).errors.codes.tolist() == expected


MASKED = [
    ((-math.inf, 0.0, 1.0), True, ErrorCode.MASK), ((-math.inf, 0.0, 1.0), False, ErrorCode.INFINITY),
    ((math.inf, 0.0, 1.0), True, ErrorCode.INFINITY), ((-math.inf, -math.inf, -math.inf), True, ErrorCode.INFINITY),
    ((-math.inf, math.nan, 1.0), True, ErrorCode.INFINITY), ((-1.0, 0.0, 1.0), True, ErrorCode.NONFINITE),
]  # fmt: skip


@pytest.mark.parametrize(("row", "masks", "expected"), MASKED)
def test_that_nan_at_a_mask_of_logits_has_its_own_error_class(
    row: tuple[float, ...], masks: bool, expected: ErrorCode
) -> None:
    points, name = np.array([row]), "softmax" if masks else "layer_norm"
    assert classify(points, np.array([math.nan]), exact_values(1.0), name=name).codes.tolist() == [expected]
    assert not classify(points, np.array([1.0]), exact_values(1.0), name=name).codes.any()


def test_that_points_without_exact_values_are_not_classified() -> None:
    unknown = ExactValues(np.zeros(2), np.zeros(2), np.full(2, math.nan), np.zeros(2))
    found = classify(np.array([1.0, 2.0]), np.array([5.0, math.nan]), unknown)
    assert not found.codes.any()
    assert np.isnan(found.ulps).all()


def test_that_an_error_at_a_root_that_is_small_relative_to_nearby_values_is_ill_conditioned() -> None:
    points = np.array([0.95, 1.0, 1.05])
    observed, exact = np.array([-1.0, 20 * U * 2.0**-8, 1.0]), exact_values(-1.0, 1e-8, 1.0)
    found = classify(points, observed, exact)
    assert found.codes.tolist() == [0, ErrorCode.CANCELLED, 0]
    far = classify(np.array([-9.0, 1.0, 9.0]), observed, exact)
    assert far.codes.tolist() == [0, ErrorCode.DIGITS, 0]


def test_that_every_class_has_a_definition() -> None:
    assert {*ErrorCode} - {ErrorCode.RIGHT} == set(CLASSES)
    assert len({one.name for one in CLASSES.values()}) == len(CLASSES)


@pytest.mark.parametrize("seed", range(3))
def test_that_window_maxima_and_signs_cover_the_full_window(seed: int) -> None:
    random = np.random.default_rng(seed)
    y = random.normal(size=200)
    low = random.integers(0, 190, 50)
    high = low + random.integers(1, 10, 50)
    assert window_maximum(np.abs(y), low, high).tolist() == [
        np.abs(y[a:b]).max() for a, b in zip(low, high, strict=True)
    ]
    both = [(y[a:b] > 0).any() and (y[a:b] < 0).any() for a, b in zip(low, high, strict=True)]
    assert window_has_both_signs(np.sign(y), low, high).tolist() == both


def subject(name: str, dtype: str = "float32") -> Subject:
    return Subject.of(Activation.named(name), dtype, 8)


@pytest.mark.parametrize(
    ("slope", "expected"), [(0.0, 0), (1.0, 0), (0.5, 0), (1.5, ErrorCode.KINK), (-0.25, ErrorCode.KINK)]
)
def test_that_at_a_kink_exactly_the_values_between_the_one_sided_derivatives_are_correct(
    slope: float, expected: int
) -> None:
    relu = subject("relu")
    exact = cached_exact_values(relu, "slope")
    observed = np.where(relu.points == 0, slope, exact.high)
    found = measure(relu, "slope", "torch", "backward", observed, exact)
    assert set(found.errors.codes[relu.points == 0].tolist()) == {expected}


@pytest.mark.parametrize(
    ("name", "slope", "expected"),
    [("leaky_relu(negative_slope=0.5)", 0.0, ErrorCode.KINK), ("leaky_relu(negative_slope=0.5)", 0.5, 0),
     ("leaky_relu(negative_slope=-0.5)", 0.0, 0), ("selu", 0.0, ErrorCode.KINK), ("selu", 1.25, 0)],
)  # fmt: skip
def test_that_0_is_correct_at_a_kink_only_between_the_one_sided_derivatives(
    name: str, slope: float, expected: int
) -> None:
    kinked = subject(name)
    exact = cached_exact_values(kinked, "slope")
    observed = np.where(kinked.points == 0, slope, exact.high)
    found = measure(kinked, "slope", "torch", "backward", observed, exact)
    assert set(found.errors.codes[kinked.points == 0].tolist()) == {expected}


def test_that_beside_a_kink_the_derivative_of_the_other_side_is_wrong() -> None:
    relu = subject("relu")
    exact = cached_exact_values(relu, "slope")
    observed = np.where(relu.points == 2.0**-20, 0.0, exact.high)
    (deviation,) = [
        one
        for one in deviations(measure(relu, "slope", "torch", "backward", observed, exact))
        if one.region == "ordinary"
    ]
    assert (deviation.code, deviation.observed, deviation.exact) == (ErrorCode.ZERO, 0.0, 1.0)
    assert deviation.subject.points.tolist() == [2.0**-20]


def test_that_at_a_jump_of_the_second_derivative_both_limits_are_correct() -> None:
    elu = subject("elu")
    exact = cached_exact_values(elu, "second")
    for number, expected in ((0.0, 0), (1.0, 0), (2.0, ErrorCode.KINK)):
        observed = np.where(elu.points == 0, number, exact.high)
        found = measure(elu, "second", "jax", "jit", observed, exact)
        assert set(found.errors.codes[elu.points == 0].tolist()) == {expected}


TIES = [((0.0, 0.0, 2.0**-376), (-1.0, 0.5, 0.5)), ((2.0**560, 2.0**560, 0.0), (-0.5, 0.5, 0.0))]


@pytest.mark.parametrize(("row", "answer"), TIES)
def test_that_a_wrong_digit_near_a_tie_is_explained_although_a_one_sided_limit_is_undefined(
    row: tuple[float, ...], answer: tuple[float, ...]
) -> None:
    x, t = np.array([row]), np.array([0])
    subject = Subject(ErrorFunction.named("multiclass_hinge"), "float64", x, t, (0,), (0, 1, 2))
    exact = compute_exact_values(subject, "slope", balls_only=True)
    errors = measure(subject, "slope", "jax", "jit", np.array(answer), exact).errors
    assert ErrorCode.CANCELLED not in errors.codes  # no digit is correct, which is no matter of condition alone
    assert errors.conditioned[errors.codes != 0].all()
    far = measure(subject, "slope", "jax", "jit", np.array(answer) + 3.0, exact).errors
    assert (far.codes > ErrorCode.CANCELLED).all()
    assert not far.conditioned.any()


@pytest.mark.parametrize("name", [name for name, kind in ErrorFunction.catalogue.items() if hasattr(kind, "kinks")])
def test_that_a_loss_with_several_kinds_of_kinks_is_classified(name: str) -> None:
    function = ErrorFunction.named(name)
    assert kinks_of(function) == ()
    x = np.array([np.linspace(-1.5, 2.0, allowed_width(function, 3))])
    subject = Subject(function, "float32", x, some_targets(function, 1, x.shape[1]), (0,), tuple(range(x.shape[1])))
    exact = compute_exact_values(subject, "slope", balls_only=True)
    codes = measure(subject, "slope", "jax", "jit", exact.high + 100.0, exact).errors.codes
    assert (codes > ErrorCode.CANCELLED).all()
    assert thresholds(function)


def test_that_the_nearby_range_by_float64_lies_within_the_one_by_balls() -> None:
    for name, x in (("softmax", (2.0, 0.0, 1.0)), ("layer_norm", (1.0, 3.0, 2.0))):
        subject = Subject(Activation.named(name), "float32", np.array([x]), None, (0, 1, 2), (0, 1, 2))
        balls = nearby_range_by_balls(subject, "slope")
        (low, high), (lowest, highest) = nearby_range_by_float64(subject, "slope"), balls
        slack = FORM.u * (highest - lowest).max()
        assert (low < high).all()
        assert (lowest - slack <= low).all()
        assert (high <= highest + slack).all()


def test_that_modes_that_differ_at_a_kink_are_a_deviation_although_both_are_correct() -> None:
    relu = subject("relu")
    exact = cached_exact_values(relu, "slope")
    one, other = (
        measure(relu, "slope", "torch", mode, np.where(relu.points == 0, number, exact.high), exact)
        for mode, number in (("backward", 0.0), ("forward", 1.0))
    )
    assert [deviation.code for deviation in mode_deviations([one, other])] == [ErrorCode.MODES]
    assert not list(mode_deviations([one, one]))


def test_that_a_row_counts_every_point_once() -> None:
    gelu = subject("gelu")
    exact = cached_exact_values(gelu, "slope")
    observed = np.where(gelu.points < -6, 0.0, exact.high)
    found = survey_row(measure(gelu, "slope", "torch", "backward", observed, exact), "2")
    assert found.points == len(gelu.points)
    assert found.proved == (exact.known > 0).sum()
    lost = {"early zero", "lost near underflow", "NaN lost"}
    assert set(found.classes) == lost - ({"NaN lost"} if np.isnan(exact.high[-1]) else set())
    low, high = found.no_digit
    assert low < high < -6


def test_that_a_planted_error_is_measured_in_ulps() -> None:
    gelu = subject("gelu")
    exact = cached_exact_values(gelu, "slope")
    place = int(np.flatnonzero(gelu.points == 3.0)[0])
    observed = exact.nearest.copy()
    observed[place] += 40 * ulp(exact.high, FORM)[place]
    found = survey_row(measure(gelu, "slope", "torch", "backward", observed, exact), "2")
    assert abs(float(found.worst_ulp) - 40) <= 0.5
    assert found.worst_at == [3.0]
    assert ACCEPTED_ULPS < 40


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 0), (0.5, 0), (1.0, 0), (1.5, ErrorCode.KINK), (-0.5, ErrorCode.KINK)]
)
def test_that_any_derivative_between_the_one_sided_ones_is_admissible_at_a_tie_of_wide_rows(
    share: float, expected: int
) -> None:
    (wide,) = Subject.wide(ErrorFunction.named("margin_ranking"), "float32", False)
    assert wide.targets is not None
    some = wide.at(np.flatnonzero((wide.points[:, 0] == 1) & (wide.points[:, 1] == 0)))
    (x, y), t = np.split(some.points, 2, axis=1), some.targets
    assert t is not None
    exact = compute_exact_values(some, "slope")
    # the derivative of max(0, t (y - x)) is -t times 0 or 1; at x = y times any number from 0 to 1
    derivative = -t * np.where(t * (y - x) > 0, 1.0, np.where(x == y, share, 0.0))
    observed = np.concatenate([derivative, -derivative], axis=1)
    codes = measure(some, "slope", "torch", "backward", observed, exact).errors.codes
    assert set(codes[:, :, 1:513].ravel().tolist()) == {expected}


def test_that_a_total_loss_of_digits_is_never_ill_conditioned() -> None:
    points = np.array([0.95, 1.0, 1.05])
    for wrong, expected in ((2e-8, ErrorCode.NO_DIGIT), (-1e-8, ErrorCode.SIGN), (0.0, ErrorCode.ZERO)):
        found = classify(points, np.array([-1.0, wrong, 1.0]), exact_values(-1.0, 1e-8, 1.0))
        assert found.codes.tolist() == [0, expected, 0]
        assert found.conditioned.tolist() == [False, True, False]
        gross = classify(np.array([-9.0, 1.0, 9.0]), np.array([-1.0, wrong, 1.0]), exact_values(-1.0, 1e-8, 1.0))
        assert gross.codes.tolist() == [0, expected, 0]
        assert not gross.conditioned.any()


def test_that_a_result_of_a_nearby_input_without_a_correct_digit_is_explained_and_not_ill_conditioned() -> None:
    # jax's hard_sigmoid rounds p + 3 to 6 at the last number below 3, where its derivative is 1/6
    x = float(np.nextafter(np.float32(3), np.float32(0)))
    hard = Subject(Activation.named("hardsigmoid"), "float32", np.array([x, 2.0]))
    exact = compute_exact_values(hard, "slope")
    assert exact.high.tolist() == [pytest.approx(1 / 6)] * 2
    found = measure(hard, "slope", "jax", "jit", np.array([0.0, 0.0]), exact).errors
    assert found.codes.tolist() == [ErrorCode.ZERO] * 2
    assert found.conditioned.tolist() == [True, False]


def test_that_an_example_is_the_most_ordinary_input_with_the_error() -> None:
    gelu = subject("gelu")
    exact = cached_exact_values(gelu, "slope")
    for wrong, expected in ((gelu.points >= 1.5, 2.0), (gelu.points < -0.75, -1.0), (np.abs(gelu.points) > 0, 1.0)):
        observed = np.where(wrong & np.isfinite(gelu.points), 3 * exact.high, exact.high)
        found = list(deviations(measure(gelu, "slope", "torch", "backward", observed, exact)))
        (one,) = (one for one in found if one.region == "ordinary" and one.code == ErrorCode.NO_DIGIT)
        assert one.subject.points.tolist() == [expected]
