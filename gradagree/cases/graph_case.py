"""Cases of graphs of layers: an architecture, its data and a dtype, described by one line of text."""

from __future__ import annotations

import functools
import hashlib
import operator
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from gradagree.adapters import Problem
from gradagree.adapters.graph_problem import GraphProblem
from gradagree.arithmetic.model import FORMATS
from gradagree.cases.case import (
    DTYPES,
    LOSS_WEIGHTS,
    MAX_NUMBERS,
    MAX_TEXT,
    Arrays,
    Case,
    problem_of,
    sha256_of,
    target_shape,
)
from gradagree.cases.graph_text import format_head, format_nodes, parse_head, parse_nodes
from gradagree.cases.layer_arrays import draw_array
from gradagree.cases.regimes import REGIMES, Source, draw_targets, ordinary
from gradagree.cases.text import parse_count, parse_seed, shorten, split_outside_parentheses
from gradagree.errors import UsageError, nearest
from gradagree.reference import Activation, ContractError, ErrorFunction
from gradagree.reference.architecture import (
    BOOLEANS,
    PARAMETER,
    LayerNode,
    array_kinds,
    array_shapes,
    value_shapes,
)
from gradagree.reference.graph import INPUTS, LOSS_NODE, TARGETS, value_name
from gradagree.reference.layer import Layer

GRAPH_GRAMMAR = (
    "FAMILY-SHAPE:NODES:LOSS:nROWS:DTYPE:REGIME:sSEED, for example "
    "residual-2x6:dense/6,tanh,addition@0+2,dense/3:mse:n2:f32:ordinary:s1"
)


@dataclass(frozen=True, eq=False)
class GraphArrays:
    """The numbers of a graph: ``inputs``, ``targets``, and the arrays of each node by names such as ``3.w``.

    All are float64 arrays whose entries are numbers of the case's dtype; class targets, indices and masks are integers
    and booleans.
    """

    by_name: Mapping[str, np.ndarray]

    @functools.cached_property
    def sha256(self) -> str:
        """The SHA-256 hash of name, shape and little-endian bytes of every array."""
        return sha256_of(self.by_name)


