"""Data sets with the networks trained on them, and their initial weights and sampled examples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradagree.cases.datasets import DATASETS
from gradagree.cases.regimes import Source, encode_decisions, inverse_root
from gradagree.errors import UsageError, nearest
from gradagree.reference import Activation, ErrorFunction
from gradagree.reference.graph import parameter_name
from gradagree.reference.training import Network, NetworkWeights, decisions

BITS = 16
"""Significant bits of an initial weight, so that float32 holds it exactly."""


@dataclass(frozen=True)
class Examples:
    """Inputs p (examples, n), targets t of the loss's kind, and the index of the correct class of each example."""

    p: np.ndarray
    t: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.p)


@dataclass(frozen=True)
class TrainingConfig:
    """A data set and the network trained on it; `held_out` examples are not trained on and measure its accuracy."""

    dataset: str
    widths: tuple[int, ...]
    activations: tuple[str, ...]
    error: str
    biased: bool
    rate: float
    rounds: int
    held_out: int

    @property
    def network(self) -> Network:
        functions = tuple(Activation.named(name) for name in self.activations)
        return Network(functions, ErrorFunction.named(self.error))

    def data(self) -> tuple[Examples, Examples]:
        """The training examples and the held-out ones. Raises UsageError if scikit-learn is not installed."""
        p, labels = DATASETS[self.dataset].load()
        t = encode_decisions(self.network.error.targets, labels, self.widths[-1])
        cut = len(p) - self.held_out
        return Examples(p[:cut], t[:cut], labels[:cut]), Examples(p[cut:], t[cut:], labels[cut:])

    def weights(self, seed: int) -> NetworkWeights:
        """Random initial weights of magnitude at most (fan-in)^(-1/2); biases are zero."""
        source = Source(f"weights {self.dataset} {seed}")
        pairs = list(zip(self.widths, self.widths[1:], strict=False))
        w = tuple(source.dyadic((n, m), BITS, inverse_root(n)) for n, m in pairs)
        return NetworkWeights(w, tuple(np.zeros(m) if self.biased else None for _, m in pairs))

    def weights_of(self, parameters: Mapping[str, np.ndarray]) -> NetworkWeights:
        """The weights and biases among parameters by name; None for a bias that is missing."""
        layers = range(1, len(self.widths))
        w, b = (tuple(parameters.get(parameter_name(k, name)) for k in layers) for name in "wb")
        return NetworkWeights(w, b)

    def sample_epoch(self, seed: int, number: int, count: int) -> list[int]:
        """Indices of the examples of one epoch, drawn with replacement from `count` examples."""
        indices: list[int] = Source(f"polled {self.dataset} {seed} {number}").integers(count, (count,)).tolist()
        return indices

    def accuracy(self, weights: NetworkWeights, examples: Examples) -> float:
        """Share of correctly classified examples."""
        return float(np.mean(decisions(self.network.output(weights, examples.p)) == examples.labels))


CONFIGS = {
    "diabetes": TrainingConfig(
        "diabetes", (10, 4, 6, 8, 4), ("id", "tanh", "tanh", "tanh"), "sse", False, 2.0**-7, 30, 100
    ),
    "digits": TrainingConfig("digits", (64, 32, 10), ("id", "tanh"), "cross_entropy", True, 2.0**-4, 8, 500),
}


def find_config(name: str) -> TrainingConfig:
    """The configuration for a data set. Raises UsageError for an unknown one."""
    if name not in CONFIGS:
        raise UsageError(f"no data set {name!r} to train on; {nearest(name, CONFIGS)}")
    return CONFIGS[name]


def network_example(config: TrainingConfig, weights: NetworkWeights, held_out: Examples) -> dict[str, Any]:
    """A trained network on the first held-out example: its weights, and the input and cotangent of every operation."""
    network, first = config.network, slice(0, 1)
    box: Any = network.boxes(weights, held_out.t[first])
    inputs, cotangents = [held_out.p[first]], box.answer(held_out.p[first]).sensitivities
    for _ in network.activations:
        inputs.append(box.weigh(inputs[-1]))
        box = box.inside
    example = {
        "inputs": [p[0].tolist() for p in inputs],
        "sensitivities": [delta[0].tolist() for delta in cotangents],
        "target": np.atleast_1d(held_out.t[0]).tolist(),
        "decision": int(np.argmax(inputs[-1][0])),
        "right": int(held_out.labels[0]),
    }
    biases = [None if b is None else b.tolist() for b in weights.b]
    return {"weights": [w.tolist() for w in weights.w], "biases": biases, "example": example}
