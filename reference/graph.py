"""A network as a graph of nodes with named values; so far the graph is a chain of dense layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gradagree.reference.boxes import Box, ErrorBox, boxes
from gradagree.reference.contract import Activation

INPUTS, LOSS = "inputs", "E"
LOSS_NODE = "error"
"""The name of the loss node; the other nodes are numbered from 1, starting at the inputs."""


class Node(NamedTuple):
    """An operation, its name in records, and the names of its input and output arrays.

    parameters maps the operation's name of each parameter to the name of its array: {"w": "w1", "b": "b1"}.
    """

    name: int | str
    operation: Box | ErrorBox
    input: str
    output: str
    parameters: Mapping[str, str]


def nodes(outermost: Box) -> list[Node]:
    """The nodes of a network in topological order; the loss is the last one."""
    found: list[Node] = []
    for k, box in enumerate(boxes(outermost), 1):
        dense = {name: parameter_name(k, name) for name in ("w", "b") if getattr(box, name) is not None}
        own = {name: parameter_name(k, name) for name in box.activation.own_weights}
        found.append(Node(k, box, value_name(k - 1), value_name(k), dense | own))
        loss = box.inside
    return [*found, Node(LOSS_NODE, loss, value_name(len(found)), LOSS, {})]


def value_name(k: int) -> str:
    """The name of the output of node k of a chain; 0 stands for the inputs."""
    return f"c{k}" if k else INPUTS


def parameter_name(k: int, name: str) -> str:
    """The name of a parameter of node k: w1, b1, or ``box 1 alpha`` for a parameter of its activation."""
    return f"{name}{k}" if name in ("w", "b") else f"box {k} {name}"


def parameter_names(activations: Sequence[Activation], biased: Sequence[bool]) -> list[str]:
    """The names of all parameters in the order of `Problem`: weights, biases, parameters of activations."""
    layers = range(1, len(biased) + 1)
    return [
        *(parameter_name(k, "w") for k in layers),
        *(parameter_name(k, "b") for k, has in zip(layers, biased, strict=True) if has),
        *(parameter_name(k, name) for k, a in enumerate(activations, 1) for name in a.own_weights),
    ]
