"""From a framework's arrays to its answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gradagree.adapters.problem import Answer, Problem, parameters
from gradagree.reference.graph import INPUTS, value_name


def assembled(
    back: Callable[[Any], np.ndarray], problem: Problem, E: Any, values: Sequence[Any], gradients: Sequence[Any],
    cotangents: Sequence[Any], updated: Sequence[Any], seconds: float,
) -> Answer:  # fmt: skip
    """The answer, from the gradients in the leaves' order; back makes a framework's array one of NumPy."""
    outermost, *read = [back(x) for x in gradients]
    names = list(parameters(problem))
    return Answer(
        float(back(E)),
        {INPUTS: np.asarray(problem.inputs, dtype=np.float64), **by_node([back(c) for c in values])},
        {INPUTS: outermost, **by_node([back(delta) for delta in cotangents])},
        dict(zip(names, read, strict=True)),
        seconds,
        updated=dict(zip(names, [back(x) for x in updated], strict=False)),
    )


def by_node(arrays: Sequence[Any]) -> dict[str, Any]:
    """What belongs to the values of a chain's nodes, by their names."""
    return {value_name(k): x for k, x in enumerate(arrays, 1)}
