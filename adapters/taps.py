"""Taps: the values and the cotangents of all nodes, captured by zeros that are added to the values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gradagree.adapters.modes import Error
from gradagree.adapters.problem import Answer, Problem, by_node
from gradagree.reference.graph import INPUTS


def with_taps(error: Callable[..., Any], n: int, copy: Callable[[Any], Any]) -> Error:
    """The loss of n leaves and of zeros, which are added to the values of the nodes; it returns the values too.

    Nodes receive copies of the values, which they may overwrite.
    """

    def tapped_error(operands: list[Any], targets: Any) -> Any:
        zeros = iter(operands[n:])
        values: list[Any] = []

        def tap(c: Any) -> Any:
            values.append(c + next(zeros))
            return copy(values[-1])

        return error(operands[:n], targets, tap), values

    return tapped_error


def build_answer(
    back: Callable[[Any], np.ndarray], problem: Problem, E: Any, values: Sequence[Any], gradients: Sequence[Any],
    cotangents: Sequence[Any], updated: Sequence[Any], seconds: float,
) -> Answer:  # fmt: skip
    """The answer from gradients in the order of the leaves; back converts a framework's array to NumPy."""
    of_inputs, *of_parameters = [back(x) for x in gradients]
    return Answer(
        float(back(E)),
        {INPUTS: np.asarray(problem.inputs, dtype=np.float64), **by_node([back(c) for c in values])},
        {INPUTS: of_inputs, **by_node([back(delta) for delta in cotangents])},
        dict(zip(problem.parameters, of_parameters, strict=True)),
        seconds,
        updated=dict(zip(problem.trained, [back(x) for x in updated], strict=False)),
    )
