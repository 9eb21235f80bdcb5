"""Intermediates whose sensitivities are lost below the smallest number, and what that costs further outwards."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradagree import Case
from gradagree.arithmetic.dual import OnTheWay
from gradagree.cases.case import Arrays
from gradagree.checker.derivative_forms import loss_gain
from gradagree.checker.verdict import Verdict
from gradagree.reference import ErrorFunction

RATE, TARGET = 2.0**-10, 2.0**-15


def test_that_the_fastest_intermediate_is_found_and_not_the_sensitivity() -> None:
    error = ErrorFunction.named("poisson_nll_of_rates")
    o, t = np.array([[RATE, 1.0]]), np.array([[TARGET, TARGET]])
    found = loss_gain(error, o, t)
    assert found[0, 0] >= 1 / (RATE + error.eps)
    assert found[0, 1] < 2
    assert np.all(np.abs(error.sensitivity(o, t)) < 2)
    assert OnTheWay.now is None


@pytest.mark.parametrize(("lost", "fails"), [(1.0, False), (16.0, True)])
def test_that_a_term_lost_to_underflow_is_no_fault_and_a_larger_one_is(bench: Any, lost: float, fails: bool) -> None:
    n = 32
    case = Case.parse(f"{n}-{n}:id:poisson_nll_of_rates:n{n}:f16:ordinary:s0")
    x, t = np.full((n, n), 1.0), np.full((n, n), 2.0)
    x[0, 0], t[0, 0] = RATE, TARGET
    case = Case.of(case, Arrays((np.eye(n),), (None,), x, t))
    term = t[0, 0] / (RATE * n * n)

    def lie(right: np.ndarray, at: Any) -> np.ndarray:
        right = right.copy()
        right[0, 0] += lost * term
        return right

    found = bench.compared(case, bench.answer(case, {("error", "delta_p"): lie}))
    (one,) = (c for c in found if (c.box, c.part) == ("error", "delta_p"))
    assert one.verdict.fails is fails, one
    assert one.verdict is (Verdict.DISAGREE if fails else Verdict.INACCURATE)
