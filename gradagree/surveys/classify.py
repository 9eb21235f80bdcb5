"""Ulp errors, error classes, regions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from gradagree.arithmetic.model import FORMATS, Format
from gradagree.arithmetic.rounding import ulp
from gradagree.surveys.exact import ExactValues
from gradagree.surveys.points import underflow_threshold
from gradagree.surveys.subject import Subject


class Severity(IntEnum):
    """Severity of a finding; higher is worse."""

    NOTE = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3


class ErrorCode(IntEnum):
    """Error class of a value; where several apply, the last one counts."""

    RIGHT = 0
    CANCELLED = 1
    INACCURATE = 2
    DIGITS = 3
    NO_DIGIT = 4
    ZERO = 5
    SIGN = 6
    NONFINITE = 7
    KINK = 8
    JUMP = 9
    INFINITY = 10
    NAN_LOST = 11
    OVERFLOW = 12
    MODES = 13
    SHAPE = 14
    MASK = 15
    DEFINITION = 16
    UNDERFLOW = 17
    SUBNORMAL = 18
    LABEL = 19


@dataclass(frozen=True)
class ErrorClass:
    """Name, severity and definition of an error class, as reports show them."""

    name: str
    severity: Severity
    definition: str


CLASSES: dict[ErrorCode, ErrorClass] = {
    ErrorCode.NONFINITE: ErrorClass(
        "not finite", Severity.HIGH, "NaN or infinity at a finite input whose exact value is a number of the dtype"
    ),
    ErrorCode.SIGN: ErrorClass("wrong sign", Severity.HIGH, "the sign is wrong, and neither number is near underflow"),
    ErrorCode.NO_DIGIT: ErrorClass("no correct digit", Severity.HIGH, "the error is at least half of the exact value"),
    ErrorCode.KINK: ErrorClass(
        "outside the slopes", Severity.HIGH, "at a kink: not between the one-sided derivatives"
    ),
    ErrorCode.JUMP: ErrorClass(
        "outside the jump", Severity.HIGH, "where the value jumps: not between the one-sided limits"
    ),
    ErrorCode.MASK: ErrorClass(
        "not finite at a mask", Severity.MEDIUM,
        "NaN or infinity at logits of which some are masked by -infinity; the exact value is a number of the dtype",
    ),
    ErrorCode.SHAPE: ErrorClass(
        "depends on shape", Severity.MEDIUM,
        "the same input has a different result alone or at another position of a vector"
    ),
    ErrorCode.MODES: ErrorClass(
        "modes differ", Severity.MEDIUM,
        "the mode differs from the framework's first one in half the digits or more, or at a kink; one is correct",
    ),
    ErrorCode.LABEL: ErrorClass(
        "number for an invalid label", Severity.MEDIUM,
        "a target outside the definition (class -1 or the number of classes, a bit or probability outside [0, 1], a "
        "sign other than 1 and -1, a negative count) gives a number, and not that of the formula",
    ),
    ErrorCode.ZERO: ErrorClass(
        "early zero", Severity.MEDIUM, "0 where the exact value is at least 64 times the size at which underflow begins"
    ),
    ErrorCode.DIGITS: ErrorClass("half the digits", Severity.MEDIUM, "the error is 2^(precision/2) ulp or more"),
    ErrorCode.INACCURATE: ErrorClass("inaccurate", Severity.LOW, "the error is 16 ulp or more"),
    ErrorCode.CANCELLED: ErrorClass(
        "ill-conditioned", Severity.LOW,
        "the error is 16 ulp or more, but some digits are correct, and the result is that of an input within 8 units "
        "in the last place (of 1, in losses), or the error is small relative to values near a zero of the function",
    ),
    ErrorCode.UNDERFLOW: ErrorClass(
        "lost near underflow", Severity.LOW,
        "no correct digit, although inputs and exact value are normal numbers; one is below 64 times the smallest",
    ),
    ErrorCode.SUBNORMAL: ErrorClass(
        "lost at subnormal input", Severity.LOW,
        "an input is subnormal, and a result above the size of underflow has no correct digit; or the value of an "
        "activation, which may be a zero, has the wrong sign",
    ),
    ErrorCode.INFINITY: ErrorClass(
        "at infinity", Severity.LOW,
        "an input is infinite, and the result is not that of all numbers from 2^1100 to 2^1101",
    ),
    ErrorCode.NAN_LOST: ErrorClass("NaN lost", Severity.LOW, "the input is NaN and the result is a number"),
    ErrorCode.OVERFLOW: ErrorClass(
        "NaN for infinity", Severity.LOW, "NaN where the exact value exceeds the largest number of the dtype"
    ),
    ErrorCode.DEFINITION: ErrorClass(
        "frameworks differ in definition", Severity.NOTE,
        "a public function, called with nothing but its operands, computes another function than the definition of "
        "its name; the line says what each framework computes"
    ),
}  # fmt: skip
"""Error classes, the worst first."""


def markdown_table() -> str:
    """The classes as a table in Markdown."""
    lines = ["| class | severity | definition |", "| --- | --- | --- |"]
    lines += [f"| {one.name} | {one.severity.name.lower()} | {one.definition} |" for one in CLASSES.values()]
    return "\n".join(lines) + "\n"


ACCEPTED_ULPS = 16
"""Errors below this many ulps are accepted."""
RELATIVE_WINDOW = 1 / 8
"""Relative distance of the inputs that are compared where a function passes zero."""


@dataclass(frozen=True)
class PointErrors:
    """At every point: the error in ulps (NaN where the exact value is unknown or not finite), and its `ErrorCode`.

    conditioned is True where a total loss of digits is explained by the condition of the function.
    """

    ulps: np.ndarray
    codes: np.ndarray
    conditioned: np.ndarray


def classify_errors(subject: Subject, quantity: str, observed: np.ndarray, exact: ExactValues) -> PointErrors:
    """Classify observed values at all points (first axis); they have as many entries as the exact values."""
    form, rows = FORMATS[subject.dtype], subject.points.reshape(len(subject.points), -1)
    g = np.reshape(observed, exact.high.shape)
    known, finite = exact.known > 0, np.isfinite(exact.nearest)
    with np.errstate(all="ignore"):
        error = np.abs((g - exact.high) - exact.low)
        error = np.where(known & finite, error, np.nan)
        size, accepted = np.abs(exact.high), np.zeros(1)
        if subject.cotangents is not None:
            terms = np.broadcast_to(subject.sum_of_sizes, g.shape)
            size, accepted = np.where(size > 0, size, terms), terms * accepted_share(subject, form)
        ulps = error / ulp(size, form)
        codes = grade_digits(g, exact, error, ulps, form, per_point(np.maximum(subject.scale, 1.0), g), size)
        codes[error <= accepted] = ErrorCode.RIGHT
        conditioned = np.isin(codes, ROUNDING_CODES)
        if conditioned.any():
            conditioned &= is_cancellation(error, exact, subject, form)
            codes[conditioned & np.isin(codes, PARTIAL_CODES)] = ErrorCode.CANCELLED
    nonfinite = known & finite & ~np.isfinite(g)
    largest = form.largest * (1 - ACCEPTED_ULPS * form.u)
    nonfinite &= np.abs(exact.nearest) <= largest
    if subject.cotangents is not None:  # a derivative that is too large is so times a small cotangent, too
        nonfinite &= ~(subject.sum_of_sizes / per_point(subject.scale, g) > largest)
    codes[nonfinite] = ErrorCode.NONFINITE
    codes[known & ~finite & np.isnan(g)] = ErrorCode.OVERFLOW
    codes[per_point(np.isinf(rows).any(axis=1), g) & (codes != 0)] = ErrorCode.INFINITY
    if subject.masks:
        codes[nonfinite & per_point(are_masked(rows), g)] = ErrorCode.MASK
    if rows.shape[1] == 1 and quantity != "second":  # a second derivative is 0 at most points, and may be so at NaN
        codes[per_point(np.isnan(rows).any(axis=1), g) & ~np.isnan(g)] = ErrorCode.NAN_LOST
    targets = subject.differences
    inputs = rows if targets is None else np.concatenate([rows, rows - targets], axis=1)
    tiny = per_point(may_underflow(inputs, form), g)
    lost = losses_near_underflow(g, exact, inputs, form, signs=quantity == "value" and inputs.shape[1] == 1)
    codes[tiny & (codes > 0)] = ErrorCode.RIGHT
    if subject.cotangents is None:
        codes = np.where((codes == ErrorCode.RIGHT) & (lost > 0), lost, codes)
    return PointErrors(ulps, codes, conditioned)


def accepted_share(subject: Subject, form: Format) -> float:
    """The accepted error of a vjp as a share of the sum of the sizes of its terms, which are added in any order.

    Sums of 16-bit numbers are accumulated in float32.
    """
    terms = subject.operands.shape[1] - subject.points[0].size
    return float(ACCEPTED_ULPS * form.u + terms * min(form.u, FORMATS["float32"].u))


def per_point(x: np.ndarray, entries: np.ndarray) -> np.ndarray:
    """One number for each point, in a shape that broadcasts against the entries of all points."""
    return x.reshape(-1, *[1] * (entries.ndim - 1))


def are_masked(rows: np.ndarray) -> np.ndarray:
    """Rows of finite numbers and at least one -infinity."""
    return (rows == -np.inf).any(axis=1) & np.isfinite(rows).any(axis=1) & (rows < np.inf).all(axis=1)


def may_underflow(rows: np.ndarray, form: Format) -> np.ndarray:
    """Where an input, or a difference, may underflow to 0; such points are not classified."""
    with np.errstate(all="ignore"):
        return ((rows != 0) & (np.abs(rows) < underflow_threshold(form))).any(axis=1)


def losses_near_underflow(
    g: np.ndarray, exact: ExactValues, inputs: np.ndarray, form: Format, signs: bool
) -> np.ndarray:
    """`ErrorCode.UNDERFLOW` or `SUBNORMAL` where their definitions apply, else 0; ties are left out.

    With `signs`, the signs of results below the size of underflow count, too.
    """
    with np.errstate(all="ignore"):
        sizes, true = np.abs(inputs), exact.high
        finite = per_point(np.isfinite(inputs).all(axis=1), g) & np.isin(exact.known, (1, 2, 4))
        finite = finite & (np.abs(exact.nearest) <= form.largest * (1 - ACCEPTED_ULPS * form.u))
        subnormal = per_point(((sizes > 0) & (sizes < form.smallest_normal)).any(axis=1), g)
        without_digit = ~np.isfinite(g) | (np.abs(g - true) >= np.abs(true) / 2)
        normal = (np.abs(exact.nearest) >= form.smallest_normal) & ~subnormal
        visible = np.abs(true) > underflow_threshold(form)
        wrong_sign = (np.signbit(g) != (true < 0)) & (np.abs(exact.nearest) > 0) & ~np.isnan(g) & signs
    codes = np.where(finite & normal & without_digit, ErrorCode.UNDERFLOW, ErrorCode.RIGHT)
    lost = finite & subnormal & (wrong_sign | (visible & without_digit))
    return np.asarray(np.where(lost, ErrorCode.SUBNORMAL, codes), dtype=np.int8)


PARTIAL_CODES = (ErrorCode.INACCURATE, ErrorCode.DIGITS)
"""Error classes with a correct digit; only these may be ill-conditioned."""
ROUNDING_CODES = (ErrorCode.INACCURATE, ErrorCode.DIGITS, ErrorCode.NO_DIGIT, ErrorCode.ZERO, ErrorCode.SIGN)


def grade_digits(
    g: np.ndarray, exact: ExactValues, error: np.ndarray, ulps: np.ndarray, form: Format, scale: np.ndarray,
    size: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Error codes by lost digits, where both values are finite and the error exceeds the underflow threshold.

    What underflowed may be multiplied by a cotangent of the size `scale`. Errors are compared with `size`: that of the
    exact value, or where it is 0 as a sum, that of its terms.
    """
    lost = underflow_threshold(form) * scale
    beyond = np.isfinite(error) & (error > lost)
    codes = np.zeros(g.shape, dtype=np.int8)
    codes[beyond & (ulps >= ACCEPTED_ULPS)] = ErrorCode.INACCURATE
    codes[beyond & (ulps >= 2.0 ** (form.precision / 2)) & (ulps >= ACCEPTED_ULPS)] = ErrorCode.DIGITS
    codes[beyond & (error >= size / 2)] = ErrorCode.NO_DIGIT
    codes[beyond & (g == 0) & (size > lost)] = ErrorCode.ZERO
    codes[beyond & (np.sign(g) * np.sign(exact.high) < 0) & (np.abs(g) > lost) & (size > lost)] = ErrorCode.SIGN
    return codes


