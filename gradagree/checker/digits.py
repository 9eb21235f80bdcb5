"""Whether entries that only the conditioning scale explains have the right sign and a correct leading digit.

A correct but inaccurate formula loses digits, and `inaccurate` says so. A number without any correct digit is no
approximation, and its sign may be wrong: that is a disagreement.

A number has a correct digit if its relative error is below 5 * 10^-1 (Burden and Faires, Numerical Analysis, section
1.2, with t = 1); then its sign is right too. No digit is lost where the exact value rounds to 0 in the dtype, nor by an
error up to the smallest normal number, where rounding is absolute.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gradagree.adapters.formats import Format
from gradagree.arithmetic.rounded import Rounded

NO_DIGIT = "no correct digit"
DIGIT = 0.5
"""The relative error from which on no digit is correct."""
DOUBTFUL = 0.2
"""From this relative error on, against the rounded reference, the exact value decides.

The exact value e is within the tight tolerance of the reference r, so below |x - r|: an x with |x - r| < |r| / 5 has
|x - e| < 2 |r| / 5 and |e| > 4 |r| / 5, a relative error below a half.
"""
MOST_DOUBTFUL = 8
"""Entries of one array whose exact values are computed, the worst first."""


class DoubtfulEntry(NamedTuple):
    """An entry beyond its tolerance without the conditioning scale, that may have no correct digit."""

    place: tuple[int, ...]
    expected: float
    observed: float
    tolerance: float


def doubtful_entries(observed: np.ndarray, tight: Rounded, wide: Rounded) -> tuple[DoubtfulEntry, ...]:
    """The entries within the wide tolerance only that may have no correct digit, the largest relative error first."""
    with np.errstate(all="ignore"):
        off, size = np.abs(observed - wide.value), np.abs(wide.value)
        excused = (off > tight.radius) & np.isfinite(off) & np.isfinite(wide.radius)
        # below the smallest number of the dtype the reference may be 0 where the exact value is not
        error = off / np.maximum(size, wide.model.format.smallest)
        doubtful = excused & (error >= DOUBTFUL) & (off > wide.model.format.smallest_normal)
    places = np.flatnonzero(doubtful)
    worst = places[np.argsort(-error.ravel()[places], kind="stable")][:MOST_DOUBTFUL]
    arrays = (wide.value, observed, tight.radius)
    indices = (tuple(int(i) for i in np.unravel_index(place, observed.shape)) for place in worst)
    return tuple(DoubtfulEntry(at, *(float(x[at]) for x in arrays)) for at in indices)


def has_no_digit(observed: float, exact: float, radius: float, format: Format) -> bool:
    """True if no number within radius of exact has a leading digit in common with the observed one.

    Args:
        observed: The framework's number.
        exact: The middle of an enclosure of the exact value.
        radius: The radius of the enclosure.
        format: The framework's dtype.
    """
    least = abs(observed - exact) - radius
    largest = abs(exact) + radius
    if largest <= format.smallest / 2 or least <= format.smallest_normal:
        return False
    return least >= DIGIT * largest
