"""The input and the result of an adapter."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from gradagree.reference import Activation, ErrorFunction
from gradagree.reference.graph import INPUTS, parameter_name, parameter_names, value_name
from gradagree.reference.samples import allowed_width, to_domain, varied_targets

MAX_COORDINATES = 256
"""Forward mode has one tangent for each coordinate up to this number of parameters; beyond, one for each direction."""
DIRECTIONS = 8


class Unsupported(Exception):
    """The framework or mode cannot compute the request; the message gives the reason and the remedy."""


def activation_parameters(activations: Sequence[Activation]) -> list[np.ndarray]:
    """The parameters of activations, arrays of zero or one axes, in the order of the nodes."""
    return [np.asarray(getattr(a, name), dtype=np.float64) for a in activations for name in a.parameter_names]


def parameters_by_node(activations: Sequence[Activation], leaves: Sequence[Any]) -> tuple[tuple[Any, ...], ...]:
    """The leaves of each node; the last ones are the activations' parameters."""
    rest = iter(leaves[len(leaves) - sum(len(a.parameter_names) for a in activations) :])
    return tuple(tuple(next(rest) for _ in a.parameter_names) for a in activations)


def with_parameters(activations: Sequence[Activation], leaves: Sequence[Any]) -> list[Activation]:
    """The activations with the framework's arrays as their parameters."""
    each = zip(activations, parameters_by_node(activations, leaves), strict=True)
    return [a.holding(**dict(zip(a.parameter_names, arrays, strict=True))) if arrays else a for a, arrays in each]


class Backend(Protocol):
    """The part of an adapter that programs use."""

    @property
    def modes(self) -> dict[str, Any]: ...
    def array(self, x: np.ndarray, dtype: str) -> Any: ...
    def constant(self, x: np.ndarray, dtype: str) -> Any: ...
    def copy(self, x: Any) -> Any: ...
    def back(self, x: Any) -> np.ndarray: ...
    def implementation(self, function: Activation | ErrorFunction) -> Callable[..., Any]: ...
    def operands(self, problem: Problem) -> tuple[list[Any], Any, list[Any]]: ...
    def error_of(self, architecture: Any) -> Callable[..., Any]: ...
    def tapped(self, mode: str, error: Callable[..., Any]) -> Callable[..., Any]: ...
    def jvp(self, function: Callable[[list[Any]], Any], leaves: list[Any], tangents: list[Any]) -> Any: ...
    def jacobian(self, function: Callable[[list[Any]], Any], leaves: list[Any]) -> Any: ...
    def passes_derivative(self, loss: Callable[..., Any], o: Any, x: Any, label: bool) -> bool: ...
    def forget(self) -> None: ...


@dataclass(frozen=True)
class Problem:
    """A network with its data: the input of an adapter.

    All arrays are float64 (class targets: int64), and the dtype represents their numbers exactly.

    Attributes:
        activations: Activation of each node, from the inputs to the loss.
        error: The loss.
        parameters: All parameters by name, in this order: weights ``w1``, ``w2``, ..., then the biases that there are,
            ``b1``, ..., then the activations' parameters, such as ``box 2 a``.
        inputs: Inputs, of shape (examples, n).
        targets: Targets, of shape (examples, width), or (examples,) if they are class numbers.
        dtype: Format to compute in, such as ``float32``.
        rate: Learning rate of one step of steepest descent; None for no step.
        loss_weight: Factor of the loss.
    """

    activations: Sequence[Activation]
    error: ErrorFunction
    parameters: Mapping[str, np.ndarray]
    inputs: np.ndarray
    targets: np.ndarray
    dtype: str
    rate: float | None = None
    loss_weight: float = 1.0

    @classmethod
    def dense(
        cls, activations: Sequence[Activation], error: ErrorFunction, weights: Sequence[np.ndarray],
        biases: Sequence[np.ndarray | None], inputs: np.ndarray, targets: np.ndarray, dtype: str,
        rate: float | None = None, loss_weight: float = 1.0,
    ) -> Problem:  # fmt: skip
        """The problem of a network of dense layers.

        Args:
            activations: Activation of each layer; one more is an output activation.
            error: The loss.
            weights: Weights of each layer, of shape (n, m).
            biases: Bias of each layer, of shape (m,), or None.
            inputs: Inputs, of shape (examples, n).
            targets: Targets.
            dtype: Format to compute in.
            rate: Learning rate, or None.
            loss_weight: Factor of the loss.

        Returns:
            The problem, with the parameters by name.
        """
        names = parameter_names(activations, [b is not None for b in biases])
        arrays = [*weights, *(b for b in biases if b is not None), *activation_parameters(activations)]
        return cls(activations, error, dict(zip(names, arrays, strict=True)), inputs, targets, dtype, rate, loss_weight)

    @functools.cached_property
    def weights(self) -> list[np.ndarray]:
        """The weights of each layer."""
        names = (parameter_name(k, "w") for k in range(1, len(self.activations) + 1))
        return [self.parameters[name] for name in names if name in self.parameters]

    @functools.cached_property
    def biases(self) -> list[np.ndarray | None]:
        """The bias of each layer, or None."""
        return [self.parameters.get(parameter_name(k, "b")) for k in range(1, len(self.weights) + 1)]

    @functools.cached_property
    def trained(self) -> list[str]:
        """The names of the weights and biases, which training changes, in the order of `parameters`."""
        return list(self.parameters)[: len(self.weights) + sum(b is not None for b in self.biases)]


