"""Bounds of programs whose rounding errors are independent, in variance arithmetic.

In sums and long formulas the worst case is far from what any program does. Where it is blunt, an array that lies within
these narrower bounds says more; one that does not is judged by the worst case alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from gradagree.arithmetic.dual import Dual, tangent_of
from gradagree.arithmetic.duck import NoRule
from gradagree.arithmetic.model import Model
from gradagree.arithmetic.rounded import Rounded
from gradagree.arithmetic.variance import Variance
from gradagree.checker.dense_tangents import ParameterTangents, affine_tangents, jvp, parameters_jvp
from gradagree.checker.derivative_forms import ad_loss_gradient, ad_vjp
from gradagree.reference import Box, ErrorBox

Bounds = Iterator[Rounded]


def bounds(model: Model, *formulas: Callable[[], Any]) -> Bounds:
    """Those of each formula that has rules in variance arithmetic."""
    for formula in formulas:
        try:
            with np.errstate(all="ignore"):
                found = formula()
        except NoRule:
            continue
        if isinstance(found, Variance):
            yield Rounded(found.value, found.tolerance, model)


def cotangent(box: Box, p: np.ndarray, delta_c: np.ndarray, model: Model) -> Bounds:
    """delta_p, by the reference's vjp and as automatic differentiation of A computes it."""
    x: Any = Variance.stored(p, model)
    activation = box.activation

    def by_dual_numbers() -> Any:
        delta_a = box.delta_a(Variance.stored(delta_c, model))
        if activation.along_last_axis:
            return ad_vjp(activation, x, delta_a)
        return tangent_of(activation.value(Dual.variable(x))) * delta_a

    return bounds(model, lambda: box.sensitivity(x, Variance.stored(delta_c, model)), by_dual_numbers)


def tangents(box: Box, p: np.ndarray, given: np.ndarray, moved: ParameterTangents, model: Model) -> Bounds:
    """c' of the tangents of p and of the parameters."""
    x: Any = Variance.stored(p, model)

    def lift(y: Any) -> Any:
        return Variance.stored(y, model)

    def formula() -> Any:
        change = jvp(box.activation, x, lift(given))
        if change is not None and moved.own:
            change = change + parameters_jvp(box.activation, x, moved.own)
        return None if change is None else affine_tangents(box, box.activation.value(x), change, moved, lift)

    return bounds(model, formula)


def loss_cotangent(box: ErrorBox, o: np.ndarray, model: Model) -> Bounds:
    """dE/do, by the reference's formula and as automatic differentiation of E computes it."""
    x, lifted = Variance.stored(o, model), with_targets(box, model)

    def by_dual_numbers() -> Any:
        found = ad_loss_gradient(box.error, x, lifted.t)
        return None if found is None else found * box.weight

    return bounds(model, lambda: lifted.pull(x), by_dual_numbers)


def loss_tangents(box: ErrorBox, o: np.ndarray, given: np.ndarray, model: Model) -> Bounds:
    """E' of tangents of o, from dE/do and as automatic differentiation of E computes it."""
    x, tangent, lifted = Variance.stored(o, model), Variance.stored(given, model), with_targets(box, model)
    return bounds(
        model,
        lambda: np.sum(lifted.pull(x) * tangent, axis=(-2, -1)),
        lambda: tangent_of(lifted(Dual(x[None], tangent))),
    )


def with_targets(box: ErrorBox, model: Model) -> ErrorBox:
    """The loss with targets in variance arithmetic."""
    t: Any = box.t
    return ErrorBox(box.error, t if box.error.targets == "classes" else Variance.stored(t, model), box.weight)
