"""The findings of a results folder made small, one case for each cause."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from gradagree.cases import Case
from gradagree.errors import UsageError
from gradagree.journal import read_meta, read_records
from gradagree.known import known_of
from gradagree.replay import with_arrays
from gradagree.report.findings import Accepted, Cause, Finding, Findings, write_small
from gradagree.report.matrix import Column
from gradagree.report.text import visible
from gradagree.runner.process import FrameworkProcess
from gradagree.shrinking.search import INSTALL, can_shrink, shrink
from gradagree.shrinking.whole import Asked
from gradagree.verdict import Record

MOST = 50
"""Causes that are looked at, the worst first."""


def shrink_findings(
    folder: Path, seconds: float, extensions: Sequence[str] = (), say: Callable[[str], None] = lambda text: None,
    kept: dict[str, FrameworkProcess] | None = None,
) -> int:  # fmt: skip
    """Make each finding of a results folder small, in so many seconds in all; how many were.

    Known differences, conventions and probes are left alone. say is told what cannot be done. Processes that are kept,
    of the frameworks' names, are taken; others are started.
    """
    findings = list(_findings(folder))[:MOST]
    if findings and not can_shrink():
        say(f"findings are not made small, for Hypothesis is not installed: {INSTALL}")
        return 0
    found = list(_shrunk(folder, findings, time.monotonic() + seconds, extensions, say, {} if kept is None else kept))
    write_small(folder, found)
    return len(found)


def _findings(folder: Path) -> Iterator[Finding]:
    """Those that show one case's gradient, and are not known."""
    accepted, findings = Accepted(known_of(read_meta(folder).get("known"))), Findings()
    for record in read_records(folder):
        if record.verdict.fails or record.verdict is record.verdict.INACCURATE:
            findings.add(record, accepted.see(record, Column(record.framework, record.mode)))
    for finding in findings:
        if finding.accepted is None and finding.example.spec.count(":") >= 6:
            yield finding


def _shrunk(
    folder: Path, findings: Sequence[Finding], deadline: float, extensions: Sequence[str], say: Callable[[str], None],
    kept: dict[str, FrameworkProcess],
) -> Iterator[tuple[Cause, str, Case, Record]]:  # fmt: skip
    """Each gets its share of the time that is left; those of one framework follow each other, in one process.

    What a process takes to start is not counted.
    """
    frameworks = list(dict.fromkeys(finding.cause.framework for finding in findings))
    ordered = sorted(findings, key=lambda finding: frameworks.index(finding.cause.framework))
    process: FrameworkProcess | None = None
    try:
        for left, finding in zip(range(len(ordered), 0, -1), ordered, strict=True):
            if process is None or process.framework != finding.cause.framework:
                if process is not None:
                    process.close()
                name, begun = finding.cause.framework, time.monotonic()
                process = kept.pop(name, None) or started(name, extensions)
                deadline += time.monotonic() - begun
            share = (deadline - time.monotonic()) / left
            example = finding.example
            try:
                case = with_arrays(Case.parse(example.spec), folder)
                shrunk = shrink(case, example, Asked(process, example.mode), share)
            except UsageError:
                continue
            except Exception as wrong:  # noqa: BLE001  (a run's report must not fail because a finding stays large)
                say(f"{visible(example.spec)} could not be made small: {type(wrong).__name__}: {visible(wrong, 200)}")
                continue
            if shrunk is not None:
                yield finding.cause, example.spec, shrunk.case, shrunk.record
    finally:
        if process is not None:
            process.close()


def started(framework: str, extensions: Sequence[str]) -> FrameworkProcess:
    process = FrameworkProcess(framework, extensions)
    process.start()
    return process
