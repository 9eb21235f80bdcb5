"""Cases: an architecture, its data and a dtype, described by one line of text that reproduces them bit for bit."""

from __future__ import annotations

import functools
import hashlib
import itertools
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from gradagree.adapters import Problem
from gradagree.arithmetic.model import FORMATS
from gradagree.cases.datasets import DATASETS, regimes
from gradagree.cases.regimes import REGIMES, Source, draw_targets, make_positive, ordinary
from gradagree.cases.text import (
    parse_activations,
    parse_count,
    parse_seed,
    parse_widths,
    shorten,
    split_outside_parentheses,
)
from gradagree.errors import UsageError, nearest
from gradagree.reference import Activation, Box, ContractError, ErrorFunction, network
from gradagree.reference.graph import (
    LOSS_NODE,
    Node,
    Quantity,
    nodes,
    operand_names,
    parameter_name,
    parameter_names,
    quantity_of,
    value_name,
)


def output_widths(widths: Sequence[int], activations: Sequence[Activation]) -> list[int]:
    """The number of outputs of each activation. Raises UsageError if an activation does not accept its width."""
    inputs = [*widths, widths[-1]][: len(activations)]
    found = []
    for k, (activation, n) in enumerate(zip(activations, inputs, strict=True), 1):
        width = activation.width(n)
        if not width:
            raise UsageError(f"box {k}: {activation} does not take an input of {n} numbers; choose another width")
        found.append(width)
    return found


def weight_shapes(widths: Sequence[int], activations: Sequence[Activation]) -> tuple[tuple[int, int], ...]:
    """The shape (n, m) of the weights of each layer."""
    return tuple(zip(output_widths(widths, activations), widths[1:], strict=False))


def output_width(widths: Sequence[int], activations: Sequence[Activation]) -> int:
    """The number of outputs of one example."""
    return output_widths(widths, activations)[-1] if len(activations) == len(widths) else widths[-1]


def target_shape(error: ErrorFunction, examples: int, n: int) -> tuple[int, ...]:
    """The shape of the targets of `examples` examples with n outputs. Raises UsageError where n outputs do not fit."""
    width = error.width(n)
    if width is None:
        raise UsageError(f"{error} does not take {n} outputs; choose another width, or parameters of that length")
    return (examples,) if error.targets == "classes" else (examples, width)


DTYPES = {form.short: name for name, form in FORMATS.items()}
MAX_TEXT = 100_000
MAX_NUMBERS = 2 * 10**8
GRAMMAR = "WIDTHS:ACTIVATIONS:ERROR:nEXAMPLES:DTYPE:REGIME:sSEED, for example 10-4-6-8-4:id,tanh*3:sse:n8:f32:grid:s93"


LOSS_WEIGHTS = (0.625, 0.75, 0.875, 1.25, 1.5, 1.75)
"""Factors of the loss: no powers of two, and with so few bits that all dtypes hold them."""


def sha256_of(arrays: Mapping[str, np.ndarray]) -> str:
    """The SHA-256 hash of name, shape and little-endian bytes of arrays; integers and booleans have eight bytes."""
    digest = hashlib.sha256()
    for name, array in arrays.items():
        kind = "<f8" if array.dtype.kind == "f" else "<i8"
        digest.update(f"{name}{list(array.shape)}{kind}".encode())
        digest.update(np.ascontiguousarray(array, dtype=kind).tobytes())
    return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Arrays:
    """The numbers of one case: weights[k] (n, m), biases[k] (m,) or None, inputs (examples, n), targets.

    All are float64 arrays whose entries are numbers of the case's dtype; class targets are int64.
    """

    weights: tuple[np.ndarray, ...]
    biases: tuple[np.ndarray | None, ...]
    inputs: np.ndarray
    targets: np.ndarray

    @functools.cached_property
    def by_name(self) -> dict[str, np.ndarray]:
        """Every array by name, in this order: inputs, targets, w1, b1, w2, ...; layers without biases have no b."""
        found = {"inputs": self.inputs, "targets": self.targets}
        for k, layer in enumerate(zip(self.weights, self.biases, strict=True), 1):
            found |= {parameter_name(k, name): x for name, x in zip("wb", layer, strict=True) if x is not None}
        return found

    @classmethod
    def of(cls, by_name: Mapping[str, np.ndarray]) -> Self:
        """The arrays from those by name."""
        layers = range(1, 1 + sum(name.startswith("w") for name in by_name))
        weights = tuple(by_name[parameter_name(k, "w")] for k in layers)
        biases = tuple(by_name.get(parameter_name(k, "b")) for k in layers)
        return cls(weights, biases, by_name["inputs"], by_name["targets"])

    @functools.cached_property
    def sha256(self) -> str:
        """The SHA-256 hash of name, shape and little-endian bytes of every array."""
        return sha256_of(self.by_name)