@dataclass(frozen=True)
class Answer:
    """The result of a framework for one problem in one mode: float64 arrays by name.

    Attributes:
        E: The loss.
        values: The inputs and, with taps, the value of every node but the loss, in topological order.
        cotangents: The cotangents of ``values``; without taps, of the inputs only.
        gradients: The gradients of the parameters, and with taps those of operands of the loss, such as ``targets``;
            empty in forward mode along directions.
        seconds: Duration of the computation.
        along: In forward mode, the derivative of E along each direction of `tangent_directions`.
        updated: The weights and biases after one step of the framework's steepest descent, if the problem has a rate.
        tangents: In forward mode, the tangents of the nodes' values, of shape (directions, examples, outputs).
    """

    E: float
    values: Mapping[str, np.ndarray] = field(default_factory=dict)
    cotangents: Mapping[str, np.ndarray] = field(default_factory=dict)
    gradients: Mapping[str, np.ndarray] = field(default_factory=dict)
    seconds: float = 0.0
    along: tuple[float, ...] = ()
    updated: Mapping[str, np.ndarray] = field(default_factory=dict)
    tangents: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def tapped(self) -> bool:
        """Whether it holds every node's value and cotangent."""
        return len(self.values) > 1 and not self.tangents


def coordinates(problem: Problem) -> int:
    """The number of entries of all parameters."""
    return sum(x.size for x in problem.parameters.values())


def uses_directions(problem: Problem) -> bool:
    """True if forward mode uses a few directions instead of all coordinates."""
    return coordinates(problem) > MAX_COORDINATES


def tap_zeros(problem: Problem) -> list[np.ndarray]:
    """Zeros in the shape of each node's value."""
    widths = [problem.inputs.shape[1], *(w.shape[1] for w in problem.weights)]
    for activation in problem.activations[len(problem.weights) :]:
        widths.append(activation.width(widths[-1]) or 0)
    return [np.zeros((problem.inputs.shape[0], width)) for width in widths[1:]]


def directions(problem: Problem) -> list[list[np.ndarray]]:
    """`DIRECTIONS` directions in the space of all parameters, in the problem's order: coordinates 1 and -1."""
    shapes = [x.shape for x in problem.parameters.values()]
    made = []
    for k in range(DIRECTIONS):
        bits = np.random.PCG64(k)
        raw = [np.asarray(bits.random_raw(int(np.prod(shape)))) >> np.uint64(63) for shape in shapes]
        made.append([np.asarray(1.0 - 2.0 * signs.reshape(shape)) for signs, shape in zip(raw, shapes, strict=True)])
    return made


def tangent_directions(problem: Problem, number: int, which: Sequence[int]) -> dict[str, np.ndarray]:
    """Some of `number` directions, on a first axis, of the inputs and of each parameter, by name.

    With too many coordinates they are the eight of `directions`; otherwise the coordinates, those of the inputs first
    unless there is only room for the others. Raises ValueError for another number.
    """
    names, leaves = [INPUTS, *problem.parameters], [problem.inputs, *problem.parameters.values()]
    if uses_directions(problem):
        if number != DIRECTIONS:
            raise ValueError(f"{number} directions, not {DIRECTIONS}")
        zeros = np.zeros(problem.inputs.shape)
        chosen = [[zeros, *direction] for direction in directions(problem)]
        stacked = [np.stack(some) for some in zip(*(chosen[k] for k in which), strict=True)]
        return dict(zip(names, stacked, strict=False))  # no direction: no array
    everything, first = sum(x.size for x in leaves), problem.inputs.size
    if number not in (everything, everything - first):
        raise ValueError(f"{number} directions for {everything - first} weights and {first} inputs")
    unit = np.zeros((len(which), everything))
    unit[np.arange(len(which)), np.asarray(which, dtype=np.int64) + everything - number] = 1.0
    ends = np.cumsum([x.size for x in leaves])
    parts = zip(names, np.split(unit, ends[:-1], axis=1), leaves, strict=True)
    return {name: part.reshape(-1, *x.shape) for name, part, x in parts}


def example_weight(error: ErrorFunction, examples: int) -> float:
    """The weight of one example's loss in the loss of the batch: 1 for sums, 1/n for means.

    Raises Unsupported for a loss that couples the examples of a batch.
    """
    n, outputs = 3, allowed_width(error, 4)
    o = to_domain(error.domain, np.arange(n * outputs).reshape(n, outputs) / 4 - 1)
    batches = [(o, t) for t in varied_targets(error, n, outputs)]
    with np.errstate(all="ignore"):
        sums = [sum(float(error.value(o[k : k + 1], t[k : k + 1])) for k in range(n)) for o, t in batches]
        together = [float(error.value(o, t)) for o, t in batches]
    for factor, counts in ((1.0, 1.0), (1.0 / n, 1.0 / examples)):
        slack = o.size * np.finfo(np.float64).eps
        if all(abs(E - factor * alone) <= slack * abs(alone) for E, alone in zip(together, sums, strict=True)):
            return counts
    raise Unsupported(f"{error} couples the examples of a batch: no example has a gradient of its own")


def by_node(arrays: Sequence[Any]) -> dict[str, Any]:
    """Arrays of a chain's nodes, by the names of the nodes' values."""
    return {value_name(k): x for k, x in enumerate(arrays, 1)}
