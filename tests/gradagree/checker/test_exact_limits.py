"""The truth of what cancels, underflows, or is not finite, and of numbers that only the framework has."""

from __future__ import annotations

import decimal
import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import flint
import numpy as np

from gradagree import Case
from gradagree.arithmetic.ball import precision
from gradagree.cases.case import Arrays
from gradagree.checker.exact import ENOUGH_BITS, Enclosure, enclosure

DIGITS = 80
LINEAR = "3-4b-2:id,relu:sse:n3:f64:ordinary:s1"
SMOOTH = "3-4b-2:id,tanh:sse:n3:f64:ordinary:s1"


def test_that_the_truth_is_of_the_frameworks_own_numbers(bench: Any) -> None:
    case = Case.parse(LINEAR)
    answer = bench.with_part(bench.answer(case), 1, "c", np.full((3, 4), 3.0))
    proof = enclosure(case, case.arrays(), answer, case.quantity(2, "c"), (0, 1))
    assert proof is not None
    right = sum((3 * Fraction(float(w)) for w in case.arrays().weights[1][:, 1]), Fraction(0))
    assert proof.value == float(right)


def test_that_precision_is_raised_until_a_cancellation_is_settled(bench: Any) -> None:
    big, tiny = 2.0**900, 2.0**-900
    arrays = Arrays((np.array([[1.0], [1.0], [1.0]]),), (None,), np.array([[big, tiny, -big]]), np.zeros((1, 1)))
    case = Case.of(Case.parse("3-1:id:sse:n1:f64:ordinary:s0"), arrays)
    assert enclosure(case, arrays, bench.answer(case), case.quantity(1, "c"), (0, 0)) == Enclosure(tiny, 0.0)


def test_that_a_sum_that_is_exactly_nothing_is_zero_without_radius(bench: Any) -> None:
    case = Case.of(
        Case.parse("2-1:id:sse:n1:f64:ordinary:s0"),
        Arrays((np.array([[1.0], [-1.0]]),), (None,), np.array([[2.0**-300, 2.0**-300]]), np.zeros((1, 1))),
    )
    assert enclosure(case, case.arrays(), bench.answer(case), case.quantity(1, "c"), (0, 0)) == Enclosure(0.0, 0.0)


def test_that_a_truth_too_small_for_any_float_keeps_a_radius(bench: Any) -> None:
    tiny = np.array([[2.0**-900]])
    case = Case.of(Case.parse("1-1:id:sse:n1:f64:ordinary:s0"), Arrays((tiny,), (None,), tiny, np.zeros((1, 1))))
    proof = enclosure(case, case.arrays(), bench.answer(case), case.quantity(1, "c"), (0, 0))
    assert proof is not None
    assert abs(Fraction(proof.value) - Fraction(2) ** -1800) <= Fraction(proof.radius)


def test_that_a_sum_that_no_precision_settles_ends_with_its_radius(bench: Any) -> None:
    case = Case.of(
        Case.parse("2-2-1:id,tanh:sse:n1:f64:ordinary:s0"),
        Arrays((np.eye(2), np.array([[1.0], [-1.0]])), (None, None), np.array([[0.3, 0.3]]), np.zeros((1, 1))),
    )
    proof = enclosure(case, case.arrays(), bench.answer(case), case.quantity(2, "c"), (0, 0))
    assert proof is not None
    assert abs(proof.value) <= proof.radius <= math.ulp(0.0)


def test_that_there_is_no_truth_of_what_is_not_finite(bench: Any) -> None:
    case = Case.parse(SMOOTH)
    answer = bench.with_part(bench.answer(case), 1, "c", np.full((3, 4), np.nan))
    assert enclosure(case, case.arrays(), answer, case.quantity(2, "c"), (0, 0)) is None


def test_that_the_exact_value_leaves_the_precision_unchanged(bench: Any) -> None:
    case = Case.parse(SMOOTH)
    with precision(ENOUGH_BITS + 7):
        enclosure(case, case.arrays(), bench.answer(case), case.quantity(2, "dw"), (0, 0))
        assert flint.ctx.prec == ENOUGH_BITS + 7


def test_that_the_last_digits_of_a_second_difference_are_right(bench: Any) -> None:
    x, h = 0.3, 2.0**-46
    p = np.array([[x - h, x, x + h]])
    arrays = Arrays((np.eye(3), np.array([[1.0], [-2.0], [1.0]])), (None, None), p, np.zeros((1, 1)))
    case = Case.of(Case.parse("3-3-1:id,tanh:sse:n1:f64:ordinary:s0"), arrays)
    proof = enclosure(case, arrays, bench.answer(case), case.quantity(2, "c"), (0, 0))
    with decimal.localcontext() as context:
        context.prec = DIGITS
        powers = [(-2 * Decimal(float(entry))).exp() for entry in p[0]]
        below, middle, above = ((1 - e) / (1 + e) for e in powers)
        assert proof is not None
        assert abs(Decimal(proof.value) - (below - 2 * middle + above)) <= Decimal(proof.radius)
    assert 0 < proof.radius <= math.ulp(proof.value) < abs(proof.value)
