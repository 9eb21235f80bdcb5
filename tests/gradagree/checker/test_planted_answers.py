"""Faults of whole answers: stale gradients, lies told only without taps, and real frameworks that are made to lie."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gradagree import Case
from gradagree.adapters import Answer
from gradagree.arithmetic.model import model
from gradagree.cases.case import Arrays
from gradagree.checker.statistical import compare_statistically
from gradagree.checker.verdict import Verdict, plain

TRIALS = 12
DTYPES = ("float64", "float32")
each_dtype = pytest.mark.parametrize("dtype", DTYPES)
each_seed = pytest.mark.parametrize("seed", range(3))


def probable_tolerance(bench: Any, case: Case, answer: Answer, part: str, middle: np.ndarray) -> float:
    """Of the middle entry of one array of the outermost box: there the answer is made infinitely wrong."""
    spoiled = bench.with_part(answer, 1, part, np.where(middle, np.inf, bench.part(answer, 1, part)))
    found = max(
        compare_statistically(case, case.arrays(), spoiled, model(case.dtype)), key=lambda comparison: comparison.ratio
    )
    assert np.isinf(found.observed)
    return found.tolerance


@each_dtype
@each_seed
def test_that_gradients_of_the_step_before_are_found(bench: Any, dtype: str, seed: int) -> None:
    decided = 0
    for case in itertools.islice(bench.classic_cases(dtype, seed), TRIALS):
        honest = bench.answer(case)
        x = case.arrays()
        before = Case.of(case, Arrays(x.weights, x.biases, x.inputs[::-1] / 2, x.targets))
        weights = {name: x for name, x in bench.answer(before).gradients.items() if name.startswith("w")}
        stale = replace(honest, gradients={**honest.gradients, **weights})
        boxes = range(1, len(case.widths))
        moved = {name: np.abs(stale.gradients[name] - x) for name, x in honest.gradients.items()}
        far = {
            (k, "dw") for k in boxes
            if np.any(moved[f"w{k}"] > 2 * bench.tolerance(case, honest, k, "dw"))
        }  # fmt: skip
        decided += bool(far)
        found = set(bench.failing(case, stale))
        assert far <= found <= {(k, "dw") for k in boxes}, case.spec
        record = bench.judged(case, stale)
        assert record.verdict.fails == bool(found)
        assert not found or (record.box, (record.entry or "").split("[")[0]) in found
    assert 4 * decided >= 3 * TRIALS


@each_dtype
@each_seed
@pytest.mark.parametrize("part", ["delta_p", "dw", "db"])
def test_that_a_fault_only_without_taps_is_suspect(bench: Any, dtype: str, seed: int, part: str) -> None:
    decided = 0
    for case in itertools.islice((case for case in bench.classic_cases(dtype, seed) if any(case.biases)), TRIALS):
        tapped = bench.answer(case)
        plain_answer = bench.untapped(tapped)
        record = bench.judged(case, tapped, plain_answer)
        assert not record.verdict.fails, f"false alarm: {case}"
        assert record.probable_ratio is None
        right = bench.part(tapped, 1, part)
        middle = np.arange(right.size).reshape(right.shape) == right.size // 2
        wrong = np.where(middle, right * (1 + 2.0**-7), right)
        tolerance = probable_tolerance(bench, case, plain_answer, part, middle)
        record = bench.judged(case, tapped, bench.with_part(plain_answer, 1, part, wrong))
        if np.any(np.abs(wrong - right) > 2 * tolerance):
            decided += 1
            index = ",".join(str(int(i)) for i in np.argwhere(middle)[0])
            assert (record.verdict, record.box, record.entry) == (Verdict.SUSPECT, 1, f"{part}[{index}]"), case.spec
            assert plain(record.observed) == wrong[middle][0]
            assert plain(record.probable_ratio) > 1
            assert "only without taps" in record.reason
    assert 4 * decided >= 3 * TRIALS


@pytest.mark.parametrize("part", ["delta_p", "dw"])
@pytest.mark.parametrize("lie", [np.nan, np.inf, -np.inf])
def test_that_what_is_not_finite_only_without_taps_is_not_passed(bench: Any, lie: float, part: str) -> None:
    case = Case.parse("3-4-2:id,tanh:sse:n3:f64:ordinary:s1")
    tapped = bench.answer(case)
    wrong = bench.part(tapped, 1, part).copy()
    wrong[1, 1] = lie
    record = bench.judged(case, tapped, bench.with_part(bench.untapped(tapped), 1, part, wrong))
    assert record.verdict.fails
    assert (record.box, record.entry) == (1, f"{part}[1,1]")


@pytest.mark.parametrize("part", ["dw", "db"])
def test_that_an_array_of_another_shape_only_without_taps_is_not_passed(bench: Any, part: str) -> None:
    case = Case.parse("3-4b-2b:id,tanh:sse:n3:f64:ordinary:s1")
    tapped = bench.answer(case)
    right = bench.part(tapped, 1, part)
    lying = bench.with_part(bench.untapped(tapped), 1, part, right.T if part == "dw" else right[:1])
    record = bench.judged(case, tapped, lying)
    assert record.verdict.fails
    assert (record.box, (record.entry or "").split("[")[0]) == (1, part)
