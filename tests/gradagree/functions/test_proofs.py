"""The expected entry of a finding is proved, and what a proof does not exclude is no finding."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest

from gradagree.arithmetic.tape import trace
from gradagree.checker.verdict import Verdict, plain
from gradagree.functions import proofs
from gradagree.functions.proofs import CONTRADICTED, UNPROVED, Proof, prove, with_proof
from gradagree.functions.records import GradientRecord

torch = pytest.importorskip("torch")


def softmax_times(x: Any, w: Any) -> Any:
    e = np.exp(x @ w)
    return e / np.sum(e, axis=-1, keepdims=True)


X, W, G = (np.random.default_rng(1).standard_normal(shape) for shape in ((3, 4), (4, 5), (3, 5)))


def gradient_by_mpmath(i: int, j: int) -> Any:
    """dE/dx_ij of E = sum g softmax(x w), with 60 digits."""
    with mpmath.workdps(60):
        x, w, g = (mpmath.matrix(a.tolist()) for a in (X, W, G))
        a = [sum(x[i, k] * w[k, m] for k in range(4)) for m in range(5)]
        total = sum(mpmath.exp(v) for v in a)
        y = [mpmath.exp(v) / total for v in a]
        inner = sum(y[m] * g[i, m] for m in range(5))
        return sum(y[m] * (g[i, m] - inner) * w[j, m] for m in range(5))


@pytest.mark.parametrize("most", [proofs.MOST_OPERATIONS, 0], ids=["balls", "float64"])
def test_that_a_proof_holds_the_exact_value(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proofs, "MOST_OPERATIONS", most)
    graph = trace(softmax_times, X, W)
    for index in ((0, 0), (2, 3)):
        proof = prove(graph, [X, W], [G], "gradient", 0, index)
        assert proof is not None
        assert abs(gradient_by_mpmath(*index) - proof.value) <= proof.radius
        assert proof.radius < 1e-12
    assert (proof.radius < 2.0**-52) == (most > 0)


def record(**fields: Any) -> GradientRecord:
    return GradientRecord(
        name="args[0]", quantity="gradient", verdict=Verdict.DISAGREE, framework="torch", entry=(0,),
        tolerance=(0.01).hex(), **fields,
    )  # fmt: skip


def test_that_a_finding_is_undecided_if_the_exact_value_may_be_the_observed_one() -> None:
    found = with_proof(record(expected=(1.0).hex(), observed=(1.5).hex()), Proof(1.0, 0.6))
    assert (found.verdict, found.reason) == (Verdict.UNDECIDED, UNPROVED)


def test_that_a_finding_is_undecided_if_the_reference_itself_is_off() -> None:
    found = with_proof(record(expected=(1.0).hex(), observed=(1.5).hex()), Proof(1.2, 1e-20))
    assert (found.verdict, found.reason) == (Verdict.UNDECIDED, CONTRADICTED)


def test_that_a_proved_finding_stays_one() -> None:
    found = with_proof(record(expected=(1.0).hex(), observed=(1.5).hex()), Proof(1.001, 1e-20))
    assert found.verdict is Verdict.DISAGREE
    assert (plain(found.expected), plain(found.expected_radius)) == (1.001, 1e-20)


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
def test_that_the_message_of_a_finding_shows_a_proved_value(dtype: str) -> None:
    from gradagree.functions.assertions import assert_grads

    class Doubled(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return torch.sin(x)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return 2 * g * torch.cos(ctx.saved_tensors[0])

    with pytest.raises(AssertionError, match=r"(?s)expected .* \(proved\).*a factor 1/2 is missing"):
        assert_grads(Doubled.apply, [torch.linspace(-1, 1, 6).to(getattr(torch, dtype))], reference=np.sin)
