"""The check of forward mode: the jvp of each node, and which node is behind a failed end-to-end comparison."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gradagree.adapters import Answer
from gradagree.adapters.problem import tangent_directions
from gradagree.arithmetic.model import Model
from gradagree.arithmetic.rounded import Rounded
from gradagree.cases.case import Arrays, Case, problem_of
from gradagree.checker.allowances import TangentOptions
from gradagree.checker.comparison import (
    BLUNT,
    Comparison,
    Likely,
    classify,
    compare_within,
    observed_array,
    sharpened,
)
from gradagree.checker.dense_tangents import ParameterTangents
from gradagree.checker.exact import Enclosure, confirmed
from gradagree.checker.kinks import Kinks
from gradagree.checker.reverse import node_check
from gradagree.checker.verdict import Verdict
from gradagree.reference.graph import INPUTS, Kind, Quantity


class ForwardCheck:
    """The per-operation check of one answer with tangents."""

    def __init__(self, case: Case, arrays: Arrays, answer: Answer, model: Model) -> None:
        self.case, self.arrays, self.answer = case, arrays, answer
        self.checks = [node_check(node, answer, model) for node in case.nodes(arrays)]

    @functools.cached_property
    def values(self) -> list[Comparison]:
        """Each node's value, the loss last."""
        return [check.forward() for check in self.checks]

    def along(self, which: Sequence[int]) -> Iterator[Comparison]:
        """Each node's tangents in some of the directions; an index begins with the direction's number."""
        changes = tangent_directions(problem_of(self.case, self.arrays), len(self.answer.along), which)
        for check in self.checks:
            node = check.node
            given = changes[INPUTS] if node.input == INPUTS else self.answer.tangents[node.input][list(which)]
            moved = ParameterTangents.of(node, changes)
            observed = observed_array(self.answer, node.tangent())
            assert observed is not None
            expect = functools.partial(check.expected_tangents, given, moved)
            likely = functools.partial(check.likely_tangents, given, moved)
            found = compare_tangents(node.tangent(), observed[list(which)], expect, check.kinks, likely)
            doubtful = tuple(one._replace(place=among(which, one.place)) for one in found.doubtful)
            yield replace(found, index=among(which, found.index), doubtful=doubtful)


def compare_tangents(
    quantity: Quantity,
    observed: np.ndarray,
    expect: Callable[[TangentOptions], Rounded],
    kinks: Kinks,
    likely: Likely = tuple,
) -> Comparison:
    """Compare with each tolerance in turn, from the narrowest; the conditioning scale explains lost digits only."""
    for how in TangentOptions.all(kinks):
        narrow = expect(how.without_conditioning)
        if how.bounds.conditioning:
            widest, underflow = functools.partial(expect, how), functools.partial(expect, how.with_underflow)
            found = compare_within(quantity, observed, narrow, widest, underflow)
        else:
            found = classify(quantity, observed, narrow)
        if found.verdict is Verdict.AGREE or not (how.bounds.own_formula or found.verdict.fails):
            break
    return sharpened(found, observed, likely)


def among(which: Sequence[int], index: tuple[int, ...]) -> tuple[int, ...]:
    """The index among all directions of one among these directions; the first of them for no index."""
    place, *rest = index or (0,)
    return (which[place], *rest)


MAX_STACKED_TANGENTS = 1 << 20
"""Directions that are computed together, times the number of parameters or of entries of a layer's values."""
BY_NODES = "operation by operation, on the framework's own tangents"
VAGUE = (Verdict.OUT_OF_RANGE, Verdict.UNDECIDED)
"""Verdicts that a comparison takes over from any node behind it."""
Finding = tuple[Comparison, Enclosure | None]
"""The comparison of a faulty node, and the exact value of its entry."""


