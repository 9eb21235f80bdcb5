"""Balls in use: what is read off them, which constants they know, when comparisons are decided, at what precision."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import flint
import numpy as np
import pytest

from gradagree.arithmetic import Ball
from gradagree.arithmetic.ball import CONSTANTS, constant, lift, precision
from gradagree.arithmetic.rounded import COMPARISONS
from gradagree.arithmetic.three_valued import Trilean


@pytest.fixture(autouse=True)
def working_precision() -> Iterator[None]:
    with precision(200):
        yield


def test_that_the_precision_is_restored_after_a_block_and_after_a_failure() -> None:
    before = flint.ctx.prec
    with precision(before + 77):
        assert flint.ctx.prec == before + 77
        with precision(64):
            assert flint.ctx.prec == 64
        assert flint.ctx.prec == before + 77
    assert flint.ctx.prec == before
    with pytest.raises(KeyError), precision(64):
        raise KeyError
    assert flint.ctx.prec == before


@pytest.mark.parametrize("bits", [64, 128, 500])
def test_that_more_precision_makes_smaller_balls_around_the_same_number(bits: int) -> None:
    coarse = np.exp(Ball.exact([0.5])).balls[0]
    with precision(bits):
        found = np.exp(Ball.exact([0.5])).balls[0]
        assert found.overlaps(coarse)
        assert found.rad() < flint.arb(2) ** (2 - bits)
        assert (found.rad() < coarse.rad()) == (bits > 200)


@pytest.mark.parametrize("x", [0.1, -(2.0**-1074), 2.0**1023, 0.0, 5e-324, 1 / 3])
def test_that_an_exact_ball_is_the_float_and_is_read_back(x: float) -> None:
    ball = Ball.exact([[x]])
    assert (ball.middle.tolist(), ball.radius.tolist()) == ([[x]], [[0.0]])
    assert ball.middle.dtype == ball.radius.dtype == np.float64


def test_that_a_radius_is_read_rounded_up() -> None:
    third = 1 / Ball.exact([3.0])
    assert flint.arb(float(third.radius[0])) >= third.balls[0].rad() > 0
    assert third.middle[0] == 1 / 3


def test_that_a_ball_without_bounds_is_read_as_not_a_number() -> None:
    unbounded = 1 / Ball([flint.arb(0, 1)])
    assert np.isnan(unbounded.middle[0])
    assert not np.isfinite(unbounded.radius[0])


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("place", range(len(CONSTANTS)))
def test_that_the_float_next_to_a_known_constant_stands_for_the_constant(place: int, sign: int) -> None:
    exact = sign * CONSTANTS[place]()
    written = float(exact.mid())
    for x in (written, np.nextafter(written, np.inf), np.nextafter(written, -np.inf)):
        assert lift(x).balls.item().overlaps(exact)
    for x in (written * (1 + 1e-14), written * (1 - 1e-14)):
        assert not lift(x).balls.item().overlaps(exact)
        assert lift(x).balls.item().rad() == 0
    assert Ball.exact(written).balls.item().rad() == 0


def test_that_known_constants_follow_the_working_precision() -> None:
    for bits in (100, 1000):
        with precision(bits):
            found = lift(float(np.pi)).balls.item()
            assert 0 < found.rad() < flint.arb(2) ** (3 - bits)
            assert found.overlaps(flint.arb.pi())


@pytest.mark.parametrize("x", [0.0, 1.0, 2.0, 0.5, 0.044715, 3.14, 1.0507009873554805, np.inf, np.nan])
def test_that_other_numbers_stand_for_themselves(x: float) -> None:
    assert constant(x) is None
    np.testing.assert_array_equal(lift(x).middle, np.nan if np.isinf(x) else x)


def test_that_numbers_of_an_array_are_data_and_stand_for_themselves() -> None:
    assert lift(np.array([np.pi])).balls[0].rad() == 0


BELOW, ABOVE, WIDE, AT = (flint.arb(x, r) for x, r in ((1, 0), (3, 0), (2, 1.5), (2, 0)))


@pytest.mark.parametrize("compare", COMPARISONS)
def test_that_a_comparison_is_decided_exactly_where_it_is_certain(compare: Any) -> None:
    x, y = Ball([BELOW, ABOVE, AT, WIDE, WIDE]), Ball([AT, AT, AT, AT, flint.arb(9, 1)])
    answer = compare(x, y)
    assert isinstance(answer, Trilean)
    assert answer.open.tolist() == [False, False, False, True, False]
    certain = [compare(a, b) for a, b in ((1, 2), (3, 2), (2, 2))]
    assert answer.true[:3].tolist() == certain
    assert answer.true[4] == compare(2, 9)
    assert isinstance(compare(x[:3], y[:3]), np.ndarray)


@pytest.mark.parametrize("compare", COMPARISONS)
def test_that_single_balls_are_compared(compare: Any) -> None:
    assert compare(Ball.exact(1.0), 2.0) == compare(1.0, 2.0)
    assert compare(2.0, Ball.exact(1.0)) == compare(2.0, 1.0)


def test_that_an_open_where_is_the_union_and_a_decided_one_is_exact() -> None:
    x, y = Ball.exact([1.0, 1.0]), Ball.exact([5.0, 5.0])
    union, chosen = np.where(Ball([WIDE, ABOVE]) < 2.0, x, y).balls
    assert union.contains(1)
    assert union.contains(5)
    assert (chosen.mid(), chosen.rad()) == (5, 0)


def test_that_the_sign_of_a_ball_around_zero_may_be_any() -> None:
    found = np.sign(Ball([flint.arb(0, 1), flint.arb(1, 2), ABOVE, -ABOVE, flint.arb(0)])).balls
    assert [[ball.contains(s) for s in (-1, 0, 1)] for ball in found] == [
        [True] * 3, [True] * 3, [False, False, True], [True, False, False], [False, True, False],
    ]  # fmt: skip
