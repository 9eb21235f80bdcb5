"""Graphs of operations with named values: of any array program, and of a network of dense layers."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from gradagree.reference.boxes import Box, ErrorBox, boxes
from gradagree.reference.contract import Activation, ErrorFunction
from gradagree.reference.operations.primitive import Primitive

INPUTS, LOSS, TARGETS = "inputs", "E", "targets"
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

    parameters maps the operation's name of each parameter to the name of its array: {"w": "w1", "b": "b1"}; operands
    does so for the further operands of a loss that have a derivative: {"t": "targets"}.
    """

    name: int | str
    operation: Box | ErrorBox
    input: str
    output: str
    parameters: Mapping[str, str]
    operands: Mapping[str, str] = {}

    @property
    def is_loss(self) -> bool:
        return self.output == LOSS

    def value(self) -> Quantity:
        return Quantity(Kind.VALUE, self.name, self.output, "E" if self.is_loss else "c")

    def cotangent(self) -> Quantity:
        """The cotangent of the node's input."""
        return Quantity(Kind.COTANGENT, self.name, self.input, "delta_p")

    def gradient(self, parameter: str) -> Quantity:
        array = self.operands[parameter] if self.is_loss else self.parameters[parameter]
        return Quantity(Kind.GRADIENT, self.name, array, f"d{parameter}")

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
    assert isinstance(loss, ErrorBox)
    return [*found, Node(LOSS_NODE, loss, value_name(len(found)), LOSS, {}, operand_names(loss.error))]


def operand_names(error: ErrorFunction) -> dict[str, str]:
    """The arrays of the operands of a loss, besides the outputs, that are no class numbers: targets and parameters."""
    targets = {} if error.targets == "classes" else {"t": TARGETS}
    return targets | {name: operand_name(name) for name in error.parameter_names}


def operand_name(name: str) -> str:
    """The name of the array of an operand of the loss: targets, or ``error alpha`` for a parameter."""
    return TARGETS if name == "t" else f"{LOSS_NODE} {name}"


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
    kind, name = Kind.GRADIENT if label.startswith("d") else Kind.UPDATED, label.removeprefix("d")
    return Quantity(kind, node, operand_name(name) if node == LOSS_NODE else parameter_name(k, name), label)


def parameter_names(activations: Sequence[Activation], biased: Sequence[bool]) -> list[str]:
    """The names of all parameters in the order of `Problem`: weights, biases, parameters of activations."""
    layers = range(1, len(biased) + 1)
    return [
        *(parameter_name(k, "w") for k in layers),
        *(parameter_name(k, "b") for k, has in zip(layers, biased, strict=True) if has),
        *(parameter_name(k, own_parameter(name)) for k, a in enumerate(activations, 1) for name in a.parameter_names),
    ]


# Graphs of primitives.

Keep = Callable[[int, Any], Any]
"""Gives a value, with its number, as a program stores it."""


class Value(NamedTuple):
    """A value of a graph, by its number; inputs come first."""

    number: int


class Application(NamedTuple):
    """One operation of a graph, applied to values and constants.

    operation: The primitive.
    operands: Values of the graph, or constants (numbers and arrays).
    parameters: Keyword arguments of the primitive, such as ``axis``.
    output: The value that it computes.
    place: File and line of the program that called it, if known.
    """

    operation: Primitive
    operands: tuple[Any, ...]
    parameters: Mapping[str, Any]
    output: Value
    place: str = ""


