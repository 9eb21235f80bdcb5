"""What one framework's mode gives at every point of a subject, measured: a row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from gradagree.arithmetics.model import FORMATS, FORMULA
from gradagree.atlas.classes import CLASSES, Code
from gradagree.atlas.legit import MOST, Sides
from gradagree.atlas.measure import FEW, Measured, measured, natural
from gradagree.atlas.numbers import underflow
from gradagree.atlas.points import kinks_of
from gradagree.atlas.proved import ExactValues
from gradagree.atlas.subject import WIDEST_ROWS, Subject

BAD = (Code.NO_DIGIT, Code.ZERO, Code.SIGN, Code.NONFINITE)


class Row(msgspec.Struct, frozen=True, kw_only=True):
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
class Look:
    """An answer that was measured."""

    subject: Subject
    quantity: str
    framework: str
    mode: str
    given: np.ndarray
    truth: ExactValues
    found: Measured


def looked(subject: Subject, quantity: str, framework: str, mode: str, given: np.ndarray, truth: ExactValues) -> Look:
    """The answer, measured; what is legitimate at jumps is forgiven."""
    given = np.reshape(given, truth.high.shape)
    found = measured(
        given, truth, subject.points, subject.dtype, quantity == "second", subject.differences, subject.masks
    )
    doubted = (found.codes != 0) & (found.codes < Code.INFINITY) & np.isfinite(given)
    rows = np.flatnonzero(doubted.reshape(len(doubted), -1).any(axis=1))
    sides = around(subject, quantity, rows, truth)
    form = FORMATS[subject.dtype]
    worse = Code.JUMP if quantity == "value" else Code.KINK
    inside = sides.inside(given, form)
    found.codes[doubted & sides.jumps] = worse
    found.codes[doubted & sides.nearby(given, doubted, form)] = Code.CANCELLED
    found.codes[doubted & inside] = Code.RIGHT
    return Look(subject, quantity, framework, mode, given, truth, found)


def around(subject: Subject, quantity: str, rows: np.ndarray, truth: ExactValues) -> Sides:
    """What is legitimate at these points; kept with the subject."""
    sides = subject.sides.setdefault(quantity, Sides.of(truth.high.shape))
    fresh = rows[~sides.looked[rows]]
    if len(fresh):
        fresh = subject.order[np.isin(subject.order, fresh)][:MOST]
        some = subject.at(fresh)
        kinks = kinks_of(subject.function)
        sides.look(
            fresh, some.formula(quantity), some.points, some.ball_targets(), quantity, FORMATS[subject.dtype], kinks,
            natural(truth, subject.points)[fresh], 1.0 if subject.kind == "error" else 0.0,
            nearby(some, quantity) if by_float64(some) else None, not (some.masks or some.inputs == WIDEST_ROWS),
        )  # fmt: skip
    return sides


def by_float64(subject: Subject) -> bool:
    """Whether float64 is enough for inputs nearby: of 16-bit rows, whose units are large; of wide ones it has to be."""
    rows = subject.points.ndim == 2 and subject.points.shape[1] > 1
    return subject.is_wide or (rows and FORMATS[subject.dtype].precision <= FORMATS["float16"].precision)


def nearby(subject: Subject, quantity: str) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and the highest of what inputs nearby have, by float64: balls would take minutes for wide rows."""
    x, formula = subject.points, subject.formula(quantity)
    size = np.maximum(np.abs(x).max(axis=1, keepdims=True), subject.kind == "error")
    step = FORMULA * FORMATS[subject.dtype].u * size
    signs = [np.ones(x.shape[1]), np.arange(x.shape[1]) == 0, 1 - 2.0 * (np.arange(x.shape[1]) % 2)]
    with np.errstate(all="ignore"):
        moved = [x + side * step * sign for sign in signs for side in (1, -1)]
        found = [formula(y) if subject.targets is None else formula(y, subject.targets) for y in moved]
    return np.fmin.reduce(found), np.fmax.reduce(found)


def row(look: Look, version: str) -> Row:
    """The measures of one answer."""
    ulps, known = look.found.ulps, look.truth.known > 0
    finite = np.isfinite(ulps)
    with np.errstate(all="ignore"):
        error = np.where(finite, np.abs(look.given - look.truth.high), np.nan)
        sized = np.abs(look.truth.high) > underflow(FORMATS[look.subject.dtype])
        relative = np.where(sized, error / np.abs(look.truth.high), np.nan)
    worst = np.unravel_index(np.argmax(np.where(finite, ulps, -1.0)), ulps.shape)
    median = np.median(ulps[finite]) if finite.any() else 0.0
    place = [told(x) for x in np.ravel(look.subject.points[worst[0]])[:FEW]]
    counts = {CLASSES[Code(c)].name: int((look.found.codes == c).sum()) for c in np.unique(look.found.codes) if c}
    return Row(
        function=str(look.subject.function), framework=look.framework, version=version, mode=look.mode,
        dtype=look.subject.dtype, quantity=look.quantity, inputs=look.subject.inputs,
        points=ulps.size, proved=int(known.sum()),
        worst_ulp=told(np.nanmax(ulps, initial=0.0)), worst_at=place, median_ulp=told(median),
        worst_relative=told(np.nanmax(relative, initial=0.0)), worst_absolute=told(np.nanmax(error, initial=0.0)),
        no_digit=widest(look), classes=counts,
    )  # fmt: skip


def told(x: Any) -> float | str:
    """A number as JSON has it; NaN and infinity as texts."""
    x = float(x)
    return x if np.isfinite(x) else str(x)


def widest(look: Look) -> list[float]:
    """The widest range of inputs in a row, in binades, of which no answer has a correct digit; [] if there is none."""
    points = look.subject.points
    if points.ndim > 1 and points.shape[1] > 1:
        return []
    x, bad = points.ravel(), np.isin(look.found.codes, BAD).ravel()
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
