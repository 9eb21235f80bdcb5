"""What a framework traces and compiles: an architecture in one mode, kept for when it comes back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

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

# The forward pass, written once for all frameworks
# -------------------------------------------------


Tap = Callable[[Any], Any]


def forward(
    activations: Sequence[Callable[[Any], Any]], p: Any, weights: Sequence[Any], biases: Sequence[Any],
    biased: Sequence[bool], tap: Tap,
) -> Any:  # fmt: skip
    """The output o: every node applies its activation and its affine map and passes the result through a tap."""
    given = iter(biases)
    for k, activation in enumerate(activations):
        c = activation(p)
        if k < len(weights):
            c = c @ weights[k]
            c = c + next(given) if biased[k] else c
        p = tap(c)
    return p


MAX_PROGRAMS = 32
"""Programs from which on a new architecture drops the old ones; eager jax's caches grow by some 100 MiB with each."""
MAX_MAPPINGS = 40_000
"""Parts of memory that a process may have mapped before its programs are dropped; Linux allows it 65,530."""
Program = Callable[[list[Any], Any, list[Any]], Any]
"""From (leaves, targets, zeros) to ((E, each box's c), gradients of the leaves, gradients at each c)."""


@dataclass(frozen=True)
class Architecture:
    """All of a problem but its numbers. scale multiplies the error."""

    activations: tuple[Activation, ...]
    error: ErrorFunction
    widths: tuple[int, ...]
    biased: tuple[bool, ...]
    examples: int
    dtype: str
    scale: float | None = None

    @classmethod
    def of(cls, problem: Problem, each_alone: bool = False) -> Architecture:
        """The architecture of a problem; each_alone, where each example has its own error, and they are summed."""
        examples, inputs = problem.inputs.shape
        return cls(
            tuple(problem.activations), problem.error, (inputs, *(w.shape[1] for w in problem.weights)),
            tuple(b is not None for b in problem.biases), examples, problem.dtype,
            example_weight(problem.error, examples) if each_alone else None,
        )  # fmt: skip

    def error_in(self, adapter: Backend) -> Callable[[list[Any], Any, Tap], Any]:
        """The loss as a function of (leaves, targets, tap), by the framework's implementations.

        Raises Unsupported where a function has none.
        """
        for activation in self.activations:
            adapter.spelling(activation)
        judge, n = adapter.spelling(self.error), len(self.biased)

        def error(leaves: list[Any], targets: Any, tap: Tap) -> Any:
            activations = [adapter.spelling(activation) for activation in with_parameters(self.activations, leaves)]
            o = forward(activations, leaves[0], leaves[1 : 1 + n], leaves[1 + n :], self.biased, tap)
            E = judge(o, targets)
            return E if self.scale is None else E * self.scale

        return error


class Programs:
    """The programs that an adapter made last."""

    def __init__(self, adapter: Backend) -> None:
        self.adapter = adapter
        self._made: dict[tuple[str, Architecture, bool], Program] = {}

    def __call__(self, mode: str, architecture: Architecture, taps: bool) -> Program:
        """The program of an architecture in one mode, with taps or without. Raises Unsupported."""
        key = (mode, architecture, taps)
        if key not in self._made:
            if len(self._made) >= MAX_PROGRAMS and architecture not in {known for _, known, _ in self._made}:
                self._made.clear()
                self.adapter.forget()
            error = self.adapter.error_of(architecture)
            self._made[key] = self.adapter.tapped(mode, error) if taps else self._untapped(mode, error, architecture)
        return self._made[key]

    def _untapped(self, mode: str, error: Callable[..., Any], architecture: Architecture) -> Program:
        owned = len(architecture.biased) + sum(architecture.biased)
        owned += sum(len(activation.own_weights) for activation in architecture.activations)
        gradient = self.adapter.modes[mode](
            lambda leaves, targets: (error(leaves, targets, lambda c: c), []), [True, *[False] * owned]
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


# Forward mode, and its taps: each box's c with its tangents, which are outputs like E
# ------------------------------------------------------------------------------------


MAX_TANGENTS = 1 << 20
"""Numbers that all tangents may have together; beyond, those of the inputs are left out."""


def error_and_values(adapter: Backend, problem: Problem, targets: Any) -> Callable[[list[Any]], list[Any]]:
    """From the leaves to E and each box's c."""
    error = adapter.error_of(Architecture.of(problem))

    def program(leaves: list[Any]) -> list[Any]:
        seen: list[Any] = []

        def tap(c: Any) -> Any:
            seen.append(c)
            return c

        return [error(leaves, targets, tap), *seen]

    return program


def forward_in_directions(adapter: Backend, problem: Problem) -> Answer:
    """In a few directions; the inputs stay where they are."""
    leaves, targets, _ = adapter.operands(problem)
    program = error_and_values(adapter, problem, targets)
    still = adapter.array(np.zeros(problem.inputs.shape), problem.dtype)
    started = time.perf_counter()
    pairs = []
    for direction in directions(problem):
        tangents = [still, *(adapter.array(x, problem.dtype) for x in direction)]
        pairs.append(adapter.slope(program, leaves, tangents))
    seconds = time.perf_counter() - started
    slopes = [np.stack(some) for some in zip(*([adapter.back(x) for x in slope] for _, slope in pairs), strict=True)]
    return _answer(problem, [adapter.back(x) for x in pairs[0][0]], slopes, seconds)


def forward_in_coordinates(adapter: Backend, problem: Problem) -> Answer:
    """In every coordinate of the weights, and of the inputs where there is room."""
    leaves, targets, _ = adapter.operands(problem)
    program = error_and_values(adapter, problem, targets)
    started = time.perf_counter()
    found, slopes = program(leaves), adapter.jacobian(program, leaves)
    seconds = time.perf_counter() - started
    room = (
        sum(x.size for x in tap_zeros(problem)) * sum(x.size for x in (problem.inputs, *problem.parameters.values()))
        <= MAX_TANGENTS
    )
    read = [adapter.back(x) for x in found]
    lined = [
        _stack_derivatives(x.shape, map(adapter.back, by if room else by[1:]))
        for x, by in zip(read, slopes, strict=True)
    ]
    return _answer(problem, read, lined, seconds)


def _stack_derivatives(shape: tuple[int, ...], slopes: Iterable[np.ndarray]) -> np.ndarray:
    """The derivatives of an array of that shape by some leaves, on one first axis."""
    return np.moveaxis(np.concatenate([x.reshape(*shape, -1) for x in slopes], axis=-1), -1, 0)


def _answer(problem: Problem, found: list[np.ndarray], slopes: list[np.ndarray], seconds: float) -> Answer:
    E, *inside = found
    values = {INPUTS: np.asarray(problem.inputs, dtype=np.float64), **by_node(inside)}
    slope, *tangents = slopes
    return Answer(float(E), values, seconds=seconds, along=tuple(slope.tolist()), tangents=by_node(tangents))
