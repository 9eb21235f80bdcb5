"""Graphs whose rows do not depend on each other are evaluated some rows at a time, so that they stay in the cache."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gradagree.arithmetic.model import Model
from gradagree.arithmetic.rounded import Rounded
from gradagree.arithmetic.rounded_rules import sum_of_terms
from gradagree.arithmetic.rounding import round_to_precision
from gradagree.arithmetic.variance import Variance, all_differ, max_count, sum_of_terms as sum_of_variances
from gradagree.functions.opmath import Storing, turned
from gradagree.reference.graph import Application, Graph, Value, combine
from gradagree.reference.operations.primitive import sum_to

TILE = 1 << 15
"""Entries of the largest array that is evaluated at a time."""
LEAST = 1 << 16
"""Entries of the largest array of a graph from which on its rows are divided."""
SHARED = ("add", "subtract", "multiply")
"""Operations that may have an operand that all rows share, such as a weight or bias, and a gradient by it."""
REDUCTIONS = ("sum", "mean", "max", "min")


@dataclass(frozen=True)
class Batch:
    """A graph that maps each row of some of its inputs to that row of its outputs.

    Args:
        graph: The graph.
        rows: Number of rows: the length of the first axis.
        step: Number of rows that are evaluated at a time.
        divided: For each value, True if it has these rows, False if all rows share it, None if nothing uses it.
    """

    graph: Graph
    rows: int
    step: int
    divided: Sequence[bool | None]

    @property
    def is_elementwise(self) -> bool:
        """True if not even the entries of a row depend on each other."""
        steps = self.steps(divided=True)
        return False not in self.divided and all(isinstance(one.operation.function, np.ufunc) for one in steps)

    def slices(self) -> Iterator[slice]:
        return (slice(start, start + self.step) for start in range(0, self.rows, self.step))

    def is_divided(self, x: Any) -> bool:
        return isinstance(x, Value) and self.divided[x.number] is True

    def is_shared(self, x: Any) -> bool:
        return isinstance(x, Value) and self.divided[x.number] is False

    def steps(self, divided: bool) -> list[Application]:
        return [one for one in self.graph.applications if self.divided[one.output.number] is divided]

    @functools.cached_property
    def axes(self) -> list[int]:
        """Numbers of axes of all values."""
        return [len(shape) for shape in self.graph.sizes]

    def part(self, x: Any, step: Application, place: slice) -> Any:
        """These rows of a constant operand."""
        aligned = isinstance(x, np.ndarray) and x.ndim == self.axes[step.output.number] and x.shape[0] == self.rows
        return x[place] if aligned and isinstance(step.operation.function, np.ufunc) else x


def batch_of(graph: Graph, inputs: Sequence[Any]) -> Batch | None:
    """How a graph can be divided; None if it cannot, or need not.

    Args:
        graph: The graph, traced with arrays of the shapes of the inputs.
        inputs: One array for each input.
    """
    shapes = graph.sizes
    if len(shapes) != graph.size or len(graph.applications) < 2 or not graph.outputs:
        return None
    if any(tuple(np.shape(x)) != shape for x, shape in zip(inputs, shapes, strict=False)):
        return None
    largest = max(math.prod(shape) for shape in shapes)
    outputs = [x.number for x in graph.outputs if isinstance(x, Value)]
    if largest < LEAST or len(outputs) != len(graph.outputs) or not shapes[outputs[0]]:
        return None
    rows = shapes[outputs[0]][0]
    divided: list[bool | None] = [None] * graph.size
    if rows < 2 or not all(shapes[k][:1] == (rows,) and mark(divided, k, True) for k in outputs):
        return None
    for step in reversed(graph.applications):
        if not mark_operands(divided, step, shapes, rows):
            return None
    size = max(math.prod(shape[1:]) for shape, known in zip(shapes, divided, strict=True) if known)
    return Batch(graph, rows, max(1, TILE // max(size, 1)), divided)


def mark(divided: list[bool | None], k: int, known: bool) -> bool:
    """Note whether a value is divided; False if the opposite is already known."""
    if divided[k] is None:
        divided[k] = known
    return divided[k] is known


def mark_operands(
    divided: list[bool | None], step: Application, shapes: Sequence[tuple[int, ...]], rows: int
) -> bool:  # fmt: skip
    """Note which operands of an operation are divided; False if it does not work row by row."""
    known = divided[step.output.number]
    values = [x.number for x in step.operands if isinstance(x, Value)]
    if known is None:
        return True
    if not known:
        return all(mark(divided, k, False) for k in values)
    shape, reduces = shapes[step.output.number], step.operation.name in REDUCTIONS
    aligned = [shapes[k][:1] == (rows,) and (reduces or len(shapes[k]) == len(shape)) for k in values]
    if not works_by_rows(step, shape, all(aligned)):
        return False
    return all(mark(divided, k, own) for k, own in zip(values, aligned, strict=True))


def works_by_rows(step: Application, shape: tuple[int, ...], aligned: bool) -> bool:
    """True if a row of the output depends only on that row of the operands that have the output's first axis."""
    name, function = step.operation.name, step.operation.function
    if not all(isinstance(x, Value | np.ndarray | int | float | np.number) for x in step.operands):
        return False
    if isinstance(function, np.ufunc) and function.signature is None:
        return (aligned or name in SHARED) and not step.parameters
    if name == "matmul":
        return aligned and len(shape) > 2
    if name in REDUCTIONS:
        axis = step.parameters.get("axis")
        given = [x for x in step.operands if not isinstance(x, Value)]
        return aligned and not given and axes_of(axis, step.parameters.get("keepdims"), len(shape))
    if name == "swapaxes":
        return aligned and all(0 not in (k, k + len(shape)) for k in step.operands[1:] if isinstance(k, int))
    return False


