"""Checks of a dense layer c = A(p) w + b on the framework's own arrays.

The only module of the checker, with `dense_filter`, `dense_operands` and `dense_tangents`, that knows what an operation
computes; all others address its arrays by name.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import flint
import numpy as np

from gradagree.adapters import Answer
from gradagree.arithmetic.ball import Ball
from gradagree.arithmetic.model import Model
from gradagree.arithmetic.rounded import Rounded, round_once
from gradagree.arithmetic.variance import Variance, factors, may_overflow, stored_sum
from gradagree.checker import independent
from gradagree.checker.allowances import TangentOptions, ToleranceOptions
from gradagree.checker.comparison import Comparison, compare, observed_array
from gradagree.checker.conditioning import finite_or_zero
from gradagree.checker.dense_filter import node_bounds
from gradagree.checker.dense_operands import DenseArrays
from gradagree.checker.dense_tangents import ExpectedTangents, ParameterTangents, affine_tangents, jvp, parameters_jvp
from gradagree.checker.filter import store_accepted
from gradagree.checker.kinks import activation_kinks
from gradagree.reference import Activation, Box
from gradagree.reference.boxes import Gradient
from gradagree.reference.graph import INPUTS, Kind, Node, Quantity, own_parameter

PORTION = 1 << 15
"""Entries of weights and inputs that the filter processes together; they fit a processor cache."""


class DenseCheck:
    """A layer on the framework's own p and delta_c; rounded arithmetic runs only where the filter does not accept."""

    def __init__(self, node: Node, answer: Answer, model: Model) -> None:
        assert isinstance(node.operation, Box)
        self.node, self.box, self.answer, self.model = node, node.operation, answer, model
        self.plain_p = answer.values[node.input]
        self.kinks = activation_kinks(self.box.activation, self.plain_p)
        self.accepted: dict[Quantity, Comparison] = {}
        self._gradients: dict[ToleranceOptions, Gradient] = {}
        self._tangents: dict[TangentOptions, ExpectedTangents] = {}

    @functools.cached_property
    def p(self) -> Rounded:
        return (Rounded.stored if self.node.input == INPUTS else Rounded.intermediate)(self.plain_p, self.model)

    @functools.cached_property
    def delta_c(self) -> Rounded:
        return Rounded.intermediate(self.answer.cotangents[self.node.output], self.model)

    @functools.cached_property
    def rounded(self) -> Box:
        """The layer on rounded arrays, its parameters as the framework holds them."""
        w, b = (None if x is None else Rounded.stored(x, self.model) for x in (self.box.w, self.box.b))
        return replace(self.box, w=w, b=b)

    @functools.cached_property
    def plain(self) -> DenseCheck:
        """The same check of a program that keeps subnormals and rounds all results."""
        return DenseCheck(self.node, self.answer, self.model.plain) if self.model != self.model.plain else self

    @functools.cached_property
    def with_wide_sums(self) -> DenseCheck:
        """The same check of a program that adds numbers of 16 bits in float32."""
        if self.model == self.model.wide_sums:
            return self
        return DenseCheck(self.node, self.answer, self.model.wide_sums)

    def within(self, how: ToleranceOptions) -> Box:
        """The layer on rounded arrays, with the bounds of any correct formula of its activation."""
        return replace(self.rounded, activation=how.bounds(self.box.activation))

    def expected_value(self, how: ToleranceOptions) -> Rounded:
        """c."""
        if how.own_formula and self.plain is not self:
            return self.plain.expected_value(how)
        c: Rounded = self.within(how).weigh(self.p)
        if self.box.w is None or self.box.b is None:
            return c
        # the bias may be one of n + 1 terms: n u |b| more than added at the end
        extra = len(self.box.w) * self.model.accumulator.u * np.abs(self.box.b)
        return c.widen(np.where(c.radius > 0, extra, 0.0))

    def expected_cotangent(self, how: ToleranceOptions) -> Rounded:
        """delta_p."""
        if how.own_formula and self.plain is not self:
            return self.plain.expected_cotangent(how)
        with np.errstate(all="ignore"):
            delta_p: Rounded = self.within(how).sensitivity(self.p, self.delta_c)
        return delta_p

    def expected_gradient(self, name: str) -> Callable[[ToleranceOptions], Any]:
        """The gradient of one parameter, by its name in the operation."""

        def expected(how: ToleranceOptions) -> Any:
            check = self.plain if how.own_formula else self
            return (check.with_wide_sums if how.rounded_once else check)._gradient(name, how)

        return expected

    def _gradient(self, name: str, how: ToleranceOptions) -> Any:
        if name in Gradient._fields:
            return getattr(self._layer_gradient(how), name)
        rules = self.model.narrow_sums if how.conditioning else self.model.broadcast_sums
        p, delta_c = self.p.with_model(rules), self.delta_c.with_model(rules)
        own = name.removeprefix("A.")
        return self._own_gradient(how, own, p, delta_c)

    def _own_gradient(self, how: ToleranceOptions, name: str, p: Rounded, delta_c: Rounded) -> Rounded:
        """The gradient of a parameter of the activation; where each example's own is stored, each term is rounded."""
        activation = self.box.activation
        if how.rounded_once and self.model.narrow:
            wide = [x.with_model(self.model.wide) for x in (p, delta_c)]
            return round_once(self.within(how).parameter_gradients(*wide)[name], self.model)
        found: Rounded = self.within(how).parameter_gradients(p, delta_c)[name]
        # dE/da = sum over examples of sum_i (dA/da)(p_i) delta_a_i
        with np.errstate(all="ignore"):
            terms = activation.by(name, self.plain_p) * self.box.delta_a(self.delta_c.value)
        gradient: Rounded = store_examples(found, terms, activation.shared_along(name))
        return gradient

    def _layer_gradient(self, how: ToleranceOptions) -> Gradient:
        """dw and db."""
        if how not in self._gradients:
            with np.errstate(all="ignore"):
                a = self.box.activation.value(self.plain_p)
                self._gradients[how] = sum_gradient(self.within(how).gradient(self.p, self.delta_c), a, self.delta_c)
        return self._gradients[how]

    # If rounding errors are independent

    def likely_cotangent(self) -> independent.Bounds:
        """delta_p."""
        return independent.cotangent(self.box, self.plain_p, self.answer.cotangents[self.node.output], self.model.plain)

    def likely_gradient(self, name: str) -> independent.Bounds:
        """The gradient of one parameter, by its name in the operation."""
        rules = self.model.plain if name == "w" else self.model.plain.broadcast_sums
        p, delta_c = (Variance.stored(x, rules) for x in (self.plain_p, self.answer.cotangents[self.node.output]))

        def formula() -> Any:
            found = variance_gradients(self.box, p, delta_c)[name]
            return found[:] if isinstance(found, OuterProduct) else found

        return independent.bounds(self.model, formula)

    def likely_tangents(self, tangents: np.ndarray, changes: ParameterTangents) -> independent.Bounds:
        """c' of tangents p'."""
        return independent.tangents(self.box, self.plain_p, tangents, changes, self.model.plain)

    def forward(self) -> Comparison:
        """c."""
        quantity = self.node.value()
        observed = observed_array(self.answer, quantity)
        return self.accepted.get(quantity) or compare(quantity, observed, self.expected_value)

    def backward(self) -> Iterator[Comparison]:
        """delta_p, dw, db, and the gradients of the activation's parameters."""
        quantity = self.node.cotangent()
        observed = observed_array(self.answer, quantity)
        yield self.accepted.get(quantity) or compare(
            quantity, observed, self.expected_cotangent, self.kinks, self.likely_cotangent
        )
        for name in self.node.parameters:
            quantity = self.node.gradient(name)
            observed = observed_array(self.answer, quantity)
            likely = functools.partial(self.likely_gradient, name)
            yield self.accepted.get(quantity) or compare(
                quantity, observed, self.expected_gradient(name), likely=likely
            )

    def with_activation(self, other: Activation) -> DenseCheck:
        """The same check of another activation on the same numbers."""
        node = self.node._replace(operation=replace(self.box, activation=other))
        return DenseCheck(node, self.answer, self.model)

    # Forward mode

    def expected_tangents(self, tangents: np.ndarray, changes: ParameterTangents, how: TangentOptions) -> Rounded:
        """c' of tangents p', of shape (directions, examples, n), and of those of the parameters."""
        if how.bounds.own_formula and self.plain is not self:
            return self.plain.expected_tangents(tangents, changes, how)
        stored = Rounded.stored if self.node.input == INPUTS else Rounded.intermediate
        if how not in self._tangents:
            self._tangents[how] = ExpectedTangents(self.box, self.rounded, self.p, self.kinks, how)
        return self._tangents[how].expected(stored(tangents, self.model), changes)

    # Exact values; only the rows and columns that an entry depends on are computed

    def exact_entry(self, quantity: Quantity, index: tuple[int, ...]) -> flint.arb:
        """An entry of c, delta_p or a gradient in ball arithmetic."""
        box, p = self._exact_box(), self.plain_p
        if quantity.kind is Kind.VALUE:
            row, column = index
            columns = slice(None) if box.w is None else slice(column, column + 1)
            w, b = (None if x is None else x[..., columns] for x in (box.w, box.b))
            narrow = replace(box, w=w, b=b)
            return Ball.entry(narrow.weigh(Ball.exact(p[row : row + 1])), (0, column if w is None else 0))
        delta_c = self.answer.cotangents[self.node.output]
        if quantity.kind is Kind.COTANGENT:
            row, entry = index
            rows = slice(row, row + 1)
            return Ball.entry(box.sensitivity(Ball.exact(p[rows]), Ball.exact(delta_c[rows])), (0, entry))
        (name,) = (name for name, array in self.node.parameters.items() if array == quantity.array)
        if name not in Gradient._fields:
            own = box.parameter_gradients(Ball.exact(p), Ball.exact(delta_c))[name.removeprefix("A.")]
            return Ball.entry(own, index)
        column = index[-1]
        delta_j = Ball.exact(delta_c[:, column : column + 1])
        if name == "b":
            return Ball.entry(delta_j.sum(axis=-2), (0,))
        values = box.activation.value(Ball.exact(p))
        return Ball.entry(np.swapaxes(values, -1, -2)[index[0] : index[0] + 1] @ delta_j, (0, 0))

    def exact_tangent(self, tangent: Any, changes: ParameterTangents, index: tuple[int, ...]) -> flint.arb:
        """An entry of c' in one direction; tangent is p' in ball arithmetic, of shape (1, examples, n)."""
        row, column = index
        activation, p = self.box.activation, Ball.exact(self.plain_p[row : row + 1])
        change = jvp(activation, p, tangent[:, row : row + 1])
        if changes.own:
            change = change + parameters_jvp(activation, p, changes.own)
        if self.box.w is None:
            return Ball.entry(change, (0, 0, column))
        narrow = slice(column, column + 1)
        w, b = (None if x is None else x[..., narrow] for x in (changes.w, changes.b))
        exact = replace(self.box, w=Ball.exact(self.box.w[:, narrow]))
        tangents = affine_tangents(exact, activation.value(p), change, ParameterTangents(w, b, ()), Ball.exact)
        return Ball.entry(tangents, (0, 0, 0))

    def _exact_box(self) -> Box:
        w, b = (None if x is None else Ball.exact(x) for x in (self.box.w, self.box.b))
        return replace(self.box, w=w, b=b)

    # The filter

    @staticmethod
    def accept(checks: Sequence[DenseCheck]) -> None:
        """Store the comparisons that the filter accepts."""
        for some in portions(checks):
            accepted = {one._arrays: one.accepted for one in some}
            store_accepted((accepted[one], bound) for one, bound in node_bounds(list(accepted)))

    @functools.cached_property
    def _arrays(self) -> DenseArrays:
        """The layer's arrays for the filter; gradients of another shape are left to rounded arithmetic."""
        node, box, answer = self.node, self.box, self.answer
        own = {"w": box.w, "b": box.b}
        found = {name: answer.gradients.get(node.parameters.get(name, "")) for name in own}
        dw, db = (x if x is not None and x.shape == np.shape(own[name]) else None for name, x in found.items())
        cotangents = (answer.cotangents[node.input], answer.cotangents[node.output])
        return DenseArrays(
            node, box, self.model, self.kinks, self.plain_p, answer.values[node.output], *cotangents, dw, db
        )

    @property
    def entries(self) -> int:
        return self.plain_p.size + (0 if self.box.w is None else self.box.w.size)


