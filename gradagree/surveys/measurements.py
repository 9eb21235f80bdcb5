"""Measured answers, flagged points, curves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from gradagree.arithmetic.model import FORMATS, FORMULA
from gradagree.surveys.classify import (
    ACCEPTED_ULPS,
    CLASSES,
    REGIONS,
    ErrorCode,
    PointErrors,
    classify_errors,
    largest_at_similar_size,
    may_underflow,
    region_indices,
)
from gradagree.surveys.exact import ExactValues
from gradagree.surveys.neighbourhood import MAX_POINTS, Sides
from gradagree.surveys.points import kinks_of, ulp, underflow_threshold
from gradagree.surveys.subject import WIDEST_ROWS, Subject

# What one framework's mode gives at every point of a subject, measured: a row
# ----------------------------------------------------------------------------


NO_CORRECT_DIGIT = (ErrorCode.NO_DIGIT, ErrorCode.ZERO, ErrorCode.SIGN, ErrorCode.NONFINITE)


class SurveyRow(msgspec.Struct, frozen=True, kw_only=True):
    """One function in one framework, mode and dtype: how far from the truth, and how many points of each class.

    status is measured, or unsupported, raised, crashed, absent or unasked, with the reason.
    """

    function: str
    framework: str
    version: str
    mode: str
    dtype: str
    quantity: str
    inputs: str = ""
    status: str = "measured"
    reason: str = ""
    points: int = 0
    proved: int = 0
    worst_ulp: float | str = 0.0
    worst_at: list[float | str] = []
    median_ulp: float | str = 0.0
    worst_relative: float | str = 0.0
    worst_absolute: float | str = 0.0
    no_digit: list[float] = []
    classes: dict[str, int] = {}


@dataclass(frozen=True)
class Measurement:
    """An answer that was measured."""

    subject: Subject
    quantity: str
    framework: str
    mode: str
    given: np.ndarray
    truth: ExactValues
    found: PointErrors


def measure(
    subject: Subject, quantity: str, framework: str, mode: str, given: np.ndarray, truth: ExactValues
) -> Measurement:
    """The answer, measured; what is legitimate at jumps is forgiven."""
    given = np.reshape(given, truth.high.shape)
    found = classify_errors(
        given, truth, subject.points, subject.dtype, quantity == "second", subject.differences, subject.masks
    )
    doubted = (found.codes != 0) & (found.codes < ErrorCode.INFINITY) & np.isfinite(given)
    rows = np.flatnonzero(doubted.reshape(len(doubted), -1).any(axis=1))
    sides = around(subject, quantity, rows, truth)
    form = FORMATS[subject.dtype]
    worse = ErrorCode.JUMP if quantity == "value" else ErrorCode.KINK
    inside = sides.inside(given, form)
    found.codes[doubted & sides.jumps] = worse
    found.codes[doubted & sides.nearby(given, doubted, form)] = ErrorCode.CANCELLED
    found.codes[doubted & inside] = ErrorCode.RIGHT
    return Measurement(subject, quantity, framework, mode, given, truth, found)


def around(subject: Subject, quantity: str, rows: np.ndarray, truth: ExactValues) -> Sides:
    """What is legitimate at these points; kept with the subject."""
    sides = subject.sides.setdefault(quantity, Sides.of(truth.high.shape))
    fresh = rows[~sides.looked[rows]]
    if len(fresh):
        fresh = subject.order[np.isin(subject.order, fresh)][:MAX_POINTS]
        some = subject.at(fresh)
        kinks = kinks_of(subject.function)
        sides.look(
            fresh, some.formula(quantity), some.points, some.ball_targets(), quantity, FORMATS[subject.dtype], kinks,
            largest_at_similar_size(truth, subject.points)[fresh], 1.0 if subject.kind == "error" else 0.0,
            nearby_range_by_float64(some, quantity) if float64_suffices(some) else None,
            not (some.masks or some.inputs == WIDEST_ROWS),
        )  # fmt: skip
    return sides


def float64_suffices(subject: Subject) -> bool:
    """Whether float64 is enough for inputs nearby: of 16-bit rows, whose units are large; of wide ones it has to be."""
    rows = subject.points.ndim == 2 and subject.points.shape[1] > 1
    return subject.is_wide or (rows and FORMATS[subject.dtype].precision <= FORMATS["float16"].precision)


def nearby_range_by_float64(subject: Subject, quantity: str) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and the highest of what inputs nearby have, by float64: balls would take minutes for wide rows."""
    x, formula = subject.points, subject.formula(quantity)
    size = np.maximum(np.abs(x).max(axis=1, keepdims=True), subject.kind == "error")
    step = FORMULA * FORMATS[subject.dtype].u * size
    signs = [np.ones(x.shape[1]), np.arange(x.shape[1]) == 0, 1 - 2.0 * (np.arange(x.shape[1]) % 2)]
    with np.errstate(all="ignore"):
        moved = [x + side * step * sign for sign in signs for side in (1, -1)]
        found = [formula(y) if subject.targets is None else formula(y, subject.targets) for y in moved]
    return np.fmin.reduce(found), np.fmax.reduce(found)


