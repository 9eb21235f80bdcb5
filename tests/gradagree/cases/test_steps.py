"""Subnormal numbers are whole multiples of the smallest one, and are made without a warning."""

from __future__ import annotations

import warnings
from fractions import Fraction

import numpy as np
import pytest

from gradagree.arithmetic.model import FORMATS
from gradagree.cases.regimes import round_subnormal


@pytest.mark.parametrize("name", FORMATS)
def test_that_a_subnormal_number_becomes_the_nearest_multiple_of_the_smallest(name: str) -> None:
    form = FORMATS[name]
    step = Fraction(form.smallest)
    x = np.array([0.0, 1.0, 3.0, 1000.0, 7.0]) * form.smallest
    x = np.concatenate([x, -x, [form.smallest_normal - form.smallest, 0.75 * form.smallest_normal]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = round_subnormal(x, form)
    assert [Fraction(y) / step for y in made.tolist()] == [round(Fraction(y) / step) for y in x.tolist()]


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "float64"])
def test_that_what_lies_between_two_multiples_is_rounded(name: str) -> None:
    form = FORMATS[name]
    assert round_subnormal(np.array([2.75, 2.5, -0.25]) * form.smallest, form).tolist() == [
        3 * form.smallest, 2 * form.smallest, 0.0
    ]  # fmt: skip
