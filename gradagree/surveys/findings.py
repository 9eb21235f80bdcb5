"""Hits of one cause joined, shown and proved."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np

from gradagree.arithmetic.model import FORMATS
from gradagree.reproduce.finding import SurveyFinding, copies
from gradagree.reproduce.source import DOCUMENTED, called
from gradagree.runner.protocol import PointwiseRequest
from gradagree.surveys.cache import fill_from_limits
from gradagree.surveys.classify import CLASSES, ErrorCode, Severity
from gradagree.surveys.exact import ExactValues, exact_values_by_balls
from gradagree.surveys.measurements import Deviation, Measurement, measure
from gradagree.surveys.neighbourhood import range_of_limits
from gradagree.surveys.points import ulp
from gradagree.surveys.shape_dependence import json_value, request_in_lengths, shape_example
from gradagree.surveys.subject import Subject

# A finding, and which of two is the worse
# ----------------------------------------


PREFERRED = ("float32", "float64", "float16", "bfloat16")
"""Examples are told in the first of these that there is."""


def finding_rank(finding: SurveyFinding) -> tuple[Any, ...]:
    severity = -Severity[finding.severity.upper()]
    wide = min(PREFERRED.index(dtype) for dtype in finding.dtypes) // 2
    quantity = ("slope", "value", "second").index(finding.quantity)
    usual = ("ordinary", "zero", "huge", "tiny", "infinite", "nan").index(finding.region)
    kind = [one.name for one in CLASSES.values()].index(finding.kind)
    return (
        severity, not finding.own, bool(finding.note), quantity > 1, usual > 1, kind, wide, quantity,
        -len(finding.dtypes), -finding.count, finding.function, finding.framework,
    )  # fmt: skip


# Findings: hits of one cause joined, told by the simplest input that shows it, asked once more and proved by balls
# --------------------------------------------------------------------------------------------------------------


ACCURACY = (ErrorCode.NO_DIGIT, ErrorCode.ZERO, ErrorCode.DIGITS, ErrorCode.INACCURATE, ErrorCode.CANCELLED)
"""Classes of one cause, lost digits; the worst one gives the name."""
MAX_EXAMPLES = 8

Submit = Callable[[str, PointwiseRequest], "Future[Any]"] | None
"""How to ask a framework once more; None takes its first answer."""
Results = list[Any]
"""Arrays, or futures of what comes back: in the hit's mode, and in the other one that it has."""


def cause(deviation: Deviation) -> tuple[str, ...]:
    """What hits of one finding have in common."""
    group = "accuracy" if deviation.code in ACCURACY else CLASSES[deviation.code].name
    return deviation.framework, deviation.subject.function.name, deviation.quantity, group, deviation.region


def join_deviations(
    deviations: Iterable[Deviation], versions: dict[str, str], ask: Submit
) -> tuple[list[SurveyFinding], int]:
    """The findings, the worst first, and how many could not be shown again or proved."""
    causes: dict[tuple[str, ...], list[Deviation]] = {}
    for deviation in deviations:
        causes.setdefault(cause(deviation), []).append(deviation)
    ordered = [sorted(members, key=example_priority)[:MAX_EXAMPLES] for members in causes.values()]
    first = [repeat_request(deviations[0], ask) for deviations in ordered]
    found, lost = [], 0
    for members, some, answers in zip(causes.values(), ordered, first, strict=True):
        told = first_confirmed(members, some, versions, ask, answers)
        lost += told is None
        found += [] if told is None else [told]
    return sorted(found, key=finding_rank), lost


def class_rank(code: ErrorCode) -> int:
    return list(CLASSES)[::-1].index(code)


def example_priority(deviation: Deviation) -> tuple[Any, ...]:
    """The worst first; then functions at their defaults, and the usual dtypes."""
    function = deviation.subject.function
    return (
        -class_rank(deviation.code),
        not deviation.gross,
        str(function) != function.name,
        PREFERRED.index(deviation.subject.dtype),
    )


def first_confirmed(
    members: Sequence[Deviation], some: Sequence[Deviation], versions: dict[str, str], ask: Submit, first: Results
) -> SurveyFinding | None:
    """The finding, if one of some examples shows it again and is proved; the first of them was asked ahead."""
    for k, deviation in enumerate(some):
        example = confirm(deviation, repeat_request(deviation, ask) if k else first)
        if example is not None:
            return make_finding(deviation, members, versions, example)
    return None


