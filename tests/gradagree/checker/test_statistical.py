"""The probabilistic tolerance covers correct frameworks, finds small errors end to end, and can fail."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gradagree import Case
from gradagree.adapters import Adapter, Answer, ForTorch
from gradagree.arithmetic import variance, variance as variance_products, variance_rules as variance_functions
from gradagree.arithmetic.model import FORMATS, Model, model
from gradagree.arithmetic.variance import max_repeats, repeats
from gradagree.cases.case import problem_of
from gradagree.cases.datasets import DATASETS, regimes
from gradagree.checker import statistical
from gradagree.checker.comparison import Comparison
from gradagree.checker.judge import Framework
from gradagree.checker.response import handshake
from gradagree.checker.statistical import _compare_array, compare_statistically
from gradagree.checker.verdict import Verdict
from gradagree.reference import backpropagate
from gradagree.reference.graph import quantity_of

CASES = 40
NUDGE = 1 + 1e-3
HONEST = (Verdict.AGREE, Verdict.UNDECIDED)
each_dtype = pytest.mark.parametrize("dtype", ["float64", "float32"])
each_regime = pytest.mark.parametrize("regime", regimes())


@pytest.fixture(scope="module")
def torch_and_models() -> tuple[Adapter, dict[str, Model]]:
    pytest.importorskip("torch")
    adapter = ForTorch()
    with adapter.settings():
        return adapter, Framework.of("torch", handshake(adapter)).models


@pytest.fixture
def ask(torch_and_models: Any) -> Any:
    """The untapped answer of torch, and the model measured for it."""
    adapter, models = torch_and_models

    def asked(case: Case) -> tuple[Answer, Model]:
        with adapter.settings():
            return adapter.answers(problem_of(case, case.arrays()), "backward")[1], models[case.dtype]

    return asked


def worst(case: Case, answer: Answer, model: Model) -> Comparison:
    return max(compare_statistically(case, case.arrays(), answer, model), key=lambda found: found.ratio)


def drawn(bench: Any, dtype: str, regime: str, count: int = CASES, seed: int = 3) -> Iterator[Case]:
    if regime in DATASETS:
        pytest.importorskip("sklearn")
    return itertools.islice(bench.classic_cases(dtype, seed, 4000, regime), count)


def on_a_kink(case: Case, bench: Any) -> bool:
    """True if a number lies on a kink, where the framework may use another admissible slope."""
    inputs = [*bench.answer(case).values.values()]
    kinked = [np.isin(p, f.kinks).any() for p, f in zip(inputs, case.activations, strict=False)]
    return any(kinked) or bool(np.any(case.error.kink(inputs[-1], case.arrays().targets)))


@each_dtype
@each_regime
def test_that_correct_gradients_are_within_the_probabilistic_tolerance(
    bench: Any, ask: Any, dtype: str, regime: str
) -> None:
    checked = 0
    for case in drawn(bench, dtype, regime):
        found = worst(case, *ask(case))
        if not on_a_kink(case, bench):
            assert found.ratio <= 1, (case.spec, found)
            assert found.verdict in (*HONEST, Verdict.OUT_OF_RANGE), case.spec
            checked += found.verdict in HONEST
    assert checked >= CASES / (20 if regime == "extreme" else 5)


@each_dtype
def test_that_gradients_of_the_smallest_networks_are_within_the_probabilistic_tolerance(
    bench: Any, ask: Any, dtype: str
) -> None:
    errors = ("sse", "bce_logits", "cross_entropy")
    for activation, error, seed in itertools.product(bench.classic, errors, range(3)):
        case = Case.parse(f"1-2:{activation},{activation}:{error}:n1:f{dtype[-2:]}:ordinary:s{seed}")
        assert worst(case, *ask(case)).ratio <= 1, case.spec


def spoiled(bench: Any, answer: Answer, box: int, part: str, spoil: Any) -> Answer:
    if part == "E":
        return replace(answer, E=float(spoil(np.asarray(answer.E))))
    return bench.with_part(answer, box, part, spoil(bench.part(answer, box, part)))  # type: ignore[no-any-return]


@pytest.mark.parametrize("part", ["E", "delta_p", "dw", "db"])
def test_that_an_error_of_a_thousandth_is_found_in_float32_and_located(bench: Any, ask: Any, part: str) -> None:
    found = 0
    cases = [case for case in drawn(bench, "float32", "ordinary", 3 * CASES) if any(case.biases)]
    for case in cases:
        answer, model = ask(case)
        box = 1 if part == "delta_p" else len(case.widths) - 1
        name = "error" if part == "E" else box
        (size,) = (
            c for c in compare_statistically(case, case.arrays(), answer, model) if (c.box, c.part) == (name, part)
        )
        if size.sharpness < (NUDGE - 1) / 2:
            found += 1
            outlier = worst(case, spoiled(bench, answer, box, part, lambda x: x * NUDGE), model)
            assert (outlier.verdict, outlier.box, outlier.part) == (Verdict.SUSPECT, name, part), case.spec
            assert outlier.ratio > 1
    assert 4 * found >= 3 * len(cases) > CASES


@each_dtype
def test_that_a_hundredth_of_a_deviation_would_not_cover_correct_gradients(
    bench: Any, ask: Any, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (variance, variance_functions):
        monkeypatch.setattr(module, "DEVIATIONS", 0.01)
    cases = list(drawn(bench, dtype, "ordinary"))
    outside = sum(worst(case, *ask(case)).verdict is Verdict.SUSPECT for case in cases)
    assert outside > len(cases) / 2


@each_dtype
def test_that_the_center_is_the_references_result(bench: Any, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for cubes, which are two products there: they differ from the reference's power in the last bits."""
    monkeypatch.setattr(variance_functions, "whole_power", lambda x, n: x**n)
    for case in drawn(bench, dtype, "ordinary", 10):
        arrays = case.arrays()
        right = backpropagate(case.network(arrays), arrays.inputs)
        each = zip(case.nodes(arrays), right.gradients, right.activations, strict=False)
        gradients = {
            name: (gradient._asdict() | own)[part]
            for node, gradient, own in each
            for part, name in node.parameters.items()
        }
        own = Answer(float(right.E), {"inputs": arrays.inputs}, {"inputs": right.delta_p}, gradients)
        found = compare_statistically(case, arrays, own, bench.framework.models[dtype])
        assert {comparison.ratio for comparison in found} == {0.0}
        assert len(found) == 2 + len(arrays.weights) + sum(case.biases)


