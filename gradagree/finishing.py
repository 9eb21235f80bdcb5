"""What a run ends with: what it knew is kept, its findings are shrunk, and its reports are written."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from gradagree.errors import UsageError
from gradagree.files import write_text
from gradagree.journal import META, read_meta
from gradagree.known import Entry, find_known
from gradagree.runner.process import FrameworkProcess


@dataclass(frozen=True)
class Ending:
    """How a run is to end."""

    known: Sequence[Entry] | None
    shrink: float

    @classmethod
    def of(cls, options: dict[str, Any]) -> Ending:
        """Takes --known and --shrink out of the options. Raises UsageError where they are not what they should be."""
        seconds = options.pop("shrink")
        if not 0 <= seconds < math.inf:
            raise UsageError(f"--shrink {seconds:g}: give a number of seconds, or 0 to shrink nothing")
        return cls(find_known(options.pop("known")), seconds)

    def finish(
        self, folder: Path, strict: bool, extensions: Sequence[str] | None, kept: dict[str, FrameworkProcess]
    ) -> int:
        """Write the reports of a run into its folder, print the summary, and return the exit code.

        extensions are the files of the user's own functions; with None, nothing is shrunk. kept holds processes of
        the run, which need not be started again.
        """
        from rich.console import Console

        from gradagree.report import report_results
        from gradagree.shrinking import shrink_findings

        if self.known is not None:
            keep(folder, self.known)
        if self.shrink and extensions is not None:
            console = Console(stderr=True)
            with console.status("making failing cases small") if console.is_terminal else contextlib.nullcontext():
                shrink_findings(folder, self.shrink, extensions, lambda text: click.echo(text, err=True), kept)
        return report_results([folder], folder, strict)


def keep(folder: Path, known: Sequence[Entry]) -> None:
    """Keep the accepted differences in ``meta.json``, so that every later report of the folder shows them."""
    meta = {**read_meta(folder), "known": [entry.told() for entry in known]}
    write_text(folder / META, json.dumps(meta, indent=2, sort_keys=True) + "\n")