def axes_of(axis: Any, keepdims: Any, axes: int) -> bool:
    """True if a reduction with an output of this many axes keeps the first axis."""
    if axis is None:
        return False
    given = np.ravel(axis)
    before = axes if keepdims else axes + len(given)
    return before > 1 and all(int(k) % before != 0 for k in given)


class RunningSum:
    """The sum of a rounded array over its rows, some rows at a time; its bound is that of the sum of all.

    Args:
        shape: The shape of the sum, to which the array was broadcast.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        self.shape = tuple(shape)
        self.parts: Any = 0.0, 0.0, 0.0
        self.terms, self.q = 0, np.inf

    def add(self, x: Rounded) -> None:
        axes = repeated_axes(x, self.shape)
        sums = (np.sum(one, axis=axes) for one in (x.value, x.radius, np.abs(x.value)))
        self.parts = tuple(known + more for known, more in zip(self.parts, sums, strict=True))
        self.terms += math.prod(x.shape[k] for k in axes)
        self.q, self.model = min(self.q, x.q), x.model

    def total(self) -> Rounded:
        value, spread, size = self.parts
        found = sum_of_terms(value, spread, size + spread, self.terms, self.q, self.model)
        return found.map(np.reshape, self.shape)


class RunningVariance:
    """As `RunningSum`, for variances.

    Args:
        shape: The shape of the sum.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        self.shape = tuple(shape)
        self.parts: Any = 0.0, 0.0, 0.0
        self.terms = 0
        self.lines: dict[int, list[np.ndarray]] = {}

    def add(self, x: Variance) -> None:
        axes = repeated_axes(x, self.shape)
        sums = (np.sum(one, axis=axes) for one in (x.value, x.variance, np.square(x.value)))
        self.parts = tuple(known + more for known, more in zip(self.parts, sums, strict=True))
        self.terms += math.prod(x.shape[k] for k in axes)
        for k in axes if not self.lines else (0,):
            slices, errors = (ends_of(np.moveaxis(part, k, 0).reshape(x.shape[k], -1)) for part in x._parts())
            self.lines.setdefault(k, []).append(slices[errors.any(axis=1)])
        self.model = x.model

    def total(self) -> Variance:
        """The sum. Terms with the same numbers at both ends count as equal, whose errors are equal as well."""
        count = math.prod(max_count_of(np.concatenate(lines), self.model) for lines in self.lines.values())
        value, variance, squares = self.parts
        found = sum_of_variances(value, count * variance, squares, self.terms, self.model)
        return found.map(np.reshape, self.shape)


END = 16
"""Numbers at each end of a row by which rows are compared."""


def ends_of(rows: np.ndarray) -> np.ndarray:
    return rows if rows.shape[1] <= 2 * END else np.concatenate([rows[:, :END], rows[:, -END:]], axis=1)


def max_count_of(rows: np.ndarray, model: Model) -> int:
    """Number of occurrences of the most frequent row in the format of a model."""
    if not rows.size or all_differ(rows[:, 0], model.u):
        return 1
    return max_count(round_to_precision(rows, model.format.precision))


