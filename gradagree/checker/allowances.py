"""Error bounds that hold for any correct formula of an operation, not only for the reference's own.

An activation or a loss runs on rounded arrays. To the radius of the reference's own formula these bounds add what the
model of a correct program (`gradagree.arithmetics.model`) allows other formulas and, as an option, the conditioning
scale: digits that a correct but inaccurate formula may lose.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradagree.arithmetics.dual import Dual, slope_of
from gradagree.arithmetics.model import FORMULA, NARROW, Model
from gradagree.arithmetics.rounded import Rounded
from gradagree.checker.derivative_forms import (
    formed_derivative,
    formed_pull,
    formed_sensitivity,
    pull_change,
    reach,
    reach_of,
    rows,
    value_change,
)
from gradagree.kinks import error_slope, one_sided
from gradagree.reference import Activation, ErrorFunction
from gradagree.reference.samples import inside, neutral

TABLE = np.concatenate([np.arange(0, 16, 1 / 64), np.geomspace(16, 2.0**20, 512)])
FRACTIONS = np.arange(9) / 8


def largest_up_to(activation: Activation, part: str, x: np.ndarray) -> np.ndarray:
    """S(p): the largest size of A (on [-1, 1] too) or of A' on [0, p]; beyond the table, at p itself."""
    table = natural_table(activation, part)
    with np.errstate(all="ignore"):
        here = np.abs(getattr(activation, part)(x))
        place = np.minimum(np.searchsorted(TABLE, np.abs(x)), len(TABLE) - 1)
    return np.fmax(here, np.where(x < 0, table[0][place], table[1][place]))


@functools.lru_cache(maxsize=1024)
def natural_table(activation: Activation, part: str) -> tuple[np.ndarray, np.ndarray]:
    """The running largest size outwards from 0, for negative and for positive p."""
    function: Callable[[Any], Any] = getattr(activation, part)
    with np.errstate(all="ignore"):
        sizes = [np.abs(np.broadcast_to(function(side * TABLE), TABLE.shape)) for side in (-1, 1)]
    negative, positive = (np.fmax.accumulate(np.where(np.isfinite(size), size, 0.0)) for size in sizes)
    if part == "value":
        one = np.searchsorted(TABLE, 1.0)
        floor = max(negative[one], positive[one])
        return np.maximum(negative, floor), np.maximum(positive, floor)
    return negative, positive


def largest_sensitivity(error: ErrorFunction, o: np.ndarray, t: Any) -> np.ndarray:
    """S: the largest |dE/do| on the way from the middle of the domain to o, over the outputs of an example."""
    start = neutral(error.domain, o)
    way = [np.abs(error.sensitivity(start + f * (o - start), t)) for f in FRACTIONS]
    sizes = [np.max(size, axis=-1, keepdims=True) for size in way]
    return np.broadcast_to(np.max(sizes, axis=0), o.shape)


def underflow(scale: Any, squares: Any, model: Model) -> Any:
    """What a chain of products may lose below the smallest numbers, where its factors are as large as S and p^2."""
    return FORMULA * model.quantum * np.maximum(1.0, scale) * np.maximum(1.0, squares)


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

    def vjp(self, p: Rounded, delta_a: Rounded) -> Any:
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


def judged_activation(activation: Activation, natural: bool, slope: str | None, formed: bool) -> JudgedActivation:
    kind = JudgedVector if activation.along_last_axis else JudgedActivation
    return kind(activation, natural, slope, formed)


@dataclass(frozen=True)
class JudgedVector(JudgedActivation):
    """An activation with a vjp of its own; |p A'| becomes sum_i |dA_j/dp_i p_i|, and so on."""

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

    def vjp(self, p: Rounded, delta_a: Rounded) -> Rounded:
        """delta_p, within 8 u (|delta_p| + its change for one of p).

        If formed, within what automatic differentiation of A may form, and what A(p) that was kept gives, too; if
        natural, within 8 u of the largest sum_j |dA_j/dp_i delta_a_j| on the way from 0 to p.
        """
        x, d = p.value, delta_a.value
        if self.formed:
            p, delta_a = p.modelled(p.model.outwards), delta_a.modelled(p.model.outwards)
        with np.errstate(all="ignore"):
            rounded = p._lift(self.activation.vjp(p, delta_a))
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


