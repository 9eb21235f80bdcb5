"""Blocks: fifty cases of one framework and mode, which JUnit files show as one test."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from gradagree.reporting.matrix import Column
from gradagree.reporting.texts import visible
from gradagree.verdict import Record, Verdict

__all__ = ["SIZE", "Block", "Blocks"]

SIZE = 50
MOST_BLOCKS, MOST_FAILURES, MOST_REASONS = 20_000, 20, 3
DECIDED = frozenset({verdict for verdict in Verdict if verdict.fails}) | {
    Verdict.INACCURATE, Verdict.CONVENTION, Verdict.AGREE
}  # fmt: skip


class Place(NamedTuple):
    """Which block: number counts from 0; None gathers what is beyond the room."""

    column: Column
    number: int | None

    @property
    def name(self) -> str:
        if self.number is None:
            return "further cases"
        return f"cases {self.number * SIZE} to {self.number * SIZE + SIZE - 1}"


@dataclass
class Block:
    """The verdicts of one block, its time, and its first failures."""

    counts: Counter[Verdict] = field(default_factory=Counter)
    seconds: float = 0.0
    failures: list[Record] = field(default_factory=list)
    failed: int = 0
    known: int = 0
    reasons: dict[str, None] = field(default_factory=dict)

    @property
    def decided(self) -> bool:
        """Whether any of its records says that a gradient is right or wrong."""
        return not DECIDED.isdisjoint(self.counts)


@dataclass
class Blocks:
    """All blocks, in the order of their first record."""

    strict: bool = False
    known: dict[Place, Block] = field(default_factory=dict)

    def add(self, record: Record, column: Column, known: bool = False) -> None:
        """Take one more record; a known difference is no failure."""
        place = Place(column, record.index // SIZE)
        if place not in self.known and len(self.known) >= MOST_BLOCKS:
            place = Place(column, None)
        block = self.known.setdefault(place, Block())
        block.counts[record.verdict] += 1
        block.seconds += record.seconds
        if known:
            block.known += 1
        elif record.verdict.fails or (self.strict and record.verdict is Verdict.INACCURATE):
            block.failed += 1
            block.failures.extend([record] if len(block.failures) < MOST_FAILURES else [])
        elif record.verdict not in DECIDED and len(block.reasons) < MOST_REASONS:
            block.reasons[f"{record.verdict}: {visible(record.reason or record.verdict.meaning)}"] = None

    def columns(self) -> list[Column]:
        return list(dict.fromkeys(place.column for place in self.known))

    def of(self, column: Column) -> list[tuple[Place, Block]]:
        found = [(place, block) for place, block in self.known.items() if place.column == column]
        return sorted(found, key=lambda item: (item[0].number is None, item[0].number or 0))
