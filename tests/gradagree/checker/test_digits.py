"""Lost digits: `inaccurate` requires a correct leading digit by the exact value, and half of an array to be checked."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given, strategies as st

from gradagree import Case, Record
from gradagree.adapters import ForTorch
from gradagree.arithmetic.model import FORMATS, model
from gradagree.arithmetic.rounded import Rounded
from gradagree.cases.case import Arrays, problem_of
from gradagree.checker.comparison import Comparison, classify, compare
from gradagree.checker.digits import NO_DIGIT, doubtful_entries, has_no_digit
from gradagree.checker.exact import confirmed
from gradagree.checker.forward import ForwardCheck
from gradagree.checker.reverse import check as checked
from gradagree.checker.verdict import Verdict, plain
from gradagree.reference.graph import quantity_of

RULES = model("float32")
TAIL = -6.25
"""Here A' of GELU is 5e-8, and its conditioning scale explains errors up to 5e-7."""


def normal(form: Any) -> st.SearchStrategy[float]:
    """Numbers well within the normal range."""
    return st.floats(math.sqrt(form.smallest_normal), math.sqrt(form.largest))


@given(st.data(), st.sampled_from(sorted(FORMATS)), st.floats(-3, 3, allow_nan=False))
def test_a_digit_is_correct_if_the_relative_error_is_below_a_half(data: Any, name: str, factor: float) -> None:
    exact = data.draw(normal(FORMATS[name]))
    observed = exact * factor
    if abs(observed - exact) <= FORMATS[name].smallest_normal:
        return
    assert has_no_digit(observed, exact, 0.0, FORMATS[name]) == (
        abs(Fraction(observed) - Fraction(exact)) >= Fraction(exact) / 2
    )


@pytest.mark.parametrize("factor", [0.0, -1.0, -1e-3, 0.5, 1.5, 3.0])
def test_the_wrong_sign_zero_and_another_size_have_no_digit(factor: float) -> None:
    for sign in (1.0, -1.0):
        assert has_no_digit(sign * factor * 1e-8, sign * 1e-8, 0.0, FORMATS["float32"])


@pytest.mark.parametrize("factor", [0.51, 0.9, 1.0, 1.1, 1.49])
def test_a_number_of_the_same_size_has_a_digit(factor: float) -> None:
    assert not has_no_digit(factor * 1e-8, 1e-8, 0.0, FORMATS["float32"])


def test_an_enclosure_that_contains_a_number_with_a_digit_proves_nothing() -> None:
    assert has_no_digit(1.6, 1.0, 0.0, FORMATS["float32"])
    assert not has_no_digit(1.6, 1.0, 0.1, FORMATS["float32"])
    assert not has_no_digit(1.6, 1.0, math.inf, FORMATS["float32"])


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_rounding_at_the_bottom_of_the_range_loses_no_digit(name: str) -> None:
    form = FORMATS[name]
    assert not has_no_digit(0.0, form.smallest_normal / 2, 0.0, form), "flushed to zero"
    assert not has_no_digit(1e-3, form.smallest / 4, 0.0, form), "the exact value rounds to 0, which has no digits"
    assert has_no_digit(0.0, 4 * form.smallest_normal, 0.0, form)


def test_only_entries_beyond_the_tight_tolerance_are_doubtful_and_the_worst_comes_first() -> None:
    value = np.array([[1.0, 1.0, 1.0], [1.0, 1.0, 1e-30]])
    observed = np.array([[1.15, -1.0, 1.0 + 1e-8], [0.4, 9.0, 1e-30]])
    tight, wide = Rounded(value, 1e-6 * np.ones(value.shape), RULES), Rounded(value, np.full(value.shape, 5.0), RULES)
    found = doubtful_entries(observed, tight, wide)
    assert [entry.place for entry in found] == [(1, 1), (0, 1), (1, 0)]
    assert found[1] == ((0, 1), 1.0, -1.0, 1e-6)


def test_a_scalar_may_be_doubtful() -> None:
    (entry,) = doubtful_entries(np.asarray(-1.0), Rounded(1.0, 0.5, RULES), Rounded(1.0, 4.0, RULES))
    assert entry.place == ()


