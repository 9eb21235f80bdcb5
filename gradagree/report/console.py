"""Terminal output: progress, the summary of a run, and the replay of a case."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Self

import rich.table
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress as Bar, TextColumn, TimeRemainingColumn
from rich.text import Text

from gradagree.cases.graph_case import AnyCase
from gradagree.checker.comparison import Comparison
from gradagree.checker.verdict import Record, Verdict, describe_operation, exit_code, plain
from gradagree.report import sections
from gradagree.report.findings import grouped
from gradagree.report.matrix import ACTIVATION, ERROR, LAYER
from gradagree.report.provenance import failed_probes
from gradagree.report.sections import FindingSection, Span, Table
from gradagree.report.summary import Summary
from gradagree.report.text import DASH, count_noun, tone, visible
from gradagree.runner.replay import ReplayResult

MOST_FINDINGS, MOST_ROWS = 5, 40
NAME_WIDTH, CELL_WIDTH = 24, 24
PLAIN = str.maketrans({"✓": "+", "✗": "x", "–": "-", "·": "-", "±": "+/-", "×": "x", "…": "..."})
STYLES = {"bad": "bold red", "doubtful": "yellow", "good": "green", "none": "dim"}


def print_summary(summary: Summary, console: Console, folder: Path) -> None:
    """Print the summary sentence, the worst findings, the matrix, known differences and tolerances."""
    printer = Printer(console)
    printer.line(Text(summary.sentence, style="bold red" if summary.failing else "bold"))
    for line in failed_probes(summary.meta):
        printer.line(Text(f"✗ probe failed: {line}", style="bold red"))
    findings = grouped(summary.findings)
    for finding in findings[:MOST_FINDINGS]:
        _finding(printer, sections.section_of(finding, summary))
    further = len(findings) - MOST_FINDINGS
    if further > 0:
        printer.line(Text(f"{count_noun(further, 'further cause')} in the report.", style="dim"))
    frameworks = list(dict.fromkeys(column.framework for column in summary.columns))
    at_once = max((console.width - NAME_WIDTH) // CELL_WIDTH, 1)
    for group, what in ((ACTIVATION, "activation"), (LAYER, "layer"), (ERROR, "loss")):
        rows = summary.matrix.merged(group)
        for start in range(0, len(frameworks) if rows else 0, at_once):
            printer.table(sections.merged_matrix(rows, frameworks[start : start + at_once], MOST_ROWS, what))
    for one in (sections.known_differences(summary), sections.relative_tolerances(summary)):
        if one.rows:
            printer.section(one.without("link", "expiry", sections.SHARE_NAMES[1]))
    printer.line(Text(f"Report: {visible(folder / 'report.html', 1000)}"), whole=True)


class Printer:
    """Prints on a console, in signs that it can show."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.signs = console.encoding.lower().startswith("utf")

    def text(self, text: Text) -> Text:
        if self.signs:
            return text
        plain = text.plain.translate(PLAIN).encode("ascii", "backslashreplace").decode()
        return Text(plain, style=text.style)

    def line(self, text: Text, whole: bool = False) -> None:
        """One line and an empty one; `whole`: never wrapped, so that it can be copied."""
        self.console.print(self.text(text), soft_wrap=whole, highlight=False)
        self.console.print()

    def section(self, section: Table) -> None:
        """The name and the rows of a section."""
        self.console.print(self.text(Text(section.name, style="bold")), highlight=False)
        self.table(section)

    def table(self, section: Table) -> None:
        """The rows of a section; a row whose first cell is bad is wholly bad."""
        table = rich.table.Table(box=box.SIMPLE_HEAD if self.signs else box.ASCII2, pad_edge=False, show_edge=False)
        for name in section.head:
            table.add_column(self.text(Text(name)), overflow="fold")
        for row in section.rows:
            bad = row[0].tone == "bad"
            table.add_row(*(self.text(_text(span, "bad" if bad else span.tone)) for span in row))
        self.console.print(table, highlight=False)
        self.console.print()


def _text(span: Span, tone: str) -> Text:
    return Text(span.plain, style=STYLES.get(tone, ""))


def style(verdict: Verdict) -> str:
    return STYLES[tone(verdict)]


