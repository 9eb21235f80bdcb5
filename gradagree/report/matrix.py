"""Verdicts by function and mode, by gradient of an architecture, and the spread of measured numbers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from gradagree.cases.graph_text import DENSE
from gradagree.cases.text import CaseText, split_case
from gradagree.checker.verdict import Record, Verdict, worst
from gradagree.reference import Activation
from gradagree.report.text import format_count, short_name, visible

OTHERS = "(others)"
Key = TypeVar("Key", bound=Hashable)


@dataclass
class Names:
    """Hands a name back while there is room for new ones, else ``(others)``."""

    room: int
    known: dict[str, None] = field(default_factory=dict)

    def fold(self, name: str) -> str:
        if name not in self.known:
            if len(self.known) >= self.room:
                return OTHERS
            self.known[name] = None
        return name


@dataclass
class Groups(Generic[Key]):
    """Counts by key; beyond a maximum of keys, new ones are only counted, in ``further``."""

    room: int
    counts: Counter[Key] = field(default_factory=Counter)
    further: int = 0

    def add(self, key: Key) -> None:
        if key in self.counts or len(self.counts) < self.room:
            self.counts[key] += 1
        else:
            self.further += 1

    @property
    def total(self) -> int:
        return sum(self.counts.values()) + self.further

    def most_first(self) -> list[tuple[Key, int]]:
        return sorted(self.counts.items(), key=lambda item: -item[1])


PER_DECADE = 256
"""Fine bins of one factor of ten: a quantile is off by a factor of at most 10^(1/512)."""
BARS = 4
"""Bars of a histogram in one decade."""


@dataclass(frozen=True)
class Histogram:
    """bars[k] numbers lie in [10^(k/4), 10^((k+1)/4)); zeros are exactly 0, infinite are not finite."""

    bars: dict[int, int]
    zeros: int
    infinite: int

    @property
    def total(self) -> int:
        return sum(self.bars.values()) + self.zeros + self.infinite


@dataclass
class Spread:
    """How numbers from 0 to infinity are spread; NaN counts as infinity."""

    fine: Counter[int] = field(default_factory=Counter)
    zeros: int = 0
    infinite: int = 0
    least: float = math.inf
    most: float = 0.0

    def add(self, x: float) -> None:
        if not x < math.inf:
            self.infinite += 1
            return
        if x <= 0:
            self.zeros += 1
        else:
            self.fine[math.floor(math.log10(x) * PER_DECADE)] += 1
        self.least, self.most = min(self.least, x), max(self.most, x)

    @property
    def total(self) -> int:
        return self.zeros + self.infinite + sum(self.fine.values())

    def quantile(self, q: float) -> float:
        """The smallest number that a share q of all does not exceed, to a factor of 10^(1/512); NaN for no numbers."""
        rank = max(math.ceil(q * self.total), 1)
        seen = 0
        for value, count in self._ascending():
            seen += count
            if seen >= rank:
                return value
        return math.nan

    def _ascending(self) -> Iterator[tuple[float, int]]:
        yield 0.0, self.zeros
        for place, count in sorted(self.fine.items()):
            middle = 10 ** ((place + 0.5) / PER_DECADE) if place < 308 * PER_DECADE else self.most
            yield min(max(middle, self.least), self.most), count
        yield math.inf, self.infinite

    def histogram(self) -> Histogram:
        bars: Counter[int] = Counter()
        for place, count in self.fine.items():
            bars[place // (PER_DECADE // BARS)] += count
        return Histogram(dict(sorted(bars.items())), self.zeros, self.infinite)


ACTIVATION, LAYER, ERROR, UNKNOWN = "Activation", "Layer", "Error function", "Function not known"
ARCHITECTURE, DTYPE, REGIME = "Architecture", "Dtype", "Regime"
GROUPS = (ACTIVATION, LAYER, ERROR, UNKNOWN, ARCHITECTURE, DTYPE, REGIME)
MOST_COLUMNS, MOST_ROWS = 40, 200
DEEPEST = 20
CHARGED = frozenset(set(Verdict) - {Verdict.AGREE, Verdict.ABSENT})
"""Verdicts of a record that count for the function they were found in, and for no other function of the case."""
BLAMED = frozenset({verdict for verdict in Verdict if verdict.fails} | {Verdict.INACCURATE, Verdict.CONVENTION})
"""Of these, those that are some function's doing even where the record does not say which."""


def is_beside(record: Record, own: Sequence[str]) -> bool:
    """True if a record that is not right is about a function that is not one of the user's own."""
    return bool(record.function) and record.verdict in BLAMED and str(record.function).partition("(")[0] not in own


