"""How far answers are from the truth, in ulp, and which class each point belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradagree.arithmetics.model import FORMATS, Format
from gradagree.atlas.classes import Code
from gradagree.atlas.numbers import ulp, underflow
from gradagree.atlas.proved import ExactValues

FEW = 16
"""Errors below so many ulp are no news."""
NEARBY = 1 / 8
"""Relatively: inputs that are so near belong together where a function passes zero."""


@dataclass(frozen=True)
class Measured:
    """At every point: the error in ulp (NaN where nothing is proved, or not finite), and the class."""

    ulps: np.ndarray
    codes: np.ndarray


def measured(
    given: np.ndarray, truth: ExactValues, points: np.ndarray, dtype: str, second: bool = False, targets: Any = None,
    masks: bool = False,
) -> Measured:  # fmt: skip
    """The first axis is that of the points; targets are given where only the difference matters.
    masks says that -infinity stands for an entry that does not count.

    A second derivative of NaN may be any number, for most are 0 everywhere.
    """
    form = FORMATS[dtype]
    g = np.reshape(given, truth.high.shape)
    known, finite = truth.known > 0, np.isfinite(truth.nearest)
    with np.errstate(all="ignore"):
        error = np.abs((g - truth.high) - truth.low)
        error = np.where(known & finite, error, np.nan)
        ulps = error / ulp(truth.high, form)
        codes = graded(g, truth, error, ulps, form)
        rounded = np.isin(codes, ROUNDED)
        if rounded.any():
            codes[rounded & small_beside(error, truth, points, form)] = Code.CANCELLED
    unlike = known & finite & ~np.isfinite(g) & (np.abs(truth.nearest) <= form.largest * (1 - FEW * form.u))
    codes[unlike] = Code.NONFINITE
    codes[known & ~finite & np.isnan(g)] = Code.OVERFLOW
    rows = points.reshape(len(points), -1)
    codes[(np.isinf(rows).any(axis=1)).reshape(-1, *[1] * (codes.ndim - 1)) & (codes != 0)] = Code.INFINITY
    if masks:
        codes[unlike & masked(rows).reshape(-1, *[1] * (codes.ndim - 1))] = Code.MASK
    lost = np.isnan(rows).any(axis=1) if rows.shape[1] == 1 and not second else np.zeros(len(rows), dtype=bool)
    codes[lost.reshape(-1, *[1] * (codes.ndim - 1)) & ~np.isnan(g)] = Code.NAN_LOST
    codes[
        flushed(rows if targets is None else np.concatenate([rows, rows - targets], axis=1), form).reshape(
            -1, *[1] * (codes.ndim - 1)
        )
        & (codes > 0)
    ] = Code.RIGHT
    return Measured(ulps, codes)


def masked(rows: np.ndarray) -> np.ndarray:
    """Rows of numbers, but that some entries are -infinity."""
    return (rows == -np.inf).any(axis=1) & np.isfinite(rows).any(axis=1) & (rows < np.inf).all(axis=1)


def flushed(rows: np.ndarray, form: Format) -> np.ndarray:
    """Where an input, or a difference, is so small that underflow may take it for 0: nothing is said there."""
    with np.errstate(all="ignore"):
        return ((rows != 0) & (np.abs(rows) < underflow(form))).any(axis=1)


ROUNDED = (Code.INACCURATE, Code.DIGITS, Code.NO_DIGIT, Code.ZERO, Code.SIGN)


def graded(g: np.ndarray, truth: ExactValues, error: np.ndarray, ulps: np.ndarray, form: Format) -> np.ndarray:
    """How many digits are lost, where both are finite and the error is beyond underflow."""
    lost, size = underflow(form), np.abs(truth.high)
    beyond = np.isfinite(error) & (error > lost)
    codes = np.zeros(g.shape, dtype=np.int8)
    codes[beyond & (ulps >= FEW)] = Code.INACCURATE
    codes[beyond & (ulps >= 2.0 ** (form.precision / 2)) & (ulps >= FEW)] = Code.DIGITS
    codes[beyond & (error >= size / 2)] = Code.NO_DIGIT
    codes[beyond & (g == 0) & (size > lost)] = Code.ZERO
    codes[beyond & (np.sign(g) * np.sign(truth.high) < 0) & (np.abs(g) > lost) & (size > lost)] = Code.SIGN
    return codes


def small_beside(error: np.ndarray, truth: ExactValues, points: np.ndarray, form: Format) -> np.ndarray:
    """Where the error is small beside the largest truth nearby, and that passes zero; or beside rows of its size."""
    if truth.high.ndim > 2 or (points.ndim == 2 and points.shape[1] > 1):
        largest = natural(truth, points, 0)
        return error <= 4 * FEW * form.u * largest.reshape(-1, *[1] * (error.ndim - 1))
    x, y = points.ravel(), np.where(truth.known > 0, truth.high, 0.0).ravel()
    order = np.argsort(np.abs(x) * np.sign(x), kind="stable")
    place = np.empty(len(x), dtype=int)
    place[order] = np.arange(len(x))
    low = np.searchsorted(x[order], x - NEARBY * np.abs(x), "left")
    high = np.searchsorted(x[order], x + NEARBY * np.abs(x), "right")
    scale, turns = windowed(np.abs(y[order]), low, high), windowed_signs(np.sign(y[order]), low, high)
    return ((error.ravel() <= FEW * form.u * scale) & turns).reshape(error.shape)


REACH = 5


def natural(truth: ExactValues, points: np.ndarray, reach: int = REACH) -> np.ndarray:
    """For each point the largest truth among all points of its size, down to so many binades below."""
    size = np.abs(points).reshape(len(points), -1).max(axis=1)
    _, exponent = np.frexp(np.where(np.isfinite(size), size, 0.0))
    true = np.where((truth.known > 0) & np.isfinite(truth.nearest), np.abs(truth.high), 0.0)
    place = exponent - exponent.min() + reach
    largest = np.zeros(place.max() + 1)
    np.maximum.at(largest, place, true.reshape(len(true), -1).max(axis=1))
    found = [largest[place - k] for k in range(reach + 1)]
    return np.asarray(np.maximum.reduce(found))


def windowed(y: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The largest of y in each window, by a table of powers of two."""
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


def windowed_signs(signs: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Where a window holds both signs."""
    plus, minus = (np.concatenate([[0], np.cumsum(signs == side)]) for side in (1, -1))
    high = np.maximum(high, low)
    return (plus[high] > plus[low]) & (minus[high] > minus[low])
