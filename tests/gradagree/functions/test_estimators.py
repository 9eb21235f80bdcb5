"""Straight-through estimators: their derivative is not that of the forward pass, so they need a reference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gradagree import assert_grads
from gradagree.errors import UsageError
from gradagree.functions.assertions import check_function

torch = pytest.importorskip("torch")
from gradagree.torch import gradcheck  # noqa: E402

X = torch.linspace(-2, 2.5, 8)


def straight_through(forward: Callable[..., Any], factor: float = 1.0) -> Any:
    class Estimator(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(_: Any, x: Any) -> Any:
            return forward(x)

        @staticmethod
        def backward(_: Any, g: Any) -> Any:
            return factor * g

    return Estimator.apply


def kept(x: Any) -> Any:
    return x + (torch.round(x) - x).detach()


@pytest.mark.parametrize(
    "forward", [torch.round, torch.sign, lambda x: (x > 0).to(x.dtype)], ids=["round", "sign", ">"]
)
def test_that_an_estimator_is_refused_in_one_sentence_with_its_places(forward: Any) -> None:
    message = (
        r"by args\[0\] is 0 everywhere \(aten\.\w+ at .*\.py:\d+\), but Estimator.backward \(.*\) .*: give a reference"
    )
    with pytest.raises(UsageError, match=message):
        assert_grads(straight_through(forward), (X,))
    with pytest.raises(UsageError, match=message):
        assert_grads(lambda x, w: torch.tanh(straight_through(forward)(x) * w), (X, X))


def test_that_an_estimator_with_a_reference_is_checked() -> None:
    assert_grads(straight_through(torch.round), (X,), reference=kept)
    report = check_function(straight_through(torch.round, 0.99), (X,), reference=kept)
    assert [record.label for record in report.failures] == ["gradient of args[0]"]


def test_that_a_gradient_of_an_argument_without_influence_is_still_found() -> None:
    class Swapped(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(_: Any, x: Any, unused: Any) -> Any:
            return torch.round(x) + 0 * unused

        @staticmethod
        def backward(_: Any, g: Any) -> Any:
            return torch.zeros_like(g), g

    report = check_function(Swapped.apply, (X, X))
    assert [record.label for record in report.failures] == ["gradient of args[1]"]


def test_that_the_message_names_a_step_function_beside_other_operations() -> None:
    report = check_function(straight_through(lambda x: torch.sign(x) * x.abs().mean()), (X,))
    (failure,) = report.failures
    assert "is wrong, unless it replaces the derivative 0 of aten.sign (" in failure.reason


def test_that_all_operations_without_a_numpy_form_are_named_with_their_places() -> None:
    def function(x: Any) -> Any:
        return torch.special.airy_ai(x) * torch.special.bessel_y0(x)

    with pytest.raises(
        UsageError, match=r"known: aten.special_airy_ai \(called at .*\), aten.special_bessel_y0 .*; give a ref"
    ):
        gradcheck(function, X.clone().requires_grad_())
