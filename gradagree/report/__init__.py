"""Reports: everything they show is derived from a results folder's records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from gradagree.files import make_folder, write_text
from gradagree.report.console import print_summary as print_summary
from gradagree.report.findings import explicit_case, read_small
from gradagree.report.html import page
from gradagree.report.index import write_index as write_index
from gradagree.report.junit import suites
from gradagree.report.markdown import document
from gradagree.report.provenance import merged_meta, records_of
from gradagree.report.summary import Summary as Summary, summarize as summarize
from gradagree.report.training import write_training as write_training
from gradagree.runner.known import find_known
from gradagree.runner.known_entry import Entry
from gradagree.runner.results import read_meta


def write_reports(folder: Path, sources: Sequence[Path] | None = None, known: Sequence[Entry] | None = None) -> Summary:
    """The summary of the folder's records, written into it as report.md, report.html and junit.xml.

    With sources, the records of these folders are reported as one, and the folder is made if need be. known are the
    accepted differences; by default those that the runs kept. Raises UsageError where a folder holds no results, or
    where two of them contradict each other.
    """
    folders = list(sources) if sources else [folder]
    meta = merged_meta([read_meta(source) for source in folders])
    if known is not None:
        meta = {**meta, "known": [entry.to_json() for entry in known]}
    summary = summarize(meta, records_of(folders), lambda spec: explicit_case(spec, folders))
    summary.small = read_small(folders)
    make_folder(folder)
    write_text(folder / "report.md", document(summary))
    write_text(folder / "report.html", page(summary))
    write_text(folder / "junit.xml", suites(summary))
    return summary


def report_results(sources: Sequence[Path], folder: Path, strict: bool, known: Sequence[Entry] | None = None) -> int:
    """Write the reports of the sources into a folder, print the summary, and return the exit code.

    known are the accepted differences; by default the project's, or where it has none, those that the runs kept.
    """
    known = find_known(None) if known is None else known
    summary = write_reports(folder, sources=sources, known=known)
    print_summary(summary, Console(), folder)
    return summary.exit_code_for(strict)
