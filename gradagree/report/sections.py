"""Sections of a report as data: tables and findings, rendered by console, Markdown and HTML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from gradagree.cases.case import Case
from gradagree.checker.failures import describe_input
from gradagree.checker.verdict import ORDER, Record, Verdict, describe_operation
from gradagree.errors import UsageError
from gradagree.report.findings import FindingGroup, Small, array_texts
from gradagree.report.matrix import GROUPS, Cell, Column
from gradagree.report.provenance import Run, not_installed
from gradagree.report.summary import Summary
from gradagree.report.text import DASH, brief, count_noun, format_count, format_exact, replay, short_name, tone, visible

QUANTILES = (0.05, 0.5, 0.95)
QUANTILE_NAMES, SHARE_NAMES = ("5 %", "median", "95 %"), ("checked", "at least")
NOT_RUN = "not run"
MOST_BLUNT_ROWS = 12
LARGEST_CASE = 100_000
"""Weights of a case of which the input at fault is shown."""
CSS_CLASSES = {
    "num": ("records", "cases", "factor", *QUANTILE_NAMES, *SHARE_NAMES, "largest"),
    "shown": ("shown by", "for example"),
    "why": ("difference", "reason", "derivative", "why", "first", "second"),
}
"""Classes of table cells in HTML, each with the columns that have it."""


class Span(NamedTuple):
    """The text of a table cell. tone is bad, doubtful, good or none for a verdict or state; note is less prominent."""

    text: str
    symbol: str = ""
    tone: str = ""
    code: bool = False
    note: str = ""

    @property
    def words(self) -> str:
        return f"{self.text} {self.note}".strip()

    @property
    def plain(self) -> str:
        return f"{self.symbol} {self.words}".strip()


class Table(NamedTuple):
    """A section with a table.

    Args:
        name: Title of the section.
        head: Names of the columns.
        rows: The cells, the first of which names its row.
        words: An introduction, or why there are no rows.
        left_out: Number of rows that are not shown.
        noun: Noun for rows that are not shown.
        unit: Plural noun for the rows.
        over: Names above the columns from the second one on, each with its number of columns.
        groups: Names above the rows, each with its number of rows.
        style: Class of the HTML table.
        note: A remark below the table.
    """

    name: str
    head: tuple[str, ...]
    rows: Sequence[Sequence[Span]]
    words: str = ""
    left_out: int = 0
    noun: str = "further row"
    unit: str = "rows"
    over: tuple[tuple[str, int], ...] = ()
    groups: tuple[tuple[str, int], ...] = ()
    style: str = ""
    note: str = ""

    @property
    def further(self) -> str:
        """``3 further rows.``, if rows are left out."""
        return f"{count_noun(self.left_out, self.noun)}." if self.left_out else ""

    @property
    def flat_head(self) -> tuple[str, ...]:
        """The column names in one line: ``torch:vmap`` for ``vmap`` below ``torch``."""
        if not self.over:
            return self.head
        above = [name for name, count in self.over for _ in range(count)]
        pairs = zip(above, self.head[1:], strict=True)
        return (self.head[0], *(name if mode == DASH else f"{name}:{mode}" for name, mode in pairs))

    @property
    def row_groups(self) -> list[tuple[str, Sequence[Sequence[Span]]]]:
        """The rows of each group, with its name; all rows under an empty name if there are no groups."""
        found, start = [], 0
        for name, count in self.groups or (("", len(self.rows)),):
            found.append((name, self.rows[start : start + count]))
            start += count
        return found

    def css_class(self, column: int) -> str:
        """The class of the cells of a column in HTML."""
        return next((kind for kind, names in CSS_CLASSES.items() if self.head[column] in names), "")

    def without(self, *names: str) -> Table:
        """The table without these columns."""
        kept = [k for k, name in enumerate(self.head) if name not in names]
        head, rows = tuple(self.head[k] for k in kept), [[row[k] for k in kept] for row in self.rows]
        return self._replace(head=head, rows=rows)


class SmallCase(NamedTuple):
    """The smallest case of a finding; outcome is ("entry", expected, radius, observed) where it has one."""

    spec: str
    entry: str
    expected: str
    radius: str
    observed: str
    arrays: Sequence[tuple[str, str]]
    command: str


class FindingSection(NamedTuple):
    """All that is shown of one finding; texts that it lacks are empty, numbers that it lacks are dashes."""

    verdict: Verdict
    known: str
    names: Sequence[str]
    records: str
    reason: str
    compared: bool
    expected: str
    radius: str
    observed: str
    changed: int
    distance: str
    ratio: str
    tolerance: str
    operation: str
    entry: str
    framework: str
    version: str
    device: str
    sharpness: str
    command: str
    small: SmallCase | None
    label: str
    given: str = ""
    others: str = ""

    @property
    def accepted(self) -> bool:
        return bool(self.known)


def code(text: object) -> Span:
    return Span(short_name(text), code=True)


def number(count: int) -> Span:
    return Span(format_count(count))


def verdict_span(verdict: Verdict, note: str = "") -> Span:
    return Span(str(verdict), verdict.symbol, tone(verdict), note=note)


def section_of(group: FindingGroup, summary: Summary) -> FindingSection:
    """The findings of a function with the worst example, and the smallest case of the same cause."""
    finding, known = group.example, group.accepted
    cause, example = finding.cause, finding.example
    names = [group.words, *filter(None, (cause.function, group.parts, group.dtypes))]
    expected, observed = (format_exact(x, example.dtype) for x in (example.expected, example.observed))
    causes = [cause, *(one.cause for one in group.members)]
    small = next((summary.small[one] for one in causes if one in summary.small), None)
    return FindingSection(
        cause.verdict, "" if known is None else visible(known.reason), list(map(short_name, names)),
        count_noun(group.count, "record"), visible(example.reason),
        example.expected is not None or example.observed is not None,
        expected, _optional(example.expected_radius), observed, _common_digits(expected, observed),
        brief(finding.distance), _optional(finding.times_tolerance), brief(example.tolerance),
        short_name(describe_operation(example.box, example.function)), short_name(example.entry or ""),
        short_name(example.framework), short_name(example.version), short_name(example.device),
        _optional(example.sharpness),
        replay(example, summary.extensions), None if small is None else _small(small),
        group.label,
        _input(example),
        ", ".join(f"{verdict} in {count_noun(n, 'record')}" for verdict, n in group.others),
    )  # fmt: skip


def _input(record: Record) -> str:
    """The input at fault; empty where the functions of the case are not loaded, or the case is large."""
    try:
        case = Case.parse(record.spec)
        return describe_input(case, record) if case.size <= LARGEST_CASE else ""
    except (UsageError, ValueError, TypeError, LookupError):
        return ""


def _small(small: Small) -> SmallCase:
    record = small.record
    expected, observed = (format_exact(x, record.dtype) for x in (record.expected, record.observed))
    return SmallCase(
        visible(record.spec), short_name(record.entry or ""), "" if record.expected is None else expected,
        _optional(record.expected_radius), observed, array_texts(small), small.command,
    )  # fmt: skip


def _optional(x: float | str | None) -> str:
    return "" if x is None else brief(x)


def _common_digits(expected: str, observed: str) -> int:
    """How many leading characters two numbers of the same exponent share."""
    if expected.partition("e")[2] != observed.partition("e")[2]:
        return 0
    same = 0
    while same < min(len(expected), len(observed)) and expected[same] == observed[same]:
        same += 1
    return same


def known_differences(summary: Summary) -> Table:
    """Every known difference and its state; those that fail the run have a cross."""
    rows = []
    for one in summary.accepted.standings():
        state, _, note = visible(one.state).partition(": ")
        symbol, mood = ("✗", "bad") if one.outdated else ("", "")
        link = code(one.entry.link) if one.entry.link else Span(DASH)
        reason, expiry = Span(visible(one.entry.reason)), Span(str(one.entry.expiry or DASH))
        rows.append(
            (Span(state, symbol, mood, note=note), code(one.entry.label), number(one.covered), reason, link, expiry)
        )
    head = ("state", "difference", "records", "reason", "link", "expiry")
    return Table("Known differences", head, rows, unit="known differences")


def counts(summary: Summary) -> Table:
    """Every verdict with its number of records and its meaning."""
    rows = [(verdict_span(v), number(n), Span(v.meaning)) for v, n in summary.unknown.items()]
    for label, accepted in summary.accepted.by_label:
        for verdict in sorted(filter(accepted.get, accepted), key=ORDER.__getitem__):
            meaning = "accepted, with a reason" if label == "known" else "a proved fault of the framework"
            rows.append((Span(f"{verdict}, {label}", verdict.symbol), number(accepted[verdict]), Span(meaning)))
    return Table("Counts", ("verdict", "records", "meaning"), [*rows, (Span("all"), number(summary.total), Span(""))])


def matrix(summary: Summary) -> Table:
    """Functions, dtypes and input distributions against frameworks and modes."""
    frameworks = columns_by_framework(summary.columns)
    columns = [column for _, theirs in frameworks for column in theirs]
    groups = [(group, sorted(summary.matrix.cells[group].items())) for group in GROUPS if summary.matrix.cells[group]]
    rows = [
        (code(name), *(cell_span(cells.get(column)) for column in columns))
        for _, found in groups
        for name, cells in found
    ]
    words = (
        "Each cell shows the worst verdict of its records and how many have it. A record that does not agree counts "
        "only for the function in which the difference was found. Dtype and regime (input distribution) count all "
        "records."
    )
    return Table(
        "Matrix: verdicts by function and mode", ("", *(column.mode or DASH for column in columns)), rows,
        words if rows else "There are no records.", over=tuple((name, len(theirs)) for name, theirs in frameworks),
        groups=tuple((group, len(found)) for group, found in groups), style="matrix",
    )  # fmt: skip


def merged_matrix(rows: Mapping[str, Mapping[str, Cell]], frameworks: Sequence[str], most: int, what: str) -> Table:
    """The first functions of a kind against frameworks, all modes of a framework counted together."""
    shown = [
        (Span(name), *(cell_span(cells.get(framework), short=True) for framework in frameworks))
        for name, cells in sorted(rows.items())[:most]
    ]
    more = [(Span(f"{len(rows) - most} more", tone="none"),)] * (len(rows) > most)
    return Table("Matrix", (what, *frameworks), [*shown, *more])


def cell_span(cell: Cell | None, short: bool = False) -> Span:
    if cell is None:
        return Span(NOT_RUN, tone="none")
    span = verdict_span(cell.verdict, cell.share.replace(" of ", "/") if short else cell.share)
    return span._replace(tone="none") if cell.accepted else span


def relative_tolerances(summary: Summary) -> Table:
    """Quantiles of the relative tolerance, and the share of entries that the tolerance resolves, by dtype."""
    rows = []
    for name in summary.dtypes:
        if name not in summary.sharpness:
            continue
        spread, share = summary.sharpness[name], summary.shares[name]
        shares = [f"{100 * share.mean:.4g} %", f"{100 * share.least:.3g} %"] if share.count else [DASH, DASH]
        numbers = [*(f"{spread.quantile(q):.2g}" for q in QUANTILES), *shares]
        rows.append((Span(name), number(spread.total), *map(Span, numbers)))
    return Table(
        "Relative tolerance (largest tolerance / largest entry)",
        ("dtype", "records", *QUANTILE_NAMES, *SHARE_NAMES), rows, style="numbers",
        note="Checked: the share of gradient entries that are larger than their tolerance, or exactly "
        "zero; the mean over the records, and the least.",
    )  # fmt: skip


def largest_tolerances(summary: Summary) -> Table:
    """The arrays with the largest relative tolerances among the records that agree, the worst first."""
    worst = sorted(summary.blunt.items(), key=lambda item: (-item[1].largest, item[0]))
    rows = [
        (code(array.name), Span(array.dtype), Span(f"{found.largest:.2g}"), number(found.count))
        for array, found in worst[:MOST_BLUNT_ROWS]
    ]
    return Table(
        "Arrays with the largest relative tolerance", ("array", "dtype", "largest", "records"), rows, style="numbers",
        note="Of records that agree: the array with the largest tolerance of each. An error up to this share of its "
        "largest entry would not be found.",
    )  # fmt: skip


def conventions(summary: Summary) -> Table:
    """Derivatives at kinks that differ from the reference's, and the modes that return them."""
    rows = [
        (code(group.function), code(group.column.words), Span(group.reason), number(n))
        for group, n in summary.conventions.most_first()
    ]
    words = "At a kink several derivatives are admissible. These differ from the reference's, and are not wrong."
    return Table(
        "Conventions at kinks", ("function", "framework", "derivative", "records"), rows, words if rows else "None.",
        summary.conventions.further, "further record", "conventions",
    )  # fmt: skip


