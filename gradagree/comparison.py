"""How an array compares with what was expected: its verdict, its worst entry, and how sharp the tolerance was."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from gradagree.arithmetics.model import Format
from gradagree.arithmetics.rounded import Rounded
from gradagree.checker.allowances import ToleranceOptions
from gradagree.checker.kinks import OWN, SLOPES, Kinks
from gradagree.verdict import Verdict

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


ERROR_BOX = "error"
"""The error box, where others have a number."""
CHOSEN = " slope at "
Expect = Callable[[ToleranceOptions], Rounded]


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
    for how in (ToleranceOptions(), ToleranceOptions(ad_forms=True))[: 2 if part == "delta_p" else 1]:
        tight = classify(box, part, observed, expect(how))
        if not tight.verdict.fails:
            return tight
    natural = classify(box, part, observed, expect(ToleranceOptions(conditioning=True, ad_forms=True)))
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
    expected, chosen = expect(ToleranceOptions(conditioning=True, ad_forms=True)), []
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
            other = expect(ToleranceOptions(conditioning=True, one_sided=slope, ad_forms=True))
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


SAFE = 1 - 2.0**-8
"""Keeps a tolerance below the one that it stands for, whatever float32 rounds."""
DULL = 0.99
"""A sharpness from here on is left to the box check, which says what it means."""


class Claim(NamedTuple):
    """That an array is value within radius; nothing says whether all entries are 0 because a factor of each is."""

    box: int | str
    part: Part
    observed: np.ndarray
    value: np.ndarray
    radius: np.ndarray
    format: Format
    nothing: Callable[[], bool] = lambda: False
    slopes: Mapping[str, frozenset[str]] = {}


def settled(claims: Sequence[Claim]) -> list[Comparison | None]:
    """The comparison for each claim all of whose entries hold, if it is of the ordinary kind; None for the others.

    All entries are looked at in one go: a call of NumPy's costs as much as a small array.
    """
    if not claims:
        return []
    observed, value, radius = (np.concatenate([x.ravel() for x in xs]) for xs in list(zip(*claims, strict=True))[2:5])
    size, ratio = np.abs(value), np.abs(observed - value)
    ratio = np.divide(ratio, radius, out=np.zeros(ratio.shape), where=ratio != 0)
    ends = np.cumsum([claim.value.size for claim in claims])
    starts = np.concatenate([[0], ends[:-1]])
    ratios, largest, tolerance = (np.maximum.reduceat(x, starts).tolist() for x in (ratio, size, radius))
    sharp = np.add.reduceat((size > radius) | (radius == 0), starts, dtype=np.int64).tolist()
    found: list[Comparison | None] = []
    for k, (claim, start, end) in enumerate(zip(claims, starts.tolist(), ends.tolist(), strict=True)):
        if not ratios[k] <= 1:
            found.append(None)
            continue
        place = int(ratio[start:end].argmax())
        expected, seen, allowed = (float(x[start + place]) for x in (value, observed, radius))
        at = index(place, claim.value.shape)
        tile = Tile(ratios[k], at, expected, seen, allowed, largest[k], tolerance[k], sharp[k])
        found.append(passing(claim, [tile], end - start))
    return found


def index(place: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The index of an entry by its place in a flat array."""
    if len(shape) == 2:
        return divmod(place, shape[1])
    return tuple(int(i) for i in np.unravel_index(place, shape))


class Tile(NamedTuple):
    """What is kept of some rows of an array: the worst entry, the largest entry and tolerance, how many are sharp."""

    ratio: float
    place: tuple[int, ...]
    expected: float
    observed: float
    allowed: float
    largest: float
    tolerance: float
    sharp: int

    @classmethod
    def of(cls, observed: Any, value: Any, size: np.ndarray, radius: np.ndarray, start: int) -> Tile | None:
        """None unless every entry passes; start is the number of the first row."""
        ratio = np.abs(observed - value)
        ratio /= np.maximum(radius, np.finfo(radius.dtype).smallest_subnormal)
        place = int(np.argmax(ratio))
        if not ratio.flat[place] <= 1:
            return None
        first, *rest = index(place, value.shape)
        return cls(
            float(ratio.flat[place]), (start + first, *rest),
            float(value.flat[place]), float(observed.flat[place]), float(radius.flat[place]),
            float(np.max(size)), float(np.max(radius)), int(np.count_nonzero((size > radius) | (radius == 0))),
        )  # fmt: skip


def passing(claim: Claim, tiles: Sequence[Tile], entries: int) -> Comparison | None:
    """The comparison of an array whose entries all pass, if it is of the ordinary kind."""
    largest, tolerance = max(tile.largest for tile in tiles), max(tile.tolerance for tile in tiles)
    dull = not tolerance < DULL * largest and not (largest == tolerance == 0 and claim.nothing())
    if dull or not largest + tolerance < claim.format.largest / 2:
        return None
    worst = max(tiles, key=lambda tile: tile.ratio)
    return Comparison(
        claim.box, claim.part, Verdict.AGREE, worst.ratio, worst.place, worst.expected, worst.observed, worst.allowed,
        tolerance / largest if largest else 0.0, sum(tile.sharp for tile in tiles), entries, slopes=claim.slopes,
    )  # fmt: skip
