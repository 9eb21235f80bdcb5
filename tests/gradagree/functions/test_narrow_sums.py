"""An array that only sums in the dtype explain, some entries of which may overflow."""

from __future__ import annotations

import numpy as np
import pytest

from gradagree.checker.verdict import Verdict
from gradagree.functions.enclosures import SUMS, Expected
from gradagree.functions.judge import judge

VALUE = np.array([1.0, 2.0, 3.0, 4.0])
NARROW = SUMS + "float16"


def finding(observed: np.ndarray, radius: np.ndarray) -> Verdict:
    return judge(observed, {"stored": Expected(VALUE, np.full(4, 1e-4)), NARROW: Expected(VALUE, radius)}).verdict


@pytest.mark.parametrize("unbounded", [1, 2])
def test_that_sums_which_may_overflow_explain_the_other_entries(unbounded: int) -> None:
    radius = np.full(4, 0.1)
    radius[:unbounded] = np.inf
    assert finding(VALUE + 0.05, radius) is Verdict.INACCURATE
    assert finding(VALUE + np.array([0.05, 0.05, 0.05, 1.0]), radius).fails


def test_that_an_overflow_is_accused() -> None:
    assert finding(VALUE + np.array([np.inf, 0.05, 0.05, 0.05]), np.array([np.inf, 0.1, 0.1, 0.1])) is Verdict.NONFINITE


def test_that_sums_which_may_overflow_in_most_entries_explain_nothing() -> None:
    radius = np.array([np.inf, np.inf, np.inf, 0.1])
    assert finding(VALUE + 0.05, radius).fails
