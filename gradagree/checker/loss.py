"""Checks of the loss node: its value and gradient on the framework's own outputs."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import flint
import numpy as np

from gradagree.adapters import Answer
from gradagree.arithmetic.ball import Ball
from gradagree.arithmetic.dual import Dual, tangent_of
from gradagree.arithmetic.model import Model
from gradagree.arithmetic.rounded import Rounded
from gradagree.arithmetic.variance import Variance
from gradagree.checker import independent
from gradagree.checker.allowances import TangentOptions, ToleranceOptions, either
from gradagree.checker.comparison import Comparison, classify, compare, observed_array
from gradagree.checker.filter import SAFE, Bound, all_samples_rounded, not_representable, store_accepted
from gradagree.checker.kinks import loss_kinks, one_sided_loss_gradient
from gradagree.checker.loss_operands import OperandGradient
from gradagree.checker.verdict import Verdict
from gradagree.reference import ErrorBox, ErrorFunction
from gradagree.reference.graph import Kind, Node, Quantity
from gradagree.reference.samples import allowed_width, some_targets, to_domain


class LossCheck:
    """The loss on the framework's own output o; rounded arithmetic runs only where the filter does not accept it."""

    def __init__(self, node: Node, answer: Answer, model: Model) -> None:
        assert isinstance(node.operation, ErrorBox)
        self.node, self.answer, self.model = node, answer, model
        self.error, self.plain_targets = node.operation.error, node.operation.t
        self.weight = node.operation.weight
        self.plain_o = answer.values[node.input]
        self.kinks = loss_kinks(self.error, self.plain_o, self.plain_targets)
        self.accepted: dict[Quantity, Comparison] = {}
        self._cotangents: dict[TangentOptions, Rounded] = {}

    @functools.cached_property
    def o(self) -> Rounded:
        return Rounded.intermediate(self.plain_o, self.model)

    @functools.cached_property
    def plain(self) -> LossCheck:
        """The same check of a program that keeps subnormals and rounds all results."""
        return LossCheck(self.node, self.answer, self.model.plain) if self.model != self.model.plain else self

    @property
    def plain_box(self) -> ErrorBox:
        """The loss on the framework's own numbers."""
        return ErrorBox(self.error, self.plain_targets, self.weight)

    def box(self, how: ToleranceOptions) -> ErrorBox:
        t: Any = self.plain_targets
        targets = t if self.error.targets == "classes" else Rounded.stored(t, self.model)
        return ErrorBox(how.bounds(self.error), targets, self.weight)

    def expected_value(self, how: ToleranceOptions) -> Rounded:
        """E; where it is the sum of each example's own, stored loss, with what storing these costs."""
        if how.own_formula and self.plain is not self:
            return self.plain.expected_value(how)
        E: Rounded = self.box(how)(self.o)
        if not self.model.per_example:
            return E
        lost = self.model.u * np.abs(E.value) + self.o.shape[0] * self.model.quantum
        return E.widen(np.where((E.value == 0) & (E.radius == 0), 0.0, lost))

    def expected_cotangent(self, how: ToleranceOptions) -> Rounded:
        """dE/do."""
        if how.own_formula and self.plain is not self:
            return self.plain.expected_cotangent(how)
        delta_o: Rounded = self.box(how).pull(self.o)
        return delta_o

    def likely_cotangent(self) -> independent.Bounds:
        """dE/do, if rounding errors are independent."""
        return independent.loss_cotangent(self.plain_box, self.plain_o, self.model.plain)

    def likely_tangents(self, tangents: np.ndarray, _: Any) -> independent.Bounds:
        """E', if rounding errors are independent."""
        return independent.loss_tangents(self.plain_box, self.plain_o, tangents, self.model.plain)

    def likely_operand(self, name: str) -> independent.Bounds:
        """The gradient of an operand, at the places that are checked, if rounding errors are independent."""
        rules, gradient = self.model.plain.broadcast_sums, self.differentiated[name]
        box, o = independent.with_targets(self.plain_box, rules), Variance.stored(self.plain_o, rules)
        return independent.bounds(self.model, lambda: gradient.of_arrays(self.error, o, box.t) * self.weight)

    def forward(self) -> Comparison:
        """E."""
        quantity = self.node.value()
        observed = np.asarray(self.answer.E)
        return self.accepted.get(quantity) or compare(quantity, observed, self.expected_value)

    def backward(self) -> Iterator[Comparison]:
        """dE/do."""
        quantity = self.node.cotangent()
        observed = observed_array(self.answer, quantity)
        yield self.accepted.get(quantity) or compare(
            quantity, observed, self.expected_cotangent, self.kinks, self.likely_cotangent
        )
        found = (self._compare_operand(name) for name in self.differentiated)
        yield from (comparison for comparison in found if comparison is not None)

    # Other operands

    @functools.cached_property
    def differentiated(self) -> dict[str, OperandGradient]:
        """The operands whose gradients the framework returned, if some entry of them exists."""
        names = (name for name, array in self.node.operands.items() if array in self.answer.gradients)
        found = {name: OperandGradient.of(self.error, name, self.plain_o, self.plain_targets) for name in names}
        return {name: gradient for name, gradient in found.items() if gradient.places.size}

    def expected_operand(self, name: str, how: ToleranceOptions) -> Rounded:
        """The gradient of an operand, at the places that are checked."""
        if how.own_formula and self.plain is not self:
            return self.plain.expected_operand(name, how)
        box = self.box(how)
        found: Rounded = self.differentiated[name].bounds(self.o, box.t, how) * self.weight
        return found

    def _compare_operand(self, name: str) -> Comparison | None:
        """dE/dt, or that of a parameter, where it exists and its tolerance is below it; None if it is so nowhere."""
        quantity, gradient = self.node.gradient(name), self.differentiated[name]
        observed = self.answer.gradients[quantity.array]
        if observed.shape != gradient.shape:
            return classify(quantity, observed, Rounded(np.zeros(gradient.shape), 0.0, self.model))
        found = self.accepted.get(quantity)
        if found is not None:
            return gradient.located(found, np.arange(gradient.places.size))
        seen, every = observed.ravel()[gradient.places], np.arange(gradient.places.size)
        likely = functools.partial(self.likely_operand, name)
        found = compare(quantity, seen, lambda how: self.expected_operand(name, how), likely=likely)
        doubtful = gradient.located(found, every).doubtful
        if found.verdict in (Verdict.UNDECIDED, Verdict.OUT_OF_RANGE):
            wide = self.expected_operand(name, ToleranceOptions.widest())
            every = np.flatnonzero((wide.radius < np.abs(wide.value)) | (wide.radius == 0))
            found = compare(
                quantity, seen[every], lambda how: self.expected_operand(name, how)[every],
                likely=lambda: (bound[every] for bound in likely()),
            )  # fmt: skip
        if not every.size and not doubtful:
            return None
        return replace(gradient.located(found, every), doubtful=doubtful)

    # Forward mode

    def _cotangent(self, how: TangentOptions) -> Rounded:
        """dE/do."""
        if how not in self._cotangents:
            o, t = self.plain_o, self.plain_targets

            def one_sided(name: str) -> Any:
                return one_sided_loss_gradient(self.error, o, t, name) * self.weight

            found = self.expected_cotangent(how.bounds)
            self._cotangents[how] = how.with_kinks(found, self.kinks, one_sided)
        return self._cotangents[how]

    def expected_tangents(self, tangents: np.ndarray, _: Any, how: TangentOptions) -> Rounded:
        """E' from dE/do; with AD forms also as automatic differentiation of E may compute it."""
        if how.bounds.own_formula and self.plain is not self:
            return self.plain.expected_tangents(tangents, _, how)
        o: Any = self.o
        given = Rounded.intermediate(tangents, self.model)
        with np.errstate(all="ignore"):
            change: Rounded = np.sum(self._cotangent(how) * given, axis=(-2, -1))
            if not how.bounds.ad_forms:
                return change
            loss = replace(self.box(how.bounds), error=self.error)
            ad_form = o._lift(tangent_of(loss(Dual(o[None], given))))
        return Rounded(change.value, either(change, ad_form), self.model)

    # Exact values

    def exact_entry(self, quantity: Quantity, index: tuple[int, ...]) -> flint.arb:
        """An entry of E, dE/do or the gradient of an operand in ball arithmetic."""
        box, o = self._exact_box(), Ball.exact(self.plain_o)
        if quantity.kind is Kind.GRADIENT:
            (name,) = (name for name, array in self.node.operands.items() if array == quantity.array)
            return self._exact_operand(name, box, o, index)
        found = box(o) if quantity.kind is Kind.VALUE else box.pull(o)
        return Ball.entry(found, index)

    def exact_tangent(self, tangent: Any, _: Any, __: tuple[int, ...]) -> flint.arb:
        """E' in one direction."""
        gradient = self._exact_box().pull(Ball.exact(self.plain_o))
        return Ball.entry(np.sum(gradient * tangent, axis=(-2, -1)), (0,))

    def _exact_operand(self, name: str, box: ErrorBox, o: Ball, index: tuple[int, ...]) -> flint.arb:
        x: Any = box.t if name == "t" else Ball.exact(np.asarray(getattr(self.error, name), dtype=np.float64))
        unit = np.zeros(x.shape)
        unit[index] = 1.0
        moved = Dual(x, Ball.exact(unit))
        error, t = (self.error, moved) if name == "t" else (self.error.holding(**{name: moved}), box.t)
        return Ball.entry(tangent_of(replace(box, error=error, t=t)(o)), ())

    def _exact_box(self) -> ErrorBox:
        t: Any = self.plain_targets
        return ErrorBox(self.error, t if self.error.targets == "classes" else Ball.exact(t), self.weight)

    # The filter

    @staticmethod
    def accept(checks: Sequence[LossCheck]) -> None:
        """Store the comparisons that the filter accepts."""
        store_accepted((one.accepted, bound) for one in checks for bound in one._bounds() if bound is not None)

    def _bounds(self) -> Iterator[Bound | None]:
        """The filter's bounds for E and for dE/do: within 8 u of the number where it is rounded."""
        box, o = self.plain_box, self.plain_o
        yield self._bound("E", self.node.value(), np.asarray(self.answer.E), np.asarray(box(o)))
        if not self.kinks:
            observed = self.answer.cotangents[self.node.input]
            yield self._bound("delta_p", self.node.cotangent(), observed, np.asarray(box.pull(o)))
        for name, gradient in self.differentiated.items():
            quantity = self.node.gradient(name)
            seen = self.answer.gradients[quantity.array]
            if seen.shape == gradient.shape:
                value = gradient.plain[0][gradient.checked] * self.weight
                yield self._bound("operand", quantity, seen.ravel()[gradient.places], value)

    def _bound(self, label: str, quantity: Quantity, observed: np.ndarray, value: np.ndarray) -> Bound | None:
        if observed.shape != value.shape or not value.size or not self._small:
            return None
        rounds = self._always_rounds.get(label, False) or not_representable(value, self.model)
        radius = SAFE * self.model.formula * self.model.u * np.abs(value) * rounds
        return Bound(quantity, observed, value, radius, self.model.format)

    @functools.cached_property
    def _small(self) -> bool:
        """True if squares of these numbers, sums of squares and exponentials lie within the dtype's range."""
        numbers = (self.plain_o, self.plain_targets)
        largest = max((float(np.max(np.abs(x), initial=0.0)) for x in numbers), default=0.0)
        room = self.model.format.largest
        return largest < math.log(room) / 2 and (1 + largest) ** 2 * self.plain_o.size < room

    @functools.cached_property
    def _always_rounds(self) -> dict[str, bool]:
        return loss_always_rounds(self.error, self.model, *(n & (n - 1) == 0 for n in self.plain_o.shape))

    # Other losses

    def with_loss(self, other: ErrorFunction) -> LossCheck:
        """The same check of another loss on the same numbers."""
        node = self.node._replace(operation=ErrorBox(other, self.plain_targets, self.weight))
        return LossCheck(node, self.answer, self.model)


@functools.lru_cache(maxsize=1024)
def loss_always_rounds(error: ErrorFunction, model: Model, few_examples: bool, few_outputs: bool) -> dict[str, bool]:
    """True if E, or dE/do, has no exact entries but 0, even for numbers with few bits.

    few_examples, few_outputs: whether their number is a power of two, by which a division may be exact.
    """

    def samples() -> Iterator[dict[str, Any]]:
        examples, outputs = 4 if few_examples else 5, allowed_width(error, 4 if few_outputs else 5)
        t = some_targets(error, examples, outputs)
        given: Any = t if error.targets == "classes" else Rounded.stored(t, model)
        ramp = np.arange(examples * outputs).reshape(examples, outputs) / 4 - outputs / 2
        for o in (np.zeros(ramp.shape), ramp):
            stored = Rounded.stored(to_domain(error.domain, o), model)
            yield {"E": error.value(stored, given), "delta_p": error.sensitivity(stored, given)}

    return all_samples_rounded(("E", "delta_p"), samples())
