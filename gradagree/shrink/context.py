"""The failing case with its arrays; time limits."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradagree.arithmetic.exactness import rounded_to
from gradagree.arithmetic.model import FORMATS
from gradagree.cases.case import Arrays, Case
from gradagree.checker.comparison import ERROR_BOX
from gradagree.checker.exact import InternalError
from gradagree.checker.judge import Framework, judge
from gradagree.checker.response import Absent, Failure, Response, failures
from gradagree.checker.reverse import case_boxes
from gradagree.checker.verdict import Record, Verdict
from gradagree.report.findings import words_of
from gradagree.runner.process import FrameworkProcess

# A failing case before it is cut down: its arrays, and the numbers along the way, the framework's own where it told
# --------------------------------------------------------------------------------------------------------------


HALF = 0.5


@dataclass(frozen=True)
class ModeProcess:
    """One mode of one framework, in its own process."""

    process: FrameworkProcess
    mode: str

    def answer(self, case: Case, arrays: Arrays) -> Response | Failure:
        if isinstance(self.process.handshake, Absent):
            return next(failures(self.process.handshake, [self.mode]))
        return next(iter(list(self.process.compute(case, arrays, [self.mode]))))

    def record(self, case: Case, arrays: Arrays) -> Record | None:
        """The record of a case; None where the reference itself cannot be trusted on it."""
        return self.compare(case, arrays, self.answer(case, arrays))

    def compare(self, case: Case, arrays: Arrays, answer: Response | Failure) -> Record | None:
        """The record of an answer to a case."""
        framework = Framework.of(self.process.framework, self.process.handshake)
        try:
            with np.errstate(all="ignore"):
                return judge(case, arrays, framework, answer)
        except InternalError:
            return None


@dataclass(frozen=True)
class FailingCase:
    """The case, the value of each node (examples, units), and its cotangent."""

    case: Case
    arrays: Arrays
    inputs: tuple[np.ndarray, ...]
    cotangents: tuple[np.ndarray, ...]
    record: Record

    @property
    def part(self) -> str:
        return part_of(self.record)

    @property
    def index(self) -> tuple[int, ...]:
        """The entry's place in its array; empty where there is none."""
        inside = (self.record.entry or "").partition("[")[2].rstrip("]")
        return tuple(int(k) for k in inside.split(",") if k.strip().isdigit())

    @property
    def location(self) -> int | None:
        """The number of the faulty operation (the loss is the last one); None if no operation is named.

        An end-to-end check shows where a difference appears, not which operation causes it.
        """
        if self.record.verdict is Verdict.SUSPECT:
            return None
        if self.record.box == ERROR_BOX:
            return self.case.depth + 1
        return self.record.box if isinstance(self.record.box, int) else None

    def same(self, found: Record | None) -> bool:
        """True if a record fails in the same way as this case: verdict, function, and array of the operation."""
        if found is None or found.verdict is not self.record.verdict:
            return False
        if found.verdict is Verdict.SUSPECT:
            return True
        if (found.box == ERROR_BOX) != (self.record.box == ERROR_BOX):
            return False
        if found.verdict is Verdict.TIMEOUT:
            return True
        if found.verdict is Verdict.CRASHED:
            return failure_signature(found.reason) == failure_signature(self.record.reason)
        return (found.function, part_of(found)) == (self.record.function, self.part)


def failure_signature(reason: str) -> str:
    """The exception without its numbers; for a process that died, the signal or exit code."""
    raised = reason.startswith("raised ")
    return words_of(reason) if raised else reason.partition(":")[0]


def part_of(record: Record) -> str:
    return (record.entry or "").partition("[")[0]


def failing_case(case: Case, record: Record, answer: Response | Failure) -> FailingCase:
    """The case with the framework's own numbers, or with the reference's if there are none."""
    arrays = case.arrays()
    if isinstance(answer, Response):
        tapped = answer.tapped
        if tapped.tapped and len(tapped.cotangents) == len(tapped.values) == case.depth + 1:
            return FailingCase(case, arrays, tuple(tapped.values.values()), tuple(tapped.cotangents.values()), record)
    precision, inputs = FORMATS[case.dtype].precision, [arrays.inputs]
    with np.errstate(all="ignore"):
        for box in case_boxes(case, arrays):
            inputs.append(rounded_to(np.asarray(box.weigh(inputs[-1])), precision))
    return FailingCase(case, arrays, tuple(inputs), tuple(np.full_like(p, HALF) for p in inputs), record)


# Cases that never end, made small: how long to wait for an answer that does not come
# -----------------------------------------------------------------------------------


LEAST, FACTOR = 1.0, 10.0
"""Seconds at the least, and how many times as long as a plain case."""
CONFIRMED = 5.0
"""How much longer the smallest case is waited for."""
TURNS = 10
"""So many of these limits must fit into the time that there is."""
PLAIN = "1-1:id:sse:n1:f64:grid:s1"


@contextlib.contextmanager
def time_limit(process: FrameworkProcess, limit: float) -> Iterator[None]:
    """Limit the time of a request."""
    usual, process.limit = process.limit, min(process.limit, limit)
    try:
        yield
    finally:
        process.limit = usual


def short_limit(process: ModeProcess, seconds: float) -> float | None:
    """The limit to shrink with, in seconds; None where there is no time for it."""
    plain, most = Case.parse(PLAIN), seconds / TURNS
    if most < LEAST:
        return None
    started_at = time.monotonic()
    with time_limit(process.process, most):
        answer = process.answer(plain, plain.arrays())
    if not isinstance(answer, Response):
        return most
    limit = max(LEAST, FACTOR * (time.monotonic() - started_at))
    return limit if limit <= most else None