def is_cancellation(error: np.ndarray, exact: ExactValues, subject: Subject, form: Format) -> np.ndarray:
    """Where the error is small relative to nearby exact values that change sign, or to those of rows of its size."""
    points = subject.points
    if exact.high.ndim > 2 or (points.ndim == 2 and points.shape[1] > 1):
        largest = largest_at_similar_size(exact, subject, 0)
        return error <= 4 * ACCEPTED_ULPS * form.u * per_point(largest, error)
    scale = per_point(subject.scale, error)
    error, x, y = error / scale, points.ravel(), np.where(exact.known > 0, exact.high / scale, 0.0).ravel()
    order = np.argsort(np.abs(x) * np.sign(x), kind="stable")
    place = np.empty(len(x), dtype=int)
    place[order] = np.arange(len(x))
    low = np.searchsorted(x[order], x - RELATIVE_WINDOW * np.abs(x), "left")
    high = np.searchsorted(x[order], x + RELATIVE_WINDOW * np.abs(x), "right")
    scale, turns = window_maximum(np.abs(y[order]), low, high), window_has_both_signs(np.sign(y[order]), low, high)
    return ((error.ravel() <= ACCEPTED_ULPS * form.u * scale) & turns).reshape(error.shape)


BINADES_BELOW = 5