def portions(checks: Sequence[DenseCheck]) -> Iterator[list[DenseCheck]]:
    """Groups of layers of at least `PORTION` entries."""
    some: list[DenseCheck] = []
    for one in checks:
        some.append(one)
        if sum(check.entries for check in some) > PORTION:
            yield some
            some = []
    if some:
        yield some


# Sums over examples, where they are not one dot product or plain sum


def sum_gradient(gradient: Gradient, a: Any, delta_c: Any) -> Gradient:
    """The gradient of A(p) = a and delta_c, rounded or variance arrays, with the errors of the mode's summation.

    Where each example's own gradient is stored, each term of dE/dw is rounded; a bias's gradient is summed in its own
    format (`Model.biases`).
    """
    model, (w, b) = delta_c.model, gradient
    if w is not None and model.per_example:
        w = w.widen(w.term_rounding(np.abs(getattr(a, "value", a)), np.abs(delta_c.value)))
    if b is not None and model.biases != model.accumulator:
        b = np.sum(delta_c.with_model(replace(model, accumulator=model.biases)), axis=-2)
    return Gradient(w, b)


def store_examples(gradient: Any, terms: Any, axes: tuple[int, ...]) -> Any:
    """The gradient of a parameter, the sum of these terms over the axes, with the errors of the mode's summation.

    Where each example's own gradient is stored, it is rounded: u times at most the sum of its absolute terms.
    """
    model = gradient.model
    if not model.per_example:
        return gradient
    with np.errstate(all="ignore"):
        sizes = np.sum(np.abs(getattr(terms, "value", terms)), axis=axes)
    lost = finite_or_zero(model.u * sizes + len(terms) * model.quantum * (sizes > 0))
    return gradient.widen(lost)


