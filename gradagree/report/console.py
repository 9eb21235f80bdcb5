"""Terminal output: progress, the summary of a run, and the replay of a case."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Self

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress as Bar, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from gradagree.cases import Case
from gradagree.comparison import Comparison
from gradagree.replay import Replayed
from gradagree.report.findings import Finding, Small, Standing, numbers
from gradagree.report.matrix import ACTIVATION, Cell
from gradagree.report.provenance import failed_probes
from gradagree.report.summary import Summary
from gradagree.report.text import brief, counted, exact, named, replay, tone, visible
from gradagree.verdict import Record, Verdict, exit_code, plain

MOST_FINDINGS, MOST_ROWS = 5, 40
NAME_WIDTH, CELL_WIDTH = 24, 24
PLAIN = str.maketrans({"✓": "+", "✗": "x", "–": "-", "·": "-", "±": "+/-", "×": "x", "…": "..."})
STYLES = {"bad": "bold red", "doubtful": "yellow", "good": "green", "none": "dim"}


def print_summary(summary: Summary, console: Console, folder: Path) -> None:
    """The answer, who agrees on what, how sharply it was asked, the worst findings, and where the report lies."""
    say = Printer(console)
    say.line(Text(summary.sentence, style="bold red" if summary.failing else "bold"))
    for line in failed_probes(summary.meta):
        say.line(Text(f"✗ probe failed: {line}", style="bold red"))
    for table in _matrix(summary, console.width):
        say.table(table)
    for one in summary.accepted.standings():
        _known(say, one)
    if summary.sharpness:
        say.table(_sharpness(summary))
    findings = list(summary.findings)
    for finding in findings[:MOST_FINDINGS]:
        _finding(say, finding, summary.extensions, summary.small.get(finding.cause))
    further = len(findings) - MOST_FINDINGS
    if further > 0:
        say.line(Text(f"{counted(further, 'further cause')} in the report.", style="dim"))
    say.line(Text(f"Report: {visible(folder / 'report.html', 1000)}"), whole=True)


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
        """One line, and an empty one behind it; whole: never broken, so that it can be copied."""
        self.console.print(self.text(text), soft_wrap=whole, highlight=False)
        self.console.print()

    def table(self, rows: Sequence[Sequence[Text]]) -> None:
        """The first row is the header."""
        table = Table(box=box.SIMPLE_HEAD if self.signs else box.ASCII2, pad_edge=False, show_edge=False)
        for name in rows[0]:
            table.add_column(self.text(name), overflow="fold")
        for row in rows[1:]:
            table.add_row(*(self.text(cell) for cell in row))
        self.console.print(table, highlight=False)
        self.console.print()


def style(verdict: Verdict) -> str:
    return STYLES[tone(verdict)]


def _matrix(summary: Summary, width: int) -> Iterator[list[list[Text]]]:
    """Activations against frameworks, in as many tables as the width asks for."""
    rows = summary.matrix.merged(ACTIVATION)
    frameworks = list(dict.fromkeys(column.framework for column in summary.columns))
    at_once = max((width - NAME_WIDTH) // CELL_WIDTH, 1)
    for start in range(0, len(frameworks) if rows else 0, at_once):
        some = frameworks[start : start + at_once]
        table = [[Text("activation"), *(Text(framework) for framework in some)]]
        for name, cells in sorted(rows.items())[:MOST_ROWS]:
            table.append([Text(name), *(_cell(cells.get(framework)) for framework in some)])
        if len(rows) > MOST_ROWS:
            table.append([Text(f"{len(rows) - MOST_ROWS} more", style="dim")])
        yield table


def _cell(cell: Cell | None) -> Text:
    if cell is None:
        return Text("not run", style="dim")
    return Text(f"{cell.verdict.symbol} {cell.verdict} {cell.share.replace(' of ', '/')}", style=style(cell.verdict))


def _sharpness(summary: Summary) -> list[list[Text]]:
    table = [[Text(word) for word in ("tolerance over largest entry", "5 %", "median", "95 %")]]
    for name in summary.dtypes:
        if name in summary.sharpness:
            quantiles = (summary.sharpness[name].quantile(q) for q in (0.05, 0.5, 0.95))
            table.append([Text(name), *(Text(f"{x:.2g}") for x in quantiles)])
    return table


def _known(say: Printer, one: Standing) -> None:
    """One line for each known difference, and why it fails the run where it does."""
    spent = one.expired or one.stale
    words = f"{'✗' if spent else '·'} {visible(one.entry.words)}: {visible(one.state)}"
    words += f" in {counted(one.covered, 'record')}" if one.covered else ""
    remedy = " (remove the entry, or correct it)" if one.stale else ""
    say.line(Text(words + remedy, style=STYLES["bad" if spent else "none"]))


def _finding(say: Printer, finding: Finding, extensions: Sequence[str], small: Small | None) -> None:
    cause, example = finding.cause, finding.example
    names = [
        named(finding.words),
        *map(named, filter(None, (cause.function, cause.part, cause.dtype))),
    ]
    known = "" if finding.accepted is None else " (known)"
    head = f"{cause.verdict.symbol} {cause.verdict}{known}  {' · '.join(names)}  {counted(finding.count, 'record')}"
    lines = [Text(head, style=style(cause.verdict) if finding.accepted is None else "dim")]
    if example.expected is not None or example.observed is not None:
        place = ", ".join([f"box {named(example.box)}"] * (example.box is not None) + [named(example.entry or "")])
        lines.append(
            Text(f"  {place.strip(', ')}: {brief(example.ratio)} times the tolerance {brief(example.tolerance)}")
        )
        lines.append(Text(f"  expected {exact(example.expected, example.dtype)}"))
        lines.append(Text(f"  observed {exact(example.observed, example.dtype)}"))
    if example.reason:
        lines.append(Text(f"  {visible(example.reason, 300)}"))
    if small is not None:
        arrays = ", ".join(f"{name} {inside}" for name, inside in numbers(small))
        lines.append(Text(visible(f"  smallest case {small.record.spec.rpartition(':')[0]}: {arrays}", 300)))
    for line in lines:
        say.console.print(say.text(line), highlight=False)
    say.line(Text(f"  {replay(example, extensions)}"), whole=True)


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
        words = f"{self._failing} failing" if self._failing else "gradients judged"
        self._bar.update(self._task, advance=1, description=words)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()


def print_replay(case: Case, replayed: Iterable[Replayed]) -> int:
    """Print every framework and mode with its operations. Returns the exit code of their verdicts."""
    console = Console()
    console.print(Text(case.spec, style="bold"), soft_wrap=True)
    console.print(f"{case.size:,} weights, {case.batch} examples, {case.dtype}, sha256 {case.arrays().sha256[:16]}")
    counts: Counter[Verdict] = Counter()
    for record, comparisons in replayed:
        counts[record.verdict] += 1
        console.print()
        console.print(Text(_headline(record), style="bold red" if record.verdict.fails else "bold"))
        if comparisons:
            console.print(_boxes(case, comparisons))
        if record.entry is not None and (record.verdict.fails or record.verdict is Verdict.INACCURATE):
            console.print(Text(_comparison(record)))
    return exit_code(counts)


def _headline(record: Record) -> str:
    where = "" if record.box is None or record.verdict is Verdict.AGREE else f" in box {record.box} ({record.function})"
    why = f": {record.reason}" if record.reason else ""
    return f"{record.verdict.symbol} {record.framework} {record.version} {record.mode}: {record.verdict}{where}{why}"


def _comparison(record: Record) -> str:
    radius = "" if record.expected_radius is None else f" +- {plain(record.expected_radius):.1e} (proved)"
    return (
        f"  {record.entry}: expected {plain(record.expected)!r}{radius}\n"
        f"  observed {plain(record.observed)!r}, tolerance {plain(record.tolerance):.3g}"
    )


def _boxes(case: Case, comparisons: Sequence[Comparison]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("box", "function", "array", "verdict"):
        table.add_column(name)
    for name in ("distance / tolerance", "tolerance / largest"):
        table.add_column(name, justify="right")
    for c in comparisons:
        function = case.error if isinstance(c.box, str) else case.activations[c.box - 1]
        table.add_row(
            str(c.box),
            Text(str(function)),
            c.part,
            f"{c.verdict.symbol} {c.verdict}",
            f"{c.ratio:.3g}",
            f"{c.sharpness:.1e}",
        )
    return table
