"""The noise of a median, and whether more was lost than gained."""

from __future__ import annotations

import math
import random
from fractions import Fraction

import pytest

from gradagree.compare.differences import NOTHING, MedianInterval, median_interval, more_lost_than_gained, places


def fewer_than(k: int, n: int) -> Fraction:
    """P(Bin(n, 1/2) < k), exactly."""
    return Fraction(sum(math.comb(n, j) for j in range(k)), 2**n)


@pytest.mark.parametrize("n", [1, 2, 7, 20, 101])
@pytest.mark.parametrize("level", [2.0**-4, 2.0**-10, 2.0**-20])
def test_that_the_place_is_the_largest_that_keeps_the_level(n: int, level: float) -> None:
    k = places(n, level)
    assert k == 0 or 2 * fewer_than(k, n) <= Fraction(level)
    assert k == n // 2 or 2 * fewer_than(k + 1, n) > Fraction(level)


def test_that_too_few_cases_say_nothing() -> None:
    assert median_interval([5.0] * 3, 2.0**-10) == MedianInterval(-math.inf, math.inf)
    assert not median_interval([5.0] * 3, 2.0**-10).apart(NOTHING)
    assert median_interval([5.0] * 30, 2.0**-10) == MedianInterval(5, 5)


def test_that_infinite_moves_have_their_place() -> None:
    assert median_interval([-math.inf] * 2 + [0.0] * 40 + [math.inf] * 2, 2.0**-10) == NOTHING


@pytest.mark.parametrize("seed", range(3))
def test_that_the_true_median_is_hardly_ever_outside(seed: int) -> None:
    source, level, trials = random.Random(seed), 2.0**-4, 512
    outside = sum(median_interval([source.gauss(0, 1) for _ in range(25)], level).apart(NOTHING) for _ in range(trials))
    # At most the level of all trials, and eight standard deviations of their number.
    assert outside <= trials * level + 8 * math.sqrt(trials * level)


@pytest.mark.parametrize("lost", range(12))
@pytest.mark.parametrize("gained", [0, 1, 5])
def test_that_losses_beyond_chance_are_those_of_a_fair_coin(lost: int, gained: int) -> None:
    chance = 1 - fewer_than(lost, lost + gained)
    assert more_lost_than_gained(lost, gained, 2.0**-6) == (lost > 0 and chance <= Fraction(1, 64))
