"""Error bounds that hold for any correct formula of a function, not only for the reference's own.

An activation or a loss runs on rounded arrays. To the radius of the reference's own formula the bounds add what the
model of a correct program (`gradagree.arithmetic.model`) allows other formulas and, as an option, the conditioning
scale: digits that a correct but inaccurate formula may lose. The model's term for a result y = f(x) is

    8 u (|y| + sum_i |dy/dx_i x_i| + S),

where the sum is the change of y for a relative change of x, and S, with `conditioning` only, the conditioning scale.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gradagree.arithmetic.ball import Ball, lift, precision
from gradagree.arithmetic.dual import Dual, tangent_of
from gradagree.arithmetic.model import FORMULA, NARROW, Model
from gradagree.arithmetic.rounded import Rounded, round_once
from gradagree.arithmetic.three_valued import recorded_comparisons
from gradagree.checker.conditioning import (
    abs_product,
    conditioning_scale,
    derivative_change,
    finite_or_zero,
    loss_gradient_change,
    loss_scale,
    parameter_change,
    value_change,
    value_scale,
    vjp_change,
    vjp_scale,
)
from gradagree.checker.derivative_forms import (
    ad_derivative,
    ad_loss_gradient,
    ad_vjp,
    cancelling_cotangents,
    cotangent_gain,
    gain,
    loss_gain,
)
from gradagree.checker.kinks import ADMISSIBLE, Kinks, one_sided_derivative, one_sided_loss_gradient
from gradagree.reference import Activation, ErrorFunction
from gradagree.reference.samples import midpoint


@dataclass(frozen=True)
class ToleranceOptions:
    """What a tolerance allows beyond the model of a correct program.

    conditioning: add the conditioning scale. one_sided: at kinks use the derivative of this name (one of
    `kinks.ADMISSIBLE`); all other entries are undecided. ad_forms: include derivatives as AD may evaluate them.
    underflow: allow underflow and overflow of intermediates without the conditioning scale. own_formula: allow the
    roundings of the reference's formula and nothing else; only agreement counts. rounded_once: let functions and sums
    in 16 bits be evaluated in float32. stored_value: with rounded_once, vjps from A(p) as it is stored.
    """

    conditioning: bool = False
    one_sided: str | None = None
    ad_forms: bool = False
    underflow: bool = False
    own_formula: bool = False
    rounded_once: bool = False
    stored_value: bool = False

    @property
    def leaves_range(self) -> bool:
        """True if intermediates may underflow or overflow, as with the conditioning scale."""
        return self.conditioning or self.underflow

    @classmethod
    def without_conditioning(cls, cotangent: bool = False) -> list[ToleranceOptions]:
        """From the narrowest to the widest without the conditioning scale; two of them are for cotangents only."""
        once, steps, any_formula = cls(own_formula=True, rounded_once=True), cls(own_formula=True), cls()
        stored, ad = replace(once, stored_value=True), cls(ad_forms=True)
        return [once, stored, steps, any_formula, ad] if cotangent else [once, steps, any_formula]

    @classmethod
    def widest(cls) -> ToleranceOptions:
        """Everything that a correct program may lose."""
        return cls(conditioning=True, ad_forms=True)

    def bounds(self, function: Activation | ErrorFunction) -> Any:
        """The activation or loss with error bounds, to use in its place on rounded arrays."""
        kind = LossBounds if isinstance(function, ErrorFunction) else ActivationBounds
        return kind(function, self)  # type: ignore[arg-type]


JUMP = "jump"


@dataclass(frozen=True)
class TangentOptions:
    """What the tolerance of a tangent allows: bounds for derivatives, and the derivative at kinks.

    at_kinks is one of `kinks.ADMISSIBLE`, `JUMP` for anything between the one-sided derivatives, or None for the
    reference's own derivative. row_jumps: add the complete jump at kinks of functions along the last axis.
    """

    bounds: ToleranceOptions = ToleranceOptions()
    at_kinks: str | None = None
    row_jumps: bool = False

    @property
    def without_conditioning(self) -> TangentOptions:
        return replace(self, bounds=replace(self.bounds, conditioning=False))

    @property
    def with_underflow(self) -> TangentOptions:
        return replace(self, bounds=replace(self.bounds, conditioning=False, underflow=True))

    @classmethod
    def all(cls, kinks: Kinks) -> list[TangentOptions]:
        """From the narrowest to the widest."""
        widest = ToleranceOptions.widest()
        found = [cls(how) for how in ToleranceOptions.without_conditioning(cotangent=True) if not how.stored_value]
        sides = [None, *((*ADMISSIBLE, JUMP) if kinks else ())]
        return [*found, *(cls(widest, side, row_jumps=True) for side in sides)]

    def with_kinks(self, found: Rounded, kinks: Kinks, one_sided: Callable[[str], Any]) -> Rounded:
        """A derivative with the chosen one at the kinks; one_sided computes those of `kinks.ADMISSIBLE` by name."""
        if self.at_kinks is None:
            return found
        on = functools.reduce(np.logical_or, kinks.values(), np.zeros(found.value.shape, dtype=bool))
        if self.at_kinks != JUMP:
            return Rounded(np.where(on, one_sided(self.at_kinks), found.value), found.radius, found.model)
        # the middle, within half the jump
        left, right = (np.broadcast_to(one_sided(side), on.shape) for side in ("left", "right"))
        on = on & np.isfinite(left) & np.isfinite(right)
        middle = np.where(on, (left + right) / 2, found.value)
        half = np.maximum(np.abs(right - left) / 2, np.abs(found.value - middle))
        return Rounded(middle, found.radius, found.model).widen(np.where(on, half, 0.0))


SAME_POINTS = np.array([-6.5, -3.25, -1.5, -0.6875, -0.125, 0.1875, 0.75, 1.375, 3.5, 7.25])
"""Points at which two formulas are compared, with `SAME_BITS` bits."""
SAME_BITS = 160


@functools.lru_cache(maxsize=256)
def equivalent_activations(activation: Activation) -> tuple[Activation, ...]:
    """Elementwise activations of the catalogue that are the same function as a user's, by other formulas."""
    if type(activation).__module__.startswith("gradagree.reference") or activation.along_last_axis:
        return ()
    own = [kind for kind in Activation.catalogue.values() if kind.__module__.startswith("gradagree.reference")]
    others = (kind() for kind in own)
    return tuple(other for other in others if not other.along_last_axis and same_function(activation, other))


