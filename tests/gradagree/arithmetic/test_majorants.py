"""Upper bounds of matrix products in float32."""

from __future__ import annotations

import numpy as np
import pytest

from gradagree.arithmetic import majorants
from gradagree.arithmetic.majorants import majorant


@pytest.mark.parametrize("scale", [1.0, 1e-12, 1e25, 1e-70, 1e200])
@pytest.mark.parametrize("terms", [1, 30, 2000])
def test_that_a_majorant_is_a_little_more_than_the_product(
    monkeypatch: pytest.MonkeyPatch, terms: int, scale: float
) -> None:
    monkeypatch.setattr(majorants, "LARGE", 1)
    rng = np.random.default_rng(terms)
    x, y = rng.random((3, 7, terms)) * scale, np.exp(rng.standard_normal((3, terms, 5)))
    x[:, 2], y[..., 3] = 0.0, 0.0
    exact, found = x @ y, majorant(x, y)
    assert np.all(found >= exact * (1 - 2.0**-40))
    assert np.all(found <= exact * 1.001)
    assert np.array_equal(found == 0, exact == 0)


@pytest.mark.parametrize("special", [np.inf, np.nan, 1e300, 1e-300])
def test_that_numbers_out_of_range_are_multiplied_in_float64(monkeypatch: pytest.MonkeyPatch, special: float) -> None:
    monkeypatch.setattr(majorants, "LARGE", 1)
    x = np.ones((4, 4))
    x[1, 2] = special
    np.testing.assert_array_equal(majorant(x, x), x @ x)


def test_that_products_of_given_arrays_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(majorants, "LARGE", 1)
    x, y = np.ones((3, 4)), np.ones((4, 5))
    with majorants.given_products([x, y]):
        first = majorants.given_product(x, y)
        assert majorants.given_product(x, y) is first
        assert majorants.given_product(y.T, x.T) is not first
        np.testing.assert_array_equal(majorants.given_product(y.T, x.T), first.T)
        other = majorants.given_product(x + 1, y)
        assert majorants.given_product(x + 1, y) is not other
    assert majorants.given_product(x, y) is not first
