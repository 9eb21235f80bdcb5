"""Findings: the records that fail or are inaccurate, gathered by their cause, each with its worst record."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from gradagree.reporting.texts import value_of
from gradagree.verdict import ORDER, Record, Verdict

__all__ = ["Cause", "Finding", "Findings"]

ROOM = 1000
"""Causes of one verdict that are kept apart."""


class Cause(NamedTuple):
    """What records of one finding have in common."""

    verdict: Verdict
    framework: str
    mode: str
    function: str
    part: str
    dtype: str


@dataclass
class Finding:
    """One cause, how many records have it, and the one with the largest ratio."""

    cause: Cause
    example: Record
    count: int = 1

    @property
    def ratio(self) -> float:
        return _ratio(self.example)

    @property
    def distance(self) -> float:
        """|observed - expected|; NaN where either is missing."""
        return abs(value_of(self.example.observed) - value_of(self.example.expected))


@dataclass
class Findings:
    """Findings by cause; past the room for causes of a verdict, its further records are only counted."""

    known: dict[Cause, Finding] = field(default_factory=dict)
    causes: Counter[Verdict] = field(default_factory=Counter)
    further: int = 0

    def add(self, record: Record) -> None:
        cause = cause_of(record)
        found = self.known.get(cause)
        if found is not None:
            found.count += 1
            found.example = max(found.example, record, key=_ratio)
        elif self.causes[record.verdict] < ROOM:
            self.causes[record.verdict] += 1
            self.known[cause] = Finding(cause, record)
        else:
            self.further += 1

    def __len__(self) -> int:
        return len(self.known)

    def __iter__(self) -> Iterator[Finding]:
        """The worst verdict first, and within it the largest ratio."""
        return iter(sorted(self.known.values(), key=lambda found: (ORDER[found.cause.verdict], -found.ratio)))


def cause_of(record: Record) -> Cause:
    part = (record.entry or "").partition("[")[0]
    return Cause(record.verdict, record.framework, record.mode, record.function or "", part, record.dtype)


def _ratio(record: Record) -> float:
    """The record's ratio to sort by: none is below all others, NaN above all numbers."""
    if record.ratio is None:
        return -1.0
    ratio = value_of(record.ratio)
    return math.inf if math.isnan(ratio) else ratio
