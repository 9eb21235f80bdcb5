"""Records of a pytest run: made by a framework's process, kept with the test, written by the controller."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from gradagree.cases.graph_case import AnyCase
    from gradagree.checker.verdict import Record
    from gradagree.runner.process import FrameworkProcess

Kept = list[tuple[str, str, str]]
"""(framework, its entry in meta.json, record), the last two as JSON."""
RECORDS: pytest.StashKey[Kept] = pytest.StashKey()
"""The records of a test."""
FUNCTIONS: pytest.StashKey[list[str]] = pytest.StashKey()
"""The reports of a test on functions that are checked by inputs, as JSON."""
PROCESSES: pytest.StashKey[Processes] = pytest.StashKey()
"""The worker processes of the session."""


class Processes:
    """Worker processes by framework, started at first use and kept for the session."""

    def __init__(self) -> None:
        self._started: dict[str, FrameworkProcess] = {}

    def __call__(self, name: str) -> FrameworkProcess:
        from gradagree.runner.extensions import extension_files, load_all
        from gradagree.runner.process import FrameworkProcess

        if name not in self._started:
            load_all(())
            self._started[name] = FrameworkProcess(name, extension_files(()))
            self._started[name].start()
        return self._started[name]

    def close(self) -> None:
        for process in self._started.values():
            process.close()


def check_cases(
    process: FrameworkProcess, mode: str, cases: Sequence[tuple[int, AnyCase]], kept: Kept, own: Sequence[str] = ()
) -> list[Record]:
    """Check numbered cases in one mode, and keep the records for the report.

    Skips the test if the framework is not installed; fails it if a verdict fails that is not known. With the names of
    the project's own functions, faults of other functions do not fail it either.
    """
    __tracebackhide__ = True
    from gradagree import api as api  # registers the judges of all kinds of cases
    from gradagree.checker.failures import format_failures
    from gradagree.checker.judge import Framework, JudgeRequest, judge_all
    from gradagree.checker.response import Absent
    from gradagree.report.matrix import is_beside
    from gradagree.runner.campaign import describe_framework
    from gradagree.runner.known import known_by, mark_known

    handshake = json.dumps(describe_framework(process.handshake))
    if isinstance(process.handshake, Absent):
        kept.append((process.framework, handshake, ""))
        (pytest.fail if process.handshake.broken else pytest.skip)(f"{process.framework}: {process.handshake.reason}")
    framework = Framework.of(process.framework, process.handshake)
    requests = [(case, case.arrays(), [mode]) for _, case in cases]
    responses = [
        JudgeRequest(cases[k][1], requests[k][1], framework, response, cases[k][0])
        for k, response in process.compute_all(requests)
    ]
    entries, named = known_by(None), {case.spec: case for _, case in cases}
    records = [mark_known(record, entries, named.get(record.spec)) for record in judge_all(responses)]
    for record in records:
        keep(kept, record, handshake)
    failing = [one for one in records if one.verdict.fails and not one.known and not (own and is_beside(one, own))]
    if failing:
        pytest.fail(format_failures(failing, named), pytrace=False)
    return records


def check_function(thing: Any, reference: Any, options: dict[str, Any], kept: list[str]) -> Any:
    """Check a function by its inputs, and keep the report. Fails the test if a verdict fails, or for bad input."""
    __tracebackhide__ = True
    from gradagree import api
    from gradagree.errors import UsageError

    failure, report = None, None
    try:
        report = api.check(thing, reference, **options)
    except api.Disagreement as disagreement:
        failure, report = str(disagreement), disagreement.report
    except UsageError as error:
        failure = str(error)
    if report is not None:
        kept.append(report.to_json().decode())
    if failure is not None:
        pytest.fail(failure, pytrace=False)
    return report


def keep(kept: Kept, record: Record, handshake: str) -> None:
    """Keep a record for the report, with the description of its framework."""
    import msgspec

    kept.append((record.framework, handshake, msgspec.json.encode(record).decode()))


class Reporter:
    """Writes records as test reports come in, and gradagree's reports at the end."""

    def __init__(self, folder: Path) -> None:
        from gradagree.errors import UsageError
        from gradagree.runner.known import find_known
        from gradagree.runner.results import Journal

        try:
            self.known = find_known(None)
            self.journal = Journal(folder)
        except UsageError as error:
            raise pytest.UsageError(f"--gradagree-report: {error}") from None
        self.folder = folder
        self.frameworks: dict[str, Any] = {}
        self.functions: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        import msgspec

        from gradagree.checker.verdict import Record

        self.functions += getattr(report, "gradagree_functions", [])
        for framework, handshake, record in getattr(report, "gradagree", []):
            self.frameworks[framework] = json.loads(handshake)
            if record:
                self.journal.append(msgspec.json.decode(record, type=Record))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        from gradagree.errors import UsageError
        from gradagree.report import write_reports
        from gradagree.runner.campaign import environment

        command = shlex.join(["pytest", *sys.argv[1:]])
        terminalreporter.section("gradagree")
        for number, line in enumerate(self.functions, 1):
            terminalreporter.write_line(self.write_function(number, line))
        if self.functions and not self.frameworks:
            return
        try:
            self.journal.write_meta({**environment(command), "frameworks": self.frameworks})
            self.journal.sync()
            summary = write_reports(self.folder, known=self.known)
        except UsageError as error:
            terminalreporter.write_line(f"no report: {error}")
            return
        terminalreporter.write_line(summary.sentence)
        terminalreporter.write_line(f"report: {self.folder / 'report.html'}")

    def write_function(self, number: int, text: str) -> str:
        """Write the page of a function, and return its line of the summary."""
        from gradagree.functions.records import Report

        report = Report.from_json(text)
        page = report.to_html(self.folder / f"function-{number}.html")
        return f"{report.function}: {report.verdict.value}, {len(report.records)} arrays: {page}"

    def pytest_unconfigure(self) -> None:
        self.journal.close()
