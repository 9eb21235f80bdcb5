"""The course of a framework's own training: its gradients and its steps, in the order of the pairs polled."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from gradagree.adapters.adapter import Adapter
from gradagree.adapters.own_weights import own_weights
from gradagree.adapters.problem import Problem, parameters
from gradagree.adapters.programs import Architecture


def course(
    adapter: Adapter, problem: Problem, mode: str, rate: float, rounds: Iterable[Sequence[int]]
) -> Iterator[dict[str, np.ndarray]]:
    """All weights and biases by name, after each round of stochastic backpropagation on the pairs polled.

    A round without pairs is one step on all of them. What the activations have of their own stays as it is.
    """
    leaves, targets, _ = adapter.operands(problem)
    error = adapter.error_of(Architecture.of(problem))
    per_example = [k == 0 for k in range(len(leaves))]
    gradient = adapter.modes[mode](lambda leaves, targets: (error(leaves, targets, lambda c: c), []), per_example)
    own = len(leaves) - len(own_weights(problem.activations))
    names = parameters(problem)
    inputs, weights, own_leaves = leaves[0], leaves[1:own], leaves[own:]
    for polled in rounds:
        for pair in [slice(k, k + 1) for k in polled] or [slice(None)]:
            _, gradients = gradient([inputs[pair], *weights, *own_leaves], targets[pair])
            weights = adapter.update(weights, gradients[1:own], rate)
        yield {name: adapter.back(x) for name, x in zip(names, weights, strict=False)}
