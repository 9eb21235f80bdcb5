"""Findings: deviations of one cause, confirmed by a second computation and ball arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np

from gradagree.adapters import Adapter
from gradagree.arithmetic.model import FORMATS
from gradagree.arithmetic.rounding import ulp
from gradagree.reproduce.finding import SurveyFinding, copies
from gradagree.runner.protocol import PointwiseRequest
from gradagree.surveys.cache import fill_from_limits
from gradagree.surveys.calls import library_call
from gradagree.surveys.classify import CLASSES, ErrorCode, PointErrors, Severity
from gradagree.surveys.exact import FROM_LIMITS, TO_ROUNDING, ExactValues, compute_exact_values
from gradagree.surveys.labels import formula_values, label_deviation
from gradagree.surveys.measurements import Deviation, Measurement, json_value, measure
from gradagree.surveys.neighbourhood import range_of_limits
from gradagree.surveys.points import distance_from_one
from gradagree.surveys.shape_dependence import operands_of, request_in_lengths, shape_example
from gradagree.surveys.subject import Subject

PREFERRED = ("float32", "float64", "float16", "bfloat16")
"""Dtypes in the order in which examples are chosen."""


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


ACCURACY = (ErrorCode.NO_DIGIT, ErrorCode.ZERO, ErrorCode.DIGITS, ErrorCode.INACCURATE, ErrorCode.CANCELLED,
            ErrorCode.UNDERFLOW)  # fmt: skip
"""Error classes with one cause, lost digits; the worst one names the finding."""
EXPLAINED = (ErrorCode.NO_DIGIT, ErrorCode.ZERO, ErrorCode.SIGN, ErrorCode.KINK, ErrorCode.JUMP)
"""Error classes of low severity if an input within a few ulps, or a zero of the function, explains all the errors."""
MAX_EXAMPLES = 8

COTANGENTS = "cotangents"
"""A part of the cause of a finding: the derivative with cotangents other than 1."""

Submit = Callable[[str, PointwiseRequest], "Future[Any]"] | None
"""Submits a request to a library a second time; None to rely on its first result."""
Results = list[Any]
"""Arrays or their futures: in the deviation's mode, and in the mode that it is compared with."""


def cause(deviation: Deviation) -> tuple[str, ...]:
    """What the deviations of one finding have in common."""
    group = "accuracy" if deviation.code in ACCURACY else CLASSES[deviation.code].name
    weighted = deviation.subject.by
    weighted = weighted if deviation.subject.cotangents is None else COTANGENTS
    return deviation.framework, deviation.subject.function.name, deviation.quantity, group, weighted, deviation.region


def join_cotangents(causes: dict[tuple[str, ...], list[Deviation]]) -> None:
    """Add what cotangents show to a finding of the derivative itself that is in the same class, or a worse one."""
    worst = {key: max(class_rank(one.code) for one in members) for key, members in causes.items()}
    for key in [key for key in causes if key[4] == COTANGENTS]:
        plain = (one for one in causes if one[:5] == (*key[:4], "") and worst[one] >= worst[key])
        same = next(plain, None)
        if same is not None:
            causes[same] += causes.pop(key)


def join_deviations(
    deviations: Iterable[Deviation], versions: dict[str, str], submit: Submit
) -> tuple[list[SurveyFinding], int]:
    """The findings, the worst first, and the number of those that could not be confirmed."""
    causes: dict[tuple[str, ...], list[Deviation]] = {}
    for deviation in deviations:
        causes.setdefault(cause(deviation), []).append(deviation)
    join_cotangents(causes)
    ordered = [sorted(members, key=example_priority)[:MAX_EXAMPLES] for members in causes.values()]
    first = [repeat_request(some[0], submit) for some in ordered]
    found, unconfirmed = [], 0
    for members, some, results in zip(causes.values(), ordered, first, strict=True):
        finding = first_confirmed(members, some, versions, submit, results)
        unconfirmed += finding is None
        found += [] if finding is None else [finding]
    return sorted(found, key=finding_rank), unconfirmed


def class_rank(code: ErrorCode) -> int:
    return list(CLASSES)[::-1].index(code)


