"""Whether an answer has the parts that a case asks for, and a spelling the shape, before any number is looked at."""

from __future__ import annotations

import numpy as np

from gradagree.adapters import Adapter, Answer, Problem
from gradagree.cases import Arrays, Case
from gradagree.reference.samples import neutral

__all__ = ["malformed", "misshapen"]


def malformed(case: Case, arrays: Arrays, answer: Answer) -> str | None:
    """What is wrong with the parts of an answer, or None; the shapes of gradients are judged as numbers are."""
    boxes, examples = case.depth, arrays.inputs.shape[0]
    if answer.along:
        return None
    counts = {"gradients of weights": len(answer.weights), "gradients of biases": len(answer.biases)}
    for name, count in counts.items():
        if count != boxes:
            return f"{count} {name} for {boxes} boxes"
    if len(answer.sensitivities) not in (1, boxes + 1):
        return f"{len(answer.sensitivities)} sensitivities for {boxes} boxes and the error box"
    if len(answer.inputs) not in (1, boxes + 1):
        return f"{len(answer.inputs)} inputs for {boxes} boxes and the error box"
    for k, (p, width) in enumerate(zip(answer.inputs, (*case.widths, case.outputs), strict=False)):
        if p.shape != (examples, width):
            return f"the input of box {k + 1} has shape {p.shape}, not {(examples, width)}"
    return None


def misshapen(adapter: Adapter, problem: Problem) -> str | None:
    """Which activation's spelling returns nothing, or another shape than the activation, or None."""
    examples, n = problem.inputs.shape
    for k, activation in enumerate(problem.activations):
        width, p = activation.width(n) or 0, neutral(activation.domain, np.zeros((examples, n)))
        try:
            a = adapter.spelling(activation)(adapter.constant(p, problem.dtype))
        except Exception:  # noqa: BLE001  (what it raises is told already)
            return None
        told = f"{type(activation).__name__}.{adapter.name} returns"
        if a is None:
            return f"{told} nothing: end it with `return` and the formula"
        shape = tuple(getattr(a, "shape", (examples, width)))
        if shape != (examples, width):
            return f"{told} shape {shape} for p of shape {p.shape}; it must be {(examples, width)}"
        n = problem.weights[k].shape[1] if k < len(problem.weights) else width
    return None
