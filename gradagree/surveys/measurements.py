"""Measured results of a framework: rows of the survey, deviations, error curves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from gradagree.arithmetic.model import FORMATS
from gradagree.arithmetic.rounding import ulp
from gradagree.surveys.classify import (
    ACCEPTED_ULPS,
    CLASSES,
    REGIONS,
    ErrorCode,
    PointErrors,
    accepted_share,
    classify_errors,
    largest_at_similar_size,
    may_underflow,
    per_point,
    region_indices,
)
from gradagree.surveys.exact import ExactValues
from gradagree.surveys.neighbourhood import Neighbourhood
from gradagree.surveys.points import underflow_threshold
from gradagree.surveys.subject import Subject

SHOWN_ENTRIES = 16
"""Entries of an input that a row shows."""
NO_CORRECT_DIGIT = (ErrorCode.NO_DIGIT, ErrorCode.ZERO, ErrorCode.SIGN, ErrorCode.NONFINITE)
NEAR_UNDERFLOW = (ErrorCode.UNDERFLOW, ErrorCode.SUBNORMAL)


class SurveyRow(msgspec.Struct, frozen=True, kw_only=True):
    """One quantity of a function in one framework, mode and dtype: largest errors, and points of each error class.

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
    """One result of a framework and its errors."""

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
    errors = classify_errors(subject, quantity, observed, exact)
    near_underflow = np.isin(errors.codes, NEAR_UNDERFLOW)
    flagged = (errors.codes != 0) & ((errors.codes < ErrorCode.INFINITY) | near_underflow) & np.isfinite(observed)
    total = np.isin(errors.codes, NO_CORRECT_DIGIT) | near_underflow
    neighbourhood.evaluate(np.flatnonzero(flagged.reshape(len(flagged), -1).any(axis=1)))
    admissible = neighbourhood.is_admissible_at_jump(observed)
    errors.codes[flagged & neighbourhood.jumps & ~near_underflow] = (
        ErrorCode.JUMP if quantity == "value" else ErrorCode.KINK
    )
    conditioned = flagged & neighbourhood.is_ill_conditioned(observed, flagged)
    errors.codes[conditioned & ~total] = ErrorCode.CANCELLED
    errors.conditioned[conditioned & total] = True
    errors.codes[flagged & admissible] = ErrorCode.RIGHT
    return Measurement(subject, quantity, framework, mode, observed, exact, errors)


def survey_row(measurement: Measurement, version: str) -> SurveyRow:
    """Summary of one measurement."""
    subject, exact, errors = measurement.subject, measurement.exact, measurement.errors
    ulps = errors.ulps
    finite = np.isfinite(ulps)
    with np.errstate(all="ignore"):
        error = np.where(finite, np.abs(measurement.observed - exact.high), np.nan)
        is_normal = np.abs(exact.high) > underflow_threshold(FORMATS[subject.dtype])
        relative = np.where(is_normal, error / np.abs(exact.high), np.nan)
    worst = np.unravel_index(np.argmax(np.where(finite, ulps, -1.0)), ulps.shape)
    return SurveyRow(
        function=str(subject.function), framework=measurement.framework, version=version, mode=measurement.mode,
        dtype=subject.dtype, quantity=measurement.quantity, inputs=subject.inputs,
        points=ulps.size, proved=int((exact.known > 0).sum()),
        worst_ulp=json_value(np.nanmax(ulps, initial=0.0)),
        worst_at=[json_value(x) for x in np.ravel(subject.points[worst[0]])[:SHOWN_ENTRIES]],
        median_ulp=json_value(np.median(ulps[finite]) if finite.any() else 0.0),
        worst_relative=json_value(np.nanmax(relative, initial=0.0)),
        worst_absolute=json_value(np.nanmax(error, initial=0.0)),
        no_digit=widest_range_without_digit(measurement),
        classes={CLASSES[ErrorCode(c)].name: int((errors.codes == c).sum()) for c in np.unique(errors.codes) if c},
    )  # fmt: skip


def json_value(x: Any) -> Any:
    """A number or an array for JSON; NaN and infinities as strings."""
    if isinstance(x, np.ndarray):
        return [json_value(one) for one in x.tolist()]
    return x if isinstance(x, int) else float(x) if np.isfinite(x) else str(float(x))


def widest_range_without_digit(measurement: Measurement) -> list[float]:
    """Widest interval of consecutive inputs, in binades, where no value has a correct digit; [] if there is none."""
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


