"""Canonical texts: what they stand for, what is refused, and what reading one back gives."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from gradagree.reference import Activation, ContractError, ErrorFunction
from gradagree.reference.activations import Elu, Hardtanh, Identity, LeakyRelu, Silu, Softplus, Tanh
from gradagree.reference.errors import Huber, SoftmaxCrossEntropy, SumOfSquares


@pytest.fixture(autouse=True)
def catalogues_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """A class made inside a test registers itself; it leaves with the test."""
    monkeypatch.setattr(Activation, "catalogue", dict(Activation.catalogue))


def method(*args: Any) -> Any:
    """Stands for any method."""
    return args[1]


def complaint(base: Any, text: str) -> str:
    """What the contract expected to a text that stands for no function."""
    with pytest.raises(ContractError) as caught:
        base.named(text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("base", "text", "expected"),
    [
        (Activation, "tahn", "unknown activation 'tahn'; did you mean 'tanh'?"),
        (Activation, "qqqq", "unknown activation 'qqqq'; known: "),
        (ErrorFunction, "hubber", "unknown error function 'hubber'; did you mean 'huber'?"),
        (Activation, "tanh(3", "'tanh(3' is no activation: write NAME or NAME(parameter=number)"),
        (Activation, "", "'' is no activation: write NAME or NAME(parameter=number)"),
        (ErrorFunction, "s s e", "'s s e' is no error function: write NAME or NAME(parameter=number)"),
        (Activation, "tanh(beta=2)", "tanh has no parameter 'beta'; it has: none"),
        (Activation, "elu(beta=2)", "elu has no parameter 'beta'; it has: alpha"),
        (Activation, "elu(2)", "elu has no parameter '2'; it has: alpha"),
        (Activation, "elu(alpha=two)", "elu: alpha='two' is no float"),
        (Activation, "elu(alpha=)", "elu: alpha='' is no float"),
        (Activation, "elu(alpha=inf)", "elu: alpha=inf is not finite"),
        (Activation, "elu(alpha=nan)", "elu: alpha=nan is not finite"),
        (ErrorFunction, "huber(delta=-inf)", "huber: delta=-inf is not finite"),
    ],
)
def test_that_a_text_that_stands_for_nothing_is_refused_with_advice(base: Any, text: str, expected: str) -> None:
    assert complaint(base, text).startswith(expected)


SOME = [
    Identity(), Tanh(), LeakyRelu(), LeakyRelu(negative_slope=0.25), LeakyRelu(negative_slope=1e-300),
    LeakyRelu(negative_slope=-0.1), Hardtanh(min_val=-0.5), Hardtanh(min_val=-2.5, max_val=1 / 3), Softplus(beta=1e22),
    SumOfSquares(), Huber(delta=0.1), SoftmaxCrossEntropy(),
]  # fmt: skip


@pytest.mark.parametrize("function", SOME, ids=str)
def test_that_canonical_text_repr_and_pickle_make_an_equal_function(function: Any) -> None:
    base = Activation if isinstance(function, Activation) else ErrorFunction
    again = [base.named(str(function)), eval(repr(function)), pickle.loads(pickle.dumps(function))]
    assert again == [function] * 3
    assert {hash(made) for made in again} == {hash(function)}


def test_that_functions_with_other_parameters_are_not_equal() -> None:
    assert len({str(function) for function in SOME}) == len(set(SOME)) == len(SOME)


@pytest.mark.parametrize("value", [True, 3, -2.5], ids=repr)
def test_that_parameters_of_each_kind_are_read_back(value: Any) -> None:
    members = {"value": method, "derivative": method, "x": type(value)(), "__annotations__": {"x": type(value)}}
    made: Any = type("Kinds", (Activation,), members)
    again = made.named(str(made(x=value)))
    assert again == made(x=value)
    assert type(again.x) is type(value)


def test_that_numpy_numbers_are_read_back() -> None:
    assert Activation.named(str(Elu(alpha=np.float64(0.25)))) == Elu(alpha=0.25)


def test_that_defaults_are_left_out_of_the_canonical_text() -> None:
    assert [str(f) for f in (Tanh(), Elu(), Elu(alpha=1), Hardtanh(-1.0, 2.0))] == [
        "tanh", "elu", "elu", "hardtanh(max_val=2.0)",
    ]  # fmt: skip


def test_that_spaces_and_empty_parentheses_are_read() -> None:
    assert Activation.named(" hardtanh ( min_val = -2 , max_val=3.5 ) ") == Hardtanh(min_val=-2.0, max_val=3.5)
    assert Activation.named("tanh()") == Tanh()


@pytest.mark.parametrize(
    ("base", "alias", "function"),
    [
        (Activation, "identity", Identity()),
        (Activation, "linear", Identity()),
        (Activation, "swish", Silu()),
        (ErrorFunction, "sum_of_squares", SumOfSquares()),
        (ErrorFunction, "softmax_cross_entropy", SoftmaxCrossEntropy()),
    ],
)
def test_that_an_alias_stands_for_its_function(base: Any, alias: str, function: Any) -> None:
    assert base.named(alias) == function


@pytest.mark.parametrize("base", [Activation, ErrorFunction])
def test_that_every_alias_leads_somewhere_and_hides_no_name(base: Any) -> None:
    ours = {name for name, made in base.catalogue.items() if made.__module__.startswith("gradagree.reference")}
    assert set(base.aliases.values()) <= ours
    assert set(base.aliases).isdisjoint(ours)
