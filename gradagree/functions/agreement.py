"""Arrays that agree with their reference, found some rows at a time; every other array is judged as a whole.

Most functions are right. Where the rows of the reference do not depend on each other, a few rows of it are evaluated
with their tolerances, compared, and forgotten, so that everything stays in the cache. What is not certainly right is
left to `gradagree.functions.judge`, which has all entries at once.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

from gradagree.adapters.functions import FunctionAdapter
from gradagree.arithmetic.duck import quiet
from gradagree.arithmetic.model import FORMATS, model
from gradagree.arithmetic.variance import Variance
from gradagree.checker.comparison import Extremes, error_ratios, extremes, merged
from gradagree.checker.verdict import Verdict
from gradagree.functions.batches import Batch, Evaluation, batch_of
from gradagree.functions.checked_call import CheckedCall, Enclosures, zero
from gradagree.functions.enclosures import (
    LADDER,
    add_in_any_order,
    interior,
    is_floating,
    lift,
    probable_tolerance,
    store,
)
from gradagree.functions.judge import LEAST_SHARE, ArrayFinding, are_finite
from gradagree.functions.ladder import Ladder
from gradagree.functions.opmath import OPMATH, storing_of
from gradagree.functions.parts import Part
from gradagree.functions.records import GradientRecord
from gradagree.functions.ties import notes_ties
from gradagree.reference.operations.primitive import noted_ties

T = TypeVar("T")


@dataclass(frozen=True)
class Agreements:
    """The findings of the arrays that agree, by their numbers.

    Args:
        outputs: Those of the outputs.
        gradients: Those of the gradients, by the number of the input.
        unchecked: For each gradient that may depend on ties, the entries whose tolerance is as large as they are.
        limits: For the outputs and for the gradients, the smallest and largest numbers that agree.
    """

    outputs: dict[int, ArrayFinding] = field(default_factory=dict)
    gradients: dict[int, ArrayFinding] = field(default_factory=dict)
    unchecked: dict[int, np.ndarray] = field(default_factory=dict)
    limits: tuple[dict[int, Limits], dict[int, Limits]] = field(default_factory=lambda: ({}, {}))

    def admit(self, outputs: Mapping[int, np.ndarray], gradients: Mapping[int, np.ndarray | None]) -> bool:
        """True if other results for the same numbers agree as well."""
        both = zip(self.limits, (outputs, gradients), strict=True)
        return all(k in limits and limits[k].hold(x) for limits, xs in both for k, x in xs.items())


def agreements_of(checked: CheckedCall, expected: Ladder[Enclosures], records: Sequence[GradientRecord]) -> Agreements:
    """The limits of the arrays that agree, from records of all outputs, then of all gradients."""
    found = Agreements()
    stores, count = checked.stores([*checked.outputs, *checked.call.arrays]), len(checked.parts(checked.outputs))
    by = [count + k for k, part in enumerate(checked.parts(checked.call.arrays)) if part.place in checked.call.wrt]
    for j, record in zip([*range(count), *by], records, strict=True):
        if record.verdict is not Verdict.AGREE or not record.arithmetic:
            continue
        outputs, gradients = expected[record.arithmetic]
        one = outputs[j] if j < count else gradients[j - count]
        if one is not None and one.value.shape == tuple(record.shape):
            limits = Limits(one.value.shape, stores[j])
            limits.put(..., one.value, np.abs(one.value), one.tolerance)
            found.limits[j >= count][j if j < count else j - count] = limits
    return found


class Limits:
    """The smallest and the largest numbers that agree, entry by entry, in the format of the array or a wider one.

    Args:
        shape: Shape of the array.
        dtype: Its dtype.
    """

    def __init__(self, shape: Sequence[int], dtype: str) -> None:
        kind = np.float64 if dtype == "float64" else np.float32
        self.rounding = float(np.finfo(kind).eps) / 2
        self.lowest, self.highest = np.empty(shape, kind), np.empty(shape, kind)

    def put(self, place: Any, value: np.ndarray, size: np.ndarray, tolerance: np.ndarray) -> None:
        """Write some rows; beyond the tolerance, only the number next to the value is admitted."""
        within = np.asarray(self.rounding * size)
        np.subtract(tolerance, within, out=within)
        np.maximum(within, 0.0, out=within)
        np.subtract(value, within, out=self.lowest[place], casting="same_kind")
        np.add(value, within, out=self.highest[place], casting="same_kind")

    def hold(self, x: np.ndarray | None) -> bool:
        if x is None or x.shape != self.lowest.shape:
            return False
        return bool(np.all(x >= self.lowest) and np.all(x <= self.highest))


class Numbers:
    """A real array of a framework, whose rows are converted when they are read.

    Args:
        adapter: The framework's adapter.
        x: The framework's array.
        part: The array itself, or a part of it.
    """

    def __init__(self, adapter: FunctionAdapter, x: Any, part: Part) -> None:
        self.adapter, self.part = adapter, part
        self.x = x if adapter.strided else adapter.to_numpy(x)  # where a slice is compiled, all rows are converted
        self.shape = tuple(x.shape)
        self.size = math.prod(self.shape)

    def __getitem__(self, place: Any) -> np.ndarray:
        rows = self.x[place]
        return np.asarray(self.part.of(self.adapter.to_numpy(rows) if self.adapter.strided else rows))


def numbers_of(checked: CheckedCall, arrays: Sequence[Any], like: Sequence[Any]) -> list[Numbers | None]:
    """The real arrays of a framework's arrays; None for those that are None."""
    found = [(arrays[part.place], part) for part in checked.parts(like)]
    return [None if x is None else Numbers(checked.adapter, x, part) for x, part in found]