def _finding(printer: Printer, one: FindingSection) -> None:
    known = f" ({one.label})" if one.accepted else ""
    head = f"{one.verdict.symbol} {one.verdict}{known}  {' · '.join(one.names)}  {one.records}"
    lines = [Text(head, style="dim" if one.accepted else style(one.verdict))]
    if one.compared:
        place = ", ".join(filter(None, [one.operation, one.entry]))
        lines.append(Text(f"  {place}: {one.ratio or DASH} times the tolerance {one.tolerance}"))
        lines.append(Text(f"  expected {one.expected}"))
        lines.append(Text(f"  observed {one.observed}"))
    if one.given:
        lines.append(Text(f"  at {visible(one.given, 300)}"))
    if one.others:
        lines.append(Text(f"  also {one.others}"))
    if one.reason:
        lines.append(Text(f"  {visible(one.reason, 300)}"))
    if one.small is not None:
        arrays = ", ".join(f"{name} {inside}" for name, inside in one.small.arrays)
        lines.append(Text(visible(f"  smallest case {one.small.spec.rpartition(':')[0]}: {arrays}", 300)))
    for line in lines:
        printer.console.print(printer.text(line), highlight=False)
    printer.line(Text(f"  {one.command}"), whole=True)


class Progress:
    """A bar on standard error while records come in; nothing where that is no terminal."""

    def __init__(self, total: int) -> None:
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Bar(*columns, console=console, disable=not console.is_terminal, transient=True)
        self._task = self._bar.add_task("starting the frameworks", total=total)
        self._failing = 0

    def __call__(self, record: Record) -> None:
        self._failing += record.verdict.fails
        words = f"{self._failing} failing" if self._failing else "gradients checked"
        self._bar.update(self._task, advance=1, description=words)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()


def print_replay(case: AnyCase, replayed: Iterable[ReplayResult]) -> int:
    """Print every framework and mode with its operations. Returns the exit code of their verdicts."""
    console = Console()
    console.print(Text(case.spec, style="bold"), soft_wrap=True)
    console.print(f"{case.size:,} weights, {case.batch} examples, {case.dtype}, sha256 {case.arrays().sha256[:16]}")
    counts: Counter[Verdict] = Counter()
    for record, comparisons in replayed:
        counts[Verdict.INACCURATE if record.known else record.verdict] += 1
        console.print()
        wrong = record.verdict.fails and not record.known
        console.print(Text(_headline(record), style="bold red" if wrong else "bold"))
        if comparisons:
            console.print(_boxes(case, comparisons))
        if record.entry is not None and (record.verdict.fails or record.verdict is Verdict.INACCURATE):
            console.print(Text(_comparison(record)))
    return exit_code(counts)


def _headline(record: Record) -> str:
    known = record.box is not None and record.verdict is not Verdict.AGREE
    where = f" in {describe_operation(record.box, record.function)}" if known else ""
    why = f": {record.reason}" if record.reason else ""
    accepted = f" ({record.known})" if record.known else ""
    head = f"{record.verdict.symbol} {record.framework} {record.version} {record.mode}: {record.verdict}"
    return f"{head}{where}{why}{accepted}"


def _comparison(record: Record) -> str:
    radius = "" if record.expected_radius is None else f" +- {plain(record.expected_radius):.1e} (proved)"
    return (
        f"  {record.entry}: expected {plain(record.expected)!r}{radius}\n"
        f"  observed {plain(record.observed)!r}, tolerance {plain(record.tolerance):.3g}"
    )


def _boxes(case: AnyCase, comparisons: Sequence[Comparison]) -> rich.table.Table:
    table = rich.table.Table(box=None, pad_edge=False, header_style="dim")
    for name in ("operation", "function", "array", "verdict"):
        table.add_column(name)
    for name in ("error / tolerance", "tolerance / largest entry"):
        table.add_column(name, justify="right")
    for c in comparisons:
        function = case.function(c.quantity.node)
        table.add_row(
            str(c.box),
            Text(str(function)),
            c.part,
            f"{c.verdict.symbol} {c.verdict}",
            f"{c.ratio:.3g}",
            f"{c.sharpness:.1e}",
        )
    return table
