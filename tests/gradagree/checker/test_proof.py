"""A derivative that does not match its value is found before any framework is asked; the catalogue is proved."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradagree import Activation, ErrorFunction
from gradagree.arithmetic.dual import Dual
from gradagree.checker.proofs import prove_derivatives, sample_batch
from gradagree.errors import UsageError
from gradagree.reference.activations import Elu, Gelu, LeakyRelu, Sigmoid, Softplus, Tanh
from gradagree.reference.errors import MeanSquared, SumOfSquares

TINY = 1e-13
PARAMETERS = [
    Elu(alpha=0.3), LeakyRelu(negative_slope=-0.7), LeakyRelu(negative_slope=1.0), Softplus(beta=2.5),
    Activation.named("hardtanh(min_val=-0.25,max_val=3.0)"), ErrorFunction.named("huber(delta=0.1)"),
]  # fmt: skip


@pytest.fixture(autouse=True)
def catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test adds to the catalogues is gone after it."""
    for kind in (Activation, ErrorFunction):
        monkeypatch.setattr(kind, "catalogue", dict(kind.catalogue))


@pytest.mark.parametrize("kind", [*Activation.catalogue.values(), *ErrorFunction.catalogue.values()])
def test_that_the_catalogue_is_proved(kind: Any) -> None:
    prove_derivatives(kind())


@pytest.mark.parametrize("function", PARAMETERS, ids=str)
def test_that_functions_with_other_parameters_are_proved(function: Any) -> None:
    prove_derivatives(function)


def nudged(kind: type[Any], method: str, by: float) -> Any:
    """A function of the catalogue with one method wrong by a relative error."""
    base = getattr(kind, method)
    return type(f"_{kind.__name__}", (kind,), {method: lambda self, *x: base(self, *x) * (1 + by)})()


@pytest.mark.parametrize("kind", [k for name, k in Activation.catalogue.items()], ids=str)
@pytest.mark.parametrize("by", [TINY, -TINY, 1e-6, 1.0, -2.0])
@pytest.mark.parametrize("method", ["value", "derivative"])
def test_that_a_derivative_that_is_off_by_a_little_is_found(kind: type[Activation], method: str, by: float) -> None:
    derived = "vjp" if kind().along_last_axis else "derivative"
    with pytest.raises(
        UsageError, match=rf"{derived} does not match value: at p = .* but the derivative of value is .*\(proved\)"
    ):
        prove_derivatives(nudged(kind, derived if method == "derivative" else method, by))


@pytest.mark.parametrize("kind", ErrorFunction.catalogue.values(), ids=str)
@pytest.mark.parametrize("by", [TINY, -TINY, 1e-6, -2.0])
@pytest.mark.parametrize("method", ["value", "sensitivity"])
def test_that_a_sensitivity_that_is_off_by_a_little_is_found(kind: type[ErrorFunction], method: str, by: float) -> None:
    with pytest.raises(
        UsageError, match=r"sensitivity does not match value: at o = .* but the derivative of value is .*\(proved\)"
    ):
        prove_derivatives(nudged(kind, method, by))


def test_that_rounded_constants_are_no_reason_to_complain() -> None:
    class _Scaled(Tanh):
        def value(self, p: Any) -> Any:
            return np.tanh(p * 0.1)

        def derivative(self, p: Any) -> Any:
            return (1 - np.tanh(p / 10) ** 2) / 10

    with pytest.raises(UsageError, match="cannot be sent"):
        prove_derivatives(_Scaled())
    with pytest.raises(UsageError, match="does not match"):
        prove_derivatives(nudged(_Scaled, "derivative", TINY))


class _OneSided(Gelu):
    """Right for positive p only."""

    def derivative(self, p: Any) -> Any:
        return np.where(p > 0, super().derivative(p), 0.0)


class _Far(Sigmoid):
    """Right within [-8, 8] only."""

    def derivative(self, p: Any) -> Any:
        return np.where(np.abs(p) < 8, super().derivative(p), 0.0)


class _Swapped(SumOfSquares):
    def sensitivity(self, o: Any, t: Any) -> Any:
        return 2 * (t - o)


class _SummedNotMeant(MeanSquared):
    def sensitivity(self, o: Any, t: Any) -> Any:
        return 2 * (o - t)


class _WithoutTarget(SumOfSquares):
    def sensitivity(self, o: Any, t: Any) -> Any:
        return 2 * o


@pytest.mark.parametrize("function", [_OneSided(), _Far(), _Swapped(), _SummedNotMeant(), _WithoutTarget()], ids=repr)
def test_that_a_mistake_anywhere_is_found(function: Any) -> None:
    with pytest.raises(UsageError, match="does not match value"):
        prove_derivatives(function)


def test_that_what_is_wrong_is_told_with_a_point_and_two_numbers() -> None:
    with pytest.raises(UsageError) as caught:
        prove_derivatives(nudged(Tanh, "derivative", 1.0))
    words = str(caught.value).split()
    p, given, true = (float(words[words.index(before) + 1].strip(",")) for before in ("=", "gives", "is"))
    assert given == 2 * (1 - np.tanh(p) ** 2) or abs(given - 2 * true) <= np.spacing(given)
    assert str(caught.value).startswith("tanh: derivative does not match value: at p = ")
    assert str(caught.value).endswith("correct derivative, or value")


@pytest.mark.parametrize("name", ErrorFunction.catalogue)
def test_that_examples_have_targets_of_the_right_kind_and_lie_on_no_kink(name: str) -> None:
    error = ErrorFunction.named(name)
    o, t = sample_batch(error)
    assert t.shape == ((3,) if error.targets == "classes" else (3, error.width(o.shape[1])))
    assert not np.any(error.kink(o, t))
    if error.targets == "bits":
        assert set(np.unique(t)) <= {0.0, 1.0}
    assert np.isfinite(Dual(o, np.ones(o.shape)).value).all()
