"""Tape arithmetic: an array that records every operation, so that any NumPy function becomes a graph."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import scipy

from gradagree.arithmetic import complex_numbers
from gradagree.arithmetic.duck import Duck, NoRule, Rules
from gradagree.arithmetic.three_valued import Trilean
from gradagree.reference import taped
from gradagree.reference.graph import Application, Graph, Value
from gradagree.reference.operations import PRIMITIVES, Primitive
from gradagree.reference.operations.moves import CONCATENATE, STACK, constant, gather, stop_gradient
from gradagree.reference.operations.primitive import midpoints
from gradagree.reference.operations.scatter import put, scatter_add

LIBRARIES = (str(Path(np.__file__).parent), str(Path(scipy.__file__).parent), str(Path(__file__).parent))


class Tape(Duck):
    """A value of a graph that is being recorded, with its number for the given inputs."""

    __slots__ = ("graph", "numbers", "place")
    arithmetic = "tape"
    rules: ClassVar[Rules] = {}
    rank = 4

    def __init__(self, numbers: Any, graph: Graph, place: Value) -> None:
        """numbers: the value for the given inputs, an ordinary array."""
        self.numbers = np.asarray(numbers)
        self.graph = graph
        self.place = place

    def _parts(self) -> tuple[Any, ...]:
        return (self.numbers,)

    def map(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return function(self, *args, **kwargs)

    def _apply(self, key: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if complex_numbers.promotes(args):
            return complex_numbers.apply(key, name, args, kwargs)
        return super()._apply(key, name, args, kwargs)

    @property
    def real(self) -> Self:
        return self

    @property
    def imag(self) -> np.ndarray:
        return np.zeros(self.shape)

    def conj(self) -> Self:
        return self

    conjugate = conj

    def __getitem__(self, index: Any) -> Self:
        return record(PRIMITIVES[gather], self, concrete(index))

    @property
    def dtype(self) -> Any:
        return self.numbers.dtype if self.numbers.dtype.kind in "biu" else np.dtype(np.float64)

    @property
    def true(self) -> np.ndarray:
        """Where a condition holds, for the given inputs."""
        return self.numbers

    @property
    def open(self) -> bool:
        """A condition on the given inputs is never in doubt."""
        return False

    def __bool__(self) -> bool:
        """The truth for the given inputs: a branch of the program is recorded as it was taken."""
        return bool(self.numbers)

    def __index__(self) -> int:
        return int(self.numbers)

    def __float__(self, *_: Any) -> float:
        raise NoRule("a traced array is no Python number; use NumPy functions instead of the math module")

    def record(self, operation: Primitive, *operands: Any, **parameters: Any) -> Any:
        """Append one operation to the graph, for functions that are recorded as one primitive."""
        return record(operation, *operands, **parameters)

    def mark_stored(self) -> None:
        """Note that a framework's operation ends with this value, which it stores."""
        self.graph.stored.add(self.place.number)

    def copy(self) -> Self:
        return self

    def stop_gradient(self) -> Self:
        return record(PRIMITIVES[stop_gradient], self)

    def astype(self, dtype: Any) -> Any:
        if np.dtype(dtype).kind == "f":
            return self if self.numbers.dtype.kind == "f" else record(PRIMITIVES[np.where], self, 1.0, 0.0)
        return self.numbers.astype(dtype)


def concrete(x: Any) -> Any:
    """An index with ordinary arrays in place of traced ones."""
    if isinstance(x, tuple):
        return tuple(map(concrete, x))
    return x.numbers if isinstance(x, Tape) else x


def number(x: Any) -> Any:
    """An operand as an ordinary array; a constant of another arithmetic by its central values."""
    if isinstance(x, Tape):
        return x.numbers
    return x.true if isinstance(x, Trilean) else midpoints(x) if isinstance(x, Duck) else x


def record(operation: Primitive, *operands: Any, **parameters: Any) -> Any:
    """Append one operation to the graph of its operands, and return its value."""
    graph = next(x.graph for x in operands if isinstance(x, Tape))
    with np.errstate(all="ignore"):
        known = operation.function(*map(number, operands), **parameters)
    output = Value(graph.size)
    places = tuple(x.place if isinstance(x, Tape) else x for x in operands)
    graph.applications.append(Application(operation, places, parameters, output, caller()))
    graph.sizes.append(np.shape(known))
    return Tape(known, graph, output)


def caller() -> str:
    """File and line outside NumPy and this package."""
    frame: Any = sys._getframe(2)
    while frame is not None and frame.f_code.co_filename.startswith(LIBRARIES):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame is not None else ""


