"""The graph of a network of boxes: a chain of boxes is one way to build a graph."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradagree.arithmetic.tape import trace
from gradagree.reference.boxes import Box, ErrorBox
from gradagree.reference.graph import INPUTS, Graph, Node, nodes, own_parameter


def network_graph(outermost: Box, p: Any) -> Graph:
    """The graph of the loss of a network, as a function of its inputs, parameters and targets.

    Args:
        outermost: The network, as from `network`, with ordinary arrays.
        p: Input of the outermost box, of shape (examples, n).

    Returns:
        The graph. Its inputs are named as in `gradagree.reference.graph.nodes`, in the order of `network_inputs`; its
        output is the loss.

    Raises:
        NoRule: An activation or loss uses a function without a rule.

    Example:
        >>> import numpy as np
        >>> from gradagree.reference import network
        >>> from gradagree.reference.activations import Tanh
        >>> from gradagree.reference.errors import SumOfSquares
        >>> box = network([Tanh()], [np.ones((2, 1))], [None], SumOfSquares(), np.zeros((1, 1)))
        >>> graph = network_graph(box, np.array([[0.0, 1.0]]))
        >>> graph.inputs
        ['inputs', 'w1', 'targets']
    """
    chain = nodes(outermost)
    given = network_inputs(outermost, p)

    def loss(*arrays: Any) -> Any:
        by_name = dict(zip(given, arrays, strict=True))
        x = by_name[INPUTS]
        for node in chain:
            x = with_arrays(node, by_name).forward(x)
        return x

    return trace(loss, *given.values(), names=list(given))


def network_inputs(outermost: Box, p: Any) -> dict[str, np.ndarray]:
    """The arrays of a network by name: its input, the parameters of each box, the operands of the loss."""
    found: dict[str, Any] = {INPUTS: p}
    for node in nodes(outermost):
        operation = node.operation
        if isinstance(operation, ErrorBox):
            operands = {"t": operation.t, **own_arrays(operation.error)}
            found.update({array: operands[name] for name, array in node.operands.items()})
        else:
            operands = {"w": operation.w, "b": operation.b}
            operands.update({own_parameter(name): x for name, x in own_arrays(operation.activation).items()})
            found.update({array: operands[name] for name, array in node.parameters.items()})
    return {name: np.asarray(x, dtype=np.float64) for name, x in found.items()}


def own_arrays(function: Any) -> dict[str, Any]:
    return {name: getattr(function, name) for name in function.parameter_names}


def with_arrays(node: Node, by_name: dict[str, Any]) -> Node:
    """The node with the given arrays in place of its own."""
    operation = node.operation
    if isinstance(operation, ErrorBox):
        own = {name: by_name[node.operands[name]] for name in operation.error.parameter_names}
        t = by_name[node.operands["t"]] if "t" in node.operands else operation.t
        return node._replace(operation=ErrorBox(operation.error.holding(**own), t, operation.weight))
    names = {name: own_parameter(name) for name in operation.activation.parameter_names}
    activation = operation.activation.holding(**{n: by_name[node.parameters[own]] for n, own in names.items()})
    w, b = (by_name[node.parameters[n]] if n in node.parameters else None for n in ("w", "b"))
    return node._replace(operation=Box(activation, w, b, operation.inside))
