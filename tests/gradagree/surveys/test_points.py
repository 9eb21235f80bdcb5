"""Inputs cover binades and edges, and are numbers of their dtype."""

from __future__ import annotations

import math

import ml_dtypes
import numpy as np
import pytest

from gradagree.arithmetic.model import FORMATS
from gradagree.arithmetic.rounding import next_number, round_to_format
from gradagree.reference import Activation, ErrorFunction
from gradagree.surveys.points import input_numbers, neighbours, order_by_simplicity, output_target_pairs, thresholds

HALVES = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
GELU, BCE = Activation.named("gelu"), ErrorFunction.named("bce")


@pytest.mark.parametrize("dtype", HALVES)
def test_that_all_65536_numbers_of_16_bits_are_inputs(dtype: str) -> None:
    with np.errstate(invalid="ignore"):
        bits = np.arange(1 << 16, dtype=np.uint16).view(HALVES[dtype]).astype(np.float64)
    expected = np.unique(bits[~np.isnan(bits)])
    found = input_numbers(GELU, dtype, 0)
    assert np.array_equal(np.unique(found[~np.isnan(found)]), expected)
    assert np.isnan(found).sum() == 1
    assert {math.copysign(1, x) for x in found[found == 0]} == {1.0, -1.0}


@pytest.mark.parametrize("dtype", FORMATS)
def test_that_a_grid_contains_every_binade_and_every_edge(dtype: str) -> None:
    form = FORMATS[dtype]
    found = input_numbers(GELU, dtype, 16)
    finite = found[np.isfinite(found)]
    assert np.array_equal(round_to_format(finite, form), finite)
    edges = [form.largest, form.smallest_normal, form.smallest, math.inf, 0.0, *thresholds(GELU)]
    assert {*edges, *(-x for x in edges)} <= set(found)
    step = 4 if dtype == "float64" else 1
    binades = set(np.frexp(finite[finite > 0])[1].tolist())
    assert all(any(e + k in binades for k in range(step)) for e in range(form.emin + 1, form.emax + 2 - step))


@pytest.mark.parametrize("name", ["sqrt", "log"])
def test_that_inputs_lie_in_the_domain(name: str) -> None:
    found = input_numbers(Activation.named(name), "float32", 16)
    assert not (found < 0).any()
    o, _ = output_target_pairs(BCE, "float32", 16)
    assert ((o >= 0) & (o <= 1)).all()


def test_that_neighbours_equal_nextafter_of_numpy() -> None:
    for x in (1.0, 0.0, 2.0**-126, 1.5, 3.0):
        up = float(np.nextafter(np.float32(x), np.float32(np.inf)))
        down = float(np.nextafter(np.float32(x), np.float32(-np.inf)))
        assert next_number(x, math.inf, FORMATS["float32"]) == up
        assert next_number(x, -math.inf, FORMATS["float32"]) == down
        assert {up, down, x} <= set(neighbours(x, FORMATS["float32"]))


def test_that_ordinary_numbers_are_near_1_and_have_few_significant_bits() -> None:
    x = np.array([2.0**-1030, 1.25, -1.0, 1.0, 0.1, 64.0, 3.0, 2.0**-140])
    assert x[order_by_simplicity(x)].tolist() == [1.0, -1.0, 1.25, 3.0, 0.1, 64.0, 2.0**-140, 2.0**-1030]
