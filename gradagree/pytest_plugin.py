"""The pytest plugin: ``--gradagree-report DIR``, and a fixture that judges blocks of cases.

It imports nothing of gradagree until a test asks for the fixture. Reports are written by the process that controls the
run, from records that travel with the test reports, so that they are complete under pytest-xdist too.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from gradagree.cases import Case
    from gradagree.process import FrameworkProcess
    from gradagree.verdict import Record

RECORDS: pytest.StashKey[list[tuple[str, str, str]]] = pytest.StashKey()
"""On a test: (framework, what it said of itself, record), the last two as JSON."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("gradagree", "is this gradient right?")
    group.addoption("--gradagree-report", metavar="DIR", help="write gradagree's reports of this test run into DIR")


def pytest_configure(config: pytest.Config) -> None:
    folder = config.getoption("--gradagree-report")
    if folder and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Reporter(Path(folder)), "gradagree-reporter")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Let the records of a test travel with its report."""
    report = yield
    if report.when == "call":
        report.gradagree = item.stash.get(RECORDS, [])
    return report


@pytest.fixture(scope="session")
def gradagree_processes() -> Iterator[Callable[[str], FrameworkProcess]]:
    """The process of a framework by name, started when first asked for and kept for the session."""
    from gradagree.declared import files, load_all
    from gradagree.process import FrameworkProcess

    load_all(())
    started: dict[str, FrameworkProcess] = {}

    def process(name: str) -> FrameworkProcess:
        if name not in started:
            started[name] = FrameworkProcess(name, files(()))
            started[name].start()
        return started[name]

    yield process
    for one in started.values():
        one.stop()


@pytest.fixture
def gradagree_block(
    request: pytest.FixtureRequest, gradagree_processes: Callable[[str], FrameworkProcess]
) -> Callable[[str, str, Sequence[tuple[int, Case]]], list[Record]]:
    """A function (framework, mode, numbered cases) that judges them and keeps the records for the report.

    It skips the test, with the reason, where the framework is not installed, and fails it where a verdict does.
    """

    def block(framework: str, mode: str, cases: Sequence[tuple[int, Case]]) -> list[Record]:
        __tracebackhide__ = True
        records = _judged(gradagree_processes(framework), mode, cases, request.node.stash.setdefault(RECORDS, []))
        failing = [record for record in records if record.verdict.fails]
        if failing:
            pytest.fail("\n".join(told(record) for record in failing), pytrace=False)
        return records

    return block


def _judged(
    process: FrameworkProcess, mode: str, cases: Sequence[tuple[int, Case]], kept: list[tuple[str, str, str]]
) -> list[Record]:
    import msgspec

    from gradagree import wire
    from gradagree.campaign import describe
    from gradagree.judge import Framework, judge

    hello = json.dumps(describe(process.hello))
    if isinstance(process.hello, wire.Absent):
        kept.append((process.framework, hello, ""))
        pytest.skip(f"{process.framework}: {process.hello.reason}")
    framework = Framework.of(process.framework, process.hello)
    records = []
    for number, case in cases:
        arrays = case.arrays()
        for answer in process.ask(case, arrays, [mode]):
            records.append(judge(case, arrays, framework, answer, number))
            kept.append((process.framework, hello, msgspec.json.encode(records[-1]).decode()))
    return records


def told(record: Record) -> str:
    """Box, entry, expected, observed and tolerance of a failing record, and how to see it again."""
    from gradagree.verdict import plain

    where = "" if record.box is None else f" in box {record.box} ({record.function}), {record.entry}"
    numbers = ""
    if record.expected is not None:
        numbers = (
            f"\n  expected {plain(record.expected)!r}, observed {plain(record.observed)!r}, "
            f"tolerance {plain(record.tolerance):.3g}"
        )
    reason = f": {record.reason}" if record.reason else ""
    return (
        f"{record.framework} {record.version} {record.mode}: {record.verdict}{where}{reason}{numbers}\n"
        f"  gradagree replay {shlex.quote(record.spec)} --modes {record.framework}:{record.mode}"
    )


class Reporter:
    """Writes records as test reports come in, and gradagree's reports at the end."""

    def __init__(self, folder: Path) -> None:
        from gradagree.errors import UsageError
        from gradagree.journal import Journal
        from gradagree.known import find_known

        try:
            self.known = find_known(None)
            self.journal = Journal(folder)
        except UsageError as wrong:
            raise pytest.UsageError(f"--gradagree-report: {wrong}") from None
        self.folder = folder
        self.frameworks: dict[str, Any] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        import msgspec

        from gradagree.verdict import Record

        for framework, hello, record in getattr(report, "gradagree", []):
            self.frameworks[framework] = json.loads(hello)
            if record:
                self.journal.append(msgspec.json.decode(record, type=Record))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        from gradagree.campaign import environment
        from gradagree.reporting import write_reports

        command = shlex.join(["pytest", *sys.argv[1:]])
        self.journal.meta({**environment(command), "frameworks": self.frameworks})
        self.journal.close()
        summary = write_reports(self.folder, known=self.known)
        terminalreporter.section("gradagree")
        terminalreporter.write_line(summary.sentence)
        terminalreporter.write_line(f"report: {self.folder / 'report.html'}")