@dataclass
class Graph:
    """Operations in topological order, connected by values.

    Args:
        inputs: Names of the inputs, which are the values 0, 1, ...
        applications: The operations, each after those whose values it uses.
        outputs: The values that the graph returns; constants where a result does not depend on the inputs.
        shapes: Shapes of the outputs for the inputs that the graph was traced with; None if it was not traced.
        sizes: Shapes of all values for these inputs; empty if it was not traced.
        stored: The values that are results of a framework's own operations, each of which may consist of several of the
            graph; empty if they are not known.

    Example:
        >>> import numpy as np
        >>> from gradagree.arithmetic.tape import trace
        >>> graph = trace(lambda x, w: np.sum(np.tanh(x @ w)), np.ones((2, 3)), np.zeros((3, 1)))
        >>> [str(a.operation.name) for a in graph.applications]
        ['matmul', 'tanh', 'sum']
        >>> values = graph.evaluate([np.ones((2, 3)), np.zeros((3, 1))])
        >>> by_x, by_w = graph.vjp(values, [1.0])
        >>> by_w.ravel()
        array([2., 2., 2.])
    """

    inputs: Sequence[str]
    applications: list[Application] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)
    shapes: list[tuple[int, ...]] | None = None
    sizes: list[tuple[int, ...]] = field(default_factory=list)
    stored: set[int] = field(default_factory=set)

    @property
    def size(self) -> int:
        """Number of values."""
        return len(self.inputs) + len(self.applications)

    def evaluate(self, inputs: Sequence[Any], keep: Keep | None = None) -> list[Any]:
        """All values of the graph, in the arithmetic of the inputs.

        Args:
            inputs: One array for each input, of any array type that NumPy dispatches to.
            keep: Gives a value, with its number, as it is stored; by default the value itself.

        Returns:
            The values by their number: the inputs, then the outputs of the operations.
        """
        values = [*inputs]
        for step in self.applications:
            found = step.operation.function(*self.operands(step, values), **step.parameters)
            values.append(found if keep is None else keep(step.output.number, found))
        return values

    def operands(self, step: Application, values: Sequence[Any]) -> list[Any]:
        """The operands of one operation."""
        return [values[x.number] if isinstance(x, Value) else x for x in step.operands]

    def results(self, values: Sequence[Any]) -> list[Any]:
        """The outputs of the graph among its values."""
        return [values[x.number] if isinstance(x, Value) else x for x in self.outputs]

    def vjp(
        self, values: Sequence[Any], cotangents: Sequence[Any], add: Callable[[list[Any]], Any] | None = None,
        keep: Keep | None = None,
    ) -> list[Any]:  # fmt: skip
        """The cotangents of the inputs: backpropagation through the operations in reverse order.

        Args:
            values: From `evaluate`.
            cotangents: One for each output, in its shape; None for an output that nothing depends on.
            add: Adds the contributions of all consumers of a value; by default one after the other.
            keep: As for `evaluate`, for the cotangents of the values.

        Returns:
            One cotangent for each input; None for an input that no output depends on.
        """
        return self.all_cotangents(values, cotangents, add, keep)[: len(self.inputs)]

    def all_cotangents(
        self, values: Sequence[Any], cotangents: Sequence[Any], add: Callable[[list[Any]], Any] | None = None,
        keep: Keep | None = None,
    ) -> list[Any]:  # fmt: skip
        """As `vjp`, the cotangents of all values."""
        parts: list[list[Any]] = [[] for _ in range(self.size)]
        for output, cotangent in zip(self.outputs, cotangents, strict=True):
            if isinstance(output, Value) and cotangent is not None:
                parts[output.number].append(cotangent)
        found: list[Any] = [None] * self.size
        for step in reversed(self.applications):
            place = step.output.number
            g = combine(parts[place], add)
            found[place] = g = g if g is None or keep is None else keep(place, g)
            if g is None or step.operation.vjp is None:
                continue
            operands = self.operands(step, values)
            given = step.operation.vjp(g, values[place], *operands, **step.parameters)
            for operand, cotangent in zip(step.operands, given, strict=False):
                if isinstance(operand, Value) and cotangent is not None:
                    parts[operand.number].append(cotangent)
        for k in range(len(self.inputs)):
            found[k] = combine(parts[k], add)
        return found

    def with_outputs(self, outputs: Iterable[Any]) -> Graph:
        """The same operations with other outputs."""
        return Graph(self.inputs, self.applications, list(outputs), stored=self.stored)


def combine(parts: list[Any], add: Callable[[list[Any]], Any] | None) -> Any:
    """The sum of the contributions to one cotangent; None without any."""
    if len(parts) < 2:
        return parts[0] if parts else None
    if add is not None:
        return add(parts)
    total = parts[0]
    for part in parts[1:]:
        total = np.add(total, part)
    return total
