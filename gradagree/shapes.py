"""The shapes that follow from a case's widths: an activation along the last axis may change the number of entries."""

from __future__ import annotations

from collections.abc import Sequence

from gradagree.errors import UsageError
from gradagree.reference import Activation, ErrorFunction


def box_outputs(widths: Sequence[int], activations: Sequence[Activation]) -> list[int]:
    """How many numbers each activation makes of the box's input. Raises UsageError where they do not fit."""
    inputs = [*widths, widths[-1]][: len(activations)]
    made = []
    for k, (activation, n) in enumerate(zip(activations, inputs, strict=True), 1):
        width = activation.width(n)
        if not width:
            raise UsageError(f"box {k}: {activation} does not take an input of {n} numbers; choose another width")
        made.append(width)
    return made


def weight_shapes(widths: Sequence[int], activations: Sequence[Activation]) -> tuple[tuple[int, int], ...]:
    """(n, m) of each box's weights."""
    return tuple(zip(box_outputs(widths, activations), widths[1:], strict=False))


def outputs(widths: Sequence[int], activations: Sequence[Activation]) -> int:
    """How many outputs o an example has."""
    return box_outputs(widths, activations)[-1] if len(activations) == len(widths) else widths[-1]


def target_shape(error: ErrorFunction, examples: int, n: int) -> tuple[int, ...]:
    """The shape of the targets of so many examples with n outputs. Raises UsageError where n outputs do not fit."""
    width = error.width(n)
    if width is None:
        raise UsageError(f"{error} does not take {n} outputs; choose another width, or parameters of that length")
    return (examples,) if error.targets == "classes" else (examples, width)