def survey_row(look: Measurement, version: str) -> SurveyRow:
    """The measures of one answer."""
    ulps, known = look.found.ulps, look.truth.known > 0
    finite = np.isfinite(ulps)
    with np.errstate(all="ignore"):
        error = np.where(finite, np.abs(look.given - look.truth.high), np.nan)
        sized = np.abs(look.truth.high) > underflow_threshold(FORMATS[look.subject.dtype])
        relative = np.where(sized, error / np.abs(look.truth.high), np.nan)
    worst = np.unravel_index(np.argmax(np.where(finite, ulps, -1.0)), ulps.shape)
    median = np.median(ulps[finite]) if finite.any() else 0.0
    place = [json_number(x) for x in np.ravel(look.subject.points[worst[0]])[:ACCEPTED_ULPS]]
    counts = {CLASSES[ErrorCode(c)].name: int((look.found.codes == c).sum()) for c in np.unique(look.found.codes) if c}
    return SurveyRow(
        function=str(look.subject.function), framework=look.framework, version=version, mode=look.mode,
        dtype=look.subject.dtype, quantity=look.quantity, inputs=look.subject.inputs,
        points=ulps.size, proved=int(known.sum()),
        worst_ulp=json_number(np.nanmax(ulps, initial=0.0)), worst_at=place, median_ulp=json_number(median),
        worst_relative=json_number(np.nanmax(relative, initial=0.0)),
        worst_absolute=json_number(np.nanmax(error, initial=0.0)),
        no_digit=widest_range_without_digit(look), classes=counts,
    )  # fmt: skip


def json_number(x: Any) -> float | str:
    """A number as JSON has it; NaN and infinity as texts."""
    x = float(x)
    return x if np.isfinite(x) else str(x)


def widest_range_without_digit(look: Measurement) -> list[float]:
    """The widest range of inputs in a row, in binades, of which no answer has a correct digit; [] if there is none."""
    points = look.subject.points
    if points.ndim > 1 and points.shape[1] > 1:
        return []
    x, bad = points.ravel(), np.isin(look.found.codes, NO_CORRECT_DIGIT).ravel()
    keep = np.isfinite(x) & (look.truth.known.ravel() > 0)
    order = np.argsort(x[keep], kind="stable")
    x, bad = x[keep][order], bad[keep][order]
    best: tuple[float, list[float]] = (-1.0, [])
    edges = np.flatnonzero(np.diff(np.concatenate([[False], bad, [False]]).astype(np.int8)))
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        low, high = float(x[start]), float(x[stop - 1])
        if low * high > 0:
            best = max(best, (abs(np.log2(high / low)), [low, high]))
        elif not best[1]:
            best = (0.0, [low, high])
    return best[1]


# Points of one class, in one region of inputs: what findings are joined from
# ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Deviation:
    """Points of one class in one region: how many, from where to where, and the simplest and the worst of them."""

    subject: Subject = field(repr=False)
    quantity: str
    framework: str
    mode: str
    code: ErrorCode
    region: str
    count: int
    low: float
    high: float
    place: tuple[int, ...]
    given: float
    true: float
    worst_ulp: float
    other: str = ""
    """The mode, or the window, that this one differs from."""
    beside: float = float("nan")
    gross: bool = False
    """The error is 1/64 or more of what the function gives on inputs from 1/32 of this size on."""
    whole: np.ndarray = field(default_factory=lambda: np.zeros(0), repr=False)
    other_whole: np.ndarray = field(default_factory=lambda: np.zeros(0), repr=False)
    """All entries at that point, and in the other mode."""


def deviations(look: Measurement) -> Iterator[Deviation]:
    """One for each class and region that there is."""
    codes, subject = look.found.codes, look.subject
    if not codes.any():
        return
    rows = np.flatnonzero(codes.reshape(len(codes), -1).any(axis=1))
    regions = region_indices(subject.points[rows], subject.dtype)
    for name in np.unique(regions):
        here = np.zeros(codes.shape, dtype=bool)
        here[rows[regions == name]] = True
        for code in np.unique(codes[here]):
            if code:
                yield _deviation(look, ErrorCode(code), REGIONS[name], here & (codes == code))