@dataclass(frozen=True)
class Case:
    """A network with its data: everything that a gradient depends on.

    The canonical text `spec` makes it again, bit for bit.

    Args:
        widths: Number of inputs, then the width of each layer.
        activations: One for each layer, applied to its input; one more is an output activation.
        error: The loss.
        batch: Number of examples.
        dtype: ``float64``, ``float32``, ``float16`` or ``bfloat16``.
        regime: Input distribution that the arrays are drawn from, or a data set.
        seed: Seed of the arrays, or twelve hexadecimal digits that name explicit arrays.
        biases: For each layer, whether it has a bias; by default none has.
        explicit: The arrays, where they are not drawn.

    Raises:
        UsageError: The widths, activations, loss and number of examples do not fit together.

    Example:
        >>> from gradagree import Case
        >>> case = Case.parse("10-4-6-8-4:id,tanh*3:sse:n8:f32:grid:s93")
        >>> case.widths, case.dtype, case.size
        ((10, 4, 6, 8, 4), 'float32', 144)
        >>> case.arrays().inputs.shape
        (8, 10)
    """

    widths: tuple[int, ...]
    activations: tuple[Activation, ...]
    error: ErrorFunction
    batch: int
    dtype: str
    regime: str = "ordinary"
    seed: int | str = 0
    biases: tuple[bool, ...] = ()
    explicit: Arrays | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.seed, str):
            object.__setattr__(self, "seed", operator.index(self.seed))
        if not self.biases:
            object.__setattr__(self, "biases", (False,) * (len(self.widths) - 1))
        _validate(self)

    @functools.cached_property
    def spec(self) -> str:
        """The canonical text, which reproduces the case bit for bit on any platform."""
        widths = "-".join(
            f"{width}{'b' if biased else ''}" for width, biased in zip(self.widths, (False, *self.biases), strict=True)
        )
        runs = [(name, len(list(group))) for name, group in itertools.groupby(map(str, self.activations))]
        activations = ",".join(name + (f"*{count}" if count > 1 else "") for name, count in runs)
        seed = f"s{self.seed}" if isinstance(self.seed, int) else f"@{self.seed}"
        form = FORMATS[self.dtype].short
        return f"{widths}:{activations}:{self.error}:n{self.batch}:{form}:{self.regime}:{seed}"

    def __str__(self) -> str:
        return self.spec

    @property
    def alias(self) -> str:
        """Six digits that name the case within a results folder."""
        return f"{int(hashlib.sha256(self.spec.encode()).hexdigest(), 16) % 1_000_000:06d}"

    @functools.cached_property
    def architecture(self) -> str:
        """The canonical text up to the number of examples: what a program is made for, in any dtype."""
        return self.spec.rsplit(":", 3)[0]

    @functools.cached_property
    def loss_weight(self) -> float:
        """The factor of the loss, which is then the cotangent that reaches it: not a power of two.

        A backward pass that ignores its cotangent, or rounds it away, would be right in every case whose cotangent is
        1. The factor belongs to the architecture, so that a program made for one serves all its cases. On a data set
        it is 1, as the derivation trains.
        """
        if self.regime in DATASETS:
            return 1.0
        return Source(f"loss weight of {self.architecture}").choice(LOSS_WEIGHTS)

    @property
    def depth(self) -> int:
        """The number of operations, without the loss."""
        return len(self.activations)

    @property
    def size(self) -> int:
        """The number of weights, biases and parameters of activations that have a gradient."""
        own = sum(len(activation.parameter_names) for activation in self.activations)
        return own + sum(n * m + m * biased for (n, m), biased in zip(self.shapes, self.biases, strict=True))

    @functools.cached_property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """The shape (n, m) of the weights of each layer."""
        return weight_shapes(self.widths, self.activations)

    @functools.cached_property
    def value_names(self) -> tuple[str, ...]:
        """The names of the inputs and of the value of every node but the loss, in topological order."""
        return tuple(value_name(k) for k in range(self.depth + 1))

    @functools.cached_property
    def parameter_names(self) -> tuple[str, ...]:
        """The names of all parameters."""
        return tuple(parameter_names(self.activations, self.biases))

    @functools.cached_property
    def operand_names(self) -> tuple[str, ...]:
        """The names of the arrays of the loss's operands that may have a gradient: targets, and its own parameters."""
        return tuple(operand_names(self.error).values())

    @property
    def outputs(self) -> int:
        """The number of outputs of one example."""
        return output_width(self.widths, self.activations)

    @classmethod
    def parse(cls, text: str, explicit: Arrays | None = None) -> Self:
        """Create the case that a canonical text describes.

        Args:
            text: ``WIDTHS:ACTIVATIONS:LOSS:nEXAMPLES:DTYPE:INPUTS:SEED``, such as
                ``"3-4b-2:id,tanh:sse:n8:f32:ordinary:s1"``; ``b`` marks a layer with biases, ``tanh*3`` repeats.
            explicit: The arrays of a case whose seed names explicit arrays.

        Returns:
            The case.

        Raises:
            UsageError: A part of the text is invalid; the message names it and says why.

        Example:
            >>> from gradagree import Case
            >>> Case.parse("3-4b-2:id,tanh:sse:n8:f32:ordinary:s1").biases
            (True, False)
        """
        if len(text) > MAX_TEXT:
            raise UsageError(f"{shorten(text)!r} is no case: it has {len(text):,} characters")
        parts = split_outside_parentheses(text.strip(), ":")
        if len(parts) != 7:
            raise UsageError(f"{shorten(text)!r} is no case: write {GRAMMAR}")
        widths, activations, error, batch, dtype, regime, seed = parts
        if dtype not in DTYPES:
            raise UsageError(f"unknown dtype {shorten(dtype)!r} in a case; {nearest(dtype, DTYPES)}")
        numbers, biases = parse_widths(widths)
        try:
            return cls(
                numbers, parse_activations(activations), ErrorFunction.named(error),
                parse_count(batch, "n", "examples"), DTYPES[dtype], regime, parse_seed(seed), biases, explicit,
            )  # fmt: skip
        except ContractError as wrong:
            raise UsageError(str(wrong)) from None

    @classmethod
    def of(cls, case: Case, arrays: Arrays) -> Case:
        """Create a case of the same architecture with explicit arrays in place of the seed.

        Args:
            case: The architecture.
            arrays: Weights (n, m) and biases (m,) of each layer, inputs (examples, n) and targets; float64, with
                entries that the dtype of the case can represent.

        Returns:
            The case; its text has the first digits of the hash of the arrays as seed.

        Example:
            >>> from gradagree import Case
            >>> case = Case.parse("1-1:id:sse:n1:f64:grid:s1")
            >>> Case.of(case, case.arrays()).regime
            'explicit'
        """
        return replace(case, regime="explicit", seed=arrays.sha256[:12], explicit=arrays)

    @classmethod
    def of_named(
        cls, activations: Sequence[Activation], error: ErrorFunction, dtype: str, named: Mapping[str, np.ndarray]
    ) -> Case:
        """Create a case of the shapes of arrays that are given by name, as from `Arrays.named`."""
        arrays = Arrays.of(named)
        examples, width = arrays.inputs.shape
        biases = tuple(b is not None for b in arrays.biases)
        widths = (width, *(w.shape[1] for w in arrays.weights))
        return cls.of(cls(widths, tuple(activations), error, examples, dtype, biases=biases), arrays)

    def arrays(self) -> Arrays:
        """Create the arrays of the case: drawn from the seed, or the explicit ones.

        Returns:
            Weights (n, m) and biases (m,) of each layer, inputs (examples, n) and targets; float64 arrays whose
            entries the dtype of the case can represent.

        Raises:
            UsageError: The text names explicit arrays, which only a case file holds.

        Example:
            >>> from gradagree import Case
            >>> arrays = Case.parse("3-4b-2:id,tanh:sse:n8:f32:ordinary:s1").arrays()
            >>> arrays.inputs.shape, [w.shape for w in arrays.weights], arrays.biases[0].shape
            ((8, 3), [(3, 4), (4, 2)], (4,))
        """
        if self.explicit is not None:
            return self.explicit
        if isinstance(self.seed, str):
            raise UsageError(f"{self.spec}: its arrays are not at hand; name the case file that holds them")
        return _draw_arrays(self)

    def network(
        self,
        arrays: Arrays,
        lift: Callable[[str, np.ndarray], Any] | None = None,
        activations: Sequence[Activation] | None = None,
        error: ErrorFunction | None = None,
        targets: Any = None,
    ) -> Box:
        """The boxes of the reference.

        Args:
            arrays: The numbers.
            lift: Converts each weight and bias, given its name and array, to another arithmetic.
            activations: Replace the case's own.
            error: Replaces the case's own loss.
            targets: Replace those of the arrays.
        """
        weights, biases = arrays.weights, arrays.biases
        if lift is not None:
            weights = tuple(lift(parameter_name(k, "w"), w) for k, w in enumerate(weights, 1))
            biases = tuple(None if b is None else lift(parameter_name(k, "b"), b) for k, b in enumerate(biases, 1))
        functions = self.activations if activations is None else activations
        t = arrays.targets if targets is None else targets
        return network(functions, weights, biases, error or self.error, t, self.loss_weight)

    def function(self, node: int | str) -> Activation | ErrorFunction:
        """The activation of a node, or the loss, by the node's name in records."""
        return self.error if node == LOSS_NODE else self.activations[int(node) - 1]

    def quantity(self, node: int | str, label: str) -> Quantity:
        """The quantity that a record of this case names by its node and label, such as 2 and ``dw``."""
        return quantity_of(node, label, self.depth)

    @functools.cached_property
    def value_shapes(self) -> dict[str, tuple[int, int]]:
        """The shapes of the inputs and of the value of every node but the loss, by name."""
        widths = (*self.widths, self.outputs)[: self.depth + 1]
        return {name: (self.batch, width) for name, width in zip(self.value_names, widths, strict=True)}

    def nodes(self, arrays: Arrays) -> list[Node]:
        """The nodes of the network in topological order, the loss last."""
        return nodes(self.network(arrays))