@dataclass(frozen=True)
class JudgedError:
    """An error function on rounded arrays, with the radii of any correct formula."""

    error: ErrorFunction
    natural: bool = False
    slope: str | None = None
    formed: bool = False

    def value(self, o: Rounded, t: Any) -> Rounded:
        """E(o, t), within 8 u (|E| + sum |o_i s_i|), and 8 u (|E(0)| + sum |o_i| S_i) if natural."""
        x, plain = o.value, values_of(t)
        with np.errstate(all="ignore"):
            e = o._lift(self.error.value(o, t))
            scale = np.abs(e.value) + np.sum(np.abs(product(x, self.error.sensitivity(x, plain))), axis=(-2, -1))
            if self.natural:
                start = neutral(self.error.domain, x)
                scale = scale + np.abs(self.error.value(start, plain))
                way = np.abs(x - start) * largest_sensitivity(self.error, x, plain)
                scale = scale + np.sum(way, axis=(-2, -1))
        return e.widened(allowance(scale, e.radius, o.model))

    def sensitivity(self, o: Rounded, t: Any) -> Rounded:
        """dE/do, within 8 u (|s| + |o s'|), and 8 u S if natural; s' is the change of s along o.

        If formed, within what automatic differentiation of E may form, too.
        """
        x, plain = o.value, values_of(t)
        if self.slope is not None:
            return self._with_slope(o, t)
        if self.formed:
            o = o.modelled(o.model.outwards)
        with np.errstate(all="ignore"):
            s = o._lift(self.error.sensitivity(o, t))
            scale = np.abs(s.value) + self._change(x, plain)
            if self.natural:
                scale = scale + largest_sensitivity(self.error, x, plain)
            formed = self._formed(o, t, s.radius) if self.formed else None
        radius = s.radius if formed is None else wider(s, formed)
        if self.natural:
            radius = np.where(_overflowing(x, formed), np.inf, radius)
        answer = Rounded(s.value, radius, o.model, s.q).widened(allowance(scale, radius, o.model))
        if self.natural:
            with np.errstate(all="ignore"):
                lost = underflow(scale, np.sum(x**2, axis=-1, keepdims=True), o.model)
                lost = lost + NARROW * o.model.quantum * reach(self.error, x, plain)
                answer = answer.widened(np.where(radius != 0, finite(lost), 0.0))
        return answer

    def _formed(self, o: Rounded, t: Any, spread: np.ndarray) -> Rounded | None:
        """What automatic differentiation of E may form; s is off by spread."""
        return formed_anyhow(o, lambda o: formed_sensitivity(self.error, o, t), spread)

    def _with_slope(self, o: Rounded, t: Any) -> Rounded:
        """The slope at the kinks, as it is one rounding beside them, and what is open; elsewhere nothing is said."""
        plain = values_of(t)
        slope = error_slope(self.error, o.value, plain, self.slope or "")
        margin = o.model.formula * o.model.u * np.abs(slope) + o.model.quantum
        with np.errstate(all="ignore"):
            margin = margin + o._lift(self.error.sensitivity(o, t)).radius
        return Rounded(slope, np.where(self.error.kink(o.value, plain), margin, np.nan), o.model)

    def _change(self, x: np.ndarray, t: Any) -> np.ndarray:
        """How much s changes for a relative change of o: along o, or along |o|, whichever is more."""
        along = [np.abs(slope_of(self.error.sensitivity(Dual(x, way), t))) for way in (x, np.abs(x))]
        return finite(np.broadcast_to(np.maximum(*along), x.shape))


def _overflowing(o: np.ndarray, formed: Rounded | None) -> Any:
    """In rows that have overflowed already, and where a number that E is formed of may not fit."""
    past = ~np.isfinite(o).all(axis=-1, keepdims=True)
    return past if formed is None else past | np.isinf(formed.radius)