class Column(NamedTuple):
    """A framework and one of its modes."""

    framework: str
    mode: str

    def __str__(self) -> str:
        return f"{self.framework}:{self.mode}" if self.mode else self.framework

    @property
    def words(self) -> str:
        return f"{self.framework} {self.mode}".strip()


def depth_label(depth: int) -> str:
    """``3 ops``, ``20+ ops``; a question mark if the text of the case cannot be read."""
    if not depth:
        return "?"
    return f"{depth}{'+' if depth == DEEPEST else ''} op{'s' * (depth > 1)}"


@dataclass
class Cell:
    """The verdicts of the records that count for one row and column."""

    counts: Counter[Verdict] = field(default_factory=Counter)
    known: int = 0
    known_failing: int = 0

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def accepted(self) -> bool:
        """Whether there are failures, and all of them are known."""
        return 0 < self.known_failing == sum(n for verdict, n in self.counts.items() if verdict.fails)

    @property
    def verdict(self) -> Verdict:
        return worst(self.counts)

    @property
    def share(self) -> str:
        """``3 of 600``, or only the number where all have the same verdict; names other failures and known ones."""
        ours = self.counts[self.verdict]
        failing = sum(n for verdict, n in self.counts.items() if verdict.fails)
        more = f", {format_count(failing - ours)} more fail" if failing > ours else ""
        more += f", {format_count(self.known)} known" if self.known else ""
        return format_count(ours) + ("" if ours == self.total else f" of {format_count(self.total)}") + more


@dataclass
class Matrix:
    """cells[group][row][column]; what has no cell was not run."""

    columns: Names = field(default_factory=lambda: Names(MOST_COLUMNS))
    rows: dict[str, Names] = field(default_factory=lambda: {group: Names(MOST_ROWS) for group in GROUPS})
    cells: dict[str, dict[str, dict[Column, Cell]]] = field(default_factory=lambda: {group: {} for group in GROUPS})

    def column(self, record: Record) -> Column:
        column = Column(short_name(record.framework), short_name(record.mode))
        return column if self.columns.fold(str(column)) == str(column) else Column("(others)", "")

    def add(self, record: Record, column: Column, known: bool = False) -> None:
        for group, name in rows_of(record):
            row = self.cells[group].setdefault(self.rows[group].fold(short_name(name)), {})
            cell = row.setdefault(column, Cell())
            cell.counts[record.verdict] += 1
            cell.known += known
            cell.known_failing += known and record.verdict.fails

    def merged(self, group: str) -> dict[str, dict[str, Cell]]:
        """The group's rows by framework, its modes counted together."""
        rows: dict[str, dict[str, Cell]] = {}
        for name, cells in self.cells[group].items():
            row = rows.setdefault(name, {})
            for column, cell in cells.items():
                merged = row.setdefault(column.framework, Cell())
                merged.counts.update(cell.counts)
                merged.known += cell.known
                merged.known_failing += cell.known_failing
        return rows


def rows_of(record: Record) -> Iterator[tuple[str, str]]:
    """The rows that a record counts for, each a group and a name."""
    parts = split_case(record.spec)
    yield from _functions(record, parts)
    if parts.parts:
        yield ARCHITECTURE, parts.family or DENSE
    yield DTYPE, record.dtype
    if parts.regime:
        yield REGIME, parts.regime


def _functions(record: Record, parts: CaseText) -> Iterator[tuple[str, str]]:
    if record.function and record.verdict in CHARGED:
        is_error = record.box == "error" or (
            record.function == parts.error and record.function not in parts.activations
        )
        yield (ERROR if is_error else group_of(record.function, parts)), record.function
    elif record.verdict in BLAMED:
        yield UNKNOWN, "operation not known"
    else:
        yield from ((group_of(name, parts), name) for name in parts.activations)
        if parts.error:
            yield ERROR, parts.error


def group_of(function: str, parts: CaseText) -> str:
    """Whether an operation of a case is an activation, or a layer of a graph."""
    is_layer = parts.family and function.partition("(")[0] not in Activation.catalogue
    return LAYER if is_layer else ACTIVATION


SIZE = 50
MOST_BLOCKS, MOST_FAILURES, MOST_REASONS = 20_000, 20, 3
DECIDED = frozenset({verdict for verdict in Verdict if verdict.fails}) | {
    Verdict.INACCURATE, Verdict.CONVENTION, Verdict.AGREE
}  # fmt: skip


class Place(NamedTuple):
    """A block: number counts from 0; None collects those beyond the maximum."""

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
        """True if one of its records decides that a gradient is right or wrong."""
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
