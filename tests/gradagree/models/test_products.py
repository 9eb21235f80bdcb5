"""Large products of matrices: every way of reading the factors finds one wrong entry, also where exact zeros are."""

from __future__ import annotations

import numpy as np
import pytest

from gradagree.arithmetic.model import model
from gradagree.functions.judge import ArrayFinding
from gradagree.functions.products import FACTOR, SUM, Tally, check_product, norms

SEED = 3
FLOAT32 = model("float32")
SHAPES = {
    "few terms": (300, 5, 400),
    "summed over rows": (6, 2 * FACTOR // 500, 500),
    "slabs of columns": (SUM // 600, 400, FACTOR // 400 * 3),
}


def sample(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows, terms, columns = SHAPES[name]
    rng = np.random.default_rng(SEED)
    x, y = (rng.standard_normal(shape, dtype=np.float32) for shape in ((rows, terms), (terms, columns)))
    x[2], y[:, 3] = 0, 0
    return x, y, x @ y


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("name", SHAPES)
def test_that_a_right_product_agrees_and_a_wrong_entry_is_found(name: str, transposed: bool) -> None:
    x, y, z = sample(name)
    y = np.asfortranarray(y) if transposed else y
    found = check_product(x, y, None, z, FLOAT32)
    assert isinstance(found, ArrayFinding)
    assert found.ratio < 1
    assert found.sharpness < 1e-3
    assert found.share > 0.99
    for place, wrong in (
        ((4, 5), z[4, 5] + 4 * found.sharpness * np.abs(z).max()),
        ((2, 7), 1e-20),
        ((9 % len(x), 3), -1e-20),
    ):
        changed = z.copy()
        changed[place] = wrong
        beyond = check_product(x, y, None, changed, FLOAT32)
        assert isinstance(beyond, Tally)
        assert beyond.entry == place


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_that_a_number_that_is_not_finite_is_left_to_another_judgement(number: float) -> None:
    x, y, z = sample("few terms")
    z[17, 8] = number
    found = check_product(x, y, None, z, FLOAT32)
    assert isinstance(found, Tally)
    assert found.finding() is None


def test_that_what_is_added_may_be_larger_than_the_product() -> None:
    x, y, z = sample("few terms")
    b = np.full(z.shape[1], 1e4, dtype=np.float32)
    found = check_product(x, y, b, z + b, FLOAT32)
    assert isinstance(found, ArrayFinding)
    wrong = z + b
    wrong[30, 40] += 0.02
    assert isinstance(check_product(x, y, b, wrong, FLOAT32), Tally)


def test_that_the_relative_tolerance_is_the_largest_of_all_entries() -> None:
    x, y, z = sample("few terms")
    found = check_product(x, y, None, z, FLOAT32)
    assert isinstance(found, ArrayFinding)
    exact = x.astype(np.float64) @ y.astype(np.float64)
    (rows, _), (columns, _) = norms(x.astype(np.float64), 1), norms(y.astype(np.float64), 0)
    least = x.shape[1] * FLOAT32.accumulator.u * np.outer(rows, columns)  # fewer terms: the worst case counts
    assert found.sharpness == pytest.approx(np.max(least) / np.abs(exact).max(), rel=1e-6)
    assert found.ratio >= np.max(np.abs(z - exact)[4:] / np.max(least))
