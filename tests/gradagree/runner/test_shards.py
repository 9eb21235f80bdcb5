"""Shards are a partition: every unit is in one of them, and groups that share an architecture are complete units."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, strategies as st

from gradagree.cases.random import count_shared, group, shares_architecture
from gradagree.errors import UsageError
from gradagree.runner.options import Plan
from gradagree.runner.shards import UNIT_SIZE, UNSHARDED, Shard, count_architectures, count_units, unit_ranges

CASES = st.integers(1, 5000)
SHARDS = st.integers(1, 60)


@given(CASES, SHARDS)
def test_that_every_case_is_in_one_shard_and_none_in_two(cases: int, of: int) -> None:
    found = [list(itertools.chain(*unit_ranges(cases, Shard(number, of)))) for number in range(1, of + 1)]
    assert sorted(itertools.chain(*found)) == list(range(cases))


@given(CASES, SHARDS)
def test_that_sizes_are_those_of_the_cases_counted(cases: int, of: int) -> None:
    for number in {1, (of + 1) // 2, of}:
        shard = Shard(number, of)
        own = list(itertools.chain(*unit_ranges(cases, shard)))
        assert count_architectures(cases, shard) == (len(own), sum(map(shares_architecture, own)))
    assert count_architectures(cases, UNSHARDED) == (cases, count_shared(cases))
    assert count_units(cases) == len(list(unit_ranges(cases, UNSHARDED)))


@given(CASES)
def test_that_a_unit_is_small_and_of_one_group_and_kind(cases: int) -> None:
    for unit in unit_ranges(cases, UNSHARDED):
        assert 0 < len(unit) <= UNIT_SIZE
        assert len({(group(i)[0], shares_architecture(i)) for i in unit}) == 1


@given(CASES, st.data())
def test_that_no_shard_is_empty_and_all_have_about_as_many_units(cases: int, data: st.DataObject) -> None:
    of = data.draw(st.integers(1, count_units(cases)))
    counts = {len(list(unit_ranges(cases, Shard(number, of)))) for number in range(1, of + 1)}
    assert min(counts) >= 1
    assert max(counts) - min(counts) <= 1


def test_that_shards_have_the_very_cases_and_numbers_of_the_whole() -> None:
    options = {"cases": 60, "seed": 3, "frameworks": "torch", "activations": "tanh,relu", "errors": "sse"}
    complete = {number: case.spec for number, case in Plan.make(**options).draw_cases()}
    shards = [Plan.make(**options, shard=f"{k}/4") for k in range(1, 5)]
    found = [(number, case.spec) for plan in shards for number, case in plan.draw_cases()]
    assert sorted(found) == sorted(complete.items())
    for plan in shards:
        own = [number for number, _ in plan.draw_cases()]
        modes = [mode for number in own for mode in plan.modes_of("torch", number)]
        assert {f"torch:{mode}": modes.count(mode) for mode in dict.fromkeys(modes)} == plan.counts()


def test_that_a_shard_of_a_thousand_million_cases_is_found_at_once() -> None:
    shard = Shard(777, 100_000)
    assert 9_000 < count_architectures(10**9, shard)[0] < 11_000
    first = next(unit_ranges(10**9, shard))
    assert first.start == min(i for i in itertools.chain(*itertools.islice(unit_ranges(10**9, shard), 20)))


@pytest.mark.parametrize(
    "text", ["", "1", "0/3", "4/3", "1/0", "-1/3", "1/3/5", "a/b", "1/9999999", "١/٣", " 1/3", "1/3\n"]
)
def test_that_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"^--shard .*: write I/N with 1 <= I <= N <= 1000000, for example 2/8$"):
        Shard.parse(text)


def test_that_more_shards_than_units_are_refused() -> None:
    with pytest.raises(UsageError, match=r"^--shard 1/50: 10 cases make 2 work units; use at most as many shards$"):
        Plan.make(cases=10, shard="1/50")