# Variance arithmetic


def variance_gradients(box: Box, p: Any, delta_c: Any) -> dict[str, Any]:
    """The gradient of each parameter by name; that of the weights is never stored completely."""
    found: dict[str, Any] = {}
    if box.w is not None:
        found["w"] = OuterProduct(p._lift(box.activation.value(p)), delta_c)
    if box.b is not None:
        found["b"] = sum_gradient(Gradient(None, np.sum(delta_c, axis=-2)), p, delta_c).b
    activation = box.activation
    for name, gradient in box.parameter_gradients(p, delta_c).items():
        terms = activation.by(name, p) * box.delta_a(delta_c) if p.model.per_example else p
        found[own_parameter(name)] = store_examples(gradient, terms, activation.shared_along(name))
    return found


class OuterProduct:
    """dE/dw = A(p)^T delta_c with the errors of the mode's summation; indexing computes a block of rows."""

    def __init__(self, a: Variance, delta_c: Variance) -> None:
        self.a, self.delta_c = a, delta_c
        self.shape, self.zero_threshold = (a.shape[-1], delta_c.shape[-1]), a.zero_threshold
        self.factors = None if may_overflow(a.T, delta_c) else factors(a.T, delta_c)

    def __getitem__(self, rows: slice) -> Variance:
        a, delta_c, terms = self.a[:, rows].T, self.delta_c, len(self.a)
        if self.factors is None:
            product = a @ delta_c
        else:
            left, right = self.factors
            product = stored_sum(a.value @ delta_c.value, left[rows] @ right, terms, a.model, 0.0)
        gradient: Variance = sum_gradient(Gradient(product, None), a.T, delta_c).w
        return gradient
