"""The box check of forward mode: each box on the framework's own input and its tangents.

It is the derivation's induction read inwards. Each box's c' must be what the box makes of the framework's own p and p'
and of the change of its weights, and E' what the error box makes of o and o'; so here, too, rounding does not compound,
and the guilty box is known at once. Directions are looked at together, on a first axis.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gradagree.adapters import Answer
from gradagree.arithmetics.dual import Dual, slope_of
from gradagree.arithmetics.model import Model
from gradagree.arithmetics.rounded import Rounded
from gradagree.boxcheck import BoxCheck
from gradagree.cases import Arrays, Case
from gradagree.checker.allowances import (
    ActivationBounds,
    ToleranceOptions,
    enclosing_radius,
    finite,
    overflow,
    underflow,
)
from gradagree.checker.kinks import error_slope, one_sided
from gradagree.comparison import ERROR_BOX, Comparison, classify
from gradagree.errorcheck import ErrorCheck
from gradagree.reference.graph import INPUTS
from gradagree.tangents import Moved, moved, parameter_tangents, push, pushed_own, weighed

WIDEST = ToleranceOptions(conditioning=True, ad_forms=True)


class ForwardCheck:
    """The box check of one answer with tangents."""

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
        """dE/do, on kinks with the whole jump."""
        found: Rounded = self.error.box(WIDEST).pull(self.error.o)
        o, t = self.error.plain_o, self.error.plain_targets
        for on in self.error.kinks.values():
            left, right = (error_slope(self.case.error, o, t, side) for side in ("left", "right"))
            found = found.widened(np.where(on, finite(np.abs(right - left)), 0.0))
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
        """A'(p), on kinks with the whole jump."""
        found = self.activation.derivative(self.p)
        for on in self.kinks.values():
            left, right = (one_sided(self.box.activation, self.plain_p, side) for side in ("left", "right"))
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
        """a' of whole rows from their derivatives and from what automatic differentiation of A may form.

        Within 8 u of sum_i |dA_j/dp_i p'_i|, and with the whole jump where a number's own slope has one; out of range
        where sums of p' itself, with which a program may begin, may not fit.
        """
        activation, plain = self.box.activation, self.plain_p
        p: Any = self.p
        formed = p._lift(slope_of(activation.value(Dual(p[None], tangents))))
        change = push(activation, p, tangents)
        if change is None:
            return formed
        sizes = push(Sizes(activation), plain, np.abs(tangents.value))
        lost = underflow(sizes, np.sum(plain**2, axis=-1, keepdims=True), self.model)
        beside = [push(activation, np.nextafter(plain, side), tangents.value) for side in (-np.inf, np.inf)]
        change = change.widened(finite(np.abs(beside[1] - beside[0])))
        radius = either(change, formed)
        whole = np.sum(np.abs(tangents.value) + tangents.radius, axis=-1, keepdims=True)
        largest = whole * np.maximum(1.0, np.max(np.abs(plain), axis=-1, keepdims=True))
        allowed = self.model.formula * self.model.u * finite(sizes) + finite(lost) + overflow(largest, 1.0, self.model)
        return Rounded(change.value, radius, self.model).widened(np.where(radius != 0, allowed, 0.0))


class Sizes:
    """An activation along the last axis that answers with |dA_j/dp_i|."""

    along_last_axis = True

    def __init__(self, activation: Any) -> None:
        self.activation, self.width = activation, activation.width

    def vjp(self, p: np.ndarray, delta_a: np.ndarray) -> Any:
        return np.abs(self.activation.vjp(p, delta_a))


def either(rounded: Rounded, formed: Rounded) -> np.ndarray:
    """The radius that encloses both; infinite where a number that is formed may not fit the dtype."""
    return np.where(np.isinf(formed.radius), np.inf, enclosing_radius(rounded, formed))


def placed(which: Sequence[int], found: Comparison) -> Comparison:
    """With the direction's number in place of its place among those that were looked at."""
    place, *rest = found.index or (0,)
    return replace(found, index=(which[place], *rest))
