"""From a framework's arrays to its answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gradagree.adapters.own_weights import by_box
from gradagree.adapters.problem import Answer, Problem


def assembled(
    back: Callable[[Any], np.ndarray], problem: Problem, E: Any, inputs: Sequence[Any], gradients: Sequence[Any],
    sensitivities: Sequence[Any], updated: Sequence[Any], seconds: float,
) -> Answer:  # fmt: skip
    """The answer, from the gradients in the leaves' order; back makes a framework's array one of NumPy."""
    read = [back(x) for x in gradients]
    n, spare = len(problem.weights), [None] * (len(problem.activations) - len(problem.weights))
    biases = iter(read[1 + n :])
    return Answer(
        float(back(E)),
        (np.asarray(problem.inputs, dtype=np.float64), *(back(c) for c in inputs)),
        (read[0], *(back(delta) for delta in sensitivities)),
        (*read[1 : 1 + n], *spare),
        (*(None if b is None else next(biases) for b in problem.biases), *spare),
        seconds,
        updated=tuple(back(x) for x in updated),
        activations=by_box(problem.activations, read),
    )
