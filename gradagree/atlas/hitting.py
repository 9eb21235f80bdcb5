"""Points of one class, in one region of inputs: what findings are joined from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gradagree.arithmetics.model import FORMATS
from gradagree.atlas.classes import Code
from gradagree.atlas.looking import Look
from gradagree.atlas.measure import FEW, flushed, natural
from gradagree.atlas.numbers import ulp, underflow
from gradagree.atlas.regions import ORDER, region_of
from gradagree.atlas.subject import Subject


@dataclass(frozen=True)
class Hit:
    """Points of one class in one region: how many, from where to where, and the simplest and the worst of them."""

    subject: Subject = field(repr=False)
    quantity: str
    framework: str
    mode: str
    code: Code
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


def hits(look: Look) -> Iterator[Hit]:
    """One for each class and region that there is."""
    codes, subject = look.found.codes, look.subject
    if not codes.any():
        return
    rows = np.flatnonzero(codes.reshape(len(codes), -1).any(axis=1))
    regions = region_of(subject.points[rows], subject.dtype)
    for name in np.unique(regions):
        here = np.zeros(codes.shape, dtype=bool)
        here[rows[regions == name]] = True
        for code in np.unique(codes[here]):
            if code:
                yield _hit(look, Code(code), ORDER[name], here & (codes == code))


def _hit(look: Look, code: Code, region: str, where: np.ndarray, other: Look | None = None, gap: Any = None) -> Hit:
    """The simplest of the points."""
    with np.errstate(all="ignore"):
        error = np.abs(look.given - look.truth.high)
        scale = natural(look.truth, look.subject.points).reshape(-1, *[1] * (where.ndim - 1))
        gross: np.ndarray = np.asarray(where & (error >= scale / 64))
    x = look.subject.points[np.unique(np.argwhere(where)[:, 0])]
    telling = gross if gross.any() else where
    order = look.subject.order
    first = order[np.isin(order, np.argwhere(telling)[:, 0])][0]
    place = (int(first), *map(int, np.argwhere(telling[first])[0])) if where.ndim > 1 else (int(first),)
    with np.errstate(all="ignore"):
        worst = look.found.ulps[where] if gap is None else gap[where]
    finite = worst[np.isfinite(worst)]
    return Hit(
        look.subject.at(slice(first, first + 1)), look.quantity, look.framework, look.mode, code, region,
        int(where.sum()), float(np.min(x)), float(np.max(x)), (0, *place[1:]), float(look.given[place]),
        float(look.truth.high[place]),
        float(finite.max()) if len(finite) else float("inf"), "" if other is None else other.mode,
        float("nan") if other is None else float(other.given[place]), bool(gross.any()),
        look.given[first : first + 1].copy(), (look if other is None else other).given[first : first + 1].copy(),
    )  # fmt: skip


def differing(looks: Sequence[Look]) -> Iterator[Hit]:
    """Where a mode departs from the first one in half the digits, or at a kink, and one of both is right."""
    if not looks:
        return
    first, *others = looks
    form = FORMATS[first.subject.dtype]
    inputs = first.subject.points.reshape(len(first.subject.points), -1)
    finite = np.isfinite(inputs).all(axis=1) & ~flushed(inputs, form)
    for look in others:
        a, b = first.given, look.given
        with np.errstate(all="ignore"):
            gap: np.ndarray = np.abs(a - b) / ulp(np.fmax(np.abs(a), np.abs(b)), form)
            apart: np.ndarray = (gap >= max(FEW, 2.0 ** (form.precision / 2))) & (np.abs(a - b) > underflow(form))
        apart = np.asarray(apart | (np.isfinite(a) != np.isfinite(b))) & (first.truth.known > 0)
        apart &= (first.found.codes == 0) | (look.found.codes == 0)
        apart &= finite.reshape(-1, *[1] * (apart.ndim - 1))
        if apart.any():
            hit = np.flatnonzero(apart.reshape(len(apart), -1).any(axis=1))
            regions = region_of(look.subject.points[hit], look.subject.dtype)
            for name in np.unique(regions):
                here = np.zeros(apart.shape, dtype=bool)
                here[hit[regions == name]] = True
                yield _hit(look, Code.MODES, ORDER[name], apart & here, first, gap)