class Doubt(Exception):
    """Something is not certainly right, and needs another judgement."""


def agreements(
    checked: CheckedCall, names: Iterable[str], seeds: Sequence[Any], values: Sequence[Any], gradients: Sequence[Any],
    keep: bool = False,
) -> Agreements:  # fmt: skip
    """The arrays that agree, where the rows of the reference do not depend on each other; all of them or none.

    Args:
        checked: The call.
        names: The arithmetics, the finest first.
        seeds: The cotangents of its outputs.
        values: Its outputs.
        gradients: Its gradients.
        keep: Keep the limits, for other results.
    """
    if checked.order > 1 or checked.written is not None or any(g is None for g in gradients):
        return Agreements()
    batch = batch_of(checked.graph, checked.inputs)
    if batch is None or len(batch.graph.outputs) < len(values):
        return Agreements()
    count = len(batch.graph.outputs)
    known = dict(zip(checked.call.wrt, gradients, strict=True))
    by = numbers_of(checked, [known.get(k) for k in range(len(checked.call.arrays))], checked.call.arrays)
    results = [*enumerate(numbers_of(checked, values, values)), *enumerate(by, count)]
    observed = {j: y for j, y in results if y is not None}
    shapes = [*(batch.graph.sizes[y.number] for y in batch.graph.outputs), *map(np.shape, checked.inputs)]
    if any(not y.size or y.shape != tuple(shapes[j]) for j, y in observed.items()):
        return Agreements()
    rungs = [name for name in names if name in (*LADDER, *OPMATH)]
    comparison = RowComparison(checked, rungs, batch, numbers_of(checked, seeds, checked.outputs), observed, keep)
    try:
        with quiet(), noted_ties() as comparison.noted:
            found = comparison.findings()
    except Doubt:
        return Agreements()
    return Agreements(*split(found, count), comparison.unchecked, split(comparison.limits, count))


def split(found: Mapping[int, T], count: int) -> tuple[dict[int, T], dict[int, T]]:
    """What belongs to the outputs, and to the gradients by the number of the input."""
    return {j: x for j, x in found.items() if j < count}, {j - count: x for j, x in found.items() if j >= count}