def repeated_axes(x: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The axes along which an array of this shape was repeated to have that of x; the first one is among them."""
    leading = x.ndim - len(shape)
    repeated = (k + leading for k, n in enumerate(shape) if n == 1 and x.shape[k + leading] != 1)
    return (*range(leading), *repeated)


def product_or_same(step: Application, k: int, g: Any, operands: Sequence[Any]) -> Any:
    """The cotangent of operand k of a sum, difference or product, before it is summed to the shape of the operand."""
    if step.operation.name == "multiply":
        return g * operands[1 - k]
    return -g if step.operation.name == "subtract" and k else g


@dataclass(frozen=True)
class Evaluation:
    """The evaluation of a batch; where rows share values, in rounded or variance arithmetic.

    Args:
        batch: The batch.
        lift: Gives numbers in the arithmetic.
        add: As for `Graph.vjp`.
        storing: Where the arithmetic rounds numbers to the dtype, if it does so by operations.
    """

    batch: Batch
    lift: Callable[[Any], Any]
    add: Callable[[list[Any]], Any] | None
    storing: Storing | None = None
    sums: dict[tuple[int, int], Any] = field(default_factory=dict)

    def rows(
        self, inputs: Sequence[Any], cotangents: Sequence[Any], place: slice, shared: dict[int, Any]
    ) -> tuple[list[Any], list[Any]]:
        """The outputs and gradients of some rows; the cotangents of shared values are summed."""
        batch, graph = self.batch, self.batch.graph
        values = dict(shared)
        values.update((k, self.lift(x[place])) for k, x in enumerate(inputs) if batch.divided[k])
        steps = batch.steps(divided=True)
        for step in steps:
            found = step.operation.function(*self.operands(step, values, place), **step.parameters)
            values[step.output.number] = self.keep(step.output.number, found)
        outputs = [values[x.number] for x in graph.outputs]
        values = self.turned(values)
        parts: dict[int, list[Any]] = {}
        for x, g in zip(graph.outputs, cotangents, strict=True):
            if g is not None:
                parts.setdefault(x.number, []).extend(turned(self.storing, [self.lift(g[place])]))
        for step in reversed(steps):
            g = self.keep(step.output.number, combine(parts.pop(step.output.number, []), self.add))
            y = values.pop(step.output.number)
            if g is None or step.operation.vjp is None:
                continue
            given = self.by_operands(step, g, y, self.operands(step, values, place))
            for operand, part in zip(step.operands, given, strict=False):
                if batch.is_divided(operand) and part is not None:
                    parts.setdefault(operand.number, []).append(part)
        return outputs, [combine(parts.get(k, []), self.add) for k in range(len(graph.inputs))]

    def by_operands(self, step: Application, g: Any, y: Any, operands: list[Any]) -> Sequence[Any]:
        """The cotangents of the divided operands of an operation; those of shared ones are added to their sums."""
        if not any(map(self.batch.is_shared, step.operands)):
            return step.operation.vjp(g, y, *operands, **step.parameters)  # type: ignore[misc]
        found: list[Any] = [None, None]
        for k, x in enumerate(step.operands):
            if self.batch.is_divided(x):
                found[k] = sum_to(product_or_same(step, k, g, operands), np.shape(operands[k]))
            elif isinstance(x, Value):
                kind = RunningVariance if isinstance(g, Variance) else RunningSum
                total = self.sums.setdefault((step.output.number, k), kind(np.shape(operands[k])))
                total.add(product_or_same(step, k, g, operands))
        return found

    def keep(self, number: int, x: Any) -> Any:
        """A value, or its cotangent, as it is stored."""
        return x if self.storing is None else self.storing.keep(number, x)

    def turned(self, values: dict[int, Any]) -> dict[int, Any]:
        """Values as the backward pass uses them."""
        return dict(zip(values, turned(self.storing, list(values.values())), strict=True))

    def operands(self, step: Application, values: dict[int, Any], place: slice) -> list[Any]:
        return [values[x.number] if isinstance(x, Value) else self.batch.part(x, step, place) for x in step.operands]

    def shared(self, inputs: Sequence[Any]) -> dict[int, Any]:
        """The values that all rows share."""
        values = {k: self.lift(x) for k, x in enumerate(inputs) if self.batch.divided[k] is False}
        for step in self.batch.steps(divided=False):
            operands = [values[x.number] if isinstance(x, Value) else x for x in step.operands]
            found = step.operation.function(*operands, **step.parameters)
            values[step.output.number] = self.keep(step.output.number, found)
        return values

    def shared_gradients(self, values: dict[int, Any]) -> list[Any]:
        """The gradients by the inputs that all rows share, after all rows; None for the other inputs."""
        parts: dict[int, list[Any]] = {}
        values = self.turned(values)
        for step in reversed(self.batch.graph.applications):
            place, given = step.output.number, []
            if self.batch.divided[place] is True:
                sums = (self.sums.get((place, k)) for k in range(len(step.operands)))
                given = [one and one.total() for one in sums]
            elif (g := combine(parts.get(place, []), self.add)) is not None and step.operation.vjp is not None:
                g = self.keep(place, g)
                operands = self.operands(step, values, slice(None))
                given = list(step.operation.vjp(g, values[place], *operands, **step.parameters))
            for operand, part in zip(step.operands, given, strict=False):
                if self.batch.is_shared(operand) and part is not None:
                    parts.setdefault(operand.number, []).append(part)
        return [combine(parts.get(k, []), self.add) for k in range(len(self.batch.graph.inputs))]
