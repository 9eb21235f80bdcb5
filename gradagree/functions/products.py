"""Large matrix products: every entry against a tolerance from the norms of its row and column.

One product in float64 gives the expected values. A dot product of n stored numbers is off by at most
n u |x| |y| (Cauchy and Schwarz), and by independent roundings of partial sums with a standard deviation of at most
u sqrt((1 + n/2) / 3) max|x| |y|. Both bounds have a factor for each row and one for each column, so that no second
product is needed. An entry beyond them is judged again by itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from gradagree.arithmetic.model import OUTWARD, OWN, Model
from gradagree.arithmetic.variance import DEVIATIONS
from gradagree.checker.verdict import Verdict
from gradagree.functions.enclosures import Expected
from gradagree.functions.judge import LEAST_SHARE, ArrayFinding, judge

BLOCK = 1 << 17
"""Entries that are compared together; they fit a processor cache."""
FACTOR = 1 << 19
"""Entries of a block of the right factor."""
SUM = 1 << 20
"""Entries of a product that is added up over the rows of its right factor."""
LEAST_TOLERANCE = 1e-200
"""Stands for the tolerance 0 where something is divided by it."""
LEAST = 1 << 14
"""Products with fewer entries, factors included, are judged in the general way."""

Norms = tuple[np.ndarray, np.ndarray]
"""Norms and largest magnitudes of the rows or columns of a matrix."""


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

    def add_block(self, block: ProductBlock, relative: float, u: float, offset: tuple[int, int]) -> None:
        """Compare a block of a product, first with the part of its tolerance that is a row times a column.

        Where all entries are within that part, it is the tolerance that is reported.
        """
        value, addend, observed = block.value, block.addend, block.observed
        scaled = observed * block.inverse if addend is None else np.subtract(observed, addend, dtype=np.float64)
        if addend is not None:
            scaled *= block.inverse
        error = np.subtract(value, scaled)
        np.abs(error, out=error)
        of_rows = np.max(error, axis=1)
        largest = max(float(np.max(observed)), -float(np.min(observed)))
        if not np.all(of_rows <= block.rows) or not math.isfinite(largest):
            value /= block.inverse
            tolerance = block.rows[:, None] * block.columns[None]
            tolerance += relative * np.abs(value)
            if addend is not None:
                value += addend
                tolerance += 2 * u * (np.abs(value) + tolerance)
            self.add(observed, value, tolerance, offset)
            return
        self.entries += observed.size
        self.largest = max(self.largest, largest)
        self.blunt = max(self.blunt, float(np.max(block.rows)) * float(np.max(block.columns)))
        empty = np.count_nonzero(block.rows == 0), np.count_nonzero(block.columns == 0)
        self.checked += observed.size - (len(value) - empty[0]) * (value.shape[1] - empty[1])  # exactly zero
        size = np.abs(scaled, out=scaled) if addend is None else np.abs(observed) * block.inverse
        self.checked += int(np.count_nonzero(size > block.rows[:, None]))
        ratios = of_rows / np.maximum(block.rows, LEAST_TOLERANCE)
        row = int(np.argmax(ratios))
        if ratios[row] > self.worst:
            self.worst = float(ratios[row])
            self.entry = (row + offset[0], int(np.argmax(error[row])) + offset[1])

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


class ProductBlock(NamedTuple):
    """Some rows and columns of a product, with the tolerance from norms.

    value: Without the addend, divided by the tolerances of the columns; overwritten. rows: The tolerances of the rows.
    inverse, columns: Those of the columns, inverse and as they are. addend: What is added to the product, or None.
    """

    value: np.ndarray
    addend: np.ndarray | None
    observed: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    inverse: np.ndarray


def scales(
    terms: int, row_norms: Any, row_maxima: Any, column_norms: Any, column_maxima: Any, model: Model
) -> Scales | None:
    """The smaller of the tolerances from norms; None if underflow counts.

    The variance of a sum is that of its partial sums and, in proportion to its square, that of its stored result.
    """
    u = model.accumulator.u + 4 * OWN
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


def norms(x: np.ndarray, axis: int, source: np.ndarray | None = None) -> Norms:
    """(norms, largest magnitudes) along an axis of a matrix in float64, without an array of its size.

    source: The same numbers in the dtype that they come in.
    """
    lengths = np.sqrt(np.einsum("ij,ij->i" if axis else "ij,ij->j", x, x)) * (1 + x.shape[axis] * OWN)
    return lengths, maxima(x if source is None else source, axis)


def maxima(x: np.ndarray, axis: int) -> np.ndarray:
    """The largest magnitudes along an axis in float64, without an array of the size of all."""
    largest, least = np.max(x, axis=axis, initial=0.0), np.min(x, axis=axis, initial=0.0)
    return np.maximum(largest, -least).astype(np.float64)


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
    added = None if addend is None else np.broadcast_to(addend, observed.shape)
    wide = np.asarray(left, dtype=np.float64, order="K")
    for slab in slabs(wide, right, norms(wide, 1, left), model):
        if slab is None:
            tally.finite = False
            return tally
        check_slab(slab, added, observed, model, tally)
    return tally.finding() or tally


class ProductSlab(NamedTuple):
    """Some columns of a product: which, their tolerances, the inverse of those, and the product of some rows.

    The product is divided by the tolerances of the columns.
    """

    across: slice
    bounds: Scales
    inverse: np.ndarray
    product: Callable[[slice], np.ndarray]


def check_slab(slab: ProductSlab, addend: np.ndarray | None, observed: np.ndarray, model: Model, tally: Tally) -> None:
    """Compare some columns of a product with what a framework returned, a few rows at a time."""
    across, bounds, inverse, product = slab
    addend = None if addend is None else np.broadcast_to(addend, observed.shape)
    for down in parts(len(bounds.rows), max(1, BLOCK // len(inverse))):
        here = None if addend is None else addend[down, across]
        block = ProductBlock(product(down), here, observed[down, across], bounds.rows[down], bounds.columns, inverse)
        tally.add_block(block, bounds.relative, model.u, (down.start, across.start))


def slabs(left: np.ndarray, right: np.ndarray, of_rows: Norms, model: Model) -> Iterator[ProductSlab | None]:
    """A product of matrices in slabs of columns; None where underflow counts.

    The right factor is read in the order in which it lies in memory.
    """
    terms, columns = right.shape
    if right.size > FACTOR and right.strides[1] == right.itemsize and len(left) * columns <= SUM:
        yield sum_over_rows(left, right, of_rows, model)
        return
    for across in parts(columns, max(64, min(columns, FACTOR // max(terms, 1)))):
        factor = np.array(right[:, across], dtype=np.float64, order="K")
        bounds = scales(terms, *of_rows, *norms(factor, 0, right[:, across]), model)
        if bounds is None:
            yield None
            return
        inverse = inverse_of(bounds.columns)
        factor *= inverse
        yield ProductSlab(across, bounds, inverse, lambda down, factor=factor: left[down] @ factor)  # type: ignore[misc]


def inverse_of(tolerances: np.ndarray) -> np.ndarray:
    found: np.ndarray = 1 / np.maximum(tolerances, LEAST_TOLERANCE)
    return found


def whole_slab(left: np.ndarray, right: np.ndarray, bounds: Scales) -> ProductSlab:
    """All columns of a right factor in float64."""
    return slab_of(bounds, lambda down: left[down] @ right)


def slab_of(bounds: Scales, product: Callable[[slice], np.ndarray]) -> ProductSlab:
    """All columns of a product; product makes an array of some rows, not divided by any tolerance."""
    inverse = inverse_of(bounds.columns)

    def divided(down: slice) -> np.ndarray:
        value = product(down)
        value *= inverse
        return value

    return ProductSlab(slice(0, len(inverse)), bounds, inverse, divided)


def sum_over_rows(left: np.ndarray, right: np.ndarray, of_rows: Norms, model: Model) -> ProductSlab | None:
    """A product with few entries, added up over some rows of the right factor at a time."""
    terms, columns = right.shape
    value, squares, largest = np.zeros((len(left), columns)), np.zeros(columns), np.zeros(columns)
    for some in parts(terms, max(1, FACTOR // columns)):
        factor = np.array(right[some], dtype=np.float64)
        squares += np.einsum("ij,ij->j", factor, factor)
        largest = np.maximum(largest, maxima(right[some], 0))
        value += left[:, some] @ factor
    bounds = scales(terms, *of_rows, np.sqrt(squares) * (1 + terms * OWN), largest, model)
    if bounds is None:
        return None
    inverse = inverse_of(bounds.columns)
    value *= inverse
    return ProductSlab(slice(0, columns), bounds, inverse, lambda down: value[down])


def worst_entry(left: np.ndarray, right: np.ndarray, observed: np.ndarray, tally: Tally, model: Model) -> ArrayFinding:
    """The finding of the entry of left @ right that is furthest beyond its tolerance, from its own terms."""
    i, j = tally.entry
    terms = np.asarray(left[i], dtype=np.float64) * np.asarray(right[:, j], dtype=np.float64)
    n, value, size = len(terms), math.fsum(terms), math.fsum(np.abs(terms))
    u = model.accumulator.u + OWN
    radius = n * (u * size + model.quantum) * (1 + u) + model.u * abs(value)
    equal = int(np.unique(terms[terms != 0], return_counts=True)[1].max(initial=1))
    partial = equal * (1 + n / 2) * math.fsum(terms**2)  # sums to which equal numbers are added have equal roundings
    variance = u**2 / 3 * partial + value**2 * (equal * n * u**2 / 9 + model.u**2 / 3)
    probable = DEVIATIONS * (math.sqrt(variance) + n * model.quantum)
    one = Expected(np.array([value]), np.array([radius * OUTWARD]), np.array([probable]))
    return judge(np.array([observed[i, j]], dtype=np.float64), {"stored": one})._replace(entry=tally.entry)


def parts(n: int, step: int) -> Iterator[slice]:
    """Slices of this length over n entries."""
    for start in range(0, n, step):
        yield slice(start, min(start + step, n))
