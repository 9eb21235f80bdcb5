"""What all arithmetics share: operators, methods, reductions, and which arithmetic takes over where two meet."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from gradagree.arithmetic import Ball, Dual, Rounded
from gradagree.arithmetic.ball import precision
from gradagree.arithmetic.duck import ALIASES, REDUCTIONS, Duck
from gradagree.arithmetic.model import model

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


@each_kind
def test_that_indexing_iterating_and_methods_are_those_of_arrays(kind: str) -> None:
    x = KINDS[kind](NUMBERS)
    assert (x.shape, x.ndim, x.size, len(x)) == ((2, 3), 2, 6, 2)
    for index in (1, (0, 2), slice(1), (..., 0), (None, slice(None)), [1, 0], NUMBERS > 0):
        assert parts(x[index])[0] == NUMBERS[index].tolist()
    assert [parts(row)[0] for row in x] == NUMBERS.tolist()
    assert parts(x.T) == parts(np.transpose(x))
    assert parts(x.reshape(3, 2)) == parts(x.reshape((3, 2))) == parts(np.reshape(x, (3, 2)))
    assert parts(x.transpose()) == parts(x.transpose(1, 0)) == parts(x.transpose((1, 0))) == parts(x.T)
    assert x.copy() is x
    assert np.zeros(x.shape, x.dtype).dtype == np.float64
    with pytest.raises(AttributeError, match="no attribute 'view'"):
        x.view(np.int64)


METHODS: dict[str, tuple[Any, ...]] = {
    "sum": (0,), "mean": (0,), "prod": (1,), "max": (0,), "min": (1,), "var": (1,), "std": (0,), "cumsum": (1,),
    "cumprod": (0,), "clip": (-1.0, 2.0), "dot": (NUMBERS.T,), "round": (1,), "repeat": (2,), "squeeze": (),
    "take": ([1, 0],), "argmax": (1,), "argmin": (1,), "argsort": (1,), "diagonal": (), "swapaxes": (0, 1),
    "ravel": (), "flatten": (), "trace": (),
}  # fmt: skip


@each_kind
@pytest.mark.parametrize("name", METHODS)
def test_that_a_method_is_the_function_of_that_name(kind: str, name: str) -> None:
    x, arguments = KINDS[kind](NUMBERS), METHODS[name]
    function = np.ravel if name == "flatten" else getattr(np, name)
    found, same = getattr(x, name)(*arguments), function(x, *arguments)
    if isinstance(found, Duck):
        assert parts(found) == parts(same)
        assert found.shape == getattr(NUMBERS, name)(*arguments).shape
    else:
        assert found.tolist() == same.tolist() == getattr(NUMBERS, name)(*arguments).tolist()


@each_kind
def test_that_only_float_is_a_type_to_convert_to(kind: str) -> None:
    x = KINDS[kind](NUMBERS)
    for same in (float, np.float64, "float64", x.dtype):
        assert parts(x.astype(same)) == parts(x)
    assert (x > 0).astype(float).tolist() == (NUMBERS > 0).astype(float).tolist()


def test_that_an_open_comparison_becomes_numbers() -> None:
    found = (Rounded([1.0, 0.25], [0.5, 0.5], model("float32")) > 0).astype(float)
    assert (found.value.tolist(), found.radius.tolist()[0], found.radius.tolist()[1] >= 1) == ([1.0, 1.0], 0.0, True)


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


NUMERIC = [pair for pair, function in REDUCTIONS.items() if function not in (np.any, np.all)]


@each_kind
@pytest.mark.parametrize(("ufunc", "method"), NUMERIC, ids=lambda f: getattr(f, "__name__", f))
def test_that_a_reduction_runs_along_the_axis_that_numpy_runs_along(kind: str, ufunc: Any, method: str) -> None:
    x, reduce = KINDS[kind](NUMBERS), getattr(ufunc, method)
    for axis in ({}, {"axis": 1}, {"axis": None}, {"axis": 0, "keepdims": True}, {"axis": (0, 1)}):
        if method == "accumulate" and axis not in ({}, {"axis": 1}):
            continue
        expected = reduce(NUMBERS, **axis)
        bound = reduce(Rounded.stored(NUMBERS, model("float64")), **axis)
        assert reduce(x, **axis).shape == np.shape(expected)
        assert (np.abs(bound.value - expected) <= bound.radius).all()
        assert (np.abs(np.asarray(parts(reduce(x, **axis))[0]) - expected) <= 2 * bound.radius).all()


@each_kind
def test_that_an_alias_is_the_function_that_it_stands_for(kind: str) -> None:
    x = KINDS[kind](np.abs(NUMBERS))
    for alias, function in ALIASES.items():
        xs = ([2.0] if alias.__name__ == "_zeta" else []) + [x] * (1 + (function in (np.maximum, np.minimum, np.power)))
        np.testing.assert_array_equal(parts(alias(*xs)), parts(function(*xs)))


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
