"""Rounding to a format is that of the format's own type."""

from __future__ import annotations

import math

import ml_dtypes
import numpy as np
import pytest

from gradagree.arithmetic.model import FORMATS
from gradagree.arithmetic.rounding import round_to_format, ulp

HALVES = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16}


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("seed", range(3))
def test_that_rounding_is_that_of_the_dtype(dtype: str, seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=1000) * 2.0 ** np.random.default_rng(seed).integers(-20, 12, 1000)
    wide = x.astype(np.float32).astype(np.float64)
    assert np.array_equal(
        round_to_format(wide, FORMATS[dtype]), wide.astype(np.float32).astype(HALVES[dtype]).astype(float)
    )


def test_that_numbers_beyond_the_largest_round_to_infinity() -> None:
    form = FORMATS["float16"]
    assert round_to_format(np.array([65519.0, 65520.0, -1e9]), form).tolist() == [65504.0, math.inf, -math.inf]
    assert ulp(np.array([1.0, form.smallest, 0.0]), form).tolist() == [2.0**-10, form.smallest, form.smallest]