@dataclass(frozen=True)
class GraphCase:
    """A graph of layers with its data. The canonical text `spec` makes it again, bit for bit.

    Args:
        family: Name of the family: ``convolutional``, ``residual``, ``transformer``, ``recurrent`` or ``mixer``.
        shape: Shape of the input.
        nodes: Layers and activations in topological order; the last value, of shape (rows, outputs), goes to the loss.
        error: The loss.
        dtype: ``float64``, ``float32``, ``float16`` or ``bfloat16``.
        regime: Input distribution that the arrays are drawn from.
        seed: Seed of the arrays, or twelve hexadecimal digits that name explicit arrays.
        explicit: The arrays, where they are not drawn.

    Raises:
        UsageError: The nodes, shapes and loss do not fit together.

    Example:
        >>> from gradagree.cases.graph_case import GraphCase
        >>> case = GraphCase.parse("residual-2x6:dense/6,tanh,addition@0+2,dense/3:mse:n2:f32:ordinary:s1")
        >>> case.depth, case.value_shapes["c4"], case.arrays().by_name["4.w"].shape
        (4, (2, 3), (3, 6))
    """

    family: str
    shape: tuple[int, ...]
    nodes: tuple[LayerNode, ...]
    error: ErrorFunction
    dtype: str
    regime: str = "ordinary"
    seed: int | str = 0
    explicit: GraphArrays | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.seed, str):
            object.__setattr__(self, "seed", operator.index(self.seed))
        _validate(self)

    @functools.cached_property
    def spec(self) -> str:
        """The canonical text, which reproduces the case bit for bit on any platform."""
        seed = f"s{self.seed}" if isinstance(self.seed, int) else f"@{self.seed}"
        return f"{self.architecture}:{FORMATS[self.dtype].short}:{self.regime}:{seed}"

    def __str__(self) -> str:
        return self.spec

    @functools.cached_property
    def architecture(self) -> str:
        """The canonical text up to the number of rows: what a program is made for, in any dtype."""
        return f"{format_head(self.family, self.shape)}:{format_nodes(self.nodes)}:{self.error}:n{self.batch}"

    @property
    def alias(self) -> str:
        """Six digits that name the case within a results folder."""
        return f"{int(hashlib.sha256(self.spec.encode()).hexdigest(), 16) % 1_000_000:06d}"

    @functools.cached_property
    def loss_weight(self) -> float:
        """The factor of the loss, as in `Case`."""
        return float(Source(f"loss weight of {self.architecture}").choice(LOSS_WEIGHTS))

    @property
    def depth(self) -> int:
        """The number of nodes, without the loss."""
        return len(self.nodes)

    @functools.cached_property
    def shapes(self) -> list[tuple[int, ...]]:
        """The shapes of the input and of the value of each node."""
        return value_shapes(self.shape, self.nodes)

    @property
    def batch(self) -> int:
        """The number of rows of the last value, each an example of the loss."""
        return self.shapes[-1][0]

    @property
    def outputs(self) -> int:
        """The number of outputs of one row."""
        return self.shapes[-1][1]

    @functools.cached_property
    def value_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the inputs and of the value of every node but the loss, by name."""
        return {value_name(k): shape for k, shape in enumerate(self.shapes)}

    @property
    def value_names(self) -> tuple[str, ...]:
        return tuple(self.value_shapes)

    @functools.cached_property
    def array_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each node's own arrays, by name."""
        found: dict[str, tuple[int, ...]] = {}
        for k, node in enumerate(self.nodes, 1):
            own = array_shapes(node, [self.shapes[i] for i in node.inputs])
            found |= {f"{k}.{name}": shape for name, shape in own.items()}
        return found

    @functools.cached_property
    def array_kinds(self) -> dict[str, str]:
        """What each of the nodes' own arrays holds, by name."""
        return {f"{k}.{name}": kind for k, node in enumerate(self.nodes, 1) for name, kind in array_kinds(node).items()}

    @functools.cached_property
    def parameter_names(self) -> tuple[str, ...]:
        """The names of the nodes' arrays that have a gradient."""
        return tuple(name for name, kind in self.array_kinds.items() if kind == PARAMETER)

    @property
    def size(self) -> int:
        """The number of entries of all parameters."""
        return sum(int(np.prod(self.array_shapes[name])) for name in self.parameter_names)

    def function(self, node: int | str) -> Layer | Activation | ErrorFunction:
        """The layer or activation of a node, or the loss, by the node's name in records."""
        return self.error if node == LOSS_NODE else self.nodes[int(node) - 1].operation

    @property
    def functions(self) -> list[Layer | Activation | ErrorFunction]:
        """The operation of each node, and the loss."""
        return [*(node.operation for node in self.nodes), self.error]

    @classmethod
    def parse(cls, text: str, explicit: GraphArrays | None = None) -> Self:
        """Create the case that a canonical text describes.

        Args:
            text: ``FAMILY-SHAPE:NODES:LOSS:nROWS:DTYPE:REGIME:SEED``.
            explicit: The arrays of a case whose seed names explicit arrays.

        Raises:
            UsageError: A part of the text is invalid; the message names it and says why.
        """
        parts = split_outside_parentheses(text.strip(), ":")
        if len(text) > MAX_TEXT or len(parts) != 7:
            raise UsageError(f"{shorten(text)!r} is no case of a graph: write {GRAPH_GRAMMAR}")
        head, nodes, error, rows, dtype, regime, seed = parts
        if dtype not in DTYPES:
            raise UsageError(f"unknown dtype {shorten(dtype)!r} in a case; {nearest(dtype, DTYPES)}")
        try:
            found = cls(
                *parse_head(head), parse_nodes(nodes), ErrorFunction.named(error), DTYPES[dtype], regime,
                parse_seed(seed), explicit,
            )  # fmt: skip
        except ContractError as wrong:
            raise UsageError(str(wrong)) from None
        if found.batch != parse_count(rows, "n", "rows"):
            raise UsageError(f"the last value has {found.batch} rows, not {rows[1:]}: write n{found.batch}")
        return found

    @classmethod
    def of(cls, case: GraphCase, arrays: GraphArrays) -> GraphCase:
        """Create a case of the same architecture with explicit arrays in place of the seed."""
        return replace(case, regime="explicit", seed=arrays.sha256[:12], explicit=arrays)

    def arrays(self) -> GraphArrays:
        """Create the arrays of the case: drawn from the seed, or the explicit ones.

        Raises:
            UsageError: The text names explicit arrays, which only a case file holds.
        """
        if self.explicit is not None:
            return self.explicit
        if isinstance(self.seed, str):
            raise UsageError(f"{self.spec}: its arrays are not at hand; name the case file that holds them")
        return _draw_arrays(self)

    def arrays_of(self, by_name: Mapping[str, np.ndarray]) -> GraphArrays:
        """The arrays from those by name, with masks as booleans."""
        kinds = self.array_kinds
        return GraphArrays({n: x.astype(bool) if kinds.get(n) == BOOLEANS else x for n, x in by_name.items()})

    def problem(self, arrays: GraphArrays, rate: float | None = None) -> GraphProblem:
        """The input of an adapter.

        Raises:
            UsageError: A rate is given: graphs have no step of steepest descent.
        """
        if rate is not None:
            raise UsageError(f"{self.spec}: a graph of layers is not trained; give a chain of dense layers")
        own = {name: arrays.by_name[name] for name in self.array_shapes}
        return GraphProblem(
            self.nodes, self.error, own, self.parameter_names, arrays.by_name[INPUTS], arrays.by_name[TARGETS],
            self.dtype, self.loss_weight,
        )  # fmt: skip


