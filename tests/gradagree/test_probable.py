"""The probable tolerance covers honest frameworks, finds small faults end to end, and can fail."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gradagree import Case, draw
from gradagree.adapters import Adapter, Answer, ForTorch, Problem
from gradagree.arithmetics import variance
from gradagree.arithmetics.model import Model
from gradagree.arithmetics.variance import Variance
from gradagree.datasets import DATASETS
from gradagree.drawing import regimes
from gradagree.judge import Framework
from gradagree.probable import Outlier, probable, reference
from gradagree.reference import Activation
from gradagree.worker import greeting

CASES = 40
NUDGE = 1 + 1e-3
each_dtype = pytest.mark.parametrize("dtype", ["float64", "float32"])
each_regime = pytest.mark.parametrize("regime", regimes())
CONVENTIONAL = {"hardtanh", "relu", "leaky_relu", "absolute"}


@pytest.fixture(scope="module")
def torch_and_models() -> tuple[Adapter, dict[str, Model]]:
    pytest.importorskip("torch")
    adapter = ForTorch()
    with adapter.settings():
        return adapter, Framework.of("torch", greeting(adapter)).models


@pytest.fixture
def ask(torch_and_models: Any) -> Any:
    """The untapped answer of torch, and the model measured for it."""
    adapter, models = torch_and_models

    def asked(case: Case) -> tuple[Answer, Model]:
        x = case.arrays()
        problem = Problem(case.activations, case.error, x.weights, x.biases, x.inputs, x.targets, case.dtype)
        with adapter.settings():
            return adapter.answers(problem, "backward")[1], models[case.dtype]

    return asked


def drawn(dtype: str, regime: str, count: int = CASES, seed: int = 3) -> Iterator[Case]:
    if regime in DATASETS:
        pytest.importorskip("sklearn")
    cases = draw(10**6, seed, (dtype,), regimes=(regime,))
    return itertools.islice((case for case in cases if case.size <= 4000), count)


def on_a_kink(case: Case, bench: Any) -> bool:
    """Whether some number lies on a kink, where the framework's slope may be another legitimate one."""
    inputs = bench.answer(case).inputs
    kinked = [np.isin(p, f.kinks).any() for p, f in zip(inputs, case.activations, strict=False)]
    return any(kinked) or bool(np.any(case.error.kink(inputs[-1], case.arrays().targets)))


@each_dtype
@each_regime
def test_that_honest_gradients_are_probable(bench: Any, ask: Any, dtype: str, regime: str) -> None:
    checked = 0
    for case in drawn(dtype, regime):
        outlier = probable(case, case.arrays(), *ask(case))
        if not on_a_kink(case, bench):
            assert outlier.ratio <= 1, (case.spec, outlier)
            checked += 1
    assert checked >= CASES / 5


@each_dtype
def test_that_even_the_smallest_networks_gradients_are_probable(ask: Any, dtype: str) -> None:
    for activation, error, seed in itertools.product(Activation.catalogue, ("sse", "bce_logits", "cross_entropy"), range(3)):
        case = Case.parse(f"1-2:{activation},{activation}:{error}:n1:f{dtype[-2:]}:ordinary:s{seed}")
        assert probable(case, case.arrays(), *ask(case)).ratio <= 1, case.spec


@pytest.mark.parametrize("part", ["E", "delta_p", "dw", "db"])
def test_that_a_thousandth_is_found_in_float32_and_its_place_named(bench: Any, ask: Any, part: str) -> None:
    found = 0
    cases = [case for case in drawn("float32", "ordinary", 3 * CASES) if any(case.biases)]
    for case in cases:
        answer, model = ask(case)
        box = 1 if part == "delta_p" else len(case.widths) - 1
        expected, right = expectation(case, model, box, part), answer.E
        if part == "E":
            wrong = replace(answer, E=answer.E * NUDGE)
        else:
            right = bench.part(answer, box, part)
            wrong = bench.with_part(answer, box, part, right * NUDGE)
        outlier = probable(case, case.arrays(), wrong, model)
        if np.any(np.abs(right) * (NUDGE - 1) > 2 * expected.tolerance):
            found += 1
            assert outlier.ratio > 1, case.spec
            assert (outlier.box, outlier.part) == ("error" if part == "E" else box, part)
    assert 4 * found >= 3 * len(cases) > CASES


def expectation(case: Case, model: Model, box: int, part: str) -> Variance:
    whole = reference(case.activations, case.error, case.arrays(), model)
    if part in ("E", "delta_p"):
        return getattr(whole, part)  # type: ignore[no-any-return]
    return getattr(whole.gradients[box - 1], part[1:])  # type: ignore[no-any-return]


@each_dtype
def test_that_a_tolerance_of_a_hundredth_of_a_deviation_would_not_cover_honest_gradients(
    ask: Any, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(variance, "DEVIATIONS", 0.01)
    cases = list(drawn(dtype, "ordinary"))
    outside = sum(probable(case, case.arrays(), *ask(case)).ratio > 1 for case in cases)
    assert outside > len(cases) / 2


@each_dtype
def test_that_the_centre_is_the_references_own_answer(bench: Any, dtype: str) -> None:
    for case in drawn(dtype, "ordinary", 10):
        from gradagree.reference import backpropagate

        found = reference(case.activations, case.error, case.arrays(), bench.framework.models[dtype])
        right = backpropagate(case.network(case.arrays()), case.arrays().inputs)
        assert found.E.value == right.E
        assert all(np.array_equal(x.value, y) for x, y in zip(found.sensitivities, right.sensitivities, strict=True))
        for one, other in zip(found.gradients, right.gradients, strict=True):
            assert all((x is None and y is None) or np.array_equal(x.value, y) for x, y in zip(one, other, strict=True))


@pytest.mark.parametrize("lie", [np.nan, np.inf, -np.inf])
def test_that_what_is_not_finite_is_improbable(bench: Any, lie: float) -> None:
    case = Case.parse("3-4b-2:id,tanh:sse:n3:f32:ordinary:s1")
    answer = bench.untapped(bench.answer(case))
    wrong = bench.part(answer, 2, "dw").copy()
    wrong[3, 1] = lie
    outlier = probable(case, case.arrays(), bench.with_part(answer, 2, "dw", wrong), bench.framework.models["float32"])
    assert outlier.ratio > 1
    assert (outlier.box, outlier.part, outlier.index) == (2, "dw", (3, 1))


def test_that_the_worst_entry_is_shown_with_its_numbers(bench: Any) -> None:
    case = Case.parse("3-4b-2:id,tanh:sse:n3:f32:ordinary:s1")
    answer, model = bench.untapped(bench.answer(case)), bench.framework.models["float32"]
    tolerance = expectation(case, model, 1, "dw")
    wrong = bench.part(answer, 1, "dw").copy()
    wrong[2, 1] += 100 * tolerance.tolerance[2, 1]
    outlier = probable(case, case.arrays(), bench.with_part(answer, 1, "dw", wrong), model)
    expected = (1, "dw", (2, 1), tolerance.value[2, 1], wrong[2, 1], tolerance.tolerance[2, 1])
    assert isinstance(outlier, Outlier)
    assert (outlier.box, outlier.part, outlier.index, outlier.expected, outlier.observed, outlier.tolerance) == expected
    assert outlier.ratio == abs(outlier.observed - outlier.expected) / outlier.tolerance > 1
