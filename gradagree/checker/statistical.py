"""The statistical check: a gradient end to end against the reference in variance arithmetic.

A worst-case bound carried through a network is vacuous after a few operations; the variance of the rounding errors is
not. The check is a trigger, not a proof: it covers gradients computed without taps, which taps might change.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gradagree.adapters import Answer, directions
from gradagree.arithmetic.dual import Dual, tangent_of
from gradagree.arithmetic.model import Model
from gradagree.arithmetic.rounded import Rounded
from gradagree.arithmetic.variance import DEVIATIONS, Variance, blocks
from gradagree.cases.case import Arrays, Case, problem_of
from gradagree.checker.allowances import is_identity, values_of
from gradagree.checker.comparison import (
    Comparison,
    Extremes,
    error_ratios,
    extremes,
    merged,
    mostly_unchecked,
    observed_array,
    within_range,
)
from gradagree.checker.conditioning import (
    conditioning_scale,
    derivative_change,
    finite_or_zero,
    loss_scale,
    parameter_change,
    value_change,
    vjp_change,
)
from gradagree.checker.dense import OuterProduct, variance_gradients
from gradagree.checker.derivative_forms import ad_loss_gradient, jacobian, jvp
from gradagree.checker.kinks import activation_kinks, one_sided_derivative, one_sided_loss_gradient
from gradagree.checker.verdict import Verdict
from gradagree.reference import Activation, Box, ErrorFunction
from gradagree.reference.graph import INPUTS, Quantity, nodes, own_parameter, parameter_name

TIE_SHARE = 2.0**-4
"""Share of a derivative above which its deviation may come from the choice between two branches."""
MAX_STACKED_WEIGHTS = 1 << 16
"""Number of weights up to which the jvps of all directions are computed together."""


def compare_statistically(case: Case, arrays: Arrays, answer: Answer, model: Model) -> list[Comparison]:
    """Compare E, the cotangent of the inputs and every gradient (or directional derivative) with variance arithmetic.

    The derivatives of E as AD may evaluate them are only computed where an array is suspect without them.
    """
    found = _compare_all(case, arrays, answer, model, False)
    return _compare_all(case, arrays, answer, model, True) if any(c.verdict.fails for c in found) else found


def _compare_all(case: Case, arrays: Arrays, answer: Answer, model: Model, ad_forms: bool) -> list[Comparison]:
    with np.errstate(all="ignore"):
        if answer.along:
            return [_compare_directional(case, arrays, answer, model, ad_forms)]
        *inner, loss = nodes(_network(case, arrays, model, lambda _, x: Variance.stored(x, model), ad_forms))
        values: dict[str, Any] = {INPUTS: Variance.stored(arrays.inputs, model)}
        for node in inner:
            values[node.output] = node.forward(values[node.input])
        cotangent: Any = loss.operation.pull(values[loss.input])  # type: ignore[call-arg]
        found: list[Comparison] = []
        for node in reversed(inner):
            x = values[node.input]
            assert isinstance(node.operation, Box)
            for name, expected in reversed(variance_gradients(node.operation, x, cotangent).items()):
                quantity = node.gradient(name)
                found.append(_compare_array(quantity, observed_array(answer, quantity), expected))
            cotangent = node.operation.sensitivity(x, cotangent)
        quantity = inner[0].cotangent()
        found.append(_compare_array(quantity, observed_array(answer, quantity), cotangent))
        quantity = loss.value()
        found.append(_compare_array(quantity, observed_array(answer, quantity), loss.forward(values[loss.input])))
    return found[::-1]


def _compare_directional(case: Case, arrays: Arrays, answer: Answer, model: Model, ad_forms: bool) -> Comparison:
    """The derivative of E along each direction, by dual numbers over variance arithmetic: forward mode's own roundings.

    In a small network all directions are computed at once, on a first axis of the tangents.
    """
    names = case.parameter_names
    many = [dict(zip(names, tangents, strict=True)) for tangents in directions(problem_of(case, arrays))]
    if case.size <= MAX_STACKED_WEIGHTS:
        many = [{name: np.stack([tangents[name] for tangents in many]) for name in names}]
    along = []
    for tangents in many:
        dual = lambda name, x: Dual(Variance.stored(x, model), Variance.stored(tangents[name], model))  # noqa: B023, E731
        E = _network(case, arrays, model, dual, ad_forms)(Variance.stored(arrays.inputs, model))
        along.append(E.tangent)
    value, variance = (np.hstack([np.ravel(getattr(x, part)) for x in along]) for part in ("value", "variance"))
    quantity = case.nodes(arrays)[-1].tangent()
    return _compare_array(quantity, np.array(answer.along), Variance(value, variance, model))


def _network(
    case: Case, arrays: Arrays, model: Model, lift: Callable[[str, np.ndarray], Any], ad_forms: bool = False
) -> Box:
    """The reference network; `lift` converts each parameter, by name, to its arithmetic."""
    targets = arrays.targets if case.error.targets == "classes" else Variance.stored(arrays.targets, model)
    activations: list[Any] = [
        ActivationVariance.of(a, {own: parameter_name(k, own_parameter(own)) for own in a.parameter_names}, lift)
        for k, a in enumerate(case.activations, 1)
    ]
    loss: Any = LossVariance(case.error, ad_forms)
    return case.network(arrays, lift, activations, loss, targets)


def _compare_array(quantity: Quantity, observed: np.ndarray | None, expected: Variance | OuterProduct) -> Comparison:
    """Compare one array with its probabilistic tolerance, a block of rows at a time."""
    shape = expected.shape
    if observed is None or observed.shape != shape:
        reason = "is missing" if observed is None else f"has shape {observed.shape}, not {shape}"
        return Comparison(quantity, Verdict.SUSPECT, math.inf, reason=reason)
    with np.errstate(all="ignore"):
        parts = _extremes(expected, observed)
        found = merged(parts)
        size, largest = found.largest, found.largest_tolerance
        sharpness = 0.0 if size == 0 and largest <= expected.zero_threshold else float(np.divide(largest, size))
        undecided = not math.isfinite(largest) or not sharpness < 1
        if undecided:
            parts = _extremes(expected, observed, blunt=True)
            found = merged(parts)
    undecided = undecided or mostly_unchecked(found.sharp, observed.size)
    passed = Verdict.UNDECIDED if undecided else Verdict.AGREE
    if any(math.isinf(part.largest_tolerance) for part in parts):
        passed = Verdict.OUT_OF_RANGE
    return Comparison(
        quantity, Verdict.SUSPECT if found.ratio > 1 else passed, found.ratio, found.place, found.expected,
        found.observed, found.tolerance, sharpness, found.sharp, observed.size,
    )  # fmt: skip


def _extremes(expected: Variance | OuterProduct, observed: np.ndarray, blunt: bool = False) -> list[Extremes]:
    """The extremes of each block of rows.

    With blunt, an entry whose tolerance is at least its absolute value is not suspect: errors this large are not
    additive, as the variance assumes.
    """
    found = []
    for rows in blocks(observed):
        part, seen = expected[rows], observed[rows]
        value, size = part.value, np.abs(part.value)
        tolerance = within_range(size, part.tolerance, part.model.format)
        ratio = error_ratios(seen, value, tolerance)
        if blunt:
            vague = np.isfinite(seen) & (tolerance >= size)
            ratio = np.where(vague, np.minimum(ratio, 1.0), ratio)
        tile = extremes(
            ratio, seen, value, size, tolerance, sharp=(size > tolerance) | (tolerance <= part.zero_threshold)
        )
        found.append(tile.below(getattr(rows, "start", 0)))
    return found


@dataclass(frozen=True)
class ActivationVariance:
    """An activation in variance arithmetic, with the errors of other formulas; tangents are those of its parameters.

    To each result y a rounding error of u (|y| + y's change for a relative change of p + S) is added.
    """

    activation: Activation
    tangents: dict[str, Variance] = field(default_factory=dict)

    @classmethod
    def of(
        cls, activation: Activation, names: Mapping[str, str], lift: Callable[[str, np.ndarray], Any]
    ) -> ActivationVariance:
        """With tangents if `lift` converts the parameters, given by their names in the network, to Dual numbers."""
        numbers = {own: np.asarray(getattr(activation, own), np.float64) for own in names}
        duals = {own: x for own, given in numbers.items() if isinstance(x := lift(names[own], given), Dual)}
        return cls(activation, {name: broadcast_tangent(x.tangent, x.value.ndim) for name, x in duals.items()})

    @property
    def parameter_names(self) -> tuple[str, ...]:
        return self.activation.parameter_names

    def shared_along(self, name: str) -> tuple[int, ...]:
        return self.activation.shared_along(name)

    def value(self, p: Any) -> Any:
        """A(p); a Dual number if p is one or a parameter has a tangent."""
        if not isinstance(p, Dual) and not self.tangents:
            return self._value(p)
        x = p if isinstance(p, Dual) else Dual(p, p._lift(np.zeros(p.shape)))
        tangent = self._jvp(x.value, x.tangent)
        for name, own in self.tangents.items():
            tangent = tangent + self.by(name, x.value) * own
        return Dual(self._value(x.value), tangent)

    def _value(self, p: Variance) -> Variance:
        a = self.activation.value(p)
        # u (|A_j| + sum_i |dA_j/dp_i p_i|)
        return p if is_identity(a, p) else with_formula_error(p._lift(a), value_change(self.activation, p.value))

    def derivative(self, p: Variance) -> Variance:
        """A'(p) of an elementwise activation, with the errors of AD and with its jump at kinks."""
        x = p.value
        # u (|A'| + |p A''| + S)
        change = derivative_change(self.activation, x) + conditioning_scale(self.activation, "derivative", x)
        derivative = with_formula_error(p._lift(self.activation.derivative(p)), change)
        derivative = derivative.widen(np.nan_to_num(self._ad_deviation(p), posinf=0.0))
        if not activation_kinks(self.activation, x):
            return derivative
        left, right = (one_sided_derivative(self.activation, x, side) for side in ("left", "right"))
        return derivative.widen(np.where(np.isin(x, self.activation.kinks), right - left, 0.0))

    def _ad_deviation(self, p: Variance) -> np.ndarray:
        """The deviation of A'(p) as AD evaluates it: rounding errors, not the choice between branches at a tie.

        Where two branches of the formula meet, a derivative between those of the branches is no rounding error unless
        the point is a kink, so that the deviation is at most that of the numbers next to p.
        """
        here = self._ad_derivative(p)
        wide = here.deviation > np.abs(here.value) * TIE_SHARE
        if not wide.any():
            return here.deviation
        sides = [
            self._ad_derivative(Variance(np.nextafter(p.value, way), p.variance, p.model)) for way in (-np.inf, np.inf)
        ]
        beside = np.maximum(*(side.deviation for side in sides))
        return np.where(wide, np.fmin(here.deviation, beside), here.deviation)

    def _ad_derivative(self, p: Variance) -> Variance:
        form: Variance = p._lift(tangent_of(self.activation.value(Dual.variable(p))))
        return form

    def vjp(self, p: Variance, delta_a: Variance) -> Any:
        """delta_p."""
        if not self.activation.along_last_axis:
            # delta_p = A'(p) delta_a
            return self.derivative(p) * delta_a
        # u (|delta_p_i| + sum_k |d(delta_p_i)/dp_k p_k|)
        change = vjp_change(self.activation, p.value, delta_a.value)
        return with_formula_error(p._lift(self.activation.vjp(p, delta_a)), change)

    def _jvp(self, p: Variance, tangent: Variance) -> Any:
        """a', the tangent of A(p); several tangents may lie on a first axis."""
        if not self.activation.along_last_axis:
            # a' = A'(p) p'
            return self.derivative(p) * tangent
        # a'_j = sum_i dA_j/dp_i p'_i
        partials = jacobian(self.activation, p)
        if partials is None:  # too many numbers: by the derivatives of the operations of A
            return p._lift(tangent_of(self.activation.value(Dual(p, tangent))))
        if tangent.ndim > p.ndim:
            return np.stack([jvp(partials, one) for one in tangent])
        return jvp(partials, tangent)

    def by(self, name: str, p: Variance) -> Variance:
        """dA/da of a parameter a."""
        change = parameter_change(self.activation, name, p.value)
        return with_formula_error(p._lift(self.activation.by(name, p)), change)


def broadcast_tangent(tangent: Variance, ndim: int) -> Any:
    """A parameter's tangent; several on a first axis get a shape that broadcasts with p's examples and entries."""
    return np.expand_dims(tangent, tuple(range(1, 3 - ndim))) if tangent.ndim > ndim else tangent  # type: ignore[call-overload]


@dataclass(frozen=True)
class LossVariance:
    """A loss in variance arithmetic, or in dual numbers over it, with the errors of other formulas."""

    error: ErrorFunction
    ad_forms: bool = False

    @property
    def targets(self) -> str:
        return self.error.targets

    @property
    def parameter_names(self) -> tuple[str, ...]:
        return self.error.parameter_names

    def value(self, o: Any, t: Any) -> Any:
        """E(o, t)."""
        if isinstance(o, Dual):
            return Dual(self.error.value(o.value, t), np.sum(self.sensitivity(o.value, t) * o.tangent, axis=(-2, -1)))
        return self.error.value(o, t)

    def sensitivity(self, o: Variance, t: Any) -> Any:
        """dE/do, with the errors of automatic differentiation if ad_forms, and with its jump at kinks."""
        plain = values_of(t)
        # u (|s| + S)
        s = with_formula_error(o._lift(self.error.sensitivity(o, t)), loss_scale(self.error, o.value, plain))
        if self.ad_forms:
            given = plain if self.error.targets == "classes" else Rounded.stored(plain, o.model)
            form = ad_loss_gradient(self.error, Rounded.stored(o.value, o.model), given)
            s = s if form is None else s.widen(np.nan_to_num(form.radius / DEVIATIONS, posinf=0.0))
        kinked = self.error.kink(o.value, plain)
        if not np.any(kinked):
            return s
        left, right = (one_sided_loss_gradient(self.error, o.value, plain, side) for side in ("left", "right"))
        return s.widen(np.where(kinked, right - left, 0.0))


def with_formula_error(y: Variance, change: Any) -> Variance:
    """y with an additional rounding error of u (|y| + change), where y is rounded at all."""
    return y.widen(y.model.u * finite_or_zero(np.abs(y.value) + change) * (y.variance > 0))