def problem_of(case: Case, arrays: Arrays, rate: float | None = None) -> Problem:
    """The input of an adapter for a case; with a rate, including one step of steepest descent."""
    numbers = (arrays.weights, arrays.biases, arrays.inputs, arrays.targets)
    return Problem.dense(case.activations, case.error, *numbers, case.dtype, rate, case.loss_weight)


def _validate(case: Case) -> None:
    """Raises UsageError, naming the part that does not fit and what would."""
    weights = len(case.widths) - 1
    if not weights <= len(case.activations) <= weights + 1:
        raise UsageError(
            f"{weights} weight matrices need {weights} activations, or one more for an output activation; "
            f"there are {len(case.activations)}"
        )
    if len(case.biases) != weights:
        raise UsageError(f"{weights} weight matrices need as many yes or no for biases; there are {len(case.biases)}")
    if any(width < 1 for width in case.widths) or case.batch < 1:
        raise UsageError(f"widths {case.widths} and {case.batch} examples: each must be at least 1")
    if isinstance(case.seed, int) and not 0 <= case.seed < 10**18:
        raise UsageError(f"seed {case.seed}: give a whole number from 0, of at most 18 digits")
    if isinstance(case.seed, str) and not re.fullmatch("[0-9a-f]{12}", case.seed):
        raise UsageError(f"{shorten(case.seed)!r} is no hash of arrays: twelve hexadecimal digits")
    _check_shapes(case)
    if case.dtype not in FORMATS:
        raise UsageError(f"unknown dtype {case.dtype!r}; {nearest(case.dtype, FORMATS)}")
    _check_regime(case)


