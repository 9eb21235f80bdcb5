"""The values and gradients of a graph with the tolerance of a correct program, for each way to keep intermediates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gradagree.arithmetic.model import FORMATS, OUTWARD, OWN, Model, model
from gradagree.arithmetic.rounded import Rounded
from gradagree.arithmetic.variance import DEVIATIONS, Variance
from gradagree.reference.graph import Graph

LADDER = ("wide", "stored")
"""Where intermediates are kept: in the accumulator's format, or in the dtype."""
FLUSHED = ", subnormals flushed"
"""Ends the name of an arithmetic in which subnormal numbers may become zero."""
SUMS = "sums in "
"""Begins the name of an arithmetic in which partial sums are rounded to the dtype as well: a loss of digits."""


@dataclass(frozen=True)
class Expected:
    """An array that a correct program computes, as value and tolerance.

    probable: Tolerance in the probabilistic model, or None.
    """

    value: np.ndarray
    radius: np.ndarray
    probable: np.ndarray | None = None


def narrowest(dtypes: Sequence[str]) -> str:
    """The dtype with the fewest digits."""
    return min(dtypes, key=lambda d: FORMATS[d].precision)


def interior(rung: str, dtype: str) -> Model:
    """The rounding model of the operations inside a function of this dtype."""
    stored = model(dtype)
    if rung.startswith(SUMS):
        return model(dtype, accumulator=dtype)
    if rung.endswith(FLUSHED):
        return replace(interior(rung.removesuffix(FLUSHED), dtype), flushes=True)
    return model(stored.accumulator.name) if rung == "wide" and stored.narrow else stored


def enclose(
    graph: Graph, inputs: Sequence[Any], cotangents: Sequence[Any], rung: str, dtype: str, stores: Sequence[str]
) -> tuple[list[Expected], list[Expected | None]]:
    """The outputs and the gradients of a graph with worst-case tolerances.

    Args:
        graph: The reference.
        inputs: One array for each input, as float64.
        cotangents: One for each output; None for an output without one.
        rung: ``"wide"`` or ``"stored"``.
        dtype: The dtype of the function.
        stores: The dtypes of the outputs, then of the inputs, in which the results are stored.

    Returns:
        The outputs, and the gradient of each input; None for an input that no output depends on.
    """
    inside = interior(rung, dtype)
    lifted = [Rounded.stored(x, inside) if is_floating(x) else x for x in inputs]
    seeds = [None if g is None else Rounded.stored(g, inside) for g in cotangents]
    with np.errstate(all="ignore"):
        values = graph.evaluate(lifted)
        gradients = graph.vjp(values, seeds, add_in_any_order)
        results = graph.results(values)
        formats = [replace(model(name), flushes=inside.flushes) for name in stores]
        outputs = [store(y, inside, last) for y, last in zip(results, formats, strict=False)]
        both = zip(gradients, formats[len(results) :], strict=True)
        return outputs, [g if g is None else store(g, inside, last) for g, last in both]


def probable(graph: Graph, inputs: Sequence[Any], cotangents: Sequence[Any], rung: str, dtype: str) -> list[Any]:
    """The tolerances of the gradients in the probabilistic model; None for an input without one."""
    inside = interior(rung, dtype)
    lifted = [Variance.stored(x, inside) if is_floating(x) else x for x in inputs]
    seeds = [None if g is None else Variance.stored(g, inside) for g in cotangents]
    with np.errstate(all="ignore"):
        gradients = graph.vjp(graph.evaluate(lifted), seeds)
    last = model(dtype)
    found: list[Any] = []
    for g in gradients:
        if not isinstance(g, Variance):
            found.append(None)
            continue
        found.append(g.tolerance + (DEVIATIONS * last.u * np.abs(g.value) if inside.u < last.u else 0.0))
    return found


def is_floating(x: Any) -> bool:
    return np.asarray(x).dtype.kind == "f"


def store(x: Any, inside: Model, last: Model) -> Expected:
    """A result rounded to the dtype in which it is returned."""
    if not isinstance(x, Rounded):
        x = Rounded.constant(np.asarray(x, dtype=np.float64), inside)
    value, radius = x.value, x.radius
    if inside.u < last.u:
        size = np.abs(value) + radius
        radius = np.where(size == 0, 0.0, (radius + (last.u + OWN) * size + last.quantum) * OUTWARD)
        radius = np.where(size + radius > last.format.largest, np.inf, radius)
    return Expected(value, radius)


def add_in_any_order(parts: list[Any]) -> Any:
    """The sum of the contributions to one cotangent, in whatever order the program adds them."""
    total = parts[0]
    for part in parts[1:]:
        total = np.add(total, part)
    if not isinstance(total, Rounded) or len(parts) == 2:
        return total
    sizes = sum(np.abs(p.value) + p.radius if isinstance(p, Rounded) else np.abs(p) for p in parts)
    return total.widen(len(parts) * total.model.u * sizes)


def is_sharp(expected: Sequence[Expected | None], dtype: str) -> bool:
    """True if worst-case tolerances leave half the digits of a dtype: no other is needed."""
    for one in expected:
        if one is None or not one.value.size:
            continue
        if not np.max(one.radius) <= math.sqrt(FORMATS[dtype].u) * np.max(np.abs(one.value)):
            return False
    return True


def with_probable(expected: Expected, tolerance: np.ndarray | None) -> Expected:
    return replace(expected, probable=tolerance)
