"""Classes of comparisons: each definition of docs/audit.md, and what would pass."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradagree.audit.judgement import Pair, judge, relative_bound, unit
from gradagree.audit.records import Classification

VALUES = np.array([-0.0312, 0.4567, 1.0789, -2.3456, 0.7771])


def pair(values: Any = VALUES, atol: Any = 0.0, rtol: float = 0.0, dtype: str = "float32", **other: Any) -> Pair:
    x = np.asarray(values, dtype=float)
    return Pair(x, x, atol, rtol, dtype, **other)


def classification(*args: Any, required: float | None = None, **options: Any) -> str:
    return str(judge(pair(*args, **options), required)["classification"])


@pytest.mark.parametrize(
    ("expected", "values", "atol", "rtol", "dtype"),
    [
        ("vacuous", 1e-9 * VALUES, 1e-8, 1e-5, "float32"),  # zeros pass as a whole
        ("vacuous", [8e-6, 8e-6, 1.0, 2.0], 1e-5, 0.0, "float32"),  # zero passes at half of the entries
        ("loose", [1e-6, 1.0, 2.0], 1e-5, 0.0, "float64"),  # zero passes at a third of them
        ("vacuous", VALUES, 0.0, 1.0, "float64"),  # a relative tolerance of 1
        ("loose", VALUES, 0.0, 1e-2, "float32"),  # two digits of seven
        ("loose", VALUES, 0.0, 1e-5, "float64"),  # five digits of sixteen
        ("sound", VALUES, 0.0, 1e-3, "float32"),
        ("sound", VALUES, 0.0, 1e-7, "float64"),
        ("sound", VALUES, 0.0, 1.6e-2, "bfloat16"),
        ("sound", VALUES, 0.0, 1e-5, "float32"),
        ("too tight", VALUES, 0.0, 1e-8, "float32"),  # less than the unit roundoff
        ("too tight", VALUES, 0.0, 0.0, "float32"),
        ("sound", [1.0, -2.0, 0.5], 0.0, 0.0, "float32"),  # exact numbers may be compared exactly
        ("unjudged", [0.0, 0.0], 1e-8, 1e-5, "float32"),
        ("unjudged", [], 0.0, 0.0, "float32"),
        ("unjudged", [np.nan, np.inf], 0.0, 0.0, "float32"),
    ],
)
def test_that_a_comparison_has_its_class(expected: str, values: Any, atol: float, rtol: float, dtype: str) -> None:
    assert classification(values, atol, rtol, dtype) == expected


def test_that_the_shares_are_those_counted_by_hand() -> None:
    found = judge(pair([1e-6, -3e-6, 7e-6, 0.0, 1.0], 6e-6, 0.0, "float64"))
    assert (found["entries"], found["counted"]) == (5, 4)
    assert (found["zero"], found["flip"], found["double"]) == (0.5, 0.5, 0.5)
    assert (found["atol"], found["rtol"]) == (6e-6, 0.0)
    assert found["largest"] == pytest.approx(6e-6)
    assert found["median"] == pytest.approx(6e-6 / 7e-6)


def test_that_the_share_of_a_flipped_sign_needs_twice_the_tolerance() -> None:
    found = judge(pair([1.0, 2.0, 3.0], 2.5, 0.0))
    assert (found["zero"], found["flip"], found["double"]) == (2 / 3, 1 / 3, 2 / 3)


def test_that_a_tolerance_relative_to_the_gradient_vanishes_for_zeros() -> None:
    """|0 - e| <= rtol |0| is false, where |e - 0| <= rtol |e| is true for rtol = 1."""
    assert judge(pair(rtol=1.0))["zero"] == 1
    assert judge(pair(rtol=1.0, swapped=True))["zero"] == 0
    assert judge(pair(rtol=0.5, swapped=True))["double"] == 1
    assert judge(pair(rtol=0.5))["double"] == 0


def test_that_a_norm_may_reject_zeros_that_pass_one_by_one() -> None:
    values = np.full(100, 0.1)  # norm 1
    accepted = judge(pair(values, 0.5, accepts=lambda d: float(np.linalg.norm(d)) < 0.5))
    assert (accepted["zero"], accepted["zeros_pass"]) == (1.0, False)


def test_that_a_traced_tolerance_replaces_the_bound() -> None:
    bound, traced = judge(pair(rtol=1e-5)), judge(pair(rtol=1e-5), 3e-6)
    assert (bound["required_by"], traced["required_by"]) == ("bound", "traced")
    assert bound["required"] == pytest.approx((5 + 12) * 2.0**-24)
    assert traced["required"] == pytest.approx(3e-6)
    assert classification(rtol=1e-5, required=1e-3) == "too tight"
    assert classification(rtol=1e-2, required=1e-1) == "too tight"  # not loose: rounding requires more
    assert classification(rtol=1e-5, required=float("nan")) == "sound"


def test_that_entries_that_rounding_hides_do_not_count() -> None:
    tiny = 2 * unit("float32")
    assert classification([tiny, 1.0, -2.0], 1e-5, 0.0, "float32") == "sound"
    assert judge(pair([tiny, 1.0, -2.0], 1e-5, 0.0))["counted"] == 2
    assert classification([1e-5 / 2, 1.0, -2.0], 1e-5, 0.0, "float32") == "loose"


def test_that_sums_of_16_bit_numbers_are_accumulated_in_float32() -> None:
    assert relative_bound("bfloat16", 1000) == 4 * 2.0**-8 + 1000 * 2.0**-24
    assert relative_bound("float32", 1000) == 1012 * 2.0**-24


def test_that_complex_numbers_are_judged_by_their_magnitude() -> None:
    x = np.array([1 + 1e-9j, 3 - 4j])
    found = judge(Pair(x, x, 0.0, 1e-5, "complex64"))
    assert (found["counted"], found["classification"]) == (2, Classification.SOUND)