@pytest.mark.parametrize("part", ["E", "delta_p", "dw", "db"])
@pytest.mark.parametrize("lie", [np.nan, np.inf, -np.inf])
def test_that_a_non_finite_entry_is_suspect(bench: Any, lie: float, part: str) -> None:
    case = Case.parse("3-4b-2:id,tanh:sse:n3:f32:ordinary:s1")
    answer = bench.untapped(bench.answer(case))
    last = lambda x: np.where(np.arange(x.size).reshape(x.shape) == x.size - 1, lie, x)  # noqa: E731
    outlier = worst(case, spoiled(bench, answer, 1, part, last), bench.framework.models["float32"])
    index = {"E": (), "delta_p": (2, 2), "dw": (2, 3), "db": (3,)}[part]
    assert (outlier.verdict, outlier.ratio) == (Verdict.SUSPECT, np.inf)
    assert (outlier.box, outlier.part, outlier.index) == ("error" if part == "E" else 1, part, index)


def test_that_the_worst_entry_is_shown_with_its_numbers(bench: Any) -> None:
    case = Case.parse("3-4b-2:id,tanh:sse:n3:f32:ordinary:s1")
    answer, model = bench.untapped(bench.answer(case)), bench.framework.models["float32"]
    wrong = bench.part(answer, 1, "dw").copy()
    wrong[2, 1] *= 2
    outlier = worst(case, bench.with_part(answer, 1, "dw", wrong), model)
    assert (outlier.box, outlier.part, outlier.index, outlier.observed) == (1, "dw", (2, 1), wrong[2, 1])
    assert outlier.ratio == abs(outlier.observed - outlier.expected) / outlier.tolerance > 1
    assert abs(outlier.expected - wrong[2, 1] / 2) <= outlier.tolerance
    assert outlier.entries == wrong.size


def test_that_digits_lost_by_a_losss_own_formula_are_not_suspect(torch_and_models: Any, monkeypatch: Any) -> None:
    adapter, models = torch_and_models
    case = Case.parse("8-5-6:id,relu6:log_cosh:n8:f64:tiny:s69263747")
    with adapter.settings(), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        answer = adapter.answers(problem_of(case, case.arrays()), "forward")[1]
    assert worst(case, answer, models["float64"]).verdict in HONEST
    monkeypatch.setattr("gradagree.checker.statistical.ad_loss_gradient", lambda *_: None)
    assert worst(case, answer, models["float64"]).verdict is Verdict.SUSPECT


