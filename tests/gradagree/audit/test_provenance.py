"""When an array is recognised as a gradient, and when it is not."""

from __future__ import annotations

import numpy as np
import pytest

from gradagree.audit import provenance
from gradagree.audit.provenance import ArrayKinds, Gradients, round_to


@pytest.fixture
def gradient() -> np.ndarray:
    return np.random.default_rng(3).normal(size=(6, 5)).astype(np.float32)


@pytest.fixture
def gradients(gradient: np.ndarray) -> Gradients:
    found = Gradients(ArrayKinds())
    found.mark(gradient, "f")
    return found


def test_that_views_and_copies_are_recognised(gradients: Gradients, gradient: np.ndarray) -> None:
    copies = [
        gradient, gradient[1:3], gradient.T, gradient.copy(), gradient[:, 2].copy(), gradient.astype(np.float64),
        gradient.astype(np.float16)[:3], gradient.ravel().tolist(), float(gradient[2, 3]), np.sort(gradient.ravel()),
    ]  # fmt: skip
    assert [k for k, x in enumerate(copies) if gradients.find(x) is None] == []


def test_that_other_values_are_not_recognised(gradients: Gradients, gradient: np.ndarray) -> None:
    others = [
        gradient + np.float32(1e-3), -gradient, np.zeros(3), np.ones(30), np.arange(8), 0.5, 0, 1, True, None, "x",
        np.float16(gradient[0, 0]), [], np.array([np.nan]), np.array(["a"]), object(),
        np.zeros(3, dtype=[("float0", "V")]),
    ]  # fmt: skip
    assert [k for k, x in enumerate(others) if gradients.find(x) is not None] == []


@pytest.mark.parametrize("values", [[0.0, 0.0, 0.0], [1.0, 2.0, 0.5], [0.1, 0.25, 100.0]])
def test_that_plain_numbers_are_recognised_by_identity_only(values: list[float]) -> None:
    gradients, x = Gradients(ArrayKinds()), np.array(values)
    gradients.mark(x, "f")
    assert gradients.find(x[1:]) is not None
    assert gradients.find(x.copy()) is None


def test_that_few_narrow_numbers_do_not_identify_a_large_gradient() -> None:
    gradients, x = Gradients(ArrayKinds()), np.random.default_rng(4).normal(size=100_000)
    gradients.mark(x, "f")
    assert gradients.find(x[:4].astype(np.float16)) is None
    assert gradients.find(x[:8].astype(np.float32)) is not None


def test_that_the_oldest_gradients_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "MOST_BYTES", 100)
    gradients = Gradients(ArrayKinds())
    arrays = [np.full(8, 1.0 + k) for k in range(3)]
    for x in arrays:
        gradients.mark(x, "f")
    assert [gradients.find(x) is not None for x in arrays] == [False, False, True]
    gradients.clear()
    assert gradients.find(arrays[2]) is None


@pytest.mark.parametrize(("dtype", "bits"), [("float16", 11), ("bfloat16", 8), ("float32", 24), ("float64", 53)])
def test_that_rounding_keeps_the_bits_of_the_dtype(dtype: str, bits: int) -> None:
    x = np.array([1 + 2.0 ** (1 - bits), 1 + 2.0 ** -(bits + 1)])
    assert round_to(x, dtype).tolist() == ([x[0], 1.0] if bits < 52 else x.tolist())
