from __future__ import annotations

import math
import random

import pytest

from gradagree.report.matrix import PER_DECADE, Spread


def bin_of(x: float) -> int:
    return math.floor(math.log10(x) * PER_DECADE)


def spread_of(numbers: list[float]) -> Spread:
    spread = Spread()
    for x in numbers:
        spread.add(x)
    return spread


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("q", [0.0, 0.05, 0.5, 0.95, 1.0])
def test_that_a_quantile_lies_in_the_bin_of_the_sorted_one(seed: int, q: float) -> None:
    source = random.Random(seed)
    numbers = sorted(10 ** source.uniform(-300, 300) for _ in range(source.randint(1, 400)))
    right = numbers[max(math.ceil(q * len(numbers)), 1) - 1]
    assert bin_of(spread_of(numbers).quantile(q)) == bin_of(right)


def test_that_zeros_come_first_and_infinities_last() -> None:
    spread = spread_of([0.0, math.inf, 1.0, math.nan])
    assert [spread.quantile(q) for q in (0.25, 0.5, 0.75, 1.0)] == [0.0, 1.0, math.inf, math.inf]


def test_that_no_numbers_have_no_quantile() -> None:
    assert math.isnan(Spread().quantile(0.5))


@pytest.mark.parametrize("seed", range(3))
def test_that_bars_zeros_and_infinities_add_up_to_all_numbers(seed: int) -> None:
    source = random.Random(seed)
    numbers = [source.choice((0.0, math.inf, source.lognormvariate(0, 9))) for _ in range(300)]
    histogram = spread_of(numbers).histogram()
    assert histogram.total == len(numbers)
    assert (histogram.zeros, histogram.infinite) == (numbers.count(0.0), numbers.count(math.inf))


def test_that_a_bar_holds_a_quarter_of_a_decade() -> None:
    assert spread_of([1.0, 1.7, 1.8, 9.9, 10.0, 0.11]).histogram().bars == {-4: 1, 0: 2, 1: 1, 3: 1, 4: 1}


@pytest.mark.parametrize("x", [5e-324, 1.7976931348623157e308, 1e-310, 1.0])
def test_that_one_number_is_its_own_quantile(x: float) -> None:
    assert spread_of([x]).quantile(0.5) == x


def test_that_memory_does_not_grow_with_the_count() -> None:
    source = random.Random(5)
    few, many = (spread_of([10 ** source.uniform(-2, 0) for _ in range(n)]) for n in (5_000, 20_000))
    assert len(few.fine) <= 2 * PER_DECADE
    assert len(many.fine) <= 2 * PER_DECADE
