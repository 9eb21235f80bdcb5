"""Jvp of each node; localisation of a suspect."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gradagree.adapters import Answer
from gradagree.arithmetic.dual import Dual, slope_of
from gradagree.arithmetic.model import Model
from gradagree.arithmetic.rounded import Rounded
from gradagree.cases.case import Arrays, Case, problem_of
from gradagree.checker.allowances import (
    ActivationBounds,
    ToleranceOptions,
    enclosing_radius,
    finite_or_zero,
    overflow_allowance,
    underflow_allowance,
)
from gradagree.checker.comparison import ERROR_BOX, Comparison, array_name, classify, derivative
from gradagree.checker.exact import Enclosure, convicted
from gradagree.checker.kinks import one_sided_derivative, one_sided_loss_gradient
from gradagree.checker.reverse import BoxCheck, ErrorCheck
from gradagree.checker.tangents import Moved, moved, parameter_tangents, push, pushed_own, weighed
from gradagree.checker.verdict import Verdict
from gradagree.reference.graph import INPUTS

# The box check of forward mode: each box on the framework's own input and its tangents
# -------------------------------------------------------------------------------------


WIDEST = ToleranceOptions(conditioning=True, ad_forms=True)


class ForwardCheck:
    """The per-operation check of one answer with tangents."""

    def __init__(self, case: Case, arrays: Arrays, answer: Answer, model: Model) -> None:
        self.case, self.arrays, self.answer, self.model = case, arrays, answer, model
        *inner, loss = case.nodes(arrays)
        self.boxes = [TangentCheck(node, answer, model) for node in inner]
        self.error = ErrorCheck(loss, answer, model)

    @functools.cached_property
    def values(self) -> list[Comparison]:
        """Each c, and E."""
        return [*(one.forward() for one in self.boxes), self.error.E()]

    def along(self, which: Sequence[int]) -> Iterator[Comparison]:
        """Each c', and E', in some of the directions; an index begins with the direction's number."""
        changes = moved(self.case, self.arrays, len(self.answer.along), which)
        given = changes[INPUTS]
        for one in self.boxes:
            observed = self.answer.tangents[one.node.output][list(which)]
            yield placed(
                which, classify(one.number, "c'", observed, one.pushed(given, parameter_tangents(one.node, changes)))
            )
            given = observed
        slopes = np.array(self.answer.along)[list(which)]
        yield placed(which, classify(ERROR_BOX, "E'", slopes, self._pushed_error(given)))

    @functools.cached_property
    def _sensitivity(self) -> Rounded:
        """dE/do; on kinks with the complete jump."""
        found: Rounded = self.error.box(WIDEST).pull(self.error.o)
        o, t = self.error.plain_o, self.error.plain_targets
        for on in self.error.kinks.values():
            left, right = (one_sided_loss_gradient(self.case.error, o, t, side) for side in ("left", "right"))
            found = found.widened(np.where(on, finite_or_zero(np.abs(right - left)), 0.0))
        return found

    def _pushed_error(self, given: np.ndarray) -> Rounded:
        """E' from dE/do, and from what automatic differentiation of E may form."""
        o: Any = self.error.o
        tangents = Rounded.handed(given, self.model)
        with np.errstate(all="ignore"):
            slope: Rounded = np.sum(self._sensitivity * tangents, axis=(-2, -1))
            formed = o._lift(slope_of(self.case.error.value(Dual(o[None], tangents), self.error.box(WIDEST).t)))
        return Rounded(slope.value, either(slope, formed), self.model)


