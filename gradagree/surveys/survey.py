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
from gradagree.surveys.cache import truth_of
from gradagree.surveys.findings import joined
from gradagree.surveys.hits import ErrorCurve, Hit, Look, Row, curve, differing, hits, looked, row
from gradagree.surveys.kinks import AtKink, at_kinks
from gradagree.surveys.plan import Survey
from gradagree.surveys.shape_dependence import Asked, Moves, moves_judged, moves_of, speaks
from gradagree.surveys.subject import QUANTITIES, Subject

REQUEST_LIMIT = 600.0
"""Seconds for one result."""
AHEAD = 6
"""Subjects that are asked before the first of them is judged."""


@dataclass
class Surveyed:
    """All rows, the findings, the worst first, and curves for the pages."""

    rows: list[Row] = field(default_factory=list)
    findings: list[SurveyFinding] = field(default_factory=list)
    curves: list[ErrorCurve] = field(default_factory=list)
    conventions: list[AtKink] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    unshown: int = 0


def surveyed(
    plan: Survey, extensions: Sequence[str] = (), progress: Callable[[str], Any] = lambda text: None
) -> Surveyed:
    """Ask, prove, measure and join. Libraries that are not installed are named in `absent`."""
    found = Surveyed()
    with ExitStack() as stack:
        processes = {
            name: [stack.enter_context(started(name, extensions)) for _ in range(process_count(name))]
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
        seen: list[Hit] = []
        for subject, asked, moves in ahead(plan, processes, here):
            progress(f"{subject.function} {subject.dtype}")
            for quantity in QUANTITIES:
                seen += judged(subject, quantity, asked, moves, found)
        progress("the findings")
        turns = cycle(range(max(map(len, processes.values()))))
        ask = (lambda name, request: in_turn(processes[name], next(turns), request)) if plan.profile.thorough else None
        with np.errstate(all="ignore"):
            found.findings, found.unshown = joined(seen, found.versions, ask)
    return found


def process_count(library: str) -> int:
    return Adapter.catalogue[library].survey_processes if library in Adapter.catalogue else 1


def started(library: str, extensions: Sequence[str]) -> RequestQueue:
    return RequestQueue(FrameworkProcess(library, extensions, limit=REQUEST_LIMIT))


def in_turn(processes: Sequence[RequestQueue], turn: int, request: PointwiseRequest) -> Future[Any]:
    return processes[turn % len(processes)].submit(request)


def subjects(plan: Survey) -> Iterator[Subject]:
    for function in plan.functions:
        for dtype in plan.dtypes:
            yield Subject.of(function, dtype, plan.density(dtype))
            if plan.profile.thorough and str(function) == function.name:
                yield from Subject.wide(function, dtype, plan.profile.slow)


def ahead(
    plan: Survey, processes: dict[str, list[RequestQueue]], here: dict[str, Ready]
) -> Iterator[tuple[Subject, Asked, Moves]]:
    """Each subject with its answers to come; some of them are asked before they are needed."""
    waiting: deque[tuple[Subject, Asked, Moves]] = deque()
    for turn, subject in enumerate(subjects(plan)):
        theirs = {name: some[turn % len(some)] for name, some in processes.items()}
        waiting.append((subject, asked_of(subject, plan, theirs, here), moves_of(subject, plan, theirs, here)))
        if len(waiting) > AHEAD:
            yield waiting.popleft()
    yield from waiting


def asked_of(subject: Subject, plan: Survey, processes: Any, here: dict[str, Ready]) -> Asked:
    return {
        (name, quantity, mode): processes[name].submit(subject.request(quantity, mode))
        if plan.asks(name, mode, subject.function) and not subject.unfit else None
        for name, handshake in here.items()
        for quantity in QUANTITIES for mode in handshake.pointwise[quantity] if speaks(name, subject, mode)
    }  # fmt: skip


@np.errstate(all="ignore")
def judged(subject: Subject, quantity: str, asked: Asked, moves: Moves, found: Surveyed) -> list[Hit]:
    """All answers about one quantity: a row for each mode, curves, and hits."""
    if subject.unfit:
        unasked = [(library, mode) for library, its, mode in asked if its == quantity]
        why = Failure("", "unasked", subject.unfit)
        found.rows += [failed(subject, quantity, *one, why, found.versions[one[0]]) for one in unasked]
        return []
    truth = truth_of(subject, quantity)
    looks: dict[str, list[Look]] = {}
    for (library, its, mode), future in asked.items():
        if its != quantity:
            continue
        answer = Failure(mode, "unasked", "") if future is None else future.result()
        if isinstance(answer, np.ndarray) and answer.size != truth.high.size:
            answer = Failure(mode, "unsupported", "it gives one number for all points")
        if isinstance(answer, Failure):
            found.rows.append(failed(subject, quantity, library, mode, answer, found.versions[library]))
            continue
        look = looked_again(looks.get(library, []), mode, answer) or looked(
            subject, quantity, library, mode, answer, truth
        )
        found.rows.append(row(look, found.versions[library]))
        found.conventions += at_kinks(look)
        looks.setdefault(library, []).append(look)
    seen = [hit for theirs in looks.values() for look in theirs for hit in hits(look)]
    for theirs in looks.values():
        seen += differing(theirs)
        found.curves += curve(theirs[0])
    return seen + moves_judged(subject, quantity, truth, asked, moves)


def looked_again(before: Sequence[Look], mode: str, answer: np.ndarray) -> Look | None:
    """An earlier look at the very same numbers."""
    for look in before:
        if np.array_equal(look.given, np.reshape(answer, look.given.shape), equal_nan=True):
            return replace(look, mode=mode)
    return None


def failed(subject: Subject, quantity: str, library: str, mode: str, answer: Failure, version: str) -> Row:
    return Row(
        function=str(subject.function), framework=library, version=version, mode=mode, dtype=subject.dtype,
        quantity=quantity, status=answer.verdict, reason=answer.reason, inputs=subject.inputs,
    )  # fmt: skip
