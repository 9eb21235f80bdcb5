"""Architectures: graphs of layers and activations, with the shapes of all values and parameters."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from gradagree.reference import layers as layers
from gradagree.reference.contract import Activation
from gradagree.reference.layer import Layer
from gradagree.reference.parameters import ContractError

Shape = tuple[int, ...]
INTEGERS, BOOLEANS, CONSTANT, PARAMETER = "integers", "booleans", "constant", "parameter"
SEED = 0
"""Of the example that names a layer's arrays; its numbers are not used."""


class LayerNode(NamedTuple):
    """A layer or an activation of an architecture.

    Args:
        operation: The layer or activation.
        size: The numbers that the shapes of its parameters follow from, such as the number of outputs; see `SHAPES`.
        inputs: The values that it takes: 0 is the input of the architecture, k the value of node k.

    Example:
        >>> from gradagree.reference.architecture import LayerNode, array_shapes, value_shape
        >>> from gradagree.reference.layer import Layer
        >>> node = LayerNode(Layer.named("dense"), (4,), (0,))
        >>> array_shapes(node, [(2, 3)]), value_shape(node, [(2, 3)])
        ({'w': (4, 3), 'b': (4,)}, (2, 4))
    """

    operation: Layer | Activation
    size: Shape
    inputs: tuple[int, ...]


def _dense(node: LayerNode, x: Shape) -> dict[str, Shape]:
    (m,) = node.size
    return {"w": (m, x[-1]), "b": (m,)}


def _low_rank(node: LayerNode, x: Shape) -> dict[str, Shape]:
    m, rank = node.size
    return {"w": (m, x[-1]), "a": (rank, x[-1]), "b": (m, rank)}


def _bilinear(node: LayerNode, u: Shape, v: Shape) -> dict[str, Shape]:
    (m,) = node.size
    return {"w": (m, u[-1], v[-1]), "b": (m,)}


def _weight_norm(node: LayerNode, x: Shape) -> dict[str, Shape]:
    (m,) = node.size
    return {"v": (m, x[-1]), "s": (m,)}


