"""Rounding errors of a graph by sampling: the probabilistic tolerance where the errors are not independent.

Variance arithmetic adds the variances of the errors of all operands. Where a value is used more than once (x + x + x, a
normaliser shared by a row, sums of equal entries) their errors are equal, and the variance is larger. A sample adds to
every result of an operation a random error of the size that the model gives it, equal for equal results, and so follows
every error through all its uses. Stochastic arithmetic: Vignes, Mathematics and Computers in Simulation 35 (1993).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from gradagree.arithmetic.dual import Dual, tangent_of
from gradagree.arithmetic.model import Model
from gradagree.arithmetic.variance import Variance
from gradagree.reference.graph import Application, Graph, Value, combine
from gradagree.reference.operations.casts import CAST

SAMPLES = 16
WIDTH = np.sqrt(3.0)
"""Half the width of a uniform distribution of variance 1."""
MIX = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
"""The constants of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)."""


def noise(x: np.ndarray, key: int) -> np.ndarray:
    """Numbers uniform in [-sqrt 3, sqrt 3] that depend only on the key and on each entry's value."""
    bits = np.ascontiguousarray(np.asarray(x, dtype=np.float64) + 0.0).view(np.uint64)
    with np.errstate(over="ignore"):
        z = bits + np.uint64(key * MIX[0] % 2**64)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(MIX[1])
        z = (z ^ (z >> np.uint64(27))) * np.uint64(MIX[2])
    return np.asarray(((z ^ (z >> np.uint64(31))) >> np.uint64(11)) * (2.0**-52 * WIDTH) - WIDTH).reshape(np.shape(x))


class Sampler:
    """The size of each operation's own error, for sampling the errors of a graph.

    Args:
        graph: The reference.
        inputs: Its inputs.
        cotangents: Those of its outputs, or None.
        inside: The rounding model.
    """

    def __init__(self, graph: Graph, inputs: Sequence[Any], cotangents: Sequence[Any], inside: Model) -> None:
        self.graph, self.inputs, self.cotangents, self.inside = graph, inputs, cotangents, inside
        with np.errstate(all="ignore"):
            self.values = graph.evaluate(inputs)
            self.gradients = graph.all_cotangents(self.values, cotangents)
            self.models = self.models_of(graph)
            self.own = [self.own_error(k) for k in range(len(graph.applications))]
            self.passed = [self.passed_errors(k) for k in range(len(graph.applications))]

    def models_of(self, graph: Graph) -> tuple[list[Model], list[Model]]:
        """The rounding models of the values and of their cotangents, which conversions to other formats change."""
        if all(step.operation is not CAST for step in graph.applications):
            return [self.inside] * graph.size, [self.inside] * graph.size
        known = Variance.stored(0.0, self.inside)
        values = graph.evaluate([known._lift(x) if np.asarray(x).dtype.kind == "f" else x for x in self.inputs])
        seeds = [None if g is None else known._lift(g) for g in self.cotangents]
        found = values, graph.all_cotangents(values, seeds)
        first, second = ([getattr(x, "model", self.inside) for x in xs] for xs in found)
        return first, second

    def lift(self, x: Any, model: Model) -> Any:
        return Variance.stored(x, model) if np.asarray(x).dtype.kind == "f" else x

    def exact(self, k: int) -> list[Any]:
        """The operands of an application, as numbers without error."""
        places = self.graph.applications[k].operands
        return [
            self.lift(self.values[x.number], self.models[0][x.number]) if isinstance(x, Value) else x for x in places
        ]

    def own_error(self, k: int) -> Any:
        """The standard deviation of an operation's own error."""
        step = self.graph.applications[k]
        return deviation(step.operation.function(*self.exact(k), **step.parameters))

    def passed_errors(self, k: int) -> list[Any]:
        """The same for what its vjp passes to its operands."""
        step = self.graph.applications[k]
        g = self.gradients[step.output.number]
        if g is None or step.operation.vjp is None:
            return []
        of_value, of_cotangent = (models[step.output.number] for models in self.models)
        y = self.lift(self.values[step.output.number], of_value)
        given = step.operation.vjp(self.lift(g, of_cotangent), y, *self.exact(k), **step.parameters)
        return [deviation(x) for x in given]

    def sample(self, seed: int) -> tuple[list[Any], list[Any]]:
        """(outputs, gradients) with one draw of all errors."""
        graph, keys = self.graph, iter(range(seed << 32, (seed + 1) << 32))

        def with_error(x: Any, size: Any) -> Any:
            key = next(keys)
            return x if isinstance(size, float) and size == 0 else x + size * noise(x, key)

        values = [*self.inputs]
        for step, size in zip(graph.applications, self.own, strict=True):
            found = step.operation.function(*graph.operands(step, values), **step.parameters)
            values.append(with_error(found, size))
        parts: list[list[Any]] = [[] for _ in range(graph.size)]
        for output, cotangent in zip(graph.outputs, self.cotangents, strict=True):
            if isinstance(output, Value) and cotangent is not None:
                parts[output.number].append(cotangent)

        def total(k: int) -> Any:
            found = combine(parts[k], None)
            return found if len(parts[k]) < 2 else with_error(found, self.models[1][k].u * np.abs(found) / WIDTH)

        for step, sizes in zip(reversed(graph.applications), reversed(self.passed), strict=True):
            if (g := total(step.output.number)) is None or step.operation.vjp is None:
                continue
            operands = graph.operands(step, values)
            given = step.operation.vjp(g, values[step.output.number], *operands, **step.parameters)
            for operand, cotangent, size in zip(step.operands, given, sizes, strict=False):
                if isinstance(operand, Value) and cotangent is not None:
                    parts[operand.number].append(with_error(cotangent, size))
        return graph.results(values), [total(k) for k in range(len(graph.inputs))]


