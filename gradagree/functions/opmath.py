"""One rounding for each operation of a framework: within it, numbers have the format of the accumulator.

Frameworks compute an operation on numbers of 16 bits in float32 (PyTorch calls the format opmath) and round its results
to the dtype. So a chain of operations has the errors of its stored results, but not those of the steps inside each. In
the backward pass, an operation is one kernel, or a formula of several operations, each of which rounds its result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gradagree.arithmetic.dual import Dual
from gradagree.arithmetic.model import Model
from gradagree.arithmetic.rounded import Rounded, round_once
from gradagree.arithmetic.rounding import round_to_format
from gradagree.arithmetic.variance import Variance, rounding
from gradagree.reference.graph import Graph, Value

FUSED = "opmath"
"""The backward pass of each operation is one kernel."""
COMPOSED = "opmath forward"
"""It is a formula of operations, each of which rounds its result to the dtype."""
OPMATH = (FUSED, COMPOSED)

EXACT = frozenset({
    "absolute", "broadcast_to", "ceil", "concatenate", "constant", "copy", "diagonal", "expand_dims", "fabs", "flip",
    "fliplr", "flipud", "floor", "indexing", "max", "maximum", "min", "minimum", "moveaxis", "negative", "positive",
    "put", "ravel", "repeat", "reshape", "rint", "roll", "rollaxis", "rot90", "running_max", "running_min", "sign",
    "sliding_window_view", "sort", "squeeze", "stack", "stop_gradient", "swapaxes", "take", "take_along_axis", "tile",
    "transpose", "trunc", "where",
})  # fmt: skip
"""Primitives whose results are numbers of the dtype if their operands are."""


def rounded_values(graph: Graph) -> frozenset[int]:
    """The stored values of a graph that are rounded when they are stored: others are made of stored ones exactly."""
    known, found = set(range(len(graph.inputs))), set()
    for step in graph.applications:
        number = step.output.number
        if number not in graph.stored:
            continue
        operands = {x.number for x in step.operands if isinstance(x, Value)}
        if step.operation.name not in EXACT or not operands <= known:
            found.add(number)
        known.add(number)
    return frozenset(found)


@dataclass(frozen=True)
class Storing:
    """Where an arithmetic rounds numbers of a wider format to the dtype.

    Args:
        places: The values that are rounded, and their cotangents.
        inside: The model of the interior of an operation.
        stored: The model of the dtype.
        composed: True if each step of the backward pass rounds its result.
    """

    places: frozenset[int]
    inside: Model
    stored: Model
    composed: bool

    def keep(self, number: int, x: Any) -> Any:
        """A value, or its cotangent, as it is stored."""
        return self.rounded(x) if number in self.places else x

    def rounded(self, x: Any) -> Any:
        if isinstance(x, Dual):
            return Dual(self.rounded(x.value), self.rounded(x.tangent))
        if not isinstance(x, Rounded | Variance) or x.model is not self.inside:
            return x
        last = replace(self.inside, format=self.stored.format)
        if isinstance(x, Rounded):
            return round_once(x, last).with_model(self.inside)
        exact = (x.variance == 0) & (round_to_format(x.value, last.format) == x.value)
        return Variance(x.value, x.variance + np.where(exact, 0.0, rounding(x.value, last)), self.inside)

    def turned(self, x: Any) -> Any:
        """A value as the backward pass uses it."""
        known = self.composed and isinstance(x, Rounded | Variance) and x.model is self.inside
        return x.with_model(self.stored) if known else x


def storing_of(graph: Graph, rung: str, inside: Model, stored: Model) -> Storing | None:
    """Where the arithmetic with this name rounds; None for the arithmetics that do not depend on operations."""
    return Storing(rounded_values(graph), inside, stored, rung == COMPOSED) if rung in OPMATH else None


def turned(storing: Storing | None, values: Sequence[Any]) -> list[Any]:
    """Values as the backward pass uses them."""
    return list(values) if storing is None else list(map(storing.turned, values))
