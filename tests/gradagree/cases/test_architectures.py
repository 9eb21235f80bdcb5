"""Random architectures: each is made from its number alone, and together they cover what there is."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from gradagree.arithmetic.model import FORMATS
from gradagree.cases.case import Case
from gradagree.cases.compatibility import has_nonzero_gradient, sufficient_batch
from gradagree.cases.datasets import DATASETS
from gradagree.cases.random import (
    BATCHES,
    KERNEL_BATCHES,
    KERNEL_WIDTHS,
    MAX_LAYERS,
    WIDTHS,
    draw,
    has_other_dtypes,
    kernel_batch,
    kernel_width,
)
from gradagree.cases.regimes import STANDARD
from gradagree.reference import Activation, ErrorFunction
from gradagree.reference.activations import Identity, Relu, Tanh
from gradagree.reference.errors import SoftmaxCrossEntropy, SumOfSquares

COUNTS = st.integers(0, 8)
SEEDS = st.integers(0, 10**6)


@pytest.fixture(scope="module")
def many() -> list[Case]:
    return list(draw(600, 5, dtypes=("float32",)))


@settings(deadline=None)
@given(COUNTS, COUNTS, SEEDS)
def test_that_more_cases_begin_with_the_fewer(fewer: int, more: int, seed: int) -> None:
    assert list(draw(fewer + more, seed))[: 2 * fewer] == list(draw(fewer, seed))


@settings(deadline=None)
@given(COUNTS, COUNTS, SEEDS)
def test_that_a_start_skips_cases_and_changes_none(start: int, cases: int, seed: int) -> None:
    assert list(draw(cases, seed, start=start)) == list(draw(start + cases, seed))[2 * start :]


@settings(deadline=None)
@given(SEEDS, st.lists(st.sampled_from(sorted(FORMATS)), min_size=1, unique=True))
def test_that_every_dtype_sees_the_same_architectures(seed: int, dtypes: list[str]) -> None:
    alone = [case.spec for dtype in dtypes for case in draw(4, seed, dtypes=[dtype])]
    together = list(draw(4, seed, dtypes=dtypes))
    assert [case.dtype for case in together] == dtypes * 4
    assert sorted(case.spec for case in together) == sorted(alone)


@settings(deadline=None)
@given(SEEDS)
def test_that_another_seed_draws_other_architectures(seed: int) -> None:
    specs = [{case.spec for case in draw(4, s)} for s in (seed, seed + 1)]
    assert not specs[0] & specs[1]


def test_that_no_two_cases_of_a_run_are_the_same(many: list[Case]) -> None:
    assert len({case.spec for case in many}) == len(many)


def test_that_every_case_is_what_its_text_says(many: list[Case]) -> None:
    assert [Case.parse(case.spec) for case in many] == many


def test_that_depths_widths_and_batches_are_all_drawn_and_no_others(many: list[Case]) -> None:
    assert {len(case.widths) - 1 for case in many} == set(range(1, MAX_LAYERS + 1))
    assert {width for case in many for width in case.widths} >= set(WIDTHS)
    raised = [case for case in many if not set(case.widths) <= {*WIDTHS, *KERNEL_WIDTHS}]
    assert {case.error.width(n) for case in raised for n in set(WIDTHS)} >= {None}, "only where few widths fit"
    assert len(raised) < len(many) / 20
    assert {case.batch for case in many} == {*BATCHES, *KERNEL_BATCHES}


def test_that_kernel_sizes_are_in_a_share_of_the_cases(many: list[Case]) -> None:
    wide = [i for i in range(len(many)) if kernel_width(i)]
    large = [i for i in range(len(many)) if kernel_batch(i)]
    assert len(many) / 10 < len(wide) < len(many) / 6
    assert len(many) / 10 < len(large) < len(many) / 6
    assert {width for width, _ in filter(None, map(kernel_width, range(200)))} == set(KERNEL_WIDTHS)
    assert {kernel_batch(i) for i in range(400)} == {None, *KERNEL_BATCHES}
    reached = [max(many[i].widths[1:]) >= (kernel_width(i) or (0, False))[0] for i in wide]
    assert sum(reached) > 0.9 * len(wide), "all but those whose functions do not take such widths"
    assert all(many[i].batch >= (kernel_batch(i) or 0) for i in large)


def test_that_other_dtypes_take_the_place_of_the_dtypes_in_a_share_of_the_cases() -> None:
    pair = ("float16", "bfloat16")
    drawn, plain = list(draw(140, 3, other_dtypes=pair)), list(draw(140, 3))
    assert [case.dtype for case in drawn[::2]] == [pair[0] if has_other_dtypes(i) else "float64" for i in range(140)]
    assert 140 / 5 < sum(map(has_other_dtypes, range(140))) < 140 / 3
    assert [case.spec for case in drawn if case.dtype not in pair] == [
        plain[2 * i + j].spec for i in range(140) for j in range(2) if not has_other_dtypes(i)
    ]


def test_that_every_function_is_drawn_and_few_take_the_inputs_themselves(many: list[Case]) -> None:
    begin = [case for case in many if case.activations[0] != Identity()]
    assert {len(case.widths) - 1 for case in begin} <= {1, 2}
    assert len(many) / 20 < len(begin) < len(many) / 5
    assert {type(a) for case in many for a in case.activations[1:]} == set(Activation.catalogue.values())
    assert {type(case.error) for case in many} == set(ErrorFunction.catalogue.values())


def test_that_some_networks_have_biases_and_some_an_output_activation(many: list[Case]) -> None:
    assert {any(case.biases) for case in many} == {True, False}
    outputs = Counter(case.depth == len(case.widths) for case in many)
    # One in four, within eight standard deviations.
    assert abs(outputs[True] - len(many) / 4) < 8 * (len(many) * 3 / 16) ** 0.5


def test_that_regimes_take_turns(many: list[Case]) -> None:
    turns = Counter(case.regime for case in many)
    assert set(turns) == set(STANDARD)
    assert max(turns.values()) - min(turns.values()) <= 2
    assert [case.regime for case in many[: len(STANDARD)]] == list(STANDARD)


def test_that_a_decision_between_classes_has_at_least_two(many: list[Case]) -> None:
    decided = [case.widths[-1] for case in many if case.error.targets == "classes"]
    assert min(decided) == 2
    assert min(case.widths[-1] for case in many if case.error.targets != "classes") == 1


def test_that_only_the_selected_functions_are_drawn() -> None:
    cases = list(draw(60, 1, activations=[Tanh(), Relu()], errors=[SumOfSquares(), SoftmaxCrossEntropy()]))
    assert {a for case in cases for a in case.activations[1:]} == {Tanh(), Relu()}
    assert {case.error for case in cases} == {SumOfSquares(), SoftmaxCrossEntropy()}


@pytest.mark.parametrize("name", DATASETS)
def test_that_the_first_case_of_a_data_set_is_its_classic_network_and_all_fit_it(name: str) -> None:
    data: Any = DATASETS[name]
    cases = list(draw(30, 3, dtypes=("float64",), regimes=("ordinary", name)))
    of_data = [case for case in cases if case.regime == name]
    assert len(of_data) == len(cases) / 2
    assert of_data[0].widths == data.classic
    assert {(case.widths[0], case.widths[-1]) for case in of_data} == {(data.inputs, data.decisions)}
    assert len({case.widths for case in of_data}) > 1


def test_that_no_function_is_drawn_where_none_is_selected() -> None:
    assert list(draw(0)) == []


def test_that_what_is_brought_to_a_standard_size_has_a_size_and_a_direction() -> None:
    normalising = [Activation.named(name) for name in ("layer_norm", "standardize", "normalize", "rms_norm", "softmax")]
    for case in draw(120, 4, dtypes=("float32",), activations=normalising):
        inputs = zip(case.activations, [*case.widths, case.widths[-1]], strict=False)
        assert all(width >= 2 + (a.name in ("layer_norm", "standardize")) for a, width in inputs if a.along_last_axis)


def test_that_an_error_that_compares_two_of_one_class_is_given_them() -> None:
    error = ErrorFunction.named("ntxent")
    cases = list(draw(60, 2, dtypes=("float64",), errors=[error], activations=[Tanh()], regimes=["ordinary"]))
    classes = [case.arrays().targets.tolist() for case in cases]
    assert all(len(set(drawn)) < len(drawn) for drawn in classes)
    assert not has_nonzero_gradient(error, 3, 4)
    assert has_nonzero_gradient(error, 4, 3)


def test_that_a_batch_is_never_made_smaller_or_larger_than_it_must_be() -> None:
    assert sufficient_batch(8, 4, ErrorFunction.named("mse"), BATCHES) == 8
    assert sufficient_batch(3, 4, ErrorFunction.named("ntxent"), BATCHES) == 8
    assert sufficient_batch(3, 64, ErrorFunction.named("ntxent"), BATCHES) == max(BATCHES)
