"""The box check: each box on the framework's own input and incoming sensitivity.

It is the derivation's own induction. The forward pass comes first: each box's c must be what the box makes of the
framework's own p. Then the error box's sensitivity must be right; and each box outwards must make the right delta_p, dw
and db of the framework's own p and delta_c. So rounding does not compound, and the guilty box is known at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradagree.adapters import Answer
from gradagree.arithmetics.model import Model
from gradagree.arithmetics.rounded import Rounded
from gradagree.cases import Arrays, Case
from gradagree.comparison import ERROR_BOX, Comparison, Part, Tolerant, compare
from gradagree.kinks import at_kinks, error_kinks
from gradagree.reference import Box, ErrorBox
from gradagree.verdict import Verdict

__all__ = ["check", "check_update"]


def check(case: Case, arrays: Arrays, answer: Answer, model: Model) -> Iterator[Comparison]:
    """Every comparison of the box check, in the derivation's order; a value that differs is the last one."""
    boxes = case_boxes(case, arrays)
    inputs, sensitivities = ([Rounded.stored(x, model) for x in xs] for xs in (answer.inputs, answer.sensitivities))
    targets = arrays.targets if case.error.targets == "classes" else Rounded.stored(arrays.targets, model)
    for k, box in enumerate(boxes, 1):
        found = compare(k, "c", answer.inputs[k], lambda how: judged_box(box, how, model).weigh(inputs[k - 1]))  # noqa: B023
        yield found
        if found.verdict is Verdict.VALUE_DIFFERS:
            return
    found = compare(
        ERROR_BOX, "E", np.asarray(answer.E), lambda how: ErrorBox(how.error(case.error), targets)(inputs[-1])
    )
    yield found
    if found.verdict is Verdict.VALUE_DIFFERS:
        return
    kinks = error_kinks(case.error, answer.inputs[-1], arrays.targets)
    yield compare(
        ERROR_BOX, "delta_p", answer.sensitivities[-1],
        lambda how: ErrorBox(how.error(case.error), targets).pull(inputs[-1]), kinks,
    )  # fmt: skip
    for k in range(len(boxes), 0, -1):
        if answer.sensitivities[k].shape != answer.inputs[k].shape:
            return
        yield from _pull(k, boxes[k - 1], answer, inputs, sensitivities, model)


def _pull(
    k: int, box: Box, answer: Answer, inputs: list[Rounded], sensitivities: list[Rounded], model: Model
) -> Iterator[Comparison]:
    """delta_p, dw and db of box k."""
    pulled: dict[Tolerant, Any] = {}

    def pull(how: Tolerant) -> Any:
        if how not in pulled:
            pulled[how] = judged_box(box, how, model).pull(inputs[k - 1], sensitivities[k])
        return pulled[how]

    kinks = at_kinks(box.activation, answer.inputs[k - 1])
    yield compare(k, "delta_p", answer.sensitivities[k - 1], lambda how: pull(how)[0], kinks)
    gradients: tuple[tuple[Part, Any, Any], ...] = (("dw", box.w, answer.weights), ("db", box.b, answer.biases))
    for place, (part, owned, given) in enumerate(gradients):
        if owned is not None:
            yield compare(k, part, given[k - 1], lambda how: pull(how)[1][place])  # noqa: B023
    yield from _pull_own(k, box, answer, inputs, sensitivities, model)


def _pull_own(
    k: int, box: Box, answer: Answer, inputs: list[Rounded], sensitivities: list[Rounded], model: Model
) -> Iterator[Comparison]:
    """The gradients of what the activation of box k has of its own."""
    given = (*answer.activations[k - 1 : k], ())[0]
    for place, name in enumerate(box.activation.own_weights):

        def expect(how: Tolerant) -> Any:
            return judged_box(box, how, model).pull_own(inputs[k - 1], sensitivities[k])[name]  # noqa: B023

        yield compare(k, f"d{name}", given[place] if place < len(given) else None, expect)


def check_update(arrays: Arrays, answer: Answer, rate: float, model: Model) -> Iterator[Comparison]:
    """One step of steepest descent from the framework's own gradient: w - rate dE/dw, b - rate dE/db."""
    owned = [(k, "w", w, answer.weights[k - 1]) for k, w in enumerate(arrays.weights, 1)]
    owned += [(k, "b", b, answer.biases[k - 1]) for k, b in enumerate(arrays.biases, 1) if b is not None]
    after = (*answer.updated, *[None] * len(owned))
    for (k, part, before, gradient), updated in zip(owned, after, strict=False):
        if gradient is not None:
            step = Rounded.constant(rate, model) * Rounded.stored(gradient, model)
            expected = Rounded.stored(before, model) - step
            yield compare(k, part, updated, lambda how: expected)  # noqa: B023


def case_boxes(case: Case, arrays: Arrays) -> list[Box]:
    """The boxes from the outermost inwards, on ordinary arrays."""
    from gradagree.reference.boxes import boxes

    return list(boxes(case.network(arrays)))


def judged_box(box: Box, how: Tolerant, model: Model) -> Box:
    """The box on rounded arrays, its weights as the framework holds them."""
    w, b = (None if x is None else Rounded.stored(x, model) for x in (box.w, box.b))
    return Box(how.activation(box.activation), w, b, box.inside)
