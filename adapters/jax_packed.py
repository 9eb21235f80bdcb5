"""jax's mode ``packed``: one compiled program for each operation serves all architectures.

Its arrays are padded to one shape. A loss that is a sum or a mean over examples, or over entries, is computed for each
of them and reduced. Where arrays are padded, a fault in their last rows or columns only, or beyond a size, is not seen.
So functions that are not gradagree's own are compiled for the exact shape in batches of an odd number of examples, and
in networks that are larger than the padded shape.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from gradagree.adapters.loss_operands import differentiated, loss_in, loss_parameters, operand_arrays
from gradagree.adapters.loss_reduction import LossReduction, is_separable, loss_reduction, sample_operands
from gradagree.adapters.problem import (
    Answer,
    Problem,
    Unsupported,
    activation_parameters,
    by_node,
    with_parameters,
)
from gradagree.adapters.programs import near_mapping_limit
from gradagree.reference import Activation, ErrorFunction, Operation
from gradagree.reference.graph import INPUTS, own_parameter, parameter_name

if TYPE_CHECKING:
    from gradagree.adapters.adapter import Adapter


MAX_EXAMPLES, MAX_WIDTH = 32, 80
"""The shape that arrays are padded to."""
LARGE_ROOM = 320, 320
"""The shape that arrays of larger networks are padded to, which have a function that is not gradagree's own."""


