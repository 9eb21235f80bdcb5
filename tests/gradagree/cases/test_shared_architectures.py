"""A tenth of all cases have an architecture that comes back, each with numbers of its own."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from hypothesis import given, strategies as st

from gradagree.cases.case import Case
from gradagree.cases.random import GROUP_STEP, count_shared, draw, group, shares_architecture


@given(st.integers(0, 10**12))
def test_that_groups_follow_one_another_without_a_gap(i: int) -> None:
    (k, place), (after, next_place) = group(i), group(i + 1)
    assert 0 <= place < GROUP_STEP * k
    assert (after, next_place) == ((k, place + 1) if place + 1 < GROUP_STEP * k else (k + 1, 0))


@given(st.integers(0, 10**12))
def test_that_those_who_return_are_counted(i: int) -> None:
    assert count_shared(i + 1) - count_shared(i) == shares_architecture(i)
    assert GROUP_STEP * count_shared(i) >= i


def test_that_the_first_k_cases_of_group_k_return() -> None:
    assert [i for i in range(100) if shares_architecture(i)] == [0, 10, 11, 30, 31, 32, 60, 61, 62, 63]


def test_that_an_architecture_comes_back_with_other_numbers() -> None:
    cases = list(draw(100, 5, dtypes=["float32"]))
    groups: dict[int, list[Case]] = defaultdict(list)
    for i, case in enumerate(cases):
        if shares_architecture(i):
            groups[group(i)[0]].append(case)
    assert [len(found) for found in groups.values()] == [1, 2, 3, 4]
    for found in groups.values():
        assert len({replace(case, seed=0, regime="grid") for case in found}) == 1
        assert len({case.seed for case in found}) == len(found)
    assert len({replace(case, seed=0, regime="grid") for case in cases}) > 90 - len(groups)