def same_function(x: Activation, y: Activation) -> bool:
    """True if two elementwise activations have the same values, to many digits, at all of `SAME_POINTS`."""
    p = np.abs(SAME_POINTS) if "positive" in (x.domain, y.domain) else SAME_POINTS
    try:
        with precision(SAME_BITS), np.errstate(all="ignore"):
            ours, theirs = (lift(function.value(Ball.exact(p))).balls for function in (x, y))
            return all(
                bool(abs(a - b) <= (abs(a) + abs(b)) * 2.0 ** -(SAME_BITS // 2)) or (a == 0 and b == 0)
                for a, b in zip(ours, theirs, strict=True)
            )
    except Exception:  # noqa: BLE001  (a formula without rules in ball arithmetic is compared with none)
        return False


@dataclass(frozen=True)
class ActivationBounds:
    """An activation on rounded arrays, within the error bounds of any correct formula."""

    activation: Activation
    options: ToleranceOptions = ToleranceOptions()

    @property
    def parameter_names(self) -> tuple[str, ...]:
        return self.activation.parameter_names

    def shared_along(self, name: str) -> tuple[int, ...]:
        return self.activation.shared_along(name)

    def value(self, p: Rounded) -> Rounded:
        """A(p)."""
        if self._in_float32(p):
            return evaluate_once(self, "value", p)
        with np.errstate(all="ignore"):
            a = p._lift(self.activation.value(p))
            if is_identity(a, p) or self.options.own_formula:
                return a
            # 8 u (|A_j| + sum_i |dA_j/dp_i p_i| + S)
            a = at_edges(self.activation.value, p, a)
            scale = np.abs(a.value) + finite_or_zero(value_change(self.activation, p.value))
            if self.options.conditioning:
                scale = scale + value_scale(self.activation, p.value)
        return enclose(with_model_radius(a, scale), *(other.value(p) for other in self._other_formulas))

    def derivative(self, p: Rounded) -> Rounded:
        """A'(p) of an elementwise activation."""
        x = p.value
        if self.options.one_sided is not None:
            return self._one_sided(p, self.options.one_sided)
        if self._in_float32(p):
            return evaluate_once(self, "derivative", p)
        with np.errstate(all="ignore"):
            found = p._lift(self.activation.derivative(p))
            if self.options.own_formula:
                return found
            found = at_edges(self.activation.derivative, p, found)
            form = ad_derivative(self.activation, p) if self.options.ad_forms else None
            # 8 u (|A'| + |p A''| + S)
            scale = np.abs(found.value) + finite_or_zero(derivative_change(self.activation, x))
            if self.options.conditioning:
                scale = scale + conditioning_scale(self.activation, "derivative", x)
            bound = with_model_radius(enclose(found, form), scale)
        return enclose(bound, *(other.derivative(p) for other in self._other_formulas))

    def _in_float32(self, p: Rounded) -> bool:
        return self.options.rounded_once and p.model.narrow

    @property
    def _other_formulas(self) -> list[ActivationBounds]:
        """The catalogue's formulas of the same function, which may lose more digits; with conditioning only."""
        if not self.options.conditioning:
            return []
        return [ActivationBounds(other, self.options) for other in equivalent_activations(self.activation)]

    def vjp(self, p: Rounded, delta_a: Rounded) -> Rounded:
        """delta_p."""
        if not self.activation.along_last_axis:
            # delta_p = A'(p) delta_a
            return self.times(self.derivative(p), p, delta_a)
        if self.options.one_sided is not None:
            return self._one_sided_vjp(p, delta_a, self.options.one_sided)
        if self._in_float32(p):
            return self._vjp_once(p, delta_a)
        x, d = p.value, delta_a.value
        if self.options.ad_forms:
            p, delta_a = p.with_model(p.model.broadcast_sums), delta_a.with_model(p.model.broadcast_sums)
        with np.errstate(all="ignore"):
            found = p._lift(self.activation.vjp(p, delta_a))
            if self.options.own_formula:
                return found
            forms = self._vjp_forms(p, delta_a) if self.options.ad_forms else ()
            # 8 u (|delta_p_i| + sum_k |d(delta_p_i)/dp_k p_k| + S)
            scale = np.abs(found.value) + finite_or_zero(vjp_change(self.activation, x, d))
            if self.options.conditioning:
                scale = scale + vjp_scale(self.activation, x, d)
            bound, lost = with_model_radius(enclose(found, *forms), scale), np.zeros(())
            if self.options.leaves_range:
                # products of delta_a with factors of dA_j/dp_i may overflow and underflow
                size, reach = (np.max(s, axis=-1, keepdims=True) for s in (np.abs(d) + delta_a.radius, np.abs(x)))
                size = size * np.maximum(reach, cotangent_gain(self.activation, x))
                bound = bound.widen(overflow_allowance(size, bound.radius, p.model))
                lost = finite_or_zero(underflow_allowance(scale, np.sum(x**2, axis=-1, keepdims=True), p.model))
            return bound.widen(np.where(bound.radius != 0, lost, 0.0))

    def _vjp_once(self, p: Rounded, delta_a: Rounded) -> Rounded:
        """delta_p, evaluated in float32; with stored_value from A(p) as the forward pass stores it, in the dtype."""
        formula = getattr(self.activation, "_vjp_of_stored", None) if self.options.stored_value else None
        if formula is None:
            return evaluate_once(self, "vjp", p, delta_a)
        operands = (x.with_model(p.model.wide) for x in (p, self.value(p), delta_a))
        with np.errstate(all="ignore"):
            return round_once(formula(*operands), p.model)

    def times(self, derivative: Rounded, p: Rounded, factor: Rounded) -> Rounded:
        """A'(p) delta_a, or A'(p) p'; with conditioning, plus overflow and underflow with factors of A'(p)."""
        product: Any = derivative * factor
        if not self.options.leaves_range:
            return product
        size = np.abs(factor.value) + factor.radius
        reach = np.maximum(np.abs(p.value), cotangent_gain(self.activation, p.value))
        rounds = getattr(self.activation.derivative(p), "radius", 0.0)
        scale = conditioning_scale(self.activation, "derivative", p.value)
        reverse = NARROW * p.model.quantum * gain(self.activation, p.value)
        chain = underflow_allowance(scale, p.value**2, p.model) + reverse
        lost = np.where(rounds != 0, chain, 0.0) + size * cancelling_cotangents(self.activation, p.value, p.model.u)
        return product.widen(lost + overflow_allowance(size * reach, rounds, p.model))

    def by(self, name: str, p: Rounded) -> Rounded:
        """dA/da of a parameter a."""
        if self.options.own_formula:
            with np.errstate(all="ignore"):
                return p._lift(self.activation.by(name, p))
        numbers = np.asarray(getattr(self.activation, name), dtype=np.float64)
        variable = Dual(numbers, np.ones(numbers.shape))
        with np.errstate(all="ignore"):
            found = p._lift(self.activation.by(name, p))
            form = p._lift(tangent_of(self.activation.holding(**{name: variable}).value(p)))
            # 8 u (|dA/da| + |p d(dA/da)/dp|)
            scale = np.abs(found.value) + finite_or_zero(parameter_change(self.activation, name, p.value))
        return with_model_radius(enclose(found, form), scale)

    def _one_sided(self, p: Rounded, side: str) -> Rounded:
        beside = one_sided_derivative(self.activation, p.value, side)
        margin = p.model.formula * p.model.u * np.abs(beside)
        kinked = np.isin(p.value, np.asarray(self.activation.kinks, dtype=np.float64))
        return Rounded(beside, np.where(kinked, margin, np.nan), p.model)

    def _one_sided_vjp(self, p: Rounded, delta_a: Rounded, side: str) -> Rounded:
        """delta_p of an activation along the last axis, each entry on a kink moved by one ulp to a side."""
        kinked = np.isin(p.value, np.asarray(self.activation.kinks, dtype=np.float64))
        bounds = replace(self, options=replace(self.options, one_sided=None))

        def beside(direction: float) -> Rounded:
            moved = np.where(kinked, np.nextafter(p.value, direction * np.inf), p.value)
            return bounds.vjp(Rounded(moved, p.radius, p.model), delta_a)

        if side in ("left", "right"):
            return beside(-1 if side == "left" else 1)
        middle: Rounded = (beside(-1) + beside(1)) * 0.5  # 0 times the incoming cotangent need not lie between them
        return middle

    def _vjp_forms(self, p: Rounded, delta_a: Rounded) -> list[Rounded | None]:
        """delta_p as AD computes it, and from the rounded A(p) where the activation has such a formula."""
        by_value = getattr(self.activation, "_by_value", None)
        return [ad_vjp(self.activation, p, delta_a), None if by_value is None else p._lift(by_value(p, delta_a))]


@dataclass(frozen=True)
class LossBounds:
    """A loss on rounded arrays, within the error bounds of any correct formula."""

    error: ErrorFunction
    options: ToleranceOptions = ToleranceOptions()

    def value(self, o: Rounded, t: Any) -> Rounded:
        """E(o, t)."""
        if self._in_float32(o):
            return evaluate_once(self, "value", o, t)
        x, plain = o.value, values_of(t)
        with np.errstate(all="ignore"):
            e = o._lift(self.error.value(o, t))
            if self.options.own_formula:
                return e
            # 8 u (|E| + sum_i |o_i s_i| + |E(start)| + sum_i |o_i - start_i| S_i)
            sizes = finite_or_zero(abs_product(x, self.error.sensitivity(x, plain)))
            scale = np.abs(e.value) + np.sum(sizes, axis=(-2, -1))
            if self.options.conditioning:
                start = midpoint(self.error.domain, x)
                scale = scale + finite_or_zero(np.abs(self.error.value(start, plain)))
                lost = finite_or_zero(abs_product(x - start, loss_scale(self.error, x, plain)))
                scale = scale + np.sum(lost, axis=(-2, -1))
        return with_model_radius(e, scale)

    def sensitivity(self, o: Rounded, t: Any) -> Rounded:
        """s = dE/do."""
        x, plain = o.value, values_of(t)
        if self.options.one_sided is not None:
            return self._one_sided(o, t, self.options.one_sided)
        if self._in_float32(o):
            return evaluate_once(self, "sensitivity", o, t)
        if self.options.ad_forms:
            o = o.with_model(o.model.broadcast_sums)
        with np.errstate(all="ignore"):
            found = o._lift(self.error.sensitivity(o, t))
            if self.options.own_formula:
                return found
            # 8 u (|s_i| + |change of s_i along o| + S_i)
            found = at_edges(lambda o: self.error.sensitivity(o, t), o, found)
            scale = np.abs(found.value) + loss_gradient_change(self.error, x, plain)
            if self.options.conditioning:
                scale = scale + loss_scale(self.error, x, plain)
            form = ad_loss_gradient(self.error, o, t) if self.options.ad_forms else None
            bound = enclose(found, form)
            if not self.options.leaves_range:
                return with_model_radius(bound, scale)
            infinite = np.where(_overflowing(x, form), np.inf, bound.radius)
            bound = with_model_radius(Rounded(bound.value, infinite, o.model), scale)
            lost = underflow_allowance(scale, np.sum(x**2, axis=-1, keepdims=True), o.model)
            lost = lost + NARROW * o.model.quantum * loss_gain(self.error, x, plain)
            return bound.widen(np.where(bound.radius != 0, finite_or_zero(lost), 0.0))

    def _in_float32(self, o: Rounded) -> bool:
        return self.options.rounded_once and o.model.narrow

    def _one_sided(self, o: Rounded, t: Any, side: str) -> Rounded:
        """The derivative at the kinks, within its change over one rounding; NaN elsewhere."""
        plain = values_of(t)
        beside = one_sided_loss_gradient(self.error, o.value, plain, side)
        margin = o.model.formula * o.model.u * np.abs(beside) + o.model.quantum
        with np.errstate(all="ignore"):
            margin = margin + o._lift(self.error.sensitivity(o, t)).radius
        return Rounded(beside, np.where(self.error.kink(o.value, plain), margin, np.nan), o.model)


def _overflowing(o: np.ndarray, form: Rounded | None) -> Any:
    """Rows that have overflowed already, and entries where an intermediate of E may overflow."""
    past = ~np.isfinite(o).all(axis=-1, keepdims=True)
    return past if form is None else past | np.isinf(form.radius)


def evaluate_once(bounds: ActivationBounds | LossBounds, part: str, x: Rounded, *others: Any) -> Rounded:
    """A method's result on numbers of 16 bits, evaluated in float32 and rounded once."""
    model = x.model
    operands = [y.with_model(model.wide) if isinstance(y, Rounded) else y for y in (x, *others)]
    found: Rounded = getattr(bounds, part)(*operands)
    return x if is_identity(found, operands[0]) else round_once(found, model)


# Enclosures.


def with_model_radius(found: Rounded, scale: Any) -> Rounded:
    """Widened by 8 u scale, where the reference's own formula rounds at all."""
    model = found.model
    return found.widen(np.where(found.radius != 0, model.formula * model.u * finite_or_zero(scale), 0.0))


BESIDE = 2.0**-44
"""Relative distance within which a number is at the edge of a branch."""
EDGE_ROUNDINGS = 64
"""More than this is no rounding of a formula in the other branch, but a number that is not known."""


def at_edges(function: Callable[[Rounded], Any], p: Rounded, found: Rounded) -> Rounded:
    """Where p is at the edge of a branch, the error bound of the other branch, if this one rounds nothing.

    A program may have the number itself in the other branch, whose formula has the same value there. Where it has
    another one, as the derivative does at a kink, nothing is added.
    """
    if found.value.shape != p.value.shape:
        return found
    exact = (found.radius == 0) & (p.radius == 0) & (p.value != 0)
    if not exact.any():
        return found
    with recorded_comparisons() as comparisons:
        beside = p._lift(function(Rounded(p.value, np.where(exact, BESIDE * np.abs(p.value), 0.0), p.model)))
    edges = np.zeros(p.value.shape, dtype=bool)
    for open in comparisons:
        edges |= open if open.shape == edges.shape else False
    if not edges.any():
        return found
    before, after = (p._lift(function(Rounded(p.value * (1 + way * BESIDE), 0.0, p.model))).value for way in (-1, 1))
    edges &= exact & (np.abs(after - before) <= np.sqrt(BESIDE) * np.abs(found.value))
    edges &= beside.radius <= EDGE_ROUNDINGS * p.model.u * np.abs(found.value)
    wider = np.where(edges, beside.radius, found.radius)
    return Rounded(found.value, wider, found.model, found.q)


def enclose(found: Rounded, *forms: Rounded | None) -> Rounded:
    """The smallest enclosure with the same center that also contains every usable form."""
    for form in forms:
        if form is not None:
            found = Rounded(found.value, enclosing_radius(found, form), found.model)
    return found


def enclosing_radius(found: Rounded, form: Rounded) -> np.ndarray:
    """The radius that encloses both; found's own where the form is not a derivative (a tie) or not finite."""
    with np.errstate(all="ignore"):
        gap = np.abs(form.value - found.value)
        both = gap + form.radius
        usable = np.isfinite(both) & (gap <= form.radius + found.radius)
    return np.maximum(found.radius, np.where(usable, both, 0.0))


def either(found: Rounded, form: Rounded) -> np.ndarray:
    """The radius that encloses both; infinite where an intermediate of the form may overflow the dtype."""
    return np.where(np.isinf(form.radius), np.inf, enclosing_radius(found, form))


def is_identity(a: Any, p: Any) -> bool:
    """True if a function returned its input object; then there is no rounding."""
    return a is p


def values_of(t: Any) -> Any:
    """Targets as float64 numbers."""
    return getattr(t, "value", t)


def overflow_allowance(size: np.ndarray, rounds: Any, model: Model) -> np.ndarray:
    """Infinite where 2 p delta_a, an intermediate in some programs, may overflow although delta_p does not."""
    return np.where((rounds != 0) & (2 * size > model.format.largest), np.inf, 0.0)


def underflow_allowance(scale: Any, squares: Any, model: Model) -> Any:
    """The underflow error of a chain of products with factors as large as S and p^2."""
    return FORMULA * model.quantum * np.maximum(1.0, scale) * np.maximum(1.0, squares)
