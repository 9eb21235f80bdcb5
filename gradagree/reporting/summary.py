"""A summary of a run: everything that a report shows, gathered in one pass over the records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gradagree.arithmetics.model import FORMATS
from gradagree.known import Entry, known_of
from gradagree.reporting.accepted import Accepted
from gradagree.reporting.answer import sentence
from gradagree.reporting.blocks import Blocks
from gradagree.reporting.causes import Cause, Findings
from gradagree.reporting.folding import Groups, Names
from gradagree.reporting.matrix import Column, Matrix, parts_of
from gradagree.reporting.provenance import mapping, planned
from gradagree.reporting.rows import Rows
from gradagree.reporting.small import Small
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
    concluded: Counter[str] = field(default_factory=Counter)
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
    accepted: Accepted = field(default_factory=Accepted)
    small: dict[Cause, Small] = field(default_factory=dict)
    _dtypes: Names = field(default_factory=lambda: Names(MOST_DTYPES))

    def __post_init__(self) -> None:
        self.blocks.strict = self.strict
        self.accepted.entries = known_of(self.meta.get("known"))

    def add(self, record: Record) -> None:
        column = self.matrix.column(record)
        self.total += 1
        self.verdicts[record.verdict] += 1
        self.columns.setdefault(column, Counter())[record.verdict] += 1
        self.concluded[str(column)] += record.spec.startswith("convention:")
        entry = self.accepted.see(record, column)
        self.matrix.add(record, column, entry is not None)
        self.blocks.add(record, column, entry is not None)
        self.rows.add(record, entry is not None)
        if record.verdict.compared:
            self._measure(record, column)
        self._explain(record, column, entry)

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

    def _explain(self, record: Record, column: Column, entry: Entry | None) -> None:
        verdict, reason = record.verdict, visible(record.reason or record.verdict.meaning)
        if verdict.fails or verdict is Verdict.INACCURATE:
            self.findings.add(record, entry)
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
        """Records that fail and are not known."""
        return sum(n for verdict, n in self.unknown.items() if verdict.fails)

    @property
    def unknown(self) -> dict[Verdict, int]:
        """The counts without the known differences."""
        left = {verdict: n - self.accepted.verdicts[verdict] for verdict, n in self.counts.items()}
        return {verdict: n for verdict, n in left.items() if n}

    @property
    def exit(self) -> int:
        """The exit code that the records stand for."""
        return self.ended(self.strict)

    def ended(self, strict: bool) -> int:
        """The exit code: known differences do not count, but one that is stale or has expired fails."""
        if self.accepted.spent:
            return 1
        nothing_else = not any(verdict.compared for verdict in self.unknown)
        return 0 if self.accepted.total and nothing_else else exit_code(self.unknown, strict)

    @property
    def dtypes(self) -> list[str]:
        """Those measured, the widest first."""
        found = dict.fromkeys([*self.sharpness, *self.ratios])
        return [name for name in FORMATS if name in found] + [name for name in found if name not in FORMATS]

    @property
    def missing(self) -> dict[str, int]:
        """Records that were planned and are not there, by ``framework:mode``."""
        recorded = Counter({str(column): counts.total() for column, counts in self.columns.items()})
        recorded.subtract(self.concluded)
        short = {name: count - recorded[name] for name, count in planned(self.meta).items()}
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
