"""Programs: what a framework traces and compiles for an architecture in one mode, with a cache of the last ones."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradagree.adapters.loss_operands import loss_in
from gradagree.adapters.problem import (
    Answer,
    Backend,
    Problem,
    by_node,
    directions,
    example_weight,
    tap_zeros,
    with_parameters,
)
from gradagree.reference import Activation, ErrorFunction
from gradagree.reference.graph import INPUTS

Tap = Callable[[Any], Any]
"""Receives the value of each node, and returns it."""
Program = Callable[[list[Any], Any, list[Any]], Any]
"""From (leaves, targets, zeros) to ((E, values of the nodes), gradients of the leaves, cotangents of the values)."""
MAX_PROGRAMS = 32
"""Programs in the cache; a new architecture then replaces all of them. Each costs eager jax some 100 MiB."""
MAX_MAPPINGS = 40_000
"""Memory mappings of the process before its programs are dropped; Linux allows 65,530."""
MAX_TANGENTS = 1 << 20
"""Largest number of entries of all tangents together; beyond it, those of the inputs are left out."""


def forward(
    activations: Sequence[Callable[[Any], Any]], p: Any, weights: Sequence[Any], biases: Sequence[Any],
    biased: Sequence[bool], tap: Tap,
) -> Any:  # fmt: skip
    """The output o: every node applies its activation and its affine map and passes the result through a tap."""
    remaining = iter(biases)
    for k, activation in enumerate(activations):
        c = activation(p)
        if k < len(weights):
            c = c @ weights[k]
            c = c + next(remaining) if biased[k] else c
        p = tap(c)
    return p


@dataclass(frozen=True)
class Architecture:
    """A problem without its numbers; scale multiplies the loss, whose operands of these names are tapped."""

    activations: tuple[Activation, ...]
    error: ErrorFunction
    widths: tuple[int, ...]
    biased: tuple[bool, ...]
    examples: int
    dtype: str
    scale: float | None = None
    operands: tuple[str, ...] = ()

    @classmethod
    def of(cls, problem: Problem, per_example: bool = False, operands: Iterable[str] = ()) -> Architecture:
        """The architecture of a problem; per_example, if a mode sums the losses of single examples."""
        examples, inputs = problem.inputs.shape
        scale = example_weight(problem.error, examples) if per_example else None
        if problem.loss_weight != 1:
            scale = problem.loss_weight * (scale or 1.0)
        return cls(
            tuple(problem.activations), problem.error, (inputs, *(w.shape[1] for w in problem.weights)),
            tuple(b is not None for b in problem.biases), examples, problem.dtype, scale, tuple(operands),
        )  # fmt: skip

    def error_in(self, adapter: Backend) -> Callable[[list[Any], Any, Tap], Any]:
        """The loss as a function of (leaves, targets, tap), by the framework's implementations.

        Raises Unsupported where a function has none.
        """
        for activation in self.activations:
            adapter.implementation(activation)
        adapter.implementation(self.error)
        n = len(self.biased)
        times = None if self.scale is None else multiplication(adapter, self.scale, self.dtype)

        def error(leaves: list[Any], targets: Any, tap: Tap) -> Any:
            held = with_parameters(self.activations, leaves)
            activations = [adapter.implementation(activation) for activation in held]
            o = forward(activations, adapter.copy(leaves[0]), leaves[1 : 1 + n], leaves[1 + n :], self.biased, tap)
            if "t" in self.operands:
                targets = tap(targets)
            E = loss_in(adapter, self.error, self.dtype, tap, self.operands)(o, targets)
            return E if times is None else times(E)

        return error


def multiplication(adapter: Backend, factor: float, dtype: str) -> Callable[[Any], Any]:
    """Multiplication of a loss by a number, which is an array where the framework's arrays take only arrays."""
    try:
        adapter.array(np.ones(()), dtype) * factor
        return lambda E: E * factor
    except Exception:  # noqa: BLE001  (a user's own arrays may raise anything)
        pass

    def times(E: Any) -> Any:
        try:
            return E * adapter.array(np.array(factor), dtype)
        except Exception as wrong:
            raise TypeError(
                f"a loss cannot be multiplied by {factor}: define __mul__ of the adapter's arrays for a number"
            ) from wrong

    return times


