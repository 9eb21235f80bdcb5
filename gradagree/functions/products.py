"""Large matrix products: every entry against a tolerance from the norms of its row and column.

One product in float64 gives the expected values. A dot product of n stored numbers is off by at most
n u |x| |y| (Cauchy and Schwarz), and by independent roundings of partial sums with a standard deviation of at most
u sqrt((1 + n/2) / 3) max|x| |y|. Both bounds have a factor for each row and one for each column, so that no second
product is needed. An entry beyond them is judged again by itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradagree.arithmetic.model import OUTWARD, OWN, Model
from gradagree.arithmetic.variance import DEVIATIONS
from gradagree.checker.verdict import Verdict
from gradagree.functions.enclosures import Expected
from gradagree.functions.judge import LEAST_SHARE, ArrayFinding, judge

BLOCK = 1 << 17
"""Entries that are compared together; they fit a processor cache."""
FACTOR = 1 << 21
"""Entries of a block of the right factor."""
LEAST = 1 << 14
"""Products with fewer entries, factors included, are judged in the general way."""


@dataclass
class Tally:
    """What the comparison of an array, part after part, has found.

    `worst` is |observed - expected| / tolerance at `entry`; `checked` counts the entries above their tolerance.
    """

    worst: float = -1.0
    entry: tuple[int, ...] = ()
    largest: float = 0.0
    blunt: float = 0.0
    checked: int = 0
    entries: int = 0
    finite: bool = True

    def add(self, observed: np.ndarray, value: np.ndarray, tolerance: np.ndarray, offset: tuple[int, ...]) -> None:
        """Compare a part that begins at the offset; value is overwritten."""
        if not value.size:
            return
        size = np.abs(value)
        error = np.subtract(value, observed, out=value)
        np.abs(error, out=error)
        self.entries += size.size
        self.largest = max(self.largest, float(np.max(size)))
        self.blunt = max(self.blunt, float(np.max(tolerance)))
        self.checked += int(np.count_nonzero(size > tolerance))
        if not tolerance.all():
            self.checked += int(np.count_nonzero((tolerance == 0) & (size == 0)))
            error[(tolerance == 0) & (error > 0)] = np.inf
        with np.errstate(all="ignore"):
            np.divide(error, tolerance + np.finfo(float).tiny, out=error)
        worst = float(np.max(error))
        if not math.isfinite(self.largest) or math.isnan(worst):
            self.finite = False
        elif worst > self.worst:
            at = np.unravel_index(int(np.argmax(error)), error.shape)
            self.worst = worst
            self.entry = tuple(int(k) + start for k, start in zip(at, offset, strict=True))

    def merge(self, other: Tally) -> None:
        """Add what has been found of another part of the array; the entry is not known in the whole."""
        self.worst = max(self.worst, other.worst)
        self.largest, self.blunt = max(self.largest, other.largest), max(self.blunt, other.blunt)
        self.checked, self.entries = self.checked + other.checked, self.entries + other.entries
        self.finite = self.finite and other.finite

    def finding(self) -> ArrayFinding | None:
        """The finding of an array whose entries are all within their tolerances; None for any other."""
        if not self.finite or self.worst > 1:
            return None
        sharpness = 0.0 if self.blunt == 0 else self.blunt / self.largest if self.largest > 0 else math.inf
        share = self.checked / self.entries if self.entries else 0.0
        if not sharpness < 1 or share < LEAST_SHARE:
            return None
        return ArrayFinding(Verdict.AGREE, "stored", max(self.worst, 0.0), sharpness, share, self.entry)


@dataclass(frozen=True)
class Scales:
    """A tolerance ``rows[i] columns[j]`` for the sums of products of rows and columns, and its share of the result."""

    rows: np.ndarray
    columns: np.ndarray
    relative: float


def scales(
    terms: int, row_norms: Any, row_maxima: Any, column_norms: Any, column_maxima: Any, model: Model
) -> Scales | None:
    """The smaller of the tolerances from norms; None if underflow counts.

    The variance of a sum is that of its partial sums and, in proportion to its square, that of its stored result.
    """
    u = model.accumulator.u + OWN
    deviation = DEVIATIONS * u * math.sqrt((1 + terms / 2) / 3)
    choices = [
        (terms * u * row_norms, column_norms), (deviation * row_maxima, column_norms),
        (deviation * row_norms, column_maxima),
    ]  # fmt: skip
    rows, columns = min(choices, key=lambda both: float(np.sum(both[0])) * float(np.sum(both[1])))
    probable = DEVIATIONS * u * math.sqrt(terms / 9 + 1 / 3)
    least = [float(np.min(x, where=x > 0, initial=np.inf)) for x in (rows, columns)]
    if not least[0] * least[1] * 1e-6 > terms * model.quantum:
        return None
    return Scales(rows * OUTWARD, columns * OUTWARD, max(probable, model.u * (1 + terms * u)) * OUTWARD)


def norms(x: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """(norms, largest magnitudes) along an axis of a matrix in float64, without an array of its size."""
    lengths = np.sqrt(np.einsum("ij,ij->i" if axis else "ij,ij->j", x, x)) * (1 + x.shape[axis] * OWN)
    return lengths, np.maximum(np.max(x, axis=axis, initial=0.0), -np.min(x, axis=axis, initial=0.0))


def check_product(
    left: np.ndarray, right: np.ndarray, addend: np.ndarray | None, observed: np.ndarray, model: Model,
    tally: Tally | None = None,
) -> ArrayFinding | Tally:  # fmt: skip
    """Compare left @ right (+ addend) with what a framework returned, entry by entry.

    Args:
        left: Factor of shape (rows, n).
        right: Factor of shape (n, columns).
        addend: Array that broadcasts to the result, or None.
        observed: The framework's array.
        model: The rounding model.
        tally: Where to count what is found; a new one without it.

    Returns:
        The finding if every entry is within its tolerance; otherwise what was found, for another judgement.
    """
    tally = Tally() if tally is None else tally
    terms, columns = right.shape
    added = None if addend is None else np.broadcast_to(addend, observed.shape)
    wide = np.ascontiguousarray(left, dtype=np.float64)
    of_rows = norms(wide, 1)
    width = max(64, min(columns, FACTOR // max(terms, 1)))
    for across in parts(columns, width):
        factor = np.ascontiguousarray(right[:, across], dtype=np.float64)
        bounds = scales(terms, *of_rows, *norms(factor, 0), model)
        if bounds is None:
            tally.finite = False
            return tally
        for down in parts(len(left), max(1, BLOCK // factor.shape[1])):
            value = wide[down] @ factor
            tolerance = bounds.rows[down, None] * bounds.columns[None]
            tolerance += bounds.relative * np.abs(value)
            if added is not None:
                value += added[down, across]
                tolerance += 2 * model.u * (np.abs(value) + tolerance)
            tally.add(observed[down, across], value, tolerance, (down.start, across.start))
    return tally.finding() or tally


def worst_entry(left: np.ndarray, right: np.ndarray, observed: np.ndarray, tally: Tally, model: Model) -> ArrayFinding:
    """The finding of the entry of left @ right that is furthest beyond its tolerance, from its own terms."""
    i, j = tally.entry
    terms = np.asarray(left[i], dtype=np.float64) * np.asarray(right[:, j], dtype=np.float64)
    n, value, size = len(terms), math.fsum(terms), math.fsum(np.abs(terms))
    u = model.accumulator.u + OWN
    radius = n * (u * size + model.quantum) * (1 + u) + model.u * abs(value)
    variance = u**2 / 3 * (1 + n / 2) * math.fsum(terms**2) + value**2 * (n * u**2 / 9 + model.u**2 / 3)
    probable = DEVIATIONS * (math.sqrt(variance) + n * model.quantum)
    one = Expected(np.array([value]), np.array([radius * OUTWARD]), np.array([probable]))
    return judge(np.array([observed[i, j]], dtype=np.float64), {"stored": one})._replace(entry=tally.entry)


def parts(n: int, step: int) -> Iterator[slice]:
    """Slices of this length over n entries."""
    for start in range(0, n, step):
        yield slice(start, min(start + step, n))
