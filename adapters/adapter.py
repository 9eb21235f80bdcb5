"""What an adapter is: one framework, its arrays, and its ways to a gradient.

The forward pass is written once, here, for all frameworks: boxes activate with the framework's own function and weigh
with its own ``@`` and ``+``. A mode turns that error into its gradient. Taps hand out each box's current input and its
sensitivity, and every gradient is computed without them too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from gradagree.reference import Activation, ErrorFunction
from gradagree.reference.contract import spelling_names

__all__ = ["Adapter", "Answer", "Problem", "Unsupported"]

Tap = Callable[[Any], Any]
Mode = Callable[[Callable[..., Any]], Callable[..., Any]]


class Unsupported(Exception):
    """The framework or mode cannot express what is asked; the message says why and what to add."""


@dataclass(frozen=True)
class Problem:
    """A network with its numbers, as float64 (class targets int64) arrays of numbers that the dtype holds exactly."""

    activations: Sequence[Activation]
    error: ErrorFunction
    weights: Sequence[np.ndarray]
    biases: Sequence[np.ndarray | None]
    inputs: np.ndarray
    targets: np.ndarray
    dtype: str


@dataclass(frozen=True)
class Answer:
    """What a framework gave for one problem in one mode, as float64 arrays.

    inputs[k] is the current input p of box k + 1, the last one the output o; sensitivities[k] belongs to inputs[k]
    (without taps: only the outermost). weights[k] and biases[k] are dE/dw and dE/db of box k + 1, or None.
    """

    E: float
    inputs: tuple[np.ndarray, ...]
    sensitivities: tuple[np.ndarray, ...]
    weights: tuple[np.ndarray | None, ...]
    biases: tuple[np.ndarray | None, ...]
    seconds: float = 0.0


class Adapter:
    """One framework. A subclass gives its name, ``modes``, and the four methods that are not implemented here.

    A mode is a function from an error to its gradient: ``mode(error)(leaves)`` returns ``(E, aux), gradients`` for an
    ``error(leaves)`` that returns ``E, aux``; leaves and gradients are lists of the framework's arrays.
    """

    name: ClassVar[str]
    install: ClassVar[str]
    modes: ClassVar[dict[str, Mode]]
    catalogue: ClassVar[dict[str, type[Adapter]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        Adapter.catalogue[cls.name] = cls
        spelling_names.add(cls.name)

    def __init__(self) -> None:
        """Import the framework. Raises ImportError where it is not installed."""
        self.framework: Any = None

    def settings(self) -> AbstractContextManager[Any]:
        """The precision and threads that the answers are given with; on leaving, what was set before."""
        return nullcontext()

    @property
    def version(self) -> str:
        return str(self.framework.__version__)

    @property
    def device(self) -> str:
        return "cpu"

    def array(self, x: np.ndarray, dtype: str) -> Any:
        """x as the framework's array of that dtype, a copy; integers stay integers."""
        raise NotImplementedError

    def back(self, x: Any) -> np.ndarray:
        """The framework's array as a float64 array."""
        raise NotImplementedError

    def apply(self, function: Callable[..., Any], arrays: Sequence[Any], compiled: bool) -> Any:
        """function(*arrays), through the framework's compiler if asked and if it has one."""
        raise NotImplementedError

    def tapped(self, mode: str, error: Callable[..., Any], leaves: list[Any], shapes: Sequence[tuple[int, ...]]) -> Any:
        """((E, each box's c), gradients of the leaves, gradients at each c) of ``error(leaves, tap)``."""
        raise NotImplementedError

    def spelling(self, function: Activation | ErrorFunction) -> Callable[..., Any]:
        """The framework's own form of a function. Raises Unsupported where the class does not spell it."""
        method = getattr(function, self.name, None)
        if method is None:
            operands = "p" if isinstance(function, Activation) else "o, t"
            kind = type(function).__name__
            raise Unsupported(
                f"{kind} has no method {self.name!r}: add `def {self.name}(self, {operands}, {self.name})` to it"
            )
        return lambda *operands: method(*operands, self.framework)

    def answers(self, problem: Problem, mode: str) -> tuple[Answer, Answer]:
        """The gradient with taps, and the gradient without them."""
        return self._answer(problem, mode, True), self._answer(problem, mode, False)

    def _answer(self, problem: Problem, mode: str, taps: bool) -> Answer:
        error, leaves, shapes = self.prepared(problem)
        started = time.perf_counter()
        if taps:
            (E, inputs), gradients, sensitivities = self.tapped(mode, error, leaves, shapes)
        else:
            gradient = self.modes[mode](lambda leaves: (error(leaves, lambda c: c), ()))
            (E, inputs), gradients = gradient(leaves)
            sensitivities = ()
        read = [self.back(x) for x in gradients]
        seconds = time.perf_counter() - started
        n = len(problem.weights)
        biases = iter(read[1 + n :])
        return Answer(
            float(self.back(E)),
            (np.asarray(problem.inputs, dtype=np.float64), *(self.back(c) for c in inputs)),
            (read[0], *(self.back(delta) for delta in sensitivities)),
            (*read[1 : 1 + n], *[None] * (len(problem.activations) - n)),
            (*(None if b is None else next(biases) for b in problem.biases), *[None] * (len(problem.activations) - n)),
            seconds,
        )

    def prepared(self, problem: Problem) -> tuple[Callable[..., Any], list[Any], list[tuple[int, ...]]]:
        """The error as a function of (leaves, tap), the leaves, and the shape of each box's c."""
        activations = [self.spelling(activation) for activation in problem.activations]
        judge = self.spelling(problem.error)
        targets = self.array(problem.targets, problem.dtype)
        biased = [b is not None for b in problem.biases]
        arrays = [problem.inputs, *problem.weights, *(b for b in problem.biases if b is not None)]
        leaves = [self.array(x, problem.dtype) for x in arrays]
        n = len(problem.weights)

        def error(leaves: list[Any], tap: Tap) -> Any:
            o = forward(activations, leaves[0], leaves[1 : 1 + n], leaves[1 + n :], biased, tap)
            return judge(o, targets)

        widths = [w.shape[1] for w in problem.weights]
        widths += widths[-1:] * (len(activations) - n)
        return error, leaves, [(problem.inputs.shape[0], width) for width in widths]


def forward(
    activations: Sequence[Callable[[Any], Any]], p: Any, weights: Sequence[Any], biases: Sequence[Any],
    biased: Sequence[bool], tap: Tap,
) -> Any:  # fmt: skip
    """The output o: every box activates its current input, weighs it, and hands it inwards through a tap."""
    given = iter(biases)
    for k, activation in enumerate(activations):
        c = activation(p)
        if k < len(weights):
            c = c @ weights[k]
            c = c + next(given) if biased[k] else c
        p = tap(c)
    return p