@dataclass(frozen=True)
class Deviation:
    """Points of one error class in one region of inputs: their number and range, the simplest one, the worst error."""

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
    """The mode, or the entry of a vector, with which the value is compared."""
    other_observed: float = float("nan")
    gross: bool = False
    """True if an error is at least 1/64 of the function's size at inputs of similar size."""
    conditioned: bool = False
    """True if the condition of the function explains all the errors."""
    values: np.ndarray = field(default_factory=lambda: np.zeros(0), repr=False)
    other_values: np.ndarray = field(default_factory=lambda: np.zeros(0), repr=False)
    """All entries at that point, in this mode and in the other one."""


def deviations(measurement: Measurement) -> Iterator[Deviation]:
    """One deviation for each error class and region that occurs."""
    codes, subject = measurement.errors.codes, measurement.subject
    if not codes.any():
        return
    rows = np.flatnonzero(codes.reshape(len(codes), -1).any(axis=1))
    regions = region_indices(subject.sized[rows], subject.dtype)
    for name in np.unique(regions):
        here = np.zeros(codes.shape, dtype=bool)
        here[rows[regions == name]] = True
        for code in np.unique(codes[here]):
            if code:
                yield _deviation(measurement, ErrorCode(code), REGIONS[name], here & (codes == code))


def _deviation(
    measurement: Measurement, code: ErrorCode, region: str, where: np.ndarray, other: Measurement | None = None,
    gap: Any = None,
) -> Deviation:  # fmt: skip
    """The deviation of the points in `where`, represented by the simplest of them."""
    subject, observed, exact = measurement.subject, measurement.observed, measurement.exact
    with np.errstate(all="ignore"):
        scale = per_point(largest_at_similar_size(exact, subject), where)
        gross: np.ndarray = np.asarray(where & (np.abs(observed - exact.high) >= scale / 64))
        worst = measurement.errors.ulps[where] if gap is None else gap[where]
    finite = worst[np.isfinite(worst)]
    x = subject.points[np.unique(np.argwhere(where)[:, 0])]
    gross &= ~measurement.errors.conditioned
    unexplained = where & ~measurement.errors.conditioned
    candidates = next((some for some in (gross, unexplained) if some.any()), where)
    first = int(subject.order[np.isin(subject.order, np.argwhere(candidates)[:, 0])][0])
    entry = tuple(map(int, np.argwhere(candidates[first])[0])) if where.ndim > 1 else ()
    index = (first, *entry)
    row = slice(first, first + 1)
    return Deviation(
        subject=subject.at(row), quantity=measurement.quantity, framework=measurement.framework, mode=measurement.mode,
        code=code, region=region, count=int(where.sum()), low=float(np.min(x)), high=float(np.max(x)),
        index=(0, *entry), observed=float(observed[index]), exact=float(exact.high[index]),
        worst_ulp=float(finite.max()) if len(finite) else float("inf"),
        other="" if other is None else other.mode,
        other_observed=float("nan") if other is None else float(other.observed[index]),
        gross=bool(gross.any()), conditioned=not unexplained.any(), values=observed[row].copy(),
        other_values=(measurement if other is None else other).observed[row].copy(),
    )  # fmt: skip


def mode_deviations(measurements: Sequence[Measurement]) -> Iterator[Deviation]:
    """Where a mode differs from the first one in half the digits, or at a kink, and one of them is correct."""
    if not measurements:
        return
    first, *others = measurements
    form = FORMATS[first.subject.dtype]
    inputs = first.subject.points.reshape(len(first.subject.points), -1)
    finite = np.isfinite(inputs).all(axis=1) & ~may_underflow(inputs, form)
    for measurement in others:
        a, b = first.observed, measurement.observed
        with np.errstate(all="ignore"):
            gap: np.ndarray = np.abs(a - b) / ulp(np.fmax(np.abs(a), np.abs(b)), form)
            apart: np.ndarray = gap >= max(ACCEPTED_ULPS, 2.0 ** (form.precision / 2))
            scale = per_point(np.maximum(first.subject.scale, 1.0), apart)
            apart = apart & (np.abs(a - b) > underflow_threshold(form) * scale)
        if first.subject.cotangents is not None:
            accepted = accepted_share(first.subject, form) * first.subject.sum_of_sizes
            apart = apart & (np.abs(a - b) > 2 * accepted)
        apart = np.asarray(apart | (np.isfinite(a) != np.isfinite(b))) & (first.exact.known > 0)
        apart &= (first.errors.codes == 0) | (measurement.errors.codes == 0)
        apart &= per_point(finite, apart)
        if apart.any():
            rows = np.flatnonzero(apart.reshape(len(apart), -1).any(axis=1))
            regions = region_indices(measurement.subject.sized[rows], measurement.subject.dtype)
            for name in np.unique(regions):
                here = np.zeros(apart.shape, dtype=bool)
                here[rows[regions == name]] = True
                yield _deviation(measurement, ErrorCode.MODES, REGIONS[name], apart & here, first, gap)