def confirm(deviation: Deviation, asked: Results) -> dict[str, Any] | None:
    """The example, asked once more among copies of itself and judged by balls; None if it is another class then."""
    if deviation.code == ErrorCode.SHAPE:
        return shape_example(deviation, asked)
    answers = [one.result() if isinstance(one, Future) else one for one in asked]
    if not all(isinstance(answer, np.ndarray) for answer in answers):
        return None
    answers = [answer[:1] for answer in answers]
    formula = deviation.subject.formula(deviation.quantity)
    exact = exact_values_by_balls(
        formula, deviation.subject.points, deviation.subject.targets, deviation.subject.dtype, deviation.subject.classes
    )
    fill_from_limits(deviation.subject, deviation.quantity, exact)
    if not is_known(exact, deviation):
        return None
    measurement = measure(deviation.subject, deviation.quantity, deviation.framework, deviation.mode, answers[0], exact)
    code = ErrorCode(int(measurement.errors.codes[deviation.index]))
    observed = float(measurement.observed[deviation.index])
    if deviation.code == ErrorCode.MODES:
        other = float(np.reshape(answers[1], exact.high.shape)[deviation.index])
        if observed == other or (np.isnan(observed) and np.isnan(other)):
            return None
        return describe_example(deviation, measurement, observed) | {
            "other_mode": deviation.other,
            "other_given": json_value(other),
        }
    if code != deviation.code:
        return None
    return describe_example(deviation, measurement, observed)


def is_known(exact: ExactValues, deviation: Deviation) -> bool:
    return deviation.code == ErrorCode.NAN_LOST or bool(exact.known[deviation.index])


def repeat_request(deviation: Deviation, ask: Submit) -> Results:
    """The answers in the hit's modes among copies of its input."""
    if deviation.code == ErrorCode.SHAPE:
        return [] if ask is None else [ask(deviation.framework, request_in_lengths(deviation))]
    if ask is None:
        return [deviation.values, deviation.other_values] if deviation.other else [deviation.values]
    subject = deviation.subject.at(np.zeros(copies(deviation.subject.points), dtype=int))
    return [
        ask(deviation.framework, subject.request(deviation.quantity, mode))
        for mode in (deviation.mode, deviation.other)
        if mode
    ]


def describe_example(deviation: Deviation, measurement: Measurement, observed: float) -> dict[str, Any]:
    exact = measurement.exact
    high, nearest = float(exact.high[deviation.index]), float(exact.nearest[deviation.index])
    subject: Subject = deviation.subject
    between = interval_of_limits(deviation) if exact.known[deviation.index] == FROM_LIMITS else {}
    return between | {
        "function": str(subject.function), "dtype": subject.dtype, "mode": deviation.mode,
        "input": json_value(np.ravel(subject.points[0])),
        "target": None if subject.targets is None else json_value(np.ravel(subject.targets[0])),
        "entry": list(deviation.index[1:]), "given": json_value(observed),
        "true": "nan" if deviation.code == ErrorCode.NAN_LOST else json_value(nearest if np.isinf(nearest) else high),
        "ulps": json_value(abs(observed - high) / float(ulp(np.asarray(high), FORMATS[subject.dtype]))),
    }  # fmt: skip


FROM_LIMITS = 3
"""Where a truth is known from the sides of the point alone."""


def interval_of_limits(deviation: Deviation) -> dict[str, Any]:
    """What is true on the sides: from where to where."""
    low, high = range_of_limits(deviation.subject, deviation.quantity)
    found = [float(x[deviation.index]) for x in (low, high)]
    return {"between": found} if found[0] < found[1] else {}


def is_serious(deviation: Deviation, members: Sequence[Deviation]) -> bool:
    """Whether a class that is of high severity is: the error is large, or not only inputs beyond 2^63 are concerned."""
    if deviation.code in (ErrorCode.NO_DIGIT, ErrorCode.SIGN):
        return any(h.gross for h in members)
    return deviation.region != "huge" or any(h.subject.dtype == "float16" for h in members)


def make_finding(
    deviation: Deviation, members: Sequence[Deviation], versions: dict[str, str], example: dict[str, Any]
) -> SurveyFinding:
    name = deviation.subject.function.name
    calls, own = called(deviation.subject.function, deviation.framework)
    ranges: dict[str, list[float | str]] = {}
    for dtype in sorted({h.subject.dtype for h in members}, key=PREFERRED.index):
        theirs = [h for h in members if h.subject.dtype == dtype]
        ranges[dtype] = [
            json_value(min(h.low for h in theirs)),
            json_value(max(h.high for h in theirs)),
            max(h.count for h in theirs),
        ]
    severity = CLASSES[deviation.code].severity
    note = DOCUMENTED.get((deviation.framework, name, deviation.quantity), "")
    if note:
        severity = Severity.NOTE
    elif not own or not is_serious(deviation, members):
        severity = min(severity, Severity.MEDIUM)
    return SurveyFinding(
        framework=deviation.framework, version=versions[deviation.framework], function=name,
        variants=sorted({str(h.subject.function) for h in members}), calls=calls, own=own, quantity=deviation.quantity,
        kind=CLASSES[deviation.code].name, severity=severity.name.lower(), region=deviation.region,
        modes=sorted({h.mode for h in members}), dtypes=list(ranges), ranges=ranges,
        count=sum(h.count for h in members), example=example, note=note,
    )  # fmt: skip
