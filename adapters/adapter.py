"""The adapter of a framework: its arrays and its modes of differentiation.

A mode turns the loss of the forward pass, which is written once for all frameworks, into its gradient. Taps capture the
value and the cotangent of each node; every gradient is also computed without taps.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import numpy as np

from gradagree.adapters.modes import DEFAULT, Error, Mode, PointwiseMode, ScriptText, mode_records
from gradagree.adapters.problem import (
    Answer,
    Problem,
    Unsupported,
    by_node,
    tap_zeros,
    uses_directions,
)
from gradagree.adapters.programs import Architecture, Program, Programs, forward_in_coordinates, forward_in_directions
from gradagree.reference import Activation, ContractError, ErrorFunction
from gradagree.reference.contract import implementation_names, is_redefinition
from gradagree.reference.graph import INPUTS

# From a framework's arrays to its answer
# ---------------------------------------


def build_answer(
    back: Callable[[Any], np.ndarray], problem: Problem, E: Any, values: Sequence[Any], gradients: Sequence[Any],
    cotangents: Sequence[Any], updated: Sequence[Any], seconds: float,
) -> Answer:  # fmt: skip
    """The answer from gradients in the order of the leaves; back converts a framework's array to NumPy."""
    outermost, *read = [back(x) for x in gradients]
    return Answer(
        float(back(E)),
        {INPUTS: np.asarray(problem.inputs, dtype=np.float64), **by_node([back(c) for c in values])},
        {INPUTS: outermost, **by_node([back(delta) for delta in cotangents])},
        dict(zip(problem.parameters, read, strict=True)),
        seconds,
        updated=dict(zip(problem.trained, [back(x) for x in updated], strict=False)),
    )


LAST_POSITION = 99
"""The position of a framework that has none."""


