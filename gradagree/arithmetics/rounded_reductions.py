"""Rules of rounded arithmetic along axes: sums, products and cumulative ones, in any order."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

from gradagree.arithmetics import quanta
from gradagree.arithmetics.derived_arrays import log_sum_exp
from gradagree.arithmetics.model import OWN
from gradagree.arithmetics.rounded import Rounded, finish, is_one, is_zero, keep_infinite, result
from gradagree.arithmetics.rounded_sums import matmul, mean, total

Fold = Callable[[Any], Any]


def running_total(x: Rounded, axis: int | None = None) -> Rounded:
    """np.cumsum: each partial sum is stored, so each may have been rounded to the dtype."""
    value, spread, sizes, terms = (
        np.cumsum(part, axis=axis) for part in (x.value, x.radius, np.abs(x.value), np.ones(x.shape))
    )
    model, size = x.model, sizes + spread
    exact = quanta.exact(size, x.q, model) | (size == 0)
    spread = spread + np.where(exact, 0.0, terms * ((model.u + OWN) * size + model.quantum))
    return finish(value, np.where(size > model.format.largest, np.inf, spread), model, x.q)


def products(x: Rounded, multiplied: Fold, added: Fold) -> Rounded:
    """n factors in any order: relative error (1 + u)^n - 1, plus underflow of partial products times the rest."""
    model, size = x.model, np.abs(x.value) + x.radius
    whole, grown, terms = multiplied(size), multiplied(np.maximum(size, 1.0)), added(np.ones(x.shape))
    q = float(x.q * (np.max(terms) if x.q < 0 else 1)) if terms.size else 0.0
    exact = quanta.exact(whole, q, model) | (multiplied(np.where(is_zero(x), 0.0, 1.0)) == 0)
    exact = exact | (added(np.where(is_one(x), 0.0, 1.0)) <= 1)
    spread = np.zeros_like(whole)
    if x.radius.any():
        spread = keep_infinite(whole - multiplied(np.abs(x.value)) + 2 * terms * OWN * whole, x, x)
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
    np.matmul: matmul, np.sum: total, np.mean: mean, np.cumsum: running_total, np.prod: product,
    np.cumprod: running_product, special.logsumexp: log_sum,
})  # fmt: skip