def deviation(x: Any) -> Any:
    """The standard deviation of a result; 0 for one without error."""
    return x.deviation if isinstance(x, Variance) and not x.exact else 0.0


def sampled_deviations(
    graph: Graph, inputs: Sequence[Any], cotangents: Sequence[Any], inside: Model, count: int = SAMPLES
) -> tuple[list[Any], list[Any]]:
    """The standard deviations of the outputs and gradients of a graph, from samples of all rounding errors.

    Args:
        graph: The reference.
        inputs: One array for each input, as float64.
        cotangents: One for each output; None for an output without one.
        inside: The rounding model.
        count: Number of samples.

    Returns:
        Two lists of arrays; None for an input that no output depends on.
    """
    return Samples(Sampler(graph, inputs, cotangents, inside), count).deviations(count)


class Samples:
    """The sampled deviations of a graph, of which some samples give a lower bound.

    Args:
        sampler: Draws the samples.
        count: Number of samples of which the deviations are the root mean square.
    """

    def __init__(self, sampler: Sampler, count: int = SAMPLES) -> None:
        self.sampler, self.count, self.drawn = sampler, count, 0
        graph = sampler.graph
        self.exact = graph.results(sampler.values), sampler.gradients[: len(graph.inputs)]
        self.squares: tuple[list[Any], list[Any]] = ([0.0] * len(self.exact[0]), [0.0] * len(self.exact[1]))

    def deviations(self, least: int) -> tuple[list[Any], list[Any]]:
        """The deviations of all samples of which at least this many are drawn, as if the others had no error."""
        with np.errstate(all="ignore"):
            for seed in range(self.drawn, least):
                for total, right, found in zip(self.squares, self.exact, self.sampler.sample(seed), strict=True):
                    for k, (x, y) in enumerate(zip(right, found, strict=True)):
                        total[k] = None if x is None else total[k] + np.square(np.asarray(y, float) - x)
            self.drawn = max(self.drawn, least)
            roots = [[None if s is None else np.sqrt(s / self.count) for s in total] for total in self.squares]
        return roots[0], roots[1]


def sampled_tangents(
    graph: Graph, inputs: Sequence[Any], tangents: Sequence[Any], inside: Model, count: int = SAMPLES
) -> list[Any]:
    """As `sampled_deviations`, the standard deviations of the tangents of the outputs.

    Args:
        graph: The reference.
        inputs: One array for each input, as float64.
        tangents: One for each input; None for an input that is a constant.
        inside: The rounding model.
        count: Number of samples.
    """
    given = [x if t is None else Dual(x, t) for x, t in zip(inputs, tangents, strict=True)]
    with np.errstate(all="ignore"):
        exact = graph.evaluate(given)
        own = [own_errors(step, exact, inside) for step in graph.applications]
        right = [np.asarray(tangent_of(y), float) for y in graph.results(exact)]
        squares = [np.zeros(t.shape) for t in right]
        for seed in range(count):
            keys, values = iter(range(seed << 32, (seed + 1) << 32)), [*given]
            for step, sizes in zip(graph.applications, own, strict=True):
                found = step.operation.function(*graph.operands(step, values), **step.parameters)
                values.append(disturbed(found, sizes, keys))
            for total, t, y in zip(squares, right, graph.results(values), strict=True):
                total += np.square(np.asarray(tangent_of(y), float) - t)
    return [np.sqrt(s / count) for s in squares]


def own_errors(step: Application, exact: Sequence[Any], inside: Model) -> tuple[Any, Any]:
    """The standard deviations of an operation's own errors: of its value, and of its tangent."""

    def lifted(x: Any) -> Any:
        if isinstance(x, Dual):
            return Dual(lifted(x.value), lifted(x.tangent))
        return Variance.stored(x, inside) if np.asarray(x).dtype.kind == "f" else x

    operands = [lifted(exact[x.number]) if isinstance(x, Value) else x for x in step.operands]
    found = step.operation.function(*operands, **step.parameters)
    return (deviation(found.value), deviation(found.tangent)) if isinstance(found, Dual) else (deviation(found), 0.0)


def disturbed(x: Any, sizes: tuple[Any, Any], keys: Iterator[int]) -> Any:
    """A value and its tangent with random errors of these sizes."""
    if isinstance(x, Dual):
        return Dual(disturbed(x.value, (sizes[0], 0.0), keys), disturbed(x.tangent, (sizes[1], 0.0), keys))
    key, size = next(keys), sizes[0]
    return x if isinstance(size, float) and size == 0 else x + size * noise(x, key)
