"""Records are read one by one: what is kept of them does not grow with their number."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from gradagree.checker.verdict import Record, Verdict
from gradagree.report import summarize

FEW, MANY = 500, 2_000


def endless(records: list[Record], count: int) -> Iterator[Record]:
    """So many records of different cases, made one by one."""
    for k in range(count):
        one = records[k % len(records)]
        yield msgspec.structs.replace(one, spec=f"{one.spec}{k}", index=k // 6)


def peak(records: list[Record], count: int) -> int:
    tracemalloc.start()
    summary = summarize({}, endless(records, count))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert summary.total == count
    return most


def test_that_four_times_the_records_take_less_than_twice_the_memory(
    make: Callable[..., list[Record]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gradagree.report.rows.MOST", FEW // 2)
    records: Any = make(cases=50, odd={Verdict.DISAGREE: 0.02, Verdict.CONVENTION: 0.02})
    peak(records, MANY)  # fills the caches
    assert peak(records, MANY) < 2 * peak(records, FEW)


def test_that_records_that_are_kept_would_be_seen(make: Callable[..., list[Record]]) -> None:
    records = make(cases=50)
    peak(records, MANY)
    assert peak(records, MANY) > 2 * peak(records, FEW)
