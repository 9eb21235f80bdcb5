"""The text of an architecture: ``FAMILY-SHAPE`` and nodes, each ``NAME(SETTINGS)/SIZE@INPUTS``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from gradagree.cases.text import shorten, split_outside_parentheses
from gradagree.errors import UsageError
from gradagree.reference import Activation, ContractError
from gradagree.reference.architecture import LayerNode
from gradagree.reference.layer import Layer

DENSE = "dense"
GRAPH_FAMILIES = ("convolutional", "residual", "transformer", "recurrent", "mixer")
FAMILIES = (DENSE, *GRAPH_FAMILIES)
"""The families of random architectures: chains of dense layers, and the families of graphs."""
MOST_NODES = 1000
HEAD = re.compile(r"([a-z]+)-([1-9]\d{0,5}(?:x[1-9]\d{0,5})*)")
NODE = re.compile(r"(\w+(?:\(.*\))?)(?:/([1-9]\d{0,5}(?:x[1-9]\d{0,5})*))?(@(?:\d{1,4}(?:\+\d{1,4})*)?)?")


def format_head(family: str, shape: Sequence[int]) -> str:
    return f"{family}-{'x'.join(map(str, shape))}"


def parse_head(text: str) -> tuple[str, tuple[int, ...]]:
    """The family and the shape of the input. Raises UsageError."""
    found = HEAD.fullmatch(text)
    if found is None or found[1] not in GRAPH_FAMILIES:
        raise UsageError(
            f"{shorten(text)!r} is no family with the shape of its input: write one of {', '.join(GRAPH_FAMILIES)} "
            "as in convolutional-2x4x6x6"
        )
    return found[1], tuple(map(int, found[2].split("x")))


def format_node(number: int, node: LayerNode) -> str:
    """The text of node `number`; inputs are left out where they are the value before it."""
    size = f"/{'x'.join(map(str, node.size))}" if node.size else ""
    inputs = "" if node.inputs == (number - 1,) else f"@{'+'.join(map(str, node.inputs))}"
    return f"{node.operation}{size}{inputs}"


def format_nodes(nodes: Sequence[LayerNode]) -> str:
    return ",".join(format_node(k, node) for k, node in enumerate(nodes, 1))


def parse_nodes(text: str) -> tuple[LayerNode, ...]:
    """The nodes of an architecture. Raises UsageError."""
    parts = split_outside_parentheses(text, ",")
    if len(parts) > MOST_NODES:
        raise UsageError(f"{len(parts):,} nodes are more than {MOST_NODES:,}")
    return tuple(parse_node(k, part) for k, part in enumerate(parts, 1))


class NodeText(NamedTuple):
    """The parts of the text of a node, read without knowing its operation."""

    operation: str
    size: tuple[int, ...]
    inputs: tuple[int, ...]


def split_node(number: int, text: str) -> NodeText:
    """The parts of the text of node `number`. Raises UsageError."""
    found = NODE.fullmatch(text)
    if found is None:
        raise UsageError(
            f"{shorten(text)!r} is no node: write NAME, NAME(SETTINGS), /SIZE and @INPUTS, as in "
            "convolution(padding=1)/4x3 or addition@2+5"
        )
    size = tuple(map(int, found[2].split("x"))) if found[2] else ()
    given = (found[3] or "")[1:]
    inputs = tuple(map(int, given.split("+"))) if given else () if found[3] else (number - 1,)
    return NodeText(found[1], size, inputs)


def parse_node(number: int, text: str) -> LayerNode:
    """Node `number` from its text. Raises UsageError."""
    name, size, inputs = split_node(number, text)
    return LayerNode(find_operation(name), size, inputs)


def find_operation(text: str) -> Layer | Activation:
    """The layer or activation that a text names. Raises UsageError."""
    name = text.partition("(")[0]
    try:
        if name in Activation.catalogue and name not in Layer.catalogue:
            return Activation.named(text)
        return Layer.named(text)
    except ContractError as wrong:
        raise UsageError(str(wrong)) from None
