"""Comparisons written by hand in a test: ``(a - b).abs().max() < tol`` and ``gradient == value``.

The differences of the test file are kept. A number that is then compared with a bound is recognised as one of their
norms by its value.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from gradagree.audit.judgement import Pair
from gradagree.audit.provenance import KnownGradient
from gradagree.audit.session import MOST_DIFFERENCES, Audit

OPERATORS = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq,
}  # fmt: skip
MATCH = 2.0**-9
"""Relative difference at which a number is still taken for a norm: half of a unit of the narrowest dtype."""

Norm = tuple[Callable[[np.ndarray], float], Callable[[float, int], float]]
NORMS: dict[str, Norm] = {
    "max": (lambda d: float(np.max(d)), lambda t, n: t),
    "norm": (lambda d: float(np.sqrt(np.sum(d * d))), lambda t, n: t),
    "mean": (lambda d: float(np.mean(d)), lambda t, n: n * t),
    "sum": (lambda d: float(np.sum(d)), lambda t, n: t),
    "mean of squares": (lambda d: float(np.mean(d * d)), lambda t, n: float(np.sqrt(n * t))),
    "sum of squares": (lambda d: float(np.sum(d * d)), lambda t, n: float(np.sqrt(t))),
    "root mean square": (lambda d: float(np.sqrt(np.mean(d * d))), lambda t, n: float(np.sqrt(n) * t)),
}
"""Norms of absolute differences, each with the bound that it puts on one of n entries if the others are exact."""


def subtract(audit: Audit, left: Any, right: Any) -> Any:
    """``left - right``; the result is kept if one of them is a gradient."""
    __tracebackhide__ = True
    result = left - right
    if audit.test and not audit.inside and len(audit.gradients):
        audit.guarded(_keep, audit, left, right, result)
    return result


def add(audit: Audit, left: Any, right: Any) -> Any:
    """``left + right``, a gradient if both are."""
    __tracebackhide__ = True
    result = left + right
    if audit.test and not audit.inside and len(audit.gradients) > 1:
        audit.guarded(_mark_sum, audit, left, right, result)
    return result


def compare(audit: Audit, left: Any, sign: str, right: Any) -> Any:
    """The comparison of two values; it is recorded if it is one of a gradient."""
    __tracebackhide__ = True
    result = OPERATORS[sign](left, right)
    if audit.test and not audit.inside and len(audit.gradients):
        if sign == "==":
            audit.guarded(_equal, audit, left, right)
        elif audit.differences:
            audit.guarded(ordered, audit, left, sign, right, True)
    return result


def _keep(audit: Audit, left: Any, right: Any, result: Any) -> None:
    with audit.arrays.quiet():
        gradient = audit.gradients.find(left)
        swapped = gradient is None
        gradient = audit.gradients.find(right) if gradient is None else gradient
    if gradient is not None:
        audit.differences.append((result, left if swapped else right, gradient, right if swapped else left))
        del audit.differences[:-MOST_DIFFERENCES]


def _mark_sum(audit: Audit, left: Any, right: Any, result: Any) -> None:
    with audit.arrays.quiet():
        one, other = audit.gradients.find_same(left), audit.gradients.find_same(right)
        if one is not None and other is not None and audit.arrays.is_concrete(result):
            audit.gradients.mark(result, one.source)


def _equal(audit: Audit, left: Any, right: Any) -> None:
    with audit.arrays.quiet():
        if any(isinstance(x, type(None) | str | bool) for x in (left, right)):
            return
        pair = audit.pair(left, right, 0.0, 0.0)
        if pair is None or not np.all(pair.gradient == pair.expected):
            return  # such as `(gradient == 0).any()`, which is no comparison with an expected value
    audit.record("==", [pair], True)


def ordered(audit: Audit, left: Any, sign: str, right: Any, passed: bool) -> None:
    """Record an order relation between a norm of a difference and a bound."""
    small, bound = (left, right) if sign in ("<", "<=") else (right, left)
    with audit.arrays.quiet():
        read, limit = audit.arrays.numbers(small), audit.arrays.numbers(bound)
        if isinstance(small, int) or read is None or limit is None or not np.all(limit[0] > 0):
            return
        for difference in reversed(audit.differences):
            pair = _match(audit, read[0], limit[0], *difference)
            if pair is not None:
                audit.record(f"difference {sign if small is left else sign.replace('>', '<')} bound", [pair], passed)
                return


def _match(
    audit: Audit, small: np.ndarray, bound: np.ndarray, result: Any, other: Any, gradient: KnownGradient, own: Any
) -> Pair | None:
    """The pair behind a number that is a norm of a difference; None if it is not."""
    pair, read = audit.pair_of(own, other, 0.0, 0.0, False, gradient), audit.arrays.numbers(result)
    if pair is None or read is None:
        return None
    meanings = _meanings(np.abs(read[0]), np.abs(pair.expected), np.abs(pair.gradient), small, bound)
    found = next(meanings, None)
    if found is None:
        return None
    pair.atol, pair.accepts = found
    return pair


def _meanings(
    d: np.ndarray, expected: np.ndarray, own: np.ndarray, small: np.ndarray, bound: np.ndarray
) -> Iterator[tuple[Any, Callable[[np.ndarray], bool] | None]]:
    """What a number below a bound may mean: the tolerance of one entry, and whether a difference passes as a whole."""
    if small.shape == d.shape and d.ndim:
        for scale in (1.0, np.broadcast_to(expected, d.shape), np.broadcast_to(own, d.shape)):
            with np.errstate(all="ignore"):
                if _close(np.abs(small), d / scale):
                    yield bound * scale, None
    if small.size != 1 or bound.size != 1 or not d.size:
        return
    value, limit = float(np.abs(small).ravel()[0]), float(bound.ravel()[0])
    for reduce, entry in NORMS.values():
        for scale in (1.0, *(norm(side) for side in (expected, own) for norm, _ in NORMS.values())):
            if scale and _close(value, reduce(d) / scale):
                most = limit * scale
                yield entry(most, d.size), functools.partial(_below, reduce, most)
    if value and np.any(d == value):  # an entry, in a loop over all of them
        yield limit, None


def _below(reduce: Callable[[np.ndarray], float], most: float, change: np.ndarray) -> bool:
    return reduce(np.abs(change)) < most


def _close(x: Any, y: Any) -> bool:
    return bool(np.all(np.isfinite(y))) and bool(np.all(np.abs(x - y) <= MATCH * np.abs(y)))
