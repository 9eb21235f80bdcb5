"""Activations along the last axis whose rounded answers enclose those of any correct formula."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradagree.arithmetics.rounded import Rounded
from gradagree.directions import formed_pull, pull_change, rows, value_change
from gradagree.judged import JudgedActivation, allowance, finite, formed_anyhow, handed_on, overflow, wider
from gradagree.natural import FRACTIONS, underflow
from gradagree.reference import Activation
from gradagree.reference.samples import inside

__all__ = ["JudgedVector", "judged_activation"]


def judged_activation(activation: Activation, natural: bool, slope: str | None, formed: bool) -> JudgedActivation:
    kind = JudgedVector if activation.along_last_axis else JudgedActivation
    return kind(activation, natural, slope, formed)


@dataclass(frozen=True)
class JudgedVector(JudgedActivation):
    """An activation with a rule of its own for pull; |p A'| becomes sum_i |dA_j/dp_i p_i|, and so on."""

    def value(self, p: Rounded) -> Rounded:
        """A(p), within 8 u (|A_j| + sum_i |dA_j/dp_i p_i|), and 8 u times the largest |A_j| on the way if natural."""
        x = p.value
        with np.errstate(all="ignore"):
            a = p._lift(self.activation.value(p))
            if handed_on(a, p):
                return a
            scale = np.abs(a.value) + value_change(self.activation, x)
            if self.natural:
                scale = scale + np.fmax.reduce([np.abs(self.activation.value(way)) for way in self._way(x)])
        return a.widened(allowance(scale, a.radius, p.model))

    def pull(self, p: Rounded, delta_a: Rounded) -> Rounded:
        """delta_p, within 8 u (|delta_p| + its change for one of p).

        If formed, within what automatic differentiation of A may form, and what A(p) that was kept gives, too; if
        natural, within 8 u of the largest sum_j |dA_j/dp_i delta_a_j| on the way from 0 to p.
        """
        x, d = p.value, delta_a.value
        if self.formed:
            p, delta_a = p.modelled(p.model.outwards), delta_a.modelled(p.model.outwards)
        with np.errstate(all="ignore"):
            rounded = p._lift(self.activation.pull(p, delta_a))
            formed = self._formed(p, delta_a, rounded.radius) if self.formed else None
            scale = np.abs(rounded.value) + pull_change(self.activation, x, d)
            if self.natural:
                scale = scale + np.fmax.reduce([self._size(way, d) for way in self._way(x)])
            lost = underflow(scale, np.sum(x**2, axis=-1, keepdims=True), p.model) if self.natural else 0.0
            by_value = self._by_value(p, delta_a) if self.formed else None
        for other in (formed, by_value):
            rounded = rounded if other is None else Rounded(rounded.value, wider(rounded, other), p.model)
        radius = rounded.radius
        answer = Rounded(rounded.value, radius, p.model).widened(allowance(scale, radius, p.model))
        if self.natural:
            largest = [np.max(size, axis=-1, keepdims=True) for size in (np.abs(d) + delta_a.radius, np.abs(x))]
            answer = answer.widened(overflow(largest[0] * np.maximum(1.0, largest[1]), radius, p.model))
        return answer.widened(np.where(radius != 0, finite(lost), 0.0))

    def _formed(self, p: Rounded, delta_a: Rounded, spread: np.ndarray) -> Rounded | None:
        """What automatic differentiation of A may form; delta_p is off by spread."""
        return formed_anyhow(p, lambda p: formed_pull(self.activation, p, delta_a), spread)

    def _by_value(self, p: Rounded, delta_a: Rounded) -> Rounded | None:
        """delta_p by way of the rounded A(p), where the activation has a formula of that kind (`_by_value`)."""
        formula = getattr(self.activation, "_by_value", None)
        return None if formula is None else p._lift(formula(p, delta_a))

    def _way(self, x: np.ndarray) -> list[np.ndarray]:
        """Points on the way from 0 to p."""
        return [inside(self.activation.domain, f * x) if f == 0 else f * x for f in FRACTIONS]

    def _size(self, x: np.ndarray, delta_a: np.ndarray) -> Any:
        found = rows(self.activation, x)
        sizes = 0.0 if found is None else np.abs(found) * np.moveaxis(np.abs(delta_a), -1, 0)[..., None]
        return np.broadcast_to(np.sum(sizes, axis=0), x.shape)
