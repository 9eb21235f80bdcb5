"""One rounding for each operation of a framework: an arithmetic between `wide` and `stored`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradagree.adapters.program import Program, Step
from gradagree.arithmetic.tape import trace
from gradagree.checker.verdict import plain
from gradagree.functions.assertions import assert_grads, check_function
from gradagree.functions.enclosures import enclose, expect
from gradagree.functions.opmath import COMPOSED, FUSED, OPMATH, rounded_values
from gradagree.functions.records import GradientRecord
from gradagree.reference.graph import Graph, Value

torch = pytest.importorskip("torch")

DTYPES = ("bfloat16", "float16")
RUNGS = ("wide", *OPMATH, "stored")


def drawn(*shape: int, dtype: str = "bfloat16", seed: int = 3) -> Any:
    return torch.as_tensor(np.random.default_rng(seed).standard_normal(shape)).to(getattr(torch, dtype))


def gradient_of(function: Any, x: Any, **options: Any) -> GradientRecord:
    report = check_function(function, [x], layouts=False, repeat=1, **options)
    assert not report.verdict.fails
    return next(record for record in report.records if record.quantity == "gradient")


def softmax(x: Any) -> Any:
    return torch.softmax(x, -1)


def by_steps(x: Any) -> Any:
    """Softmax whose steps store their results in the dtype."""
    e = torch.exp(x - torch.amax(x, -1, keepdim=True).detach())
    return e / torch.sum(e, -1, keepdim=True)


@pytest.mark.parametrize("dtype", DTYPES)
def test_that_one_operation_rounds_its_result_once(dtype: str) -> None:
    found = gradient_of(softmax, drawn(6, 9, dtype=dtype))
    assert found.arithmetic == FUSED
    steps = gradient_of(by_steps, drawn(6, 9, dtype=dtype), reference=softmax)
    assert steps.arithmetic in (COMPOSED, "stored")
    assert plain(found.sharpness) < plain(steps.sharpness) / 2


def test_that_the_formula_of_a_backward_pass_rounds_each_step() -> None:
    found = gradient_of(lambda x: torch.var(x, -1), drawn(4, 5, seed=0))
    assert found.arithmetic == COMPOSED


@pytest.mark.parametrize("rung", OPMATH)
def test_that_a_smaller_fault_than_the_stored_steps_allow_is_not_explained(rung: str) -> None:
    x = drawn(6, 9).double().numpy()
    g = np.linspace(-1, 1, 54).reshape(6, 9)
    graph = of_steps(by_one_step, x)
    found = {name: enclose(graph, [x], [g], name, "bfloat16", ["bfloat16"] * 2)[1][0] for name in (rung, "stored")}
    assert found[rung] is not None
    assert found["stored"] is not None
    wrong = found[rung].value + 0.9 * found["stored"].radius
    assert np.any(np.abs(wrong - found[rung].value) > found[rung].radius)


def by_one_step(x: Any) -> Any:
    e = np.exp(x - np.max(x, axis=-1, keepdims=True))
    return e / np.sum(e, axis=-1, keepdims=True)


def of_steps(*functions: Any) -> Graph:
    """The graph of a program of one operation after the other; the last argument is the input."""
    *functions, x = functions
    steps = [Step(f"step{k}", f, (Value(k),), {}, k + 1) for k, f in enumerate(functions)]
    return trace(Program(["x"], steps, [Value(len(functions))]), x)


def test_that_the_arithmetics_become_coarser() -> None:
    x, g = drawn(5, 7).double().numpy(), np.linspace(-1, 1, 35).reshape(5, 7)
    graph = of_steps(by_one_step, np.tanh, x)
    radii = [
        np.max(enclose(graph, [x], [g], name, "bfloat16", ["bfloat16"] * 2)[1][0].radius)  # type: ignore[union-attr]
        for name in RUNGS
    ]
    assert radii == sorted(radii)
    assert len(set(radii)) == len(RUNGS)


def test_that_only_results_of_operations_are_rounded_and_moved_ones_once() -> None:
    x = np.linspace(-1, 1, 12).reshape(3, 4)
    graph = of_steps(by_one_step, np.transpose, lambda y: y[1:], np.exp, x)
    names = {step.output.number: step.operation.name for step in graph.applications}
    assert [names[k] for k in sorted(graph.stored)] == ["divide", "transpose", "indexing", "exp"]
    assert [names[k] for k in sorted(rounded_values(graph))] == ["divide", "exp"]


def test_that_a_moved_number_that_was_not_stored_is_rounded() -> None:
    x = np.linspace(-1, 1, 12).reshape(3, 4)
    graph = of_steps(lambda y: np.transpose(np.exp(y)), x)
    names = {step.output.number: step.operation.name for step in graph.applications}
    assert [names[k] for k in rounded_values(graph)] == ["transpose"]


@pytest.mark.parametrize("rung", OPMATH)
def test_that_rows_give_the_tolerances_of_the_whole(rung: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(5).standard_normal((600, 120))
    g = np.random.default_rng(6).standard_normal((600, 120))
    graph = of_steps(by_one_step, np.tanh, x)
    plain_rows = expect(graph, [x], [g], rung, "bfloat16", ["bfloat16"] * 2)
    monkeypatch.setattr("gradagree.functions.enclosures.batch_of", lambda graph, inputs: None)
    whole = expect(graph, [x], [g], rung, "bfloat16", ["bfloat16"] * 2)
    for one, other in zip([*plain_rows[0], *plain_rows[1]], [*whole[0], *whole[1]], strict=True):
        assert one is not None
        assert other is not None
        np.testing.assert_allclose(one.radius, other.radius, rtol=1e-2)  # other bounds on slopes


def test_that_a_reference_in_numpy_knows_no_operations() -> None:
    found = gradient_of(softmax, drawn(6, 9), reference=by_one_step)
    assert found.arithmetic == "stored"


def test_that_wide_intermediates_can_still_be_demanded() -> None:
    with pytest.raises(AssertionError):
        assert_grads(softmax, [drawn(6, 9)], arithmetic="wide")


def test_that_tangents_are_rounded_by_operations() -> None:
    report = check_function(lambda x: torch.exp(torch.cumsum(x, -1)), [drawn(3, 4)], modes=("forward",))
    assert [r.arithmetic for r in report.records if r.quantity == "tangent"] == [FUSED]


def test_that_operations_of_jax_round_once() -> None:
    jax = pytest.importorskip("jax")
    x = jax.numpy.asarray(np.random.default_rng(3).standard_normal((6, 9)), dtype="bfloat16")
    found = gradient_of(lambda x: jax.numpy.cumsum(jax.nn.sigmoid(x), -1), x)
    assert found.arithmetic in ("wide", *OPMATH)
