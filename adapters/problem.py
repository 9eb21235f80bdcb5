"""What an adapter is given, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gradagree.reference import Activation, ErrorFunction

__all__ = ["MOST_COORDINATES", "Answer", "Problem", "Unsupported", "coordinates", "share"]

MOST_COORDINATES = 256
"""Forward mode pushes one tangent for each weight; beyond so many weights it is not asked to."""


class Unsupported(Exception):
    """The framework or mode cannot express what is asked; the message says why and what to add."""


@dataclass(frozen=True)
class Problem:
    """A network with its numbers, as float64 (class targets int64) arrays of numbers that the dtype holds exactly."""

    activations: Sequence[Activation]
    error: ErrorFunction
    weights: Sequence[np.ndarray]
    biases: Sequence[np.ndarray | None]
    inputs: np.ndarray
    targets: np.ndarray
    dtype: str


@dataclass(frozen=True)
class Answer:
    """What a framework gave for one problem in one mode, as float64 arrays.

    inputs[k] is the current input p of box k + 1, the last one the output o; sensitivities[k] belongs to inputs[k]
    (without taps: only the outermost). weights[k] and biases[k] are dE/dw and dE/db of box k + 1, or None.
    """

    E: float
    inputs: tuple[np.ndarray, ...]
    sensitivities: tuple[np.ndarray, ...]
    weights: tuple[np.ndarray | None, ...]
    biases: tuple[np.ndarray | None, ...]
    seconds: float = 0.0

    @property
    def tapped(self) -> bool:
        """Whether it holds each box's input and sensitivity."""
        return len(self.inputs) > 1


def coordinates(problem: Problem) -> int:
    """The number of weights and biases."""
    return sum(x.size for x in (*problem.weights, *problem.biases) if x is not None)


def share(problem: Problem) -> float:
    """What one example's own error counts for in the error of them all: 1 for sums, 1/n for means.

    Raises Unsupported for an error function that couples the examples of a batch.
    """
    n, outputs = 3, max(2, problem.targets.shape[-1] if problem.targets.ndim > 1 else int(problem.targets.max()) + 1)
    o = np.arange(n * outputs).reshape(n, outputs) / 4 - 1
    t = np.arange(n) % outputs if problem.error.targets == "classes" else (np.arange(n * outputs) % 2).reshape(o.shape)
    alone = sum(float(problem.error.value(o[k : k + 1], t[k : k + 1])) for k in range(n))
    together = float(problem.error.value(o, t))
    for factor, per_batch in ((1.0, 1.0), (1.0 / n, 1.0 / problem.inputs.shape[0])):
        if abs(together - factor * alone) <= o.size * np.finfo(np.float64).eps * abs(alone):
            return per_batch
    raise Unsupported(f"{problem.error} couples the examples of a batch, so that no example has a gradient of its own")
