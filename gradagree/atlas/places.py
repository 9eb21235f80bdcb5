"""Whether an answer depends on where in a vector its input stands, and on how long the vector is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradagree.arithmetics.model import FORMATS
from gradagree.atlas.classes import Code
from gradagree.atlas.hitting import Hit
from gradagree.atlas.numbers import ulp
from gradagree.atlas.points import kinks_of
from gradagree.atlas.proved import ExactValues
from gradagree.atlas.subject import Subject

POINTS = 509
"""A prime number, so that windows begin everywhere."""
MIXING = 197
"""Prime, so that each window holds inputs of all sizes."""
LENGTHS = range(1, 68)
ORDINARY = (2.0**-14, 2.0**9)
MOST_SPECIAL = 40


def chosen(subject: Subject) -> np.ndarray:
    """Some of the points: those of ordinary size, evenly, and some of the others; mixed."""
    size = np.abs(subject.points).reshape(len(subject.points), -1).max(axis=1)
    ordinary = (size >= ORDINARY[0]) & (size <= ORDINARY[1])
    parts = [np.flatnonzero(ordinary), np.flatnonzero(~ordinary)]
    counts = (POINTS - 80, 80)
    found = np.unique(np.concatenate(
        [part[np.unique(np.linspace(0, len(part) - 1, count).astype(int))] if len(part) else part
         for part, count in zip(parts, counts, strict=True)] + [special(subject)]
    ))  # fmt: skip
    return found[np.arange(len(found)) * MIXING % len(found)] if len(found) % MIXING else found


def special(subject: Subject) -> np.ndarray:
    """Where vectors' ends are known to be treated otherwise: NaN, 0, the kinks and their neighbours."""
    x = subject.points.reshape(len(subject.points), -1)
    if x.shape[1] > 1:
        return np.flatnonzero(np.isnan(x).any(axis=1))[:1]
    near = np.isnan(x[:, 0]) | (x[:, 0] == 0)
    for kink in kinks_of(subject.function):
        near |= np.abs(x[:, 0] - kink) <= ulp(np.asarray(float(kink)), FORMATS[subject.dtype])
    return np.flatnonzero(near)[:MOST_SPECIAL]


def windows(count: int, turns: int) -> tuple[tuple[int, int], ...]:
    """Every point alone, if asked for several turns, and vectors of each length, so many of each."""
    found = [(k, k + 1) for k in range(count)] if turns > 1 else []
    for n in LENGTHS:
        if n < count:
            found += [
                ((n * 61 + turn * 173) % (count - n), (n * 61 + turn * 173) % (count - n) + n) for turn in range(turns)
            ]
    return tuple(found)


def moved(
    subject: Subject,
    quantity: str,
    framework: str,
    mode: str,
    whole: np.ndarray,
    parts: np.ndarray,
    asked: Any,
    truth: ExactValues,
) -> Iterator[Hit]:
    """The hit of the simplest point whose answer in some window has other bits than among all; NaN has its own."""
    places = np.concatenate([np.arange(start, stop) for start, stop in asked])
    whole = np.reshape(whole, truth.high.shape)
    parts = np.reshape(parts, (len(places), *whole.shape[1:]))
    apart = (parts != whole[places]) & ~(np.isnan(parts) & np.isnan(whole[places]))
    inputs = subject.points.reshape(len(subject.points), -1)[places]
    for region, here in (("ordinary", np.isfinite(inputs).all(axis=1)), ("nan", np.isnan(inputs).any(axis=1))):
        where = apart & here.reshape(-1, *[1] * (apart.ndim - 1))
        if where.any():
            yield _hit(subject, quantity, framework, mode, region, where, places, whole, parts, asked, truth)


def _hit(
    subject: Subject, quantity: str, framework: str, mode: str, region: str, apart: np.ndarray, places: np.ndarray,
    whole: np.ndarray, parts: np.ndarray, asked: Any, truth: ExactValues,
) -> Hit:  # fmt: skip
    lengths = np.concatenate([np.full(stop - start, stop - start) for start, stop in asked])
    offsets = np.concatenate([np.arange(stop - start) for start, stop in asked])
    with np.errstate(all="ignore"):
        larger = np.fmax(np.abs(parts), np.abs(whole[places]))
        gap = np.abs(parts - whole[places]) / ulp(larger, FORMATS[subject.dtype])
    gap = np.where(apart, np.where(np.isfinite(gap), gap, np.inf), 0.0)
    most = gap.reshape(len(gap), -1).max(axis=1)
    rank = np.empty(len(subject.points), dtype=int)
    rank[subject.order] = np.arange(len(rank))
    worst = np.flatnonzero(most >= most.max() / 4)
    best = worst[np.argmin(rank[places[worst]])]
    entry = tuple(map(int, np.argwhere(apart[best])[0])) if apart.ndim > 1 else ()
    first = int(places[best])
    true = float(truth.high[(first, *entry)]) if truth.known[(first, *entry)] else float("nan")
    x = subject.points[np.unique(places[apart.reshape(len(apart), -1).any(axis=1)])]
    x = x[~np.isnan(x)] if not np.isnan(x).all() else np.zeros(1)
    return Hit(
        subject.at(slice(first, first + 1)), quantity, framework, mode, Code.SHAPE, region, int(apart.sum()),
        float(x.min()), float(x.max()), (0, *entry), float(parts[(best, *entry)]), true,
        float(most.max()), f"entry {int(offsets[best])} of {int(lengths[best])}", float(whole[(first, *entry)]),
        whole=whole[first : first + 1].copy(),
    )  # fmt: skip
