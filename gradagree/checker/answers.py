"""Checks of an answer's shapes, and comparison of answers bit for bit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gradagree.adapters import Answer
from gradagree.adapters.problem import tangent_directions
from gradagree.cases.case import Arrays, Case, problem_of
from gradagree.checker.comparison import Comparison, observed_array
from gradagree.reference.graph import LOSS


def malformed(case: Case, arrays: Arrays, answer: Answer) -> str | None:
    """The error in the arrays of an answer, or None; shapes of gradients are compared with their values."""
    if answer.along:
        return wrong_tangents(case, arrays, answer)
    shapes = case.value_shapes
    names = list(shapes)
    unknown = [name for name in (*answer.values, *answer.cotangents) if name not in shapes]
    unknown += [name for name in answer.gradients if name not in (*case.parameter_names, *case.operand_names)]
    if unknown:
        return f"it holds {unknown[0]!r}, which the network does not have"
    for kind, found in (("cotangents", answer.cotangents), ("values", answer.values)):
        if list(found) not in (names[:1], names):
            return f"it holds {len(found)} {kind} for {len(names)} values"
    for (name, x), node in zip(answer.values.items(), [None, *case.nodes(arrays)], strict=False):
        if x.shape != shapes[name]:
            place = name if node is None else f"{name}, the value of {case.function(node.name)},"
            return f"{place} has shape {x.shape}, not {shapes[name]}"
    return None


def wrong_tangents(case: Case, arrays: Arrays, answer: Answer) -> str | None:
    """The error in the tangents of forward mode, if there are any, or None."""
    if not answer.tangents:
        return None
    problem, number = problem_of(case, arrays), len(answer.along)
    try:
        tangent_directions(problem, number, [])
    except ValueError as wrong:
        return str(wrong)
    inputs, *values = case.value_shapes.values()
    found = [x.shape for x in answer.values.values()], [x.shape for x in answer.tangents.values()]
    if found != ([inputs, *values], [(number, *shape) for shape in values]):
        return f"it has tangents of shapes {found[1]} and values of shapes {found[0]}, not those of the network"
    return None


def same_bits(x: Answer, y: Answer) -> bool:
    """True if two answers have the same loss, input cotangent and gradients (0 equals -0)."""
    one, other = gradients(x), gradients(y)
    return all(np.array_equal(one[name], other[name], equal_nan=True) for name in one if name in other)


def gradients(answer: Answer) -> dict[str, np.ndarray]:
    """The loss, the cotangent of the inputs and every gradient, by name."""
    first = {name: answer.cotangents[name] for name in list(answer.cotangents)[:1]}
    return {LOSS: np.asarray(answer.E), **first, **answer.gradients}


def disturbed(comparisons: Sequence[Comparison], tapped: Answer, untapped: Answer) -> list[Comparison]:
    """The arrays that differ in some bit without taps; the others are covered by the per-operation check."""

    def same(one: Comparison) -> bool:
        x, y = (observed_array(answer, one.quantity) for answer in (tapped, untapped))
        return x is y if x is None or y is None else np.array_equal(x, y, equal_nan=True)

    return [one for one in comparisons if not same(one)]
