"""Cotangents of the survey: several non-zero entries, sums that cancel or overflow, numbers other than 1."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import numpy as np

from gradagree.adapters.pointwise import is_rows
from gradagree.arithmetic.model import FORMATS, Format
from gradagree.arithmetic.rounding import round_to_format
from gradagree.reference import Activation, ErrorFunction
from gradagree.surveys.rows import WIDE
from gradagree.surveys.subject import Subject, evaluates_alone

ORDINARY, OTHERS = 40, 40
"""Points with cotangents: the most ordinary ones, and some of all others."""
OTHERS_ALONE = 8
"""The same for losses that are evaluated one row at a time."""

WIDE_POINTS = 5
BLOCKS = 6
"""Cotangents of wide rows consist of blocks of equal numbers, which examples can show."""


def with_cotangents(subject: Subject) -> Subject:
    """Some of the subject's points, each with several cotangents; its derivative is the vjp."""
    function, width = subject.function, 1
    by_row = isinstance(function, Activation) and is_rows(function)
    if by_row:
        width = function.width(subject.points.shape[1]) or 1
    chosen = cotangent_rows(width, FORMATS[subject.dtype])
    others = OTHERS_ALONE if evaluates_alone(function) else OTHERS
    places = subject.order[:WIDE_POINTS] if subject.is_wide else some_places(subject, others)
    places, rows = np.repeat(places, len(chosen)), np.tile(chosen, (len(places), 1))
    made = subject.at(places)
    ks = None if made.ks is None else (0,)
    return dataclasses.replace(made, ks=ks, cotangents=rows if by_row else rows[:, 0])


def subjects_with_cotangents(function: Activation | ErrorFunction, dtype: str, density: int) -> Iterator[Subject]:
    """The function at some of its points with several cotangents each; activations also at wide rows."""
    yield with_cotangents(Subject.of(function, dtype, density))
    if isinstance(function, ErrorFunction):
        return
    for subject in Subject.wide(function, dtype, widest=False):
        yield with_cotangents(subject)


def some_places(subject: Subject, others: int) -> np.ndarray:
    """Indices of the most ordinary finite points, and of others evenly spaced."""
    finite = np.isfinite(subject.points).reshape(len(subject.points), -1).all(axis=1)
    ordered = subject.order[finite[subject.order]]
    rest = ordered[ORDINARY:]
    spaced = rest[np.unique(np.linspace(0, len(rest) - 1, others).astype(int))] if len(rest) else rest
    return np.concatenate([ordered[:ORDINARY], np.sort(spaced)])


def cotangent_rows(width: int, form: Format) -> np.ndarray:
    """Rows of cotangents, each entry a number of the format.

    Ordinary ones are no powers of two. Large ones have entries whose sum, or whose square, overflows; in large rows of
    alternating signs the sum cancels.
    """
    largest, root = form.largest, math.sqrt(form.largest)
    if width == 1:
        found = np.array([[3.0], [-0.7], [1.4 * root], [largest / 4], [form.smallest_normal * 2048]])
        return round_to_format(found, form)
    entry = np.arange(width)
    block = entry if width < WIDE else entry * BLOCKS // width
    alternating, ramp = 1.0 - 2.0 * (block % 2), 1.0 + block % 5
    spread = np.where(entry == 0, 1.0, np.where(entry == width - 1, -0.75, 1 / 64))
    patterns = [
        np.ones(width), 0.7 * ramp, largest * 0.75 * alternating, largest / 512 * np.ones(width),
        largest / 512 * (1.0 + alternating),
    ] if width >= WIDE else [
        np.ones(width), alternating, 0.7 * ramp, spread, 1.4 * root * ramp, largest * 0.75 * np.ones(width),
        largest * 0.75 * alternating, largest / 2 * spread, form.smallest_normal * 2048 * ramp,
    ]  # fmt: skip
    with np.errstate(over="ignore"):
        return np.clip(round_to_format(np.array(patterns), form), -largest, largest)