def recorder(operation: Primitive) -> Callable[..., Any]:
    return lambda *operands, **parameters: record(operation, *operands, **parameters)


def structural(operation: Primitive) -> Callable[..., Any]:
    """For functions whose arguments after the first are shapes, axes and indices."""

    def rule(x: Any, *args: Any, **kwargs: Any) -> Any:
        arguments = [concrete(arg) for arg in args]
        names = {name: concrete(arg) for name, arg in kwargs.items()}
        return record(operation, x, *arguments, **names)

    return rule


def joining(operation: Primitive) -> Callable[..., Any]:
    def rule(arrays: Sequence[Any], axis: int | None = 0) -> Any:
        if axis is None:
            arrays, axis = [np.ravel(x) for x in arrays], 0
        return record(operation, *arrays, axis=axis)

    return rule


def matmul(a: Any, b: Any) -> Any:
    """A product of matrices: a vector is recorded as a matrix of one row (left) or one column (right)."""
    left, right = np.ndim(a) == 1, np.ndim(b) == 1
    a = np.expand_dims(a, 0) if left else a
    b = np.expand_dims(b, 1) if right else b
    found = record(PRIMITIVES[np.matmul], a, b)
    axes = ((-2,) if left else ()) + ((-1,) if right else ())
    return np.squeeze(found, axes) if axes else found


def places(function: Callable[..., Any]) -> Callable[..., Any]:
    """np.argmax and its relatives: ordinary integers, for the given inputs."""
    return lambda x, *args, **kwargs: function(x.numbers, *args, **kwargs)


def split(function: Callable[..., Any]) -> Callable[..., Any]:
    """np.split and its relatives: each part by its entries' places."""

    def rule(x: Any, *args: Any, **kwargs: Any) -> list[Any]:
        places = np.arange(x.size).reshape(x.shape)
        flat = np.ravel(x)
        return [flat[part] for part in function(places, *args, **kwargs)]

    return rule


def replaced(x: Any, index: Any, values: Any) -> Any:
    """x with the entries at an index replaced; the index is that of the given inputs."""
    return record(PRIMITIVES[put], x, concrete(index), values)


def accept(function: Any) -> bool:
    return function not in (CONCATENATE, STACK, constant, gather, stop_gradient)


def trace(function: Callable[..., Any], *inputs: Any, names: Sequence[str] | None = None) -> Graph:
    """The graph of a NumPy function at the given inputs.

    Args:
        function: Takes the arrays and returns an array, or a tuple or list of arrays.
        inputs: Ordinary arrays; branches of the function are recorded as these inputs take them. Arrays of integers
            and truth values are constants of the graph.
        names: Names of the inputs; by default x0, x1, ...

    Returns:
        The graph, whose outputs are those of the function.

    Raises:
        NoRule: The function uses something that has no rule; the message names it.
    """
    graph = Graph(list(names or (f"x{k}" for k in range(len(inputs)))))
    arrays = [np.asarray(x) for x in inputs]
    graph.sizes = [x.shape for x in arrays]
    result = function(*(Tape(x, graph, Value(k)) if x.dtype.kind == "f" else x for k, x in enumerate(arrays)))
    outputs = result if isinstance(result, tuple | list) else [result]
    graph.outputs = [x.place if isinstance(x, Tape) else np.asarray(x) for x in outputs]
    graph.shapes = [x.shape if isinstance(x, Tape) else np.shape(x) for x in outputs]
    return graph


MOVING = (
    np.diagonal, np.flip, np.fliplr, np.flipud, np.repeat, np.roll, np.rot90, np.take, np.take_along_axis, np.tile,
    np.moveaxis, np.rollaxis, np.swapaxes, np.expand_dims, np.ravel, np.reshape, np.squeeze, np.copy, np.transpose,
    np.broadcast_to, np.sort, np.lib.stride_tricks.sliding_window_view, scatter_add,
)  # fmt: skip
Tape.rules.update({function: recorder(p) for function, p in PRIMITIVES.items() if accept(function)})
Tape.rules.update({f: places(f) for f in (np.argmax, np.argmin, np.argsort)})
Tape.rules.update({function: structural(PRIMITIVES[function]) for function in MOVING})
Tape.rules[np.matmul] = matmul
Tape.rules[put] = replaced
Tape.rules.update({np.concatenate: joining(PRIMITIVES[CONCATENATE]), np.stack: joining(PRIMITIVES[STACK])})
Tape.rules.update({f: split(f) for f in (np.array_split, np.dsplit, np.hsplit, np.split, np.vsplit)})
taped.TRACE[:] = [trace]
