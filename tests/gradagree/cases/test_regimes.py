"""The regimes reach where their names say, in numbers that the dtype holds."""

from __future__ import annotations

import numpy as np
import pytest

from gradagree.arithmetic.model import FORMATS
from gradagree.cases.case import Case

DTYPES = list(FORMATS.values())


def inputs(regime: str, short: str, seeds: int = 200) -> np.ndarray:
    cases = [Case.parse(f"6-4:id,tanh:sse:n8:{short}:{regime}:s{seed}") for seed in range(seeds)]
    return np.stack([case.arrays().inputs for case in cases])


@pytest.mark.parametrize("form", DTYPES, ids=lambda form: form.name)
def test_that_tiny_reaches_down_to_subnormal_numbers_of_the_dtype(form) -> None:
    sizes = np.abs(inputs("tiny", form.short))
    assert ((sizes > 0) & (sizes < form.smallest_normal)).any()
    assert (sizes > 2.0 ** (form.emin / 2)).any()
    assert form.name == "float64" or not np.any(sizes / form.smallest % 1)


@pytest.mark.parametrize("form", DTYPES, ids=lambda form: form.name)
def test_that_saturated_inputs_are_beyond_where_tanh_is_one(form) -> None:
    sizes = np.abs(inputs("saturated", form.short))
    assert (sizes > 8).mean() > 1 / 3
    assert sizes.max() <= 16


@pytest.mark.parametrize("form", DTYPES, ids=lambda form: form.name)
def test_that_mixed_has_rows_of_every_kind(form) -> None:
    rows = inputs("mixed", form.short).reshape(-1, 6)
    quarters = (rows * 4 % 1 == 0).all(axis=1)
    assert (quarters & (np.abs(rows) > 0).any(axis=1)).any()
    assert (rows == 0).any()
    assert (np.abs(rows).max(axis=1) > 8).any()
    assert ((np.abs(rows).max(axis=1) < 2.0**-6) & (rows != 0).any(axis=1)).any()
