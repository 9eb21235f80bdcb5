"""How an array compares with what was expected: its verdict, its worst entry, and how sharp the tolerance was."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gradagree.arithmetics.rounded import Rounded
from gradagree.judged_error import JudgedError
from gradagree.judged_vector import judged_activation
from gradagree.kinks import OWN, SLOPES, Kinks
from gradagree.verdict import Verdict

__all__ = ["Comparison", "Kinks", "Part", "Tolerant", "classify", "compare"]

Part = str
"""c, E, delta_p, dw, db, w, b, tangents c' and E', and d and its name for a weight that an activation has."""


@dataclass(frozen=True)
class Comparison:
    """One array of one box: how it compares, its worst entry, and how sharp the tolerance was."""

    box: int | str
    part: Part
    verdict: Verdict
    ratio: float = 0.0
    index: tuple[int, ...] = ()
    expected: float = math.nan
    observed: float = math.nan
    tolerance: float = math.nan
    sharpness: float = 0.0
    sharp: int = 0
    entries: int = 0
    reason: str = ""
    slopes: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Which legitimate slopes explain what was observed at each kink that was met."""

    @property
    def entry(self) -> str:
        """For example ``dw[2,0]``."""
        return self.part + (f"[{','.join(map(str, self.index))}]" if self.index else "")

    @property
    def is_gradient(self) -> bool:
        return self.part not in ("c", "E", "w", "b")


@dataclass(frozen=True)
class Tolerant:
    """How to judge a box: with the natural scale or not, with which slope at kinks, and with dual slopes or not."""

    natural: bool = False
    slope: str | None = None
    formed: bool = False

    def activation(self, activation: Any) -> Any:
        return judged_activation(activation, self.natural, self.slope, self.formed)

    def error(self, error: Any) -> Any:
        return JudgedError(error, self.natural, self.slope, self.formed)


ERROR_BOX = "error"
"""The error box, where others have a number."""
CHOSEN = " slope at "
Expect = Callable[[Tolerant], Rounded]


def compare(box: int | str, part: Part, observed: Any, expect: Expect, kinks: Kinks | None = None) -> Comparison:
    """First without the natural scale, then with it, then with each legitimate slope at the kinks.

    What automatic differentiation of a function may form is only worked out where it is needed. An array that is
    undecided, or out of range, says nothing of a kink at which no slope explains it.
    """
    found = _compare(box, part, observed, expect, kinks)
    if not kinks or found.verdict.fails:
        return found
    own = () if CHOSEN in found.reason else (OWN,)
    vague = found.verdict in (Verdict.UNDECIDED, Verdict.OUT_OF_RANGE)
    told = {name: explaining(observed, expect, on) for name, on in kinks.items()}
    slopes = {name: frozenset([*how, *own]) for name, how in told.items() if how or not vague}
    return replace(found, slopes=slopes)


def _compare(box: int | str, part: Part, observed: Any, expect: Expect, kinks: Kinks | None) -> Comparison:
    for how in (Tolerant(), Tolerant(formed=True))[: 2 if part == "delta_p" else 1]:
        tight = classify(box, part, observed, expect(how))
        if not tight.verdict.fails:
            return tight
    natural = classify(box, part, observed, expect(Tolerant(natural=True, formed=True)))
    if not natural.verdict.fails:
        return inaccurate(natural, tight) if natural.verdict is Verdict.AGREE else natural
    if kinks:
        other, reason = conventional(box, part, observed, expect, kinks)
        if not other.verdict.fails:
            agrees = other.verdict is Verdict.AGREE
            return replace(other, verdict=Verdict.CONVENTION if agrees else other.verdict, reason=reason)
        natural = other if reason else natural
    if part in ("c", "E") and natural.verdict is Verdict.DISAGREE:
        return replace(natural, verdict=Verdict.VALUE_DIFFERS)
    return natural


