"""How an array compares with what was expected: its verdict, its worst entry, and how sharp the tolerance was."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from gradagree.adapters import Answer
from gradagree.arithmetic.model import FORMULA, Format, Model
from gradagree.arithmetic.rounded import Rounded
from gradagree.checker.allowances import ToleranceOptions
from gradagree.checker.digits import DoubtfulEntry, doubtful_entries
from gradagree.checker.kinks import ADMISSIBLE, FROM_REFERENCE, Kinks
from gradagree.checker.verdict import Verdict
from gradagree.reference.graph import LOSS, Kind, Quantity


@dataclass(frozen=True)
class Comparison:
    """One array of one node: how it compares, its worst entry, and its relative tolerance (sharpness)."""

    quantity: Quantity
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
    """The admissible one-sided derivatives that explain the observed array, for each kink that was met."""
    doubtful: tuple[DoubtfulEntry, ...] = ()
    """Entries that only the conditioning scale explains and that may have no correct digit: exact values decide."""

    @property
    def box(self) -> int | str:
        """The node's name in records."""
        return self.quantity.node

    @property
    def part(self) -> str:
        """The array's name in records."""
        return self.quantity.label

    @property
    def entry(self) -> str:
        """For example ``dw[2,0]``."""
        return self.part + (f"[{','.join(map(str, self.index))}]" if self.index else "")

    @property
    def is_gradient(self) -> bool:
        return self.quantity.kind not in (Kind.VALUE, Kind.UPDATED)


def observed_array(answer: Answer, quantity: Quantity) -> np.ndarray | None:
    """The framework's own array; None if it gave none."""
    if quantity.array == LOSS:
        return np.asarray(answer.E if quantity.kind is Kind.VALUE else answer.along)
    arrays = {
        Kind.VALUE: answer.values,
        Kind.COTANGENT: answer.cotangents,
        Kind.GRADIENT: answer.gradients,
        Kind.TANGENT: answer.tangents,
        Kind.UPDATED: answer.updated,
    }
    return arrays[quantity.kind].get(quantity.array)


CHOSEN = " slope at "
UNDERFLOW = ToleranceOptions(ad_forms=True, underflow=True)
"""Errors within this tolerance are no lost digits."""
UNCHECKED = "less than half"
"""Begins the reason of an array of which less than half is checked."""
BLUNT = 0.1
"""A relative tolerance above this says little, so that narrower bounds are tried."""
Expect = Callable[[ToleranceOptions], Rounded]
Likely = Callable[[], Iterable[Rounded]]
"""Bounds of programs whose rounding errors are independent, from `gradagree.checker.independent`."""


def compare(
    quantity: Quantity, observed: Any, expect: Expect, kinks: Kinks | None = None, likely: Likely = tuple
) -> Comparison:
    """Compare without the conditioning scale, then with it, then with each one-sided derivative at the kinks.

    Bounds without the conditioning scale begin with those of one program, so that a record states the narrowest that
    holds. Derivatives as automatic differentiation may compute them are evaluated only where they are needed. An array
    that is undecided or out of range gives no information on a kink that no derivative explains. Where the bound that
    holds is blunt, those for independent rounding errors are tried.
    """
    found = sharpened(_compare(quantity, observed, expect, kinks), observed, likely)
    if not kinks or found.verdict.fails:
        return found
    own = () if CHOSEN in found.reason else (FROM_REFERENCE,)
    vague = found.verdict in (Verdict.UNDECIDED, Verdict.OUT_OF_RANGE)
    found_at = {name: explaining(observed, expect, on) for name, on in kinks.items()}
    slopes = {name: frozenset([*how, *own]) for name, how in found_at.items() if how or not vague}
    return replace(found, slopes=slopes)


def sharpened(found: Comparison, observed: Any, likely: Likely) -> Comparison:
    """A comparison that passes within a blunt tolerance, or that of the narrowest likely bound which holds too."""
    passes = found.verdict in (Verdict.AGREE, Verdict.UNDECIDED) and not found.doubtful
    if not passes or found.sharpness <= BLUNT:
        return found
    for expected in likely():
        other = classify(found.quantity, observed, expected)
        if other.verdict is Verdict.AGREE and not other.sharpness >= found.sharpness:
            found = replace(other, sharp=max(found.sharp, other.sharp))  # both bounds hold
    return found


def _compare(quantity: Quantity, observed: Any, expect: Expect, kinks: Kinks | None) -> Comparison:
    for how in ToleranceOptions.without_conditioning(quantity.kind is Kind.COTANGENT):
        narrow = expect(how)
        tight = classify(quantity, observed, narrow)
        if tight.verdict is Verdict.AGREE or not (how.own_formula or tight.verdict.fails):
            return tight
    narrow = expect(ToleranceOptions(ad_forms=True))
    widest, underflow = (functools.partial(expect, how) for how in (ToleranceOptions.widest(), UNDERFLOW))
    wide = compare_within(quantity, observed, narrow, widest, underflow)
    if not wide.verdict.fails:
        return wide
    if kinks:
        other, reason = conventional(quantity, observed, expect, kinks)
        if not other.verdict.fails:
            agrees = other.verdict is Verdict.AGREE
            return replace(other, verdict=Verdict.CONVENTION if agrees else other.verdict, reason=reason)
        wide = other if reason else wide
    if quantity.kind is Kind.VALUE and wide.verdict is Verdict.DISAGREE:
        return replace(wide, verdict=Verdict.VALUE_DIFFERS)
    return wide


