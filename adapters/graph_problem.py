"""A graph of layers with its data: the input of an adapter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gradagree.reference import ErrorFunction
from gradagree.reference.architecture import LayerNode


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
