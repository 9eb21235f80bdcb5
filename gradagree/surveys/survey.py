"""The survey: every function alone, in every dtype, quantity, framework and mode, against exact values."""

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
from gradagree.reference import ErrorFunction
from gradagree.reproduce.finding import SurveyFinding
from gradagree.runner.process import FrameworkProcess, RequestQueue
from gradagree.runner.protocol import PointwiseRequest
from gradagree.surveys.cache import cached_exact_values
from gradagree.surveys.classify import CLASSES, ErrorCode
from gradagree.surveys.conventions import KinkDerivative, kink_derivatives
from gradagree.surveys.cotangents import subjects_with_cotangents
from gradagree.surveys.curves import ErrorCurve, error_curves
from gradagree.surveys.definitions import definition_findings, submit_definitions
from gradagree.surveys.findings import finding_rank, join_deviations
from gradagree.surveys.formulas import QUANTITIES
from gradagree.surveys.labels import describe, formula_values, label_deviation, subjects_with_invalid_labels
from gradagree.surveys.measurements import (
    Deviation,
    Measurement,
    SurveyRow,
    deviations,
    measure,
    mode_deviations,
    survey_row,
)
from gradagree.surveys.neighbourhood import Neighbourhood
from gradagree.surveys.plan import SurveyPlan
from gradagree.surveys.shape_dependence import (
    PendingResults,
    PendingWindows,
    submit_windows,
    supports,
    window_deviations,
)
from gradagree.surveys.subject import Subject
from gradagree.surveys.targets import subjects_by_target, subjects_by_weight

REQUEST_LIMIT = 600.0
"""Time limit in seconds for one result."""
MAX_AHEAD = 6
"""Subjects whose results are computed while an earlier one is measured."""


@dataclass
class SurveyResult:
    """Rows, findings (the worst first), error curves for the pages, and derivatives at kinks.

    absent names each library that was not surveyed, with the reason; unshown counts findings that could not be
    reproduced.
    """

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
    """Compute the results of all libraries, measure their errors and join the deviations to findings."""
    result = SurveyResult()
    with ExitStack() as stack:
        queues = {
            name: [stack.enter_context(start_process(name, extensions)) for _ in range(process_count(name))]
            for name in plan.libraries
        }
        ready: dict[str, Ready] = {}
        for name, some in queues.items():
            handshake = some[0].handshake
            if isinstance(handshake, Absent):
                result.absent[name] = handshake.reason
            elif not handshake.pointwise:
                result.absent[name] = "its adapter evaluates no single functions"
            else:
                result.versions[name], ready[name] = handshake.version, handshake
        seen: list[Deviation] = []
        for subject, pending, windows in submit_ahead(plan, queues, ready):
            progress(f"{subject.function} {subject.dtype}")
            for quantity in QUANTITIES:
                seen += measure_quantity(subject, quantity, pending, windows, result)
        progress("the definitions")
        submit_to = {
            name: queues[name][0].definitions for name, one in ready.items() if evaluates_values(plan, name, one)
        }
        definitions = list(definition_findings(submit_definitions(plan.functions, submit_to), result.versions))
        progress("the findings")
        turns = cycle(range(max(map(len, queues.values()))))

        def submit(library: str, request: PointwiseRequest) -> Future[Any]:
            return queues[library][next(turns) % len(queues[library])].submit(request)

        with np.errstate(all="ignore"):
            found = join_deviations(seen, result.versions, submit if plan.profile.thorough else None)
    result.findings, result.unshown = sorted([*found[0], *definitions], key=finding_rank), found[1]
    return result


def evaluates_values(plan: SurveyPlan, library: str, handshake: Ready) -> bool:
    """Whether a mode of values of the library is surveyed."""
    return any(plan.includes(library, mode, one) for mode in handshake.pointwise["value"] for one in plan.functions[:1])


def process_count(library: str) -> int:
    return Adapter.catalogue[library].survey_processes if library in Adapter.catalogue else 1


def start_process(library: str, extensions: Sequence[str]) -> RequestQueue:
    return RequestQueue(FrameworkProcess(library, extensions, limit=REQUEST_LIMIT))


def subjects(plan: SurveyPlan) -> Iterator[Subject]:
    for function in plan.functions:
        for dtype in plan.dtypes:
            yield Subject.of(function, dtype, plan.density(dtype))
            if plan.profile.thorough and str(function) == function.name:
                yield from Subject.wide(function, dtype, plan.profile.slow)
            if str(function) == function.name:
                yield from subjects_with_cotangents(function, dtype, plan.density(dtype))
                yield from subjects_by_target(function, dtype, plan.density(dtype))
                yield from subjects_by_weight(function, dtype, plan.density(dtype))
                if isinstance(function, ErrorFunction) and dtype == plan.dtypes[0]:
                    yield from subjects_with_invalid_labels(function, dtype)