# End to end, by a framework that loses digits of GELU's derivative in the left tail


def tail_of_gelu(bench: Any, factor: float, inputs: Any = (TAIL, 1.0, 0.5)) -> Record:
    """The record of a framework whose A' is the right one times factor at p = TAIL."""
    arrays = Arrays((np.array([inputs]),), (None,), np.ones((1, 1)), np.zeros((1, len(inputs))))
    case = Case.of(Case.parse(f"1-{len(inputs)}:id,gelu:sse:n1:f32:ordinary:s0"), arrays)
    lie = bench.answer(case, {(2, "slope"): lambda right, at: np.where(at.p == TAIL, factor * right, right)})
    record: Record = bench.judged(case, lie)
    return record


@pytest.mark.parametrize("factor", [0.0, -1.0, 2.0, 0.25])
def test_a_derivative_without_a_correct_digit_disagrees(bench: Any, factor: float) -> None:
    record = tail_of_gelu(bench, factor)
    weight = Case.parse("1-3:id,gelu:sse:n1:f32:ordinary:s0").loss_weight
    assert record.verdict is Verdict.DISAGREE
    assert record.reason.startswith(f"{NO_DIGIT}: the relative error is {abs(factor - 1):.3g}")
    assert (record.box, record.function, record.entry) == (2, "gelu", "delta_p[0,0]")
    assert plain(record.ratio) > 1, "the error is beyond its tolerance without the conditioning scale"
    with mpmath.workdps(40):
        p = mpmath.mpf(TAIL)
        value = p * mpmath.ncdf(p)
        derivative = mpmath.ncdf(p) + p * mpmath.npdf(p)
        exact = weight * 2 * mpmath.mpf(float(np.float32(value))) * derivative
        assert abs(mpmath.mpf(plain(record.expected)) / exact - 1) < 1e-3


@pytest.mark.parametrize("factor", [0.75, 1.25])
def test_a_derivative_with_a_correct_digit_is_inaccurate(bench: Any, factor: float) -> None:
    assert tail_of_gelu(bench, factor).verdict is Verdict.INACCURATE


def test_a_right_derivative_agrees(bench: Any) -> None:
    assert tail_of_gelu(bench, 1.0).verdict is Verdict.AGREE


def test_an_array_without_a_correct_digit_is_not_undecided_because_little_of_it_is_checked(bench: Any) -> None:
    record = tail_of_gelu(bench, -1.0, inputs=(TAIL, 1.0, 0.0))
    assert record.verdict is Verdict.DISAGREE


# Arrays of which less than half is checked


def classified(value: Any, radius: Any) -> Comparison:
    value = np.asarray(value, dtype=np.float64)
    return classify(quantity_of(1, "dw", 1), value, Rounded(value, radius, RULES))


@pytest.mark.parametrize(
    ("value", "radius", "verdict"),
    [
        ([1.0, 1e-3, 1e-3], [0.1, 0.1, 0.1], Verdict.UNDECIDED),
        ([1.0, 1.0, 1e-3, 1e-3], [0.1, 0.1, 0.1, 0.1], Verdict.AGREE),
        ([1.0, 0.0, 0.0], [0.1, 0.0, 0.0], Verdict.AGREE),
        ([1.0, 0.0, 0.0], [0.1, 0.1, 0.1], Verdict.UNDECIDED),
        ([1.0, 1e-50, 0.0], [0.1, 2.0**-149, 2.0**-149], Verdict.AGREE),
    ],
)
def test_an_array_of_which_less_than_half_is_checked_is_undecided(value: Any, radius: Any, verdict: Verdict) -> None:
    found = classified(value, radius)
    assert found.verdict is verdict
    assert (verdict is Verdict.UNDECIDED) == (found.reason == "less than half of dw is checked")


def test_a_fault_in_an_array_that_is_mostly_unchecked_is_still_a_fault() -> None:
    found = classify(quantity_of(1, "dw", 1), np.array([2.0, 0.0, 0.0]), Rounded([1.0, 0.0, 0.0], [0.1] * 3, RULES))
    assert found.verdict is Verdict.DISAGREE


