"""Ball arithmetic encloses the truth where that is a fraction, and answers questions where the answer is certain."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import flint
import numpy as np
import pytest
from scipy import special

from gradagree.arithmetic import Ball
from gradagree.arithmetic.ball import precision
from gradagree.arithmetic.ball_rules import FUNCTIONS
from gradagree.arithmetic.incomplete import FUNCTIONS as INCOMPLETE
from gradagree.arithmetic.rounded import COMPARISONS
from gradagree.arithmetic.three_valued import Trilean
from gradagree.reference.operations.fourier import root_of, unit_circle
from gradagree.reference.operations.scatter import put

BITS = 200
LIBRARY = (np.hypot, np.arctan2, np.logaddexp, special.zeta, special.logsumexp, put, root_of, unit_circle, *INCOMPLETE)
"""Functions of several numbers that are no fractions, or that move numbers."""
X = np.array([[0.375, -1.25, 3.0], [-0.0625, 0.5, -7.0]])
Y = np.array([[2.5, -1.25, 0.75], [6.0, -0.125, 0.5]])


@pytest.fixture(autouse=True)
def working_precision() -> Iterator[None]:
    with precision(BITS):
        yield


def fraction(x: flint.arb) -> Fraction:
    """An exact number of Arb's."""
    mantissa, exponent = x.man_exp()
    return Fraction(int(mantissa)) * Fraction(2) ** int(exponent)


def encloses(ball: flint.arb, exact: Any) -> bool:
    """Whether the ball contains the fraction and is as small as its precision allows."""
    middle, radius = fraction(ball.mid()), fraction(ball.rad())
    return abs(middle - exact) <= radius <= (abs(middle) + 1) * Fraction(2) ** (8 - BITS)


def entry_by_entry(f: Callable[..., Any]) -> Callable[..., Any]:
    """The function on arrays of fractions."""
    return np.vectorize(f, otypes=[object])


RATIONAL: dict[Any, tuple[Callable[..., Any], Callable[..., Any]]] = {
    np.add: (np.add, np.add), np.subtract: (np.subtract, np.subtract), np.multiply: (np.multiply, np.multiply),
    np.divide: (np.divide, np.divide), np.matmul: (lambda x, y: x @ y.T, lambda x, y: x.dot(y.T)),
    np.negative: (lambda x, y: -x, lambda x, y: -x), np.positive: (lambda x, y: +x, lambda x, y: x),
    np.absolute: (lambda x, y: np.abs(x), lambda x, y: abs(x)), np.fabs: (lambda x, y: np.fabs(x), lambda x, y: abs(x)),
    np.square: (lambda x, y: np.square(x), lambda x, y: x * x), np.reciprocal: (lambda x, y: 1 / x, lambda x, y: 1 / x),
    np.power: (lambda x, y: x**3 * y**-2 + x**0, lambda x, y: x * x * x / (y * y) + 1),
    np.maximum: (np.maximum, entry_by_entry(max)), np.minimum: (np.minimum, entry_by_entry(min)),
    np.sign: (lambda x, y: np.sign(x), entry_by_entry(lambda x, y: Fraction((x > 0) - (x < 0)))),
    np.sum: (lambda x, y: np.sum(x, axis=-1), lambda x, y: np.sum(x, axis=-1)),
    np.mean: (lambda x, y: np.mean(x * y), lambda x, y: np.sum(x * y) / 6),
    np.max: (lambda x, y: np.max(x, axis=0), lambda x, y: np.max(x, axis=0)),
    np.min: (lambda x, y: np.min(x, axis=0, keepdims=True), lambda x, y: np.min(x, axis=0, keepdims=True)),
    np.where: (lambda x, y: np.where(x > y, x, 2.0), entry_by_entry(lambda x, y: x if x > y else 2)),
    np.floor: (lambda x, y: np.floor(x * y), entry_by_entry(lambda x, y: Fraction(math.floor(x * y)))),
    np.ceil: (lambda x, y: np.ceil(x * y), entry_by_entry(lambda x, y: Fraction(math.ceil(x * y)))),
    np.trunc: (lambda x, y: np.trunc(x * y), entry_by_entry(lambda x, y: Fraction(math.trunc(x * y)))),
    np.rint: (lambda x, y: np.rint(x * y), entry_by_entry(lambda x, y: Fraction(round(x * y)))),
    np.cumsum: (lambda x, y: np.cumsum(x, axis=1), lambda x, y: np.cumsum(x, axis=1)),
    np.sort: (lambda x, y: np.sort(x, axis=0), lambda x, y: np.sort(x, axis=0)),
}  # fmt: skip


