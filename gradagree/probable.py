"""The probable check: a whole gradient at once, against the reference run end to end in variance arithmetic.

A bound carried through a network is vacuous after a few boxes; the variance of the rounding errors is not. It is a
trigger, not a proof: it judges what the taps might disturb.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradagree.adapters import Answer
from gradagree.arithmetics.model import Model
from gradagree.arithmetics.variance import Variance
from gradagree.cases import Arrays, Case
from gradagree.judged import finite, largest_up_to, product, second
from gradagree.reference import Activation, ErrorFunction, backpropagate, network

__all__ = ["Outlier", "probable", "same_bits"]


@dataclass(frozen=True)
class ProbableActivation:
    """An activation in variance arithmetic, with other formulas' errors: u (|A| + |p A'|), u (|A'| + |p A''| + S)."""

    activation: Activation

    def value(self, p: Variance) -> Variance:
        x = p.value
        a = self.activation.value(p)
        if a is p:
            return p
        a = p._lift(a)
        scale = np.abs(a.value) + product(x, self.activation.derivative(x))
        return a.widened(p.model.u * finite(scale) * (a.variance > 0))

    def derivative(self, p: Variance) -> Variance:
        x = p.value
        slope = p._lift(self.activation.derivative(p))
        scale = np.abs(slope.value) + product(x, second(self.activation, x))
        scale = scale + largest_up_to(self.activation, "derivative", x)
        return slope.widened(p.model.u * finite(scale) * (slope.variance > 0))

    def pull(self, p: Variance, delta_a: Variance) -> Any:
        if type(self.activation).pull is not Activation.pull:
            return self.activation.pull(p, delta_a)
        return self.derivative(p) * delta_a


@dataclass(frozen=True)
class Outlier:
    """The entry of an untapped gradient that lies farthest outside the probable tolerance (or nearest to it)."""

    ratio: float
    box: int | str
    part: str
    index: tuple[int, ...]
    expected: float
    observed: float
    tolerance: float


def same_bits(x: Answer, y: Answer) -> bool:
    """Whether two answers have the same E, outermost sensitivity and gradients (zeros of either sign are the same)."""
    pairs = zip(gradients(x), gradients(y), strict=True)
    return all(np.array_equal(a, b, equal_nan=True) for a, b in pairs)


def gradients(answer: Answer) -> list[np.ndarray]:
    return [
        np.asarray(answer.E),
        answer.sensitivities[0],
        *(x for x in (*answer.weights, *answer.biases) if x is not None),
    ]


def probable(case: Case, arrays: Arrays, answer: Answer, model: Model) -> Outlier:
    """The worst entry of E, the outermost delta_p and every gradient against the variance arithmetic."""
    expected = reference(case.activations, case.error, arrays, model)
    comparisons: list[tuple[int | str, str, Any, Any]] = [
        ("error", "E", np.asarray(answer.E), expected.E),
        (1, "delta_p", answer.sensitivities[0], expected.delta_p),
    ]
    for k, gradient in enumerate(expected.gradients):
        comparisons += [(k + 1, "dw", answer.weights[k], gradient.w), (k + 1, "db", answer.biases[k], gradient.b)]
    outliers = [_outlier(*comparison) for comparison in comparisons if comparison[2] is not None]
    return max(outliers, key=lambda outlier: -math.inf if math.isnan(outlier.ratio) else outlier.ratio)


def reference(activations: Any, error: ErrorFunction, arrays: Arrays, model: Model) -> Any:
    """The reference's answer on variance arrays."""

    def stored(x: Any) -> Any:
        return None if x is None else Variance.stored(x, model)

    targets = arrays.targets if error.targets == "classes" else stored(arrays.targets)
    net = network(
        [ProbableActivation(activation) for activation in activations],  # type: ignore[misc]
        [stored(w) for w in arrays.weights], [stored(b) for b in arrays.biases], error, targets,
    )  # fmt: skip
    with np.errstate(all="ignore"):
        return backpropagate(net, stored(arrays.inputs))


def _outlier(box: int | str, part: str, observed: np.ndarray, expected: Variance) -> Outlier:
    value, tolerance = expected.value, expected.tolerance
    with np.errstate(all="ignore"):
        ratio = np.where(observed == value, 0.0, np.abs(observed - value) / tolerance)
    place = int(np.nanargmax(ratio)) if ratio.size and not np.isnan(ratio).all() else 0
    return Outlier(
        float(ratio.flat[place]), box, part, tuple(int(i) for i in np.unravel_index(place, ratio.shape)),
        float(value.flat[place]), float(observed.flat[place]), float(tolerance.flat[place]),
    )  # fmt: skip
