"""Measured answers, flagged points, curves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from gradagree.arithmetic.model import FORMATS
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
from gradagree.surveys.neighbourhood import Neighbourhood
from gradagree.surveys.points import ulp, underflow_threshold
from gradagree.surveys.subject import Subject

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
    observed: np.ndarray
    exact: ExactValues
    errors: PointErrors


def measure(
    subject: Subject, quantity: str, framework: str, mode: str, observed: np.ndarray, exact: ExactValues,
    neighbourhood: Neighbourhood | None = None,
) -> Measurement:  # fmt: skip
    """Classify the errors of one result; what is admissible at a jump is correct.

    Modes of the same subject and quantity share a neighbourhood, which evaluates each flagged point once.
    """
    neighbourhood = neighbourhood or Neighbourhood(subject, quantity, exact)
    observed = np.reshape(observed, exact.high.shape)
    errors = classify_errors(
        observed, exact, subject.points, subject.dtype, quantity == "second", subject.differences, subject.masks
    )
    flagged = (errors.codes != 0) & (errors.codes < ErrorCode.INFINITY) & np.isfinite(observed)
    neighbourhood.evaluate(np.flatnonzero(flagged.reshape(len(flagged), -1).any(axis=1)))
    admissible = neighbourhood.is_admissible_at_jump(observed)
    errors.codes[flagged & neighbourhood.jumps] = ErrorCode.JUMP if quantity == "value" else ErrorCode.KINK
    errors.codes[flagged & neighbourhood.is_ill_conditioned(observed, flagged)] = ErrorCode.CANCELLED
    errors.codes[flagged & admissible] = ErrorCode.RIGHT
    return Measurement(subject, quantity, framework, mode, observed, exact, errors)


def survey_row(measurement: Measurement, version: str) -> SurveyRow:
    """The measures of one answer."""
    ulps, known = measurement.errors.ulps, measurement.exact.known > 0
    finite = np.isfinite(ulps)
    with np.errstate(all="ignore"):
        error = np.where(finite, np.abs(measurement.observed - measurement.exact.high), np.nan)
        sized = np.abs(measurement.exact.high) > underflow_threshold(FORMATS[measurement.subject.dtype])
        relative = np.where(sized, error / np.abs(measurement.exact.high), np.nan)
    worst = np.unravel_index(np.argmax(np.where(finite, ulps, -1.0)), ulps.shape)
    median = np.median(ulps[finite]) if finite.any() else 0.0
    index = [json_number(x) for x in np.ravel(measurement.subject.points[worst[0]])[:ACCEPTED_ULPS]]
    counts = {
        CLASSES[ErrorCode(c)].name: int((measurement.errors.codes == c).sum())
        for c in np.unique(measurement.errors.codes)
        if c
    }
    return SurveyRow(
        function=str(measurement.subject.function), framework=measurement.framework, version=version,
        mode=measurement.mode,
        dtype=measurement.subject.dtype, quantity=measurement.quantity, inputs=measurement.subject.inputs,
        points=ulps.size, proved=int(known.sum()),
        worst_ulp=json_number(np.nanmax(ulps, initial=0.0)), worst_at=index, median_ulp=json_number(median),
        worst_relative=json_number(np.nanmax(relative, initial=0.0)),
        worst_absolute=json_number(np.nanmax(error, initial=0.0)),
        no_digit=widest_range_without_digit(measurement), classes=counts,
    )  # fmt: skip


def json_number(x: Any) -> float | str:
    """A number as JSON has it; NaN and infinity as texts."""
    x = float(x)
    return x if np.isfinite(x) else str(x)


def widest_range_without_digit(measurement: Measurement) -> list[float]:
    """The widest range of inputs in a row, in binades, of which no answer has a correct digit; [] if there is none."""
    points = measurement.subject.points
    if points.ndim > 1 and points.shape[1] > 1:
        return []
    x, bad = points.ravel(), np.isin(measurement.errors.codes, NO_CORRECT_DIGIT).ravel()
    keep = np.isfinite(x) & (measurement.exact.known.ravel() > 0)
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
    index: tuple[int, ...]
    observed: float
    exact: float
    worst_ulp: float
    other: str = ""
    """The mode, or the window, that this one differs from."""
    other_observed: float = float("nan")
    gross: bool = False
    """The error is 1/64 or more of what the function gives on inputs from 1/32 of this size on."""
    values: np.ndarray = field(default_factory=lambda: np.zeros(0), repr=False)
    other_values: np.ndarray = field(default_factory=lambda: np.zeros(0), repr=False)
    """All entries at that point, and in the other mode."""


def deviations(measurement: Measurement) -> Iterator[Deviation]:
    """One for each class and region that there is."""
    codes, subject = measurement.errors.codes, measurement.subject
    if not codes.any():
        return
    rows = np.flatnonzero(codes.reshape(len(codes), -1).any(axis=1))
    regions = region_indices(subject.points[rows], subject.dtype)
    for name in np.unique(regions):
        here = np.zeros(codes.shape, dtype=bool)
        here[rows[regions == name]] = True
        for code in np.unique(codes[here]):
            if code:
                yield _deviation(measurement, ErrorCode(code), REGIONS[name], here & (codes == code))


def _deviation(
    measurement: Measurement,
    code: ErrorCode,
    region: str,
    where: np.ndarray,
    other: Measurement | None = None,
    gap: Any = None,
) -> Deviation:
    """The simplest of the points."""
    with np.errstate(all="ignore"):
        error = np.abs(measurement.observed - measurement.exact.high)
        scale = largest_at_similar_size(measurement.exact, measurement.subject.points).reshape(
            -1, *[1] * (where.ndim - 1)
        )
        gross: np.ndarray = np.asarray(where & (error >= scale / 64))
    x = measurement.subject.points[np.unique(np.argwhere(where)[:, 0])]
    telling = gross if gross.any() else where
    order = measurement.subject.order
    first = order[np.isin(order, np.argwhere(telling)[:, 0])][0]
    index = (int(first), *map(int, np.argwhere(telling[first])[0])) if where.ndim > 1 else (int(first),)
    with np.errstate(all="ignore"):
        worst = measurement.errors.ulps[where] if gap is None else gap[where]
    finite = worst[np.isfinite(worst)]
    return Deviation(
        measurement.subject.at(slice(first, first + 1)), measurement.quantity, measurement.framework, measurement.mode,
        code, region,
        int(where.sum()), float(np.min(x)), float(np.max(x)), (0, *index[1:]), float(measurement.observed[index]),
        float(measurement.exact.high[index]),
        float(finite.max()) if len(finite) else float("inf"), "" if other is None else other.mode,
        float("nan") if other is None else float(other.observed[index]), bool(gross.any()),
        measurement.observed[first : first + 1].copy(),
        (measurement if other is None else other).observed[first : first + 1].copy(),
    )  # fmt: skip


def mode_deviations(looks: Sequence[Measurement]) -> Iterator[Deviation]:
    """Where a mode departs from the first one in half the digits, or at a kink, and one of both is right."""
    if not looks:
        return
    first, *others = looks
    form = FORMATS[first.subject.dtype]
    inputs = first.subject.points.reshape(len(first.subject.points), -1)
    finite = np.isfinite(inputs).all(axis=1) & ~may_underflow(inputs, form)
    for measurement in others:
        a, b = first.observed, measurement.observed
        with np.errstate(all="ignore"):
            gap: np.ndarray = np.abs(a - b) / ulp(np.fmax(np.abs(a), np.abs(b)), form)
            apart: np.ndarray = (gap >= max(ACCEPTED_ULPS, 2.0 ** (form.precision / 2))) & (
                np.abs(a - b) > underflow_threshold(form)
            )
        apart = np.asarray(apart | (np.isfinite(a) != np.isfinite(b))) & (first.exact.known > 0)
        apart &= (first.errors.codes == 0) | (measurement.errors.codes == 0)
        apart &= finite.reshape(-1, *[1] * (apart.ndim - 1))
        if apart.any():
            deviation = np.flatnonzero(apart.reshape(len(apart), -1).any(axis=1))
            regions = region_indices(measurement.subject.points[deviation], measurement.subject.dtype)
            for name in np.unique(regions):
                here = np.zeros(apart.shape, dtype=bool)
                here[deviation[regions == name]] = True
                yield _deviation(measurement, ErrorCode.MODES, REGIONS[name], apart & here, first, gap)


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


def error_curves(measurement: Measurement) -> Iterator[ErrorCurve]:
    """One curve for a function of one number at its defaults."""
    subject = measurement.subject
    if str(subject.function) != subject.function.name or (subject.points.ndim > 1 and subject.points.shape[1] > 1):
        return
    x = subject.points.ravel()
    with np.errstate(all="ignore"):
        bad = (
            (measurement.exact.known > 0) & np.isfinite(measurement.exact.nearest) & ~np.isfinite(measurement.observed)
        )
        ulps = np.where(
            bad,
            np.inf,
            np.where(
                measurement.errors.codes.reshape(bad.shape) == 0,
                np.fmin(measurement.errors.ulps, 16),
                measurement.errors.ulps,
            ),
        ).ravel()
        index = np.clip(np.searchsorted(EDGES, np.abs(x)) - 1, 0, BINS - 1)
    index = np.where(x < 0, BINS - 1 - index, BINS + index)
    worst = np.full(2 * BINS, -1.0)
    usable = ~np.isnan(ulps) & np.isfinite(x)
    np.maximum.at(worst, index[usable], ulps[usable])
    told: list[float | str] = [float(f"{y:.3g}") if np.isfinite(y) else "inf" for y in worst]
    yield ErrorCurve(
        subject.function.name, measurement.framework, subject.dtype, measurement.quantity, measurement.mode, told
    )