def conventional(quantity: Quantity, observed: np.ndarray, expect: Expect, kinks: Kinks) -> tuple[Comparison, str]:
    """Compare with one admissible derivative at each kink that explains all its entries; and their names."""
    tight, wide = expect(UNDERFLOW), expect(ToleranceOptions.widest())
    value, radius, narrow, chosen = wide.value.copy(), wide.radius.copy(), tight.radius.copy(), []
    for name, on in kinks.items():
        for slope, other in explaining(observed, expect, on).items():
            value[on], radius[on], narrow[on] = other.value[on], other.radius[on], other.radius[on]
            chosen.append(f"{slope}{CHOSEN}{name}")
            break
    expected = Rounded(value, radius, wide.model)
    found = classify(quantity, observed, expected)
    if not found.verdict.fails:
        found = replace(found, doubtful=doubtful_entries(observed, Rounded(value, narrow, wide.model), expected))
    return found, ", ".join(chosen)


def explaining(observed: np.ndarray, expect: Expect, on: np.ndarray) -> dict[str, Rounded]:
    """The admissible derivatives that explain all entries on a kink, with the expected array for each.

    Entries without a finite value or radius contradict none of them.
    """
    found = {}
    with np.errstate(all="ignore"):
        for name in ADMISSIBLE:
            other = expect(ToleranceOptions(conditioning=True, one_sided=name, ad_forms=True))
            open = ~np.isfinite(other.value) | ~np.isfinite(other.radius)
            near = np.abs(observed - other.value) <= other.radius
            if ((observed == other.value) | near | open)[on].all():
                found[name] = other
    return found


def compare_within(
    quantity: Quantity, observed: Any, narrow: Rounded, widest: Callable[[], Rounded], underflow: Callable[[], Rounded]
) -> Comparison:
    """Compare without the conditioning scale, then with it; what only the latter explains is inaccurate.

    underflow is the tolerance that allows underflow of intermediates only: its errors are no lost digits.
    """
    tight = classify(quantity, observed, narrow)
    if not tight.verdict.fails:
        return tight
    expected = widest()
    wide = _classify(quantity, observed, expected)
    if wide.verdict.fails:
        return wide
    doubtful = doubtful_entries(observed, narrow, expected)
    if doubtful:
        doubtful = doubtful_entries(observed, underflow(), expected)
    return _inaccurate(replace(wide, doubtful=doubtful), tight, observed, narrow, expected)


def _inaccurate(
    wide: Comparison, tight: Comparison, observed: np.ndarray, narrow: Rounded, expected: Rounded
) -> Comparison:
    """Right only with the conditioning scale: the entry that lost digits, with the tolerance that it passed.

    Entries within the narrow tolerance are checked by it, and the others have a correct digit, or are doubtful.
    """
    if wide.verdict is not Verdict.AGREE:
        return wide
    with np.errstate(all="ignore"):
        size, off = np.abs(narrow.value), np.abs(observed - narrow.value)
        checked = resolved(size, narrow.radius, narrow.model) | (off > narrow.radius)
    found = unchecked(replace(wide, sharp=int(np.count_nonzero(checked))))
    if found.verdict is not Verdict.AGREE:
        return found
    lost = abs(tight.observed - tight.expected) / tight.tolerance if tight.tolerance else math.inf
    return replace(
        found, verdict=Verdict.INACCURATE, index=tight.index, expected=tight.expected, observed=tight.observed,
        tolerance=float(expected.radius[tight.index]),
        reason=f"{lost:.3g} times what the formula's own rounding may lose",
    )  # fmt: skip


def classify(quantity: Quantity, observed: np.ndarray | None, expected: Rounded) -> Comparison:
    """Compare one array entry by entry with its tolerance; undecided if less than half of it is checked."""
    return unchecked(_classify(quantity, observed, expected))


def unchecked(found: Comparison) -> Comparison:
    """An array that agrees is undecided if less than half of its entries are checked."""
    if found.verdict is not Verdict.AGREE or not mostly_unchecked(found.sharp, found.entries):
        return found
    return replace(found, verdict=Verdict.UNDECIDED, reason=f"{UNCHECKED} of {found.part} is checked")


def mostly_unchecked(checked: int, entries: int) -> bool:
    """True if less than half of the entries are checked."""
    return 2 * checked < entries


def resolved(size: Any, radius: Any, model: Model) -> Any:
    """The entries that a tolerance checks: larger than it, with tolerance 0, or rounded at the bottom of the range."""
    return (size > radius) | (radius <= FORMULA * model.quantum)


