"""What the train command trains: a data set, the network that decides on it, and how fast it learns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradagree.datasets import DATASETS
from gradagree.drawing import Source, inverse_root
from gradagree.errors import UsageError, nearest
from gradagree.reference import Activation, ErrorFunction
from gradagree.reference.training import Network, Weights, decisions
from gradagree.targets import from_decisions

BITS = 16


@dataclass(frozen=True)
class Pairs:
    """Inputs p (pairs, n), targets t of the error function's kind, and the number of each right decision."""

    p: np.ndarray
    t: np.ndarray
    right: np.ndarray

    def __len__(self) -> int:
        return len(self.p)


@dataclass(frozen=True)
class Lesson:
    """A network and the data that it learns from; held_out pairs are kept to see how well it decides."""

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

    def data(self) -> tuple[Pairs, Pairs]:
        """The pairs to learn from, and those held out. Raises UsageError where scikit-learn is not installed."""
        p, right = DATASETS[self.dataset].load()
        t = from_decisions(self.network.error.targets, right, self.widths[-1])
        cut = len(p) - self.held_out
        return Pairs(p[:cut], t[:cut], right[:cut]), Pairs(p[cut:], t[cut:], right[cut:])

    def weights(self, seed: int) -> Weights:
        """Small random initial weights, within (fan-in)^(-1/2); biases zero."""
        source = Source(f"weights {self.dataset} {seed}")
        pairs = list(zip(self.widths, self.widths[1:], strict=False))
        w = tuple(source.dyadic((n, m), BITS, inverse_root(n)) for n, m in pairs)
        return Weights(w, tuple(np.zeros(m) if self.biased else None for _, m in pairs))

    def polled(self, seed: int, number: int, pairs: int) -> list[int]:
        """The pairs of a round, polled at random, as many as there are."""
        polled: list[int] = Source(f"polled {self.dataset} {seed} {number}").integers(pairs, (pairs,)).tolist()
        return polled

    def accuracy(self, weights: Weights, pairs: Pairs) -> float:
        """The share of right decisions."""
        return float(np.mean(decisions(self.network.output(weights, pairs.p)) == pairs.right))


LESSONS = {
    "diabetes": Lesson("diabetes", (10, 4, 6, 8, 4), ("id", "tanh", "tanh", "tanh"), "sse", False, 2.0**-7, 30, 100),
    "digits": Lesson("digits", (64, 32, 10), ("id", "tanh"), "cross_entropy", True, 2.0**-4, 8, 500),
}


def lesson(name: str) -> Lesson:
    """The lesson of a data set. Raises UsageError for an unknown one."""
    if name not in LESSONS:
        raise UsageError(f"no data set {name!r} to train on; {nearest(name, LESSONS)}")
    return LESSONS[name]


def picture(lesson: Lesson, weights: Weights, held: Pairs) -> dict[str, Any]:
    """A trained network on the first pair held out: its weights, and every box's current input and sensitivity."""
    net, pair = lesson.network, slice(0, 1)
    box: Any = net.boxes(weights, held.t[pair])
    inputs, deltas = [held.p[pair]], box.answer(held.p[pair]).sensitivities
    for _ in net.activations:
        inputs.append(box.weigh(inputs[-1]))
        box = box.inside
    example = {
        "inputs": [p[0].tolist() for p in inputs],
        "sensitivities": [delta[0].tolist() for delta in deltas],
        "target": np.atleast_1d(held.t[0]).tolist(),
        "decision": int(np.argmax(inputs[-1][0])),
        "right": int(held.right[0]),
    }
    biases = [None if b is None else b.tolist() for b in weights.b]
    return {"weights": [w.tolist() for w in weights.w], "biases": biases, "example": example}
