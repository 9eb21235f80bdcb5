"""Findings: the records that fail or are inaccurate, gathered by their cause, each with its worst record."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from gradagree.known import Entry
from gradagree.reporting.texts import value_of
from gradagree.verdict import ORDER, Record, Verdict

__all__ = ["Cause", "Finding", "Findings", "cause_of", "words_of"]

MOST_MODES, MOST_WORDS = 5, 80
ROOM = 1000
"""Causes of one verdict that are kept apart."""


class Cause(NamedTuple):
    """What records of one finding have in common, in whichever modes; reason tells errors that name no box apart."""

    verdict: Verdict
    framework: str
    function: str
    part: str
    dtype: str
    reason: str = ""


@dataclass
class Finding:
    """One cause, how many records have it, the one with the largest ratio, and the known difference that it is."""

    cause: Cause
    example: Record
    count: int = 1
    accepted: Entry | None = None
    modes: Counter[str] = field(default_factory=Counter)

    @property
    def words(self) -> str:
        """``torch backward``, or ``torch backward 12, vmap 3``, the mode of most records first."""
        modes = self.modes.most_common(MOST_MODES) or [(self.example.mode, self.count)]
        several = [f"{mode} {n:,}" for mode, n in modes] if len(self.modes) > 1 else [modes[0][0]]
        return f"{self.cause.framework} {', '.join(several)}" + ", ..." * (len(self.modes) > MOST_MODES)

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

    known: dict[tuple[Cause, Entry | None], Finding] = field(default_factory=dict)
    causes: Counter[Verdict] = field(default_factory=Counter)
    further: int = 0

    def add(self, record: Record, accepted: Entry | None = None) -> None:
        cause = cause_of(record)
        found = self.known.get((cause, accepted))
        if found is not None:
            found.count += 1
            found.modes[record.mode] += 1
            found.example = max(found.example, record, key=_ratio)
        elif self.causes[record.verdict] < ROOM:
            self.causes[record.verdict] += 1
            self.known[cause, accepted] = Finding(cause, record, accepted=accepted, modes=Counter([record.mode]))
        else:
            self.further += 1

    def __len__(self) -> int:
        return len(self.known)

    def __iter__(self) -> Iterator[Finding]:
        """What is not known first, of that the worst verdict, and within it the largest ratio."""
        return iter(sorted(self.known.values(), key=_place))


def cause_of(record: Record) -> Cause:
    part = (record.entry or "").partition("[")[0]
    reason = "" if record.function else words_of(record.reason)
    return Cause(record.verdict, record.framework, record.function or "", part, record.dtype, reason)


def words_of(reason: str) -> str:
    """A reason without its numbers: ``raised RuntimeError: expected # but found #``."""
    return "".join("#" if c.isdigit() else c for c in reason[:MOST_WORDS])


def _place(found: Finding) -> tuple[bool, int, float]:
    return found.accepted is not None, ORDER[found.cause.verdict], -found.ratio


def _ratio(record: Record) -> float:
    """The record's ratio to sort by: none is below all others, NaN above all numbers."""
    if record.ratio is None:
        return -1.0
    ratio = value_of(record.ratio)
    return math.inf if math.isnan(ratio) else ratio
