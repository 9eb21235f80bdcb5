"""Terminal output of a survey: progress and summary."""

from __future__ import annotations

from collections import Counter
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from gradagree.surveys.survey import SurveyResult
from gradagree.surveys.text import describe_example, format_exact, format_value

MAX_PRINTED = 12


class SurveyProgress:
    """A progress bar on standard error, if that is a terminal."""

    def __init__(self, total: int) -> None:
        columns = (BarColumn(20), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
        self._progress = Progress(*columns, console=Console(stderr=True), transient=True)
        self._task = self._progress.add_task("", total=total)

    def step(self, what: str) -> None:
        """Advance by one function in one dtype."""
        self._progress.update(self._task, advance=1, description=what)

    def __enter__(self) -> Self:
        if self._progress.console.is_terminal:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


def print_summary(found: SurveyResult) -> None:
    """Print the number of rows and findings, and a line for each of the worst findings."""
    console = Console()
    counts = Counter(finding.severity for finding in found.findings)
    severities = ", ".join(f"{counts[name]} {name}" for name in ("high", "medium", "low", "note") if counts[name])
    versions = ", ".join(f"{name} {version}" for name, version in found.versions.items())
    console.print(
        f"{len(found.rows):,} rows; {len(found.findings)} findings ({severities or 'none'}) in {versions}",
        highlight=False,
    )
    for name, reason in found.absent.items():
        console.print(f"{name}: {reason}", highlight=False)
    for finding in found.findings[:MAX_PRINTED]:
        result, exact = format_value(finding.example["given"]), format_exact(finding.example)
        where = f"{finding.framework}, {finding.quantity} of {describe_example(finding.example)}"
        processor = " (depends on the processor)" if finding.depends_on_processor else ""
        console.print(Text(f"{finding.kind}{processor}: {where}: returns {result}; the exact value is {exact}"))
    if len(found.findings) > MAX_PRINTED:
        console.print(f"... and {len(found.findings) - MAX_PRINTED} more", highlight=False)


def no_framework_message(found: SurveyResult) -> str:
    """The message for a survey without any framework."""
    reasons = "; ".join(f"{name}: {reason}" for name, reason in found.absent.items())
    return f"survey: none of the selected frameworks is available ({reasons})"
