"""Real data: the bundled sets, rounded so that every dtype holds them, with decisions as targets."""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as arrays

from gradagree.arithmetic.model import FORMATS
from gradagree.arithmetic.rounding import round_to_precision
from gradagree.cases.case import Case
from gradagree.cases.datasets import BITS, DATASETS
from gradagree.errors import UsageError

TYPES: dict[str, Any] = {
    "float64": np.float64, "float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16,
}  # fmt: skip


@pytest.fixture
def bundled() -> Any:
    return pytest.importorskip("sklearn.datasets")


def a_case(name: str, dtype: str, error: str = "sse", batch: int = 40) -> Case:
    data = DATASETS[name]
    widths, short = "-".join(map(str, data.classic)), FORMATS[dtype].short
    return Case.parse(f"{widths}:{','.join(['id'] * (len(data.classic) - 1))}:{error}:n{batch}:{short}:{name}:s1")


@pytest.mark.parametrize("name", DATASETS)
def test_that_the_classic_network_of_a_data_set_fits_it(name: str) -> None:
    data = DATASETS[name]
    assert (data.classic[0], data.classic[-1]) == (data.inputs, data.decisions)
    assert DATASETS["diabetes"].classic == (10, 4, 6, 8, 4)


@pytest.mark.parametrize("name", DATASETS)
def test_that_a_data_set_has_its_inputs_and_every_decision(name: str, bundled: Any) -> None:
    inputs, decisions = DATASETS[name].load()
    assert inputs.shape == (len(decisions), DATASETS[name].inputs)
    assert (inputs.dtype, decisions.dtype) == (np.float64, np.int64)
    assert set(decisions.tolist()) == set(range(DATASETS[name].decisions))


def test_that_diabetes_is_standardised_up_to_its_rounding(bundled: Any) -> None:
    inputs, _ = DATASETS["diabetes"].load()
    assert np.array_equal(np.ldexp(inputs, BITS), np.rint(np.ldexp(inputs, BITS)))
    # Each number is off by half a step at most, so mean and norm are too.
    half_a_step = 2.0 ** -(BITS + 1)
    assert np.all(np.abs(inputs.mean(axis=0)) <= half_a_step)
    assert np.all(np.abs(np.sqrt(np.mean(inputs**2, axis=0)) - 1) <= half_a_step)


def test_that_the_decisions_on_diabetes_are_quarters_in_the_order_of_progression(bundled: Any) -> None:
    _, decisions = DATASETS["diabetes"].load()
    progression = bundled.load_diabetes().target
    most_alike = max(Counter(progression.tolist()).values())
    quarters = [progression[decisions == d] for d in range(4)]
    assert all(one.max() < other.min() for one, other in itertools.pairwise(quarters))
    assert all(abs(len(quarter) - len(progression) / 4) <= most_alike for quarter in quarters)


def test_that_digits_are_sixteenths_from_zero_to_one(bundled: Any) -> None:
    inputs, digits = DATASETS["digits"].load()
    assert set(np.unique(inputs * 16).tolist()) == set(range(17))
    assert np.array_equal(digits, bundled.load_digits().target)


@pytest.mark.parametrize("name", DATASETS)
@pytest.mark.parametrize("dtype", FORMATS)
def test_that_a_case_polls_examples_of_the_data_in_numbers_of_its_dtype(dtype: str, name: str, bundled: Any) -> None:
    inputs, decisions = DATASETS[name].load()
    polled = a_case(name, dtype, "cross_entropy").arrays()
    assert np.array_equal(polled.inputs.astype(TYPES[dtype]).astype(np.float64), polled.inputs)
    rounded = round_to_precision(inputs, FORMATS[dtype].precision)
    for example, decision in zip(polled.inputs, polled.targets, strict=True):
        assert decision in decisions[(rounded == example).all(axis=1)]


@pytest.mark.parametrize("name", DATASETS)
def test_that_decisions_become_bits_where_the_error_function_takes_no_classes(name: str, bundled: Any) -> None:
    classes = a_case(name, "float32", "cross_entropy").arrays().targets
    bits = a_case(name, "float32", "sse", 40).arrays().targets
    assert classes.shape == (40,)
    assert bits.shape == (40, DATASETS[name].decisions)
    assert np.array_equal(np.sort(bits, axis=1)[:, ::-1], np.eye(DATASETS[name].decisions)[np.zeros(40, dtype=int)])


def test_that_other_widths_are_refused_with_those_that_fit() -> None:
    says = "the data set diabetes has 10 inputs and 4 decisions; the network's widths begin with 10 and end with 3"
    with pytest.raises(UsageError, match=f"^{says}$"):
        Case.parse("10-3:id:sse:n8:f32:diabetes:s1")


@pytest.mark.parametrize("name", DATASETS)
def test_that_without_scikit_learn_the_line_to_type_is_given(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    load: Any = DATASETS[name].load
    with pytest.raises(UsageError, match=r"^real data need scikit-learn: pip install 'gradagree\[data\]'$"):
        load.__wrapped__()


NORMAL = st.floats(2.0**-14, 2.0**15)
"""Numbers that are neither subnormal nor too large in any dtype."""
SIGNED = NORMAL | NORMAL.map(lambda x: -x) | st.just(0.0)


@given(st.sampled_from(["float32", "float16", "bfloat16"]), arrays.arrays(np.float64, 5, elements=SIGNED))
def test_that_rounding_is_that_of_the_dtype(dtype: str, x: np.ndarray) -> None:
    assert np.array_equal(round_to_precision(x, FORMATS[dtype].precision), x.astype(TYPES[dtype]).astype(np.float64))
