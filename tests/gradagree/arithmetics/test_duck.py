"""What all arithmetics share: functions without a rule are errors that name them, and structure moves whole entries."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from scipy import special

from gradagree.arithmetics import Ball, Dual, NoRule, Rounded
from gradagree.arithmetics.ball import precision
from gradagree.arithmetics.duck import JOINING, SHAPES, STRUCTURAL, Duck
from gradagree.arithmetics.model import model

NUMBERS = np.array([[1.0, -2.0, 3.0], [0.5, 4.0, -0.25]])
OTHERS = NUMBERS[::-1] * 8 + 1


def rounded(x: Any) -> Rounded:
    return Rounded(x, np.abs(x) / 64, model("float32"))


def dual(x: Any) -> Dual:
    return Dual(np.asarray(x), np.asarray(x) * 32)


@pytest.fixture(autouse=True)
def working_precision() -> Iterator[None]:
    with precision(200):
        yield


KINDS: dict[str, Callable[[Any], Any]] = {"rounded": rounded, "dual": dual, "ball": Ball.exact}
each_kind = pytest.mark.parametrize("kind", KINDS)


def parts(x: Any) -> list[list[float]]:
    """The components as lists of floats."""
    return [np.asarray(part, dtype=object).astype(float).tolist() for part in x._parts()]


UNKNOWN: list[tuple[str, Callable[[Any], Any]]] = [
    ("norm", np.linalg.norm), ("inv", np.linalg.inv), ("fft", np.fft.fft), ("rfft2", np.fft.rfft2), ("sort", np.sort),
    ("gamma", special.gamma), ("j0", special.j0), ("floor", np.floor), ("isfinite", np.isfinite), ("var", np.var),
    ("dot", lambda x: np.dot(x, x)), ("einsum", lambda x: np.einsum("ij->", x)), ("argmax", np.argmax),
    ("remainder", lambda x: x % 2), ("floor_divide", lambda x: x // 2), ("arctan2", lambda x: np.arctan2(x, x)),
    ("allclose", lambda x: np.allclose(x, x)), ("add.outer", lambda x: np.add.outer(x, x)), ("cumsum", np.cumsum),
    ("multiply.reduce", np.multiply.reduce), ("add.accumulate", np.add.accumulate), ("prod", np.prod),
]  # fmt: skip


@each_kind
@pytest.mark.parametrize(("name", "function"), UNKNOWN, ids=[name for name, _ in UNKNOWN])
def test_that_a_function_without_a_rule_is_an_error_that_names_it_and_those_that_have_one(
    kind: str, name: str, function: Any
) -> None:
    x = KINDS[kind](NUMBERS)
    with pytest.raises(NoRule, match=f"^{kind} arithmetic has no rule for {re.escape(name)}; ") as caught:
        function(x)
    known = {rule.__name__ for rule in type(x).rules}
    assert set(str(caught.value).split(": ")[1].split(", ")) == known


@each_kind
def test_that_library_code_that_would_take_entries_apart_is_an_error(kind: str) -> None:
    for function in (
        special.logsumexp,
        special.softmax,
        np.vectorize(float),
        lambda x: np.asarray(x, dtype=np.float64),
    ):
        with pytest.raises((TypeError, ValueError)):
            function(KINDS[kind](NUMBERS))


@each_kind
def test_that_changing_an_array_in_place_is_an_error(kind: str) -> None:
    x, plain = KINDS[kind](NUMBERS), NUMBERS.copy()
    for change in (operator.iadd, operator.imul, operator.imatmul):
        with pytest.raises(NoRule):
            change(x, x)
    with pytest.raises(NoRule, match="add"):
        np.add(x, 1.0, out=plain)
    with pytest.raises(TypeError):
        plain += x
    with pytest.raises(TypeError):
        x[0] = 1.0
    np.testing.assert_array_equal(plain, NUMBERS)


@each_kind
def test_that_an_array_has_no_truth(kind: str) -> None:
    with pytest.raises(NoRule, match=f"the truth of {kind} arrays is not known: use np.where instead of if"):
        bool(KINDS[kind](NUMBERS))


MOVES: dict[Any, Callable[[Any], Any]] = {
    np.broadcast_to: lambda x: np.broadcast_to(x, (4, 2, 3)), np.expand_dims: lambda x: np.expand_dims(x, 1),
    np.flip: lambda x: np.flip(x, axis=-1), np.moveaxis: lambda x: np.moveaxis(x, 0, -1), np.ravel: np.ravel,
    np.repeat: lambda x: np.repeat(x, 2, axis=0), np.reshape: lambda x: np.reshape(x, (3, 2)),
    np.roll: lambda x: np.roll(x, 1), np.squeeze: lambda x: np.squeeze(x[:1]), np.tile: lambda x: np.tile(x, 2),
    np.swapaxes: lambda x: np.swapaxes(x, 0, 1), np.take: lambda x: np.take(x, [2, 0], axis=1),
    np.take_along_axis: lambda x: np.take_along_axis(x, np.array([[1], [0]]), axis=-1), np.transpose: np.transpose,
    np.concatenate: lambda x: np.concatenate([x, x[:1]]), np.stack: lambda x: np.stack([x, x], axis=-1),
}  # fmt: skip


def test_that_every_structural_function_is_tested() -> None:
    assert set(MOVES) == {*STRUCTURAL, *JOINING}


@each_kind
@pytest.mark.parametrize("move", MOVES.values(), ids=[f.__name__ for f in MOVES])
def test_that_a_structural_function_moves_all_components_alike(kind: str, move: Any) -> None:
    x = KINDS[kind](NUMBERS)
    moved = move(x)
    assert type(moved) is type(x)
    assert moved.shape == move(NUMBERS).shape
    assert parts(moved) == [move(np.asarray(part)).tolist() for part in parts(x)]


@each_kind
@pytest.mark.parametrize("join", JOINING)
def test_that_joining_lifts_ordinary_arrays(kind: str, join: Any) -> None:
    joined = join([KINDS[kind](NUMBERS), OTHERS])
    assert parts(joined)[0] == join([NUMBERS, OTHERS]).tolist()
    assert all(np.shape(part) == joined.shape for part in joined._parts())


@each_kind
def test_that_indexing_iterating_and_methods_are_those_of_arrays(kind: str) -> None:
    x = KINDS[kind](NUMBERS)
    assert (x.shape, x.ndim, x.size, len(x)) == ((2, 3), 2, 6, 2)
    for index in (1, (0, 2), slice(1), (..., 0), (None, slice(None)), [1, 0], NUMBERS > 0):
        assert parts(x[index])[0] == NUMBERS[index].tolist()
    assert [parts(row)[0] for row in x] == NUMBERS.tolist()
    assert parts(x.T) == parts(np.transpose(x))
    assert parts(x.reshape(3, 2)) == parts(x.reshape((3, 2))) == parts(np.reshape(x, (3, 2)))
    for name in ("sum", "mean", "max"):
        assert parts(getattr(x, name)(axis=0)) == parts(getattr(np, name)(x, axis=0))


@each_kind
@pytest.mark.parametrize("shape", SHAPES, ids=lambda f: f.__name__)
def test_that_functions_of_the_shape_answer_with_ordinary_numbers(kind: str, shape: Any) -> None:
    x, more = KINDS[kind](NUMBERS), (7.0,) if shape is np.full_like else ()
    found, expected = shape(x, *more), shape(NUMBERS, *more)
    assert not isinstance(found, Duck)
    assert np.shape(found) == np.shape(expected)
    assert shape is np.empty_like or np.array_equal(found, expected)


@each_kind
@pytest.mark.parametrize("f", [operator.add, operator.sub, operator.mul, operator.truediv, operator.gt, operator.le])
def test_that_ordinary_operands_may_stand_on_either_side(kind: str, f: Any) -> None:
    x = KINDS[kind](NUMBERS)
    for other in (2.0, 2, np.float64(2.0), np.float32(2.0), np.array(2.0), OTHERS):
        for found, expected in ((f(x, other), f(NUMBERS, other)), (f(other, x), f(other, NUMBERS))):
            centre = parts(found)[0] if isinstance(found, Duck) else found.tolist()
            np.testing.assert_array_equal(centre, expected)


@each_kind
def test_that_a_product_with_ordinary_arrays_works_on_either_side(kind: str) -> None:
    x = KINDS[kind](NUMBERS)
    assert parts(x @ NUMBERS.T)[0] == (NUMBERS @ NUMBERS.T).tolist()
    assert parts(OTHERS.T @ x)[0] == (OTHERS.T @ NUMBERS).tolist()


@each_kind
@pytest.mark.parametrize("reduce", [np.add.reduce, np.maximum.reduce], ids=["add", "maximum"])
def test_that_a_reduction_runs_along_the_axis_that_numpy_runs_along(kind: str, reduce: Any) -> None:
    x = KINDS[kind](NUMBERS)
    assert parts(reduce(x, axis=1))[0] == reduce(NUMBERS, axis=1).tolist()
    assert parts(reduce(x, axis=None))[0] == reduce(NUMBERS, axis=None).tolist()
    assert parts(reduce(x))[0] == reduce(NUMBERS).tolist()


def test_that_arithmetics_of_one_rank_do_not_mix() -> None:
    for x, y in ((rounded(NUMBERS), Ball.exact(NUMBERS)), (Ball.exact(NUMBERS), rounded(NUMBERS))):
        for mix in (operator.add, operator.mul, np.maximum, lambda x, y: np.where(NUMBERS > 0, x, y)):
            with pytest.raises((TypeError, ValueError)):
                mix(x, y)


def test_that_a_dual_takes_over_from_its_components_arithmetic() -> None:
    x, y = rounded(NUMBERS), Dual.variable(rounded(NUMBERS))
    for found in (x * y, y * x, x + y, x / y, np.maximum(x, y), np.where(NUMBERS > 0, x, y), np.stack([x, y])):
        assert isinstance(found, Dual)
        assert isinstance(found.value, Rounded)
