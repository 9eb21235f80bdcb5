"""Hypothesis search; all findings of a folder."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from gradagree.cases.case import Case
from gradagree.checker.verdict import Record, Verdict
from gradagree.errors import UsageError
from gradagree.reference import ContractError
from gradagree.report.findings import Accepted, Cause, Finding, Findings, write_small
from gradagree.report.matrix import Column
from gradagree.report.text import visible
from gradagree.runner.known import decode_known
from gradagree.runner.process import FrameworkProcess
from gradagree.runner.replay import with_arrays
from gradagree.runner.results import read_meta, read_records
from gradagree.shrink.context import CONFIRMED, FailingCase, ModeProcess, failing_case, short_limit, time_limit
from gradagree.shrink.cut import Draw, coarsen, cut, numbers_in

# The smallest case that fails in the same way, by Hypothesis's shrinker over whole numbers that say what stays
# -------------------------------------------------------------------------------------------------------------


INSTALL = "pip install 'gradagree[shrink]'"
MOST_NUMBERS = 400
"""So many numbers of a case are simplified one by one."""
NAME = b"gradagree"
Choices = tuple[int, ...]


class Shrunk(NamedTuple):
    """A small case with its record."""

    case: Case
    record: Record


def can_shrink() -> bool:
    """True if Hypothesis is installed."""
    return importlib.util.find_spec("hypothesis") is not None


def shrink(case: Case, record: Record, process: ModeProcess, seconds: float) -> Shrunk | None:
    """The smallest case found within the time limit; None if nothing smaller fails in the same way."""
    started_at = time.monotonic()
    if record.verdict is not Verdict.TIMEOUT:
        return _smallest(case, record, process, started_at + seconds)
    if (limit := short_limit(process, seconds)) is None:
        return None
    with time_limit(process.process, limit):
        found = _smallest(case, record, process, started_at + seconds - CONFIRMED * limit)
    if found is None:
        return None
    with time_limit(process.process, CONFIRMED * limit):
        again = process.record(found.case, found.case.arrays())
    return Shrunk(found.case, again) if again is not None and again.verdict is Verdict.TIMEOUT else None


def _smallest(case: Case, record: Record, process: ModeProcess, deadline: float) -> Shrunk | None:
    answer = process.answer(case, case.arrays())
    whole = failing_case(case, record, answer)
    if not whole.same(process.compare(case, whole.arrays, answer)):
        return None
    found = _cut(whole, process, deadline)
    if found is not None and whole.location is None:  # nobody knows which boxes are needed: once more, from there
        found = _cut(failing_case(*found, process.answer(found.case, found.case.arrays())), process, deadline) or found
    small = found.case if found is not None else case
    if numbers_in(small) <= MOST_NUMBERS:
        found = Search(whole, process, deadline, lambda draw: coarsen(small, draw)).smallest() or found
    return found


def _cut(whole: FailingCase, process: ModeProcess, deadline: float) -> Shrunk | None:
    return Search(whole, process, deadline, lambda draw: cut(whole, whole.location, draw)).smallest()


@dataclass
class Search:
    """Tries what `make` builds of chosen numbers; every try is remembered, and past the deadline none is made."""

    whole: FailingCase
    process: ModeProcess
    deadline: float
    make: Callable[[Draw], Case]
    tried: dict[Choices, Shrunk | None] = field(default_factory=dict)

    def smallest(self) -> Shrunk | None:
        """The last of ever smaller cases; None where not even the first one fails in the same way."""
        first = self.largest()
        return None if first is None or not self.fails(first) else self.tried[self.found(first)]

    def largest(self) -> Choices | None:
        """The choices that leave everything as it is."""
        chosen: list[int] = []

        def draw(most: int) -> int:
            chosen.append(most)
            return most

        return tuple(chosen) if self.built(draw) is not None else None

    def built(self, draw: Draw) -> Case | None:
        try:
            return self.make(draw)
        except (UsageError, ValueError, IndexError, ContractError):
            return None

    def fails(self, choices: Choices) -> bool:
        """True if the case of these choices fails in the same way."""
        if choices not in self.tried:
            if time.monotonic() > self.deadline:
                return False
            self.tried[choices] = self.attempt(choices)
        return self.tried[choices] is not None

    def attempt(self, choices: Choices) -> Shrunk | None:
        given = iter(choices)
        case = self.built(lambda most: next(given))
        record = None if case is None else self.process.record(case, case.arrays())
        return Shrunk(case, record) if case and record and self.whole.same(record) else None

    def found(self, first: Choices) -> Choices:
        """What Hypothesis's shrinker makes of the first choices, which it is given as an example found earlier."""
        from hypothesis import HealthCheck, Phase, errors, find, settings
        from hypothesis.database import InMemoryExampleDatabase, choices_to_bytes

        database = InMemoryExampleDatabase()
        database.save(NAME + b".secondary", choices_to_bytes(first))
        options = settings(
            database=database, phases=(Phase.reuse, Phase.shrink), deadline=None, derandomize=False,
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        try:
            return find(self.strategy(), self.fails, settings=options, database_key=NAME)
        except (errors.NoSuchExample, errors.Flaky, errors.Unsatisfiable):
            kept = [choices for choices, shrunk in self.tried.items() if shrunk is not None]
            return min(kept, key=lambda choices: (len(choices), choices))

    def strategy(self) -> Any:
        from hypothesis import strategies

        @strategies.composite
        def choices(draw: Any) -> Choices:
            chosen: list[int] = []

            def one(most: int) -> int:
                chosen.append(draw(strategies.integers(0, most)))
                return chosen[-1]

            self.built(one)
            return tuple(chosen)

        return choices()


# The findings of a results folder made small, one case for each cause
# --------------------------------------------------------------------


MOST = 50
"""Causes that are looked at, the worst first."""


def shrink_findings(
    folder: Path, seconds: float, extensions: Sequence[str] = (), say: Callable[[str], None] = lambda text: None,
    kept: dict[str, FrameworkProcess] | None = None,
) -> int:  # fmt: skip
    """Shrink each finding of a results folder within a total time limit; return the number of smaller cases.

    Known differences, conventions and probes are skipped. say receives messages. Running processes in `kept`, by
    framework, are used; others are started.
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
    accepted, findings = Accepted(decode_known(read_meta(folder).get("known"))), Findings()
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
                name, started_at = finding.cause.framework, time.monotonic()
                process = kept.pop(name, None) or start_process(name, extensions)
                deadline += time.monotonic() - started_at
            share = (deadline - time.monotonic()) / left
            example = finding.example
            try:
                case = with_arrays(Case.parse(example.spec), folder)
                shrunk = shrink(case, example, ModeProcess(process, example.mode), share)
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


def start_process(framework: str, extensions: Sequence[str]) -> FrameworkProcess:
    process = FrameworkProcess(framework, extensions)
    process.start()
    return process
