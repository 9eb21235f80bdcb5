"""The jvp of a dense layer in any arithmetic, and its bounds for any correct program."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from gradagree.arithmetic.dual import Dual, tangent_of
from gradagree.arithmetic.rounded import Rounded, round_once
from gradagree.checker.allowances import (
    ActivationBounds,
    TangentOptions,
    either,
    overflow_allowance,
    underflow_allowance,
)
from gradagree.checker.conditioning import finite_or_zero, vjp_change
from gradagree.checker.derivative_forms import jacobian, jvp as matrix_jvp
from gradagree.checker.kinks import Kinks, one_sided_derivative
from gradagree.reference import Box
from gradagree.reference.graph import Node


class ParameterTangents(NamedTuple):
    """The tangents of a layer's weights and bias and of its activation's parameters; None where there are none.

    All have the directions on a first axis.
    """

    w: np.ndarray | None
    b: np.ndarray | None
    own: Sequence[np.ndarray]

    @classmethod
    def of(cls, node: Node, tangents: Mapping[str, np.ndarray]) -> ParameterTangents:
        """Those of one node, from the tangents of all parameters by name."""
        named = {own: tangents[name] for own, name in node.parameters.items()}
        return cls(named.pop("w", None), named.pop("b", None), tuple(named.values()))


def jvp(activation: Any, p: Any, tangents: Any) -> Any:
    """A'(p) p' of each tangent; along the last axis sum_i dA_j/dp_i p'_i. None where there are too many numbers."""
    if not activation.along_last_axis:
        return activation.derivative(p) * tangents
    partials = jacobian(activation, p)
    return None if partials is None else np.stack([matrix_jvp(partials, tangent) for tangent in tangents])


def parameters_jvp(activation: Any, p: Any, own: Sequence[np.ndarray]) -> Any:
    """The change of A(p) by changes of the activation's parameters."""
    each = zip(activation.parameter_names, own, strict=True)
    return sum(activation.by(name, p) * np.expand_dims(x, tuple(range(1, 4 - x.ndim))) for name, x in each)


def affine_tangents(box: Box, a: Any, change: Any, moved: ParameterTangents, lift: Any) -> Any:
    """c' of a = A(p) and its tangents; lift converts parameters' tangents to the arithmetic.

    Weights that do not change add nothing, unless a may not fit the dtype: infinity times 0 is NaN.
    """
    # c' = a' w + a w' + b'
    if box.w is not None:
        change = change @ box.w
        fits = not isinstance(a, Rounded) or np.isfinite(a.value + a.radius).all()
        counts = np.any(moved.w) or not fits
        change = change + a @ lift(moved.w) if counts else change
    return change if moved.b is None or not np.any(moved.b) else change + np.expand_dims(lift(moved.b), -2)


@dataclass(frozen=True)
class ExpectedTangents:
    """The tangents of a layer on rounded arrays."""

    box: Box
    rounded: Box
    p: Rounded
    kinks: Kinks
    how: TangentOptions

    @functools.cached_property
    def activation(self) -> ActivationBounds:
        bounds: ActivationBounds = self.how.bounds.bounds(self.box.activation)
        return bounds

    @functools.cached_property
    def activated(self) -> Rounded:
        """A(p)."""
        return self.p._lift(self.activation.value(self.p))

    @functools.cached_property
    def derivative(self) -> Rounded:
        """A'(p)."""
        one_sided = functools.partial(one_sided_derivative, self.box.activation, self.p.value)
        return self.how.with_kinks(self.activation.derivative(self.p), self.kinks, one_sided)

    def expected(self, tangents: Rounded, changes: ParameterTangents) -> Rounded:
        """c' of tangents p'."""
        with np.errstate(all="ignore"):
            if self.box.activation.along_last_axis:
                change: Any = self._along_rows(tangents)
            else:
                change = self._elementwise(tangents)
            if changes.own:
                change = change + parameters_jvp(self.activation, self.p, changes.own)
            lift = lambda x: Rounded.stored(x, self.p.model)  # noqa: E731
            found: Rounded = affine_tangents(self.rounded, self.activated, change, changes, lift)
        return found

    def _elementwise(self, tangents: Rounded) -> Rounded:
        """A'(p) p'; out of range where an intermediate of AD, which multiplies p' first, may overflow."""
        p: Any = self.p
        change: Rounded = self.activation.times(self.derivative, p, tangents)
        if not self.how.bounds.conditioning:
            return change
        ad_form = p._lift(tangent_of(self.box.activation.value(Dual(p[None], tangents))))
        radius = np.where(np.isinf(ad_form.radius), np.inf, change.radius)
        return Rounded(change.value, radius, p.model)

    def _along_rows(self, tangents: Rounded) -> Rounded:
        """a' of rows, within 8 u of sum_i |dA_j/dp_i p'_i| and of its change for relative changes of p.

        With AD forms also as automatic differentiation of A may compute it, and with the complete jump at kinks on
        request. With conditioning out of range where sums of p' itself, with which a program may begin, may overflow.
        """
        activation, plain, model = self.box.activation, self.p.value, self.p.model
        if self.how.bounds.rounded_once and model.narrow:
            change = jvp(activation, self.p.with_model(model.wide), tangents.with_model(model.wide))
            if change is not None:
                return round_once(change, model)
        change = jvp(activation, self.p, tangents)
        if change is not None and self.how.bounds.own_formula:
            return change
        if change is None or self.how.bounds.ad_forms:
            p: Any = self.p
            ad_form = p._lift(tangent_of(activation.value(Dual(p[None], tangents))))
            if change is None:
                return ad_form
        tangent_sizes = np.abs(tangents.value)
        sizes = jvp(VjpSizes(activation, np.abs), plain, tangent_sizes)
        # sum_ik |d^2 A_j / dp_i dp_k p_k p'_i|
        changes = jvp(VjpSizes(activation), plain, tangent_sizes)
        allowed = model.formula * model.u * (finite_or_zero(sizes) + finite_or_zero(changes))
        if self.how.row_jumps:
            beside = [jvp(activation, np.nextafter(plain, side), tangents.value) for side in (-np.inf, np.inf)]
            change = change.widen(finite_or_zero(np.abs(beside[1] - beside[0])))
        if self.how.bounds.leaves_range:
            lost = underflow_allowance(sizes, np.sum(plain**2, axis=-1, keepdims=True), model)
            total = np.sum(tangent_sizes + tangents.radius, axis=-1, keepdims=True)
            largest = total * np.maximum(1.0, np.max(np.abs(plain), axis=-1, keepdims=True))
            allowed = allowed + finite_or_zero(lost) + overflow_allowance(largest, 1.0, model)
        radius = either(change, ad_form) if self.how.bounds.ad_forms else change.radius
        return Rounded(change.value, radius, model).widen(np.where(radius != 0, allowed, 0.0))


class VjpSizes:
    """An activation along the last axis whose vjp is a size of its own vjp, so that the Jacobian has such entries.

    The size is `size` of each entry; by default it is the entry's change for a relative change of each p.
    """

    along_last_axis = True

    def __init__(self, activation: Any, size: Callable[[Any], Any] | None = None) -> None:
        self.activation, self.width, self.size = activation, activation.width, size

    def vjp(self, p: np.ndarray, delta_a: np.ndarray) -> Any:
        if self.size is None:
            return np.broadcast_to(vjp_change(self.activation, p, delta_a), p.shape)
        return self.size(self.activation.vjp(p, delta_a))
