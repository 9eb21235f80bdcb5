"""Expected derivatives beyond the gradient: tangents (forward mode), and the graph of the gradient (second order)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gradagree.arithmetic.dual import Dual, added_in_any_order
from gradagree.arithmetic.duck import NoRule
from gradagree.arithmetic.model import model
from gradagree.arithmetic.variance import Variance
from gradagree.functions.enclosures import (
    Expected,
    interior,
    is_floating,
    is_sharp,
    lift,
    probable_tolerance,
    store,
    widened,
    with_probable,
)
from gradagree.functions.opmath import OPMATH, storing_of
from gradagree.functions.references import traced
from gradagree.functions.sampling import sampled_tangents
from gradagree.reference.graph import Graph, Keep


def move(
    graph: Graph, inputs: Sequence[np.ndarray], tangents: Sequence[np.ndarray | None], lifted: Callable[[Any], Any],
    keep: Keep | None = None,
) -> list[Any]:  # fmt: skip
    """The tangents of the outputs of a graph in an arithmetic.

    Args:
        graph: The reference.
        inputs: One array for each input, as float64.
        tangents: One for each input, in its shape; None for an input that is a constant.
        lifted: Gives an array of the arithmetic.
        keep: As for `Graph.evaluate`.

    Returns:
        The tangent of each output; zeros for an output that no input moves.
    """
    given: list[Any] = [lifted(x) if is_floating(x) else x for x in inputs]
    for k, tangent in enumerate(tangents):
        if tangent is not None:
            given[k] = Dual(given[k], lifted(tangent))
    with np.errstate(all="ignore"), added_in_any_order():
        results = graph.results(graph.evaluate(given, keep))
    return [y.tangent if isinstance(y, Dual) else np.zeros(np.shape(y)) for y in results]


def enclose_tangents(
    graph: Graph, inputs: Sequence[np.ndarray], tangents: Sequence[np.ndarray | None], rung: str, dtype: str,
    stores: Sequence[str],
) -> list[Expected]:  # fmt: skip
    """The tangents of the outputs of a graph with worst-case tolerances.

    Args:
        graph: The reference.
        inputs: One array for each input, as float64.
        tangents: One for each input, in its shape; None for an input that is a constant.
        rung: ``"wide"``, ``"opmath"`` or ``"stored"``.
        dtype: The dtype of the function.
        stores: The dtypes in which the tangents are stored.

    Returns:
        The tangent of each output; zeros for an output that no input moves.
    """
    inside = interior(rung, dtype)
    storing = storing_of(graph, rung, inside, model(dtype))
    found = move(graph, inputs, tangents, lambda x: lift(x, inside), None if storing is None else storing.keep)
    with np.errstate(all="ignore"):
        return [store(t, inside, model(name)) for t, name in zip(found, stores, strict=True)]


def expect_tangents(
    graph: Graph, inputs: Sequence[np.ndarray], tangents: Sequence[np.ndarray | None], rung: str, dtype: str,
    stores: Sequence[str],
) -> list[Expected]:  # fmt: skip
    """As `enclose_tangents`, with probabilistic tolerances where the worst case leaves fewer than half the digits."""
    found = enclose_tangents(graph, inputs, tangents, rung, dtype, stores)
    if is_sharp(found, dtype):
        return found
    inside = interior(rung, dtype)
    known = Variance.stored(0.0, inside)
    storing = storing_of(graph, rung, inside, model(dtype))
    try:
        moved = move(graph, inputs, tangents, known._lift, None if storing is None else storing.keep)
    except NoRule:
        return found
    assumed = [probable_tolerance(t, model(dtype)) for t in moved]
    if rung in OPMATH:  # a coarser arithmetic follows, with samples
        return [with_probable(t, assumed[k]) for k, t in enumerate(found)]
    deviations = functools.cache(lambda: sampled_tangents(graph, inputs, tangents, inside))

    def correlated(k: int) -> Callable[[], np.ndarray]:
        return lambda: widened(assumed[k], deviations()[k], inside)

    return [with_probable(t, assumed[k], correlated(k)) for k, t in enumerate(found)]


def gradient_graph(
    graph: Graph, inputs: Sequence[np.ndarray], cotangents: Sequence[np.ndarray | None], names: Sequence[str],
    wrt: Sequence[int],
) -> Graph:  # fmt: skip
    """The gradients of a graph as a graph: its inputs are those of the graph, then the cotangents that are not None.

    Args:
        graph: The reference.
        inputs: One array for each input.
        cotangents: One for each output of the graph, or None.
        names: Names of the inputs and cotangents.
        wrt: Places of the inputs whose gradients are the outputs.
    """
    kept = [k for k, g in enumerate(cotangents) if g is not None]
    seeds = [g for g in cotangents if g is not None]

    def function(*given: Any) -> list[Any]:
        arrays, moving = given[: len(inputs)], dict(zip(kept, given[len(inputs) :], strict=True))
        found = graph.vjp(graph.evaluate(arrays), [moving.get(k) for k in range(len(cotangents))])
        return [np.zeros(np.shape(inputs[k])) if found[k] is None else found[k] for k in wrt]

    return traced(function, [*inputs, *seeds], names, "the gradient")