def submit_ahead(
    plan: SurveyPlan, queues: dict[str, list[RequestQueue]], ready: dict[str, Ready]
) -> Iterator[tuple[Subject, PendingResults, PendingWindows]]:
    """Each subject with its pending results; those of the next subjects are submitted already."""
    waiting: deque[tuple[Subject, PendingResults, PendingWindows]] = deque()
    for turn, subject in enumerate(subjects(plan)):
        queue = {name: some[turn % len(some)] for name, some in queues.items()}
        pending, windows = submit_requests(subject, plan, queue, ready), submit_windows(subject, plan, queue, ready)
        waiting.append((subject, pending, windows))
        if len(waiting) > MAX_AHEAD:
            yield waiting.popleft()
    yield from waiting


def submit_requests(
    subject: Subject, plan: SurveyPlan, queue: dict[str, RequestQueue], ready: dict[str, Ready]
) -> PendingResults:
    return {
        (name, quantity, mode): queue[name].submit(subject.request(quantity, mode))
        if plan.includes(name, mode, subject.function) and not subject.unsupported_reason else None
        for name, handshake in ready.items()
        for quantity in QUANTITIES for mode in handshake.pointwise[quantity] if supports(name, subject, quantity, mode)
    }  # fmt: skip


@np.errstate(all="ignore")
def measure_quantity(
    subject: Subject, quantity: str, pending: PendingResults, windows: PendingWindows, result: SurveyResult
) -> list[Deviation]:
    """The deviations of all results of one quantity; rows, curves and derivatives at kinks are added to the result."""
    results = {(library, mode): future for (library, its, mode), future in pending.items() if its == quantity}
    if not results:
        return []
    if subject.unsupported_reason:
        failure = Failure("", "unasked", subject.unsupported_reason)
        result.rows += [failure_row(subject, quantity, *one, failure, result.versions[one[0]]) for one in results]
        return []
    if subject.label:
        return measure_labels(subject, quantity, results, result)
    exact = cached_exact_values(subject, quantity)
    neighbourhood = Neighbourhood(subject, quantity, exact)
    measurements: dict[str, list[Measurement]] = {}
    for (library, mode), future in results.items():
        observed = Failure(mode, "unasked", "") if future is None else future.result()
        if isinstance(observed, np.ndarray) and observed.size != exact.high.size:
            observed = Failure(mode, "unsupported", "it gives one number for all points")
        if isinstance(observed, Failure):
            result.rows.append(failure_row(subject, quantity, library, mode, observed, result.versions[library]))
            continue
        measurement = reuse_measurement(measurements.get(library, []), mode, observed) or measure(
            subject, quantity, library, mode, observed, exact, neighbourhood
        )
        result.rows.append(survey_row(measurement, result.versions[library]))
        result.conventions += kink_derivatives(measurement)
        measurements.setdefault(library, []).append(measurement)
    seen = [one for some in measurements.values() for measurement in some for one in deviations(measurement)]
    for some in measurements.values():
        seen += mode_deviations(some)
        result.curves += error_curves(some[0])
    return seen + window_deviations(subject, quantity, exact, pending, windows)


def measure_labels(
    subject: Subject, quantity: str, results: dict[tuple[str, str], Future[Any] | None], result: SurveyResult
) -> list[Deviation]:
    """What each mode does with an invalid label, as rows, and the numbers that the formula does not give."""
    seen = []
    for (library, mode), future in results.items():
        observed = Failure(mode, "unasked", "") if future is None else future.result()
        version = result.versions[library]
        if isinstance(observed, Failure):
            result.rows.append(failure_row(subject, quantity, library, mode, observed, version))
            continue
        shape = (len(subject.points), *observed.shape[1:])
        if quantity == "value":
            observed = observed.reshape(len(subject.points), -1).sum(axis=1) if subject.ks else observed
            shape = observed.shape
        exact = formula_values(subject, quantity, shape)
        if observed.size != exact.high.size:
            failure = Failure(mode, "unsupported", "it gives one number for all points")
            result.rows.append(failure_row(subject, quantity, library, mode, failure, version))
            continue
        observed = np.reshape(observed, exact.high.shape)
        found = label_deviation(subject, quantity, library, mode, observed, exact)
        classes = {} if found is None else {CLASSES[ErrorCode.LABEL].name: found.count}
        result.rows.append(SurveyRow(
            function=str(subject.function), framework=library, version=version, mode=mode, dtype=subject.dtype,
            quantity=quantity, inputs=subject.inputs, reason=describe(observed), points=observed.size,
            proved=int((exact.known > 0).sum()), classes=classes,
        ))  # fmt: skip
        seen += [] if found is None else [found]
    return seen


def reuse_measurement(before: Sequence[Measurement], mode: str, observed: np.ndarray) -> Measurement | None:
    """The measurement of an earlier mode with exactly the same numbers."""
    for measurement in before:
        if np.array_equal(measurement.observed, np.reshape(observed, measurement.observed.shape), equal_nan=True):
            return replace(measurement, mode=mode)
    return None


def failure_row(subject: Subject, quantity: str, library: str, mode: str, failure: Failure, version: str) -> SurveyRow:
    return SurveyRow(
        function=str(subject.function), framework=library, version=version, mode=mode, dtype=subject.dtype,
        quantity=quantity, status=failure.verdict, reason=failure.reason, inputs=subject.inputs,
    )  # fmt: skip
