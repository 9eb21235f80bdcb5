"""A hand-written vjp of the reference is a second admissible derivation, and must be that of its value."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from gradagree import Activation, ErrorFunction, assert_grads
from gradagree.errors import UsageError
from gradagree.functions.assertions import check_function

torch = pytest.importorskip("torch")
X = np.linspace(-8, 8, 9)


@pytest.fixture(autouse=True)
def catalogues() -> Iterator[None]:
    """The catalogues without the functions of these tests."""
    before = [dict(kind.catalogue) for kind in (Activation, ErrorFunction)]
    yield
    for kind, known in zip((Activation, ErrorFunction), before, strict=True):
        kind.catalogue.clear()
        kind.catalogue.update(known)  # type: ignore[arg-type]


def by_difference(factor: float = 1) -> Any:
    """The sigmoid with the gradient s - s^2, which loses digits where s is near 1."""

    class Sigmoid(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            s = torch.sigmoid(x)
            ctx.save_for_backward(s)
            return s

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            (s,) = ctx.saved_tensors
            return factor * g * (s - s**2)

    return Sigmoid.apply


def written_sigmoid() -> Any:
    class HandWrittenSigmoid(Activation):
        """A(p) = 1 / (1 + exp(-p))."""

        def value(self, p: Any) -> Any:
            return 1 / (1 + np.exp(-p))

        def derivative(self, p: Any) -> Any:
            return self.value(p) - self.value(p) ** 2

    return HandWrittenSigmoid


def test_that_a_gradient_by_the_hand_written_formula_agrees() -> None:
    args = (torch.tensor(X, dtype=torch.float32),)
    reference = written_sigmoid()
    report = assert_grads(by_difference(), args, reference=reference)
    assert [(r.verdict.value, r.derivative) for r in report.records] == [("agree", "taped"), ("agree", "written")]
    taped = check_function(by_difference(), args, reference=reference().value)
    assert [r.verdict.value for r in taped.records] == ["agree", "inaccurate"]


def test_that_a_gradient_by_the_formula_of_the_tape_agrees_as_well() -> None:
    report = assert_grads(torch.sigmoid, (torch.tensor(X, dtype=torch.float32),), reference=written_sigmoid()())
    assert report.records[1].derivative == "written"


def test_that_a_wrong_gradient_is_found_with_two_derivations() -> None:
    report = check_function(by_difference(1 + 1e-4), (torch.tensor(X),), reference=written_sigmoid())
    assert [r.label for r in report.failures] == ["gradient of args[0]"]


def test_that_a_vjp_that_is_not_that_of_its_value_is_refused() -> None:
    class WrongCube(Activation):
        """A(p) = p^3."""

        def value(self, p: Any) -> Any:
            return p**3

        def derivative(self, p: Any) -> Any:
            return 2 * p**2

    with pytest.raises(
        UsageError, match=r"the vjp of the reference wrong_cube is not .* args\[0\] at \[0\] is .*leave"
    ):
        assert_grads(lambda x: x**3, (torch.tensor(X),), reference=WrongCube)


def test_that_a_loss_with_a_hand_written_gradient_is_a_reference_by_outputs_and_targets() -> None:
    class SumOfEighths(ErrorFunction):
        """E = sum_i (o_i - t_i)^8."""

        def value(self, o: Any, t: Any) -> Any:
            return np.sum((o - t) ** 8, axis=(-2, -1))

        def sensitivity(self, o: Any, t: Any) -> Any:
            return 8 * (o - t) ** 7

    args = tuple(torch.tensor(np.random.default_rng(k).standard_normal((2, 3))) for k in range(2))
    report = assert_grads(lambda o, t: ((o - t) ** 8).sum(), args, reference=SumOfEighths)
    assert [r.derivative for r in report.records] == ["taped", "written", "written"]
    wrong = check_function(lambda o, t: ((o - t.detach()) ** 8).sum(), args, reference=SumOfEighths)
    assert [r.label for r in wrong.failures] == ["gradient of args[1]"]


def test_that_kinks_of_both_derivations_may_differ() -> None:
    class HandWrittenRelu(Activation):
        """A(p) = max(p, 0)."""

        def value(self, p: Any) -> Any:
            return np.maximum(p, 0.0)

        def derivative(self, p: Any) -> Any:
            return np.where(p > 0, 1.0, 0.0)

    args = (torch.tensor([-1.0, 0.0, 2.0, 3.0, 4.0]),)
    assert not check_function(torch.relu, args, reference=HandWrittenRelu).verdict.fails
