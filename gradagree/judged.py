"""Functions whose rounded answers enclose those of any correct formula, not of the reference's alone.

`JudgedActivation` and `JudgedError` stand in for an activation and an error function in a box that runs on rounded
arrays. To the radius that the reference's own formula gets they add what the model of a correct program
(`gradagree.arithmetics.model`) allows to other formulas, and, when asked, the natural scale: digits that a correct but
inaccurate formula may lose.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradagree.arithmetics.dual import Dual, slope_of
from gradagree.arithmetics.model import NARROW, Model
from gradagree.arithmetics.rounded import Rounded
from gradagree.formed import formed_derivative, reach_of
from gradagree.kinks import one_sided
from gradagree.natural import largest_up_to, underflow
from gradagree.reference import Activation

__all__ = ["JudgedActivation", "finite", "product", "second"]


@dataclass(frozen=True)
class JudgedActivation:
    """An activation on rounded arrays, with the radii of any correct formula.

    natural adds the natural scale; slope chooses one of `SLOPES` at the kinks, and says
    nothing elsewhere; formed allows what automatic differentiation of A may form.
    """

    activation: Activation
    natural: bool = False
    slope: str | None = None
    formed: bool = False

    def value(self, p: Rounded) -> Rounded:
        """A(p), within 8 u (|A| + |p A'|), and 8 u S if natural."""
        x = p.value
        with np.errstate(all="ignore"):
            a = p._lift(self.activation.value(p))
            if handed_on(a, p):
                return a
            scale = np.abs(a.value) + product(x, self.activation.derivative(x))
            if self.natural:
                scale = scale + largest_up_to(self.activation, "value", x)
        return a.widened(allowance(scale, a.radius, p.model))

    def derivative(self, p: Rounded) -> Rounded:
        """A'(p), within 8 u (|A'| + |p A''|), and 8 u S if natural; if formed, within a dual number's slope too."""
        x = p.value
        if self.slope is not None:
            return self._with_slope(p)
        with np.errstate(all="ignore"):
            rounded = p._lift(self.activation.derivative(p))
            formed = formed_derivative(self.activation, p) if self.formed else None
            scale = np.abs(rounded.value) + product(x, second(self.activation, x))
            if self.natural:
                scale = scale + largest_up_to(self.activation, "derivative", x)
        radius = rounded.radius if formed is None else wider(rounded, formed)
        return Rounded(rounded.value, radius, p.model).widened(allowance(scale, radius, p.model))

    def pull(self, p: Rounded, delta_a: Rounded) -> Any:
        """delta_p = A'(p) delta_a."""
        return self.times(self.derivative(p), p, delta_a)

    def times(self, slope: Rounded, p: Rounded, delta_a: Rounded) -> Any:
        """A'(p) delta_a, or A'(p) p'; if natural, with what products of delta_a with the factors of A'(p) may lose."""
        product = slope * delta_a
        if not self.natural:
            return product
        size = (np.abs(delta_a.value) + delta_a.radius) * np.maximum(1.0, np.abs(p.value))
        rounds = getattr(self.activation.derivative(p), "radius", 0.0)
        scale = largest_up_to(self.activation, "derivative", p.value)
        chain = underflow(scale, p.value**2, p.model) + NARROW * p.model.quantum * reach_of(self.activation, p.value)
        lost = np.where(rounds != 0, chain, 0.0)
        return product.widened(lost + overflow(size, rounds, p.model))

    @property
    def own_weights(self) -> tuple[str, ...]:
        return self.activation.own_weights

    def shared_along(self, name: str) -> tuple[int, ...]:
        return self.activation.shared_along(name)

    def by(self, name: str, p: Rounded) -> Rounded:
        """dA/da, within what automatic differentiation of A may form, and 8 u (|dA/da| + its change for one of p)."""
        numbers = np.asarray(getattr(self.activation, name), dtype=np.float64)
        own = Dual(numbers, np.ones(numbers.shape))
        with np.errstate(all="ignore"):
            rounded = p._lift(self.activation.by(name, p))
            formed = p._lift(slope_of(self.activation.holding(**{name: own}).value(p)))
            scale = np.abs(rounded.value) + product(p.value, slope_of(self.activation.by(name, Dual.variable(p.value))))
        radius = wider(rounded, formed)
        return Rounded(rounded.value, radius, p.model, rounded.q).widened(allowance(scale, radius, p.model))

    def _with_slope(self, p: Rounded) -> Rounded:
        """The slope at the kinks; elsewhere nothing is said."""
        slope = one_sided(self.activation, p.value, self.slope or "")
        margin = p.model.formula * p.model.u * np.abs(slope)
        kinked = np.isin(p.value, np.asarray(self.activation.kinks, dtype=np.float64))
        return Rounded(slope, np.where(kinked, margin, np.nan), p.model)


def values_of(t: Any) -> Any:
    """Targets as ordinary numbers."""
    return getattr(t, "value", t)


def handed_on(a: Any, p: Any) -> bool:
    """Whether the activation handed on the very array it was given, so that no rounding can occur."""
    return a is p


def product(x: Any, slope: Any) -> np.ndarray:
    """|x slope|, where 0 times anything is 0."""
    return np.where(x == 0, 0.0, np.abs(x * slope))


def overflow(size: np.ndarray, rounds: Any, model: Model) -> np.ndarray:
    """Infinite where 2 p delta_a, with which a program may begin, may not fit, though delta_p does."""
    return np.where((rounds != 0) & (2 * size > model.format.largest), np.inf, 0.0)


def allowance(scale: Any, radius: Any, model: Model) -> np.ndarray:
    """8 u of a scale, where the reference's own formula rounds at all."""
    return np.where(radius != 0, model.formula * model.u * finite(scale), 0.0)


def finite(scale: Any) -> np.ndarray:
    """A scale that could not be computed (no derivative at a tie) adds nothing."""
    return np.nan_to_num(scale, nan=0.0, posinf=np.inf)


def second(activation: Activation, x: np.ndarray) -> np.ndarray:
    """A''(p): the activation's own, or the dual slope of A'."""
    own = getattr(activation, "second", None)
    found = own(x) if own is not None else slope_of(activation.derivative(Dual.variable(x)))
    return np.broadcast_to(np.asarray(found), x.shape)


def wider(rounded: Rounded, formed: Rounded) -> np.ndarray:
    """The radius that encloses both; only the first where the second is not a derivative (a tie) or useless."""
    with np.errstate(all="ignore"):
        gap = np.abs(formed.value - rounded.value)
        both = gap + formed.radius
        usable = np.isfinite(both) & (gap <= formed.radius + rounded.radius)
    return np.maximum(rounded.radius, np.where(usable, both, 0.0))


def formed_anyhow(x: Rounded, form: Callable[[Rounded], Rounded | None], spread: np.ndarray) -> Rounded | None:
    """What is formed of x.

    Where two numbers may be the largest if they are as far from what is stored as a box may hand them on, it is formed
    of those that are stored, and off by spread.
    """
    found = form(x)
    if found is None or not (np.isnan(found.radius) & (x.radius > 0)).any():
        return found
    stored = form(Rounded.stored(x.value, x.model))
    assert stored is not None
    unknown = np.isnan(found.radius)
    value, radius = np.where(unknown, stored.value, found.value), np.where(unknown, stored.radius, found.radius)
    return Rounded(value, radius + np.where(unknown, spread, 0.0), x.model)
