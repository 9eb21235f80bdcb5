"""The table of the model of a correct program against the formats' own libraries, and against what hardware does."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from gradagree.arithmetic import model as table
from gradagree.arithmetic.model import FORMATS, Model, model

DTYPES: dict[str, Any] = {
    "float64": np.float64, "float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16,
}  # fmt: skip
each_dtype = pytest.mark.parametrize("dtype", DTYPES)


def as_held(dtype: str, x: float) -> float:
    with np.errstate(all="ignore"):
        return float(np.asarray(x).astype(DTYPES[dtype]))


def test_that_every_format_is_tested_and_goes_by_its_name() -> None:
    assert set(FORMATS) == set(DTYPES)
    assert [form.name for form in FORMATS.values()] == list(FORMATS)
    assert len({form.short for form in FORMATS.values()}) == len(FORMATS)


@each_dtype
def test_that_a_formats_numbers_are_those_of_its_library(dtype: str) -> None:
    form, info = FORMATS[dtype], ml_dtypes.finfo(DTYPES[dtype])
    assert form.u == float(info.eps) / 2
    assert form.largest == float(info.max)
    assert form.smallest_normal == float(info.smallest_normal)
    assert form.smallest == float(info.smallest_subnormal)


@each_dtype
def test_that_u_is_the_largest_relative_error_of_rounding_and_no_larger(dtype: str) -> None:
    u = FORMATS[dtype].u
    assert as_held(dtype, 1 + 2 * u) == 1 + 2 * u
    halfway = Fraction(1) + Fraction(u)
    below, above = as_held(dtype, 1.0), as_held(dtype, 1 + 2 * u)
    assert halfway - Fraction(below) == Fraction(above) - halfway == Fraction(u)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_that_half_the_smallest_number_is_what_underflow_may_lose(dtype: str) -> None:
    form, quantum = FORMATS[dtype], model(dtype).quantum
    lost = [abs(as_held(dtype, k * form.smallest / 8) - k * form.smallest / 8) for k in range(33)]
    assert max(lost) == quantum == form.smallest / 2


def test_that_float64_leaves_room_for_the_underflow_of_the_reference_too() -> None:
    assert model("float64").quantum == 2.0**-1074


@each_dtype
def test_that_flushing_may_lose_any_number_below_the_smallest_normal_one(dtype: str) -> None:
    assert model(dtype, flushes=True).quantum == FORMATS[dtype].smallest_normal > model(dtype).quantum


@each_dtype
def test_that_a_number_past_the_largest_overflows(dtype: str) -> None:
    form = FORMATS[dtype]
    assert as_held(dtype, form.largest) == form.largest
    with np.errstate(all="ignore"):
        assert np.isinf(np.asarray(form.largest).astype(DTYPES[dtype]) * DTYPES[dtype](2))


def test_that_sixteen_bit_formats_accumulate_in_float32_by_default() -> None:
    assert {name: model(name).accumulator.name for name in FORMATS} == {
        "float64": "float64", "float32": "float32", "float16": "float32", "bfloat16": "float32",
    }  # fmt: skip
    assert model("float32", accumulator="bfloat16") == Model(
        FORMATS["float32"], FORMATS["bfloat16"], FORMATS["bfloat16"]
    )
    assert model("float16", "float16", True) == Model(*[FORMATS["float16"]] * 3, flushes=True)
    assert model("float16", biases="float16") == Model(FORMATS["float16"], FORMATS["float32"], FORMATS["float16"])


def test_that_an_unknown_dtype_is_an_error_that_names_it() -> None:
    with pytest.raises(KeyError, match="float8"):
        model("float8")
    with pytest.raises(KeyError, match="tf32"):
        model("float32", accumulator="tf32")


def test_that_a_box_hands_on_excess_only_where_short_numbers_are_fused() -> None:
    fused = {name: replace(model(name), fused=True).excess for name in FORMATS}
    assert fused == {"float64": 0.0, "float32": 0.0, "float16": 2.0**-11, "bfloat16": 2.0**-8}
    assert {model(name).excess for name in FORMATS} == {0.0}


def test_that_the_bound_of_a_sum_grows_past_the_pole_of_gamma() -> None:
    """n u / (1 - n u) is negative past n u = 1; n u is not."""
    u = model("bfloat16", accumulator="bfloat16").accumulator.u
    bounds = [n * u for n in (1, 255, 256, 257, 10_000)]
    assert bounds == sorted(bounds)
    assert min(bounds) > 0 > 257 * u / (1 - 257 * u)


def test_that_the_table_states_the_numbers_that_the_code_uses() -> None:
    rows = {line.split("  ")[0]: line for line in (table.__doc__ or "").splitlines()}
    assert f" {table.DIVISION} u |v| " in rows["division"]
    assert f" {table.LIBRARY} u |v| " in rows["library function (exp, tanh, erf)"]
    assert f" {table.FORMULA} u (|A| + |p A'|) " in rows["a value A(p), of any formula"]


def test_that_blowing_up_covers_several_roundings_of_a_radius() -> None:
    assert (1 + Fraction(table.OWN)) ** 8 < Fraction(table.OUTWARD)
    assert Fraction(table.OWN) == Fraction(FORMATS["float64"].u)


@pytest.mark.parametrize("name", ["format", "accumulator", "biases", "flushes", "fused", "per_example"])
def test_that_a_model_is_frozen_and_can_be_a_key(name: str) -> None:
    made = model("float32")
    with pytest.raises(AttributeError):
        setattr(made, name, None)
    assert {made: 1}[model("float32")] == 1
