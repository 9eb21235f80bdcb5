"""The contents of a report, collected in one pass over the records, and the summary sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gradagree.arithmetic.model import FORMATS
from gradagree.cases.graph_case import AnyCase
from gradagree.cases.text import split_case
from gradagree.checker.verdict import CONVENTION, Record, Verdict, exit_code
from gradagree.report.findings import Accepted, Cause, Findings, Small
from gradagree.report.matrix import DEEPEST, Blocks, Column, Groups, Matrix, Names, Spread, is_beside
from gradagree.report.provenance import mapping, not_installed, planned_counts
from gradagree.report.rows import Rows
from gradagree.report.text import count_noun, format_count, join_words, short_name, value_of, visible
from gradagree.runner.known import known_in
from gradagree.runner.known_entry import Entry

MOST_NAMED, MOST_FRAMEWORKS = 3, 12
OTHER_FAILURES = {
    frozenset({Verdict.CRASHED}): ("crashed", "crashed"),
    frozenset({Verdict.TIMEOUT}): ("exceeded its time limit", "exceeded their time limit"),
    frozenset({Verdict.CRASHED, Verdict.TIMEOUT}): ("returned no gradient", "returned no gradient"),
    frozenset({Verdict.SUSPECT}): ("probably disagrees with the reference", "probably disagree with the reference"),
}
DISAGREES = ("disagrees with the reference", "disagree with the reference")
PHRASES = {
    Verdict.AGREE: "agree",
    Verdict.CONVENTION: "with another admissible derivative at a kink",
    Verdict.INACCURATE: "inaccurate",
    Verdict.OUT_OF_RANGE: "out of range",
    Verdict.UNDECIDED: "undecided",
}
RIGHT = (Verdict.AGREE, Verdict.CONVENTION, Verdict.INACCURATE)
OPEN = (Verdict.OUT_OF_RANGE, Verdict.UNDECIDED)
KNOWN, KNOWN_UPSTREAM = "known to differ", "known upstream"


def sentence(summary: Summary) -> str:
    """The summary sentence: agreement with the reference, relative tolerances, and what is missing."""
    if not summary.compared:
        return _nothing(summary) + _missing(summary) + "."
    answer = _failures(summary) if summary.failing else _agreement(summary)
    return (
        answer + _companion_clause(summary) + _outdated_clause(summary) + _tolerance(summary) + _missing(summary) + "."
    )


def split_sentence(text: str, answer: str = "") -> tuple[str, str]:
    """A headline and its details, each a sentence: the answer, by default the first clause, and the other clauses."""
    clauses = text.removesuffix(".")
    answer = answer or clauses.partition("; ")[0]
    details = clauses.removeprefix(answer).removeprefix("; ")
    return f"{answer}.", f"{details[0].upper()}{details[1:]}." if details else ""


def _nothing(summary: Summary) -> str:
    if summary.total:
        columns: dict[str, dict[str, None]] = {}
        for dropped, _ in summary.dropped.most_first():
            columns.setdefault(dropped.reason, {})[dropped.column.framework] = None
        reasons = [f"{join_words(list(names)[:MOST_NAMED])}: {reason}" for reason, names in columns.items()]
        return f"Nothing was compared in {count_noun(summary.total, 'record')} ({_some(reasons)})"
    absent = not_installed(summary.meta)
    if absent and len(absent) == len(mapping(summary.meta.get("frameworks"))):
        return f"Nothing was compared ({_some([f'{name}: {reason}' for name, reason in absent.items()])})"
    return "Nothing was compared: there are no records"


def _some(reasons: list[str]) -> str:
    return visible("; ".join(reasons[:MOST_NAMED]), 400)


def _agreement(summary: Summary) -> str:
    right = sum(summary.verdicts[verdict] for verdict in RIGHT)
    if not right:
        return f"Nothing was decided: {count_noun(summary.compared, 'gradient')} compared, {_breakdown(summary, OPEN)}"
    names = _names(summary)
    verb = "agrees" if len(names) == 1 else "agree"
    everything = right == summary.compared > 1
    extent = f"{'all' if everything else format_count(right) + ' of'} {count_noun(summary.compared, 'gradient')}"
    how, rest = _breakdown(summary, RIGHT[1:]), _breakdown(summary, OPEN)
    how, rest = how and f", {how}", rest and f"; {rest}"
    return f"{join_words(names)} {verb} with the reference on {extent}{how}{rest}"


def _breakdown(summary: Summary, verdicts: Iterable[Verdict]) -> str:
    """``8 inaccurate and 7 undecided``: the verdicts that occur; known failures stand with the undecided."""
    there = [verdict for verdict in verdicts if summary.verdicts[verdict]]
    words = [f"{format_count(summary.verdicts[verdict])} {PHRASES[verdict]}" for verdict in there]
    upstream = summary.accepted.failing_upstream
    for n, word in ((summary.accepted.failing - upstream, KNOWN), (upstream, KNOWN_UPSTREAM)):
        words += [f"{format_count(n)} {word}"] * bool(n and Verdict.UNDECIDED in verdicts)
    return join_words(words)


def _names(summary: Summary) -> list[str]:
    """Every framework that was compared, with its version, the build's label left out."""
    names = []
    for framework, versions in summary.versions.items():
        short = list(dict.fromkeys(version.partition("+")[0] for version in versions))
        names.append(" ".join(filter(None, [framework, join_words(short[:MOST_NAMED])])))
    names[MOST_FRAMEWORKS:] = [f"{len(names) - MOST_FRAMEWORKS} more"] * (len(names) > MOST_FRAMEWORKS)
    return names


