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


def cause(hit: Deviation) -> tuple[str, ...]:
    """What hits of one finding have in common."""
    group = "accuracy" if hit.code in ACCURACY else CLASSES[hit.code].name
    return hit.framework, hit.subject.function.name, hit.quantity, group, hit.region


def join_deviations(
    hits: Iterable[Deviation], versions: dict[str, str], ask: Submit
) -> tuple[list[SurveyFinding], int]:
    """The findings, the worst first, and how many could not be shown again or proved."""
    causes: dict[tuple[str, ...], list[Deviation]] = {}
    for hit in hits:
        causes.setdefault(cause(hit), []).append(hit)
    ordered = [sorted(members, key=example_priority)[:MAX_EXAMPLES] for members in causes.values()]
    first = [repeat_request(hits[0], ask) for hits in ordered]
    found, lost = [], 0
    for members, some, answers in zip(causes.values(), ordered, first, strict=True):
        told = first_confirmed(members, some, versions, ask, answers)
        lost += told is None
        found += [] if told is None else [told]
    return sorted(found, key=finding_rank), lost


def class_rank(code: ErrorCode) -> int:
    return list(CLASSES)[::-1].index(code)


def example_priority(hit: Deviation) -> tuple[Any, ...]:
    """The worst first; then functions at their defaults, and the usual dtypes."""
    function = hit.subject.function
    return -class_rank(hit.code), not hit.gross, str(function) != function.name, PREFERRED.index(hit.subject.dtype)


def first_confirmed(
    members: Sequence[Deviation], some: Sequence[Deviation], versions: dict[str, str], ask: Submit, first: Results
) -> SurveyFinding | None:
    """The finding, if one of some examples shows it again and is proved; the first of them was asked ahead."""
    for k, hit in enumerate(some):
        example = confirm(hit, repeat_request(hit, ask) if k else first)
        if example is not None:
            return make_finding(hit, members, versions, example)
    return None


def confirm(hit: Deviation, asked: Results) -> dict[str, Any] | None:
    """The example, asked once more among copies of itself and judged by balls; None if it is another class then."""
    if hit.code == ErrorCode.SHAPE:
        return shape_example(hit, asked)
    answers = [one.result() if isinstance(one, Future) else one for one in asked]
    if not all(isinstance(answer, np.ndarray) for answer in answers):
        return None
    answers = [answer[:1] for answer in answers]
    formula = hit.subject.formula(hit.quantity)
    truth = exact_values_by_balls(
        formula, hit.subject.points, hit.subject.targets, hit.subject.dtype, hit.subject.classes
    )
    fill_from_limits(hit.subject, hit.quantity, truth)
    if not is_known(truth, hit):
        return None
    look = measure(hit.subject, hit.quantity, hit.framework, hit.mode, answers[0], truth)
    code = ErrorCode(int(look.found.codes[hit.place]))
    given = float(look.given[hit.place])
    if hit.code == ErrorCode.MODES:
        other = float(np.reshape(answers[1], truth.high.shape)[hit.place])
        if given == other or (np.isnan(given) and np.isnan(other)):
            return None
        return describe_example(hit, look, given) | {"other_mode": hit.other, "other_given": json_value(other)}
    if code != hit.code:
        return None
    return describe_example(hit, look, given)


def is_known(truth: ExactValues, hit: Deviation) -> bool:
    return hit.code == ErrorCode.NAN_LOST or bool(truth.known[hit.place])


def repeat_request(hit: Deviation, ask: Submit) -> Results:
    """The answers in the hit's modes among copies of its input."""
    if hit.code == ErrorCode.SHAPE:
        return [] if ask is None else [ask(hit.framework, request_in_lengths(hit))]
    if ask is None:
        return [hit.whole, hit.other_whole] if hit.other else [hit.whole]
    subject = hit.subject.at(np.zeros(copies(hit.subject.points), dtype=int))
    return [ask(hit.framework, subject.request(hit.quantity, mode)) for mode in (hit.mode, hit.other) if mode]


def describe_example(hit: Deviation, look: Measurement, given: float) -> dict[str, Any]:
    truth = look.truth
    high, nearest = float(truth.high[hit.place]), float(truth.nearest[hit.place])
    subject: Subject = hit.subject
    between = interval_of_limits(hit) if truth.known[hit.place] == FROM_LIMITS else {}
    return between | {
        "function": str(subject.function), "dtype": subject.dtype, "mode": hit.mode,
        "input": json_value(np.ravel(subject.points[0])),
        "target": None if subject.targets is None else json_value(np.ravel(subject.targets[0])),
        "entry": list(hit.place[1:]), "given": json_value(given),
        "true": "nan" if hit.code == ErrorCode.NAN_LOST else json_value(nearest if np.isinf(nearest) else high),
        "ulps": json_value(abs(given - high) / float(ulp(np.asarray(high), FORMATS[subject.dtype]))),
    }  # fmt: skip


FROM_LIMITS = 3
"""Where a truth is known from the sides of the point alone."""


def interval_of_limits(hit: Deviation) -> dict[str, Any]:
    """What is true on the sides: from where to where."""
    s = hit.subject
    low, high = range_of_limits(s.formula(hit.quantity), s.points, s.ball_targets(), FORMATS[s.dtype])
    found = [float(x[hit.place]) for x in (low, high)]
    return {"between": found} if found[0] < found[1] else {}


def is_serious(hit: Deviation, members: Sequence[Deviation]) -> bool:
    """Whether a class that is of high severity is: the error is large, or not only inputs beyond 2^63 are concerned."""
    if hit.code in (ErrorCode.NO_DIGIT, ErrorCode.SIGN):
        return any(h.gross for h in members)
    return hit.region != "huge" or any(h.subject.dtype == "float16" for h in members)


def make_finding(
    hit: Deviation, members: Sequence[Deviation], versions: dict[str, str], example: dict[str, Any]
) -> SurveyFinding:
    name = hit.subject.function.name
    calls, own = called(hit.subject.function, hit.framework)
    ranges: dict[str, list[float | str]] = {}
    for dtype in sorted({h.subject.dtype for h in members}, key=PREFERRED.index):
        theirs = [h for h in members if h.subject.dtype == dtype]
        ranges[dtype] = [
            json_value(min(h.low for h in theirs)),
            json_value(max(h.high for h in theirs)),
            max(h.count for h in theirs),
        ]
    severity = CLASSES[hit.code].severity
    note = DOCUMENTED.get((hit.framework, name, hit.quantity), "")
    if note:
        severity = Severity.NOTE
    elif not own or not is_serious(hit, members):
        severity = min(severity, Severity.MEDIUM)
    return SurveyFinding(
        framework=hit.framework, version=versions[hit.framework], function=name,
        variants=sorted({str(h.subject.function) for h in members}), calls=calls, own=own, quantity=hit.quantity,
        kind=CLASSES[hit.code].name, severity=severity.name.lower(), region=hit.region,
        modes=sorted({h.mode for h in members}), dtypes=list(ranges), ranges=ranges,
        count=sum(h.count for h in members), example=example, note=note,
    )  # fmt: skip