def _convolution(node: LayerNode, x: Shape) -> dict[str, Shape]:
    outputs, k = node.size
    layer = node.operation
    return {"w": (outputs, x[1] // layer.groups, *[k] * layer.axes), "b": (outputs,)}  # type: ignore[union-attr]


def _transposed_convolution(node: LayerNode, x: Shape) -> dict[str, Shape]:
    outputs, k = node.size
    layer = node.operation
    return {"w": (x[1], outputs // layer.groups, *[k] * layer.axes), "b": (outputs,)}  # type: ignore[union-attr]


def _channels(_: LayerNode, x: Shape) -> dict[str, Shape]:
    return dict.fromkeys(("w", "b", "mean", "variance"), (x[1],))


def _entries(_: LayerNode, x: Shape) -> dict[str, Shape]:
    return {"w": x[-1:], "b": x[-1:]}


def _embedding(node: LayerNode) -> dict[str, Shape]:
    words, width, *index = node.size
    return {"w": (words, width), "index": tuple(index)}


def _multi_head(_: LayerNode, x: Shape) -> dict[str, Shape]:
    d = x[-1]
    return {"w": (3 * d, d), "b": (3 * d,), "u": (d, d), "c": (d,)}


def _attention(node: LayerNode, q: Shape, k: Shape, _: Shape) -> dict[str, Shape]:
    scores = (q[-2], k[-2])
    return {"z": (*q[:-2], *scores) if getattr(node.operation, "operand", "") == "kept" else scores}


def _rotary(_: LayerNode, x: Shape) -> dict[str, Shape]:
    return dict.fromkeys(("cos", "sin"), (x[-2], x[-1] // 2))


def _experts(node: LayerNode, x: Shape) -> dict[str, Shape]:
    experts, m = node.size
    top: int = node.operation.top  # type: ignore[union-attr]
    return {"r": (experts, x[-1]), "w": (experts, m, x[-1]), "chosen": (x[0], top)}


def _recurrent(node: LayerNode, x: Shape) -> dict[str, Shape]:
    layer = node.operation
    found: dict[str, Shape] = {"lengths": (x[1],)}
    h, rows, inputs = layer._size, layer._gates * layer._size, x[-1]  # type: ignore[union-attr]
    for k in range(layer.depth):  # type: ignore[union-attr]
        for end in ("", "_reverse")[: 1 + layer.both]:  # type: ignore[union-attr]
            each = {"w": (rows, inputs), "u": (rows, h), "b": (rows,), "c": (rows,)}
            found |= {f"{name}_l{k}{end}": shape for name, shape in each.items()}
        inputs = h * (1 + layer.both)  # type: ignore[union-attr]
    return found


def _scan(node: LayerNode, x: Shape, _: Shape) -> dict[str, Shape]:
    (states,) = node.size
    return {"a": (x[1], states), "b": (x[0], states), "c": (x[0], states), "d": (x[1],)}


def _mask(_: LayerNode, x: Shape) -> dict[str, Shape]:
    return {"kept": x}


SHAPES: dict[str, Callable[..., dict[str, Shape]]] = {
    "dense": _dense, "low_rank": _low_rank, "bilinear": _bilinear, "weight_norm": _weight_norm,
    "convolution": _convolution, "transposed_convolution": _transposed_convolution, "batch_norm": _channels,
    "batch_norm_evaluation": _channels, "group_norm": _channels, "instance_norm": _channels,
    "layer_norm_affine": _entries, "rms_norm_scaled": _entries, "embedding": _embedding,
    "multi_head_attention": _multi_head, "attention": _attention, "rotary_embedding": _rotary,
    "mixture_of_experts": _experts, "rnn": _recurrent, "lstm": _recurrent, "gru": _recurrent,
    "selective_scan": _scan, "masked_dropout": _mask,
}  # fmt: skip
"""The shapes of the arrays of a layer besides its inputs, from the node and the shapes of the inputs.

Other layers keep the shapes of their example.
"""


def example(layer: Layer) -> dict[str, np.ndarray]:
    """A layer's own example, which names its arrays."""
    return layer.example(np.random.default_rng(SEED))


def array_shapes(node: LayerNode, inputs: Sequence[Shape]) -> dict[str, Shape]:
    """The shapes of a node's own arrays, by the layer's names of them.

    Args:
        node: The node.
        inputs: The shapes of its inputs.

    Raises:
        ContractError: The layer does not take these inputs, or another size.
    """
    operation = node.operation
    if not isinstance(operation, Layer):
        if node.size or operation.parameter_names:
            raise ContractError(f"{operation}: give an activation without a size and without parameters of its own")
        return {}
    known = example(operation)
    names = [*known][len(inputs) :]
    rule = SHAPES.get(operation.name)
    if rule is None or not names:
        if node.size:
            raise ContractError(f"{operation} has no size; leave out /{'x'.join(map(str, node.size))}")
        return {name: known[name].shape for name in names}
    try:
        shapes = rule(node, *inputs)
        return {name: shapes[name] for name in names}
    except (ValueError, TypeError, IndexError, KeyError):
        size = "x".join(map(str, node.size)) or "none"
        taken = " and ".join(map(str, inputs)) or "no input"
        raise ContractError(f"{operation} with the size {size} does not take {taken}") from None


def input_names(node: LayerNode) -> list[str]:
    """What records call the inputs of a node: the layer's names of them, or x, x1, ... where it has none."""
    count = len(node.inputs)
    if not isinstance(node.operation, Layer):
        return ["p"] * count
    names = [name for name in node.operation.array_names[:count] if name != "arrays"]
    return names if len(names) == count else [f"x{k}" if k else "x" for k in range(count)]


def array_kinds(node: LayerNode) -> dict[str, str]:
    """For each of a node's own arrays: `INTEGERS`, `BOOLEANS`, `CONSTANT` (without a derivative) or `PARAMETER`."""
    operation = node.operation
    if not isinstance(operation, Layer):
        return {}
    found = {}
    for name, x in [*example(operation).items()][len(node.inputs) :]:
        kind = CONSTANT if name in operation.constants else PARAMETER
        found[name] = {"i": INTEGERS, "b": BOOLEANS}.get(x.dtype.kind, kind)
    return found


@functools.lru_cache(maxsize=4096)
def _value_shape(node: LayerNode, inputs: tuple[Shape, ...]) -> Shape:
    shapes, kinds = array_shapes(node, inputs), array_kinds(node)
    types = {INTEGERS: np.int64, BOOLEANS: np.bool_}
    own: list[np.ndarray] = [np.ones(shape, types.get(kinds[name], np.float64)) for name, shape in shapes.items()]
    own = [np.zeros_like(x) if kinds[name] == INTEGERS else x for name, x in zip(shapes, own, strict=True)]
    try:
        with np.errstate(all="ignore"):
            found = node.operation.value(*(np.ones(shape) for shape in inputs), *own)
    except Exception as error:
        taken = " and ".join(map(str, inputs))
        raise ContractError(f"{node.operation} does not take an input of shape {taken}: {error}") from error
    if isinstance(found, tuple):
        raise ContractError(f"{node.operation} returns several arrays; choose a layer that returns one")
    shape = np.shape(found)
    if not math.prod(shape) or not shape:
        raise ContractError(f"{node.operation} leaves no entries of an input of shape {inputs}")
    return shape


def value_shape(node: LayerNode, inputs: Sequence[Shape]) -> Shape:
    """The shape of a node's value.

    Args:
        node: The node.
        inputs: The shapes of its inputs.

    Raises:
        ContractError: The layer does not take these inputs.
    """
    return _value_shape(node, tuple(inputs))


def value_shapes(shape: Shape, nodes: Sequence[LayerNode]) -> list[Shape]:
    """The shapes of the input and of the value of each node.

    Raises:
        ContractError: A node takes a value that comes later, or does not take its inputs; the message has its number.
    """
    found = [shape]
    for k, node in enumerate(nodes, 1):
        if any(not 0 <= i < k for i in node.inputs):
            raise ContractError(f"node {k}, {node.operation}, takes the values {node.inputs}; give numbers below {k}")
        try:
            found.append(value_shape(node, [found[i] for i in node.inputs]))
        except ContractError as wrong:
            raise ContractError(f"node {k}: {wrong}") from None
    return found