@dataclass
class RowComparison:
    """Arrays and the reference to compare them with. Numbers of arrays: the outputs, then the inputs' gradients.

    Args:
        checked: The call.
        rungs: The arithmetics, the finest first.
        batch: The reference.
        cotangents: One for each output, or None.
        observed: The arrays by their numbers.
        keep: Keep the limits.
    """

    checked: CheckedCall
    rungs: Sequence[str]
    batch: Batch
    cotangents: Sequence[Any]
    observed: dict[int, Numbers]
    keep: bool = False
    unchecked: dict[int, np.ndarray] = field(default_factory=dict)
    limits: dict[int, Limits] = field(default_factory=dict)
    noted: list[bool] = field(default_factory=list)

    def findings(self) -> dict[int, ArrayFinding]:
        """The findings of all arrays, in the finest arithmetic that explains each.

        Raises:
            Doubt: An array does not agree.
        """
        found = dict[int, ArrayFinding]()
        for name in self.rungs:
            remaining = [j for j in self.observed if j not in found]
            found.update(Rung(self, name, remaining, name == self.rungs[-1]).findings())
            if len(found) == len(self.observed):
                return found
        raise Doubt

    @functools.cached_property
    def stores(self) -> list[str]:
        """The dtypes of the arrays."""
        return self.checked.stores([*self.checked.outputs, *self.checked.call.arrays])

    @property
    def may_be_tied(self) -> bool:
        """True if a gradient of the rows that were evaluated last, or of what all rows share, may depend on ties."""
        return bool(self.noted) or not self.notes_ties

    @functools.cached_property
    def notes_ties(self) -> bool:
        return notes_ties(self.batch.graph)


