"""Smaller graphs of layers, described by integers as in `gradagree.shrink.cut`: one node alone, on fewer rows.

The node at fault takes what the framework gave it. What it takes beside its first input is looked up in a table, and a
sum of squares gives its value the framework's own cotangent.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gradagree.arithmetic.model import FORMATS
from gradagree.arithmetic.rounding import round_to_precision
from gradagree.cases.graph_case import GraphArrays, GraphCase
from gradagree.cases.graph_text import find_operation
from gradagree.errors import UsageError
from gradagree.reference import ErrorFunction
from gradagree.reference.architecture import LayerNode
from gradagree.reference.graph import INPUTS, TARGETS, value_name
from gradagree.shrink.cut import SIMPLE_DTYPE, Draw
from gradagree.shrink.failing_case import FailingCase


def cut_graph(original: FailingCase, location: int | None, draw: Draw) -> GraphCase:
    """A smaller graph. Raises UsageError, ValueError or IndexError if the remaining parts do not fit together."""
    case: Any = original.case
    dtypes = list(dict.fromkeys([SIMPLE_DTYPE, case.dtype]))
    whole, dtype = draw(1) == 1, dtypes[draw(len(dtypes) - 1)]
    number = 1 + draw(case.depth) if location is None else location
    inputs = case.nodes[number - 1].inputs if number <= case.depth else (case.depth,)
    rows = 1 + draw(case.shapes[inputs[0]][0] - 1 if inputs else 0)
    if whole:  # after as many choices, of which fewer would count as simpler
        return GraphCase.of(case, GraphArrays(dict(original.arrays.by_name)))
    return loss_alone(original, dtype, rows) if number > case.depth else node_alone(original, number, dtype, rows)


def loss_alone(original: FailingCase, dtype: str, rows: int) -> GraphCase:
    """The loss on its own outputs."""
    case: Any = original.case
    outputs, targets = original.values[value_name(case.depth)], original.arrays.by_name[TARGETS]
    nodes = (LayerNode(find_operation("flatten"), (), (0,)),)
    found = GraphCase(case.family, (rows, outputs.shape[1]), nodes, case.error, dtype)
    return validated(found, {INPUTS: outputs[:rows], TARGETS: targets[:rows]})


def node_alone(original: FailingCase, number: int, dtype: str, rows: int) -> GraphCase:
    """One node on its own inputs and arrays, which have fewer rows on the first axis."""
    case: Any = original.case
    node = case.nodes[number - 1]
    given = [original.values[value_name(i)] for i in node.inputs]
    value, cotangent = (held[value_name(number)] for held in (original.values, original.cotangents))
    own = {name: x for name, x in original.arrays.by_name.items() if name.startswith(f"{number}.")}
    count = len(given[0]) if given else 1
    shared = all(len(x) == count for x in (*given, value)) and rows < count
    given = [x[:rows] if shared else x for x in given]
    value, cotangent = (x[:rows] if shared else x for x in (value, cotangent))
    nodes: list[LayerNode] = []
    arrays: dict[str, np.ndarray] = {}
    places = [0]
    for x in given[1:]:
        table = x.reshape(-1, x.shape[-1])
        nodes.append(LayerNode(find_operation("embedding"), (*table.shape, *x.shape[:-1]), ()))
        arrays |= {f"{len(nodes)}.w": table, f"{len(nodes)}.index": np.arange(len(table)).reshape(x.shape[:-1])}
        places.append(len(nodes))
    nodes.append(node._replace(inputs=tuple(places[: len(node.inputs)])))
    for name, x in own.items():
        like = shared and x.dtype.kind != "f" and x.shape[:1] == (count,)
        arrays[f"{len(nodes)}.{name.partition('.')[2]}"] = x[:rows] if like else x
    if value.ndim != 2:
        nodes.append(LayerNode(find_operation("flatten"), (), (len(nodes),)))
        value, cotangent = (x.reshape(len(x), -1) for x in (value, cotangent))
    first = given[0] if given else np.zeros((1, 1))
    found = GraphCase(case.family, first.shape, tuple(nodes), ErrorFunction.named("sse"), dtype)
    # t = c - delta_c / (2 weight)
    targets = round_to_precision(value - cotangent / (2 * found.loss_weight), FORMATS[dtype].precision)
    return validated(found, {INPUTS: first, TARGETS: targets, **arrays})


def validated(case: GraphCase, arrays: dict[str, np.ndarray]) -> GraphCase:
    """The case with these arrays. Raises UsageError if they do not fit it, or are not finite."""
    names = [INPUTS, TARGETS, *case.array_shapes]
    held = GraphArrays({name: np.ascontiguousarray(arrays[name]) for name in names if name in arrays})
    shapes = {INPUTS: case.shape, **case.array_shapes}
    for name, shape in shapes.items():
        if name not in held.by_name or held.by_name[name].shape != shape:
            raise UsageError(f"{name} does not have the shape {shape}")
    if any(not np.isfinite(x).all() for x in held.by_name.values() if x.dtype.kind == "f"):
        raise UsageError("numbers that are not finite")
    return GraphCase.of(case, held)
