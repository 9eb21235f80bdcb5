"""The verdict on one array of a user's function, by the ladder of arithmetics and the probabilistic tolerance."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from gradagree.checker.comparison import error_ratios
from gradagree.checker.verdict import Verdict, hexadecimal, number
from gradagree.functions.enclosures import SUMS, Expected
from gradagree.functions.own_operations import OWN_OPERATIONS, REASON

LEAST_SHARE = 0.5
"""An array of which less than this share is really checked is undecided."""

FEW_SAMPLES = (0, 1, 4)
"""Numbers of samples after which a lower bound of the sampled tolerance is compared."""

NO_ENTRIES = "it has no entries, so nothing was compared"


class ArrayFinding(NamedTuple):
    """How an observed array compares with the expected one: the fields of a record."""

    verdict: Verdict
    arithmetic: str = ""
    ratio: float = 0.0
    sharpness: float = 0.0
    share: float = 1.0
    entry: tuple[int, ...] | None = None
    expected: float | None = None
    observed: float | None = None
    tolerance: float | None = None
    reason: str = ""

    def fields(self) -> dict[str, Any]:
        """The fields as a record has them."""
        return {
            "verdict": self.verdict, "arithmetic": self.arithmetic, "ratio": number(self.ratio),
            "sharpness": number(self.sharpness), "share": self.share, "entry": self.entry,
            "expected": hexadecimal(self.expected), "observed": hexadecimal(self.observed),
            "tolerance": hexadecimal(self.tolerance), "reason": self.reason,
        }  # fmt: skip


def judge(
    observed: np.ndarray | None, expected: Mapping[str, Expected], is_value: bool = False, scale: float = 0.0
) -> ArrayFinding:  # fmt: skip
    """Compare an array with the expected one.

    Args:
        observed: The framework's array; None where it gave none.
        expected: The expected array for each admissible arithmetic, the finest first.
        is_value: True for an output, False for a derivative.
        scale: The largest number that enters: terms of that size may cancel in a result that is much smaller.

    Returns:
        The finding of the finest arithmetic that explains the array; of the coarsest if none does.
    """
    found = by_ladder(observed, expected, is_value, scale)
    return in_order(observed, expected, found) if found.verdict is Verdict.SUSPECT else found


def in_order(observed: np.ndarray | None, expected: Mapping[str, Expected], found: ArrayFinding) -> ArrayFinding:
    """The finding of the first arithmetic that explains a suspect array by sums in the order of their terms, if any."""
    for name, one in expected.items():
        if one.ordered is not None and one.probable is not None and one.correlated is not None:
            wider = np.fmax(np.fmax(one.probable, one.correlated()), one.ordered())
            again = judge_within(observed, replace(one, probable=wider), name)
            if not (again.verdict.fails or name.startswith(SUMS)):
                return again
    return found


def by_ladder(
    observed: np.ndarray | None, expected: Mapping[str, Expected], is_value: bool, scale: float
) -> ArrayFinding:
    """As `judge`, with partial sums of random signs."""
    found = ArrayFinding(Verdict.UNDECIDED, reason="no arithmetic was allowed")
    for name, one in expected.items():
        if name == OWN_OPERATIONS or name.startswith(SUMS):
            found = inaccurate(observed, one, name, found, scale)
            if found.verdict is Verdict.INACCURATE:
                return found
            continue
        found = judge_by(observed, one, name)
        if not found.verdict.fails:
            return found
        if is_value and found.verdict is Verdict.DISAGREE:
            found = found._replace(verdict=Verdict.VALUE_DIFFERS)
        found = found._replace(arithmetic="") if found.verdict is not Verdict.SUSPECT else found
    return found


def inaccurate(
    observed: np.ndarray | None, expected: Expected, arithmetic: str, found: ArrayFinding, scale: float
) -> ArrayFinding:
    """The finding, or `inaccurate` where only an arithmetic that loses digits explains the array, and not anything.

    Where terms cancel, its tolerance must be smaller than a single one. Where sums may overflow in some entries, none
    may have done so that fits the dtype, and at least half of all must be really checked.
    """
    wider = judge_by(observed, expected, arithmetic)
    own = arithmetic == OWN_OPERATIONS
    if wider.verdict is not Verdict.AGREE:
        cancels = wider.verdict is Verdict.UNDECIDED and wider.ratio <= 1 and largest_tolerance(expected) < scale
        open = wider.verdict is Verdict.OUT_OF_RANGE and wider.ratio <= 1 and wider.share >= LEAST_SHARE
        if own or not (cancels or (open and found.verdict is not Verdict.NONFINITE)):
            stopped = not own and found.verdict.fails and has_stopped(observed, expected)
            return found._replace(arithmetic=arithmetic) if stopped else found
    reason = REASON if own else f"partial sums kept in {arithmetic.removeprefix(SUMS)}"
    return found._replace(verdict=Verdict.INACCURATE, arithmetic=arithmetic, reason=reason)


def has_stopped(observed: np.ndarray | None, expected: Expected) -> bool:
    """True if sums that stop growing in a narrow dtype explain it: within the worst case, nearer to 0."""
    if observed is None or observed.shape != expected.value.shape or not np.any(observed):
        return False
    value, radius = expected.value, expected.radius
    nearer = (observed * value >= 0) & (np.abs(observed) <= np.abs(value))
    return bool(np.all(nearer) and np.all(np.abs(observed - value) <= radius))


def largest_tolerance(expected: Expected) -> float:
    tolerance = expected.radius if expected.probable is None else np.fmin(expected.radius, expected.probable)
    return float(np.max(tolerance, initial=0.0))


def judge_by(observed: np.ndarray | None, expected: Expected, arithmetic: str) -> ArrayFinding:
    """The finding in one arithmetic.

    Errors are sampled for an array that is suspect, because those of values that are used more than once add up, and
    for one whose tolerance is blunt, because they may cancel; the smaller tolerance accuses nothing.
    """
    found = judge_within(observed, expected, arithmetic)
    if expected.correlated is None or expected.probable is None:
        return found
    if found.verdict is Verdict.SUSPECT:
        wider = np.fmax(expected.probable, expected.correlated())
        return judge_within(observed, replace(expected, probable=wider), arithmetic)
    if found.verdict is Verdict.UNDECIDED and not stays_blunt(expected):
        again = judge_within(observed, replace(expected, probable=expected.correlated()), arithmetic)
        return again if again.verdict is Verdict.AGREE else found
    return found


def stays_blunt(expected: Expected) -> bool:
    """True if a lower bound of the sampled tolerance is too large already: none, or a few samples tell."""
    value, radius, size = expected.value, expected.radius, np.abs(expected.value)
    if expected.least is None or not are_finite(value):
        return False
    largest = np.max(size, initial=0.0)
    for drawn in FEW_SAMPLES:
        with np.errstate(all="ignore"):
            least = np.fmin(radius, expected.least(drawn))
            if not np.max(least) < largest or np.mean((size > least) | (least == 0)) < LEAST_SHARE:
                return True
    return False


def judge_within(observed: np.ndarray | None, expected: Expected, arithmetic: str) -> ArrayFinding:
    """The finding with the tolerances that are known."""
    value, radius = expected.value, expected.radius
    if value.size == 0 and (observed is None or observed.shape == value.shape):
        return ArrayFinding(Verdict.AGREE, arithmetic, share=0.0, reason=NO_ENTRIES)
    if observed is None:
        if not np.any(np.abs(value) > radius):
            return ArrayFinding(Verdict.AGREE, arithmetic, reason="undefined, which stands for zero")
        return missing(value, radius)
    if observed.shape != value.shape:
        reason = f"has shape {observed.shape}, expected {value.shape}"
        return ArrayFinding(Verdict.DISAGREE, arithmetic, math.inf, math.nan, 0.0, reason=reason)
    tolerance = radius if expected.probable is None else np.fmin(radius, expected.probable)
    finite = are_finite(observed, value, tolerance)
    with np.errstate(all="ignore"):
        ratio = error_ratios(observed, value, tolerance if finite else np.where(np.isnan(value), np.nan, tolerance))
        certain = ratio
        if tolerance is not radius:
            certain = error_ratios(observed, value, radius if finite else np.where(np.isnan(value), np.nan, radius))
        same: Any = np.False_
        open: Any = np.False_
        size = np.abs(value)
        if not finite:
            same = (observed == value) | (np.isnan(observed) & np.isnan(value))
            open = (~np.isfinite(tolerance) | ~np.isfinite(value)) & ~same
            size, tolerance = without_poles(size, tolerance, same)
        largest, checked = float(np.max(size)), size > tolerance
        if not tolerance.all():
            checked |= tolerance == 0
        sharpness = float(np.max(np.where(open, np.inf, tolerance) if open.any() else tolerance))
        sharpness = 0.0 if sharpness == 0 else sharpness / largest if largest > 0 else math.inf
    disagrees = bool(np.max(certain) > 1)
    at = np.unravel_index(int(np.argmax(certain if disagrees else ratio)), value.shape)
    verdict = verdict_of(observed, open, same, disagrees, float(np.max(ratio)), tolerance)
    share = float(np.mean(checked & ~open if open.any() else checked))
    if verdict is Verdict.AGREE and (not sharpness < 1 or share < LEAST_SHARE):
        verdict = Verdict.UNDECIDED
    reason = nan_entries(observed, value) if verdict is Verdict.UNDECIDED and not finite else ""
    worst = radius[at] if disagrees else tolerance[at]
    return ArrayFinding(
        verdict, arithmetic, float((certain if disagrees else ratio)[at]), sharpness, share,
        tuple(int(i) for i in at), float(value[at]), float(observed[at]), float(worst),
        reason,
    )  # fmt: skip


def nan_entries(observed: np.ndarray, value: np.ndarray) -> str:
    """Where the reference has no number: ``the reference is NaN in 1 of 2 entries, and so is the result``."""
    nan = np.isnan(value)
    if not nan.any():
        return ""
    same = np.array_equal(nan, np.isnan(observed))
    return f"the reference is NaN in {int(nan.sum())} of {nan.size} entries{', and so is the result' if same else ''}"


def without_poles(size: np.ndarray, tolerance: np.ndarray, same: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sizes and tolerances with zeros for infinities, such as at a pole, that were found where they are expected.

    They stay if there is nothing else.
    """
    poles = same & np.isinf(size)
    if not poles.any() or poles.all():
        return size, tolerance
    return np.where(poles, 0.0, size), np.where(poles, 0.0, tolerance)


