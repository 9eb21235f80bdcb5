"""The function that an implementation calls is named, and is the framework's own or a formula."""

from __future__ import annotations

import pytest

from gradagree.adapters import Adapter
from gradagree.reference import Activation, ErrorFunction
from gradagree.surveys.calls import library_call


@pytest.mark.parametrize(
    ("function", "library", "call", "is_own"),
    [
        ("tanh", "torch", "torch.tanh", True),
        ("gelu", "torch", "torch.nn.functional.gelu", True),
        ("erf", "jax", "jax.scipy.special.erf", True),
        ("squareplus", "torch", "torch.sqrt", False),
        ("mse", "torch", "torch.nn.functional.mse_loss", True),
        ("smooth_l1", "jax", "a formula of jax.numpy.abs, jax.numpy.where", False),
        ("log_cosh", "optax", "optax.log_cosh", True),
        ("tanh", "optax", "", False),
    ],
)
def test_that_the_called_function_is_named(function: str, library: str, call: str, is_own: bool) -> None:
    kind = Activation if function in Activation.catalogue else ErrorFunction
    assert library_call(kind.named(function), library) == (call, is_own)


def test_that_without_source_text_of_the_framework_a_call_is_a_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Adapter.catalogue["torch"], "script", None)
    assert library_call(Activation.named("tanh"), "torch") == ("a formula", False)
