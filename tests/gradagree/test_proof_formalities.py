"""Formulas that cannot be proved: of other shapes, with errors, not finite, or unable to travel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.special import expit

from gradagree import Activation, ErrorFunction
from gradagree.errors import UsageError
from gradagree.proof import prove
from gradagree.reference.activations import Sigmoid, Tanh
from gradagree.reference.errors import SumOfSquares


@pytest.fixture(autouse=True)
def catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test adds to the catalogues is gone after it."""
    for kind in (Activation, ErrorFunction):
        monkeypatch.setattr(kind, "catalogue", dict(kind.catalogue))


class _Summed(Tanh):
    def derivative(self, p: Any) -> Any:
        return np.sum(super().derivative(p))


class _Widened(Tanh):
    def value(self, p: Any) -> Any:
        return np.tanh(p)[..., None]


class _PerExample(SumOfSquares):
    def value(self, o: Any, t: Any) -> Any:
        return np.sum((o - t) ** 2, axis=-1)


class _SensitivityOfSum(SumOfSquares):
    def sensitivity(self, o: Any, t: Any) -> Any:
        return np.sum(2 * (o - t), axis=-1)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (_Summed(), r"tanh: derivative returns shape \(\) for an array of shape \(\d+,\)"),
        (_Widened(), r"tanh: value returns shape \(\d+, 1\) for an array of shape \(\d+,\)"),
        (_PerExample(), r"sse: value has shape \(3,\); it must sum over the last two axes"),
        (_SensitivityOfSum(), r"sse: sensitivity returns shape \(3,\) for an array of shape \(3, 4\)"),
    ],
    ids=repr,
)
def test_that_another_shape_is_told(function: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        prove(function)


class _Branched(Tanh):
    def value(self, p: Any) -> Any:
        return p if p > 0 else 0 * p


class _Unruled(Tanh):
    def value(self, p: Any) -> Any:
        return np.unwrap(p)


class _Misspelled(Tanh):
    def derivative(self, p: Any) -> Any:
        return np.tanhh(p)


@pytest.mark.parametrize(
    ("function", "message"),
    [(_Branched(), "ambiguous"), (_Unruled(), "no rule for"), (_Misspelled(), "tanhh")],
    ids=repr,
)
def test_that_a_formula_that_fails_is_named_with_its_error(function: Any, message: str) -> None:
    with pytest.raises(
        UsageError, match=rf"tanh: .*Error in its formula: .*{message}|tanh: NoRule in its formula: .*{message}"
    ) as caught:
        prove(function)
    assert caught.value.__cause__ is not None


class _Undefined(Tanh):
    def derivative(self, p: Any) -> Any:
        return np.where(p > 0, super().derivative(p), np.nan)


class _Infinite(Sigmoid):
    def derivative(self, p: Any) -> Any:
        return expit(p) / (p - p)


@pytest.mark.parametrize("function", [_Undefined(), _Infinite()], ids=repr)
def test_that_a_derivative_that_is_not_finite_where_the_slope_is_is_found(function: Any) -> None:
    with pytest.raises(UsageError, match=r"derivative is not finite at p = .*where the slope of value is"):
        prove(function)


def test_that_a_function_that_cannot_travel_is_refused() -> None:
    class Local(Activation):
        def value(self, p: Any) -> Any:
            return p * 2

        def derivative(self, p: Any) -> Any:
            return 2 * np.ones_like(p)

    with pytest.raises(UsageError, match="local cannot be sent to another process"):
        prove(Local())


class _Changing(Tanh):
    def __reduce__(self) -> Any:
        return (Sigmoid, ())


def test_that_a_function_that_arrives_as_another_is_refused() -> None:
    with pytest.raises(UsageError, match="a copy sent to another process is not equal to it"):
        prove(_Changing())
