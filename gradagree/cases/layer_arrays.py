"""The numbers of a layer's own arrays: parameters by the regime, and indices, masks and statistics that fit it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gradagree.arithmetic.model import Format
from gradagree.cases.regimes import Source, make_positive, ordinary
from gradagree.reference.architecture import BOOLEANS, CONSTANT, PARAMETER, LayerNode, array_kinds
from gradagree.reference.layer import Layer

Draw = Callable[[Source, tuple[int, ...], Format, str], np.ndarray]


def draw_array(
    source: Source, node: LayerNode, name: str, shape: tuple[int, ...], draw: Draw, form: Format
) -> np.ndarray:
    """One of a node's own arrays, by the layer's name of it."""
    layer, kind = node.operation, array_kinds(node)[name]
    assert isinstance(layer, Layer)
    if kind == PARAMETER:
        found = draw_parameter(source, shape, draw, form)
        if (layer.name, name) in DIRECTIONS:
            found[~found.any(axis=tuple(range(1, found.ndim)))] = 1.0
        return found
    rule = CONSTANTS.get((layer.name, name))
    if rule is not None:
        return rule(source, node, shape)
    if kind == BOOLEANS:
        return source.integers(4, shape) > 0
    if kind == CONSTANT:
        found = ordinary(source, shape, form, "biases")
        return np.asarray(make_positive(found)) if name == "variance" else found
    return own_example(source, layer)[name]


def draw_parameter(source: Source, shape: tuple[int, ...], draw: Draw, form: Format) -> np.ndarray:
    """A parameter by the regime: weights of several axes, the first that of the outputs, or one number for each."""
    if len(shape) < 2:
        return draw(source, shape, form, "biases")
    fan_in = int(np.prod(shape[1:]))
    return np.ascontiguousarray(draw(source, (fan_in, shape[0]), form, "weights").T).reshape(shape)


def _words(source: Source, node: LayerNode, shape: tuple[int, ...]) -> np.ndarray:
    return source.integers(node.size[0], shape)


def _lengths(source: Source, _: LayerNode, shape: tuple[int, ...]) -> np.ndarray:
    """Lengths of sequences, the first of which is the longest."""
    return np.concatenate([[LONGEST], 1 + source.integers(LONGEST, (shape[0] - 1,))])


def _experts(source: Source, node: LayerNode, shape: tuple[int, ...]) -> np.ndarray:
    """Different experts of each token."""
    first = source.integers(node.size[0], (shape[0], 1))
    return (first + np.arange(shape[1])) % node.size[0]


LONGEST = 4
"""The length of the sequences of recurrent layers with lengths."""
CONSTANTS: dict[tuple[str, str], Callable[[Source, LayerNode, tuple[int, ...]], np.ndarray]] = {
    ("embedding", "index"): _words,
    ("mixture_of_experts", "chosen"): _experts,
    **{(name, "lengths"): _lengths for name in ("rnn", "lstm", "gru")},
}
"""Integers that must fit the layer; others are those of the layer's example."""


DIRECTIONS = {("weight_norm", "v")}
"""Parameters that are divided by the norm of each of their rows, none of which may be zero."""


def own_example(source: Source, layer: Layer) -> dict[str, np.ndarray]:
    return layer.example(np.random.default_rng(int(source.integers(2**31))))
