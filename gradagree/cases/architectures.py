"""Random graphs of layers: five families, small, in shapes that recur so that compiled programs are reused."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from gradagree.cases.compatibility import has_nonzero_gradient, output_activations
from gradagree.cases.graph_case import GraphCase
from gradagree.cases.graph_text import find_operation
from gradagree.cases.regimes import Source
from gradagree.reference import Activation, ErrorFunction
from gradagree.reference.architecture import LayerNode, example, value_shape
from gradagree.reference.layer import Layer

ELEMENTWISE = (
    "relu", "leaky_relu", "elu", "selu", "celu", "silu", "gelu", "gelu_tanh", "tanh", "sigmoid", "softplus", "mish",
    "hardswish", "hardtanh", "relu6", "softsign", "log_sigmoid", "sin",
)  # fmt: skip
"""The activations of random graphs, unless others are named: those of networks in use."""
WIDTHS = (4, 4, 6)
OUTPUTS = (4, 3, 2, 6, 5, 8, 1, 9, 12)
MOST_BLOCKS = 2
NUMBERS = 10**9


@dataclass
class Builder:
    """A graph that grows node by node; operations are named by their texts.

    Args:
        source: Random choices.
        shape: Shape of the input.
        activations: Activations to choose from.
        blocks: Number of blocks of a family.
    """

    source: Source
    activations: Sequence[Activation]
    blocks: int
    shape: tuple[int, ...] = ()
    nodes: list[LayerNode] = field(default_factory=list)
    shapes: list[tuple[int, ...]] = field(default_factory=list)

    def start(self, *shape: int) -> int:
        self.shape, self.shapes = shape, [shape]
        return 0

    @property
    def last(self) -> int:
        return len(self.nodes)

    def add(self, operation: str | Layer | Activation, *size: int, after: Sequence[int] | int | None = None) -> int:
        """Add a node after the given values, or the last one; its number."""
        inputs = (self.last,) if after is None else (after,) if isinstance(after, int) else tuple(after)
        named = find_operation(operation) if isinstance(operation, str) else operation
        node = LayerNode(named, size, inputs)
        self.shapes.append(value_shape(node, [self.shapes[i] for i in inputs]))
        self.nodes.append(node)
        return self.last

    def choose(self, *things: str) -> str:
        return str(self.source.choice(things))

    def one_in(self, n: int) -> bool:
        return int(self.source.integers(n)) == 0

    def activate(self) -> int:
        return self.add(self.source.choice(self.activations))

    def width(self) -> int:
        return self.shapes[-1][-1]


def convolve(graph: Builder, channels: int, *settings: str) -> None:
    """A convolution and a norm of channels, or none; before a norm it has no bias, whose gradient would be 0."""
    norm = graph.choose("batch_norm", "instance_norm", "group_norm", "batch_norm_evaluation", "")
    chosen = [setting for setting in (*settings, "bias=False" if norm else "") if setting]
    graph.add(f"convolution({','.join(chosen)})", channels, 3)
    if norm == "instance_norm" and math.prod(graph.shapes[-1][2:]) == 1:  # of one entry, it is 0: PyTorch refuses it
        norm = "group_norm"
    if norm:
        graph.add(norm)


def convolutional(graph: Builder) -> None:
    """Convolutions with norms, activations and pooling, in one or two dimensions."""
    axes = 1 + int(graph.source.integers(2))
    graph.start(2, 4, *[8] * axes)
    for _ in range(graph.blocks):
        setting = graph.choose("padding=1", "padding=1", "groups=2,padding=1", "padding=1,padding_mode=circular", "")
        convolve(graph, int(graph.source.choice((4, 6))), "axes=1" if axes == 1 else "", setting)
        graph.activate()
        if graph.shapes[-1][-1] >= 6 and graph.one_in(2):
            graph.add(graph.choose("max_pool", "average_pool") + "(axes=1)" * (axes == 1))
    if graph.one_in(3):
        each = "axes=1," * (axes == 1) + "stride=2"
        graph.add(f"transposed_convolution({each})", 4, 2)
    if graph.shapes[-1][-1] >= 4:
        graph.add("average_pool(axes=1)" if axes == 1 else "average_pool")
    graph.add("flatten")


def residual(graph: Builder) -> None:
    """Branches of convolutions or dense layers, added to or put beside what they came from."""
    images = graph.one_in(2)
    graph.start(*((2, 4, 6, 6) if images else (4, int(graph.source.choice(WIDTHS)))))
    for _ in range(graph.blocks):
        start = graph.last
        if images:
            channels = graph.shapes[start][1]
            convolve(graph, channels, "padding=1")
            graph.activate()
            graph.add("convolution(padding=1)", channels, 3)
        else:
            name = graph.choose("layer_norm_affine", "rms_norm_scaled", "weight_norm")
            graph.add(name, *([graph.width()] if name == "weight_norm" else []))
            graph.activate()
            graph.add("dense", graph.shapes[start][-1])
        beside = graph.one_in(4) and graph.shapes[start][1] <= 8
        graph.add("concatenation" if beside else "addition", after=(start, graph.last))
    graph.activate()
    if images:
        graph.add("average_pool")
        graph.add("flatten")


def attend(graph: Builder) -> None:
    """Attention of a sequence to itself: as one layer, or of three projections."""
    width, start = graph.width(), graph.last
    if graph.one_in(2):
        graph.add(graph.choose("multi_head_attention", "multi_head_attention(causal=True)"))
        return
    q, k, v = (graph.add("dense(bias=False)", width, after=start) for _ in range(3))  # a bias of k has the gradient 0
    if graph.one_in(2):
        name = graph.choose("rotary_embedding", "rotary_embedding(interleaved=True)")
        q, k = graph.add(name, after=q), graph.add(name, after=k)
    graph.add(graph.choose("attention(causal=True)", "attention"), after=(q, k, v))
    graph.add("dense", width)


def feed_forward(graph: Builder) -> None:
    """Two dense layers with an activation or a gate between them."""
    width, start = graph.width(), graph.last
    if graph.one_in(2):
        gate = graph.add("dense(bias=False)", 2 * width, after=start)
        graph.add("dense(bias=False)", 2 * width, after=start)
        graph.add("gating", after=(graph.last, gate))
    else:
        graph.add("dense", 2 * width)
        graph.activate()
    if graph.one_in(4):
        graph.add("masked_dropout")
    if graph.one_in(3):
        graph.add("low_rank", width, 2)
    else:
        graph.add("dense", width)


def transformer(graph: Builder) -> None:
    """Blocks of attention and of dense layers, each after a norm and added to what it came from."""
    graph.start(2, 4, int(graph.source.choice(WIDTHS)))
    if graph.one_in(2):
        graph.add("embedding", 5, graph.shape[-1], *graph.shape[:2], after=())
        graph.add("addition", after=(0, graph.last))
    for _ in range(graph.blocks):
        for part in (attend, feed_forward):
            start = graph.last
            graph.add(graph.choose("layer_norm_affine", "rms_norm_scaled"))
            part(graph)
            graph.add("addition", after=(start, graph.last))
    graph.add(graph.choose("layer_norm_affine", "rms_norm_scaled"))
    graph.add("flatten(rows=True)")
    if graph.one_in(3):
        graph.add("mixture_of_experts", 3, 4)


def recurrent(graph: Builder) -> None:
    """Recurrent layers and linear recurrences over sequences, with dense layers between them."""
    if graph.one_in(5):
        x = graph.start(6, 4)
        graph.add("dense", 4)
        s = graph.add("softplus")
        graph.add("selective_scan", 2, after=(x, s))
        return
    graph.start(4, 3, int(graph.source.choice((2, 4))))
    for k in range(graph.blocks):
        if graph.one_in(4):
            start = graph.last
            graph.add("dense", 4, after=start)
            a = graph.add("sigmoid")
            graph.add("linear_recurrence", after=(a, graph.add("dense", 4, after=start)))
        else:
            cell = graph.choose("rnn", "lstm", "gru")
            graph.add(cell + graph.choose("", "(both=True)", "(depth=2)", "(packed=True)"))
        if graph.one_in(2) and k + 1 < graph.blocks:
            graph.add(graph.choose("layer_norm_affine", "rms_norm_scaled"))
    graph.add("flatten(rows=True)")


def mixer(graph: Builder) -> None:
    """Dense layers across places and across channels in turn (Tolstikhin et al. 2021)."""
    graph.start(2, 4, int(graph.source.choice(WIDTHS)))
    for _ in range(graph.blocks):
        for across in (True, False):
            start = graph.last
            graph.add(graph.choose("layer_norm_affine", "rms_norm_scaled"))
            if across:
                graph.add("transposition")
            feed_forward(graph)
            if across:
                graph.add("transposition")
            graph.add("addition", after=(start, graph.last))
    graph.add("flatten")


BUILDERS: dict[str, Callable[[Builder], None]] = {
    build.__name__: build for build in (convolutional, residual, transformer, recurrent, mixer)
}
"""What builds each of `GRAPH_FAMILIES`."""


def stack(graph: Builder, layer: Layer) -> None:
    """A layer on arrays of the shapes of its example; where it keeps the shape, as blocks that are added up."""
    first = next(iter(example(layer).values()))
    start = graph.start(*first.shape)
    for _ in range(graph.blocks):
        graph.add(layer, after=start)
        if graph.shapes[-1] != first.shape:
            break
        graph.activate()
        start = graph.add("addition", after=(start, graph.last))
    if len(graph.shapes[-1]) != 2:
        graph.add("flatten")


def width_of(error: ErrorFunction) -> int:
    """A number of outputs that a loss takes."""
    return next(n for n in (*OUTPUTS, *range(10, 65)) if error.width(n) is not None)


def choose_loss(graph: Builder, errors: Sequence[ErrorFunction]) -> ErrorFunction:
    """A loss that compares something in as many rows as there are; any where none does."""
    rows = graph.shapes[-1][0]
    found = [error for error in errors if has_nonzero_gradient(error, rows, width_of(error))]
    chosen: ErrorFunction = graph.source.choice(found or list(errors))
    return chosen


def finish(graph: Builder, error: ErrorFunction) -> None:
    """The last dense layer, of a width that the loss takes, and an activation where its domain is restricted."""
    graph.add("dense", width_of(error))
    if error.domain != "real":
        graph.add(graph.source.choice(output_activations(error, graph.activations)))


def draw_graph(
    source: Source, family: str, activations: Sequence[Activation] | None, errors: Sequence[ErrorFunction],
    regime: str, dtype: str, number: int, blocks: int | None = None, own: Layer | None = None,
) -> GraphCase:  # fmt: skip
    """One graph.

    Args:
        source: Decides the architecture.
        family: A family of `BUILDERS`.
        activations: Activations to choose from; None for those of networks in use.
        errors: Losses to choose from.
        regime: Input distribution.
        dtype: Dtype.
        number: Seed of the arrays.
        blocks: Number of blocks; by default up to `MOST_BLOCKS`.
        own: A layer to build the graph of, in place of the family's own layers.
    """
    count = blocks or 1 + int(source.integers(1 if regime == "extreme" else MOST_BLOCKS))
    graph = Builder(source, usable(activations), count)
    if own is None:
        BUILDERS[family](graph)
    else:
        stack(graph, own)
    error = choose_loss(graph, errors)
    finish(graph, error)
    return GraphCase(family, graph.shape, tuple(graph.nodes), error, dtype, regime, number)


def usable(activations: Sequence[Activation] | None) -> list[Activation]:
    """The activations for any number of axes: those that keep the shape and take all numbers."""
    standard = [Activation.named(name) for name in ELEMENTWISE]
    if activations is None:
        return standard
    return [a for a in activations if fits_graphs(a)] or standard


def fits_graphs(activation: Activation) -> bool:
    """True if an activation acts on each row of the last axis, keeps the shape and has no parameters of its own."""
    if activation.domain != "real" or activation.parameter_names or any(activation.width(n) != n for n in (1, 2, 6)):
        return False
    x = (np.arange(24.0).reshape(2, 3, 4) - 11) / 8
    with np.errstate(all="ignore"):
        both = activation.value(x), activation.value(x.reshape(6, 4))
    return bool(np.array_equal(both[0].reshape(6, 4), both[1], equal_nan=True))
