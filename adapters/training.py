"""Steepest descent in a framework, by the gradients of one of its modes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from gradagree.adapters.adapter import Adapter
from gradagree.adapters.problem import Problem
from gradagree.adapters.programs import Architecture


def training_steps(
    adapter: Adapter, problem: Problem, mode: str, rate: float, rounds: Iterable[Sequence[int]]
) -> Iterator[dict[str, np.ndarray]]:
    """All weights and biases by name, after each round of stochastic backpropagation on the sampled pairs.

    A round without pairs is one step on all of them. The parameters of activations stay constant, and the loss has no
    factor.
    """
    leaves, targets, _ = adapter.operands(problem)
    error = adapter.error_of(Architecture.of(replace(problem, loss_weight=1.0)))
    per_example = [k == 0 for k in range(len(leaves))]
    gradient = adapter.modes[mode](lambda leaves, targets: (error(leaves, targets, lambda c: c), []), per_example)
    end = 1 + len(problem.trained)
    inputs, weights, constant = leaves[0], leaves[1:end], leaves[end:]
    for sampled in rounds:
        for pair in [slice(k, k + 1) for k in sampled] or [slice(None)]:
            _, gradients = gradient([inputs[pair], *weights, *constant], targets[pair])
            weights = adapter.update(weights, gradients[1:end], rate)
        yield {name: adapter.back(x) for name, x in zip(problem.trained, weights, strict=True)}
