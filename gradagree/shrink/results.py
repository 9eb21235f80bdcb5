"""The findings of a results folder, each with a smaller case."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from gradagree.cases.graph_case import parse_case
from gradagree.checker.verdict import Record
from gradagree.errors import UsageError
from gradagree.report.findings import Accepted, Finding, Findings, write_small
from gradagree.report.matrix import Column
from gradagree.report.text import visible
from gradagree.runner.known import known_in
from gradagree.runner.process import FrameworkProcess
from gradagree.runner.replay import with_arrays
from gradagree.runner.results import read_meta, read_records
from gradagree.shrink.failing_case import ModeProcess
from gradagree.shrink.search import INSTALL, Shrunk, can_shrink, shrink

MOST_FINDINGS = 50
"""Findings that are shrunk, the worst first."""


def shrink_findings(
    folder: Path, seconds: float, extensions: Sequence[str] = (), notify: Callable[[str], None] = lambda text: None,
    kept: dict[str, FrameworkProcess] | None = None,
) -> int:  # fmt: skip
    """Shrink each finding of a results folder within a total time limit; return the number of smaller cases.

    Known differences, conventions and probes are skipped. notify receives messages. Running processes in `kept`, by
    framework, are used; others are started.
    """
    findings = _findings(folder)[:MOST_FINDINGS]
    if findings and not can_shrink():
        notify(f"findings are not shrunk, because Hypothesis is not installed: {INSTALL}")
        return 0
    deadline, small = time.monotonic() + seconds, []
    remaining, running = len(findings), {} if kept is None else kept
    frameworks = list(dict.fromkeys(finding.cause.framework for finding in findings))
    for framework in frameworks:
        started_at = time.monotonic()
        process = running.pop(framework, None) or _start_process(framework, extensions)
        deadline += time.monotonic() - started_at  # the start of a process does not count
        with contextlib.closing(process):
            for finding in [finding for finding in findings if finding.cause.framework == framework]:
                share = (deadline - time.monotonic()) / remaining
                remaining -= 1
                shrunk = _shrink(folder, finding.example, process, share, notify)
                small += [] if shrunk is None else [(finding.cause, finding.example.spec, *shrunk)]
    write_small(folder, small)
    return len(small)


def _findings(folder: Path) -> list[Finding]:
    """The findings about a gradient of a case that are not known differences."""
    accepted, findings = Accepted(known_in(read_meta(folder))), Findings()
    for record in read_records(folder):
        if record.verdict.fails or record.verdict is record.verdict.INACCURATE:
            findings.add(record, accepted.see(record, Column(record.framework, record.mode)))
    return [finding for finding in findings if finding.accepted is None and finding.example.spec.count(":") >= 6]


def _start_process(framework: str, extensions: Sequence[str]) -> FrameworkProcess:
    process = FrameworkProcess(framework, extensions)
    process.start()
    return process


def _shrink(
    folder: Path, example: Record, process: FrameworkProcess, seconds: float, notify: Callable[[str], None]
) -> Shrunk | None:
    try:
        case = with_arrays(parse_case(example.spec), folder)
        return shrink(case, example, ModeProcess(process, example.mode), seconds)
    except UsageError:
        return None
    except Exception as wrong:  # noqa: BLE001  (a run's report must not fail because a finding stays large)
        notify(f"{visible(example.spec)} cannot be shrunk: {type(wrong).__name__}: {visible(wrong, 200)}")
        return None