def _deviation(
    look: Measurement,
    code: ErrorCode,
    region: str,
    where: np.ndarray,
    other: Measurement | None = None,
    gap: Any = None,
) -> Deviation:
    """The simplest of the points."""
    with np.errstate(all="ignore"):
        error = np.abs(look.given - look.truth.high)
        scale = largest_at_similar_size(look.truth, look.subject.points).reshape(-1, *[1] * (where.ndim - 1))
        gross: np.ndarray = np.asarray(where & (error >= scale / 64))
    x = look.subject.points[np.unique(np.argwhere(where)[:, 0])]
    telling = gross if gross.any() else where
    order = look.subject.order
    first = order[np.isin(order, np.argwhere(telling)[:, 0])][0]
    place = (int(first), *map(int, np.argwhere(telling[first])[0])) if where.ndim > 1 else (int(first),)
    with np.errstate(all="ignore"):
        worst = look.found.ulps[where] if gap is None else gap[where]
    finite = worst[np.isfinite(worst)]
    return Deviation(
        look.subject.at(slice(first, first + 1)), look.quantity, look.framework, look.mode, code, region,
        int(where.sum()), float(np.min(x)), float(np.max(x)), (0, *place[1:]), float(look.given[place]),
        float(look.truth.high[place]),
        float(finite.max()) if len(finite) else float("inf"), "" if other is None else other.mode,
        float("nan") if other is None else float(other.given[place]), bool(gross.any()),
        look.given[first : first + 1].copy(), (look if other is None else other).given[first : first + 1].copy(),
    )  # fmt: skip


def mode_deviations(looks: Sequence[Measurement]) -> Iterator[Deviation]:
    """Where a mode departs from the first one in half the digits, or at a kink, and one of both is right."""
    if not looks:
        return
    first, *others = looks
    form = FORMATS[first.subject.dtype]
    inputs = first.subject.points.reshape(len(first.subject.points), -1)
    finite = np.isfinite(inputs).all(axis=1) & ~may_underflow(inputs, form)
    for look in others:
        a, b = first.given, look.given
        with np.errstate(all="ignore"):
            gap: np.ndarray = np.abs(a - b) / ulp(np.fmax(np.abs(a), np.abs(b)), form)
            apart: np.ndarray = (gap >= max(ACCEPTED_ULPS, 2.0 ** (form.precision / 2))) & (
                np.abs(a - b) > underflow_threshold(form)
            )
        apart = np.asarray(apart | (np.isfinite(a) != np.isfinite(b))) & (first.truth.known > 0)
        apart &= (first.found.codes == 0) | (look.found.codes == 0)
        apart &= finite.reshape(-1, *[1] * (apart.ndim - 1))
        if apart.any():
            hit = np.flatnonzero(apart.reshape(len(apart), -1).any(axis=1))
            regions = region_indices(look.subject.points[hit], look.subject.dtype)
            for name in np.unique(regions):
                here = np.zeros(apart.shape, dtype=bool)
                here[hit[regions == name]] = True
                yield _deviation(look, ErrorCode.MODES, REGIONS[name], apart & here, first, gap)


# The error in ulp along the input, in bins of a signed logarithmic axis: what a page draws
# -----------------------------------------------------------------------------------------


DECADES = (-6.0, 4.0)
PER_DECADE = 6
BINS = int((DECADES[1] - DECADES[0]) * PER_DECADE)
"""On each side; smaller and larger inputs are in the outermost bins."""
EDGES = 10 ** np.linspace(*DECADES, BINS + 1)


class ErrorCurve(msgspec.Struct, frozen=True):
    """The worst error in each bin, from the most negative input to the largest; -1 for none, "inf" for NaN."""

    function: str
    framework: str
    dtype: str
    quantity: str
    mode: str
    worst: list[float | str]


def error_curves(look: Measurement) -> Iterator[ErrorCurve]:
    """One curve for a function of one number at its defaults."""
    subject = look.subject
    if str(subject.function) != subject.function.name or (subject.points.ndim > 1 and subject.points.shape[1] > 1):
        return
    x = subject.points.ravel()
    with np.errstate(all="ignore"):
        bad = (look.truth.known > 0) & np.isfinite(look.truth.nearest) & ~np.isfinite(look.given)
        ulps = np.where(
            bad,
            np.inf,
            np.where(look.found.codes.reshape(bad.shape) == 0, np.fmin(look.found.ulps, 16), look.found.ulps),
        ).ravel()
        place = np.clip(np.searchsorted(EDGES, np.abs(x)) - 1, 0, BINS - 1)
    place = np.where(x < 0, BINS - 1 - place, BINS + place)
    worst = np.full(2 * BINS, -1.0)
    usable = ~np.isnan(ulps) & np.isfinite(x)
    np.maximum.at(worst, place[usable], ulps[usable])
    told: list[float | str] = [float(f"{y:.3g}") if np.isfinite(y) else "inf" for y in worst]
    yield ErrorCurve(subject.function.name, look.framework, subject.dtype, look.quantity, look.mode, told)
