"""Drawn numbers are short, exact in their dtype, and as their regime says."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from gradagree.arithmetic.model import FORMATS
from gradagree.cases.case import Arrays, Case
from gradagree.cases.regimes import BITS, REGIMES, Source, inverse_root
from gradagree.reference import ErrorFunction

TYPES: dict[str, Any] = {
    "float64": np.float64, "float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16,
}  # fmt: skip
SEEDS = range(12)
WIDE = "200-3b-17-1b:id,tanh*3"


def drawn(dtype: str, regime: str, seed: int, shape: str = WIDE, error: str = "sse") -> Arrays:
    return Case.parse(f"{shape}:{error}:n6:{FORMATS[dtype].short}:{regime}:s{seed}").arrays()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize("dtype", FORMATS)
def test_that_every_drawn_number_is_a_number_of_the_dtype(dtype: str, regime: str, seed: int) -> None:
    for name, x in drawn(dtype, regime, seed).by_name.items():
        assert x.dtype == np.float64, name
        assert np.array_equal(x.astype(TYPES[dtype]).astype(np.float64), x), name


@pytest.mark.parametrize("n", [1, 2, 3, 1000, 10**6, 10**9])
@pytest.mark.parametrize("dtype", FORMATS)
def test_that_weights_of_the_widest_layers_are_numbers_of_the_dtype(dtype: str, n: int) -> None:
    bits = min(BITS, FORMATS[dtype].precision)
    smallest_step = math.ldexp(1.0, 1 + inverse_root(n) - bits + 1)
    assert float(np.asarray(smallest_step).astype(TYPES[dtype])) == smallest_step
    assert smallest_step >= FORMATS[dtype].smallest


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("dtype", FORMATS)
def test_that_ordinary_inputs_lie_within_two_and_weights_within_two_roots_of_their_fan_in(
    dtype: str, seed: int
) -> None:
    arrays = drawn(dtype, "ordinary", seed)
    for x in (arrays.inputs, arrays.targets, arrays.biases[0], arrays.biases[2]):
        assert x is not None
        assert np.all(np.abs(x) < 2)
    for w in arrays.weights:
        # Within a factor of the root of 2 of the formula, for the bound is a power of two: w^2 < 2 * 4 / fan-in.
        assert np.all(w**2 * len(w) < 8)


@pytest.mark.parametrize("n", [*range(1, 300), 2**29 - 1, 2**29, 2**29 + 1, 10**9])
def test_that_the_root_is_the_nearest_power_of_two_on_the_scale_of_powers(n: int) -> None:
    assert Fraction(1, 2) <= n * Fraction(4) ** inverse_root(n) <= 2
    assert type(inverse_root(n)) is int


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("dtype", FORMATS)
def test_that_grid_numbers_are_quarters_within_two_and_weights_within_one(dtype: str, seed: int) -> None:
    arrays = drawn(dtype, "grid", seed)
    for name, x in arrays.by_name.items():
        reach = 1 if name.startswith("w") else 2
        assert set(np.unique(4 * x)) <= set(range(-4 * reach, 4 * reach + 1)), name
    assert set(np.unique(4 * arrays.weights[0])) == set(range(-4, 5))
    assert set(np.unique(4 * arrays.inputs)) == set(range(-8, 9))


@pytest.mark.parametrize("seed", SEEDS)
def test_that_sums_over_the_grid_are_exact_and_meet_kinks(seed: int) -> None:
    arrays = drawn("float32", "grid", seed)
    x, w, b = arrays.inputs, arrays.weights[0], arrays.biases[0]
    assert b is not None
    narrow = x.astype(np.float32) @ w.astype(np.float32) + b.astype(np.float32)
    exact = [[sum(Fraction(p) * Fraction(v) for p, v in zip(row, column, strict=True)) for column in w.T] for row in x]
    assert [[Fraction(float(c)) for c in row] for row in narrow] == [
        [c + Fraction(shift) for c, shift in zip(row, b, strict=True)] for row in exact
    ]
    few = drawn("float32", "grid", seed, "2-64:id")
    assert np.any(few.inputs @ few.weights[0] == 0)


def test_that_half_of_the_numbers_in_the_regime_of_zeros_are_zero_of_either_sign_and_some_arrays_altogether() -> None:
    weights = [drawn("float32", "zeros", seed, "40-25:id").weights[0] for seed in range(40)]
    empty = [w for w in weights if not w.any()]
    assert 0 < len(empty) < len(weights) / 2
    rest = np.concatenate([w.ravel() for w in weights if w.any()])
    zeros = np.count_nonzero(rest == 0)
    # Eight standard deviations of a fair coin.
    assert abs(zeros - rest.size / 2) < 8 * math.sqrt(rest.size) / 2
    assert {bool(sign) for sign in np.signbit(rest[rest == 0])} == {True, False}


@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize("error", list(ErrorFunction.catalogue))
def test_that_targets_are_of_the_kind_that_the_error_function_takes(error: str, regime: str) -> None:
    width = 5 if ErrorFunction.catalogue[error].targets == "classes" else 12
    arrays = [drawn("float32", regime, seed, f"4-{width}:id", error) for seed in SEEDS]
    targets = np.stack([a.targets for a in arrays])
    kind, width = ErrorFunction.catalogue[error].targets, ErrorFunction.named(error).width(12)
    if kind == "classes":
        assert targets.dtype == np.int64
        assert targets.shape == (len(SEEDS), 6)
        assert set(np.unique(targets)) == set(range(5))
        return
    assert targets.dtype == np.float64
    assert targets.shape == (len(SEEDS), 6, width)
    if width:
        assert (set(np.unique(targets)) == {0.0, 1.0}) == (kind == "bits")
        assert (set(np.unique(targets)) == {-1.0, 1.0}) == (kind == "signs")
        assert bool((targets > 0).all()) == (kind == "positive")
        assert bool((targets.sum(axis=-1) == 1).all() and (targets >= 0).all()) == (kind == "simplex")


@pytest.mark.parametrize("bits", [2, 8, 11, 16, 24, 31])
@pytest.mark.parametrize("exponent", [-14, -1, 0, 1, 4])
def test_that_dyadic_numbers_are_whole_multiples_below_the_power_of_two(bits: int, exponent: int) -> None:
    x = Source("dyadic").dyadic((500,), bits, exponent)
    wholes = [Fraction(value) / Fraction(2) ** (exponent - bits + 1) for value in x]
    assert all(k.denominator == 1 and abs(k) < 2 ** (bits - 1) for k in wholes)
    assert len(set(wholes)) == 3 if bits == 2 else len(set(wholes)) > 90


@pytest.mark.parametrize("bound", [1, 2, 3, 17, 10**9, 2**31])
def test_that_integers_lie_below_their_bound_and_reach_both_ends(bound: int) -> None:
    x = Source("integers").integers(bound, (1000,))
    assert x.dtype == np.int64
    assert x.min() >= 0
    assert x.max() < bound
    if bound < 20:
        assert set(np.unique(x)) == set(range(bound))
    else:
        assert x.max() > bound / 2 > x.min()


def test_that_a_source_hands_out_one_stream_however_it_is_cut() -> None:
    whole, parts = Source("stream").integers(1000, (12,)), Source("stream")
    cut = [parts.integers(1000, (5,)), parts.integers(1000, (2, 3)).ravel(), parts.integers(1000).ravel()]
    assert np.array_equal(np.concatenate(cut), whole)


def test_that_a_choice_is_one_of_the_things_and_each_in_its_turn() -> None:
    source = Source("choice")
    assert {source.choice("abc") for _ in range(60)} == set("abc")


@pytest.mark.parametrize("change", ["s1", "s2", "n7", "f32", "tanh", "2b"])
def test_that_any_change_of_the_text_draws_other_numbers(change: str) -> None:
    texts = {
        "s1": "3-2:id:sse:n6:f64:ordinary:s1", "s2": "3-2:id:sse:n6:f64:ordinary:s2",
        "n7": "3-2:id:sse:n7:f64:ordinary:s1", "f32": "3-2:id:sse:n6:f32:ordinary:s1",
        "tanh": "3-2:tanh:sse:n6:f64:ordinary:s1", "2b": "3-2b:id:sse:n6:f64:ordinary:s1",
    }  # fmt: skip
    weights = {name: Case.parse(text).arrays().weights[0] for name, text in texts.items()}
    same = [name for name, w in weights.items() if np.array_equal(w, weights[change])]
    assert same == [change]
