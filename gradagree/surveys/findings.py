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
from gradagree.surveys.cache import bridge
from gradagree.surveys.classify import CLASSES, ErrorCode, Severity
from gradagree.surveys.hits import Hit, Look, looked
from gradagree.surveys.neighbourhood import limits
from gradagree.surveys.points import ulp
from gradagree.surveys.shape_dependence import in_lengths, plain, shape_example
from gradagree.surveys.subject import Subject
from gradagree.surveys.truth import ExactValues, prove_at

# A finding, and which of two is the worse
# ----------------------------------------


PREFERRED = ("float32", "float64", "float16", "bfloat16")
"""Examples are told in the first of these that there is."""


def rank(finding: SurveyFinding) -> tuple[Any, ...]:
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
TRIES = 8

Ask = Callable[[str, PointwiseRequest], "Future[Any]"] | None
"""How to ask a framework once more; None takes its first answer."""
Answers = list[Any]
"""Arrays, or futures of what comes back: in the hit's mode, and in the other one that it has."""


def cause(hit: Hit) -> tuple[str, ...]:
    """What hits of one finding have in common."""
    group = "accuracy" if hit.code in ACCURACY else CLASSES[hit.code].name
    return hit.framework, hit.subject.function.name, hit.quantity, group, hit.region


def joined(hits: Iterable[Hit], versions: dict[str, str], ask: Ask) -> tuple[list[SurveyFinding], int]:
    """The findings, the worst first, and how many could not be shown again or proved."""
    causes: dict[tuple[str, ...], list[Hit]] = {}
    for hit in hits:
        causes.setdefault(cause(hit), []).append(hit)
    ordered = [sorted(members, key=telling)[:TRIES] for members in causes.values()]
    first = [repeated(hits[0], ask) for hits in ordered]
    found, lost = [], 0
    for members, some, answers in zip(causes.values(), ordered, first, strict=True):
        told = shown(members, some, versions, ask, answers)
        lost += told is None
        found += [] if told is None else [told]
    return sorted(found, key=rank), lost


def badness(code: ErrorCode) -> int:
    return list(CLASSES)[::-1].index(code)


def telling(hit: Hit) -> tuple[Any, ...]:
    """The worst first; then functions at their defaults, and the usual dtypes."""
    function = hit.subject.function
    return -badness(hit.code), not hit.gross, str(function) != function.name, PREFERRED.index(hit.subject.dtype)


def shown(
    members: Sequence[Hit], some: Sequence[Hit], versions: dict[str, str], ask: Ask, first: Answers
) -> SurveyFinding | None:
    """The finding, if one of some examples shows it again and is proved; the first of them was asked ahead."""
    for k, hit in enumerate(some):
        example = again(hit, repeated(hit, ask) if k else first)
        if example is not None:
            return told(hit, members, versions, example)
    return None


def again(hit: Hit, asked: Answers) -> dict[str, Any] | None:
    """The example, asked once more among copies of itself and judged by balls; None if it is another class then."""
    if hit.code == ErrorCode.SHAPE:
        return shape_example(hit, asked)
    answers = [one.result() if isinstance(one, Future) else one for one in asked]
    if not all(isinstance(answer, np.ndarray) for answer in answers):
        return None
    answers = [answer[:1] for answer in answers]
    formula = hit.subject.formula(hit.quantity)
    truth = prove_at(formula, hit.subject.points, hit.subject.targets, hit.subject.dtype, hit.subject.classes)
    bridge(hit.subject, hit.quantity, truth)
    if not known_at(truth, hit):
        return None
    look = looked(hit.subject, hit.quantity, hit.framework, hit.mode, answers[0], truth)
    code = ErrorCode(int(look.found.codes[hit.place]))
    given = float(look.given[hit.place])
    if hit.code == ErrorCode.MODES:
        other = float(np.reshape(answers[1], truth.high.shape)[hit.place])
        if given == other or (np.isnan(given) and np.isnan(other)):
            return None
        return example_of(hit, look, given) | {"other_mode": hit.other, "other_given": plain(other)}
    if code != hit.code:
        return None
    return example_of(hit, look, given)


