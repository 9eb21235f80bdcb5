"""A graph of layers with its data: the input of an adapter."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradagree.reference import ErrorFunction
from gradagree.reference.architecture import LayerNode
from gradagree.reference.graph import value_name


def use_name(value: int, node: int, place: int) -> str:
    """The name of a value as one operand of one node, for values that are used more than once: ``c3>5.0``."""
    return f"{value_name(value)}>{node}.{place}"


class WrongShape(Exception):
    """An implementation returned an array of another shape; the message names it."""


@dataclass(frozen=True)
class GraphProblem:
    """A graph of layers with its data: the input of an adapter.

    Attributes:
        nodes: Layers and activations, each with the numbers of the values that it takes.
        error: The loss of the last value.
        arrays: The nodes' own arrays, by names such as ``3.w``.
        trained: The names of those that have a gradient.
        inputs: The input.
        targets: Targets, of shape (rows, width), or (rows,) if they are class numbers.
        dtype: Format to compute in.
        loss_weight: Factor of the loss.
    """

    nodes: Sequence[LayerNode]
    error: ErrorFunction
    arrays: Mapping[str, np.ndarray]
    trained: Sequence[str]
    inputs: np.ndarray
    targets: np.ndarray
    dtype: str
    loss_weight: float = 1.0

    @functools.cached_property
    def fixed(self) -> list[str]:
        """The names of the arrays without a gradient: indices, masks and constants."""
        return [name for name in self.arrays if name not in self.trained]

    @functools.cached_property
    def names_by_node(self) -> list[list[str]]:
        """The names of each node's own arrays."""
        found: list[list[str]] = [[] for _ in self.nodes]
        for name in self.arrays:
            found[int(name.partition(".")[0]) - 1].append(name)
        return found

    @property
    def key(self) -> tuple[Any, ...]:
        """What a program is made for: everything but the numbers."""
        return tuple(self.nodes), self.error, self.dtype, self.inputs.shape, self.targets.shape, self.loss_weight