def not_decided(summary: Summary) -> Table:
    """Records that decide nothing about a gradient, planned records that are missing, and absent frameworks."""
    rows = [
        (verdict_span(group.verdict), code(group.column.words), Span(group.reason), number(n))
        for group, n in summary.dropped.most_first()
    ]
    for name, n in summary.missing.items():
        words = "planned, but the run has no record of it"
        rows.append((Span("not recorded", "?", "doubtful"), code(name.replace(":", " ")), Span(words), number(n)))
    for name, reason in not_installed(summary.meta).items():
        rows.append((Span("absent", DASH, "none"), code(name), Span(reason), Span(DASH)))
    return Table(
        "Not decided", ("verdict", "framework", "why", "records"), rows,
        "" if rows else "None: every planned gradient was decided.",
        summary.dropped.further, "further record", "reasons",
    )  # fmt: skip


def probes(run: Run) -> Table:
    """What each framework does with the numbers of each dtype on the machine of a run."""
    rows = [
        (
            Span(p.framework), Span(p.dtype), Span(p.accumulator), Span(p.biases), _flag(p.flushes),
            _flag(p.fast_math, bad=True), _flag(p.exact, bad=False),
        )
        for p in run.probes
    ]  # fmt: skip
    head = ("framework", "dtype", "sums in", "bias gradients in", "flushes subnormals", "fast math", "keeps every bit")
    return Table("Probes: what each framework does with numbers on this machine", head, rows, unit="probes")


def _flag(flag: bool | None, bad: bool | None = None) -> Span:
    """``yes``, ``no`` or a dash; the bad value has a cross."""
    word = DASH if flag is None else "yes" if flag else "no"
    return Span(word, "✗", "bad") if flag is not None and flag is bad else Span(word)


def columns_by_framework(columns: Iterable[Column]) -> list[tuple[str, list[Column]]]:
    """Frameworks, each with its columns, in the order of the records."""
    frameworks: dict[str, list[Column]] = {}
    for column in columns:
        frameworks.setdefault(column.framework, []).append(column)
    return list(frameworks.items())