def example_priority(deviation: Deviation) -> tuple[Any, ...]:
    """Sort key: the worst class first, then default parameters, the most ordinary input, and the clearest dtype."""
    function = deviation.subject.function
    return (
        -class_rank(deviation.code),
        not deviation.gross,
        deviation.conditioned,
        deviation.subject.cotangents is not None,
        str(function) != function.name,
        binades_from_one(deviation.subject) // COMPARABLE_BINADES,
        -share_of_digits_lost(deviation),
        PREFERRED.index(deviation.subject.dtype),
    )


COMPARABLE_BINADES = 8
"""Inputs are equally ordinary if their sizes differ by less."""


def binades_from_one(subject: Subject) -> int:
    """The largest distance of an entry of the first input or its target from 1, in binades; zeros do not count."""
    return max((int(distance_from_one(x[:1]).max(initial=0)) for x in subject.numbers), default=0)


def share_of_digits_lost(deviation: Deviation) -> float:
    """0, 1/4, 1/2, 3/4 or 1; 1 where no digit is correct, or a number is not finite."""
    observed, exact, form = deviation.observed, deviation.exact, FORMATS[deviation.subject.dtype]
    with np.errstate(all="ignore"):
        ulps = abs(observed - exact) / float(ulp(np.asarray(exact), form))
    if not np.isfinite(ulps) or abs(observed - exact) >= abs(exact) / 2:
        return 1.0
    return min(round(4 * float(np.log2(max(ulps, 1.0))) / form.precision) / 4, 1.0)


def first_confirmed(
    members: Sequence[Deviation], some: Sequence[Deviation], versions: dict[str, str], submit: Submit, first: Results
) -> SurveyFinding | None:
    """The finding with the first of these examples that is confirmed; the first one was requested already."""
    for k, deviation in enumerate(some):
        example = confirm(deviation, repeat_request(deviation, submit) if k else first)
        if example is not None:
            return make_finding(deviation, members, versions, example)
    return None


def confirm(deviation: Deviation, results: Results) -> dict[str, Any] | None:
    """The example, if the repeated results have the same error class against exact values by balls; else None."""
    if deviation.code == ErrorCode.SHAPE:
        example = shape_example(deviation, results)
        return None if example is None else example | exact_value(deviation, exact_in_balls(deviation))
    arrays = [one.result() if isinstance(one, Future) else one for one in results]
    if not all(isinstance(one, np.ndarray) for one in arrays):
        return None
    arrays = [one[:1] for one in arrays]
    subject, quantity = deviation.subject, deviation.quantity
    if deviation.code == ErrorCode.LABEL:
        return confirm_label(deviation, arrays[0])
    exact = exact_in_balls(deviation)
    if not is_known(exact, deviation):
        return None
    measurement = measure(subject, quantity, deviation.framework, deviation.mode, arrays[0], exact)
    code = ErrorCode(int(measurement.errors.codes[deviation.index]))
    observed = float(measurement.observed[deviation.index])
    if deviation.code == ErrorCode.MODES:
        other = float(np.reshape(arrays[1], exact.high.shape)[deviation.index])
        if observed == other or (np.isnan(observed) and np.isnan(other)):
            return None
        example = describe_example(deviation, measurement, observed)
        return example | {"other_mode": deviation.other, "other_given": json_value(other)}
    if code != deviation.code:
        return None
    return describe_example(deviation, measurement, observed)


def confirm_label(deviation: Deviation, observed: np.ndarray) -> dict[str, Any] | None:
    """The example of a number for an invalid label, if it is one again."""
    subject, quantity = deviation.subject, deviation.quantity
    observed = np.reshape(observed, deviation.values.shape)
    exact = formula_values(subject, quantity, observed.shape)
    again = label_deviation(subject, quantity, deviation.framework, deviation.mode, observed, exact)
    if again is None:
        return None
    measurement = Measurement(
        subject, quantity, deviation.framework, deviation.mode, observed, exact,
        PointErrors(np.zeros(1), np.zeros(1), np.zeros(1)),
    )  # fmt: skip
    undefined = {} if exact.known.any() else {"undefined": True}
    return describe_example(again, measurement, again.observed) | undefined


def exact_in_balls(deviation: Deviation) -> ExactValues:
    """The exact values at the deviation's input, by balls alone."""
    subject, quantity = deviation.subject, deviation.quantity
    return fill_from_limits(subject, quantity, compute_exact_values(subject, quantity, balls_only=True))


