"""Whether an answer has the parts that a case asks for, before any number is looked at."""

from __future__ import annotations

from gradagree.adapters import Answer
from gradagree.cases import Arrays, Case

__all__ = ["malformed"]


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
