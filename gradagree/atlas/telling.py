"""A survey on the terminal: how far it is, and what it found."""

from __future__ import annotations

from collections import Counter
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from gradagree.atlas.paging import text
from gradagree.atlas.surveying import Surveyed

SHOWN = 12


class Counting:
    """A bar on standard error, where that is a terminal."""

    def __init__(self, total: int) -> None:
        columns = (BarColumn(20), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
        self._progress = Progress(*columns, console=Console(stderr=True), transient=True)
        self._task = self._progress.add_task("", total=total)

    def step(self, what: str) -> None:
        """One function in one dtype is being judged."""
        self._progress.update(self._task, advance=1, description=what)

    def __enter__(self) -> Self:
        if self._progress.console.is_terminal:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


def summary(found: Surveyed) -> None:
    """Counts, and the worst findings, a line each."""
    console = Console()
    counts = Counter(finding.severity for finding in found.findings)
    told = ", ".join(f"{counts[name]} {name}" for name in ("high", "medium", "low", "note") if counts[name])
    versions = ", ".join(f"{name} {version}" for name, version in found.versions.items())
    console.print(
        f"{len(found.rows):,} rows; {len(found.findings)} findings ({told or 'none'}) in {versions}", highlight=False
    )
    for name, reason in found.absent.items():
        console.print(f"{name}: {reason}", highlight=False)
    for finding in found.findings[:SHOWN]:
        e = finding.example
        where = f"{e['function']} at {text(e['input'])}" + (f", target {text(e['target'])}" if e["target"] else "")
        line = f"{finding.kind}: {finding.framework}, {finding.quantity} of {where}, {e['dtype']} {e['mode']}: "
        console.print(Text(line + f"gives {text(e['given'])}, true is {text(e['true'])}"))
    if len(found.findings) > SHOWN:
        console.print(f"... and {len(found.findings) - SHOWN} more", highlight=False)
