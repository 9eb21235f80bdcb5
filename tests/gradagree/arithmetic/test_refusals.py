"""What has no rule is an error that names it and says what to write, and what it says to write works."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from scipy import special

from gradagree.arithmetic import Ball, Dual, NoRule, Rounded
from gradagree.arithmetic.ball import precision
from gradagree.arithmetic.duck import INSTEAD
from gradagree.arithmetic.model import model
from gradagree.arithmetic.variance import Variance

NUMBERS = np.array([[1.0, -2.0, 3.0], [0.5, 4.0, -0.25]])
KINDS: dict[str, Callable[[Any], Any]] = {
    "rounded": lambda x: Rounded(x, np.abs(x) / 64, model("float32")),
    "dual": lambda x: Dual(np.asarray(x), np.asarray(x) * 32),
    "ball": Ball.exact,
    "variance": lambda x: Variance.stored(x, model("float32")),
}
each_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(autouse=True)
def working_precision() -> Iterator[None]:
    with precision(200):
        yield


UNKNOWN: list[tuple[str, Callable[[Any], Any]]] = [
    ("unwrap", np.unwrap), ("histogram", np.histogram), ("j0", special.j0), ("frexp", np.frexp),
    ("allclose", lambda x: np.allclose(x, x)), ("add.outer", lambda x: np.add.outer(x, x)), ("erfi", special.erfi),
    ("multiply.accumulate", None), ("hypot.reduce", np.hypot.reduce), ("percentile", lambda x: np.percentile(x, 50)),
    ("any", np.any),
    ("logical_and", lambda x: np.logical_and(x, x)), ("gcd", lambda x: np.gcd(x, 2)), ("unique", np.unique),
    ("nextafter", lambda x: np.nextafter(x, 1.0)), ("convolve", lambda x: np.convolve(x[0], x[1])),
    ("add.at", lambda x: np.add.at(x, 0, 1.0)), ("interp", lambda x: np.interp(x, [0.0, 1.0], [0.0, 2.0])),
]  # fmt: skip
UNKNOWN = [(name, function) for name, function in UNKNOWN if function is not None]


@each_kind
@pytest.mark.parametrize(("name", "function"), UNKNOWN, ids=[name for name, _ in UNKNOWN])
def test_that_a_function_without_a_rule_is_an_error_that_names_it_and_those_that_have_one(
    kind: str, name: str, function: Any
) -> None:
    x = KINDS[kind](NUMBERS)
    with pytest.raises(NoRule, match=f"^{kind} arithmetic does not support {re.escape(name)}; ") as caught:
        function(x)
    assert set(str(caught.value).split(": ")[1].split(", ")) == type(x).known()


@pytest.mark.parametrize(
    ("function", "near"),
    [(special.erfi, "erf"), (special.expn, "exp"), (np.nanmax, "amax"), (special.gammaincinv, "gamma")],
)
def test_that_the_nearest_function_is_named(function: Any, near: str) -> None:
    x = KINDS["rounded"](NUMBERS)
    with pytest.raises(NoRule, match=r"; did you mean \w+\? write") as caught:
        function(x, x) if function in (special.expn, special.gammaincinv) else function(x)
    assert re.search(r"mean (\w+)\?", str(caught.value))[1].startswith(near)  # type: ignore[index]


@each_kind
@pytest.mark.parametrize("function", [special.logsumexp, special.softmax, special.log_softmax])
def test_that_a_function_of_scipy_that_takes_arrays_apart_is_named_and_what_is_to_be_written_works(
    kind: str, function: Any
) -> None:
    x = KINDS[kind](NUMBERS)
    with pytest.raises(NoRule, match=f"^{kind} arithmetic does not support {function.__name__}, which") as caught:
        function(x, axis=-1)
    advice = str(caught.value).split("; write ")[1]
    assert advice == INSTEAD[function.__name__]
    *before, last = advice.split(", then ")
    names: dict[str, Any] = {"np": np, "x": KINDS["rounded"](NUMBERS)}
    for statement in before:
        exec(statement, names)
    found = eval(last, names)
    assert (np.abs(found.value - function(NUMBERS, axis=-1)) <= found.radius).all()


@each_kind
@pytest.mark.parametrize(
    "function",
    [np.asarray, lambda x: np.array([x, x]), np.vectorize(float), lambda x: np.asarray(x, dtype=np.float64)],
    ids=["asarray", "array", "vectorize", "dtype"],
)
def test_that_an_ordinary_array_is_never_made(kind: str, function: Any) -> None:
    with pytest.raises(NoRule, match=f"^{kind} arithmetic does not support np.asarray, which needs ordinary arrays"):
        function(KINDS[kind](NUMBERS))


def test_that_the_derivatives_of_digamma_are_named() -> None:
    with pytest.raises(NoRule, match=r"does not support polygamma, .*; write digamma\(x\) and zeta\(n \+ 1, x\)"):
        special.polygamma(1, KINDS["rounded"](NUMBERS))


@each_kind
def test_that_an_entry_is_no_float(kind: str) -> None:
    x = KINDS[kind](NUMBERS)
    for ask in (lambda: float(x[0, 0]), lambda: x[0, 0].item(), lambda: x.item(0), x.tolist):
        with pytest.raises(NoRule, match=f"an entry of a {kind} array is not a float; use NumPy functions"):
            ask()
    with pytest.raises(NoRule, match=f"{kind} arrays do not support item assignment; use np.where"):
        x[0] = 1.0
    with pytest.raises(NoRule, match=f"the truth value of {kind} arrays is not known; use np.where instead of if"):
        bool(x)


@each_kind
def test_that_changing_an_array_in_place_is_an_error_that_says_what_to_write(kind: str) -> None:
    x, plain = KINDS[kind](NUMBERS), NUMBERS.copy()
    for name, change in (("add", operator.iadd), ("multiply", operator.imul), ("power", operator.ipow)):
        for changed in (x, plain):
            with pytest.raises(NoRule, match=f"{kind} arrays cannot be changed in place by {name}; write x = x \\+ y"):
                change(changed, x)
    for name, function in (
        ("exp", np.exp),
        ("sum", np.sum),
        ("take", lambda x, out: np.take(x, [[0] * 3] * 2, out=out)),
    ):
        with pytest.raises(NoRule, match=f"cannot be changed in place by {name}"):
            function(x, out=plain)
    np.testing.assert_array_equal(plain, NUMBERS)


ARGUMENTS: list[tuple[str, Callable[[Any], Any]]] = [
    ("sum", lambda x: np.sum(x, where=NUMBERS > 0)), ("sum", lambda x: np.sum(x, initial=2.0)),
    ("sum", lambda x: np.sum(x, dtype=np.float32)), ("sum", lambda x: np.sum(x, 0, np.float32)),
    ("max", lambda x: np.max(x, initial=1.0)), ("add", lambda x: np.add(x, 1.0, where=NUMBERS > 0)),
    ("exp", lambda x: np.exp(x, dtype=np.float32)), ("diff", lambda x: np.diff(x, prepend=0.0)),
    ("average", lambda x: np.average(x, returned=True)), ("clip", lambda x: np.clip(x, 0, 1, dtype=np.float32)),
]  # fmt: skip


@each_kind
@pytest.mark.parametrize(("name", "function"), ARGUMENTS, ids=[f"{k}-{name}" for k, (name, _) in enumerate(ARGUMENTS)])
def test_that_an_argument_that_no_rule_takes_is_an_error(kind: str, name: str, function: Any) -> None:
    with pytest.raises(NoRule, match=f"{kind} arithmetic supports {name}, but not with these arguments: "):
        function(KINDS[kind](NUMBERS))


@each_kind
def test_that_arguments_that_say_nothing_are_taken(kind: str) -> None:
    x = KINDS[kind](NUMBERS)
    expected = np.sum(x, axis=0)
    for same in (
        np.sum(x, 0, None), np.sum(x, 0, float, None, False), np.add.reduce(x, axis=0, dtype=None, out=None),
        np.add.reduce(x, 0, initial=np._NoValue, where=True), x.sum(0, dtype=np.float64),
    ):  # fmt: skip
        assert [np.asarray(part).tolist() for part in same._parts()] == [p.tolist() for p in expected._parts()]
    assert np.sum(x, 0, None, None, True).shape == (1, 3)


OTHERS: list[tuple[str, Callable[[Any], Any]]] = [
    ("vectors", lambda x: np.linalg.norm(x, 2)), ("counts entries", lambda x: np.linalg.norm(x[0], 0)),
    ("float", lambda x: x.astype(np.float32)), ("'mean'", lambda x: np.pad(x, 1, mode="mean")),
    ("zeta", lambda x: special.zeta(x, 2.0)),
    ("different lengths", lambda x: np.einsum("ii", x)), ("does not fit", lambda x: np.einsum("i", x)),
]  # fmt: skip


@each_kind
@pytest.mark.parametrize(("advice", "function"), OTHERS, ids=[advice for advice, _ in OTHERS])
def test_that_what_a_rule_does_not_know_is_an_error_with_advice(kind: str, advice: str, function: Any) -> None:
    with pytest.raises(NoRule, match=advice):
        function(KINDS[kind](NUMBERS))


def test_that_a_place_that_is_not_decided_is_an_error() -> None:
    sure = Rounded([[1.0, 5.0, 2.0], [7.0, 7.0, 3.0]], 0.0, model("float32"))
    assert np.argmax(sure, axis=-1).tolist() == [1, 0]
    assert np.argmin(sure, axis=0, keepdims=True).tolist() == [[0, 0, 0]]
    assert np.argsort(sure[0] + 1).tolist() == [0, 2, 1]
    near = Rounded([1.0, 1.5, -9.0], [0.25, 0.25, 0.0], model("float32"))
    for place in (np.argmax, np.argsort):
        with pytest.raises(NoRule, match=f"np.{place.__name__} is undecided for numbers known only within"):
            place(near)
    assert np.argmin(near) == 2
    with pytest.raises(NoRule, match="undecided"):
        np.argmax(sure.widen(1e-9), axis=-1)
    with pytest.raises(NoRule, match="undecided"):
        np.argsort(sure)
