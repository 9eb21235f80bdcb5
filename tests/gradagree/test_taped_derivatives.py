"""Activations and losses that leave their derivative out are checked with that of their value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradagree import Activation, ErrorFunction, check
from gradagree.arithmetic import Ball, Rounded
from gradagree.arithmetic.model import model
from gradagree.functions.records import Disagreement
from gradagree.reference import taped
from gradagree.reference.parameters import ContractError

pytest.importorskip("torch")


class TapedSwish(Activation):
    """A(p) = p / (1 + exp(-p))."""

    def value(self, p: Any) -> Any:
        return p / (1 + np.exp(-p))

    def torch(self, p: Any, torch: Any) -> Any:
        return torch.nn.functional.silu(p)


class TapedSwishWithWrongBackward(TapedSwish):
    """The sigmoid is taken for a constant."""

    def torch(self, p: Any, torch: Any) -> Any:
        return p * torch.sigmoid(p.detach())


class WrittenSwish(TapedSwish):
    """With its derivative."""

    def derivative(self, p: Any) -> Any:
        s = 1 / (1 + np.exp(-p))
        return s + p * s * (1 - s)


class TapedSoftmax(Activation):
    """A(p) = exp p_i / sum_j exp p_j."""

    range = "simplex"

    def value(self, p: Any) -> Any:
        z = np.exp(p - np.max(p, axis=-1, keepdims=True))
        return z / np.sum(z, axis=-1, keepdims=True)

    def torch(self, p: Any, torch: Any) -> Any:
        return torch.softmax(p, -1)


class TapedRelu(Activation):
    """A(p) = max(p, 0)."""

    kinks = (0.0,)

    def value(self, p: Any) -> Any:
        return np.maximum(p, 0.0)

    def torch(self, p: Any, torch: Any) -> Any:
        return torch.relu(p)


class TapedFourths(ErrorFunction):
    """E = sum_i (o_i - t_i)^4."""

    def value(self, o: Any, t: Any) -> Any:
        return np.sum((o - t) ** 4, axis=(-2, -1))

    def torch(self, o: Any, t: Any, torch: Any) -> Any:
        return torch.sum((o - t) ** 4)


OWN = (TapedSwish, TapedSwishWithWrongBackward, WrittenSwish, TapedSoftmax, TapedRelu, TapedFourths)
for kind in OWN:
    kind.catalogue.pop(kind.name)


@pytest.fixture(autouse=True)
def own_functions(monkeypatch: pytest.MonkeyPatch) -> None:
    """These classes are in the catalogues during a test only."""
    for kind in OWN:
        monkeypatch.setitem(kind.catalogue, kind.name, kind)


@pytest.mark.parametrize("kind", [TapedSwish, TapedSoftmax, TapedRelu, TapedFourths])
def test_that_a_function_may_leave_its_derivative_out(kind: Any) -> None:
    records = check(kind, frameworks="torch", modes="backward")
    assert {record.derivative for record in records} == {"taped"}
    assert "agree" in {record.verdict.value for record in records}
    assert not any(record.verdict.fails for record in records)


def test_that_a_wrong_backward_pass_of_such_a_function_is_found() -> None:
    with pytest.raises(Disagreement, match="taped_swish_with_wrong_backward"):
        check(TapedSwishWithWrongBackward, frameworks="torch", modes="backward")


def test_that_a_derivative_of_ones_own_is_written() -> None:
    records = check(WrittenSwish, frameworks="torch", modes="backward")
    assert {record.derivative for record in records} == {"written"}


def test_that_an_activation_along_the_last_axis_is_recognised() -> None:
    assert TapedSoftmax().along_last_axis
    assert not TapedSwish().along_last_axis


def test_that_a_taped_sensitivity_is_the_gradient() -> None:
    assert TapedFourths().sensitivity(np.array([[1.0, 2.0]]), np.zeros((1, 2))).tolist() == [[4.0, 32.0]]


@pytest.mark.parametrize("arithmetic", [Ball.exact, lambda x: Rounded.stored(x, model("float32"))])
def test_that_a_taped_derivative_runs_in_every_arithmetic(arithmetic: Any) -> None:
    found = TapedSwish().derivative(arithmetic(np.array([0.0, 1.0])))
    middle = found.middle if isinstance(found, Ball) else found.value
    assert np.allclose(middle, [0.5, 0.9276705118714867], rtol=1e-15)


def test_that_a_constant_value_has_derivative_zero() -> None:
    assert taped.taped_vjp(lambda x: np.ones(2), np.zeros(2)).tolist() == [0.0, 0.0]


def test_that_the_tape_must_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taped, "TRACE", [])
    with pytest.raises(ContractError, match=r"import gradagree\.arithmetic first"):
        TapedSwish().derivative(np.ones(2))
