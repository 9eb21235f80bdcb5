"""Bounds of programs whose rounding errors are independent, in variance arithmetic.

In sums and long formulas the worst case is far from what any program does. Where it is blunt, an array that lies within
these narrower bounds says more; one that does not is judged by the worst case alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from gradagree.arithmetic.duck import NoRule
from gradagree.arithmetic.model import Model
from gradagree.arithmetic.rounded import Rounded
from gradagree.arithmetic.variance import Variance
from gradagree.checker.dense_tangents import ParameterTangents, affine_tangents, jvp, parameters_jvp
from gradagree.reference import Box, ErrorBox

Bounds = Iterator[Rounded]


def bounds(model: Model, formula: Callable[[], Any]) -> Bounds:
    """Those of a formula, if it has rules in variance arithmetic."""
    try:
        with np.errstate(all="ignore"):
            found = formula()
    except NoRule:
        return
    if isinstance(found, Variance):
        yield Rounded(found.value, found.tolerance, model)


def cotangent(box: Box, p: np.ndarray, delta_c: np.ndarray, model: Model) -> Bounds:
    """delta_p, by the reference's vjp."""
    return bounds(model, lambda: box.sensitivity(Variance.stored(p, model), Variance.stored(delta_c, model)))


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
    """dE/do, by the reference's formula."""
    return bounds(model, lambda: with_targets(box, model).pull(Variance.stored(o, model)))


def loss_tangents(box: ErrorBox, o: np.ndarray, given: np.ndarray, model: Model) -> Bounds:
    """E' of tangents of o, from dE/do."""
    x, tangent = Variance.stored(o, model), Variance.stored(given, model)
    return bounds(model, lambda: np.sum(with_targets(box, model).pull(x) * tangent, axis=(-2, -1)))


def with_targets(box: ErrorBox, model: Model) -> ErrorBox:
    """The loss with targets in variance arithmetic."""
    t: Any = box.t
    return ErrorBox(box.error, t if box.error.targets == "classes" else Variance.stored(t, model), box.weight)