def known_at(truth: ExactValues, hit: Hit) -> bool:
    return hit.code == ErrorCode.NAN_LOST or bool(truth.known[hit.place])


def repeated(hit: Hit, ask: Ask) -> Answers:
    """The answers in the hit's modes among copies of its input."""
    if hit.code == ErrorCode.SHAPE:
        return [] if ask is None else [ask(hit.framework, in_lengths(hit))]
    if ask is None:
        return [hit.whole, hit.other_whole] if hit.other else [hit.whole]
    subject = hit.subject.at(np.zeros(copies(hit.subject.points), dtype=int))
    return [ask(hit.framework, subject.request(hit.quantity, mode)) for mode in (hit.mode, hit.other) if mode]


def example_of(hit: Hit, look: Look, given: float) -> dict[str, Any]:
    truth = look.truth
    high, nearest = float(truth.high[hit.place]), float(truth.nearest[hit.place])
    subject: Subject = hit.subject
    between = ends(hit) if truth.known[hit.place] == OF_SIDES else {}
    return between | {
        "function": str(subject.function), "dtype": subject.dtype, "mode": hit.mode,
        "input": plain(np.ravel(subject.points[0])),
        "target": None if subject.targets is None else plain(np.ravel(subject.targets[0])),
        "entry": list(hit.place[1:]), "given": plain(given),
        "true": "nan" if hit.code == ErrorCode.NAN_LOST else plain(nearest if np.isinf(nearest) else high),
        "ulps": plain(abs(given - high) / float(ulp(np.asarray(high), FORMATS[subject.dtype]))),
    }  # fmt: skip


OF_SIDES = 3
"""Where a truth is known from the sides of the point alone."""


def ends(hit: Hit) -> dict[str, Any]:
    """What is true on the sides: from where to where."""
    s = hit.subject
    low, high = limits(s.formula(hit.quantity), s.points, s.ball_targets(), FORMATS[s.dtype])
    found = [float(x[hit.place]) for x in (low, high)]
    return {"between": found} if found[0] < found[1] else {}


def serious(hit: Hit, members: Sequence[Hit]) -> bool:
    """Whether a class that is of high severity is: the error is large, or not only inputs beyond 2^63 are concerned."""
    if hit.code in (ErrorCode.NO_DIGIT, ErrorCode.SIGN):
        return any(h.gross for h in members)
    return hit.region != "huge" or any(h.subject.dtype == "float16" for h in members)


def told(hit: Hit, members: Sequence[Hit], versions: dict[str, str], example: dict[str, Any]) -> SurveyFinding:
    name = hit.subject.function.name
    calls, own = called(hit.subject.function, hit.framework)
    ranges: dict[str, list[float | str]] = {}
    for dtype in sorted({h.subject.dtype for h in members}, key=PREFERRED.index):
        theirs = [h for h in members if h.subject.dtype == dtype]
        ranges[dtype] = [
            plain(min(h.low for h in theirs)),
            plain(max(h.high for h in theirs)),
            max(h.count for h in theirs),
        ]
    severity = CLASSES[hit.code].severity
    note = DOCUMENTED.get((hit.framework, name, hit.quantity), "")
    if note:
        severity = Severity.NOTE
    elif not own or not serious(hit, members):
        severity = min(severity, Severity.MEDIUM)
    return SurveyFinding(
        framework=hit.framework, version=versions[hit.framework], function=name,
        variants=sorted({str(h.subject.function) for h in members}), calls=calls, own=own, quantity=hit.quantity,
        kind=CLASSES[hit.code].name, severity=severity.name.lower(), region=hit.region,
        modes=sorted({h.mode for h in members}), dtypes=list(ranges), ranges=ranges,
        count=sum(h.count for h in members), example=example, note=note,
    )  # fmt: skip
