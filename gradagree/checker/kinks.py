"""Kinks: the entries on them, the admissible slopes there, and whether one slope explains all records of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gradagree.checker.verdict import CONVENTION, Record, Verdict
from gradagree.reference import Activation, ErrorFunction

Kinks = dict[str, np.ndarray]
"""For each kink, by name, a mask of the entries that lie on it."""
SLOPES = ("left", "right", "mean", "zero")
"""The admissible slopes at a kink, in the order in which they are tried."""
OWN = "reference"
"""The reference's slope at a kink, where it is none of these: equal shares for outputs that tie."""

STEP_SIZES = [2.0**-k for k in range(520, 0, -40)]
"""The last step changes numbers up to 2^12; its square vanishes beside 1."""


def activation_kinks(activation: Activation, x: np.ndarray) -> Kinks:
    """The kinks of an elementwise activation on which an entry of x lies exactly."""
    found = {f"p = {kink:g}": x == kink for kink in activation.kinks}
    return {name: where for name, where in found.items() if where.any()}


def has_kinks(error: ErrorFunction) -> bool:
    """True if a loss defines ``kink``."""
    return type(error).kink is not ErrorFunction.kink


def loss_kinks(error: ErrorFunction, x: np.ndarray, t: Any) -> Kinks:
    """The kinks of a loss on which an output lies."""
    with np.errstate(all="ignore"):
        kinds = error.kinks(x, t) if hasattr(error, "kinks") else {"the kink": error.kink(x, t)}
        found = {name: np.broadcast_to(on, x.shape) & np.isfinite(x) for name, on in kinds.items()}
    return {name: on for name, on in found.items() if on.any()}


def one_sided_derivative(activation: Activation, x: np.ndarray, slope: str) -> Any:
    """A'(x) by the slope of this name: from the left, from the right, their mean, or 0."""
    return evaluate_slope(slope, x.shape, lambda side: activation.derivative(np.nextafter(x, side * np.inf)))


def one_sided_loss_gradient(error: ErrorFunction, x: np.ndarray, t: Any, slope: str) -> Any:
    """dE/do by the slope of this name, at the kinks of a loss."""
    return evaluate_slope(slope, x.shape, lambda side: loss_gradient_beside(error, x, t, side))


def evaluate_slope(name: str, shape: tuple[int, ...], of_side: Callable[[int], Any]) -> Any:
    """One of `SLOPES`, from the slopes of the sides -1 and 1; only the sides that are needed are evaluated."""
    if name == "mean":
        return (of_side(-1) + of_side(1)) / 2
    return np.zeros(shape) if name == "zero" else of_side(-1 if name == "left" else 1)


def loss_gradient_beside(error: ErrorFunction, x: np.ndarray, t: Any, side: int) -> Any:
    """dE/do on one side of the kink, extrapolated by 2 s(h) - s(2h) from the smallest of `shifts` that leaves the kink.

    Entries near a kink but not on it stay on their side, if possible.
    """
    across = side * np.broadcast_to(error.across(x, t), x.shape)
    slope, on = error.sensitivity(x, t), np.broadcast_to(error.kink(x, t), x.shape)
    for near, far in shifts(x, across):
        if not np.any(on):
            break
        limit = 2 * error.sensitivity(near, t) - error.sensitivity(far, t)
        slope = np.where(on & np.isfinite(limit), limit, slope)
        on = on & ~(np.isfinite(limit) & ~np.broadcast_to(error.kink(near, t), x.shape))
    return slope


def shifts(x: np.ndarray, across: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """x one and two steps across a kink, for each of `STEP_SIZES`; before the longest, for one ulp of each number."""
    for step in STEP_SIZES:
        if step == STEP_SIZES[-1]:
            next_to = np.where(across == 0, x, np.nextafter(x, np.copysign(np.inf, across)))
            yield next_to, next_to
        yield x + step * np.sign(across), x + 2 * step * np.sign(across)


KinkId = tuple[str, str, str]
"""Framework, mode, and a kink of a function by name."""


@dataclass
class Occurrence:
    """The number of records with one set of slopes, and the first of them."""

    count: int
    first: Record


@dataclass
class Conventions:
    """The slopes of the records so far: for each kink, framework and mode one slope must explain all records of a run.

    A record lists the admissible slopes that explain its gradient at each kink (`Record.slopes`). Each of them is
    correct, but the left one in one record and the right one in another is not. The table grows with the number of
    functions, not of records.
    """

    seen: dict[KinkId, dict[tuple[str, ...], Occurrence]] = field(default_factory=dict)

    def see(self, record: Record) -> None:
        for place, slopes in record.slopes.items():
            sets = self.seen.setdefault((record.framework, record.mode, place), {})
            found = sets.setdefault(tuple(slopes), Occurrence(0, record))
            found.count += 1
            found.first = min(found.first, record, key=lambda r: (r.index, r.spec))

    def findings(self) -> Iterator[Record]:
        """A record for each kink at which no single slope explains all records."""
        for (framework, mode, place), sets in sorted(self.seen.items()):
            if set.intersection(*map(set, sets)):
                continue
            parts = [
                f"{' or '.join(slopes) or 'no slope'} in {found.count} (first {found.first.spec})"
                for slopes, found in sorted(sets.items())
            ]
            rare = min(sets.values(), key=lambda found: (found.count, found.first.index)).first
            yield Record(
                case=rare.case, spec=f"{CONVENTION}{place}", sha256="", framework=framework, version=rare.version,
                mode=mode, device=rare.device, dtype=rare.dtype, verdict=Verdict.DISAGREE,
                function=place.partition(":")[0],
                reason=f"no one slope at the kink explains all records: {'; '.join(parts)}",
            )  # fmt: skip
