"""Balls are rounded once to the nearest number of the format, and only if both ends agree."""

from __future__ import annotations

import math

import flint
import numpy as np
import pytest

from gradagree.arithmetic.ball import precision
from gradagree.arithmetic.model import FORMATS
from gradagree.arithmetic.rounding import round_to_format
from gradagree.surveys.exact import round_balls

ONE = flint.arb(1)
TINY = ONE / 2**200


def rounded(ball: flint.arb, dtype: str) -> tuple[float, float, float, int]:
    """high, low, nearest, known."""
    with precision(320):
        high, low, nearest, known = round_balls(np.array([ball], dtype=object), FORMATS[dtype])
    return float(high[0]), float(low[0]), float(nearest[0]), int(known[0])


@pytest.mark.parametrize("dtype", FORMATS)
def test_that_a_number_beside_a_tie_is_rounded_to_its_own_side(dtype: str) -> None:
    half = ONE * FORMATS[dtype].u
    with precision(320):
        step = TINY if dtype == "float64" else half / 2**20
        above, below = ONE + half + step, ONE + half - step
    assert rounded(above, dtype)[2] == 1 + 2 * FORMATS[dtype].u
    assert rounded(below, dtype)[2] == 1.0


@pytest.mark.parametrize("dtype", FORMATS)
def test_that_a_ball_around_a_tie_has_no_nearest_number_unless_it_is_narrow(dtype: str) -> None:
    with precision(320):
        tie = ONE + ONE * FORMATS[dtype].u
        wide, narrow = tie + flint.arb(0, 2.0**-60), tie + flint.arb(0, 2.0**-150)
    assert rounded(wide, dtype)[3] == 0
    high, _, _, known = rounded(narrow, dtype)
    assert known == 1
    assert high == float(tie)


@pytest.mark.parametrize("dtype", FORMATS)
def test_that_numbers_beyond_the_dtype_are_infinite_or_zero(dtype: str) -> None:
    huge, small = ONE * 2**1030, ONE / 2**1100
    assert rounded(huge, dtype)[2:] == (math.inf, 1)
    assert rounded(-huge, dtype)[2:] == (-math.inf, 1)
    assert rounded(small, dtype)[2:] == (0.0, 1)
    assert rounded(flint.arb("nan"), dtype)[3] == 0


@pytest.mark.parametrize("seed", range(3))
def test_that_high_plus_low_is_the_midpoint(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for x, y in rng.standard_normal((20, 2)):
        with precision(320):
            ball = flint.arb(x) / flint.arb(y)
            high, low, nearest, known = rounded(ball, "float32")
            assert known == 1
            assert abs(ball - high - low) < abs(ball) / 2**100
        assert nearest == float(round_to_format(np.asarray(x / y), FORMATS["float32"]))
