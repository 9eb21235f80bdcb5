"""``pytest --gradagree-audit``: an audit of the project's own gradient tests, with their results unchanged."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Generator
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gradagree.adapters.audit_hooks import LIBRARIES
from gradagree.audit.records import AuditRecord, Classification
from gradagree.audit.results import AuditResults, failing, joined, lines, write_results
from gradagree.audit.session import Audit
from gradagree.audit.tracing import traced_records
from gradagree.audit.watching import begin

OPTION = "--gradagree-audit-fail"


def chosen_classes(config: pytest.Config) -> list[str]:
    """The classes that fail the run. Raises pytest.UsageError for an unknown one."""
    given = config.getoption("--gradagree-audit-fail") or ""
    classes = [name.strip() for name in given.split(",") if name.strip()]
    known = [kind.value for kind in Classification]
    for name in classes:
        if name not in known:
            raise pytest.UsageError(f"{OPTION} {name!r}: known classes: {', '.join(known)}")
    return classes


class AuditWatcher:
    """Audits the tests of one process; the records travel with the test reports."""

    def __init__(self, root: Path, start: float) -> None:
        self.begun = start
        self.audit: Audit = begin(root)
        self.start = time.perf_counter()
        self.audit.seconds += self.start - start
        self.output: dict[str, Any] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        self.audit.start(item.nodeid, str(item.path))
        try:
            return (yield)
        finally:
            self.audit.finish()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, Any, Any]:
        report = yield
        report.gradagree_audit = [msgspec.json.encode(one).decode() for one in self.audit.drain()]
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        duration = time.perf_counter() - self.start
        self.audit.patches.undo()
        before, start = self.audit.seconds, time.perf_counter()
        traced = [msgspec.json.encode(record).decode() for record in traced_records(self.audit, duration)]
        seconds = before + time.perf_counter() - start
        self.output = {"traced": traced, "seconds": seconds, "failures": self.audit.failures, "versions": versions()}
        if hasattr(session.config, "workeroutput"):
            session.config.workeroutput["gradagree_audit"] = self.output

    def pytest_unconfigure(self) -> None:
        self.audit.patches.undo()


class AuditReporter:
    """Collects the records of all processes, and writes the results at the end."""

    def __init__(self, folder: Path | None, classes: list[str], watcher: AuditWatcher, alone: bool) -> None:
        self.folder, self.classes, self.watcher, self.alone = folder, classes, watcher, alone
        self.records: list[AuditRecord] = []
        self.outputs: list[dict[str, Any]] = []
        self.tests = 0
        self.results = AuditResults()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.tests += report.when == "call"
        found = getattr(report, "gradagree_audit", [])
        self.records += [msgspec.json.decode(text, type=AuditRecord) for text in found]

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        output = getattr(node, "workeroutput", None)
        if output and "gradagree_audit" in output:
            self.outputs.append(output["gradagree_audit"])

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        duration = time.perf_counter() - self.watcher.begun
        self.outputs += [self.watcher.output] if self.alone else []
        self.results = joined(self._collected(duration))
        if failing(self.results, self.classes) and session.exitstatus in (0, 5):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _collected(self, duration: float) -> AuditResults:
        traced, failures, found = {}, dict[str, int](), dict[str, str]()
        for output in self.outputs:
            for text in output["traced"]:
                record = msgspec.json.decode(text, type=AuditRecord)
                traced[record.key] = record
            for name, count in output["failures"].items():
                failures[name] = failures.get(name, 0) + count
            found |= output["versions"]
        records = [
            msgspec.structs.replace(traced[r.key], calls=r.calls, passed=r.passed) if r.key in traced else r
            for r in self.records
        ]
        seconds = sum(output["seconds"] for output in self.outputs) / max(1, len(self.outputs))
        command = shlex.join(["pytest", *sys.argv[1:]])
        return AuditResults(
            command=command, versions=found, seconds=duration, audit_seconds=seconds, tests=self.tests, records=records,
            failures=failures,
        )  # fmt: skip

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        from gradagree.errors import UsageError

        terminalreporter.section("gradagree audit")
        for line in lines(self.results):
            terminalreporter.write_line(line)
        for kind in self.classes:
            bad = failing(self.results, [kind])
            if bad:
                terminalreporter.write_line(f"failed by {OPTION}: {len(bad)} {kind}")
        if self.folder is not None:
            try:
                write_results(self.folder, self.results)
                terminalreporter.write_line(f"audit: {self.folder / 'audit.html'}")
            except UsageError as error:
                terminalreporter.write_line(f"no audit report: {error}")


def versions() -> dict[str, str]:
    """The versions of Python and of the libraries that were imported."""
    found = {"python": sys.version.split()[0]}
    for name in ("pytest", "gradagree", *LIBRARIES):
        if name in sys.modules:
            try:
                found[name] = metadata.version(name)
            except metadata.PackageNotFoundError:
                continue
    return found
