"""The backward pass of a graph for given numbers, and what a change of it does to the gradient of one input."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from gradagree.reference.graph import Application, Graph, Value
from gradagree.reference.operations import PRIMITIVES
from gradagree.reference.operations.composites import LOG_SOFTMAX, SOFTMAX

MOST_WORK = 1 << 24
"""Entries that changes of one kind may compute, a call counted as `CALL` entries."""
CALL = 1 << 11

Vjp = Callable[..., Sequence[Any]]


class Exhausted(Exception):
    """The work for one gradient is used up."""


class Backward:
    """A backward pass, which can be changed.

    Args:
        graph: The reference.
        inputs: Its inputs.
        cotangents: Those of its outputs.
        argument: The number of the input whose gradient is asked for.
    """

    def __init__(self, graph: Graph, inputs: Sequence[Any], cotangents: Sequence[Any], argument: int) -> None:
        self.graph, self.argument, self.seeds = graph, argument, list(cotangents)
        self.values = graph.evaluate(inputs)
        self.cotangents = graph.all_cotangents(self.values, cotangents)
        self.reaches = [k == argument for k in range(len(graph.inputs))]
        for step in graph.applications:
            self.reaches.append(any(isinstance(x, Value) and self.reaches[x.number] for x in step.operands))
        self.given: dict[int, list[Any]] = {}
        self.size = work_of(graph, self.values)
        self.left = MOST_WORK

    @property
    def steps(self) -> list[Application]:
        return self.graph.applications

    @property
    def gradient(self) -> np.ndarray:
        """The gradient without a change."""
        found = self.cotangents[self.argument]
        return np.zeros(np.shape(self.values[self.argument])) if found is None else np.asarray(found)

    def spend(self, size: int) -> None:
        self.left -= size + CALL
        if self.left < 0:
            raise Exhausted

    def live(self) -> list[int]:
        """The steps that have a cotangent and a derivative, and that depend on the argument."""
        found = range(len(self.steps))
        return [k for k in found if self.reaches[self.steps[k].output.number] and self.cotangent(k) is not None]

    def depending(self, number: int) -> list[bool]:
        """For each value, whether it depends on this one."""
        found = [k == number for k in range(len(self.graph.inputs))]
        for step in self.steps:
            by_operands = any(isinstance(x, Value) and found[x.number] for x in step.operands)
            found.append(step.output.number == number or by_operands)
        return found

    def cotangent(self, k: int) -> Any:
        """The cotangent of the output of a step that has a derivative; None without."""
        step = self.steps[k]
        return None if step.operation.vjp is None else self.cotangents[step.output.number]

    def operands(self, k: int) -> list[Any]:
        return self.graph.operands(self.steps[k], self.values)

    def contributions(self, k: int) -> list[Any]:
        """The contributions of a step to the cotangents of its operands."""
        if k not in self.given:
            self.given[k] = self.derived(k, self.cotangent(k))
        return self.given[k]

    def derived(self, k: int, g: Any, *, operands: Sequence[Any] | None = None, output: Any = None) -> list[Any]:
        """As `contributions`, for another cotangent, operands or output."""
        step = self.steps[k]
        xs = self.operands(k) if operands is None else operands
        y = self.values[step.output.number] if output is None else output
        self.spend(np.size(g))
        assert step.operation.vjp is not None
        return list(step.operation.vjp(g, y, *xs, **step.parameters))

    def push(self, changes: Mapping[int, Any]) -> np.ndarray:
        """What changes of the cotangents of values, by their numbers, add to the gradient."""
        parts = {number: np.asarray(x) for number, x in changes.items() if x is not None}
        total = np.zeros(np.shape(self.values[self.argument]))
        for k in range(max((n - len(self.graph.inputs) for n in parts), default=-1), -1, -1):
            g = parts.pop(self.steps[k].output.number, None)
            if g is None or self.steps[k].operation.vjp is None:
                continue
            for operand, x in zip(self.steps[k].operands, self.derived(k, g), strict=False):
                if isinstance(operand, Value) and x is not None and self.reaches[operand.number]:
                    before = parts.get(operand.number)
                    parts[operand.number] = np.asarray(x) if before is None else before + x
        return total + parts[self.argument] if self.argument in parts else total

    def changed(self, k: int, place: int, contribution: Any) -> np.ndarray | None:
        """What another contribution of a step to one operand adds to the gradient; None where it does not reach it."""
        operand, old = self.steps[k].operands[place], self.contributions(k)[place]
        if not isinstance(operand, Value) or not self.reaches[operand.number] or old is None:
            return None
        if np.shape(contribution) != np.shape(old):
            return None
        return self.push({operand.number: contribution - old})

    def with_vjps(self, vjps: Mapping[int, Vjp]) -> np.ndarray:
        """The gradient with other vjps of some steps."""
        steps = list(self.steps)
        for k, vjp in vjps.items():
            step = steps[k]
            operation = type(step.operation)(step.operation.name, step.operation.function, vjp)
            steps[k] = Application(operation, step.operands, step.parameters, step.output, step.place)
        self.spend(self.size)
        found = Graph(self.graph.inputs, steps, self.graph.outputs).vjp(self.values, self.seeds)[self.argument]
        return np.zeros(np.shape(self.values[self.argument])) if found is None else np.asarray(found)


def work_of(graph: Graph, values: Sequence[Any]) -> int:
    """Entries that a whole backward pass computes, with its calls."""
    return sum(map(np.size, values)) + len(graph.applications) * CALL


def expanded(graph: Graph) -> Graph:
    """The graph with softmax and log_softmax as primitives, whose contributions can be changed one by one."""
    if not any(step.operation in (SOFTMAX, LOG_SOFTMAX) for step in graph.applications):
        return graph
    numbers: dict[int, Value] = {k: Value(k) for k in range(len(graph.inputs))}
    steps: list[Application] = []

    def add(function: Any, *operands: Any, place: str = "", **parameters: Any) -> Value:
        output = Value(len(graph.inputs) + len(steps))
        steps.append(Application(function, operands, parameters, output, place))
        return output

    for step in graph.applications:
        operands = tuple(numbers[x.number] if isinstance(x, Value) else x for x in step.operands)
        if step.operation not in (SOFTMAX, LOG_SOFTMAX):
            output = add(step.operation, *operands, place=step.place, **step.parameters)
        else:
            output = primitives(step, operands[0], add)
        numbers[step.output.number] = output
    outputs = [numbers[x.number] if isinstance(x, Value) else x for x in graph.outputs]
    return Graph(graph.inputs, steps, outputs)


def primitives(step: Application, x: Any, add: Callable[..., Value]) -> Value:
    """softmax or log_softmax; the shift by the largest entry is a constant."""
    over = {"axis": step.parameters["axis"], "keepdims": True}
    largest, subtract, exp, total = (PRIMITIVES[f] for f in (np.max, np.subtract, np.exp, np.sum))
    shift = add(type(largest)("max", largest.function), x, place=step.place, **over)
    shifted = add(subtract, x, shift, place=step.place)
    powers = add(exp, shifted, place=step.place)
    norm = add(total, powers, place=step.place, **over)
    if step.operation is SOFTMAX:
        return add(PRIMITIVES[np.divide], powers, norm, place=step.place)
    return add(subtract, shifted, add(PRIMITIVES[np.log], norm, place=step.place), place=step.place)
