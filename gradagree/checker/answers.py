"""Checks of an answer's shapes, and comparison of answers bit for bit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gradagree.adapters import Answer
from gradagree.adapters.problem import tangent_directions
from gradagree.cases.case import Arrays, Case, problem_of
from gradagree.checker.comparison import Comparison, derivative


def malformed(case: Case, arrays: Arrays, answer: Answer) -> str | None:
    """The error in the arrays of an answer, or None; shapes of gradients are compared with their values."""
    boxes, examples = case.depth, arrays.inputs.shape[0]
    if answer.along:
        return wrong_tangents(case, arrays, answer)
    names = list(case.value_names)
    unknown = [name for name in (*answer.values, *answer.cotangents) if name not in names]
    unknown += [name for name in answer.gradients if name not in case.parameter_names]
    if unknown:
        return f"it holds {unknown[0]!r}, which the network does not have"
    if list(answer.cotangents) not in (names[:1], names):
        return f"{len(answer.cotangents)} sensitivities for {boxes} boxes and the error box"
    if list(answer.values) not in (names[:1], names):
        return f"{len(answer.values)} inputs for {boxes} boxes and the error box"
    for k, (p, width) in enumerate(zip(answer.values.values(), (*case.widths, case.outputs), strict=False)):
        if p.shape != (examples, width):
            name = f"the c of box {k} ({case.activations[k - 1]})" if k else "the input of box 1"
            return f"{name} has shape {p.shape}, not {(examples, width)}"
    return None


def wrong_tangents(case: Case, arrays: Arrays, answer: Answer) -> str | None:
    """Likewise of forward mode's tangents, where it gives them."""
    if not answer.tangents:
        return None
    problem, examples = problem_of(case, arrays), arrays.inputs.shape[0]
    try:
        tangent_directions(problem, len(answer.along), [])
    except ValueError as wrong:
        return str(wrong)
    shapes = [(examples, width) for width in (*case.widths, case.outputs)][: case.depth + 1]
    found = [p.shape for p in answer.values.values()], [x.shape for x in answer.tangents.values()]
    if found != (shapes, [(len(answer.along), *shape) for shape in shapes[1:]]):
        return f"tangents of shapes {found[1]} and inputs of shapes {found[0]}, not as the boxes have them"
    return None


# Whether taps have changed the gradient: the same one is asked for without them
# ------------------------------------------------------------------------------


def same_bits(x: Answer, y: Answer) -> bool:
    """True if two answers have the same loss, input cotangent and gradients (0 equals -0)."""
    pairs = zip(gradients(x), gradients(y), strict=True)
    return all(np.array_equal(a, b, equal_nan=True) for a, b in pairs)


def gradients(answer: Answer) -> list[np.ndarray]:
    """The loss, the cotangent of the inputs and every gradient."""
    return [np.asarray(answer.E), *list(answer.cotangents.values())[:1], *answer.gradients.values()]


def disturbed(comparisons: Sequence[Comparison], tapped: Answer, untapped: Answer) -> list[Comparison]:
    """The arrays that differ in some bit without taps; the others are covered by the per-operation check."""

    def same(one: Comparison) -> bool:
        if one.part == "E":
            return np.array_equal(tapped.E, untapped.E, equal_nan=True)
        x, y = (derivative(answer, one.box, one.part) for answer in (tapped, untapped))
        return x is y if x is None or y is None else np.array_equal(x, y, equal_nan=True)

    return [one for one in comparisons if not same(one)]
