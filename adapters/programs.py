"""What a framework traces and compiles: an architecture in one mode, kept for when it comes back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gradagree.adapters.forward_pass import Tap, forward
from gradagree.adapters.own_weights import holding
from gradagree.adapters.problem import Backend, Problem, share
from gradagree.reference import Activation, ErrorFunction

MOST = 32
"""Programs from which on a new architecture drops the old ones; eager jax's caches grow by some 100 MiB with each."""
MAPPINGS = 40_000
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
            share(problem.error, examples) if each_alone else None,
        )  # fmt: skip

    def error_in(self, adapter: Backend) -> Callable[[list[Any], Any, Tap], Any]:
        """The error as a function of (leaves, targets, tap), in the framework's own spellings.

        Raises Unsupported where a function has none.
        """
        for activation in self.activations:
            adapter.spelling(activation)
        judge, n = adapter.spelling(self.error), len(self.biased)

        def error(leaves: list[Any], targets: Any, tap: Tap) -> Any:
            activations = [adapter.spelling(activation) for activation in holding(self.activations, leaves)]
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
            if len(self._made) >= MOST and architecture not in {known for _, known, _ in self._made}:
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


def crowded() -> bool:
    """Whether compiled programs take so many parts of memory that the system may soon refuse more of them.

    A program takes some ten for each dtype; the compiler ends the process where it is refused one.
    """
    try:
        with open("/proc/self/maps", "rb") as mappings:
            return sum(1 for _ in mappings) > MAPPINGS
    except OSError:
        return False
