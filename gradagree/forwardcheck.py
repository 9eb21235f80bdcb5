"""The box check of forward mode: each box on the framework's own input and its tangent.

It is the derivation's induction read inwards. Each box's c' must be what the box makes of the framework's own p and p'
and of the change of its weights, and E' what the error box makes of o and o'; so here, too, rounding does not compound,
and the guilty box is known at once.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from gradagree.adapters import Answer
from gradagree.arithmetics.dual import Dual, slope_of
from gradagree.arithmetics.model import Model
from gradagree.arithmetics.rounded import Rounded
from gradagree.boxcheck import BoxCheck, case_boxes
from gradagree.cases import Arrays, Case
from gradagree.comparison import ERROR_BOX, Comparison, Tolerant, classify
from gradagree.errorcheck import ErrorCheck
from gradagree.judged import finite, wider
from gradagree.kinks import error_slope, one_sided
from gradagree.natural import underflow
from gradagree.tangents import Moved, direction, push, weighed

__all__ = ["ForwardCheck"]

WIDEST = Tolerant(natural=True, formed=True)


class ForwardCheck:
    """The box check of one answer with tangents."""

    def __init__(self, case: Case, arrays: Arrays, answer: Answer, model: Model) -> None:
        self.case, self.arrays, self.answer, self.model = case, arrays, answer, model
        self.boxes = [TangentCheck(k, box, answer, model) for k, box in enumerate(case_boxes(case, arrays), 1)]
        self.error = ErrorCheck(case.error, arrays.targets, answer, model)

    def values(self) -> Iterator[Comparison]:
        """Each c, and E."""
        yield from (one.forward() for one in self.boxes)
        yield self.error.E()

    def along(self, which: int) -> Iterator[Comparison]:
        """Each c', and E', in one of the directions."""
        given, moved = direction(self.case, self.arrays, len(self.answer.along), which)
        for one, own, tangents in zip(self.boxes, moved, self.answer.tangents, strict=True):
            yield placed(which, classify(one.number, "c'", tangents[which], one.pushed(given, own)))
            given = tangents[which]
        observed = np.asarray(self.answer.along[which])
        yield placed(which, classify(ERROR_BOX, "E'", observed, self._pushed_error(given)))

    @functools.cached_property
    def _sensitivity(self) -> Rounded:
        """dE/do, on kinks with the whole jump."""
        with np.errstate(all="ignore"):
            found: Rounded = self.error.box(WIDEST).pull(self.error.o)
            o, t = self.error.plain_o, self.error.plain_targets
            for on in self.error.kinks.values():
                left, right = (error_slope(self.case.error, o, t, side) for side in ("left", "right"))
                found = found.widened(np.where(on, finite(np.abs(right - left)), 0.0))
        return found

    def _pushed_error(self, given: np.ndarray) -> Rounded:
        """E' from dE/do, and from what automatic differentiation of E may form."""
        o, tangent = self.error.o, Rounded.handed(given, self.model)
        with np.errstate(all="ignore"):
            slope: Rounded = np.sum(self._sensitivity * tangent, axis=(-2, -1))
            formed = o._lift(slope_of(self.case.error.value(Dual(o, tangent), self.error.box(WIDEST).t)))
        return Rounded(slope.value, either(slope, formed), self.model)


class TangentCheck(BoxCheck):
    """One box on the framework's own p and p'."""

    @functools.cached_property
    def activated(self) -> Rounded:
        """A(p)."""
        with np.errstate(all="ignore"):
            return self.p._lift(WIDEST.activation(self.box.activation).value(self.p))

    def pushed(self, given: np.ndarray, moved: Moved) -> Rounded:
        """c' of the tangent p'."""
        tangent = (Rounded.stored if self.number == 1 else Rounded.handed)(given, self.model)
        with np.errstate(all="ignore"):
            change = self._activated(tangent)
            for name, own in zip(self.box.activation.own_weights, moved.own, strict=True):
                change = change + WIDEST.activation(self.box.activation).by(name, self.p) * own
            found: Rounded = weighed(
                self.rounded, self.activated, change, moved, lambda x: Rounded.stored(x, self.model)
            )
        return found

    def _activated(self, tangent: Rounded) -> Any:
        """a' = A'(p) p', on kinks with the whole jump."""
        activation, p = self.box.activation, self.p
        if activation.along_last_axis:
            return self._along_rows(tangent)
        change = p._lift(WIDEST.activation(activation).pull(p, tangent))
        for on in self.kinks.values():
            left, right = (one_sided(activation, self.plain_p, side) for side in ("left", "right"))
            change = change.widened(np.where(on, np.abs((right - left) * tangent.value), 0.0))
        return change

    def _along_rows(self, tangent: Rounded) -> Rounded:
        """a' of whole rows from their derivatives and from what automatic differentiation of A may form.

        Within 8 u of sum_i |dA_j/dp_i p'_i|, and with the whole jump where a number's own slope has one.
        """
        activation, p = self.box.activation, self.p
        formed = p._lift(slope_of(activation.value(Dual(p, tangent))))
        change = push(activation, p, tangent)
        if change is None:
            return formed
        sizes = push(Sizes(activation), self.plain_p, np.abs(tangent.value))
        lost = underflow(sizes, np.sum(self.plain_p**2, axis=-1, keepdims=True), self.model)
        beside = [push(activation, np.nextafter(self.plain_p, side), tangent.value) for side in (-np.inf, np.inf)]
        change = change.widened(finite(np.abs(beside[1] - beside[0])))
        radius = either(change, formed)
        allowed = self.model.formula * self.model.u * finite(sizes) + finite(lost)
        return Rounded(change.value, radius, self.model).widened(np.where(radius != 0, allowed, 0.0))


class Sizes:
    """An activation along the last axis that answers with |dA_j/dp_i|."""

    along_last_axis = True

    def __init__(self, activation: Any) -> None:
        self.activation, self.width = activation, activation.width

    def pull(self, p: np.ndarray, delta_a: np.ndarray) -> Any:
        return np.abs(self.activation.pull(p, delta_a))


def either(rounded: Rounded, formed: Rounded) -> np.ndarray:
    """The radius that encloses both; infinite where a number that is formed may not fit the dtype."""
    return np.where(np.isinf(formed.radius), np.inf, wider(rounded, formed))


def placed(which: int, found: Comparison) -> Comparison:
    """With the direction's number before the index."""
    return replace(found, index=(which, *found.index))
