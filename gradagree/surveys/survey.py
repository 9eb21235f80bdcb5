"""The survey: every function alone, in every dtype, quantity, framework and mode, against proof."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import cycle
from typing import Any

import numpy as np

from gradagree.adapters import Adapter
from gradagree.checker.response import Absent, Failure, Ready
from gradagree.reproduce.finding import SurveyFinding
from gradagree.runner.process import FrameworkProcess, RequestQueue
from gradagree.runner.protocol import PointwiseRequest
from gradagree.surveys.cache import cached_exact_values
from gradagree.surveys.findings import join_deviations
from gradagree.surveys.kinks import KinkDerivative, kink_derivatives
from gradagree.surveys.measurements import (
    Deviation,
    ErrorCurve,
    Measurement,
    SurveyRow,
    deviations,
    error_curves,
    measure,
    mode_deviations,
    survey_row,
)
from gradagree.surveys.plan import SurveyPlan
from gradagree.surveys.shape_dependence import (
    PendingResults,
    PendingWindows,
    submit_windows,
    supports,
    window_deviations,
)
from gradagree.surveys.subject import QUANTITIES, Subject

REQUEST_LIMIT = 600.0
"""Seconds for one result."""
MAX_AHEAD = 6
"""Subjects that are asked before the first of them is judged."""


@dataclass
class SurveyResult:
    """All rows, the findings, the worst first, and curves for the pages."""

    rows: list[SurveyRow] = field(default_factory=list)
    findings: list[SurveyFinding] = field(default_factory=list)
    curves: list[ErrorCurve] = field(default_factory=list)
    conventions: list[KinkDerivative] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    unshown: int = 0


def run_survey(
    plan: SurveyPlan, extensions: Sequence[str] = (), progress: Callable[[str], Any] = lambda text: None
) -> SurveyResult:
    """Ask, prove, measure and join. Libraries that are not installed are named in `absent`."""
    found = SurveyResult()
    with ExitStack() as stack:
        processes = {
            name: [stack.enter_context(start_process(name, extensions)) for _ in range(process_count(name))]
            for name in plan.libraries
        }
        here: dict[str, Ready] = {}
        for name, theirs in processes.items():
            handshake = theirs[0].handshake
            if isinstance(handshake, Absent):
                found.absent[name] = handshake.reason
            elif not handshake.pointwise:
                found.absent[name] = "its adapter evaluates no single functions"
            else:
                found.versions[name], here[name] = handshake.version, handshake
        seen: list[Deviation] = []
        for subject, asked, moves in submit_ahead(plan, processes, here):
            progress(f"{subject.function} {subject.dtype}")
            for quantity in QUANTITIES:
                seen += measure_quantity(subject, quantity, asked, moves, found)
        progress("the findings")
        turns = cycle(range(max(map(len, processes.values()))))
        ask = (
            (lambda name, request: submit_in_turn(processes[name], next(turns), request))
            if plan.profile.thorough
            else None
        )
        with np.errstate(all="ignore"):
            found.findings, found.unshown = join_deviations(seen, found.versions, ask)
    return found


def process_count(library: str) -> int:
    return Adapter.catalogue[library].survey_processes if library in Adapter.catalogue else 1


def start_process(library: str, extensions: Sequence[str]) -> RequestQueue:
    return RequestQueue(FrameworkProcess(library, extensions, limit=REQUEST_LIMIT))


def submit_in_turn(processes: Sequence[RequestQueue], turn: int, request: PointwiseRequest) -> Future[Any]:
    return processes[turn % len(processes)].submit(request)


def subjects(plan: SurveyPlan) -> Iterator[Subject]:
    for function in plan.functions:
        for dtype in plan.dtypes:
            yield Subject.of(function, dtype, plan.density(dtype))
            if plan.profile.thorough and str(function) == function.name:
                yield from Subject.wide(function, dtype, plan.profile.slow)


def submit_ahead(
    plan: SurveyPlan, processes: dict[str, list[RequestQueue]], here: dict[str, Ready]
) -> Iterator[tuple[Subject, PendingResults, PendingWindows]]:
    """Each subject with its answers to come; some of them are asked before they are needed."""
    waiting: deque[tuple[Subject, PendingResults, PendingWindows]] = deque()
    for turn, subject in enumerate(subjects(plan)):
        theirs = {name: some[turn % len(some)] for name, some in processes.items()}
        waiting.append(
            (subject, submit_requests(subject, plan, theirs, here), submit_windows(subject, plan, theirs, here))
        )
        if len(waiting) > MAX_AHEAD:
            yield waiting.popleft()
    yield from waiting


def submit_requests(subject: Subject, plan: SurveyPlan, processes: Any, here: dict[str, Ready]) -> PendingResults:
    return {
        (name, quantity, mode): processes[name].submit(subject.request(quantity, mode))
        if plan.asks(name, mode, subject.function) and not subject.unfit else None
        for name, handshake in here.items()
        for quantity in QUANTITIES for mode in handshake.pointwise[quantity] if supports(name, subject, mode)
    }  # fmt: skip


@np.errstate(all="ignore")
def measure_quantity(
    subject: Subject, quantity: str, asked: PendingResults, moves: PendingWindows, found: SurveyResult
) -> list[Deviation]:
    """All answers about one quantity: a row for each mode, curves, and hits."""
    if subject.unfit:
        unasked = [(library, mode) for library, its, mode in asked if its == quantity]
        why = Failure("", "unasked", subject.unfit)
        found.rows += [failure_row(subject, quantity, *one, why, found.versions[one[0]]) for one in unasked]
        return []
    truth = cached_exact_values(subject, quantity)
    looks: dict[str, list[Measurement]] = {}
    for (library, its, mode), future in asked.items():
        if its != quantity:
            continue
        answer = Failure(mode, "unasked", "") if future is None else future.result()
        if isinstance(answer, np.ndarray) and answer.size != truth.high.size:
            answer = Failure(mode, "unsupported", "it gives one number for all points")
        if isinstance(answer, Failure):
            found.rows.append(failure_row(subject, quantity, library, mode, answer, found.versions[library]))
            continue
        look = reuse_measurement(looks.get(library, []), mode, answer) or measure(
            subject, quantity, library, mode, answer, truth
        )
        found.rows.append(survey_row(look, found.versions[library]))
        found.conventions += kink_derivatives(look)
        looks.setdefault(library, []).append(look)
    seen = [hit for theirs in looks.values() for look in theirs for hit in deviations(look)]
    for theirs in looks.values():
        seen += mode_deviations(theirs)
        found.curves += error_curves(theirs[0])
    return seen + window_deviations(subject, quantity, truth, asked, moves)


def reuse_measurement(before: Sequence[Measurement], mode: str, answer: np.ndarray) -> Measurement | None:
    """An earlier look at the very same numbers."""
    for look in before:
        if np.array_equal(look.given, np.reshape(answer, look.given.shape), equal_nan=True):
            return replace(look, mode=mode)
    return None


def failure_row(subject: Subject, quantity: str, library: str, mode: str, answer: Failure, version: str) -> SurveyRow:
    return SurveyRow(
        function=str(subject.function), framework=library, version=version, mode=mode, dtype=subject.dtype,
        quantity=quantity, status=answer.verdict, reason=answer.reason, inputs=subject.inputs,
    )  # fmt: skip
