"""The size of the terms of a sum that an output is, which may cancel in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gradagree.reference.graph import Application, Graph, Value
from gradagree.reference.operations.primitive import count

SAME_SIZE = ("negative", "positive", "reshape", "ravel", "squeeze", "expand_dims", "transpose", "broadcast_to")


def largest_term(graph: Graph, inputs: Sequence[np.ndarray], output: Any) -> float:
    """The magnitude of the largest term of the sum or mean that an output of a graph is, 0 if it is none.

    A sum may be divided by a number, and its entries moved.
    """
    if not isinstance(output, Value):
        return 0.0
    with np.errstate(all="ignore"):
        values = graph.evaluate(inputs)
    steps = {step.output.number: step for step in graph.applications}
    divisor = 1.0
    step = steps.get(output.number)
    while step is not None and step.operation.name in (*SAME_SIZE, "divide"):
        if step.operation.name == "divide":
            divisor *= float(np.min(np.abs(number(step.operands[1], values)), initial=np.inf))
        step = steps.get(step.operands[0].number) if isinstance(step.operands[0], Value) else None
    if step is None or step.operation.name not in ("sum", "mean") or not divisor:
        return 0.0
    return terms_of(step, values) / divisor


def terms_of(step: Application, values: Sequence[Any]) -> float:
    terms = number(step.operands[0], values)
    parts = count(terms.shape, step.parameters.get("axis")) if step.operation.name == "mean" else 1
    return float(np.max(np.abs(terms), initial=0.0)) / max(parts, 1)


def number(x: Any, values: Sequence[Any]) -> np.ndarray:
    return np.asarray(values[x.number] if isinstance(x, Value) else x, dtype=np.float64)
