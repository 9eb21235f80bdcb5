"""Every number of a dtype reaches a framework, and comes back, bit for bit."""

from __future__ import annotations

import copy
from collections.abc import Callable

import ml_dtypes
import numpy as np
import pytest

from gradagree.adapters import Adapter, Problem
from gradagree.arithmetic.model import FORMATS

TYPES = {"float64": np.float64, "float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
SMALL = "2-3b-2:id,tanh:sse:n3:f32:ordinary:s4"
each_dtype = pytest.mark.parametrize("dtype", TYPES)


def numbers(dtype: str) -> np.ndarray:
    """Numbers of the dtype: ordinary ones, zeros of either sign, the last bit, the ends of the range, subnormals."""
    form = FORMATS[dtype]
    ends = [0.0, 1.0, 1 + 2 * form.u, form.largest, form.smallest_normal, form.smallest_normal / 2, form.smallest]
    drawn = np.random.default_rng(1).normal(size=20).astype(TYPES[dtype]).astype(np.float64)
    return np.concatenate([ends, np.negative(ends), drawn])


@each_dtype
def test_that_every_number_of_the_dtype_arrives_and_comes_back_bit_for_bit(adapter: Adapter, dtype: str) -> None:
    x = numbers(dtype)
    there = adapter.array(x, dtype)
    back = adapter.back(there)
    assert str(there.dtype).removeprefix("torch.") == dtype
    assert (back.dtype, back.shape) == (np.float64, x.shape)
    assert back.tobytes() == x.tobytes()


@each_dtype
def test_that_what_is_not_finite_comes_back_too(adapter: Adapter, dtype: str) -> None:
    back = adapter.back(adapter.array(np.array([np.nan, np.inf, -np.inf]), dtype))
    assert np.array_equal(back, [np.nan, np.inf, -np.inf], equal_nan=True)


def test_that_integers_stay_integers(adapter: Adapter) -> None:
    x = np.array([0, 2, 1 << 40], dtype=np.int64)
    there = adapter.array(x, "float16")
    assert str(there.dtype).removeprefix("torch.") == "int64"
    assert np.asarray(there).tolist() == x.tolist()


def test_that_an_array_is_a_copy(adapter: Adapter) -> None:
    x = np.ones((2, 3))
    there = adapter.array(x, "float64")
    x[:] = 7
    assert np.all(adapter.back(there) == 1)


@each_dtype
def test_that_a_call_leaves_the_problem_as_it_was_and_inputs_come_back_unchanged(
    adapter: Adapter, problem: Callable[..., Problem], dtype: str
) -> None:
    given = problem(SMALL.replace("f32", FORMATS[dtype].short))
    before = copy.deepcopy(given)
    mode = next(iter(adapter.modes))
    tapped, untapped = adapter.answers(given, mode)
    for one, other in zip(
        (given.inputs, given.targets, *given.weights), (before.inputs, before.targets, *before.weights), strict=True
    ):
        assert np.array_equal(one, other)
    assert np.array_equal(tapped.values["inputs"], before.inputs)
    assert np.array_equal(untapped.values["inputs"], before.inputs)
