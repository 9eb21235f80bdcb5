"""The error box's check: E and the sensitivity of the output, on the framework's own output."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

from gradagree.adapters import Answer
from gradagree.arithmetics.model import Model
from gradagree.arithmetics.rounded import Rounded
from gradagree.checker.allowances import ToleranceOptions
from gradagree.checker.filter_operands import QuickError
from gradagree.checker.kinks import error_kinks
from gradagree.comparison import ERROR_BOX, Bound, Comparison, Part, compare
from gradagree.reference import ErrorBox
from gradagree.reference.graph import Node


class ErrorCheck:
    """The error box, given the framework's own o; rounded arithmetic only where the quick tests do not clear it."""

    def __init__(self, node: Node, answer: Answer, model: Model) -> None:
        assert isinstance(node.operation, ErrorBox)
        self.node, self.answer, self.model = node, answer, model
        self.error, self.plain_targets = node.operation.error, node.operation.t
        self.plain_o = answer.values[node.input]
        self.kinks = error_kinks(self.error, self.plain_o, self.plain_targets)
        self.cleared: dict[Part, Comparison] = {}

    def claims(self) -> Iterator[Bound | None]:
        """What the quick tests claim of E and of its sensitivity."""
        quick = QuickError(self.error, self.plain_o, self.plain_targets, self.model)
        yield quick.E(self.answer.E)
        if not self.kinks:
            yield quick.delta_p(self.answer.cotangents[self.node.input])

    @functools.cached_property
    def o(self) -> Rounded:
        return Rounded.handed(self.plain_o, self.model)

    def both(self) -> Iterator[Comparison]:
        """E, and delta_p."""
        yield self.E()
        o, observed = self.o, self.answer.cotangents[self.node.input]
        yield self.cleared.get("delta_p") or compare(
            ERROR_BOX, "delta_p", observed, lambda how: self.box(how).pull(o), self.kinks
        )

    def E(self) -> Comparison:
        observed = np.asarray(self.answer.E)
        return self.cleared.get("E") or compare(ERROR_BOX, "E", observed, lambda how: self.value(how, self.o))

    def value(self, how: ToleranceOptions, o: Rounded) -> Rounded:
        """E; where it is added up from each example's own, stored share, with what storing these costs."""
        E: Rounded = self.box(how)(o)
        if not self.model.each_alone:
            return E
        lost = self.model.u * np.abs(E.value) + o.shape[0] * self.model.quantum
        return E.widened(np.where((E.value == 0) & (E.radius == 0), 0.0, lost))

    def box(self, how: ToleranceOptions) -> ErrorBox:
        t: Any = self.plain_targets
        return ErrorBox(how.bounds(self.error), t if self.error.targets == "classes" else Rounded.stored(t, self.model))