def _failures(summary: Summary) -> str:
    """The failing modes, their numbers and verdicts, and the verdicts of the other records."""
    known = summary.accepted.columns
    left = {
        column: counts - known.get(column, Counter()) - summary.companions.get(column, Counter())
        for column, counts in summary.columns.items()
    }
    failing = {column.words: _number_failing(counts) for column, counts in left.items()}
    worst_first = sorted((name for name, n in failing.items() if n), key=lambda name: -failing[name])
    several = len(worst_first) > 1
    named = [f"{name} ({format_count(failing[name])})" if several else name for name in worst_first]
    named[MOST_NAMED:] = [f"{len(named) - MOST_NAMED} more"] * (len(named) > MOST_NAMED)
    counts = {verdict: n for verdict, n in summary.unknown.items() if verdict.fails}
    verb = OTHER_FAILURES.get(frozenset(counts), DISAGREES)[several]
    words = join_words([f"{format_count(n)} {verdict}" for verdict, n in counts.items()]) + _blamed(summary)
    others = summary.compared - summary.failing
    rest = f"; of the other {format_count(others)}, {_breakdown(summary, PHRASES)}" if others else ""
    extent = f"{format_count(summary.failing)} of {count_noun(summary.compared, 'gradient')}"
    return f"{join_words(named)} {verb} in {extent} ({words}){rest}"


def _blamed(summary: Summary) -> str:
    """``, in swish and gelu``: the functions with the most failures."""
    found: Counter[str] = Counter()
    for finding in summary.findings:
        if finding.cause.verdict.fails and finding.accepted is None and not summary.is_companion(finding.example):
            found[finding.cause.function.partition("(")[0]] += finding.count
    names = [short_name(name) for name, _ in found.most_common() if name]
    names[MOST_NAMED:] = [f"{len(names) - MOST_NAMED} more"] * (len(names) > MOST_NAMED)
    return f", in {join_words(names)}" if names else ""


def _companion_clause(summary: Summary) -> str:
    """Failures in functions drawn beside the user's own, which do not fail a run."""
    failing = sum(map(_number_failing, summary.companions.values()))
    return f"; {format_count(failing)} in other functions than yours do not count" if failing else ""


def _number_failing(counts: Counter[Verdict]) -> int:
    return sum(n for verdict, n in counts.items() if verdict.fails)


def _outdated_clause(summary: Summary) -> str:
    """Outdated known differences, which fail a run."""
    outdated = summary.accepted.outdated
    expired = sum(one.expired for one in outdated)
    parts = [(expired, "expired"), (len(outdated) - expired, "stale")]
    words = join_words(
        [f"{count_noun(n, 'known difference')} {'is' if n == 1 else 'are'} {word}" for n, word in parts if n]
    )
    return f"; {words}" if words else ""


def _tolerance(summary: Summary) -> str:
    measured = [(name, summary.sharpness[name]) for name in summary.dtypes if name in summary.sharpness]
    medians = [f"{spread.quantile(0.5):.1g} ({name})" for name, spread in measured]
    return f"; the median tolerance was {join_words(medians)} of the largest entry" if medians else ""


def _missing(summary: Summary) -> str:
    missing, total = sum(summary.missing.values()), sum(planned_counts(summary.meta).values())
    if not missing:
        return ""
    return f"; the run is incomplete: {format_count(missing)} of {format_count(total)} planned records are missing"


class BluntArray(NamedTuple):
    """An array of a function, as `Record.blunt` names it, in one dtype."""

    name: str
    dtype: str


@dataclass
class LargestTolerance:
    """Relative tolerances of the records that agree and name the same array: their number and the largest one."""

    count: int = 0
    largest: float = 0.0

    def add(self, sharpness: float) -> None:
        self.count, self.largest = self.count + 1, max(self.largest, sharpness)


MOST_GROUPS, MOST_DTYPES, MOST_VERSIONS, MOST_BLUNT = 500, 16, 64, 4000


class ConventionRow(NamedTuple):
    """A one-sided derivative at a kink, and the modes that return it."""

    function: str
    column: Column
    reason: str


class Dropped(NamedTuple):
    """Why records do not decide whether a gradient is right."""

    verdict: Verdict
    column: Column
    reason: str