AnyCase = Case | GraphCase


def is_graph_text(text: str) -> bool:
    """True if a case text begins with a family, as that of a graph does."""
    return text.lstrip()[:1].isalpha()


def parse_case(text: str) -> AnyCase:
    """The case of a chain or of a graph that a text describes. Raises UsageError."""
    return GraphCase.parse(text) if is_graph_text(text) else Case.parse(text)


def _validate(case: GraphCase) -> None:
    """Raises UsageError, naming the part that does not fit."""
    if not case.nodes:
        raise UsageError("an architecture needs at least one node")
    parse_head(format_head(case.family, case.shape))
    try:
        shape = case.shapes[-1]
        own = case.array_shapes
    except ContractError as wrong:
        raise UsageError(str(wrong)) from None
    if len(shape) != 2:
        raise UsageError(f"the last value has the shape {shape}; end with flatten, so that it has rows and outputs")
    target_shape(case.error, *shape)
    numbers = sum(int(np.prod(s)) for s in (*case.shapes, *own.values()))
    if numbers > MAX_NUMBERS:
        raise UsageError(f"{numbers:,} numbers are more than {MAX_NUMBERS:,}: choose smaller shapes")
    if case.dtype not in FORMATS:
        raise UsageError(f"unknown dtype {case.dtype!r}; {nearest(case.dtype, FORMATS)}")
    explicit = case.regime == "explicit" and isinstance(case.seed, str)
    if case.regime not in REGIMES and not explicit:
        raise UsageError(f"unknown regime {case.regime!r} of a graph; {nearest(case.regime, REGIMES)}")
    if isinstance(case.seed, int) and not 0 <= case.seed < 10**18:
        raise UsageError(f"seed {case.seed}: give a whole number from 0, of at most 18 digits")
    if isinstance(case.seed, str) and not re.fullmatch("[0-9a-f]{12}", case.seed):
        raise UsageError(f"{shorten(case.seed)!r} is no hash of arrays: twelve hexadecimal digits")


def _draw_arrays(case: GraphCase) -> GraphArrays:
    """Draw the arrays of a case from its text."""
    source, form = Source(case.spec), FORMATS[case.dtype]
    draw = REGIMES.get(case.regime, ordinary)
    found = {INPUTS: draw(source, case.shape, form, "inputs"), TARGETS: np.zeros(0)}
    for k, node in enumerate(case.nodes, 1):
        for name in array_kinds(node):
            shape = case.array_shapes[f"{k}.{name}"]
            found[f"{k}.{name}"] = draw_array(source, node, name, shape, draw, form)
    shape = target_shape(case.error, case.batch, case.outputs)
    found[TARGETS] = draw_targets(
        case.error.targets, shape, case.outputs, source, lambda: draw(source, shape, form, "targets")
    )
    return GraphArrays(found)


def arrays_of(case: AnyCase, by_name: Mapping[str, np.ndarray]) -> Any:
    """The arrays of a case from those by name."""
    return case.arrays_of(by_name) if isinstance(case, GraphCase) else Arrays.of(by_name)


def any_problem(case: AnyCase, arrays: Any, rate: float | None = None) -> Problem | GraphProblem:
    """The input of an adapter for a case; with a rate, including one step of steepest descent."""
    return case.problem(arrays, rate) if isinstance(case, GraphCase) else problem_of(case, arrays, rate)
