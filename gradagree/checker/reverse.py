"""Vjp of each node on the framework's own arrays."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gradagree.adapters import Answer
from gradagree.arithmetic.model import Model
from gradagree.arithmetic.rounded import Rounded
from gradagree.cases.case import Arrays, Case
from gradagree.checker.allowances import ToleranceOptions
from gradagree.checker.answers import malformed
from gradagree.checker.comparison import ERROR_BOX, Bound, Comparison, Part, compare
from gradagree.checker.filter import node_bounds, store_accepted
from gradagree.checker.filter_operands import LossArrays, NodeArrays
from gradagree.checker.kinks import activation_kinks, loss_kinks
from gradagree.checker.verdict import Verdict
from gradagree.reference import Box, ErrorBox
from gradagree.reference.boxes import Gradient
from gradagree.reference.graph import INPUTS, Node, parameter_name

# The error box's check: E and the sensitivity of the output, on the framework's own output
# -----------------------------------------------------------------------------------------


class ErrorCheck:
    """The loss on the framework's own output o; rounded arithmetic runs only where the filter does not accept it."""

    def __init__(self, node: Node, answer: Answer, model: Model) -> None:
        assert isinstance(node.operation, ErrorBox)
        self.node, self.answer, self.model = node, answer, model
        self.error, self.plain_targets = node.operation.error, node.operation.t
        self.plain_o = answer.values[node.input]
        self.kinks = loss_kinks(self.error, self.plain_o, self.plain_targets)
        self.cleared: dict[Part, Comparison] = {}

    def claims(self) -> Iterator[Bound | None]:
        """The filter's bounds for E and for the cotangent of the output."""
        quick = LossArrays(self.error, self.plain_o, self.plain_targets, self.model)
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


# How a framework adds up the gradients of single examples, where it is not in one dot product or plain sum
# ---------------------------------------------------------------------------------------------------------


def added_up(gradient: Gradient, a: Any, delta_c: Any) -> Gradient:
    """The gradient of A(p) = a and delta_c, rounded or variance arrays, with what the mode's way of adding costs.

    Where each example's own gradient is stored, each term of dE/dw is rounded; a bias's gradient is summed in its own
    format (`Model.biases`).
    """
    model, (w, b) = delta_c.model, gradient
    if w is not None and model.each_alone:
        w = w.widened(w.of_terms(np.abs(getattr(a, "value", a)), np.abs(delta_c.value)))
    if b is not None and model.biases != model.accumulator:
        b = np.sum(delta_c.modelled(replace(model, accumulator=model.biases)), axis=-2)
    return Gradient(w, b)


# The box check: each box on the framework's own input and incoming sensitivity
# -----------------------------------------------------------------------------


def check(case: Case, arrays: Arrays, answer: Answer, model: Model) -> Iterator[Comparison]:
    """Every comparison of the box check, in the derivation's order; a value that differs is the last one."""
    return next(checked([(case, arrays, answer, model)]))


def checked(asked: Iterable[tuple[Case, Arrays, Answer, Model]]) -> Iterator[Iterator[Comparison]]:
    """The comparisons of each request; the filter processes all of them together."""
    answers = [NetworkCheck(*each) for each in asked]
    sound = [answer for answer in answers if answer.well_formed]
    clear([one for answer in sound for one in answer.boxes], [answer.error for answer in sound])
    return (answer.comparisons() for answer in answers)


class NetworkCheck:
    """The per-operation check of one answer."""

    def __init__(self, case: Case, arrays: Arrays, answer: Answer, model: Model) -> None:
        self.answer = answer
        pairs = ((delta, answer.values[name]) for name, delta in answer.cotangents.items() if name in answer.values)
        self.well_formed = malformed(case, arrays, answer) is None and all(delta.shape == p.shape for delta, p in pairs)
        *inner, loss = case.nodes(arrays)
        self.boxes = [BoxCheck(node, answer, model) for node in inner]
        self.error = ErrorCheck(loss, answer, model)

    def comparisons(self) -> Iterator[Comparison]:
        """In the derivation's order; a value that differs is the last one."""
        for one in self.boxes:
            found = one.forward()
            yield found
            if found.verdict is Verdict.VALUE_DIFFERS:
                return
        for found in self.error.both():
            yield found
            if found.verdict is Verdict.VALUE_DIFFERS:
                return
        for one in reversed(self.boxes):
            name = one.node.output
            if self.answer.cotangents[name].shape != self.answer.values[name].shape:
                return
            yield from one.outwards()