class TangentCheck(BoxCheck):
    """One box on the framework's own p and p'."""

    @functools.cached_property
    def activation(self) -> ActivationBounds:
        judged: ActivationBounds = WIDEST.bounds(self.box.activation)
        return judged

    @functools.cached_property
    def activated(self) -> Rounded:
        """A(p)."""
        return self.p._lift(self.activation.value(self.p))

    @functools.cached_property
    def slope(self) -> Rounded:
        """A'(p); on kinks with the complete jump."""
        found = self.activation.derivative(self.p)
        for on in self.kinks.values():
            left, right = (one_sided_derivative(self.box.activation, self.plain_p, side) for side in ("left", "right"))
            found = found.widened(np.where(on, np.abs(right - left), 0.0))
        return found

    def pushed(self, given: np.ndarray, changes: Moved) -> Rounded:
        """c' of tangents p'."""
        tangents = (Rounded.stored if self.node.input == INPUTS else Rounded.handed)(given, self.model)
        with np.errstate(all="ignore"):
            if self.box.activation.along_last_axis:
                change: Any = self._along_rows(tangents)
            else:
                change = self.activation.times(self.slope, self.p, tangents)
            if changes.own:
                change = change + pushed_own(self.activation, self.p, changes.own)
            lift = lambda x: Rounded.stored(x, self.model)  # noqa: E731
            found: Rounded = weighed(self.rounded, self.activated, change, changes, lift)
        return found

    def _along_rows(self, tangents: Rounded) -> Rounded:
        """a' of rows, from their derivatives and from derivatives as automatic differentiation of A may compute them.

        Within 8 u of sum_i |dA_j/dp_i p'_i|, and with the complete jump at kinks; out of range where sums of p' itself,
        with which a program may begin, may overflow.
        """
        activation, plain = self.box.activation, self.plain_p
        p: Any = self.p
        formed = p._lift(slope_of(activation.value(Dual(p[None], tangents))))
        change = push(activation, p, tangents)
        if change is None:
            return formed
        sizes = push(Sizes(activation), plain, np.abs(tangents.value))
        lost = underflow_allowance(sizes, np.sum(plain**2, axis=-1, keepdims=True), self.model)
        beside = [push(activation, np.nextafter(plain, side), tangents.value) for side in (-np.inf, np.inf)]
        change = change.widened(finite_or_zero(np.abs(beside[1] - beside[0])))
        radius = either(change, formed)
        whole = np.sum(np.abs(tangents.value) + tangents.radius, axis=-1, keepdims=True)
        largest = whole * np.maximum(1.0, np.max(np.abs(plain), axis=-1, keepdims=True))
        allowed = (
            self.model.formula * self.model.u * finite_or_zero(sizes)
            + finite_or_zero(lost)
            + overflow_allowance(largest, 1.0, self.model)
        )
        return Rounded(change.value, radius, self.model).widened(np.where(radius != 0, allowed, 0.0))


class Sizes:
    """An activation along the last axis that returns |dA_j/dp_i|."""

    along_last_axis = True

    def __init__(self, activation: Any) -> None:
        self.activation, self.width = activation, activation.width

    def vjp(self, p: np.ndarray, delta_a: np.ndarray) -> Any:
        return np.abs(self.activation.vjp(p, delta_a))


def either(rounded: Rounded, formed: Rounded) -> np.ndarray:
    """The radius that encloses both; infinite where an intermediate may overflow the dtype."""
    return np.where(np.isinf(formed.radius), np.inf, enclosing_radius(rounded, formed))


def placed(which: Sequence[int], found: Comparison) -> Comparison:
    """With the number of the direction instead of its index among the checked ones."""
    place, *rest = found.index or (0,)
    return replace(found, index=(which[place], *rest))


# What the probable check of forward mode cannot pass, judged box by box on the framework's own tangents
# ------------------------------------------------------------------------------------------------------


TOGETHER = 1 << 20
"""Weights, times directions, that are pushed together."""
BY_BOXES = "box by box, on the framework's own tangents"
VAGUE = (Verdict.OUT_OF_RANGE, Verdict.UNDECIDED)
"""What is said of an array if it is said of a box that made it."""


@dataclass(frozen=True)
class Clearance:
    """A forward-mode answer with tangents and one without."""

    case: Case
    arrays: Arrays
    tapped: Answer
    untapped: Answer
    model: Model

    def __call__(
        self, comparisons: Sequence[Comparison]
    ) -> tuple[list[Comparison], tuple[Comparison, Enclosure | None] | None]:
        """The comparisons, and the faulty operation with the exact value there, or None.

        A suspect, undecided or out-of-range end-to-end result takes the verdict of its operations in all directions if
        the run without taps gave the same bits. Raises InternalError where the reference is proved wrong.
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
        """The intermediate values and their tangents in all directions."""
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
        """The directions of a comparison, the worst one first; none if they were left out."""
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
        leaves = {INPUTS: problem.inputs, **problem.parameters}
        sizes = [x.size for x in leaves.values()]
        ends = np.cumsum([0, *sizes]) - (sum(sizes) - len(self.tapped.along))
        place = list(leaves).index(array_name(open.box, open.part))
        return int(ends[place]), sizes[place]

    def _numbers(self, open: Comparison) -> Any:
        """The compared numbers."""
        return self.untapped.along if open.part == "E'" else derivative(self.untapped, open.box, open.part)

    def _same(self, open: Comparison) -> bool:
        """True if its numbers equal those of the run with taps, bit for bit."""
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