def largest_at_similar_size(exact: ExactValues, subject: Subject, reach: int = BINADES_BELOW) -> np.ndarray:
    """For each point, the largest exact value among all points of its binade and of `reach` binades below.

    With cotangents, the largest one in proportion to their sizes.
    """
    size, scale = np.abs(subject.points).reshape(len(subject.points), -1).max(axis=1), subject.scale
    _, exponent = np.frexp(np.where(np.isfinite(size), size, 0.0))
    true = np.where((exact.known > 0) & np.isfinite(exact.nearest), np.abs(exact.high), 0.0)
    true = true / per_point(scale, true)
    place = exponent - exponent.min() + reach
    largest = np.zeros(place.max() + 1)
    np.maximum.at(largest, place, true.reshape(len(true), -1).max(axis=1))
    found = [largest[place - k] for k in range(reach + 1)]
    return np.asarray(np.maximum.reduce(found) * scale)


def window_maximum(y: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Maximum of y in each window [low, high), by a sparse table."""
    table = [y]
    while (1 << len(table)) <= len(y):
        half = 1 << (len(table) - 1)
        table.append(np.maximum(table[-1][:-half], table[-1][half:]))
    width = np.maximum(high - low, 1)
    level = np.floor(np.log2(width)).astype(int)
    found = np.zeros(len(low))
    for k, row in enumerate(table):
        here = level == k
        last = len(row) - 1
        found[here] = np.maximum(row[np.clip(low[here], 0, last)], row[np.clip(high[here] - (1 << k), 0, last)])
    return found


def window_has_both_signs(signs: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Where a window contains both signs."""
    plus, minus = (np.concatenate([[0], np.cumsum(signs == side)]) for side in (1, -1))
    high = np.maximum(high, low)
    return (plus[high] > plus[low]) & (minus[high] > minus[low])


REGIONS = ("zero", "tiny", "ordinary", "huge", "infinite", "nan")
"""tiny: the square underflows; huge: twice the square of the largest entry overflows."""


def region_indices(points: np.ndarray, dtype: str) -> np.ndarray:
    """Index in `REGIONS` of each point or row, which may end with cotangents."""
    form = FORMATS[dtype]
    size = np.abs(points).reshape(len(points), -1).max(axis=1)
    found = np.full(len(points), 2)
    found[size < math.sqrt(form.smallest_normal)] = 1
    found[size == 0] = 0
    found[size > math.sqrt(form.largest / 2)] = 3
    found[np.isinf(size)] = 4
    found[np.isnan(size)] = 5
    return found