class Rung:
    """The comparison in one arithmetic.

    Args:
        comparison: What is compared.
        name: The arithmetic.
        remaining: The numbers of the arrays.
        is_last: True if no coarser arithmetic follows.
    """

    def __init__(self, comparison: RowComparison, name: str, remaining: Sequence[int], is_last: bool) -> None:
        checked, batch = comparison.checked, comparison.batch
        self.comparison, self.batch, self.remaining, self.is_last = comparison, batch, remaining, is_last
        self.inside, self.last = interior(name, checked.dtype), model(checked.dtype)
        self.formats = [replace(model(one), flushes=self.inside.flushes) for one in comparison.stores]
        self.name, self.outside = name, set[int]()

    def findings(self) -> dict[int, ArrayFinding]:
        """The findings of the arrays that this arithmetic explains.

        Raises:
            Doubt: It is the last one and does not explain an array, or another judgement is needed.
        """
        with_variances = not self.is_sharp(self.compared(first=True, with_variances=False))
        found = self.compared(with_variances=with_variances)
        if not with_variances and not self.is_sharp(found):
            found = self.compared(with_variances=True)
        return {j: self.finding(j, merged(tiles)) for j, tiles in found.items() if j not in self.outside}

    def is_sharp(self, found: dict[int, list[Extremes]]) -> bool:
        """True if worst-case tolerances leave three quarters of the digits of the dtype."""
        part = FORMATS[self.comparison.checked.dtype].u ** 0.75
        return all(max(t.largest_tolerance for t in ts) <= part * max(t.largest for t in ts) for ts in found.values())

    def compared(self, with_variances: bool, first: bool = False) -> dict[int, list[Extremes]]:
        """The extremes of the parts of each array; of the first rows only, if wanted."""
        comparison, batch, inside = self.comparison, self.batch, self.inside
        known = Variance.stored(0.0, inside)
        storing = storing_of(batch.graph, self.name, inside, self.last)
        rounded = Evaluation(batch, lambda x: lift(x, inside) if is_floating(x) else x, add_in_any_order, storing)
        runs = [RowEvaluation(rounded, comparison)]
        if with_variances:
            given = Evaluation(batch, lambda x: known._lift(x) if is_floating(x) else x, None, storing)
            runs.append(RowEvaluation(given, comparison))
        found: dict[int, list[Extremes]] = {}
        divided = [j for j in self.remaining if self.is_divided(j)]
        for place in batch.slices():
            comparison.noted.clear()
            results = [run.rows(place) for run in runs]
            for j in [j for j in divided if j not in self.outside]:
                if (tile := self.tile(j, place, *(one[j] for one in results))) is not None:
                    found.setdefault(j, []).append(tile.below(place.start))
            if first:
                return found
            if divided and self.outside.issuperset(divided):
                return {}
        comparison.noted.append(True)
        results = [run.shared_gradients() for run in runs]
        for j in self.remaining:
            if j not in divided and (tile := self.tile(j, ..., *(one.get(j) for one in results))) is not None:
                found[j] = [tile]
        return found

    def is_divided(self, j: int) -> bool:
        count = len(self.batch.graph.outputs)
        return j < count or self.batch.divided[j - count] is True

    def tile(self, j: int, place: Any, rounded: Any, variance: Any = None) -> Extremes | None:
        """The extremes of some rows of an array; None if the arithmetic does not explain them.

        Raises:
            Doubt: It is the last arithmetic, only probabilistic tolerances are exceeded, or numbers are not finite.
        """
        observed = self.comparison.observed[j][place]
        one = zero(observed) if rounded is None else store(rounded, self.inside, self.formats[j])
        tolerance = one.radius
        if (probable := probable_tolerance(variance, self.last)) is not None:
            tolerance = np.fmin(tolerance, probable)
        if not are_finite(observed, one.value, tolerance):
            raise Doubt
        ratio, size = error_ratios(observed, one.value, tolerance), np.abs(one.value)
        found = extremes(ratio, observed, one.value, size, tolerance, self.checks(j, place, size, tolerance))
        if found.ratio <= 1:
            if self.comparison.keep:
                self.limits_of(j).put(place, one.value, size, tolerance)
            return found
        is_suspect = self.name not in OPMATH and not np.any(error_ratios(observed, one.value, one.radius) > 1)
        if self.is_last or is_suspect:  # samples of errors may admit what is suspect
            raise Doubt
        self.outside.add(j)
        return None

    def limits_of(self, j: int) -> Limits:
        comparison = self.comparison
        if j not in comparison.limits:
            comparison.limits[j] = Limits(comparison.observed[j].shape, comparison.stores[j])
        return comparison.limits[j]

    def checks(self, j: int, place: Any, size: np.ndarray, tolerance: np.ndarray) -> np.ndarray:
        """The entries that are checked: those above their tolerance, or without one."""
        count, comparison = len(self.batch.graph.outputs), self.comparison
        sharp = size > tolerance
        sharp = sharp if tolerance.all() else sharp | (tolerance == 0)
        if j >= count and comparison.may_be_tied:
            whole = comparison.unchecked.setdefault(j - count, np.zeros(comparison.observed[j].shape, dtype=bool))
            whole[place] = ~sharp
        return sharp

    def finding(self, j: int, found: Extremes) -> ArrayFinding:
        """The finding of an array whose entries are all within their tolerances.

        Raises:
            Doubt: It does not say enough.
        """
        sharpness = 0.0
        if found.largest_tolerance:
            sharpness = found.largest_tolerance / found.largest if found.largest else math.inf
        share = found.sharp / self.comparison.observed[j].size
        if not sharpness < 1 or share < LEAST_SHARE:
            raise Doubt
        at, numbers = tuple(map(int, found.place)), (found.expected, found.observed, found.tolerance)
        return ArrayFinding(Verdict.AGREE, self.name, found.ratio, sharpness, share, at, *numbers)


class RowEvaluation:
    """One evaluation of the reference, some rows after the other.

    Args:
        evaluation: How.
        comparison: The numbers.
    """

    def __init__(self, evaluation: Evaluation, comparison: RowComparison) -> None:
        self.evaluation, self.comparison = evaluation, comparison
        self.inputs = comparison.checked.inputs
        self.shared = evaluation.shared(self.inputs)

    def rows(self, place: slice) -> dict[int, Any]:
        """These rows of the outputs, then of the gradients, by the numbers of arrays."""
        outputs, gradients = self.evaluation.rows(self.inputs, self.comparison.cotangents, place, self.shared)
        return dict(enumerate([*outputs, *gradients]))

    def shared_gradients(self) -> dict[int, Any]:
        """After all rows, the gradients of what they share, by the numbers of arrays."""
        count = len(self.evaluation.batch.graph.outputs)
        return {count + k: g for k, g in enumerate(self.evaluation.shared_gradients(self.shared))}