class Adapter:
    """One framework. A subclass gives its name, ``modes``, and the methods that are not implemented here.

    A value of ``modes`` is a `Mode`, or its gradient function alone: ``gradient(error, per_example)(leaves, targets)``
    returns ``(E, aux), gradients`` for an ``error(leaves, targets)`` that returns ``E, aux``. Leaves and gradients are
    lists of the framework's arrays; per_example says which leaves have one row for each example.
    """

    name: ClassVar[str]
    install: ClassVar[str]
    modes: ClassVar[dict[str, Any]]
    training: ClassVar[str | None] = None
    """The mode that trains. Without it, the framework trains only where it is named, in its first mode."""
    libraries: ClassVar[tuple[str, ...]] = ()
    """Libraries of the framework that functions may be spelled with; a survey checks them too."""
    script: ClassVar[ScriptText | None] = None
    """Source text that generated scripts share; without it there are none."""
    position: ClassVar[int] = LAST_POSITION
    """The place of the framework in figures and in training."""
    pointwise_modes: ClassVar[dict[str, dict[str, PointwiseMode]]] = {}
    """Ways of a survey, by "value", "slope" and "second"; by default values and the slopes of all reverse modes."""
    compiles_lengths: ClassVar[bool] = False
    """Whether a survey compiles anew for each number of points, so that it evaluates few numbers of them."""
    survey_processes: ClassVar[int] = 1
    """Processes of a survey: more for a framework that computes or compiles for longer than others."""
    spellings: ClassVar[dict[str, Callable[..., Any]]] = {}
    """Forms of functions that do not spell it, by their names: called with the function, and its operands."""
    catalogue: ClassVar[dict[str, type[Adapter]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for part in ("name", "install", "modes"):
            if not hasattr(cls, part):
                raise ContractError(f"{cls.__name__} has no {part}: an adapter gives name, install and modes")
        cls.modes = mode_records(cls)
        taken = Adapter.catalogue.get(cls.name)
        if taken is not None and taken.__module__ != cls.__module__ and not is_redefinition(taken, cls):
            raise ContractError(
                f"{cls.__name__}: the name {cls.name!r} is taken by {taken.__module__}.{taken.__name__}"
            )
        Adapter.catalogue[cls.name] = cls
        implementation_names.update({cls.name, *cls.libraries})

    @classmethod
    def survey_modes(cls) -> dict[str, dict[str, PointwiseMode]]:
        """The ways of a survey, by quantity."""
        slopes = {name: PointwiseMode(sums=True, quick=True) for name, mode in cls.modes.items() if not mode.forward}
        return cls.pointwise_modes or {"value": {"eager": PointwiseMode(quick=True)}, "slope": slopes, "second": {}}

    @classmethod
    def trains(cls) -> bool:
        """True if it trains by default."""
        return vars(cls).get("training") is not None

    @classmethod
    def training_mode(cls) -> str:
        """The mode that trains, and is checked along the way."""
        return cls.training if cls.training in cls.modes else next(iter(cls.modes))

    @classmethod
    def mode(cls, name: str) -> Mode:
        """The record of "framework:mode"; the default traits for one that is not known."""
        framework, _, mode = name.partition(":")
        return cls.catalogue[framework].modes.get(mode, DEFAULT) if framework in cls.catalogue else DEFAULT

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

    def constant(self, x: np.ndarray, dtype: str) -> Any:
        """Likewise, for numbers that nothing is differentiated by."""
        return self.array(x, dtype)

    def back(self, x: Any) -> np.ndarray:
        """The framework's array as a float64 array."""
        raise NotImplementedError

    def apply(self, function: Callable[..., Any], arrays: Sequence[Any], compiled: bool) -> Any:
        """function(*arrays), through the framework's compiler if asked and if it has one."""
        raise NotImplementedError

    def slope(self, function: Callable[[list[Any]], Any], leaves: list[Any], tangents: list[Any]) -> Any:
        """What a function of the leaves gives, and its slopes along the tangents, in forward mode."""
        raise NotImplementedError

    def jacobian(self, function: Callable[[list[Any]], Any], leaves: list[Any]) -> Any:
        """The derivatives of all that a function of the leaves gives by each leaf, in forward mode."""
        raise NotImplementedError

    def update(self, weights: Sequence[Any], gradients: Sequence[Any], rate: float) -> list[Any]:
        """The weights after one step of the framework's own steepest descent."""
        return [w - rate * gradient for w, gradient in zip(weights, gradients, strict=True)]

    def spelling(self, function: Activation | ErrorFunction) -> Callable[..., Any]:
        """The framework's implementation of a function. Raises Unsupported if the class has none."""
        method = getattr(function, self.name, None)
        if method is None and function.name in self.spellings:
            return functools.partial(self.spellings[function.name], function)
        if method is None:
            operands = "p" if isinstance(function, Activation) else "o, t"
            kind = type(function).__name__
            raise Unsupported(
                f"{kind} has no method {self.name!r}: add `def {self.name}(self, {operands}, {self.name})` to it"
            )
        return lambda *operands: method(*operands, self.framework)

    def tapped(self, mode: str, error: Callable[..., Any]) -> Program:
        """The program of error(leaves, targets, tap) with taps, by zeros[k] added to the c of box k + 1."""

        def program(leaves: list[Any], targets: Any, zeros: list[Any]) -> Any:
            n = len(leaves)
            if n not in made:
                made[n] = self.modes[mode](with_taps(error, n), [k == 0 or k >= n for k in range(n + len(zeros))])
            found, gradients = made[n]([*leaves, *zeros], targets)
            return found, gradients[:n], gradients[n:]

        made: dict[int, Any] = {}
        return program

    def error_of(self, architecture: Architecture) -> Callable[..., Any]:
        """The error as a function of (leaves, targets, tap). Raises Unsupported."""
        return architecture.error_in(self)

    def pointwise(self) -> Any:
        """Values and derivatives of single functions for a survey, a `Pointwise`."""
        from gradagree.adapters.pointwise import PointwiseByMode

        return PointwiseByMode(self)

    def sum(self, x: Any) -> Any:
        """The sum of all entries, as the framework's own number."""
        return x.sum()

    def forget(self) -> None:
        """Drop what the framework keeps of programs that are no longer used."""

    @functools.cached_property
    def programs(self) -> Programs:
        return Programs(self)

    def answers(self, problem: Problem, mode: str) -> tuple[Answer, Answer]:
        """The gradient with taps, and the gradient without them; forward mode's are the tangents on the way."""
        if self.modes[mode].forward:
            if uses_directions(problem):
                answer = forward_in_directions(self, problem)
                return answer, answer
            untapped = self._answer(problem, mode, False)
            return untapped if type(self).jacobian is Adapter.jacobian else forward_in_coordinates(
                self, problem
            ), untapped
        return self._answer(problem, mode, True), self._answer(problem, mode, False)

    def _answer(self, problem: Problem, mode: str, taps: bool) -> Answer:
        leaves, targets, zeros = self.operands(problem)
        gradient = self.programs(mode, Architecture.of(problem, self.modes[mode].per_example), taps)
        started = time.perf_counter()
        (E, inputs), gradients, sensitivities = gradient(leaves, targets, zeros if taps else [])
        trained = slice(1, 1 + len(problem.trained))
        updated = () if problem.rate is None else self.update(leaves[trained], gradients[trained], problem.rate)
        seconds = time.perf_counter() - started
        return build_answer(self.back, problem, E, inputs, gradients, sensitivities, updated, seconds)

    def operands(self, problem: Problem) -> tuple[list[Any], Any, list[Any]]:
        """The leaves, the targets, and zeros for the taps, as the framework's arrays.

        The leaves are the inputs, all weights, all biases that there are, and what the activations have of their own.
        """
        arrays = [problem.inputs, *problem.parameters.values()]
        leaves, taps = ([self.array(x, problem.dtype) for x in xs] for xs in (arrays, tap_zeros(problem)))
        return leaves, self.constant(problem.targets, problem.dtype), taps


def with_taps(error: Callable[..., Any], n: int) -> Error:
    """The error of n leaves and then zeros, each added to a box's c, with each c."""

    def watched_error(everything: list[Any], targets: Any) -> Any:
        added = iter(everything[n:])
        watched: list[Any] = []

        def tap(c: Any) -> Any:
            watched.append(c + next(added))
            return watched[-1]

        return error(everything[:n], targets, tap), watched

    return watched_error


# The course of a framework's own training: its gradients and its steps, in the order of the pairs polled
# -------------------------------------------------------------------------------------------------------


def training_steps(
    adapter: Adapter, problem: Problem, mode: str, rate: float, rounds: Iterable[Sequence[int]]
) -> Iterator[dict[str, np.ndarray]]:
    """All weights and biases by name, after each round of stochastic backpropagation on the pairs polled.

    A round without pairs is one step on all of them. What the activations have of their own stays as it is.
    """
    leaves, targets, _ = adapter.operands(problem)
    error = adapter.error_of(Architecture.of(problem))
    per_example = [k == 0 for k in range(len(leaves))]
    gradient = adapter.modes[mode](lambda leaves, targets: (error(leaves, targets, lambda c: c), []), per_example)
    end = 1 + len(problem.trained)
    inputs, weights, constant = leaves[0], leaves[1:end], leaves[end:]
    for polled in rounds:
        for pair in [slice(k, k + 1) for k in polled] or [slice(None)]:
            _, gradients = gradient([inputs[pair], *weights, *constant], targets[pair])
            weights = adapter.update(weights, gradients[1:end], rate)
        yield {name: adapter.back(x) for name, x in zip(problem.trained, weights, strict=True)}


def library_frameworks() -> dict[str, str]:
    """The framework of each library that functions may be implemented with."""
    return {library: name for name, adapter in Adapter.catalogue.items() for library in adapter.libraries}


def pointwise_mode(library: str, mode: str) -> PointwiseMode:
    """The traits of a way of a framework, or of a library of one; a mode of slopes goes before one of values."""
    ways = Adapter.catalogue[library_frameworks().get(library, library)].survey_modes()
    return next(theirs[mode] for theirs in (ways["slope"], ways["value"], ways["second"]) if mode in theirs)


def pointwise_names(library: str) -> list[str]:
    ways = Adapter.catalogue[library_frameworks().get(library, library)].survey_modes()
    return [mode for theirs in ways.values() for mode in theirs]
