"""What the probable check of forward mode cannot pass, judged box by box on the framework's own tangents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gradagree.adapters import Answer
from gradagree.adapters.problem import parameters
from gradagree.arithmetics.model import Model
from gradagree.cases import Arrays, Case, problem_of
from gradagree.comparison import Comparison, array_name, derivative
from gradagree.conviction import convicted
from gradagree.forwardcheck import ForwardCheck
from gradagree.reference.graph import INPUTS
from gradagree.truth import Enclosure
from gradagree.verdict import Verdict

TOGETHER = 1 << 20
"""Weights, times directions, that are pushed together."""
BY_BOXES = "box by box, on the framework's own tangents"
VAGUE = (Verdict.OUT_OF_RANGE, Verdict.UNDECIDED)
"""What is said of an array if it is said of a box that made it."""


@dataclass(frozen=True)
class Clearance:
    """One answer of forward mode, with tangents and without."""

    case: Case
    arrays: Arrays
    tapped: Answer
    untapped: Answer
    model: Model

    def __call__(
        self, comparisons: Sequence[Comparison]
    ) -> tuple[list[Comparison], tuple[Comparison, Enclosure | None] | None]:
        """The comparisons, and the box that is guilty with what is true there, or None.

        What is suspect, undecided or out of range end to end is as its boxes are, in all its directions, if the very
        same numbers came out without taps. Raises InternalError where the reference is proved wrong.
        """
        judged = list(comparisons)
        if not self.tapped.tangents:
            return judged, None
        check = ForwardCheck(self.case, self.arrays, self.tapped, self.model)
        for k, open in enumerate(judged):
            if open.verdict is Verdict.AGREE or open.reason:  # an array that is missing, or of another shape, stays so
                continue
            seen = []
            for found in self._boxes(check, open):
                seen.append(found)
                guilty = self._guilty(found)
                if guilty is not None:
                    return [*judged, guilty[0]], guilty
            if seen and self._same(open):
                judged[k] = by_boxes(open, seen)
        return judged, None

    def _boxes(self, check: ForwardCheck, open: Comparison) -> Iterator[Comparison]:
        """The values on the way, and the tangents in all directions that the numbers were pushed along."""
        directions = self.directions(open)
        if open.part == "E" or directions:
            yield from check.values
        together = max(1, TOGETHER // self.case.size)
        for start in range(0, len(directions), together):
            yield from check.along(directions[start : start + together])

    def _guilty(self, found: Comparison) -> tuple[Comparison, Enclosure | None] | None:
        if not found.verdict.fails:
            return None
        _, guilty, proof = convicted(self.case, self.arrays, self.tapped, [found])
        return (guilty, proof) if guilty.verdict.fails else None

    def directions(self, open: Comparison) -> list[int]:
        """Those that the numbers of a comparison were pushed along, the worst one first; none if they were left out."""
        if open.part == "E":
            return []
        first, size = self._place(open)
        shape = np.shape(self._numbers(open))
        worst = int(np.ravel_multi_index(open.index, shape)) if open.index else 0
        return [first + k for k in (worst, *(k for k in range(size) if k != worst))] if first >= 0 else []

    def _place(self, open: Comparison) -> tuple[int, int]:
        """The number of the first direction, below 0 if it was left out, and how many there are."""
        if open.part == "E'":
            return 0, len(self.tapped.along)
        problem = problem_of(self.case, self.arrays)
        leaves = {INPUTS: problem.inputs, **parameters(problem)}
        sizes = [x.size for x in leaves.values()]
        ends = np.cumsum([0, *sizes]) - (sum(sizes) - len(self.tapped.along))
        place = list(leaves).index(array_name(open.box, open.part))
        return int(ends[place]), sizes[place]

    def _numbers(self, open: Comparison) -> Any:
        """What was judged."""
        return self.untapped.along if open.part == "E'" else derivative(self.untapped, open.box, open.part)

    def _same(self, open: Comparison) -> bool:
        """Whether its numbers are those that came out with taps, bit for bit."""
        if open.part == "E":
            return np.array_equal(self.tapped.E, self.untapped.E, equal_nan=True)
        first, size = self._place(open)
        pushed = self.tapped.along[first : first + size] if first >= 0 else ()
        return np.array_equal(np.ravel(self._numbers(open)), pushed, equal_nan=True)


def by_boxes(open: Comparison, seen: Sequence[Comparison]) -> Comparison:
    """A comparison as sharp as the vaguest box behind it."""
    verdict = next((vague for vague in VAGUE if any(one.verdict is vague for one in seen)), Verdict.AGREE)
    worst = max(seen, key=lambda one: one.sharpness)
    sharp = open.entries * (verdict is Verdict.AGREE)
    return replace(open, verdict=verdict, sharpness=worst.sharpness, sharp=sharp, reason=BY_BOXES)