def test_entries_that_only_the_conditioning_scale_explains_count_as_checked() -> None:
    value, observed = np.array([8.0, 2.0, 2.0]), np.array([8.0, 2.0, 2.2])
    found = compare(
        quantity_of(1, "dw", 1),
        observed,
        lambda how: Rounded(value, np.full(3, 3.0 if how.conditioning else 0.1), RULES),
    )
    assert (found.verdict, found.sharp) == (Verdict.INACCURATE, 3)


# Forward mode


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("factor", "verdict"), [(1.0, None), (1.25, Verdict.INACCURATE), (-1.0, Verdict.DISAGREE)])
def test_a_tangent_without_a_correct_digit_disagrees(factor: float, verdict: Verdict | None) -> None:
    pytest.importorskip("torch")
    arrays = Arrays((np.array([[TAIL, 1.0, 0.5]]),), (None,), np.ones((1, 1)), np.zeros((1, 3)))
    case = Case.of(Case.parse("1-3:id,gelu:sse:n1:f32:ordinary:s0"), arrays)
    adapter = ForTorch()
    with adapter.settings():
        tapped, _ = adapter.answers(problem_of(case, arrays), "forward")
    name = list(tapped.values)[-1]
    tangents = {**tapped.tangents, name: tapped.tangents[name].copy()}
    given = tapped.tangents[list(tapped.values)[-2]]
    derivative = case.activations[1].derivative(np.array(TAIL))
    tangents[name][:, 0, 0] = np.float32(factor * derivative * given[:, 0, 0])
    lie = replace(tapped, tangents=tangents)
    which = range(len(tapped.along))
    found = [one for one in ForwardCheck(case, arrays, lie, RULES).along(which) if one.box == 2]
    _, worst, _ = confirmed(case, arrays, lie, found)
    assert worst.verdict is (verdict or Verdict.AGREE)
    assert worst.reason.startswith(NO_DIGIT) == (verdict is Verdict.DISAGREE)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("slope", [0.25, 1.0])
def test_an_admissible_tangent_at_the_kink_of_a_row_function_loses_no_digits(slope: float) -> None:
    pytest.importorskip("torch")
    arrays = Arrays((np.array([[0.0, 1.0]]),), (None,), np.ones((1, 1)), np.zeros((1, 2)))
    case = Case.of(Case.parse("1-2:id,prelu_by_column(a=(0.25,0.25)):sse:n1:f32:ordinary:s0"), arrays)
    adapter = ForTorch()
    with adapter.settings():
        tapped, _ = adapter.answers(problem_of(case, arrays), "forward")
    before, name = list(tapped.values)[-2:]
    tangents = {**tapped.tangents, name: tapped.tangents[name].copy()}
    tangents[name][:, 0, 0] = slope * tapped.tangents[before][:, 0, 0]
    check = ForwardCheck(case, arrays, replace(tapped, tangents=tangents), RULES)
    found = [one for one in check.along(range(len(tapped.along))) if one.box == 2]
    _, worst, _ = confirmed(case, arrays, replace(tapped, tangents=tangents), found)
    assert not worst.verdict.fails


def test_underflow_of_an_intermediate_loses_no_digit(bench: Any) -> None:
    p, flushed = 9.08056640625, np.array([[2.0**-126 * 4.5, 1.0]])
    arrays = Arrays((np.array([[p, 1.0]]),), (None,), np.ones((1, 1)), np.zeros((1, 2)))
    case = Case.of(Case.parse("1-2:id,gaussian:sse:n1:f32:ordinary:s0"), arrays)
    given = np.array([[flushed[0, 0] / abs(float(case.activations[1].derivative(np.array(p)))), 1.0]])
    lie = bench.answer(case, {
        ("error", "delta_p"): lambda right, at: given,
        (2, "delta_p"): lambda right, at: right * np.array([[0.0, 1.0]]),
    })  # fmt: skip
    for flushes in (True, False):
        rules = model("float32", flushes=flushes)
        (found,) = [one for one in checked(case, arrays, lie, rules) if (one.box, one.part) == (2, "delta_p")]
        assert bool(found.doubtful) is not flushes, "a processor that flushes may lose an intermediate, others may not"
