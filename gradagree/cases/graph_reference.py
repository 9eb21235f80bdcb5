"""The reference's own values and cotangents of a graph of layers, in float64."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from gradagree.cases.graph_case import GraphArrays, GraphCase
from gradagree.reference import ErrorBox
from gradagree.reference.graph import INPUTS, LOSS_NODE, TARGETS
from gradagree.reference.layer import Layer


class NodeOperand(NamedTuple):
    """A node by its name in records, its first input (its own first array where it has none), and its cotangent."""

    name: int | str
    p: np.ndarray
    cotangent: np.ndarray


def node_values(case: GraphCase, arrays: GraphArrays) -> list[Any]:
    """The input, and the value of each node."""
    values: list[Any] = [arrays.by_name[INPUTS]]
    with np.errstate(all="ignore"):
        for k, node in enumerate(case.nodes, 1):
            own = (arrays.by_name[name] for name in case.array_shapes if name.startswith(f"{k}."))
            values.append(node.operation.value(*(values[i] for i in node.inputs), *own))
    return values


def node_operands(case: GraphCase, arrays: GraphArrays) -> list[NodeOperand]:
    """The operand of each node and of the loss, with its cotangent, by backpropagation."""
    named = arrays.by_name
    own: list[list[Any]] = [[] for _ in case.nodes]
    for name in case.array_shapes:
        own[int(name.partition(".")[0]) - 1].append(named[name])
    with np.errstate(all="ignore"):
        values = node_values(case, arrays)
        loss = ErrorBox(case.error, named[TARGETS], case.loss_weight).pull(values[-1])
        totals: list[Any] = [np.zeros(np.shape(x)) for x in values]
        totals[-1] = loss
        found = [NodeOperand(LOSS_NODE, values[-1], loss)]
        for k in range(len(case.nodes), 0, -1):
            node = case.nodes[k - 1]
            operands = [*(values[i] for i in node.inputs), *own[k - 1]]
            if isinstance(node.operation, Layer):
                given = node.operation.vjp(totals[k], *operands)
            else:
                given = [node.operation.vjp(operands[0], totals[k])]
            for i, g in zip(node.inputs, given, strict=False):
                totals[i] = totals[i] + (0.0 if g is None else g)
            first = given[0] if given[0] is not None else np.zeros(np.shape(operands[0]))
            found.append(NodeOperand(k, operands[0], np.asarray(first)))
    return found[::-1]
