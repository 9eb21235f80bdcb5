"""The box check: what one array comes to, in which order boxes are looked at, and where a check would mean nothing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

from gradagree import Case
from gradagree.arithmetic.model import model
from gradagree.arithmetic.rounded import Rounded
from gradagree.cases.case import Arrays
from gradagree.checker.allowances import ToleranceOptions
from gradagree.checker.comparison import Comparison, classify, compare
from gradagree.checker.verdict import Verdict
from gradagree.reference.graph import quantity_of

RULES = model("float32")
EPS = np.finfo(np.float64).eps
NAN, INF = math.nan, math.inf
CASE = "3-4b-2:id,tanh,sigmoid:sse:n5:f32:ordinary:s11"
KINDS = st.sampled_from([0.0, 1.0, -2.5, 0.5, NAN, INF, -INF])
RADII = st.sampled_from([0.0, 0.25, 1.0, 4.0, NAN, INF])


def classified(observed: Any, value: Any, radius: Any) -> Comparison:
    return classify(quantity_of(1, "dw", 1), np.asarray(observed, dtype=np.float64), Rounded(value, radius, RULES))


@pytest.mark.parametrize(
    ("observed", "value", "radius", "verdict"),
    [
        ([1.0, 2.0], [1.0, 2.0], [0.0, 0.0], Verdict.AGREE),
        ([1.25, 2.0], [1.0, 2.0], [0.25, 0.0], Verdict.AGREE),
        ([1.25 + EPS, 2.0], [1.0, 2.0], [0.25, 0.0], Verdict.DISAGREE),
        ([1.0 + EPS, 2.0], [1.0, 2.0], [0.0, 0.25], Verdict.DISAGREE),
        ([0.0, -0.0], [-0.0, 0.0], [0.0, 0.0], Verdict.AGREE),
        ([1.0, 2.0], [1.0, 2.0], [2.0 - EPS, 0.0], Verdict.AGREE),
        ([1.0, 2.0], [1.0, 2.0], [2.0, 0.0], Verdict.UNDECIDED),
        ([0.0, 0.0], [0.0, 0.0], [0.0, 1.0], Verdict.UNDECIDED),
        ([1.0, 2.0], [1.0, 2.0], [NAN, 0.0], Verdict.UNDECIDED),
        ([1.0, 2.0], [NAN, 2.0], [NAN, 0.0], Verdict.UNDECIDED),
        ([1.0, 2.0], [1.0, 2.0], [INF, 0.0], Verdict.OUT_OF_RANGE),
        ([INF, 2.0], [1.0, 2.0], [INF, 0.0], Verdict.OUT_OF_RANGE),
        ([NAN, 2.0], [1.0, 2.0], [INF, 0.0], Verdict.OUT_OF_RANGE),
        ([NAN, 2.0], [1.0, 2.0], [0.25, INF], Verdict.NONFINITE),
        ([-INF, 2.0], [1.0, 2.0], [0.25, 0.0], Verdict.NONFINITE),
        ([1.0, 3.0], [1.0, 2.0], [INF, 0.25], Verdict.DISAGREE),
        ([1.0, 3.0], [1.0, 2.0], [NAN, 0.25], Verdict.DISAGREE),
    ],
)
def test_that_an_array_comes_to_its_verdict(observed: Any, value: Any, radius: Any, verdict: Verdict) -> None:
    assert classified(observed, value, radius).verdict is verdict


@pytest.mark.parametrize("same", [NAN, INF, -INF])
@pytest.mark.parametrize("radius", [NAN, INF])
def test_that_what_is_not_finite_on_both_sides_is_no_finding(same: float, radius: float) -> None:
    found = classified([same, 2.0], [same, 2.0], [radius, 0.25])
    assert not found.verdict.fails
    assert found.verdict is not Verdict.AGREE, "an array that cannot be told is not checked"


@given(st.lists(st.tuples(KINDS, KINDS, RADII), min_size=1, max_size=4))
def test_that_an_entry_passes_only_within_its_tolerance_or_where_nothing_is_known(entries: Any) -> None:
    observed, value, radius = (np.array(xs) for xs in zip(*entries, strict=True))
    told = np.isfinite(value) & np.isfinite(radius)
    with np.errstate(all="ignore"):
        outside = told & ~((observed == value) | (np.abs(observed - value) <= radius))
        found = classified(observed, value, radius)
    assert found.verdict.fails == bool(outside.any())
    if found.verdict is Verdict.AGREE:
        assert np.all(told | (observed == value) | (np.isnan(observed) & np.isnan(value)))
        assert np.max(radius) < np.max(np.abs(value)) or not radius.any()


def test_that_the_worst_entry_is_the_one_farthest_in_tolerances() -> None:
    found = classified([[1.5, 4.0], [7.0, 2.0]], [[1.0, 2.0], [4.0, 2.0]], [[1.0, 1.0], [2.0, 0.0]])
    assert (found.entry, found.expected, found.observed, found.tolerance, found.ratio) == (
        "dw[0,1]",
        2.0,
        4.0,
        1.0,
        2.0,
    )


def test_that_sharpness_is_the_largest_tolerance_over_the_largest_entry() -> None:
    found = classified([3.0, -8.0, 0.0], [3.0, -8.0, 0.0], [2.0, 1.0, 0.5])
    assert found.sharpness == 2.0 / 8.0
    assert classified([1.0], [1.0], [0.0]).sharpness == 0.0
    assert classified([0.0], [0.0], [1.0]).sharpness == INF


def test_that_sharp_entries_are_larger_than_their_tolerance_or_exact() -> None:
    found = classified([3.0, -8.0, 0.5, 0.0, 1.0], [3.0, -8.0, 0.5, 0.0, 1.0], [2.0, 1.0, 0.5, 0.0, INF])
    assert (found.sharp, found.entries) == (3, 5)


def test_that_another_shape_disagrees_and_is_named() -> None:
    found = classified(np.zeros((2, 3)), np.zeros((3, 2)), 0.0)
    assert (found.verdict, found.ratio) == (Verdict.DISAGREE, INF)
    assert found.reason == "has shape (2, 3), expected (3, 2)"


def test_that_the_natural_scale_is_tried_second_and_what_it_explains_is_inaccurate() -> None:
    def expect(how: ToleranceOptions) -> Rounded:
        return Rounded([8.0], [2.0 if how.conditioning else 0.5], RULES)

    verdicts = []
    for observed in (8.5, 9.0, 11.0):
        found = compare(quantity_of(1, "dw", 1), np.array([observed]), expect)
        verdicts.append(found.verdict)
        assert found.verdict is not Verdict.INACCURATE or found.reason.startswith("2 times what")
    assert verdicts == [Verdict.AGREE, Verdict.INACCURATE, Verdict.DISAGREE]


def test_that_the_numbers_of_an_inaccurate_array_are_those_of_one_entry() -> None:
    """The first entry loses digits; the second is closest to its tolerance, by which the ratio is."""

    def expect(how: ToleranceOptions) -> Rounded:
        return Rounded([8.0, 64.0], [4.0, 2.0] if how.conditioning else [0.5, 2.0], RULES)

    found = compare(quantity_of(1, "dw", 1), np.array([9.0, 65.5]), expect)
    assert (found.verdict, found.index) == (Verdict.INACCURATE, (0,))
    assert (found.expected, found.observed) == (8.0, 9.0)
    assert 4.0 <= found.tolerance < 4.001
    assert found.ratio == 0.75


def test_that_a_record_states_the_narrowest_tolerance_that_holds() -> None:
    def expect(how: ToleranceOptions) -> Rounded:
        radius = 2.0 if how.conditioning else 0.125 if how.rounded_once else 0.25 if how.own_formula else 0.5
        return Rounded([8.0], [radius], RULES)

    stated = {}
    for observed in (8.125, 8.25, 8.5):
        found = compare(quantity_of(1, "dw", 1), np.array([observed]), expect)
        assert found.verdict is Verdict.AGREE
        stated[observed] = found.tolerance
    assert stated == {8.125: 0.125, 8.25: 0.25, 8.5: 0.5}


@pytest.mark.parametrize(
    ("part", "verdict"), [("c", Verdict.VALUE_DIFFERS), ("E", Verdict.VALUE_DIFFERS), ("db", Verdict.DISAGREE)]
)
def test_that_only_a_value_can_differ(part: Any, verdict: Verdict) -> None:
    assert (
        compare(quantity_of(1, part, 1), np.array([9.0]), lambda how: Rounded([8.0], [0.5], RULES)).verdict is verdict
    )


def test_that_boxes_are_checked_forwards_and_then_from_the_error_box_outwards(bench: Any) -> None:
    case = Case.parse(CASE)
    parts = [(found.box, found.part) for found in bench.compared(case, bench.answer(case))]
    assert parts == [
        (1, "c"), (2, "c"), (3, "c"), ("error", "E"), ("error", "delta_p"), (3, "delta_p"), (2, "delta_p"), (2, "dw"),
        (1, "delta_p"), (1, "dw"), (1, "db"),
    ]  # fmt: skip


@pytest.mark.parametrize("box", [1, 2, 3])
def test_that_nothing_is_compared_behind_a_value_that_differs(bench: Any, box: int) -> None:
    case = Case.parse(CASE)
    lying = bench.answer(case, {(box, "c"): lambda right, at: right + 1})
    compared = bench.compared(case, lying)
    assert [found.box for found in compared] == list(range(1, box + 1))
    assert compared[-1].verdict is Verdict.VALUE_DIFFERS


@pytest.mark.parametrize("box", [1, 2, 3])
@pytest.mark.parametrize("part", ["delta_p", "c"])
def test_that_a_tapped_array_of_another_shape_is_a_finding(bench: Any, box: int, part: str) -> None:
    case = Case.parse(CASE)
    honest = bench.answer(case)
    lying = bench.with_part(honest, box, part, bench.part(honest, box, part)[:2])
    assert bench.failing(case, lying)[0] == (box, part)


@pytest.mark.parametrize(("box", "part"), [(1, "dw"), (2, "dw"), (1, "db")])
def test_that_a_gradient_that_is_missing_is_a_finding(bench: Any, box: int, part: str) -> None:
    case = Case.parse(CASE)
    missing = bench.with_part(bench.answer(case), box, part, None)
    assert (box, part) in bench.failing(case, missing)


def test_that_cancellation_to_nothing_is_undecided(bench: Any) -> None:
    third = float(np.float32(1 / 3))
    near = float(np.nextafter(np.float32(third), np.float32(1)))
    arrays = Arrays((np.array([[third], [-third]]),), (None,), np.array([[third, near]]), np.ones((1, 1)))
    case = Case.of(Case.parse("2-1:id:sse:n1:f32:ordinary:s0"), arrays)
    c, *others = bench.compared(case, bench.answer(case))
    assert (c.verdict, c.sharpness >= 1) == (Verdict.UNDECIDED, True)
    assert {found.verdict for found in others} == {Verdict.AGREE}
