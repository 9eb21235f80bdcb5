"""The summation of per-example gradients is allowed for in the modes that use it, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest

from gradagree.arithmetic.model import FORMATS, model
from gradagree.arithmetic.rounded import Rounded
from gradagree.arithmetic.variance import Variance
from gradagree.cases.regimes import Source
from gradagree.checker.dense import sum_gradient
from gradagree.reference.boxes import Gradient

EXAMPLES = 64
short = pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
KINDS = {"bfloat16": ml_dtypes.bfloat16, "float16": np.float16}


def numbers(name: str, dtype: str, width: int) -> np.ndarray:
    return Source(name).dyadic((EXAMPLES, width), FORMATS[dtype].precision, 0)


@short
def test_that_terms_stored_one_by_one_are_covered_only_with_their_summation(dtype: str) -> None:
    a, delta = numbers("a", dtype, 8), numbers("delta", dtype, 6)
    rules, kind = replace(model(dtype), per_example=True), KINDS[dtype]
    terms = (a[:, :, None] * delta[:, None, :]).astype(kind).astype(np.float32)
    seen = np.sum(terms, axis=0).astype(kind).astype(np.float64)
    plain = Rounded.stored(a.T, rules) @ Rounded.stored(delta, rules)
    allowed = sum_gradient(Gradient(plain, None), a, Rounded.stored(delta, rules)).w
    assert np.all(np.abs(seen - allowed.value) <= allowed.radius)
    assert np.any(np.abs(seen - plain.value) > plain.radius)


@short
def test_that_a_bias_summed_in_its_own_format_is_covered_only_with_its_summation(dtype: str) -> None:
    delta, kind = numbers("delta", dtype, 6), KINDS[dtype]
    total = np.zeros(6, dtype=kind)
    for row in delta.astype(kind):
        total = (total + row).astype(kind)
    seen, rules = total.astype(np.float64), model(dtype, biases=dtype)
    stored = Rounded.stored(delta, rules)
    plain = stored.sum(axis=-2)
    allowed = sum_gradient(Gradient(None, plain), None, stored).b
    assert np.all(np.abs(seen - allowed.value) <= allowed.radius)
    assert np.any(np.abs(seen - plain.value) > plain.radius)


@short
def test_that_the_variance_grows_with_the_summation(dtype: str) -> None:
    a, delta = numbers("a", dtype, 8), numbers("delta", dtype, 6)
    rules = replace(model(dtype, biases=dtype), per_example=True)
    stored = Variance.stored(delta, rules)
    plain = Gradient(Variance.stored(a.T, rules) @ stored, stored.sum(axis=-2))
    grown = sum_gradient(plain, a, stored)
    assert np.all(grown.w.variance > plain.w.variance)
    assert np.all(grown.b.variance > plain.b.variance)


def test_that_an_ordinary_mode_keeps_its_gradients_as_they_are() -> None:
    rules = model("float32")
    delta = Rounded.stored(numbers("delta", "float16", 6), rules)
    gradient = Gradient(delta.T @ delta, delta.sum(axis=-2))
    kept = sum_gradient(gradient, delta.value, delta)
    assert kept.w is gradient.w
    assert kept.b is gradient.b