@pytest.mark.parametrize(
    ("deviation", "observed", "verdict"),
    [(100.0, 1e6, Verdict.UNDECIDED), (100.0, np.nan, Verdict.SUSPECT), (1e-3, 1e6, Verdict.SUSPECT)],
)
def test_that_an_array_without_known_digits_is_not_suspect(
    deviation: float, observed: float, verdict: Verdict, torch_and_models: Any
) -> None:
    value = np.array([[2.0, 3.0]])
    expected = variance.Variance(value, np.full((1, 2), deviation**2), torch_and_models[1]["float64"])
    assert _compare_array(quantity_of(1, "dw", 1), np.array([[2.0, observed]]), expected).verdict is verdict


OWN = "prelu_by_column(a=(0.5,0.25,0.125,0.5,0.25,0.125,0.5,0.25,0.125,0.5,0.25,0.125))"


@pytest.mark.parametrize("activations", ["id,tanh*2", "id,softmax,gelu", f"id,prelu,{OWN}", "id,glu,relu"])
def test_that_jvps_computed_together_equal_those_computed_one_by_one(
    torch_and_models: Any, monkeypatch: Any, activations: str
) -> None:
    adapter, models = torch_and_models
    case = Case.parse(f"16-12-12-8:{activations}:sse:n4:f64:ordinary:s5")
    if "glu" in activations:
        case = Case.parse(f"16-24-12-8:{activations}:sse:n4:f64:ordinary:s5")
    arrays = case.arrays()
    with adapter.settings(), warnings.catch_warnings(action="ignore"):
        answer, _ = adapter.answers(problem_of(case, arrays), "forward")
    assert len(answer.along) == 8
    seen: list[Any] = []
    kept = statistical._compare_array
    monkeypatch.setattr(statistical, "_compare_array", lambda *given: seen.append(given[2]) or kept(*given))
    for together in (0, statistical.MAX_STACKED_WEIGHTS):
        monkeypatch.setattr(statistical, "MAX_STACKED_WEIGHTS", together)
        (found,) = compare_statistically(case, arrays, answer, models["float64"])
        assert found.verdict is Verdict.AGREE
    alone, stacked = seen
    assert (np.abs(stacked.value - alone.value) <= alone.tolerance).all()
    summed = 1 + case.size * FORMATS["float64"].u
    assert (alone.variance <= stacked.variance * summed).all(), "equal rows are counted in the worst direction"


def test_that_equal_columns_of_one_direction_are_counted_although_other_directions_differ() -> None:
    one, other = np.array([[1.0, 1.0, 2.0], [3.0, 3.0, 4.0]]), np.arange(6.0).reshape(2, 3)
    one, both = (variance.Variance(x, 1e-40, model("float64")) for x in (one, np.stack([one, other])))
    assert max_repeats(both, -1) == repeats(one, -1) == 2
    assert repeats(both, -1) == 1


def test_that_rows_equal_in_the_dtype_are_counted_as_equal() -> None:
    rows = np.array([[1.0, 2.0], [1.0 + 1e-12, 2.0 - 1e-12], [3.0, 4.0]])
    found = {dtype: repeats(variance.Variance(rows, 1e-40, model(dtype)), 0) for dtype in ("float64", "float32")}
    assert found == {"float64": 1, "float32": 2}


def test_that_rows_without_errors_are_not_counted() -> None:
    zeros = np.zeros((5, 2))
    assert repeats(variance.Variance(zeros, 0.0, model("float64")), 0) == 1
    assert repeats(variance.Variance(zeros, np.array([[0.0, 1e-40]] * 2 + [[0.0, 0.0]] * 3), model("float64")), 0) == 2


@pytest.mark.parametrize("shape", [(2, 3), (4, 2, 3)])
def test_that_overflow_of_partial_sums_is_detected_in_stacked_matrices(shape: tuple[int, ...]) -> None:
    x = variance.Variance(np.full(shape, 300.0), 1e-6, model("float16"))
    y = variance.Variance(np.array([[100.0, 1.0], [100.0, 1.0], [-200.0, 1.0]]), 0.0, model("float16"))
    assert np.isinf((x @ y).variance[..., 0]).all()
    assert np.isfinite((x @ y).variance[..., 1]).all()


def test_that_squares_of_large_arrays_are_multiplied_tile_by_tile() -> None:
    x, y = np.arange(6.0).reshape(2, 3), np.arange(3 * 70_000.0).reshape(3, 70_000) % 17
    for array, left in ((y, x), (y.T, np.arange(2 * 70_000.0).reshape(2, 70_000) % 5)):
        assert np.array_equal(variance_products.matmul_squares(left, array), left @ array**2)