def _classify(quantity: Quantity, observed: np.ndarray | None, expected: Rounded) -> Comparison:
    value, radius = expected.value, expected.radius
    if observed is None:
        return Comparison(quantity, Verdict.DISAGREE, math.inf, reason="is missing", entries=value.size)
    if observed.shape != value.shape:
        shapes = f"has shape {observed.shape}, expected {value.shape}"
        return Comparison(quantity, Verdict.DISAGREE, math.inf, reason=shapes, entries=value.size)
    if value.size == 0:
        return Comparison(quantity, Verdict.AGREE)
    with np.errstate(all="ignore"):
        radius = within_range(np.abs(value), radius, expected.model.format)
        ratio = error_ratios(observed, value, np.where(np.isnan(value), np.nan, radius))
        size = np.abs(value)
        found = extremes(ratio, observed, value, size, radius, resolved(size, radius, expected.model))
    same = (observed == value) | (np.isnan(observed) & np.isnan(value))
    open = (~np.isfinite(radius) | ~np.isfinite(value)) & ~same
    verdict, sharpness = _verdict(observed, radius, found, open, same)
    return Comparison(
        quantity, verdict, found.ratio, found.place, found.expected, found.observed, found.tolerance, sharpness,
        found.sharp, value.size,
    )  # fmt: skip


def _verdict(observed: Any, radius: Any, found: Extremes, open: Any, same: Any) -> tuple[Verdict, float]:
    """The array's verdict, and its tolerance over its largest entry."""
    size, tolerance = found.largest, found.largest_tolerance
    sharpness = math.inf
    if tolerance == 0:
        sharpness = 0.0
    elif size > 0 and math.isfinite(tolerance):
        sharpness = tolerance / size
    if np.any(~np.isfinite(observed) & ~open & ~same):
        return Verdict.NONFINITE, sharpness
    if found.ratio > 1:
        return Verdict.DISAGREE, sharpness
    if np.isinf(radius).any():
        return Verdict.OUT_OF_RANGE, math.inf
    if open.any() or not sharpness < 1:
        return Verdict.UNDECIDED, math.inf if math.isnan(sharpness) else sharpness
    return Verdict.AGREE, sharpness


# The worst entries of arrays: one comparison for rounded numbers, for variances and for the filter.


class Extremes(NamedTuple):
    """An array's worst entry, its largest entry and tolerance, and the number of entries above their tolerance."""

    ratio: float
    place: tuple[int, ...]
    expected: float
    observed: float
    tolerance: float
    largest: float
    largest_tolerance: float
    sharp: int

    def below(self, row: int) -> Extremes:
        """The same of an array whose first row is this row of a larger one."""
        return self._replace(place=(row + self.place[0], *self.place[1:])) if self.place else self


def error_ratios(observed: Any, center: Any, radius: Any) -> np.ndarray:
    """|observed - center| / radius: 0 where they are equal or the radius is not finite, infinite for other NaN."""
    ratio = np.asarray(observed - center)
    np.abs(ratio, out=ratio)  # in place, as new memory for a large array takes longer than its subtraction
    np.divide(ratio, radius + (ratio == 0), out=ratio)  # 0 / 0 is 0; a mask takes longer
    if not np.maximum.reduce(ratio, axis=None) < np.inf:
        ratio = np.where((observed == center) | ~np.isfinite(radius), 0.0, np.where(np.isnan(ratio), np.inf, ratio))
    return ratio


def within_range(size: Any, radius: Any, format: Format) -> Any:
    """The radius, infinite where a number of this size within it may overflow the format."""
    if np.max(size, initial=0.0) + np.max(radius, initial=0.0) <= format.largest:
        return radius
    return np.where(size + radius > format.largest, np.inf, radius)


def extremes(ratio: Any, observed: Any, center: Any, size: Any, radius: Any, sharp: Any = None) -> Extremes:
    """The extremes of one array; sharp are the entries above their tolerance, by default with those of tolerance 0."""
    sharp = (size > radius) | (radius == 0) if sharp is None else sharp
    place = int(ratio.argmax())
    at = index(place, ratio.shape)
    worst, expected, seen, allowed = (float(x[at]) for x in (ratio, center, observed, radius))
    largest, tolerance = (float(np.maximum.reduce(x, axis=None)) for x in (size, radius))
    return Extremes(worst, at, expected, seen, allowed, largest, tolerance, int(np.count_nonzero(sharp)))


def merged(tiles: Sequence[Extremes]) -> Extremes:
    """The extremes of an array from those of its tiles."""
    worst = max(tiles, key=lambda tile: tile.ratio)
    largest, tolerance = (float(np.max([getattr(x, name) for x in tiles])) for name in ("largest", "largest_tolerance"))
    return worst._replace(largest=largest, largest_tolerance=tolerance, sharp=sum(tile.sharp for tile in tiles))


def index(place: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The index of an entry by its place in a flat array."""
    if len(shape) == 2:
        return divmod(place, shape[1])
    return tuple(int(i) for i in np.unravel_index(place, shape))
