"""Arrays that a wrong backward pass has in place of others: in another order, of another place, without a factor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from gradagree.reference.graph import Graph

MOST_AXES = 4
MOST_KNOWN = 24


def repeated(x: np.ndarray, axis: int, at: int) -> np.ndarray:
    """One entry along an axis in place of all."""
    return np.broadcast_to(np.take(x, [at], axis=axis), x.shape)


def operands_in_place(x: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """What stands in place of an operand; ``{operand}`` in the clause is its name."""
    yield "1 in place of {operand}: a factor is missing", np.ones(x.shape, x.dtype)
    if x.dtype.kind == "f":
        yield "the square of {operand}: a factor is counted twice", x * x
        with np.errstate(all="ignore"):
            yield "the reciprocal of {operand}", 1 / x
        yield "-1 times {operand}: the wrong sign", -x
    for axis in range(min(x.ndim, MOST_AXES)):
        n = x.shape[axis]
        if n < 2:
            continue
        along = f"along axis {axis}"
        yield f"{{operand}} in reverse order {along}", np.flip(x, axis)
        yield f"the first entry of {{operand}} {along} for all", repeated(x, axis, 0)
        yield f"the last entry of {{operand}} {along} for all", repeated(x, axis, -1)
        for shift in dict.fromkeys((1, -1, n // 2)):
            yield f"{{operand}} shifted by {shift} {along}", np.roll(x, shift, axis)
    if x.ndim >= 2:
        yield "{operand} with 0 above its diagonal", np.tril(x)
        yield "{operand} with 0 below its diagonal", np.triu(x)
        if x.shape[-1] == x.shape[-2]:
            yield "{operand} transposed", np.swapaxes(x, -1, -2)


def values_in_place(graph: Graph, values: Sequence[Any], number: int, x: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Other values of a graph with the shape of an operand; those nearest to value number first."""
    if not x.ndim:
        return []
    found = []
    for k in sorted(range(number), key=lambda k: number - k):
        y = values[k]
        if isinstance(y, np.ndarray) and y.shape == x.shape and y.dtype.kind == "f" and not np.array_equal(y, x):
            n = k - len(graph.inputs)
            name = graph.inputs[k] if n < 0 else f"the result of {graph.applications[n].operation.name}"
            found.append((f"{name} in place of {{operand}}", y))
    return found[:MOST_KNOWN]