@pytest.mark.parametrize("rule", RATIONAL, ids=lambda f: f.__name__)
def test_that_rational_functions_enclose_the_exact_fraction(rule: Any) -> None:
    on_balls, on_fractions = RATIONAL[rule]
    x, y = (entry_by_entry(Fraction)(z) for z in (X, Y))
    found, exact = np.ravel(on_balls(Ball.exact(X), Ball.exact(Y)).balls), np.ravel(on_fractions(x, y))
    assert found.shape == exact.shape
    assert all(encloses(ball, number) for ball, number in zip(found, exact, strict=True))
    assert not any(encloses(ball + flint.arb(2) ** -60, number) for ball, number in zip(found, exact, strict=True))


@pytest.mark.parametrize("reduce", [np.max, np.min, np.sum, np.mean], ids=lambda f: f.__name__)
@pytest.mark.parametrize("axis", [None, 0, -1, (0, 1), (-2, -1)], ids=str)
@pytest.mark.parametrize("keepdims", [False, True])
def test_that_reductions_run_over_any_axes(reduce: Any, axis: Any, keepdims: bool) -> None:
    found = reduce(Ball.exact(X), axis=axis, keepdims=keepdims)
    exact = reduce(entry_by_entry(Fraction)(X), axis=axis, keepdims=keepdims)
    assert found.shape == np.shape(exact)
    assert all(encloses(ball, number) for ball, number in zip(np.ravel(found.balls), np.ravel(exact), strict=True))


TRUTHS = (np.isfinite, np.isinf, np.isnan, np.signbit)
NUMBERS = [
    flint.arb(2.5),
    flint.arb(-1, 0.5),
    flint.arb.pos_inf(),
    flint.arb.neg_inf(),
    flint.arb.nan(),
    flint.arb(1, 2),
]
"""The last but one may be any number or none; nothing is known of the last one's sign."""
ANSWERS: dict[Any, list[bool | None]] = {
    np.isfinite: [True, True, False, False, None, True], np.isinf: [False, False, True, True, None, False],
    np.isnan: [False, False, False, False, None, False], np.signbit: [False, True, False, True, None, None],
}  # fmt: skip


@pytest.mark.parametrize("f", TRUTHS, ids=lambda f: f.__name__)
def test_that_questions_are_answered_where_the_answer_is_certain(f: Any) -> None:
    found = f(Ball(NUMBERS))
    assert isinstance(found, Trilean)
    assert [None if open else bool(true) for true, open in zip(found.true, found.open, strict=True)] == ANSWERS[f]
    assert isinstance(f(Ball(NUMBERS[:2])), np.ndarray)


def test_that_every_rule_is_tested_here_or_is_of_the_library() -> None:
    assert set(Ball.rules) == {*RATIONAL, *COMPARISONS, *TRUTHS, *FUNCTIONS, *LIBRARY}


@pytest.mark.parametrize("f", [np.ceil, np.floor, np.rint, np.trunc], ids=lambda f: f.__name__)
@pytest.mark.parametrize("radius", [2.0**-40, 0.25, 2.0])
def test_that_the_step_of_a_ball_contains_those_of_its_numbers(f: Any, radius: float) -> None:
    for middle in np.arange(-8, 9) / 4:
        wide = f(Ball([flint.arb(middle, radius)])).balls[0]
        assert all(wide.contains(f(middle + side * radius)) for side in (-1, -0.5, 0, 0.25, 1))


def test_that_balls_in_order_contain_their_numbers_in_order() -> None:
    wide = Ball([flint.arb(1, 0.5), flint.arb(1, 2), flint.arb(2, 1.5), flint.arb(-3)])
    for sides in itertools.product((-1, 0, 1), repeat=4):
        members = [float(x.mid()) + side * float(x.rad()) for x, side in zip(wide.balls, sides, strict=True)]
        assert all(x.contains(member) for x, member in zip(np.sort(wide).balls, sorted(members), strict=True))


@pytest.mark.parametrize("n", [0, 1, 2, 3, 5])
@pytest.mark.parametrize("middle", [0.0, 0.25, -0.25, 3.0])
def test_that_a_power_of_a_ball_around_zero_is_known(n: int, middle: float) -> None:
    wide = (Ball([flint.arb(middle, 0.5)]) ** n).balls[0]
    assert wide.is_finite()
    assert all(wide.contains(flint.arb(middle + side) ** n) for side in (-0.5, -0.125, 0.5))