class BoxCheck:
    """One node on the framework's own p and delta_c; rounded arithmetic runs only where the filter does not accept."""

    def __init__(self, node: Node, answer: Answer, model: Model) -> None:
        assert isinstance(node.operation, Box)
        self.node, self.number, self.box, self.answer, self.model = node, node.name, node.operation, answer, model
        box, self.plain_p = self.box, answer.values[node.input]
        self.kinks = activation_kinks(box.activation, self.plain_p)
        self.cleared: dict[Part, Comparison] = {}
        self._gradients: dict[ToleranceOptions, Gradient] = {}

    @functools.cached_property
    def entries(self) -> int:
        return self.plain_p.size + (0 if self.box.w is None else self.box.w.size)

    @functools.cached_property
    def given(self) -> NodeArrays:
        """The node's arrays for the filter; gradients of another shape are left to rounded arithmetic."""
        node, box, answer = self.node, self.box, self.answer
        owned = ((box.w, self.given_gradient("w")), (box.b, self.given_gradient("b")))
        dw, db = (x if own is not None and x is not None and x.shape == own.shape else None for own, x in owned)
        cotangents = (answer.cotangents[node.input], answer.cotangents[node.output])
        return NodeArrays(
            node.name, box, self.model, self.kinks, self.plain_p, answer.values[node.output], *cotangents, dw, db
        )

    def given_gradient(self, name: str) -> np.ndarray | None:
        """The framework's own gradient of one of the operation's parameters; None if there is none."""
        return self.answer.gradients.get(self.node.parameters.get(name, ""))

    @functools.cached_property
    def p(self) -> Rounded:
        return (Rounded.stored if self.node.input == INPUTS else Rounded.handed)(self.plain_p, self.model)

    @functools.cached_property
    def delta_c(self) -> Rounded:
        return Rounded.handed(self.answer.cotangents[self.node.output], self.model)

    @functools.cached_property
    def rounded(self) -> Box:
        return rounded_box(self.box, self.model)

    def judged(self, how: ToleranceOptions) -> Box:
        return replace(self.rounded, activation=how.bounds(self.box.activation))

    def forward(self) -> Comparison:
        """c."""
        observed = self.answer.values[self.node.output]
        return self.cleared.get("c") or compare(self.number, "c", observed, lambda how: self.judged(how).weigh(self.p))

    def outwards(self) -> Iterator[Comparison]:
        """delta_p, dw and db."""
        observed = self.answer.cotangents[self.node.input]
        found = self.cleared.get("delta_p")
        yield found or compare(self.number, "delta_p", observed, self.sensitivity, self.kinks)
        for name in self.node.parameters:
            found = self.cleared.get(f"d{name}")
            yield found or compare(self.number, f"d{name}", self.given_gradient(name), self.expected(name))

    def expected(self, name: str) -> Callable[[ToleranceOptions], Any]:
        """The gradient of one of the operation's parameters."""
        if name in Gradient._fields:
            return lambda how: getattr(self.gradient(how), name)
        return lambda how: self.pulled_own(how)[name]

    def pulled_own(self, how: ToleranceOptions) -> Any:
        """The gradients of the activation's parameters."""
        rules = self.model.outwards
        return self.judged(how).parameter_gradients(self.p.modelled(rules), self.delta_c.modelled(rules))

    def sensitivity(self, how: ToleranceOptions) -> Rounded:
        """delta_p."""
        with np.errstate(all="ignore"):
            delta_p: Rounded = self.judged(how).sensitivity(self.p, self.delta_c)
        return delta_p

    def gradient(self, how: ToleranceOptions) -> Gradient:
        """dw and db."""
        if how not in self._gradients:
            with np.errstate(all="ignore"):
                a = self.box.activation.value(self.plain_p)
                self._gradients[how] = added_up(self.judged(how).gradient(self.p, self.delta_c), a, self.delta_c)
        return self._gradients[how]


PORTION = 1 << 15
"""Entries of weights and inputs that are looked at together."""


def clear(boxes: Sequence[BoxCheck], errors: Sequence[ErrorCheck] = ()) -> None:
    """Look at all boxes and error boxes; each keeps what passes."""
    with np.errstate(all="ignore"):
        for some in portions(boxes):
            cleared = {one.given: one.cleared for one in some}
            store_accepted((cleared[one], claim) for one, claim in node_bounds(list(cleared)))
        store_accepted((error.cleared, claim) for error in errors for claim in error.claims() if claim is not None)


def portions(boxes: Sequence[BoxCheck]) -> Iterator[list[BoxCheck]]:
    """Groups of nodes whose weights together fit a processor cache."""
    some: list[BoxCheck] = []
    for one in boxes:
        some.append(one)
        if sum(box.entries for box in some) > PORTION:
            yield some
            some = []
    if some:
        yield some


def check_update(arrays: Arrays, answer: Answer, rate: float, model: Model) -> Iterator[Comparison]:
    """One step of steepest descent from the framework's own gradient: w - rate dE/dw, b - rate dE/db."""
    layers = [
        (k, part, array)
        for part, arrays in (("w", arrays.weights), ("b", arrays.biases))
        for k, array in enumerate(arrays, 1)
    ]
    for k, part, before in layers:
        name = parameter_name(k, part)
        if before is not None and name in answer.gradients:
            step = Rounded.constant(rate, model) * Rounded.stored(answer.gradients[name], model)
            expected = Rounded.stored(before, model) - step
            yield compare(k, part, answer.updated.get(name), lambda how: expected)  # noqa: B023


def case_boxes(case: Case, arrays: Arrays) -> list[Box]:
    """The boxes from the outermost inwards, on ordinary arrays."""
    from gradagree.reference.boxes import boxes

    return list(boxes(case.network(arrays)))


def rounded_box(box: Box, model: Model) -> Box:
    """The box on rounded arrays, its weights as the framework holds them."""
    w, b = (None if x is None else Rounded.stored(x, model) for x in (box.w, box.b))
    return replace(box, w=w, b=b)