@dataclass
class Share:
    """The share of gradient entries that are checked, larger than their tolerance or exactly zero, over records."""

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
    blunt: dict[BluntArray, LargestTolerance] = field(default_factory=dict)
    findings: Findings = field(default_factory=Findings)
    conventions: Groups[ConventionRow] = field(default_factory=lambda: Groups(MOST_GROUPS))
    dropped: Groups[Dropped] = field(default_factory=lambda: Groups(MOST_GROUPS))
    blocks: Blocks = field(default_factory=Blocks)
    rows: Rows = field(default_factory=Rows)
    accepted: Accepted = field(default_factory=Accepted)
    small: dict[Cause, Small] = field(default_factory=dict)
    companions: dict[Column, Counter[Verdict]] = field(default_factory=dict)
    _dtypes: Names = field(default_factory=lambda: Names(MOST_DTYPES))

    def __post_init__(self) -> None:
        self.blocks.strict = self.strict
        self.accepted.entries = known_in(self.meta)
        self.findings.is_companion = self.is_companion

    def is_companion(self, record: Record) -> bool:
        """True if a record that is not right is about a function that was only drawn beside the user's own."""
        own = self.meta.get("own")
        return isinstance(own, list) and is_beside(record, own)

    def add(self, record: Record) -> None:
        column = self.matrix.column(record)
        self.total += 1
        self.verdicts[record.verdict] += 1
        self.columns.setdefault(column, Counter())[record.verdict] += 1
        self.concluded[str(column)] += record.spec.startswith(CONVENTION)
        entry = self.accepted.see(record, column)
        beside = entry is None and self.is_companion(record)
        if beside:
            self.companions.setdefault(column, Counter())[record.verdict] += 1
        self.matrix.add(record, column, entry is not None)
        self.blocks.add(record, column, entry is not None or beside)
        self.rows.add(record, entry is not None)
        if record.verdict.compared:
            self._measure(record, column)
        self._explain(record, column, entry)

    def _measure(self, record: Record, column: Column) -> None:
        versions = self.versions.setdefault(column.framework, {})
        if record.version and len(versions) < MOST_VERSIONS:
            versions[short_name(record.version)] = None
        dtype = self._dtypes.fold(short_name(record.dtype))
        if record.ratio is not None:
            self.ratios.setdefault(dtype, Spread()).add(value_of(record.ratio))
        if record.sharpness is not None:
            sharpness = value_of(record.sharpness)
            self.sharpness.setdefault(dtype, Spread()).add(sharpness)
            self.by_depth.setdefault((dtype, min(split_case(record.spec).depth, DEEPEST)), Spread()).add(sharpness)
        self.shares.setdefault(dtype, Share()).add(record.share)
        self._measure_blunt(record, dtype)

    def _measure_blunt(self, record: Record, dtype: str) -> None:
        if record.verdict is not Verdict.AGREE or record.blunt is None:
            return
        array = BluntArray(short_name(record.blunt), dtype)
        if array in self.blunt or len(self.blunt) < MOST_BLUNT:
            self.blunt.setdefault(array, LargestTolerance()).add(value_of(record.sharpness))

    def _explain(self, record: Record, column: Column, entry: Entry | None) -> None:
        verdict, reason = record.verdict, visible(record.reason or record.verdict.meaning)
        if verdict.fails or verdict is Verdict.INACCURATE:
            self.findings.add(record, entry)
        elif verdict is Verdict.CONVENTION:
            self.conventions.add(ConventionRow(short_name(record.function or "?"), column, reason))
        elif verdict in OPEN or not verdict.compared:
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
        """The counts without the known differences, and without faults of functions beside the user's own."""
        beside = sum(self.companions.values(), Counter[Verdict]())
        left = {verdict: n - self.accepted.verdicts[verdict] - beside[verdict] for verdict, n in self.counts.items()}
        return {verdict: n for verdict, n in left.items() if n}

    @property
    def exit(self) -> int:
        """The exit code that the records stand for."""
        return self.exit_code_for(self.strict)

    def exit_code_for(self, strict: bool) -> int:
        """The exit code: known differences do not count, but one that is stale or has expired fails."""
        if self.accepted.outdated:
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
        short = {name: count - recorded[name] for name, count in planned_counts(self.meta).items()}
        return {name: count for name, count in short.items() if count > 0}

    @property
    def frameworks(self) -> dict[str, Any]:
        return mapping(self.meta.get("frameworks"))

    @property
    def sentence(self) -> str:
        """The summary in one sentence."""
        return sentence(self)

    @property
    def headline(self) -> tuple[str, str]:
        """The answer, and the other clauses of the sentence."""
        return split_sentence(self.sentence, "" if self.compared else _nothing(self))


def summarize(
    meta: dict[str, Any], records: Iterable[Record], find_case: Callable[[str], AnyCase | None] = lambda spec: None
) -> Summary:
    """The summary of a run's records, read once. `find_case` finds the cases that their texts do not determine."""
    summary = Summary(meta)
    summary.accepted.find_case = find_case
    for record in records:
        summary.add(record)
    return summary
