"""What the command line prints: progress, the summary of a run, a replayed case."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from gradagree.cases import Case
from gradagree.comparison import Comparison
from gradagree.known import Entry
from gradagree.replay import Replayed
from gradagree.verdict import Record, Verdict, exit_code, plain

__all__ = ["Progress", "print_replay", "shown"]

MARKS = {Verdict.AGREE: "✓", Verdict.CONVENTION: "✓", Verdict.UNSUPPORTED: "–", Verdict.ABSENT: "–"}


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


def shown(sources: Sequence[Path], folder: Path, strict: bool, known: Sequence[Entry] | None = None) -> int:
    """Write the reports of the sources into a folder, print the summary, and return the exit code.

    known are the accepted differences; by default the project's, or where it has none, those that the runs kept.
    """
    from gradagree.known import find_known
    from gradagree.reporting import print_summary, write_reports

    known = find_known(None) if known is None else known

    summary = write_reports(folder, sources=list(sources), known=known)
    print_summary(summary, Console(), folder)
    return summary.ended(strict)


def mark(verdict: Verdict) -> str:
    return MARKS.get(verdict, "✗" if verdict.fails else "~")


def print_replay(
    case: Case,
    replayed: Iterable[Replayed],
    scripted: bool = False,
    target: Path | None = None,
    extensions: Sequence[str] = (),
) -> int:
    """Every framework and mode with its boxes, and the exit code of their verdicts.

    scripted: with a stand-alone script of the worst, in the target or under a name of its own.
    """
    console = Console()
    console.print(Text(case.spec, style="bold"), soft_wrap=True)
    console.print(f"{case.size:,} weights, {case.batch} examples, {case.dtype}, sha256 {case.arrays().sha256[:16]}")
    counts: dict[Verdict, int] = {}
    records = []
    for record, comparisons in replayed:
        records.append(record)
        counts[record.verdict] = counts.get(record.verdict, 0) + 1
        console.print()
        console.print(Text(_headline(record), style="bold red" if record.verdict.fails else "bold"))
        if comparisons:
            console.print(_boxes(case, comparisons))
        if record.entry is not None and (record.verdict.fails or record.verdict is Verdict.INACCURATE):
            console.print(Text(_finding(record)))
    if scripted:
        _print_script(console, case, records, target, extensions)
    return exit_code(counts)


def _print_script(
    console: Console, case: Case, records: Sequence[Record], target: Path | None, extensions: Sequence[str]
) -> None:
    """Write the script and the issue text beside it, and show what the script says."""
    from gradagree.standalone import write_script

    console.print()
    written = write_script(case, records, target, extensions)
    if written is None:
        console.print("No script is written: nothing is wrong.")
        return
    console.print(Text(f"Script: {written.script}\nIssue: {written.issue}"), soft_wrap=True)
    console.print(Text(f"The script ends with {written.ended} and says:\n{written.said}"), soft_wrap=True)


def _headline(record: Record) -> str:
    where = "" if record.box is None or record.verdict is Verdict.AGREE else f" in box {record.box} ({record.function})"
    why = f": {record.reason}" if record.reason else ""
    return f"{mark(record.verdict)} {record.framework} {record.version} {record.mode}: {record.verdict}{where}{why}"


def _finding(record: Record) -> str:
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
            f"{mark(c.verdict)} {c.verdict}",
            f"{c.ratio:.3g}",
            f"{c.sharpness:.1e}",
        )
    return table