class Programs:
    """A cache of the programs that an adapter made last."""

    def __init__(self, adapter: Backend) -> None:
        self.adapter = adapter
        self._programs: dict[tuple[str, Architecture, bool], Program] = {}

    def __call__(self, mode: str, architecture: Architecture, taps: bool) -> Program:
        """The program of an architecture in one mode, with taps or without. Raises Unsupported."""
        key = (mode, architecture, taps)
        if key not in self._programs:
            if len(self._programs) >= MAX_PROGRAMS and architecture not in {known for _, known, _ in self._programs}:
                self._programs.clear()
                self.adapter.forget()
            error = self.adapter.error_of(architecture)
            self._programs[key] = (
                self.adapter.tapped(mode, error) if taps else self._untapped(mode, error, architecture)
            )
        return self._programs[key]

    def _untapped(self, mode: str, error: Callable[..., Any], architecture: Architecture) -> Program:
        count = len(architecture.biased) + sum(architecture.biased)
        count += sum(len(activation.parameter_names) for activation in architecture.activations)
        gradient = self.adapter.modes[mode](
            lambda leaves, targets: (error(leaves, targets, lambda c: c), []), [True, *[False] * count]
        )

        def untapped(leaves: list[Any], targets: Any, _: list[Any]) -> Any:
            found, gradients = gradient(leaves, targets)
            return found, gradients, []

        return untapped


def near_mapping_limit() -> bool:
    """True if compiled programs use so many memory mappings that the system may soon refuse more.

    A program uses about ten for each dtype; the compiler ends the process if a mapping is refused.
    """
    try:
        with open("/proc/self/maps", "rb") as mappings:
            return sum(1 for _ in mappings) > MAX_MAPPINGS
    except OSError:
        return False


def error_and_values(adapter: Backend, problem: Problem, targets: Any) -> Callable[[list[Any]], list[Any]]:
    """A function from the leaves to E and the values of the nodes."""
    error = adapter.error_of(Architecture.of(problem))

    def program(leaves: list[Any]) -> list[Any]:
        values: list[Any] = []

        def tap(c: Any) -> Any:
            values.append(c)
            return adapter.copy(c)

        return [error(leaves, targets, tap), *values]

    return program


def forward_in_directions(adapter: Backend, problem: Problem) -> Answer:
    """The answer in forward mode along a few directions of the parameters; the tangents of the inputs are zero."""
    leaves, targets, _ = adapter.operands(problem)
    program = error_and_values(adapter, problem, targets)
    zeros = adapter.array(np.zeros(problem.inputs.shape), problem.dtype)
    started = time.perf_counter()
    pairs = []
    for direction in directions(problem):
        tangents = [zeros, *(adapter.array(x, problem.dtype) for x in direction)]
        pairs.append(adapter.jvp(program, leaves, tangents))
    seconds = time.perf_counter() - started
    columns = zip(*([adapter.back(x) for x in tangents] for _, tangents in pairs), strict=True)
    return _answer(problem, [adapter.back(x) for x in pairs[0][0]], [np.stack(column) for column in columns], seconds)


def forward_in_coordinates(adapter: Backend, problem: Problem) -> Answer:
    """The answer in forward mode in every coordinate of the parameters, and of the inputs if there is room."""
    leaves, targets, _ = adapter.operands(problem)
    program = error_and_values(adapter, problem, targets)
    started = time.perf_counter()
    found, jacobians = program(leaves), adapter.jacobian(program, leaves)
    seconds = time.perf_counter() - started
    room = (
        sum(x.size for x in tap_zeros(problem)) * sum(x.size for x in (problem.inputs, *problem.parameters.values()))
        <= MAX_TANGENTS
    )
    values = [adapter.back(x) for x in found]
    tangents = [
        _stack_tangents(x.shape, map(adapter.back, by_leaf if room else by_leaf[1:]))
        for x, by_leaf in zip(values, jacobians, strict=True)
    ]
    return _answer(problem, values, tangents, seconds)


def _stack_tangents(shape: tuple[int, ...], derivatives: Iterable[np.ndarray]) -> np.ndarray:
    """The derivatives of an array of that shape by the entries of some leaves, along a new first axis."""
    return np.moveaxis(np.concatenate([x.reshape(*shape, -1) for x in derivatives], axis=-1), -1, 0)


def _answer(problem: Problem, found: list[np.ndarray], derivatives: list[np.ndarray], seconds: float) -> Answer:
    """The answer from E and the values of the nodes, and from the derivatives of each."""
    (E, *values), (along, *tangents) = found, derivatives
    named = {INPUTS: np.asarray(problem.inputs, dtype=np.float64), **by_node(values)}
    return Answer(float(E), named, seconds=seconds, along=tuple(along.tolist()), tangents=by_node(tangents))