def exact_value(deviation: Deviation, exact: ExactValues) -> dict[str, Any]:
    """The exact value of an example as it is printed: never the midpoint of a wide ball."""
    known = int(exact.known[deviation.index])
    if not known or deviation.code == ErrorCode.NAN_LOST:
        return {"true": "nan"}
    high, nearest = float(exact.high[deviation.index]), float(exact.nearest[deviation.index])
    found = {"true": json_value(nearest if np.isinf(nearest) else high)}
    if known == FROM_LIMITS:
        return interval_of_limits(deviation) | found
    if known == TO_ROUNDING and np.isfinite(deviation.subject.points).all():
        return found | {"to_rounding": True}
    return found


def is_known(exact: ExactValues, deviation: Deviation) -> bool:
    return deviation.code == ErrorCode.NAN_LOST or bool(exact.known[deviation.index])


def repeat_request(deviation: Deviation, submit: Submit) -> Results:
    """The results of the deviation's modes for copies of its input."""
    if deviation.code == ErrorCode.SHAPE:
        return [] if submit is None else [submit(deviation.framework, request_in_lengths(deviation))]
    if submit is None:
        return [deviation.values, deviation.other_values] if deviation.other else [deviation.values]
    subject = deviation.subject.at(np.zeros(copies(deviation.subject.points), dtype=int))
    return [
        submit(deviation.framework, subject.request(deviation.quantity, mode))
        for mode in (deviation.mode, deviation.other)
        if mode
    ]


def describe_example(deviation: Deviation, measurement: Measurement, observed: float) -> dict[str, Any]:
    exact = measurement.exact
    high = float(exact.high[deviation.index])
    subject: Subject = deviation.subject
    return exact_value(deviation, exact) | {
        "function": str(subject.function), "dtype": subject.dtype, "mode": deviation.mode,
        "input": json_value(np.ravel(subject.points[0])),
        **operands_of(subject), "entry": list(deviation.index[1:]), "given": json_value(observed),
        "ulps": json_value(abs(observed - high) / float(ulp(np.asarray(high), FORMATS[subject.dtype]))),
    }  # fmt: skip


def interval_of_limits(deviation: Deviation) -> dict[str, Any]:
    """The interval between the one-sided limits, if they differ."""
    low, high = range_of_limits(deviation.subject, deviation.quantity)
    found = [float(x[deviation.index]) for x in (low, high)]
    return {"between": found} if found[0] < found[1] else {}


def is_serious(deviation: Deviation, members: Sequence[Deviation]) -> bool:
    """Whether the severity of the class applies: the error is large, or inputs other than huge ones are affected."""
    if deviation.code in (ErrorCode.NO_DIGIT, ErrorCode.SIGN):
        return any(one.gross for one in members)
    return deviation.region != "huge" or any(one.subject.dtype == "float16" for one in members)


def make_finding(
    deviation: Deviation, members: Sequence[Deviation], versions: dict[str, str], example: dict[str, Any]
) -> SurveyFinding:
    name = deviation.subject.function.name
    calls, own = library_call(deviation.subject.function, deviation.framework)
    ranges: dict[str, list[float | str]] = {}
    for dtype in sorted({one.subject.dtype for one in members}, key=PREFERRED.index):
        same = [one for one in members if one.subject.dtype == dtype]
        low, high = json_value(min(one.low for one in same)), json_value(max(one.high for one in same))
        ranges[dtype] = [low, high, max(one.count for one in same)]
    severity = CLASSES[deviation.code].severity
    if deviation.code in EXPLAINED and all(one.conditioned for one in members if one.code == deviation.code):
        severity = Severity.LOW
    adapter = Adapter.catalogue.get(deviation.framework)  # None for a library of a framework
    note = adapter.documented.get((name, deviation.quantity), "") if adapter is not None else ""
    if note:
        severity = Severity.NOTE
    elif not own and deviation.code == ErrorCode.LABEL:
        severity = Severity.LOW  # the framework promises nothing about a formula of ours
    elif not own or not is_serious(deviation, members):
        severity = min(severity, Severity.MEDIUM)
    return SurveyFinding(
        framework=deviation.framework, version=versions[deviation.framework], function=name,
        variants=sorted({str(one.subject.function) for one in members}), calls=calls, own=own,
        quantity=deviation.quantity, kind=CLASSES[deviation.code].name, severity=severity.name.lower(),
        region=deviation.region, modes=sorted({one.mode for one in members}), dtypes=list(ranges), ranges=ranges,
        count=sum(one.count for one in members), example=example, note=note,
    )  # fmt: skip
