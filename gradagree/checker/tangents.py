"""The jvp of one node in any arithmetic: how changes of p, w and b change its output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from gradagree.adapters.problem import tangent_directions
from gradagree.arithmetic.rounded import Rounded
from gradagree.cases.case import Arrays, Case, problem_of
from gradagree.checker.derivative_forms import jacobian, jvp
from gradagree.reference import Box
from gradagree.reference.graph import Node


class Moved(NamedTuple):
    """The tangents of one node's weights and of its activation's parameters; None where there are none.

    All have the directions on a first axis.
    """

    w: np.ndarray | None
    b: np.ndarray | None
    own: Sequence[np.ndarray]


def moved(case: Case, arrays: Arrays, number: int, which: Sequence[int]) -> dict[str, np.ndarray]:
    """Some of a framework's directions: the tangents of the inputs and parameters by name."""
    return tangent_directions(problem_of(case, arrays), number, which)


def parameter_tangents(node: Node, tangents: Mapping[str, np.ndarray]) -> Moved:
    """Those of one node's parameters."""
    named = {own: tangents[name] for own, name in node.parameters.items()}
    return Moved(named.pop("w", None), named.pop("b", None), tuple(named.values()))


def push(activation: Any, p: Any, tangents: Any) -> Any:
    """A'(p) p' of each tangent; along the last axis sum_i dA_j/dp_i p'_i. None where there are too many numbers."""
    if not activation.along_last_axis:
        return activation.derivative(p) * tangents
    partials = jacobian(activation, p)
    return None if partials is None else np.stack([jvp(partials, tangent) for tangent in tangents])


def pushed_own(activation: Any, p: Any, own: Sequence[np.ndarray]) -> Any:
    """The change of A(p) by changes of the activation's parameters."""
    each = zip(activation.own_weights, own, strict=True)
    return sum(activation.by(name, p) * np.expand_dims(x, tuple(range(1, 4 - x.ndim))) for name, x in each)


def weighed(box: Box, a: Any, change: Any, moved: Moved, lift: Any) -> Any:
    """c' of a = A(p) and its changes; lift makes numbers of the arithmetic of tangents.

    Weights that do not change add nothing, unless a may not fit the dtype: infinity times 0 is NaN.
    """
    # c' = a' w + a w' + b'
    if box.w is not None:
        change = change @ box.w
        fits = not isinstance(a, Rounded) or np.isfinite(a.value + a.radius).all()
        counts = np.any(moved.w) or not fits
        change = change + a @ lift(moved.w) if counts else change
    return change if moved.b is None or not np.any(moved.b) else change + np.expand_dims(lift(moved.b), -2)
