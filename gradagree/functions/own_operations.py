"""The error bounds of a function's own operations, where they are not those of its reference.

A function may compute the same by another algorithm: a convolution by Fourier transforms, a product of matrices with
fewer multiplications (Strassen, Winograd), a variance as E[x^2] - E[x]^2. The errors of such algorithms are bounded by
the largest entries, not by each (Higham, Accuracy and Stability of Numerical Algorithms, 2002, 1.9, 23.2 and 24.1), so
that a plain reference would accuse them. Where the function can be traced, its own operations give their bound. It
counts only where both are the same in exact arithmetic, and the result is then inaccurate, not right.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gradagree.arithmetic.ball import Ball, precision
from gradagree.arithmetic.duck import NoRule
from gradagree.functions.enclosures import Expected, enclose, expect, is_floating
from gradagree.functions.proofs import MOST_OPERATIONS, operations
from gradagree.functions.tangents import enclose_tangents, expect_tangents, move
from gradagree.reference.graph import Graph

OWN_OPERATIONS = "own operations"
"""The name of the arithmetic."""
REASON = (
    "in exact arithmetic it is what the reference is, but the rounding errors of the function's own operations are "
    "larger, as those of a convolution by transforms"
)
BITS = 128
Same = np.ndarray | bool
"""For each entry, whether two programs have the same exact value as far as is known."""


def expect_own(
    own: Graph, graph: Graph, inputs: Sequence[np.ndarray], cotangents: Sequence[Any], rung: str, dtype: str,
    stores: Sequence[str], order: int,
) -> tuple[list[Expected], list[Expected | None]]:  # fmt: skip
    """As `expect` of the reference, with the tolerances of the function's own operations where these are larger.

    Args:
        own: The function's own operations.
        graph: The reference.
        inputs: One array for each input, as float64.
        cotangents: One for each output; None for an output without one.
        rung: The arithmetic.
        dtype: The dtype of the function.
        stores: The dtypes of the outputs, then of the inputs.
        order: 2 for the gradient of a gradient.
    """
    count = len(graph.outputs)
    usual, others = ([*both[0], *both[1]] for both in (
        expect(one, inputs, cotangents, rung, dtype, stores, order) for one in (graph, own)
    ))  # fmt: skip

    def by_balls(one: Graph) -> list[Any]:
        values = one.evaluate([Ball.exact(x) if is_floating(x) else x for x in inputs])
        seeds = [None if g is None else Ball.exact(g) for g in cotangents]
        return [*one.results(values), *one.vjp(values, seeds)]

    def by_bounds(one: Graph) -> list[Expected | None]:
        values, gradients = enclose(one, inputs, cotangents, "stored", "float64", ["float64"] * len(stores), order)
        return [*values, *gradients]

    same = exact_same(graph, own, inputs, by_balls, by_bounds)
    found = [with_own(*three) for three in zip(usual, others, same, strict=True)]
    return [x for x in found[:count] if x is not None], found[count:]


def expect_own_tangents(
    own: Graph, graph: Graph, inputs: Sequence[np.ndarray], tangents: Sequence[Any], rung: str, dtype: str,
    stores: Sequence[str],
) -> list[Expected]:  # fmt: skip
    """As `expect_own`, for the tangents of the outputs."""
    usual, others = (expect_tangents(one, inputs, tangents, rung, dtype, stores) for one in (graph, own))

    def by_bounds(one: Graph) -> list[Expected]:
        return enclose_tangents(one, inputs, tangents, "stored", "float64", ["float64"] * len(stores))

    same = exact_same(graph, own, inputs, lambda one: move(one, inputs, tangents, Ball.exact), by_bounds)
    found = [with_own(*three) for three in zip(usual, others, same, strict=True)]
    return [x for x in found if x is not None]


def exact_same(
    graph: Graph, own: Graph, inputs: Sequence[Any], by_balls: Callable[[Graph], Sequence[Any]],
    by_bounds: Callable[[Graph], Sequence[Expected | None]],
) -> list[Same]:  # fmt: skip
    """Whether the arrays of two graphs may be the same in exact arithmetic, entry by entry."""
    if operations(graph, inputs) + operations(own, inputs) <= MOST_OPERATIONS:
        try:
            with precision(BITS), np.errstate(all="ignore"):
                return [overlap(x, y) for x, y in zip(by_balls(graph), by_balls(own), strict=True)]
        except (NoRule, ValueError, ZeroDivisionError):
            pass
    with np.errstate(all="ignore"):
        pairs = zip(by_bounds(graph), by_bounds(own), strict=True)
        return [
            (x is None) == (y is None) if x is None or y is None else np.abs(x.value - y.value) <= x.radius + y.radius
            for x, y in pairs
        ]


def overlap(x: Any, y: Any) -> Same:
    """True where the balls of two arrays overlap."""
    if x is None or y is None:
        return (x is None) == (y is None)
    difference = Ball.exact(0.0) + x - y
    return np.asarray(np.abs(difference.middle) <= np.nextafter(difference.radius, np.inf))


def with_own(usual: Expected | None, own: Expected | None, same: Same) -> Expected | None:
    """The expected array with the larger of both tolerances, where the exact values are the same."""
    if usual is None or own is None or usual.value.shape != own.value.shape:
        return usual
    distance = np.abs(usual.value - own.value)

    def wider(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return np.where(same, np.fmax(first, second + distance), first)

    def probable(one: Expected) -> np.ndarray:
        return one.radius if one.probable is None else np.fmin(one.radius, one.probable)  # NaN where it is not known

    def correlated(one: Expected) -> np.ndarray:
        return probable(one) if one.correlated is None else np.fmin(one.radius, one.correlated())

    radius = wider(usual.radius, own.radius)
    if usual.probable is None and own.probable is None:
        return Expected(usual.value, radius)

    def least(drawn: int) -> np.ndarray:
        bounds = (probable(one) if one.correlated is None else known_least(one, drawn) for one in (usual, own))
        return wider(*bounds)

    def ordered(one: Expected) -> np.ndarray:
        return probable(one) if one.ordered is None else np.fmin(one.radius, one.ordered())

    sampled = functools.cache(lambda: wider(correlated(usual), correlated(own)))
    in_order = functools.cache(lambda: wider(ordered(usual), ordered(own)))
    return Expected(usual.value, radius, wider(probable(usual), probable(own)), sampled, least, in_order)


def known_least(one: Expected, drawn: int) -> np.ndarray:
    return np.zeros(one.value.shape) if one.least is None else one.least(drawn)