@dataclass(frozen=True)
class Localization:
    """Per-node checks behind end-to-end comparisons, from an answer with tangents and one without."""

    case: Case
    arrays: Arrays
    tapped: Answer
    untapped: Answer
    model: Model

    def __call__(self, comparisons: Sequence[Comparison]) -> tuple[list[Comparison], Finding | None]:
        """The comparisons, and the faulty node with the exact value there, or None.

        A suspect, undecided or out-of-range end-to-end result takes the verdict of its nodes in all directions if the
        run without taps gave the same bits. One that agrees within a blunt tolerance takes theirs if it is sharper.
        Raises InternalError where the reference is proved wrong.
        """
        found = list(comparisons)
        if not self.tapped.tangents:
            return found, None
        check = ForwardCheck(self.case, self.arrays, self.tapped, self.model)
        for k, open in enumerate(found):
            sharp = open.verdict is Verdict.AGREE and open.sharpness <= BLUNT
            if sharp or open.reason:  # an array that is missing, or of another shape, stays so
                continue
            behind = []
            for one in self._behind(check, open):
                behind.append(one)
                finding = self._finding(one)
                if finding is not None:
                    return [*found, finding[0]], finding
            if behind and self._same(open):
                closer = by_nodes(open, behind)
                if open.verdict is not Verdict.AGREE or closer.sharpness < open.sharpness:
                    found[k] = closer
        return found, None

    def _behind(self, check: ForwardCheck, open: Comparison) -> Iterator[Comparison]:
        """All values, and all tangents in the directions of a comparison."""
        directions = self.directions(open)
        if open.quantity.kind is Kind.VALUE or directions:
            yield from check.values
        entries = self.case.batch * max(self.case.widths)
        together = max(1, MAX_STACKED_TANGENTS // max(self.case.size, entries))
        for start in range(0, len(directions), together):
            yield from check.along(directions[start : start + together])

    def _finding(self, found: Comparison) -> Finding | None:
        if not (found.verdict.fails or found.doubtful):
            return None
        _, worst, proof = confirmed(self.case, self.arrays, self.tapped, [found])
        return (worst, proof) if worst.verdict.fails else None

    def directions(self, open: Comparison) -> list[int]:
        """The directions of a comparison, the worst one first; none if they were left out."""
        if open.quantity.kind is Kind.VALUE:
            return []
        first, size = self._place(open)
        shape = np.asarray(observed_array(self.untapped, open.quantity)).shape
        worst = int(np.ravel_multi_index(open.index, shape)) if open.index else 0
        return [first + k for k in (worst, *(k for k in range(size) if k != worst))] if first >= 0 else []

    def _place(self, open: Comparison) -> tuple[int, int]:
        """The number of the first direction, below 0 if it was left out, and how many there are."""
        if open.quantity.kind is Kind.TANGENT:
            return 0, len(self.tapped.along)
        problem = problem_of(self.case, self.arrays)
        leaves = {INPUTS: problem.inputs, **problem.parameters}
        sizes = [x.size for x in leaves.values()]
        ends = np.cumsum([0, *sizes]) - (sum(sizes) - len(self.tapped.along))
        place = list(leaves).index(open.quantity.array)
        return int(ends[place]), sizes[place]

    def _same(self, open: Comparison) -> bool:
        """True if its numbers equal those of the run with taps, bit for bit."""
        if open.quantity.kind is Kind.VALUE:
            return np.array_equal(self.tapped.E, self.untapped.E, equal_nan=True)
        first, size = self._place(open)
        tangents = self.tapped.along[first : first + size] if first >= 0 else ()
        observed = np.ravel(np.asarray(observed_array(self.untapped, open.quantity)))
        return np.array_equal(observed, tangents, equal_nan=True)


def by_nodes(open: Comparison, behind: Sequence[Comparison]) -> Comparison:
    """An end-to-end comparison with the least certain verdict and the largest relative tolerance of its nodes."""
    found = {one.verdict for one in behind}
    verdict = next((vague for vague in (*VAGUE, Verdict.INACCURATE) if vague in found), Verdict.AGREE)
    sharpness = max(one.sharpness for one in behind if one.is_gradient or not open.is_gradient)
    sharp = open.entries * (verdict not in VAGUE)
    return replace(open, verdict=verdict, sharpness=sharpness, sharp=sharp, reason=BY_NODES)