def _check_shapes(case: Case) -> None:
    output_widths(case.widths, case.activations)
    target_shape(case.error, case.batch, case.outputs)
    numbers = case.size + case.batch * sum(case.widths)
    if numbers > MAX_NUMBERS:
        raise UsageError(f"{numbers:,} numbers are more than {MAX_NUMBERS:,}: choose smaller widths or fewer examples")


def _check_regime(case: Case) -> None:
    """Raises UsageError for an unknown regime, and for a data set that does not fit the case."""
    explicit = case.regime == "explicit" and isinstance(case.seed, str)
    if case.regime not in REGIMES and case.regime not in DATASETS and not explicit:
        raise UsageError(f"unknown regime {case.regime!r}; {nearest(case.regime, regimes())}")
    if case.regime in DATASETS:
        DATASETS[case.regime].check(case.widths[0], case.outputs, case.error)


def _draw_arrays(case: Case) -> Arrays:
    """Draw the arrays of a case from its text. Inputs of an activation with a positive domain are positive."""
    source = Source(case.spec)
    draw, form = REGIMES.get(case.regime, ordinary), FORMATS[case.dtype]
    weights = [draw(source, shape, form, "weights") for shape in case.shapes]
    pairs = zip(case.shapes, case.biases, strict=True)
    biases = [draw(source, (m,), form, "biases") if biased else None for (_, m), biased in pairs]
    for k, activation in enumerate(case.activations[1:]):
        if activation.domain == "positive":
            weights[k], biases[k] = make_positive(weights[k]), make_positive(biases[k])
    if case.regime in DATASETS:
        inputs, targets = DATASETS[case.regime].sample(source, case.batch, case.error.targets, case.dtype)
    else:
        inputs = draw(source, (case.batch, case.widths[0]), form, "inputs")
        inputs = make_positive(inputs) if "positive" in [a.domain for a in case.activations[:2]] else inputs
        shape = target_shape(case.error, case.batch, case.outputs)
        targets = draw_targets(
            case.error.targets, shape, case.outputs, source, lambda: draw(source, shape, form, "targets")
        )
    return Arrays(tuple(weights), tuple(biases), inputs, targets)
