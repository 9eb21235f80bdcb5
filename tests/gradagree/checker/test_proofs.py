"""A derivative that does not match its value is found before any framework runs; the catalogue is proved."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.special import expit

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
    """Functions that a test adds to the catalogues are removed after it."""
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
def test_that_a_small_error_of_a_derivative_is_found(kind: type[Activation], method: str, by: float) -> None:
    derived = "vjp" if kind().along_last_axis else "derivative"
    with pytest.raises(
        UsageError, match=rf"{derived} does not match value: at p = .* but the derivative of value is .*\(proved\)"
    ):
        prove_derivatives(nudged(kind, derived if method == "derivative" else method, by))


@pytest.mark.parametrize("kind", ErrorFunction.catalogue.values(), ids=str)
@pytest.mark.parametrize("by", [TINY, -TINY, 1e-6, -2.0])
@pytest.mark.parametrize("method", ["value", "sensitivity"])
def test_that_a_small_error_of_a_loss_gradient_is_found(kind: type[ErrorFunction], method: str, by: float) -> None:
    with pytest.raises(
        UsageError, match=r"sensitivity does not match value: at o = .* but the derivative of value is .*\(proved\)"
    ):
        prove_derivatives(nudged(kind, method, by))


def test_that_rounded_constants_are_accepted() -> None:
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


def test_that_the_message_has_a_point_and_two_numbers() -> None:
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
def test_that_a_wrong_shape_is_reported(function: Any, message: str) -> None:
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
def test_that_a_non_finite_derivative_of_a_smooth_value_is_found(function: Any) -> None:
    with pytest.raises(UsageError, match=r"derivative is not finite at p = .*where the derivative of value is"):
        prove_derivatives(function)


def test_that_a_function_that_cannot_be_pickled_is_rejected() -> None:
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


def test_that_a_function_unequal_to_its_copy_is_rejected() -> None:
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
def test_that_a_message_has_a_remedy(function: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        prove_derivatives(function)
    assert "\n" not in str(caught.value)


def test_that_the_message_for_an_unpicklable_function_has_a_remedy() -> None:
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


class _WrongBeyondSixteen(Activation):
    name = "_wrong_beyond_sixteen"

    def value(self, p: Any) -> Any:
        return np.tanh(p) + p

    def derivative(self, p: Any) -> Any:
        return np.where(np.abs(p) > 16, 2.0, 2 - np.tanh(p) ** 2)


class _UnmaskedTukey(ErrorFunction):
    """Tukey's biweight is constant where |o - t| > 4; its derivative lacks the mask."""

    name = "_unmasked_tukey"

    def value(self, o: Any, t: Any) -> Any:
        u = np.where(np.abs(o - t) > 4, 1.0, ((o - t) / 4) ** 2)
        return np.sum(16 / 6 * (1 - (1 - u) ** 3), axis=(-2, -1))

    def sensitivity(self, o: Any, t: Any) -> Any:
        return (o - t) * (1 - ((o - t) / 4) ** 2) ** 2


@pytest.mark.parametrize("function", [_WrongBeyondSixteen(), _UnmaskedTukey()], ids=str)
def test_that_a_derivative_that_is_wrong_in_the_tails_is_refused(function: Any) -> None:
    with pytest.raises(UsageError, match=r"does not match value: at [po] = .* \(proved\); correct"):
        prove_derivatives(function)
