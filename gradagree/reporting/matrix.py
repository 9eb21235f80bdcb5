"""The matrix: function, dtype and regime against framework and mode; a failure counts for the guilty function alone."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from gradagree.casetext import split_outside_parentheses
from gradagree.reporting.folding import Names
from gradagree.reporting.texts import named, shown_number
from gradagree.verdict import Record, Verdict, worst

__all__ = [
    "ACTIVATION",
    "DTYPE",
    "ERROR",
    "REGIME",
    "UNKNOWN",
    "Cell",
    "Column",
    "Matrix",
    "Parts",
    "depth_label",
    "parts_of",
]

ACTIVATION, ERROR, UNKNOWN = "Activation", "Error function", "Function not known"
DTYPE, REGIME = "Dtype", "Regime"
GROUPS = (ACTIVATION, ERROR, UNKNOWN, DTYPE, REGIME)
MOST_COLUMNS, MOST_ROWS = 40, 200
DEEPEST = 20
CHARGED = frozenset(set(Verdict) - {Verdict.AGREE, Verdict.ABSENT})
"""Verdicts of a record that count for the function they were found in, and for no other function of the case."""
BLAMED = frozenset({verdict for verdict in Verdict if verdict.fails} | {Verdict.INACCURATE, Verdict.CONVENTION})
"""Of these, those that are some function's doing even where the record does not say which."""


class Column(NamedTuple):
    """A framework and one of its modes."""

    framework: str
    mode: str

    def __str__(self) -> str:
        return f"{self.framework}:{self.mode}" if self.mode else self.framework

    @property
    def words(self) -> str:
        return f"{self.framework} {self.mode}".strip()


class Parts(NamedTuple):
    """What a case's text says: its different activations, error function, regime, and number of boxes."""

    activations: tuple[str, ...] = ()
    error: str = ""
    regime: str = ""
    depth: int = 0


@functools.lru_cache(maxsize=4096)
def parts_of(spec: str) -> Parts:
    """The parts of a case's text, read without knowing its functions; empty where it is no such text."""
    pieces = split_outside_parentheses(spec, ":")
    if len(pieces) != 7:
        return Parts()
    depth = 0
    names: dict[str, None] = {}
    for piece in split_outside_parentheses(pieces[1], ","):
        match = re.fullmatch(r"(.*?)(?:\*([1-9]\d{0,3}))?", piece, re.DOTALL)
        name, times = (match[1], int(match[2] or 1)) if match else (piece, 1)
        depth, names[name] = depth + times, None
    return Parts(tuple(names), pieces[2], pieces[5], min(depth, DEEPEST))


def depth_label(depth: int) -> str:
    """``3 boxes``, ``20+ boxes``; a question mark where the case's text does not say."""
    if not depth:
        return "?"
    return "1 box" if depth == 1 else f"{depth}{'+' if depth == DEEPEST else ''} boxes"


@dataclass
class Cell:
    """The verdicts of the records that count for one row and column."""

    counts: Counter[Verdict] = field(default_factory=Counter)
    known: int = 0

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def verdict(self) -> Verdict:
        return worst(self.counts)

    @property
    def share(self) -> str:
        """``3 of 600``, or only the number where all have the same verdict; other failures and known ones are told."""
        ours = self.counts[self.verdict]
        failing = sum(n for verdict, n in self.counts.items() if verdict.fails)
        more = f", {shown_number(failing - ours)} more fail" if failing > ours else ""
        more += f", {shown_number(self.known)} known" if self.known else ""
        return shown_number(ours) + ("" if ours == self.total else f" of {shown_number(self.total)}") + more


@dataclass
class Matrix:
    """cells[group][row][column]; what has no cell was not run."""

    columns: Names = field(default_factory=lambda: Names(MOST_COLUMNS))
    rows: dict[str, Names] = field(default_factory=lambda: {group: Names(MOST_ROWS) for group in GROUPS})
    cells: dict[str, dict[str, dict[Column, Cell]]] = field(default_factory=lambda: {group: {} for group in GROUPS})

    def column(self, record: Record) -> Column:
        column = Column(named(record.framework), named(record.mode))
        return column if self.columns.fold(str(column)) == str(column) else Column("(others)", "")

    def add(self, record: Record, column: Column, known: bool = False) -> None:
        for group, name in rows_of(record):
            row = self.cells[group].setdefault(self.rows[group].fold(named(name)), {})
            cell = row.setdefault(column, Cell())
            cell.counts[record.verdict] += 1
            cell.known += known

    def merged(self, group: str) -> dict[str, dict[str, Cell]]:
        """The group's rows by framework, its modes counted together."""
        rows: dict[str, dict[str, Cell]] = {}
        for name, cells in self.cells[group].items():
            row = rows.setdefault(name, {})
            for column, cell in cells.items():
                merged = row.setdefault(column.framework, Cell())
                merged.counts.update(cell.counts)
                merged.known += cell.known
        return rows


def rows_of(record: Record) -> Iterator[tuple[str, str]]:
    """The rows that a record counts for, each a group and a name."""
    parts = parts_of(record.spec)
    yield from _functions(record, parts)
    yield DTYPE, record.dtype
    if parts.regime:
        yield REGIME, parts.regime


def _functions(record: Record, parts: Parts) -> Iterator[tuple[str, str]]:
    if record.function and record.verdict in CHARGED:
        is_error = record.box == "error" or (
            record.function == parts.error and record.function not in parts.activations
        )
        yield (ERROR if is_error else ACTIVATION), record.function
    elif record.verdict in BLAMED:
        yield UNKNOWN, "no box could be named"
    else:
        yield from ((ACTIVATION, name) for name in parts.activations)
        if parts.error:
            yield ERROR, parts.error
