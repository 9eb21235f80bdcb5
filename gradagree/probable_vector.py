"""Activations along the last axis, and those with weights of their own, in variance arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gradagree.arithmetics.dual import Dual, slope_of
from gradagree.arithmetics.variance import Variance
from gradagree.directions import along, pull_change, rows, value_change
from gradagree.judged import finite, product, second
from gradagree.kinks import at_kinks, one_sided
from gradagree.natural import largest_up_to
from gradagree.reference import Activation

__all__ = ["ProbableActivation", "probable_activation"]


@dataclass(frozen=True)
class ProbableActivation:
    """An activation in variance arithmetic, with other formulas' errors: u (|A| + |p A'|), u (|A'| + |p A''| + S).

    tangents holds the tangents of its own weights where dual numbers are pushed forward.
    """

    activation: Activation
    tangents: dict[str, Variance] = field(default_factory=dict)

    @property
    def own_weights(self) -> tuple[str, ...]:
        return self.activation.own_weights

    def shared_along(self, name: str) -> tuple[int, ...]:
        return self.activation.shared_along(name)

    def value(self, p: Any) -> Any:
        if not isinstance(p, Dual) and not self.tangents:
            return self.value_of(p)
        x = p if isinstance(p, Dual) else Dual(p, p._lift(np.zeros(p.shape)))
        slope = self.push(x.value, x.slope)
        for name, tangent in self.tangents.items():
            slope = slope + self.by(name, x.value) * tangent
        return Dual(self.value_of(x.value), slope)

    def value_of(self, p: Variance) -> Variance:
        a = self.activation.value(p)
        return p if a is p else self.widened(a, p, lambda x: product(x, self.activation.derivative(x)))

    def push(self, p: Variance, tangent: Variance) -> Any:
        """The slope of A(p) along a tangent."""
        return self.derivative(p) * tangent

    def derivative(self, p: Variance) -> Variance:
        """A'(p), with what automatic differentiation of A may lose, and with the jump of A' on a kink."""

        def change(x: np.ndarray) -> Any:
            return product(x, second(self.activation, x)) + largest_up_to(self.activation, "derivative", x)

        x = p.value
        slope = self.widened(self.activation.derivative(p), p, change)
        formed = p._lift(slope_of(self.activation.value(Dual.variable(p))))
        slope = slope.widened(np.nan_to_num(formed.deviation, posinf=0.0))
        if not at_kinks(self.activation, x):
            return slope
        left, right = (one_sided(self.activation, x, side) for side in ("left", "right"))
        return slope.widened(np.where(np.isin(x, self.activation.kinks), right - left, 0.0))

    def by(self, name: str, p: Variance) -> Variance:
        """dA/da of one of its own weights."""
        by = self.activation.by
        return self.widened(by(name, p), p, lambda x: product(x, slope_of(by(name, Dual.variable(x)))))

    def pull(self, p: Variance, delta_a: Variance) -> Any:
        return self.derivative(p) * delta_a

    def widened(self, a: Any, p: Variance, change: Callable[[np.ndarray], Any]) -> Variance:
        """With an error of u (|a| + its change for a change of p) more, where there is one."""
        a = p._lift(a)
        return a.widened(p.model.u * finite(np.abs(a.value) + change(p.value)) * (a.variance > 0))


@dataclass(frozen=True)
class ProbableVector(ProbableActivation):
    """An activation with a rule of its own for pull."""

    def value_of(self, p: Variance) -> Variance:
        a = self.activation.value(p)
        return p if a is p else self.widened(a, p, lambda x: value_change(self.activation, x))

    def push(self, p: Variance, tangent: Variance) -> Any:
        """The tangent's product with each row of dA_j/dp_i; of several tangents, on a first axis, each by itself."""
        partials = rows(self.activation, p)
        if tangent.ndim > p.ndim:
            return np.stack([along(partials, one) for one in tangent])
        return along(partials, tangent)

    def pull(self, p: Variance, delta_a: Variance) -> Any:
        found = self.activation.pull(p, delta_a)
        return self.widened(found, p, lambda x: pull_change(self.activation, x, delta_a.value))


def probable_activation(activation: Activation, tangent: Callable[[np.ndarray], Any]) -> ProbableActivation:
    """tangent makes Dual numbers of an own weight's number, or plain ones."""
    pushed = {name: tangent(np.asarray(getattr(activation, name), dtype=np.float64)) for name in activation.own_weights}
    tangents = {name: over_examples(x.slope, x.value.ndim) for name, x in pushed.items() if isinstance(x, Dual)}
    return (ProbableVector if activation.along_last_axis else ProbableActivation)(activation, tangents)


def over_examples(tangent: Variance, ndim: int) -> Any:
    """An own weight's tangent; several, on a first axis, in a shape that goes with p's examples and numbers."""
    return np.expand_dims(tangent, tuple(range(1, 3 - ndim))) if tangent.ndim > ndim else tangent  # type: ignore[call-overload]
