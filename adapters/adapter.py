"""The adapter of a framework: its arrays and its modes of differentiation.

A mode turns the loss of the forward pass, which is written once for all frameworks, into its gradient. Taps capture the
value and the cotangent of each node; every gradient is also computed without taps.
"""

from __future__ import annotations

import functools
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from gradagree.adapters.entry_points import EntryPoints
from gradagree.adapters.graph_problem import GraphProblem
from gradagree.adapters.graph_programs import GraphPrograms
from gradagree.adapters.loss_operands import LossOperands, differentiated, operand_arrays
from gradagree.adapters.modes import DEFAULT, Mode, PointwiseMode, ScriptText, mode_records
from gradagree.adapters.problem import (
    Answer,
    Problem,
    Unsupported,
    tap_zeros,
    uses_directions,
)
from gradagree.adapters.programs import Architecture, Program, Programs, forward_in_coordinates, forward_in_directions
from gradagree.adapters.taps import build_answer, with_taps
from gradagree.reference import Activation, ContractError, ErrorFunction
from gradagree.reference.contract import implementation_names, is_redefinition

LAST_POSITION = 99
"""The position of a framework that has none."""
FORMER_NAMES = {"spellings": "implementations", "spelling": "implementation", "slope": "jvp"}


class Adapter:
    """One framework: its arrays, and its modes of differentiation.

    A subclass defines ``name``, ``install``, ``modes``, and the methods `array`, `back` and `apply`; forward mode also
    needs `jvp`, and `jacobian` for tangents of all coordinates. It is registered in ``catalogue`` by its name. The
    framework's implementation of a function is a method of the function named after the framework, or an entry of
    ``implementations``. The forward pass, taps, probes and training are inherited.

    Attributes:
        name: Name of the framework, and of the methods of functions that implement them in it.
        install: Command that installs it.
        modes: For each mode a `Mode`, or its gradient function alone: ``gradient(error, per_example)(leaves, targets)``
            returns ``(E, aux), gradients`` for an ``error(leaves, targets)`` that returns ``E, aux``. Leaves and
            gradients are lists of the framework's arrays; per_example tells which leaves have one row per example.
        implementations: Implementations of functions without a method of that name, by the functions' names; they are
            called with the function and its operands.
        training: Mode that trains; without it, the framework trains only where it is named, in its first mode.
        libraries: Libraries on top of the framework that implement functions; a survey evaluates them too.
        script: Source text that generated scripts share; without it there are no scripts.
        documented: Notes on differences that the framework documents, by (name of a function, quantity of a survey).
        position: Place of the framework in figures and in training.
        pointwise_modes: Modes of a survey, by "value", "slope" and "second"; by default values, and derivatives in all
            reverse modes.
        compiles_lengths: Whether a survey compiles for each number of points, so that it uses few numbers of them.
        entry_points: Where the public functions of the framework and of each library on top of it are, by name.
        other_processors: Sets of environment variables, each of which makes it compute as on another processor.
        survey_processes: Processes of a survey: more for a framework that computes or compiles for longer than others.
        catalogue: All adapters, by name.

    Example:
        The complex step, in NumPy: dE/dx is the imaginary part of E(x + ih) / h.

        >>> import numpy as np
        >>> from gradagree import Adapter
        >>> from gradagree.adapters import Problem
        >>> from gradagree.reference.activations import Identity
        >>> from gradagree.reference.errors import SumOfSquares
        >>> def complex_step(error, per_example, h=2.0**-100):
        ...     def derivative(leaves, targets, k, index):
        ...         moved = [x.astype(complex) for x in leaves]
        ...         moved[k][index] += 1j * h
        ...         return error(moved, targets)[0].imag / h
        ...     def gradient(leaves, targets):
        ...         gradients = [np.zeros(x.shape) for x in leaves]
        ...         for k, x in enumerate(leaves):
        ...             for index in np.ndindex(x.shape):
        ...                 gradients[k][index] = derivative(leaves, targets, k, index)
        ...         return error(leaves, targets), gradients
        ...     return gradient
        >>> class ForComplexStep(Adapter):
        ...     name, install = "complex_step", "pip install numpy"
        ...     modes = {"complex_step": complex_step}
        ...     implementations = {
        ...         "id": lambda function, p: p,
        ...         "sse": lambda function, o, t: ((o - t) ** 2).sum(),
        ...     }
        ...     def __init__(self):
        ...         self.framework = np
        ...     def array(self, x, dtype):
        ...         return x.astype(dtype)
        ...     def back(self, x):
        ...         return np.asarray(x, dtype=np.float64)
        ...     def apply(self, function, arrays, compiled):
        ...         return function(*arrays)
        >>> w, p, t = np.array([[2.0], [1.0]]), np.array([[1.0, 3.0]]), np.array([[4.0]])
        >>> problem = Problem.dense([Identity()], SumOfSquares(), [w], [None], p, t, "float64")
        >>> tapped, untapped = ForComplexStep().answers(problem, "complex_step")
        >>> untapped.E, untapped.gradients["w1"].tolist(), tapped.cotangents["c1"].tolist()
        (1.0, [[2.0], [6.0]], [[2.0]])
    """

    name: ClassVar[str]
    install: ClassVar[str]
    modes: ClassVar[dict[str, Any]]
    implementations: ClassVar[dict[str, Callable[..., Any]]] = {}
    training: ClassVar[str | None] = None
    libraries: ClassVar[tuple[str, ...]] = ()
    script: ClassVar[ScriptText | None] = None
    documented: ClassVar[dict[tuple[str, str], str]] = {}
    position: ClassVar[int] = LAST_POSITION
    pointwise_modes: ClassVar[dict[str, dict[str, PointwiseMode]]] = {}
    compiles_lengths: ClassVar[bool] = False
    entry_points: ClassVar[dict[str, EntryPoints]] = {}
    other_processors: ClassVar[tuple[dict[str, str], ...]] = ()
    survey_processes: ClassVar[int] = 1
    catalogue: ClassVar[dict[str, type[Adapter]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for part in ("name", "install", "modes"):
            if not hasattr(cls, part):
                raise ContractError(f"{cls.__name__} has no {part}: an adapter defines name, install and modes")
        for former, name in FORMER_NAMES.items():
            if former in vars(cls):
                warnings.warn(f"{cls.__name__}.{former} is now called {name}", DeprecationWarning, stacklevel=2)
                setattr(cls, name, vars(cls)[former])
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
        """The modes of a survey, by quantity: "value", "slope" and "second"."""
        reverse = {name: PointwiseMode(sums=True, quick=True) for name, mode in cls.modes.items() if not mode.forward}
        return cls.pointwise_modes or {"value": {"eager": PointwiseMode(quick=True)}, "slope": reverse, "second": {}}

    @classmethod
    def trains(cls) -> bool:
        """True if it trains by default."""
        return vars(cls).get("training") is not None

    @classmethod
    def training_mode(cls) -> str:
        """The mode that trains."""
        return cls.training if cls.training in cls.modes else next(iter(cls.modes))

    @classmethod
    def mode(cls, name: str) -> Mode:
        """The record of "framework:mode"; default traits for an unknown mode."""
        framework, _, mode = name.partition(":")
        return cls.catalogue[framework].modes.get(mode, DEFAULT) if framework in cls.catalogue else DEFAULT

    def __init__(self) -> None:
        """Import the framework and store it as ``self.framework``.

        Raises:
            ImportError: It is not installed.
        """
        self.framework: Any = None

    def settings(self) -> AbstractContextManager[Any]:
        """A context in which the framework computes.

        Returns:
            A context manager that sets precision and threads, and restores them at the end; by default it sets nothing.
        """
        return nullcontext()

    @property
    def version(self) -> str:
        """The version of the framework; by default its ``__version__``."""
        return str(self.framework.__version__)

    @property
    def device(self) -> str:
        """The device that computes; by default ``cpu``."""
        return "cpu"

    def array(self, x: np.ndarray, dtype: str) -> Any:
        """Convert to the framework's array that a gradient is computed for.

        Args:
            x: A float64 array, or an int64 array of class targets.
            dtype: Format of the result, such as ``float32``; integers stay integers.

        Returns:
            A copy, the framework's array of that format.
        """
        raise NotImplementedError

    def constant(self, x: np.ndarray, dtype: str) -> Any:
        """Convert to the framework's array that no gradient is computed for; by default, `array`.

        Args:
            x: A float64 or int64 array.
            dtype: Format of the result.

        Returns:
            A copy, the framework's array of that format.
        """
        return self.array(x, dtype)

    def copy(self, x: Any) -> Any:
        """Copy an array within the program, so that a function may overwrite it.

        Args:
            x: The framework's array.

        Returns:
            A differentiable copy; by default x itself, as suits a framework whose arrays cannot be overwritten.
        """
        return x

    def back(self, x: Any) -> np.ndarray:
        """Convert from the framework's array, exactly.

        Args:
            x: The framework's array or number.

        Returns:
            A float64 array of the same shape.
        """
        raise NotImplementedError

    def apply(self, function: Callable[..., Any], arrays: Sequence[Any], compiled: bool) -> Any:
        """Call a function, for the probes of the framework's arithmetic.

        Args:
            function: A function of the framework's arrays.
            arrays: Its operands.
            compiled: Whether to use the framework's compiler, if it has one.

        Returns:
            ``function(*arrays)``.
        """
        raise NotImplementedError

    def jvp(self, function: Callable[[list[Any]], Any], leaves: list[Any], tangents: list[Any]) -> Any:
        """The Jacobian-vector product in forward mode, for networks with too many coordinates for `jacobian`.

        Args:
            function: A function from the list of leaves to a list of arrays.
            leaves: The framework's arrays.
            tangents: One tangent for each leaf, in its shape.

        Returns:
            The values of the function, and their tangents.

        Raises:
            Unsupported: A function has no forward mode.
        """
        raise NotImplementedError

    def jacobian(self, function: Callable[[list[Any]], Any], leaves: list[Any]) -> Any:
        """All derivatives of a function in forward mode. Without it, forward mode has no taps.

        Args:
            function: A function from the list of leaves to a list of arrays.
            leaves: The framework's arrays.

        Returns:
            For each value of the function a list of its derivatives by each leaf, of shape (*value, *leaf).

        Raises:
            Unsupported: A function has no forward mode.
        """
        raise NotImplementedError

    def update(self, weights: Sequence[Any], gradients: Sequence[Any], rate: float) -> list[Any]:
        """One step of steepest descent, by the framework's optimizer where it has one.

        Args:
            weights: The framework's arrays.
            gradients: The gradient of each.
            rate: Learning rate.

        Returns:
            The changed weights; the given ones stay as they are.
        """
        return [w - rate * gradient for w, gradient in zip(weights, gradients, strict=True)]

    def implementation(self, function: Activation | ErrorFunction) -> Callable[..., Any]:
        """The framework's implementation of a function.

        Args:
            function: An activation or a loss.

        Returns:
            A function of the framework's arrays: of p for an activation, of o and t for a loss.

        Raises:
            Unsupported: The function has no method of the framework's name and no entry in ``implementations``.
        """
        method = getattr(function, self.name, None)
        if method is None and function.name in self.implementations:
            return functools.partial(self.implementations[function.name], function)
        if method is None:
            operands = "p" if isinstance(function, Activation) else "o, t"
            kind = type(function).__name__
            raise Unsupported(
                f"{kind} has no method {self.name!r}: add `def {self.name}(self, {operands}, {self.name})` to it"
            )
        return lambda *operands: method(*operands, self.framework)

    def tapped(self, mode: str, error: Callable[..., Any]) -> Program:
        """The program of a mode with taps; by default zeros are added to the value of each node.

        Args:
            mode: Name of a reverse mode.
            error: The loss as a function of (leaves, targets, tap); it passes the value of each node to tap.

        Returns:
            A function of (leaves, targets, zeros) that returns ``(E, values), gradients, cotangents``.
        """

        def program(leaves: list[Any], targets: Any, zeros: list[Any]) -> Any:
            n = len(leaves)
            if n not in made:
                made[n] = self.modes[mode](
                    with_taps(error, n, self.copy), [k == 0 or k >= n for k in range(n + len(zeros))]
                )
            found, gradients = made[n]([*leaves, *zeros], targets)
            return found, gradients[:n], gradients[n:]

        made: dict[int, Any] = {}
        return program

    def error_of(self, architecture: Architecture) -> Callable[..., Any]:
        """The loss of a network in the framework.

        Args:
            architecture: The network without its numbers.

        Returns:
            A function of (leaves, targets, tap); the leaves are the inputs and all parameters.

        Raises:
            Unsupported: A function has no implementation.
        """
        return architecture.error_in(self)

    def pointwise(self) -> Any:
        """The modes of a survey of single functions, a `Pointwise`; by default the adapter's reverse modes."""
        from gradagree.adapters.pointwise import PointwiseByMode

        return PointwiseByMode(self)

    def sum(self, x: Any) -> Any:
        """The sum of all entries of the framework's array, as its own number or array without axes."""
        return x.sum()

    def forget(self) -> None:
        """Drop the framework's caches of programs; called when another architecture replaces old ones."""

    @functools.cached_property
    def programs(self) -> Programs:
        return Programs(self)

    def answers(self, problem: Problem, mode: str) -> tuple[Answer, Answer]:
        """Compute the gradient of a problem in one mode, with taps and without.

        Args:
            problem: The network with its data.
            mode: Name of the mode.

        Returns:
            The answer with taps (in forward mode: with the tangents of all nodes), and the answer without.

        Raises:
            Unsupported: The framework or the mode cannot compute it.
        """
        if self.modes[mode].forward:
            if uses_directions(problem):
                answer = forward_in_directions(self, problem)
                return answer, answer
            untapped = self._answer(problem, mode, False)
            return untapped if type(self).jacobian is Adapter.jacobian else forward_in_coordinates(
                self, problem
            ), untapped
        return self._tapped_answer(problem, mode), self._answer(problem, mode, False)

    @functools.cached_property
    def graph_programs(self) -> GraphPrograms:
        return GraphPrograms(self)

    def graph_answer(self, problem: GraphProblem, mode: str) -> Answer:
        """Compute the gradient of a graph of layers in one mode, with a tap at every value.

        Args:
            problem: The graph with its data.
            mode: Name of a reverse mode.

        Returns:
            The answer.

        Raises:
            Unsupported: The framework or the mode cannot compute it.
        """
        return self.graph_programs.answer(problem, mode)

    def _tapped_answer(self, problem: Problem, mode: str) -> Answer:
        """The answer with taps; of the loss's operands too, unless the framework or a function refuses that."""
        operands = self.loss_operands.names(problem.error, mode)
        if operands:
            try:
                return self._answer(problem, mode, True, operands)
            except Exception:  # noqa: BLE001  (what is wrong without these operands is raised below)
                self.loss_operands.refuse(problem.error, mode)
        return self._answer(problem, mode, True)

    @functools.cached_property
    def loss_operands(self) -> LossOperands:
        return LossOperands(self)

    def _answer(self, problem: Problem, mode: str, taps: bool, operands: Sequence[str] = ()) -> Answer:
        leaves, targets, zeros = self.operands(problem)
        own = operand_arrays(problem, operands)
        gradient = self.programs(mode, Architecture.of(problem, self.modes[mode].per_example, operands), taps)
        if operands:
            targets = self.array(problem.targets, problem.dtype)
            zeros = [*zeros, *(self.array(np.zeros(x.shape), problem.dtype) for x in own.values())]
        started = time.perf_counter()
        (E, values), gradients, cotangents = gradient(leaves, targets, zeros if taps else [])
        trained = slice(1, 1 + len(problem.trained))
        updated = () if problem.rate is None else self.update(leaves[trained], gradients[trained], problem.rate)
        seconds = time.perf_counter() - started
        depth = len(values) - len(own)
        outer = cotangents[:depth]
        answer = build_answer(self.back, problem, E, values[:depth], gradients, outer, updated, seconds)
        found = differentiated(
            dict(zip(own, map(self.back, cotangents[depth:]), strict=True)),
            functools.partial(self.loss_operands.passes, problem.error),
        )
        return replace(answer, gradients={**answer.gradients, **found})

    def passes_derivative(self, loss: Callable[..., Any], o: Any, x: Any, label: bool) -> bool:
        """Whether a gradient of zeros by an operand x of a loss is a result, and not the lack of a derivative.

        Args:
            loss: The loss as a function of o and x.
            o: The outputs.
            x: The targets or a parameter.
            label: Whether x is a label, such as a probability of 0 or 1, which is a constant in most programs.
        """
        return False

    def operands(self, problem: Problem) -> tuple[list[Any], Any, list[Any]]:
        """The framework's arrays of a problem.

        Args:
            problem: The network with its data.

        Returns:
            The leaves (the inputs and all parameters, in the problem's order), the targets, and zeros for the taps.
        """
        arrays = [problem.inputs, *problem.parameters.values()]
        leaves, taps = ([self.array(x, problem.dtype) for x in xs] for xs in (arrays, tap_zeros(problem)))
        return leaves, self.constant(problem.targets, problem.dtype), taps


def framework_names() -> list[str]:
    """All frameworks, in the order of figures."""
    return sorted(Adapter.catalogue, key=lambda name: Adapter.catalogue[name].position)


def library_frameworks() -> dict[str, str]:
    """The framework of each library that functions may be implemented with."""
    return {library: name for name, adapter in Adapter.catalogue.items() for library in adapter.libraries}


def framework_of(library: str) -> str:
    """The framework that a library belongs to; a framework belongs to itself."""
    return library_frameworks().get(library, library)


def pointwise_mode(library: str, mode: str) -> PointwiseMode:
    """The traits of a survey's mode of a framework or library; modes of derivatives are searched first."""
    modes = Adapter.catalogue[framework_of(library)].survey_modes()
    return next(modes[quantity][mode] for quantity in ("slope", "value", "second") if mode in modes[quantity])


def pointwise_names(library: str) -> list[str]:
    """The names of all survey modes of a framework or library."""
    modes = Adapter.catalogue[framework_of(library)].survey_modes()
    return [mode for names in modes.values() for mode in names]
