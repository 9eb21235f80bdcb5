"""Formulas that cannot be proved: of other shapes, with errors, not finite, or unable to travel."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.special import expit

from gradagree import Activation, ErrorFunction
from gradagree.checker.proofs import prove_derivatives
from gradagree.errors import UsageError
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
        (
            _PerExample(),
            r"sse: value has shape \(3,\) for outputs of shape \(3, 4\); it must sum over the last two axes",
        ),
        (_SensitivityOfSum(), r"sse: sensitivity returns shape \(3,\) for an array of shape \(3, 4\)"),
    ],
    ids=repr,
)
def test_that_another_shape_is_told(function: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        prove_derivatives(function)


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
    [(_Branched(), "ambiguous"), (_Unruled(), "does not support unwrap"), (_Misspelled(), "tanhh")],
    ids=repr,
)
def test_that_a_formula_that_fails_is_named_with_its_error(function: Any, message: str) -> None:
    with pytest.raises(UsageError, match=rf"tanh: (\w*Error|NoRule) in its formula, line \d+: .*{message}") as caught:
        prove_derivatives(function)
    assert caught.value.__cause__ is not None


class _Undefined(Tanh):
    def derivative(self, p: Any) -> Any:
        return np.where(p > 0, super().derivative(p), np.nan)


class _Infinite(Sigmoid):
    def derivative(self, p: Any) -> Any:
        return expit(p) / (p - p)


@pytest.mark.parametrize("function", [_Undefined(), _Infinite()], ids=repr)
def test_that_a_derivative_that_is_not_finite_where_the_slope_is_is_found(function: Any) -> None:
    with pytest.raises(UsageError, match=r"derivative is not finite at p = .*where the derivative of value is"):
        prove_derivatives(function)


def test_that_a_function_that_cannot_travel_is_refused() -> None:
    class Local(Activation):
        def value(self, p: Any) -> Any:
            return p * 2

        def derivative(self, p: Any) -> Any:
            return 2 * np.ones_like(p)

    with pytest.raises(UsageError, match="local cannot be sent to another process"):
        prove_derivatives(Local())


class _Changing(Tanh):
    def __reduce__(self) -> Any:
        return (Sigmoid, ())


def test_that_a_function_that_arrives_as_another_is_refused() -> None:
    with pytest.raises(UsageError, match="a copy sent to another process is not equal to it"):
        prove_derivatives(_Changing())


class _Scalar(Tanh):
    def derivative(self, p: Any) -> Any:
        return 1.0


class _Nothing(Tanh):
    def value(self, p: Any) -> Any:
        np.tanh(p)


class _Listed(Tanh):
    def value(self, p: Any) -> Any:
        return [np.tanh(x) for x in p]


class _Logarithm(Tanh):
    def value(self, p: Any) -> Any:
        return np.log(p)


class _Mathematical(Tanh):
    def value(self, p: Any) -> Any:
        return math.tanh(p)


class _Looped(Tanh):
    def value(self, p: Any) -> Any:
        return np.array([x if x > 0 else 0.0 for x in p])


class _Apart(Tanh):
    def value(self, p: Any) -> Any:
        return np.vectorize(lambda x: np.tanh(float(x)), otypes=[float])(p)


class _Everything(SumOfSquares):
    def value(self, o: Any, t: Any) -> Any:
        return np.sum((o - t) ** 2)


WHOLE = r"write it with NumPy's functions on whole arrays, such as np.tanh and np.where"


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (_Scalar(), r"must work entry by entry on arrays of any shape; a constant is 1\.0 \* np\.ones_like\(p\)$"),
        (_Nothing(), r"tanh: value returns nothing, not an array: end it with `return` and the formula"),
        (_Listed(), r"tanh: value returns a list, not an array: end it with `return` and the formula"),
        (_Logarithm(), r"tanh: value is NaN at p = -\d.*: correct value, or set the domain of p, for example domain ="),
        (
            _Branched(),
            r"line \d+: .*; write np\.where\(condition, this, that\) in place of if, and np\.maximum in place",
        ),
        (_Mathematical(), rf"tanh: TypeError in its formula, line \d+: .*; {WHOLE}, not math's"),
        (
            _Looped(),
            rf"tanh: (value returns an array of single numbers: {WHOLE}|\w+ in its formula, line \d+: .*write)",
        ),
        (_Apart(), rf"tanh: (value returns an array of single numbers: {WHOLE}|\w+ in its formula, line \d+: .*write)"),
        (
            _Everything(),
            r"sse: value has shape \(\) for outputs of shape \(2, 3, 4\); .*: np\.sum\(\.\.\., axis=\(-2, -1\)\)",
        ),
        (
            _Undefined(),
            r"derivative is not finite at p = -\d.*, where the derivative of value is \d.*; correct derivative",
        ),
    ],
    ids=repr,
)
def test_that_a_message_says_what_to_do(function: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        prove_derivatives(function)
    assert "\n" not in str(caught.value)


def test_that_a_function_that_cannot_travel_is_told_how_it_could() -> None:
    class Held(Activation):
        f: Any = lambda x: x

        def value(self, p: Any) -> Any:
            return p * 2

        def derivative(self, p: Any) -> Any:
            return 2 * np.ones_like(p)

    with pytest.raises(
        UsageError, match=r"write its class at the left margin of its file, with parameters that are num"
    ):
        prove_derivatives(Held())