def pad_with_zeros(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Pad x to a shape with zeros at the end of each axis."""
    padded = np.zeros(shape)
    padded[tuple(slice(0, n) for n in x.shape)] = x
    return padded


def pad_with_edges(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Pad x to a shape with copies of its last entries, which lie in the domain of x."""
    return np.asarray(x[np.ix_(*(np.minimum(np.arange(m), n - 1) for m, n in zip(shape, x.shape, strict=True)))])


class Packed:
    """The mode ``packed`` of an adapter, with its programs by function."""

    def __init__(self, adapter: Adapter) -> None:
        self.adapter, self.jax = adapter, adapter.framework
        self._programs: dict[Any, Any] = {}
        self._reductions: dict[ErrorFunction, LossReduction] = {}
        self._room = MAX_EXAMPLES, MAX_WIDTH

    def answer(self, problem: Problem) -> Answer:
        """The gradient, with taps. Raises Unsupported if the arrays are too large."""
        self._room = room_of(problem)
        started = time.perf_counter()
        inputs, activated = [np.asarray(problem.inputs, dtype=np.float64)], []
        for activation, w, b in nodes(problem):
            activated.append(self.activation(activation, inputs[-1], problem.dtype))
            inputs.append(activated[-1] if w is None else self.affine(activated[-1], w, b, problem.dtype))
        E, delta, of_operands = self.loss(problem, inputs[-1])
        deltas: list[Any] = [delta]
        gradients: dict[str, Any] = {}
        for k in range(len(activated), 0, -1):
            (activation, w, b), p, a = nodes(problem)[k - 1], inputs[k - 1], activated[k - 1]
            found: dict[str, Any] = {}
            if w is not None:
                delta, found["w"], found["b"] = self.affine_vjp(a, w, b, delta, problem.dtype)
            delta, *gradients_of_own = self.activation_vjp(activation, p, delta, problem.dtype)
            found |= dict(zip(map(own_parameter, activation.parameter_names), gradients_of_own, strict=True))
            gradients |= {parameter_name(k, name): x for name, x in found.items() if x is not None}
            deltas.append(delta)
        seconds = time.perf_counter() - started
        values, cotangents = ({INPUTS: xs[0], **by_node(xs[1:])} for xs in (inputs, deltas[::-1]))
        ordered = {name: gradients[name] for name in problem.parameters} | of_operands
        return Answer(E, values, cotangents, ordered, seconds)

    def activation(self, activation: Activation, p: np.ndarray, dtype: str) -> np.ndarray:
        """a = A(p), (examples, width)."""
        return self._activation(activation, p, None, dtype)[0]

    def activation_vjp(self, activation: Activation, p: np.ndarray, delta: np.ndarray, dtype: str) -> list[np.ndarray]:
        """delta_p from delta_a, and the gradients of the activation's parameters."""
        return self._activation(activation, p, delta, dtype)[1:]

    def _activation(self, activation: Activation, p: np.ndarray, delta: np.ndarray | None, dtype: str) -> Any:
        """A(p), and the vjp of delta, or of 0. Padding copies the last entries of p; its delta is 0."""
        (n, width), rows, exact = p.shape, activation.along_last_axis, self._is_exact(activation, len(p))
        examples, columns = p.shape if exact else self._room
        outputs, room = activation.width(width) or 0, width if rows else columns
        own = activation_parameters([activation])
        numbers = [pad_with_edges(p, (examples, room)), *(pad_with_edges(x, (room,) * x.ndim) for x in own)]
        if not rows and (outputs != width or with_parameters([activation], numbers)[0].width(room) != room):
            raise Unsupported(f"packed pads rows to {room} entries, which {activation} does not accept")
        cotangent = pad_with_zeros(
            np.zeros((n, outputs)) if delta is None else delta, (examples, outputs if rows else columns)
        )
        program = self._program(
            (activation, rows and width), lambda: value_and_vjp(self.jax, self._function(activation))
        )
        a, delta_p, *gradients = program(*(self.adapter.array(x, dtype) for x in (*numbers, cotangent)))
        back = self.adapter.back
        of_own = (back(g)[tuple(slice(k) for k in x.shape)] for g, x in zip(gradients, own, strict=True))
        return [back(a)[:n, :outputs], back(delta_p)[:n, :width], *of_own]

    def _is_exact(self, function: Operation, examples: int) -> bool:
        """True if a function is compiled for the exact shape."""
        return not is_known(function) and (self._room == LARGE_ROOM or (examples % 2 == 1 and examples > 1))

    def _function(self, activation: Activation) -> Callable[..., Any]:
        """A as a function of p and of its parameters."""
        return lambda *leaves: self.adapter.implementation(with_parameters([activation], leaves)[0])(leaves[0])

    def _program(self, key: Any, make: Callable[[], Any]) -> Any:
        """The jitted program of a key; jax compiles it for each dtype and shape."""
        if key not in self._programs:
            if near_mapping_limit():
                self._programs.clear()
                self.adapter.forget()
            self._programs[key] = self.jax.jit(make())
        return self._programs[key]

    def affine(self, a: np.ndarray, w: np.ndarray, b: np.ndarray | None, dtype: str) -> np.ndarray:
        """c = a w + b."""
        zeros = np.zeros((len(a), w.shape[1]))
        return self._affine(a, w, b, zeros, dtype)[0]

    def affine_vjp(self, a: np.ndarray, w: np.ndarray, b: np.ndarray | None, delta: Any, dtype: str) -> Any:
        """delta_a, dE/dw, and dE/db or None."""
        return self._affine(a, w, b, delta, dtype)[1:]

    def _affine(self, a: np.ndarray, w: np.ndarray, b: np.ndarray | None, delta: Any, dtype: str) -> Any:
        n, inputs, outputs = *a.shape, w.shape[1]
        examples, columns = self._room
        shapes = (examples, columns), (columns, columns), (columns,), (examples, columns)
        numbers = (a, w, np.zeros(outputs) if b is None else b, delta)
        operands = [
            self.adapter.array(pad_with_zeros(x, shape), dtype) for x, shape in zip(numbers, shapes, strict=True)
        ]
        program = self._program("affine", lambda: value_and_vjp(self.jax, lambda a, w, b: a @ w + b))
        c, delta_a, dw, db = (self.adapter.back(x) for x in program(*operands))
        return c[:n, :outputs], delta_a[:n, :inputs], dw[:inputs, :outputs], None if b is None else db[:outputs]

    def loss(self, problem: Problem, o: np.ndarray) -> tuple[float, np.ndarray, dict[str, np.ndarray]]:
        """(E, delta_o, gradients of operands), reduced from entries or examples, unless the loss couples them."""
        error, t, (n, width) = problem.error, problem.targets, o.shape
        reduction = self.reduction(error)
        if reduction.examples is None or self._is_exact(error, n):
            return self._loss(problem, o, t, np.ones(()), None)
        by_entries = reduction.entries is not None and is_separable(error, width)
        examples, columns = self._room
        room = (examples, columns if by_entries else width)
        targets = pad_with_edges(t, room if by_entries else (examples, *t.shape[1:]))
        mask = pad_with_zeros(np.ones((n, width) if by_entries else n), room[: 1 + by_entries])
        parts = n * width if by_entries else n
        weight = reduction.weight(n, width if by_entries else 1)
        times = weight * parts if weight < 1 else None
        E, delta, own = self._loss(problem, pad_with_edges(o, room), targets, mask, times)
        return E, delta[:n, :width], own

    def reduction(self, error: ErrorFunction) -> LossReduction:
        """The reduction of the framework's implementation, probed on samples; a wrong one is not corrected.

        It is none where the samples do not have the same one, as for a mean over masked entries.
        """
        if error not in self._reductions:
            o, batches = sample_operands(error)
            function = loss_in(self.adapter, error, "float64")
            depths = range(3 if is_separable(error, o.shape[1]) else 2)
            probe = self.jax.jit(lambda o, t: [map_leading_axes(self.jax, function, depth)(o, t) for depth in depths])
            found = [probe(self.adapter.array(o, "float64"), self.adapter.constant(t, "float64")) for t in batches]
            reductions = {loss_reduction(*(self.adapter.back(E) for E in losses)) for losses in found}
            self._reductions[error] = reductions.pop() if len(reductions) == 1 else LossReduction(None, None)
        return self._reductions[error]

    def _loss(
        self, problem: Problem, o: np.ndarray, t: np.ndarray, mask: np.ndarray, times: float | None
    ) -> tuple[float, np.ndarray, dict[str, np.ndarray]]:
        """(E, delta_o, gradients of operands): the sum of the losses in the mask, or `times` their mean.

        The mask's axes are those mapped.
        """
        names = self.adapter.loss_operands.names(problem.error, "packed")
        if names:
            try:
                return self._differentiated_loss(problem, o, t, mask, times, names)
            except Exception:  # noqa: BLE001  (what is wrong without these operands is raised below)
                self.adapter.loss_operands.refuse(problem.error, "packed")
        return self._differentiated_loss(problem, o, t, mask, times, [])

    def _differentiated_loss(
        self, problem: Problem, o: np.ndarray, t: np.ndarray, mask: np.ndarray, times: float | None, names: list[str]
    ) -> tuple[float, np.ndarray, dict[str, np.ndarray]]:
        """As `_loss`, with the gradients of the operands of these names."""
        error, dtype = problem.error, problem.dtype
        key = error, mask.ndim, times is None, None if mask.ndim == 2 else o.shape, tuple(names)
        program = self._program(
            key, lambda: reduced_value_and_grad(self.jax, self._loss_function(error), mask.ndim, times is None, names)
        )
        given = {"t": t, **loss_parameters(error)}
        factor = np.array((1.0 if times is None else times) * problem.loss_weight)
        own = {name: self.adapter.constant(x, dtype) for name, x in given.items()}
        numbers = (self.adapter.constant(x, dtype) for x in (mask, factor))
        E, (delta, gradients) = program(self.adapter.array(o, dtype), own, *numbers)
        shapes = {name: x.shape for name, x in operand_arrays(problem, names).items()}
        found = {name: self.adapter.back(gradients[name])[tuple(map(slice, shape))] for name, shape in shapes.items()}
        return (
            float(self.adapter.back(E)),
            self.adapter.back(delta),
            differentiated(found, functools.partial(self.adapter.loss_operands.passes, error)),
        )

    def _loss_function(self, error: ErrorFunction) -> Callable[..., Any]:
        """E as a function of o, t and its own parameters by name."""
        return lambda o, t, own: self.adapter.implementation(error.holding(**own) if own else error)(o, t)


def map_leading_axes(jax: Any, function: Callable[..., Any], depth: int) -> Callable[..., Any]:
    """The loss of each index of the first `depth` axes."""

    def of_one(o: Any, t: Any) -> Any:
        return function(o.reshape((1,) * depth + o.shape), t.reshape((1,) * depth + t.shape))

    for _ in range(depth):
        of_one = jax.vmap(of_one)
    return of_one


def reduced_value_and_grad(
    jax: Any, function: Callable[..., Any], depth: int, plain: bool, names: list[str]
) -> Callable[..., Any]:
    """E, delta_o and the gradients of named operands: the plain sum, or `times` the mean, over the first axes."""
    reduce = jax.numpy.sum if plain else jax.numpy.mean

    def value_and_grad(o: Any, operands: dict[str, Any], mask: Any, times: Any) -> tuple[Any, Any]:
        def loss(o: Any, moved: dict[str, Any]) -> Any:
            own = operands | moved
            t = own.pop("t")
            losses = map_leading_axes(jax, lambda o, t: function(o, t, own), depth)
            return reduce(losses(o, t), where=mask != 0) * times

        return jax.value_and_grad(loss, (0, 1))(o, {name: operands[name] for name in names})

    return value_and_grad


def value_and_vjp(jax: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    """The value of a function of arrays, and the vjp of the cotangent, the last operand."""

    def evaluate(*operands: Any) -> tuple[Any, ...]:
        value, vjp = jax.vjp(function, *operands[:-1])
        return value, *vjp(operands[-1])

    return evaluate


def nodes(problem: Problem) -> list[Any]:
    """(activation, w, b) of each node; an output activation has neither w nor b."""
    spare = [None] * (len(problem.activations) - len(problem.weights))
    return list(zip(problem.activations, [*problem.weights, *spare], [*problem.biases, *spare], strict=True))


def is_known(function: Operation) -> bool:
    """True for a function of gradagree's own, as its frameworks' functions are tested elsewhere in all shapes."""
    return type(function).__module__.startswith("gradagree.reference")


def room_of(problem: Problem) -> tuple[int, int]:
    """The shape that arrays are padded to. Raises Unsupported if they are larger."""
    n, width = problem.inputs.shape[0], max(problem.inputs.shape[1], *(k for w in problem.weights for k in w.shape))
    rooms = [(MAX_EXAMPLES, MAX_WIDTH)]
    if not all(is_known(function) for function in (*problem.activations, problem.error)):
        rooms.append(LARGE_ROOM)
    for examples, columns in rooms:
        if n <= examples and width <= columns:
            return examples, columns
    raise Unsupported(f"packed: {n} examples, up to {width} wide; it holds {rooms[-1][0]} and {rooms[-1][1]}")
