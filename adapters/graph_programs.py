"""Graphs of layers in a framework: the loss as a function of its arrays, with a tap at every value and every use.

A value that several nodes take is tapped once more for each of them, so that the cotangent that each passes back is
known, not only their sum.
"""

from __future__ import annotations

import collections
import functools
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gradagree.adapters.graph_problem import GraphProblem, WrongShape, use_name
from gradagree.adapters.problem import Answer, Unsupported
from gradagree.adapters.programs import MAX_PROGRAMS, Program, multiplication, near_mapping_limit
from gradagree.reference.architecture import LayerNode, value_shapes
from gradagree.reference.graph import INPUTS, value_name
from gradagree.reference.layer import Layer


def taps_of(nodes: Sequence[LayerNode]) -> list[str]:
    """The names of all taps in the order in which a program passes them: values, and uses of values used twice.

    Example:
        >>> from gradagree.reference.layer import Layer
        >>> dense, add = (Layer.named(name) for name in ("dense", "addition"))
        >>> taps_of([LayerNode(dense, (3,), (0,)), LayerNode(add, (), (0, 1))])
        ['inputs>1.0', 'c1', 'inputs>2.0', 'c2']
    """
    used = collections.Counter(i for node in nodes for i in node.inputs)
    found = []
    for k, node in enumerate(nodes, 1):
        found += [use_name(i, k, place) for place, i in enumerate(node.inputs) if used[i] > 1]
        found.append(value_name(k))
    return found


def layer_function(adapter: Any, operation: Any) -> Callable[..., Any]:
    """The framework's implementation of a layer or activation, a function of its arrays.

    Raises:
        Unsupported: It has none.
    """
    if not isinstance(operation, Layer):
        implementation: Callable[..., Any] = adapter.implementation(operation)
        return implementation
    method = getattr(operation, adapter.name, None)
    if method is None:
        raise Unsupported(f"{operation} has no implementation in {adapter.name}: define the method {adapter.name!r}")
    return functools.partial(method, **{adapter.name: adapter.framework})


def check_shape(adapter: Any, operation: Any, found: Any, operand: Any, shape: tuple[int, ...]) -> None:
    """Raises WrongShape where an implementation returns another shape than the reference, which might broadcast."""
    method = f"{type(operation).__name__}.{adapter.name}"
    if found is None:
        raise WrongShape(f"{method} returns nothing: end it with `return` and the formula")
    given = tuple(getattr(found, "shape", ()))
    if given != tuple(shape):
        name = "x" if isinstance(operation, Layer) else "p"
        taken = f" for {name} of shape {tuple(operand.shape)}" if operand is not None else ""
        raise WrongShape(f"{method} returns shape {given}{taken}; it must be {tuple(shape)}")


def framework_array(adapter: Any, x: np.ndarray, dtype: str) -> Any:
    """A constant of the framework: masks are booleans there too."""
    if x.dtype.kind == "b":
        return adapter.constant(x.astype(np.int64), dtype) != 0
    return adapter.constant(x, dtype)


class GraphPrograms:
    """The programs of an adapter for graphs of layers, with a cache of the last ones."""

    def __init__(self, adapter: Any) -> None:
        self.adapter = adapter
        self._programs: dict[Any, Program] = {}

    def answer(self, problem: GraphProblem, mode: str) -> Answer:
        """The gradient of a graph with all taps.

        Raises:
            Unsupported: The mode is not reverse mode on whole batches, or a layer has no implementation.
        """
        record = self.adapter.modes[mode]
        if record.forward or record.per_example:
            raise Unsupported(f"{self.adapter.name}:{mode} computes chains of dense layers only")
        arrays, dtype = problem.arrays, problem.dtype
        program = self.program(problem, mode)
        leaves = [self.adapter.array(x, dtype) for x in (problem.inputs, *(arrays[name] for name in problem.trained))]
        fixed = [framework_array(self.adapter, arrays[name], dtype) for name in problem.fixed]
        given = (self.adapter.constant(problem.targets, dtype), fixed)
        zeros = [self.adapter.array(np.zeros(shape), dtype) for shape in self._tap_shapes(problem)]
        started = time.perf_counter()
        (E, values), gradients, cotangents = program(leaves, given, zeros)
        seconds = time.perf_counter() - started
        back, names = self.adapter.back, taps_of(problem.nodes)
        by_inputs, *own = map(back, gradients)
        return Answer(
            float(back(E)),
            {INPUTS: np.asarray(problem.inputs, dtype=np.float64), **dict(zip(names, map(back, values), strict=True))},
            {INPUTS: by_inputs, **dict(zip(names, map(back, cotangents), strict=True))},
            dict(zip(problem.trained, own, strict=True)),
            seconds,
        )  # fmt: skip

    def _tap_shapes(self, problem: GraphProblem) -> list[tuple[int, ...]]:
        shapes = value_shapes(problem.inputs.shape, problem.nodes)
        by_name = {value_name(k): shape for k, shape in enumerate(shapes)}
        return [by_name[name.partition(">")[0]] for name in taps_of(problem.nodes)]

    def program(self, problem: GraphProblem, mode: str) -> Program:
        """The program of a mode, which serves all problems of one architecture."""
        key = (mode, *problem.key)
        if key not in self._programs:
            if len(self._programs) >= MAX_PROGRAMS or near_mapping_limit():
                self._programs.clear()
                self.adapter.forget()
            self._programs[key] = self.adapter.tapped(mode, self.error_of(problem))
        return self._programs[key]

    def error_of(self, problem: GraphProblem) -> Callable[..., Any]:
        """The loss as a function of (leaves, (targets, constants), tap)."""
        adapter, nodes = self.adapter, problem.nodes
        functions = [layer_function(adapter, node.operation) for node in nodes]
        loss = adapter.implementation(problem.error)
        times = None if problem.loss_weight == 1 else multiplication(adapter, problem.loss_weight, problem.dtype)
        names, trained, fixed = problem.names_by_node, list(problem.trained), list(problem.fixed)
        several = {name for name in taps_of(nodes) if ">" in name}
        shapes = value_shapes(problem.inputs.shape, nodes)

        def error(leaves: list[Any], given: Any, tap: Callable[[Any], Any]) -> Any:
            targets, constants = given
            arrays = dict(zip(trained, leaves[1:], strict=True)) | dict(zip(fixed, constants, strict=True))
            values = [adapter.copy(leaves[0])]
            for k, (node, function) in enumerate(zip(nodes, functions, strict=True), 1):
                uses = ((use_name(i, k, place), values[i]) for place, i in enumerate(node.inputs))
                operands = [tap(adapter.copy(x)) if name in several else x for name, x in uses]
                found = function(*operands, *(arrays[name] for name in names[k - 1]))
                check_shape(adapter, node.operation, found, operands[0] if operands else None, shapes[k])
                values.append(tap(found))
            E = loss(values[-1], targets)
            return E if times is None else times(E)

        return error
