"""A network as a graph of nodes with named values; so far the graph is a chain of dense layers."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gradagree.reference.boxes import Box, ErrorBox, boxes
from gradagree.reference.contract import Activation

INPUTS, LOSS = "inputs", "E"
LOSS_NODE = "error"
"""The name of the loss node; the other nodes are numbered from 1, starting at the inputs."""


class Kind(enum.Enum):
    """What an array of a node is: its value, a derivative of the loss, a tangent, or a parameter after a step."""

    VALUE = "value"
    COTANGENT = "cotangent"
    GRADIENT = "gradient"
    TANGENT = "tangent"
    UPDATED = "updated parameter"


class Quantity(NamedTuple):
    """One array that a framework returns for a node.

    array is the name of the value or parameter that it is, or that it is the derivative of; label is what records call
    it, in the letters of the derivation: c, E, delta_p, dw, db, c'.
    """

    kind: Kind
    node: int | str
    array: str
    label: str


class Node(NamedTuple):
    """An operation, its name in records, and the names of its input and output arrays.

    parameters maps the operation's name of each parameter to the name of its array: {"w": "w1", "b": "b1"}.
    """

    name: int | str
    operation: Box | ErrorBox
    input: str
    output: str
    parameters: Mapping[str, str]

    @property
    def is_loss(self) -> bool:
        return self.output == LOSS

    def value(self) -> Quantity:
        return Quantity(Kind.VALUE, self.name, self.output, "E" if self.is_loss else "c")

    def cotangent(self) -> Quantity:
        """The cotangent of the node's input."""
        return Quantity(Kind.COTANGENT, self.name, self.input, "delta_p")

    def gradient(self, parameter: str) -> Quantity:
        return Quantity(Kind.GRADIENT, self.name, self.parameters[parameter], f"d{parameter}")

    def tangent(self) -> Quantity:
        return Quantity(Kind.TANGENT, self.name, self.output, "E'" if self.is_loss else "c'")

    def updated(self, parameter: str) -> Quantity:
        """A parameter after a step of steepest descent."""
        return Quantity(Kind.UPDATED, self.name, self.parameters[parameter], parameter)

    def forward(self, x: Any) -> Any:
        """The value of the node at its input x."""
        return self.operation(x) if isinstance(self.operation, ErrorBox) else self.operation.weigh(x)


def nodes(outermost: Box) -> list[Node]:
    """The nodes of a network in topological order; the loss is the last one."""
    found: list[Node] = []
    for k, box in enumerate(boxes(outermost), 1):
        dense = {name: parameter_name(k, name) for name in ("w", "b") if getattr(box, name) is not None}
        names = map(own_parameter, box.activation.parameter_names)
        own = {name: parameter_name(k, name) for name in names}
        found.append(Node(k, box, value_name(k - 1), value_name(k), dense | own))
        loss = box.inside
    return [*found, Node(LOSS_NODE, loss, value_name(len(found)), LOSS, {})]


def value_name(k: int) -> str:
    """The name of the output of node k of a chain; 0 stands for the inputs."""
    return f"c{k}" if k else INPUTS


def own_parameter(name: str) -> str:
    """The name within a node of a parameter of its activation: that of a weight or bias gets the prefix ``A.``."""
    return f"A.{name}" if name in ("w", "b") else name


def parameter_name(k: int, name: str) -> str:
    """The name of a parameter of node k: w1, b1, or ``box 1 alpha`` for a parameter of its activation."""
    return f"{name}{k}" if name in ("w", "b") else f"box {k} {name}"


def quantity_of(node: int | str, label: str, depth: int) -> Quantity:
    """The quantity that a record names by its node and label, in a chain of this many nodes before the loss."""
    k = depth + 1 if node == LOSS_NODE else int(node)
    output = LOSS if node == LOSS_NODE else value_name(k)
    if label == "delta_p":
        return Quantity(Kind.COTANGENT, node, value_name(k - 1), label)
    if label in ("c", "E"):
        return Quantity(Kind.VALUE, node, output, label)
    if label in ("c'", "E'"):
        return Quantity(Kind.TANGENT, node, output, label)
    kind = Kind.GRADIENT if label.startswith("d") else Kind.UPDATED
    return Quantity(kind, node, parameter_name(k, label.removeprefix("d")), label)


def parameter_names(activations: Sequence[Activation], biased: Sequence[bool]) -> list[str]:
    """The names of all parameters in the order of `Problem`: weights, biases, parameters of activations."""
    layers = range(1, len(biased) + 1)
    return [
        *(parameter_name(k, "w") for k in layers),
        *(parameter_name(k, "b") for k, has in zip(layers, biased, strict=True) if has),
        *(parameter_name(k, own_parameter(name)) for k, a in enumerate(activations, 1) for name in a.parameter_names),
    ]
