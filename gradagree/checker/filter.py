"""Acceptance by the filter: an array is right if it lies within a bound that is no larger than the real tolerance."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from gradagree.arithmetic.model import Format, Model
from gradagree.checker.comparison import BLUNT, Comparison, Extremes, error_ratios, index, mostly_unchecked
from gradagree.checker.verdict import Verdict
from gradagree.reference.graph import Quantity

SAFE = 1 - 2.0**-8
"""Keeps a tolerance below the one that it stands for, whatever float32 rounds."""


class Bound(NamedTuple):
    """An observed array that is right if it lies within radius of center.

    is_structural_zero: True if all its entries are 0 because each is a product with a factor 0.
    """

    quantity: Quantity
    observed: np.ndarray
    center: np.ndarray
    radius: np.ndarray
    format: Format
    is_structural_zero: Callable[[], bool] = lambda: False
    slopes: Mapping[str, frozenset[str]] = {}

    def accept(self, found: Extremes) -> Comparison | None:
        """The comparison of the array if every entry lies within the bound and nothing else needs the full check."""
        if not found.ratio <= 1:
            return None
        largest, tolerance = found.largest, found.largest_tolerance
        blunt = not tolerance < BLUNT * largest and not (largest == tolerance == 0 and self.is_structural_zero())
        if blunt or not largest + tolerance < self.format.largest / 2:
            return None
        if mostly_unchecked(found.sharp, self.observed.size):
            return None
        return Comparison(
            self.quantity, Verdict.AGREE, found.ratio, found.place, found.expected, found.observed,
            found.tolerance, tolerance / largest if largest else 0.0, found.sharp, self.observed.size,
            slopes=self.slopes,
        )  # fmt: skip


def accepted(bounds: Sequence[Bound]) -> list[Comparison | None]:
    """The comparison for each bound that accepts its array; None for the others.

    All entries are processed in one call: a NumPy call costs as much as a small array.
    """
    if not bounds:
        return []
    observed, center, radius = (
        np.concatenate([getattr(bound, name).ravel() for bound in bounds]) for name in ("observed", "center", "radius")
    )
    ratio, size = error_ratios(observed, center, radius), np.abs(center)
    starts = [0, *itertools.accumulate(bound.center.size for bound in bounds)]
    ratios, largest, tolerances = (np.maximum.reduceat(x, starts[:-1]).tolist() for x in (ratio, size, radius))
    sharp = np.add.reduceat((size > radius) | (radius == 0), starts[:-1], dtype=np.int64).tolist()
    found: list[Comparison | None] = []
    for k, (bound, start, end) in enumerate(zip(bounds, starts, starts[1:], strict=False)):
        if not ratios[k] <= 1:
            found.append(None)
            continue
        place = int(ratio[start:end].argmax())
        expected, seen, allowed = (float(x[start + place]) for x in (center, observed, radius))
        at = index(place, bound.center.shape)
        extreme = Extremes(ratios[k], at, expected, seen, allowed, largest[k], tolerances[k], sharp[k])
        found.append(bound.accept(extreme))
    return found


def store_accepted(found: Iterable[tuple[dict[Quantity, Comparison], Bound | Comparison]]) -> None:
    """Store the comparison of each accepted array in the dictionary of its node."""
    found = list(found)
    passed = iter(accepted([bound for _, bound in found if isinstance(bound, Bound)]))
    for store, bound in found:
        comparison = next(passed) if isinstance(bound, Bound) else bound
        if comparison is not None:
            store[comparison.quantity] = comparison


def not_representable(x: np.ndarray, model: Model) -> np.ndarray:
    """The entries that are not representable in the format."""
    scaled = np.ldexp(np.frexp(x)[0], model.format.precision)
    return np.asarray(scaled != np.rint(scaled))


def all_samples_rounded(parts: tuple[str, ...], samples: Iterator[dict[str, Any]]) -> dict[str, bool]:
    """For each part, True if its nonzero entries are rounded in every sample; False if one is out of domain."""
    found = dict.fromkeys(parts, True)
    try:
        with np.errstate(all="ignore"):
            for answers in samples:
                found = {part: found[part] and all_rounded(x) for part, x in answers.items()}
    except ValueError:
        return dict.fromkeys(parts, False)
    return found


def all_rounded(x: Any) -> bool:
    """True if all nonzero entries have a radius."""
    return bool(np.all((getattr(x, "radius", 0.0) != 0) | (getattr(x, "value", x) == 0)))
