"""jax's mode ``packed`` for graphs of layers: one compiled program for each operation, in the shapes of its arrays.

Operations recur in a few shapes, so that a new architecture compiles little.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from gradagree.adapters.graph_problem import GraphProblem, use_name
from gradagree.adapters.graph_programs import check_shape, framework_array, layer_function, taps_of
from gradagree.adapters.problem import Answer
from gradagree.adapters.programs import near_mapping_limit
from gradagree.reference.architecture import value_shapes
from gradagree.reference.graph import INPUTS, value_name

if TYPE_CHECKING:
    from gradagree.adapters.adapter import Adapter


class PackedGraphs:
    """The gradient of graphs by programs of single nodes."""

    def __init__(self, adapter: Adapter) -> None:
        self.adapter, self.jax = adapter, adapter.framework
        self._programs: dict[Any, Any] = {}

    def answer(self, problem: GraphProblem) -> Answer:
        """The gradient, with all taps. Raises Unsupported where a layer has no implementation."""
        adapter, dtype = self.adapter, problem.dtype
        arrays = {name: self._array(problem, name, x) for name, x in problem.arrays.items()}
        targets = adapter.constant(problem.targets, dtype)
        weight = adapter.constant(np.array(problem.loss_weight), dtype)
        values, shapes = [adapter.array(problem.inputs, dtype)], value_shapes(problem.inputs.shape, problem.nodes)
        started = time.perf_counter()
        calls = []
        for node, names in zip(problem.nodes, problem.names_by_node, strict=True):
            moving = [values[i] for i in node.inputs] + [arrays[n] for n in names if n in problem.trained]
            order = [n in problem.trained for n in names]
            fixed = [arrays[n] for n in names if n not in problem.trained]
            shape = shapes[len(values)]
            key = (node.operation, len(node.inputs), *order, shape)
            program = self._program(key, node_program, node.operation, order, shape)
            calls.append((program, moving, fixed, [n for n in names if n in problem.trained]))
            values.append(program(moving, fixed, adapter.array(np.zeros(shape), dtype))[0])
        E, delta = self._program(("loss", problem.error), loss_program, problem.error)(values[-1], targets, weight)
        cotangents, gradients, sums = {value_name(len(problem.nodes)): delta}, dict[str, Any](), dict[int, Any]()
        sums[len(problem.nodes)] = delta
        for k in range(len(problem.nodes), 0, -1):
            program, moving, fixed, names = calls[k - 1]
            _, found = program(moving, fixed, sums[k])
            for place, i in enumerate(problem.nodes[k - 1].inputs):
                cotangents[use_name(i, k, place)] = found[place]
                sums[i] = sums[i] + found[place] if i in sums else found[place]
                cotangents[value_name(i)] = sums[i]
            gradients |= dict(zip(names, found[len(problem.nodes[k - 1].inputs) :], strict=True))
        seconds = time.perf_counter() - started
        names = taps_of(problem.nodes)
        back = {value_name(k): adapter.back(x) for k, x in enumerate(values)}
        return Answer(
            float(adapter.back(E)),
            {INPUTS: back[INPUTS], **{name: back[name.partition(">")[0]] for name in names}},
            {name: adapter.back(cotangents[name]) for name in (INPUTS, *names)},
            {name: adapter.back(gradients[name]) for name in problem.trained},
            seconds,
        )  # fmt: skip

    def _array(self, problem: GraphProblem, name: str, x: np.ndarray) -> Any:
        make = self.adapter.array if name in problem.trained else None
        return framework_array(self.adapter, x, problem.dtype) if make is None else make(x, problem.dtype)

    def _program(self, key: Any, make: Callable[..., Any], *arguments: Any) -> Any:
        """The jitted program of a key; jax compiles it for each dtype and shape."""
        if key not in self._programs:
            if near_mapping_limit():
                self._programs.clear()
                self.adapter.forget()
            self._programs[key] = self.jax.jit(make(self.adapter, *arguments))
        return self._programs[key]


def node_program(adapter: Any, operation: Any, trained: list[bool], shape: tuple[int, ...]) -> Callable[..., Any]:
    """The value of a node, and the vjp of its inputs and trained arrays; trained says which of its arrays are."""
    function = layer_function(adapter, operation)

    def value_and_vjp(moving: list[Any], fixed: list[Any], g: Any) -> Any:
        inputs = len(moving) - sum(trained)

        def value(moving: list[Any]) -> Any:
            rest, constants = iter(moving[inputs:]), iter(fixed)
            found = function(*moving[:inputs], *(next(rest if own else constants) for own in trained))
            check_shape(adapter, operation, found, moving[0] if inputs else None, shape)
            return found

        found, vjp = adapter.framework.vjp(value, moving)
        return found, vjp(g)[0]

    return value_and_vjp


def loss_program(adapter: Any, error: Any) -> Callable[..., Any]:
    """The loss and its gradient by the outputs."""
    loss = adapter.implementation(error)

    def weighted(o: Any, t: Any, weight: Any) -> Any:
        return loss(o, t) * weight

    found: Callable[..., Any] = adapter.framework.value_and_grad(weighted)
    return found
