"""A summary of a run: everything that a report shows, gathered in one pass over the records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gradagree.arithmetics.model import FORMATS
from gradagree.reporting.answer import sentence
from gradagree.reporting.blocks import Blocks
from gradagree.reporting.causes import Findings
from gradagree.reporting.folding import Groups, Names
from gradagree.reporting.matrix import Column, Matrix, parts_of
from gradagree.reporting.provenance import mapping, planned
from gradagree.reporting.rows import Rows
from gradagree.reporting.spread import Spread
from gradagree.reporting.texts import named, value_of, visible
from gradagree.verdict import Record, Verdict, exit_code

__all__ = ["Convention", "Dropped", "Share", "Summary", "summarize"]

MOST_GROUPS, MOST_DTYPES, MOST_VERSIONS = 500, 16, 64
UNJUDGED = (Verdict.UNDECIDED, Verdict.OUT_OF_RANGE)


class Convention(NamedTuple):
    """A legitimate slope at a kink, and who takes it."""

    function: str
    column: Column
    reason: str


class Dropped(NamedTuple):
    """Why records hold no verdict on a gradient."""

    verdict: Verdict
    column: Column
    reason: str


@dataclass
class Share:
    """The share of gradient entries that are larger than their tolerance or exactly zero, over records."""

    count: int = 0
    total: float = 0.0
    least: float = 1.0

    def add(self, share: float | None) -> None:
        if share is not None:
            self.count, self.total, self.least = self.count + 1, self.total + share, min(self.least, share)

    @property
    def mean(self) -> float:
        return self.total / self.count if self.count else 0.0


@dataclass
class Summary:
    """Counts, matrix, spreads and findings of the records seen so far; ``add`` takes one more."""

    meta: dict[str, Any] = field(default_factory=dict)
    total: int = 0
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    columns: dict[Column, Counter[Verdict]] = field(default_factory=dict)
    versions: dict[str, dict[str, None]] = field(default_factory=dict)
    matrix: Matrix = field(default_factory=Matrix)
    ratios: dict[str, Spread] = field(default_factory=dict)
    sharpness: dict[str, Spread] = field(default_factory=dict)
    by_depth: dict[tuple[str, int], Spread] = field(default_factory=dict)
    shares: dict[str, Share] = field(default_factory=dict)
    findings: Findings = field(default_factory=Findings)
    conventions: Groups[Convention] = field(default_factory=lambda: Groups(MOST_GROUPS))
    dropped: Groups[Dropped] = field(default_factory=lambda: Groups(MOST_GROUPS))
    blocks: Blocks = field(default_factory=Blocks)
    rows: Rows = field(default_factory=Rows)
    _dtypes: Names = field(default_factory=lambda: Names(MOST_DTYPES))

    def __post_init__(self) -> None:
        self.blocks.strict = self.strict

    def add(self, record: Record) -> None:
        column = self.matrix.column(record)
        self.total += 1
        self.verdicts[record.verdict] += 1
        self.columns.setdefault(column, Counter())[record.verdict] += 1
        self.matrix.add(record, column)
        self.blocks.add(record, column)
        self.rows.add(record)
        if record.verdict.compared:
            self._measure(record, column)
        self._explain(record, column)

    def _measure(self, record: Record, column: Column) -> None:
        versions = self.versions.setdefault(column.framework, {})
        if record.version and len(versions) < MOST_VERSIONS:
            versions[named(record.version)] = None
        dtype = self._dtypes.fold(named(record.dtype))
        if record.ratio is not None:
            self.ratios.setdefault(dtype, Spread()).add(value_of(record.ratio))
        if record.sharpness is not None:
            sharpness = value_of(record.sharpness)
            self.sharpness.setdefault(dtype, Spread()).add(sharpness)
            self.by_depth.setdefault((dtype, parts_of(record.spec).depth), Spread()).add(sharpness)
        self.shares.setdefault(dtype, Share()).add(record.share)

    def _explain(self, record: Record, column: Column) -> None:
        verdict, reason = record.verdict, visible(record.reason or record.verdict.meaning)
        if verdict.fails or verdict is Verdict.INACCURATE:
            self.findings.add(record)
        elif verdict is Verdict.CONVENTION:
            self.conventions.add(Convention(named(record.function or "?"), column, reason))
        elif verdict in UNJUDGED or not verdict.compared:
            self.dropped.add(Dropped(verdict, column, reason))

    @property
    def strict(self) -> bool:
        return self.meta.get("strict") is True

    @property
    def extensions(self) -> list[str]:
        """The files of the user's own functions, for the replay commands."""
        files = self.meta.get("extensions")
        return [file for file in files if isinstance(file, str)] if isinstance(files, list) else []

    @property
    def counts(self) -> dict[Verdict, int]:
        """How many records have each verdict, the worst first; they add up to ``total``."""
        return {verdict: self.verdicts[verdict] for verdict in Verdict if self.verdicts[verdict]}

    @property
    def compared(self) -> int:
        return sum(n for verdict, n in self.counts.items() if verdict.compared)

    @property
    def failing(self) -> int:
        return sum(n for verdict, n in self.counts.items() if verdict.fails)

    @property
    def exit(self) -> int:
        """The exit code that the records stand for."""
        return exit_code(self.counts, self.strict)

    @property
    def dtypes(self) -> list[str]:
        """Those measured, the widest first."""
        found = dict.fromkeys([*self.sharpness, *self.ratios])
        return [name for name in FORMATS if name in found] + [name for name in found if name not in FORMATS]

    @property
    def missing(self) -> dict[str, int]:
        """Records that were planned and are not there, by ``framework:mode``."""
        recorded = {str(column): counts.total() for column, counts in self.columns.items()}
        short = {name: count - recorded.get(name, 0) for name, count in planned(self.meta).items()}
        return {name: count for name, count in short.items() if count > 0}

    @property
    def frameworks(self) -> dict[str, Any]:
        return mapping(self.meta.get("frameworks"))

    @property
    def sentence(self) -> str:
        """The answer in one sentence."""
        return sentence(self)


def summarize(meta: dict[str, Any], records: Iterable[Record]) -> Summary:
    """The summary of a run's records, read once."""
    summary = Summary(meta)
    for record in records:
        summary.add(record)
    return summary