def conventional(
    box: int | str, part: Part, observed: np.ndarray, expect: Expect, kinks: Kinks
) -> tuple[Comparison, str]:
    """With one legitimate slope at each kink, where one explains all entries on it; and which ones."""
    expected, chosen = expect(Tolerant(natural=True, formed=True)), []
    value, radius = expected.value.copy(), expected.radius.copy()
    for name, on in kinks.items():
        for slope, other in explaining(observed, expect, on).items():
            value[on], radius[on] = other.value[on], other.radius[on]
            chosen.append(f"{slope}{CHOSEN}{name}")
            break
    return classify(box, part, observed, Rounded(value, radius, expected.model)), ", ".join(chosen)


def explaining(observed: np.ndarray, expect: Expect, on: np.ndarray) -> dict[str, Rounded]:
    """The legitimate slopes that explain all entries on a kink, with what is expected by each.

    Entries of which nothing is known, such as what becomes of NaN, speak against none.
    """
    found = {}
    with np.errstate(all="ignore"):
        for slope in SLOPES:
            other = expect(Tolerant(natural=True, slope=slope, formed=True))
            open = ~np.isfinite(other.value) | ~np.isfinite(other.radius)
            near = np.abs(observed - other.value) <= other.radius
            if ((observed == other.value) | near | open)[on].all():
                found[slope] = other
    return found


def inaccurate(natural: Comparison, tight: Comparison) -> Comparison:
    """Right within the natural scale only: the entry that lost digits, with the tolerance that it passed."""
    lost = abs(tight.observed - tight.expected) / tight.tolerance if tight.tolerance else math.inf
    return replace(
        natural, verdict=Verdict.INACCURATE, index=tight.index, expected=tight.expected, observed=tight.observed,
        reason=f"{lost:.3g} times what the formula's own rounding may lose",
    )  # fmt: skip


def classify(box: int | str, part: Part, observed: np.ndarray | None, expected: Rounded) -> Comparison:
    """Compare one array entry by entry with its tolerance."""
    value, radius = expected.value, expected.radius
    if observed is None:
        return Comparison(box, part, Verdict.DISAGREE, math.inf, reason="is missing", entries=value.size)
    if observed.shape != value.shape:
        shapes = f"has shape {observed.shape}, expected {value.shape}"
        return Comparison(box, part, Verdict.DISAGREE, math.inf, reason=shapes, entries=value.size)
    if value.size == 0:
        return Comparison(box, part, Verdict.AGREE)
    with np.errstate(all="ignore"):
        radius = np.where(np.abs(value) + radius > expected.model.format.largest, np.inf, radius)
        distance = np.abs(observed - value)
        ratio = np.where(distance > 0, distance / radius, 0.0)
    same = (observed == value) | (np.isnan(observed) & np.isnan(value))
    ratio = np.where(same, 0.0, np.where(np.isnan(distance), np.inf, ratio))
    open = (~np.isfinite(radius) | ~np.isfinite(value)) & ~same
    ratio = np.where(open, 0.0, ratio)
    place = int(np.argmax(ratio))
    verdict, sharpness = _verdict(observed, value, radius, ratio, open, same)
    return Comparison(
        box, part, verdict, float(ratio.flat[place]), tuple(int(i) for i in np.unravel_index(place, value.shape)),
        float(value.flat[place]), float(observed.flat[place]), float(radius.flat[place]), sharpness,
        int(np.sum((np.abs(value) > radius) | (radius == 0))), value.size,
    )  # fmt: skip


def _verdict(observed: Any, value: Any, radius: Any, ratio: Any, open: Any, same: Any) -> tuple[Verdict, float]:
    """The array's verdict, and its tolerance over its largest entry."""
    size, tolerance = float(np.max(np.abs(value))), float(np.max(radius))
    sharpness = math.inf
    if tolerance == 0:
        sharpness = 0.0
    elif size > 0 and math.isfinite(tolerance):
        sharpness = tolerance / size
    if np.any(~np.isfinite(observed) & ~open & ~same):
        return Verdict.NONFINITE, sharpness
    if np.any(ratio > 1):
        return Verdict.DISAGREE, sharpness
    if np.isinf(radius).any():
        return Verdict.OUT_OF_RANGE, math.inf
    if open.any() or not sharpness < 1:
        return Verdict.UNDECIDED, math.inf if math.isnan(sharpness) else sharpness
    return Verdict.AGREE, sharpness
