"""Rules of rounded arithmetic: choices and comparisons, which never round; sums and products in any order."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

from gradagree.arithmetic import exactness
from gradagree.arithmetic.derived import log_sum_exp
from gradagree.arithmetic.majorants import given_product, majorant
from gradagree.arithmetic.model import OUTWARD, OWN, Model
from gradagree.arithmetic.rounded import (
    COMPARISONS,
    Rounded,
    convert,
    divide,
    finish,
    is_one,
    is_zero,
    keep_infinite,
    lift_all,
    negative,
    result,
)
from gradagree.arithmetic.three_valued import Trilean, between_about_middle, split
from gradagree.reference.operations.casts import cast
from gradagree.reference.operations.cumulative import running_max, running_min
from gradagree.reference.operations.scatter import put, scatter_add

Fold = Callable[[Any], Any]
"""A sum or product along an axis."""


def hull(x: Rounded, q: float, value: Any, lower: Any, upper: Any) -> Rounded:
    """The interval from lower to upper as value and radius."""
    radius = np.where(upper == lower, 0.0, np.maximum(upper - value, value - lower) * OUTWARD)
    return Rounded(value, radius, x.model, q)


def absolute(x: Rounded) -> Rounded:
    return Rounded(np.abs(x.value), x.radius, x.model, x.q)


def maximum(x: Any, y: Any) -> Rounded:
    x, y = lift_all(x, y)
    value = np.maximum(x.value, y.value)
    lower, upper = (np.maximum(x.value + side * x.radius, y.value + side * y.radius) for side in (-1, 1))
    return hull(x, min(x.q, y.q), value, lower, upper)


def minimum(x: Any, y: Any) -> Rounded:
    x, y = lift_all(x, y)
    return negative(maximum(negative(x), negative(y)))


def extremum(pick: Callable[..., Any]) -> Callable[..., Rounded]:
    def rule(x: Rounded, axis: Any = None, keepdims: bool = False) -> Rounded:
        ends = (x.value, x.value - x.radius, x.value + x.radius)
        return hull(x, x.q, *(pick(end, axis=axis, keepdims=keepdims) for end in ends))

    return rule


def sort(x: Rounded, axis: int = -1) -> Rounded:
    """The k-th smallest number lies between the k-th smallest lower end and the k-th smallest upper end."""
    return hull(x, x.q, *(np.sort(end, axis=axis) for end in (x.value, x.value - x.radius, x.value + x.radius)))


def step(f: Callable[[Any], Any]) -> Callable[[Rounded], Rounded]:
    """Nondecreasing functions with integer values."""

    def rule(x: Rounded) -> Rounded:
        lower, upper = (np.nextafter(x.value + side * x.radius, side * np.inf) for side in (-1, 1))
        known = x.radius == 0
        ends = (f(np.where(known, x.value, end)) for end in (lower, upper))
        return hull(x, max(x.q, 0.0), f(x.value), *ends)

    return rule


def sign(x: Rounded) -> Rounded:
    open = ~(np.abs(x.value) > x.radius) & (x.radius != 0)
    return Rounded(np.sign(x.value), np.where(open, 1 + np.abs(np.sign(x.value)), 0.0), x.model, 0)


def where(condition: Any, x: Any, y: Any) -> Rounded:
    """x or y; the hull of both where the condition is open."""
    true, open = split(condition)
    x, y = lift_all(x, y)
    value, radius = np.where(true, x.value, y.value), np.where(true, x.radius, y.radius)
    if open.any():
        hull = (np.abs(x.value - y.value) + np.maximum(x.radius, y.radius)) * OUTWARD
        radius = np.where(open, hull, radius)
    return Rounded(value, radius, x.model, min(x.q, y.q))


def compare(f: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Decided where the difference exceeds the radii, or where both are exact."""

    def rule(x: Any, y: Any) -> Any:
        x, y = lift_all(x, y)
        reach = x.radius + y.radius
        return truth_values(f(x.value, y.value), (reach != 0) & ~(np.abs(x.value - y.value) > reach), x)

    return rule


def truth_values(answer: Any, open: Any, x: Rounded) -> Any:
    return Trilean(answer, open, x._lift) if np.any(open) else answer