def are_finite(*arrays: np.ndarray) -> bool:
    """True if certainly no number is infinite or NaN: their sums, which take a fraction of the time, are finite."""
    with np.errstate(all="ignore"):
        return all(math.isfinite(np.sum(x)) for x in arrays)


def verdict_of(
    observed: np.ndarray, open: Any, same: Any, disagrees: bool, ratio: float, tolerance: np.ndarray
) -> Verdict:
    if not are_finite(observed) and np.any(~np.isfinite(observed) & ~open & ~same):
        return Verdict.NONFINITE
    if disagrees:
        return Verdict.DISAGREE
    if ratio > 1:
        return Verdict.SUSPECT
    if np.isinf(tolerance).any():
        return Verdict.OUT_OF_RANGE
    return Verdict.UNDECIDED if open.all() else Verdict.AGREE


def missing(value: np.ndarray, radius: np.ndarray) -> ArrayFinding:
    """No gradient where there is one: the largest entry that it should have had."""
    at = np.unravel_index(int(np.argmax(np.abs(value) - radius)), value.shape)
    return ArrayFinding(
        Verdict.DISAGREE, "", math.inf, 0.0, 1.0, tuple(int(i) for i in at), float(value[at]), None, float(radius[at]),
        "no gradient was returned, but it is not zero",
    )  # fmt: skip
