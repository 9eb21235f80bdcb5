"""Error functions with kinks of several kinds, and kinks that one rounding does not lead off."""

from __future__ import annotations

import numpy as np
import pytest

from gradagree import Case, check
from gradagree.cases.case import Arrays
from gradagree.checker.kinks import loss_gradient_beside, loss_kinks, one_sided_loss_gradient
from gradagree.checker.verdict import Verdict
from gradagree.reference.errors import PairwiseDistance, TripletMargin, TripletMarginOfSquares

MODES = {"torch": "backward", "jax": "grad"}
NONE = np.zeros((1, 0))
SWAPPING = TripletMargin(swap=True)
EPS = SWAPPING.eps


def test_that_each_kind_of_kink_has_its_name_and_place() -> None:
    plain = TripletMargin(eps=0.0)
    swapping = TripletMargin(eps=0.0, swap=True)
    at_margin, equal, apart = [[0.0, 0.0, 1.0]], [[0.0, 2.0, 1.0]], [[0.0, 3.0, 2.0]]
    assert list(loss_kinks(swapping, np.array([[0.5, 0.5, 0.75]]), NONE)) == ["a distance of 0"]
    assert list(loss_kinks(swapping, np.array(equal), NONE)) == ["equal distances"]
    assert list(loss_kinks(plain, np.array(equal), NONE)) == []
    assert list(loss_kinks(plain, np.array(at_margin), NONE)) == ["the margin"]
    assert list(loss_kinks(swapping, np.array(apart), NONE)) == []


def test_that_a_step_that_other_numbers_absorb_is_made_longer() -> None:
    o = np.zeros((1, 6))
    left, right, mean = (one_sided_loss_gradient(SWAPPING, o, NONE, slope) for slope in ("left", "right", "mean"))
    assert (left != right).any()
    np.testing.assert_array_equal(mean, (left + right) / 2)
    near = np.sqrt(2.0) / 2
    halves = np.array([[near / 2, near / 2, -1.5 * near, -1.5 * near, near, near]])
    assert np.all(np.abs(mean - halves) <= 8 * np.spacing(1.5))


def test_that_a_step_that_leads_off_stays_one_rounding() -> None:
    error, o, t = PairwiseDistance(eps=0.0), np.array([[1.0]]), np.array([[1.0]])
    assert [float(loss_gradient_beside(error, o, t, side).item()) for side in (-1, 1)] == [-1.0, 1.0]


def test_that_a_distance_of_zero_is_a_kink_of_slope_zero() -> None:
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
def test_that_kinks_of_two_kinds_may_have_two_slopes(framework: str) -> None:
    pytest.importorskip(framework)
    o = np.array([[0.0, -0.25, 1.25], [0.0, 2.0, 1.0]])
    case = Case.parse("3-3:id:triplet_margin(eps=0.0,swap=True):n2:f64:ordinary:s1")
    case = Case.of(case, Arrays((np.eye(3),), (None,), o, np.zeros((2, 0))))
    assert list(loss_kinks(case.error, o, case.arrays().targets)) == ["the margin", "equal distances"]
    (record,) = check(case, frameworks=framework, modes=MODES[framework])
    assert not record.verdict.fails


@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_that_swapped_triplets_agree_wherever_they_meet_their_kinks(framework: str) -> None:
    pytest.importorskip(framework)
    records = check(SWAPPING, frameworks=framework, modes=MODES[framework])
    assert {record.verdict for record in records} <= {Verdict.AGREE, Verdict.CONVENTION, Verdict.UNDECIDED}
    assert any(Verdict.AGREE is record.verdict for record in records)