def classify(f: Callable[[Any], Any]) -> Callable[[Rounded], Any]:
    """isfinite, isinf, isnan: open where a number may overflow the dtype or is unknown."""
    return lambda x: truth_values(f(x.value), ~np.isfinite(x.radius), x)


def signbit(x: Rounded) -> Any:
    """Also open for zeros, which may have either sign."""
    return truth_values(np.signbit(x.value), ~(np.abs(x.value) > x.radius), x)


def total(x: Rounded, axis: Any = None, keepdims: bool = False) -> Rounded:
    value = np.sum(x.value, axis=axis, keepdims=keepdims)
    spread = np.sum(x.radius, axis=axis, keepdims=keepdims)
    size = np.sum(np.abs(x.value), axis=axis, keepdims=keepdims) + spread
    return sum_of_terms(value, spread, size, x.size // max(value.size, 1), x.q, x.model)


def sum_of_terms(
    value: Any, spread: Any, size: Any, terms: int, q: float, model: Model, all_zero: Any = None
) -> Rounded:
    """A sum of terms, in any order, whose magnitudes sum to `size`: u_out |v| + n u_acc size + reference error.

    all_zero marks sums whose terms are all zero; by default those of size 0.
    """
    rounding = np.asarray(size * (terms * (model.accumulator.u + OWN)))
    rounding += terms * model.quantum
    last = np.asarray(np.abs(value))  # in place from here on, as new arrays take longer
    last += spread
    last += rounding
    last *= model.u
    rounding += last
    safe = exactness.is_exact(size, q, model, accumulated=True)
    if all_zero is not None or not np.all(size):
        safe = safe | (size == 0 if all_zero is None else all_zero)
    if safe is not np.False_ and np.any(safe):
        rounding = np.where(safe, 0.0, rounding)
    rounding += spread
    if not np.maximum.reduce(size, axis=None, initial=0.0) <= model.format.largest:
        rounding = np.where(size > model.format.largest, np.inf, rounding)
    return finish(value, rounding, model, q)


def mean(x: Rounded, axis: Any = None, keepdims: bool = False) -> Rounded:
    added = total(x, axis, keepdims)
    return divide(added, float(x.size // max(added.size, 1)))


def as_factor(x: Rounded) -> Rounded:
    """A factor of a matrix product, as the device rounds it."""
    return x if x.model.products is None else x.widen(x.model.products.u * np.abs(x.value))


def matmul(x: Any, y: Any) -> Rounded:
    x, y = map(as_factor, lift_all(x, y))
    model, terms = x.model, x.shape[-1]
    x_size, y_size = np.abs(x.value), np.abs(y.value)
    size = majorant(x_size, y_size)
    spread: Any = np.zeros_like(size)
    if x.radius.any():
        spread += majorant(x.radius, y_size)
    if y.radius.any():
        spread += majorant(x_size + x.radius, y.radius)
    spread = keep_infinite(spread, x, y)
    return sum_of_terms(
        given_product(x.value, y.value),
        spread * (1 + terms * OWN),
        (size + spread) * (1 + terms * OWN),
        terms,
        exactness.product_exponent(x.q, y.q),
        model,
        exactness.has_only_zero_terms(x_size, y_size) if exactness.may_underflow(x_size, y_size) else None,
    )


def running_total(x: Rounded, axis: int | None = None) -> Rounded:
    """np.cumsum: each partial sum is stored, so each may have been rounded to the dtype."""
    value, spread, sizes, terms = (
        np.cumsum(part, axis=axis) for part in (x.value, x.radius, np.abs(x.value), np.ones(x.shape))
    )
    model, size = x.model, sizes + spread
    exact = exactness.is_exact(size, x.q, model) | (size == 0)
    spread = spread + np.where(exact, 0.0, terms * ((model.u + OWN) * size + model.quantum))
    return finish(value, np.where(size > model.format.largest, np.inf, spread), model, x.q)


def running_extremum(pick: Callable[..., Any]) -> Callable[..., Rounded]:
    def rule(x: Rounded, axis: int | None = None) -> Rounded:
        return hull(x, x.q, *(pick(end, axis) for end in (x.value, x.value - x.radius, x.value + x.radius)))

    return rule


def scattered(x: Rounded, places: np.ndarray, shape: Any) -> Rounded:
    """Sums in any order, each partial sum of which may be stored in the dtype, as atomic additions do."""
    terms = scatter_add(np.ones(x.shape), places, shape)
    value = scatter_add(x.value, places, shape)
    spread = scatter_add(x.radius, places, shape) if x.radius.any() else np.zeros_like(value)
    if np.max(terms, initial=0) <= 1:
        return Rounded(value, spread, x.model, x.q)
    model, size = x.model, scatter_add(np.abs(x.value), places, shape) + spread
    exact = exactness.is_exact(size, x.q, model) | (size == 0) | (terms <= 1)
    spread = spread + np.where(exact, 0.0, terms * ((model.u + OWN) * size + model.quantum))
    return finish(value, np.where(size > model.format.largest, np.inf, spread), model, x.q)


def replaced(x: Any, index: Any, values: Any) -> Rounded:
    x, values = lift_all(x, values)
    value, radius = put(x.value, index, values.value), put(x.radius, index, values.radius)
    return Rounded(value, radius, x.model, min(x.q, values.q))


def products(x: Rounded, multiplied: Fold, added: Fold) -> Rounded:
    """n factors in any order: relative error (1 + u)^n - 1, plus underflow of partial products times the rest."""
    model, size = x.model, np.abs(x.value) + x.radius
    bound, grown, terms = multiplied(size), multiplied(np.maximum(size, 1.0)), added(np.ones(x.shape))
    q = float(x.q * (np.max(terms) if x.q < 0 else 1)) if terms.size else 0.0
    exact = exactness.is_exact(bound, q, model) | (multiplied(1.0 - np.broadcast_to(is_zero(x), x.shape)) == 0)
    exact = exact | (added(1.0 - np.broadcast_to(is_one(x), x.shape)) <= 1)
    spread = np.zeros_like(bound)
    if x.radius.any():
        spread = keep_infinite(bound - multiplied(np.abs(x.value)) + 2 * terms * OWN * bound, x, x)
    spread = spread + np.where(exact, 0.0, terms * model.quantum * grown)
    spread = np.where(grown > model.format.largest, np.inf, spread)
    roundings: Any = np.expm1(terms * np.log1p(model.u + OWN)) / (model.u + OWN)
    return result(multiplied(x.value), spread, model, q, roundings, exact)


def product(x: Rounded, axis: Any = None, keepdims: bool = False) -> Rounded:
    folds = (functools.partial(fold, axis=axis, keepdims=keepdims) for fold in (np.prod, np.sum))
    return products(x, *folds)


def running_product(x: Rounded, axis: int | None = None) -> Rounded:
    """np.cumprod."""
    return products(x, *(functools.partial(fold, axis=axis) for fold in (np.cumprod, np.cumsum)))


def log_sum(x: Rounded, axis: Any = None, keepdims: bool = False) -> Rounded:
    """logsumexp shifted by the largest central value; the shift of another program does not matter."""
    largest = Rounded(np.max(x.value, axis=axis, keepdims=True), 0.0, x.model)
    return log_sum_exp(x, largest, axis, keepdims)


Rounded.rules.update({
    np.negative: negative, np.positive: lambda x: x, np.absolute: absolute, np.fabs: absolute, np.sign: sign,
    np.maximum: maximum, np.minimum: minimum, np.max: extremum(np.max), np.min: extremum(np.min), np.sort: sort,
    np.where: where, np.signbit: signbit, **{f: compare(f) for f in COMPARISONS},
    **{f: step(f) for f in (np.ceil, np.floor, np.rint, np.trunc)},
    **{f: classify(f) for f in (np.isfinite, np.isinf, np.isnan)},
    np.matmul: matmul, np.sum: total, np.mean: mean, np.cumsum: running_total, np.prod: product,
    np.cumprod: running_product, running_max: running_extremum(running_max), scatter_add: scattered, put: replaced,
    cast: convert, running_min: running_extremum(running_min), special.logsumexp: log_sum,
})  # fmt: skip
Rounded.between = staticmethod(between_about_middle)
