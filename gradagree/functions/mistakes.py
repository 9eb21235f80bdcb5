"""Common mistakes in backward passes, recognised by the gradient that they give."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from gradagree.functions.enclosures import Expected, is_floating
from gradagree.functions.parts import Parts
from gradagree.reference.graph import Application, Graph, Value

MOST_EDGES = 256
MOST_WORK = 1 << 26
"""Entries times edges up to which single contributions are left out one after the other."""

CONVERSIONS = ("cast", "copy", "positive", "rounded")
"""Operations of one array that change its dtype at most."""

LEAST_ENTRIES = 3
"""Entries that one factor must explain."""


class Mistake(NamedTuple):
    """What the observed gradient is: a sentence, and the place in the reference that it concerns."""

    reason: str
    place: str = ""


def recognise(
    observed: np.ndarray | None, expected: Expected, others: Mapping[str, Expected], inputs: Sequence[np.ndarray]
) -> Mistake | None:
    """The mistake that explains all entries of a wrong gradient by the right gradients, or None.

    Args:
        observed: The wrong gradient.
        expected: The right one with its tolerance.
        others: The gradients of the other arguments by their names.
        inputs: The inputs of the reference.
    """
    with np.errstate(all="ignore"):
        if observed is None or explains(observed, expected.value, expected.radius):
            return None
        return of_the_array(observed, expected, others, [*map(np.shape, inputs)])


def wrong_contribution(
    observed: np.ndarray | None, expected: Expected, graph: Graph, inputs: Sequence[np.ndarray],
    cotangents: Sequence[Any], argument: int,
) -> Mistake | None:  # fmt: skip
    """As `recognise`, by the contributions of single operations of the reference, for cotangents of its outputs."""
    with np.errstate(all="ignore"):
        if observed is None or observed.shape != expected.value.shape:
            return None
        if explains(observed, expected.value, expected.radius):
            return None
        return of_one_contribution(observed, expected, graph, inputs, cotangents, argument) or of_a_sum(
            observed, expected, graph, inputs, cotangents, argument
        )


def without_conjugate(
    observed: np.ndarray | None, expected: Sequence[Expected], graph: Graph, inputs: Sequence[np.ndarray],
    cotangents: Sequence[Any], argument: int, parts: tuple[Parts, Parts],
) -> Mistake | None:  # fmt: skip
    """The gradient g f' of a complex argument in place of g conj(f'), which is conj(conj(g) conj(f'))."""
    own = parts[0][argument]
    if observed is None or not own.name:
        return None
    turned = [-g if part.name == "imag" and g is not None else g for part, g in zip(parts[1], cotangents, strict=True)]
    with np.errstate(all="ignore"):
        found = graph.vjp(graph.evaluate(inputs), turned)[argument]
    if found is None:
        return None
    value = -found if own.name == "imag" else found
    if any(explains(observed, value, uniform(one)) for one in expected):
        return Mistake("a conjugate is missing: it is the cotangent times the derivative, not its conjugate")
    return None


def explains(observed: np.ndarray, value: np.ndarray, radius: np.ndarray) -> bool:
    """True if every entry is within its tolerance, and not by tolerances that explain anything."""
    if observed.shape != value.shape or not np.isfinite(observed).all():
        return False
    return bool(np.all(np.abs(observed - value) <= radius) and np.max(radius, initial=0) < np.max(np.abs(value)))


def uniform(expected: Expected) -> np.ndarray:
    """The largest tolerance for all entries: another sum has its largest entries elsewhere."""
    return np.full(expected.value.shape, np.max(expected.radius, initial=0.0))


def of_the_array(
    observed: np.ndarray, expected: Expected, others: Mapping[str, Expected], shapes: Sequence[tuple[int, ...]]
) -> Mistake | None:
    """Mistakes that need the right gradients only."""
    value, radius = expected.value, expected.radius
    if observed.shape != value.shape:
        if explains(observed, value.T, radius.T):
            return Mistake("it is the transposed gradient")
        return None
    if not observed.any():
        return Mistake("it is 0 everywhere")
    scaled = scale(observed, expected, shapes)
    if scaled is not None:
        return Mistake(scaled)
    if (moved := rearranged(observed, value, radius)) is not None:
        return moved
    for name, other in others.items():
        if explains(observed, other.value, other.radius):
            return Mistake(f"it is the gradient of {name}")
    return masked(observed, value, radius)


def rearranged(observed: np.ndarray, value: np.ndarray, radius: np.ndarray) -> Mistake | None:
    """The right entries in other places."""
    for a, b in itertools.combinations(range(value.ndim), 2):
        turned = np.swapaxes(value, a, b)
        if turned.shape == value.shape and explains(observed, turned, np.swapaxes(radius, a, b)):
            return Mistake("it is the transposed gradient")
    if value.ndim > 1 and value.shape[-1] == value.shape[-2]:
        turned, other = np.swapaxes(value, -1, -2), np.swapaxes(observed, -1, -2)
        if explains(observed + other, value + turned, radius + np.swapaxes(radius, -1, -2)):
            return Mistake("only its symmetric part is right: the gradient of one triangle has a share in the other")
    for axis in range(value.ndim):
        if explains(observed, np.flip(value, axis), np.flip(radius, axis)):
            return Mistake(f"it is the gradient in reverse order along axis {axis}")
    return None


def masked(observed: np.ndarray, value: np.ndarray, radius: np.ndarray) -> Mistake | None:
    """A mask that was not applied, or one that should not have been."""
    wrong = ~(np.abs(observed - value) <= radius)
    n = int(wrong.sum())
    if n in (0, wrong.size):
        return None
    if np.all((value == 0)[wrong]):
        return Mistake(
            f"{n} entries are not 0 where the gradient is 0, and the others are right: a mask is not applied"
        )
    if np.all((observed == 0)[wrong]):
        return Mistake(f"{n} entries are 0 where the gradient is not, and the others are right")
    return None


def scale(observed: np.ndarray, expected: Expected, shapes: Sequence[tuple[int, ...]]) -> str | None:
    """The gradient times a number that means something: -1, 2, 1/2, a length of an axis, a number of entries."""
    value, radius = expected.value, expected.radius
    factor = fitted_factor(observed, value)
    for number, meaning in factors(shapes):
        near = abs(factor - number) <= 2 * abs(number) * float(np.max(radius)) / max(
            float(np.max(np.abs(value))), 1e-300
        )
        if near and explains(observed, number * value, abs(number) * radius):
            return meaning
    if np.count_nonzero(np.abs(value) > 4 * radius) >= LEAST_ENTRIES and explains(
        observed, factor * value, 2 * max(abs(factor), 1.0) * radius
    ):
        return f"it is {factor:.4g} times the gradient: a constant factor is wrong"
    return None


def fitted_factor(observed: np.ndarray, value: np.ndarray) -> float:
    """The number c for which c value is nearest to the observed array."""
    size = float(np.vdot(value, value))
    return float(np.vdot(value, observed)) / size if size > 0 else math.nan


def factors(shapes: Sequence[tuple[int, ...]]) -> Iterator[tuple[float, str]]:
    """Factors of common mistakes, with what they say about the gradient."""
    yield -1.0, "it has the wrong sign"
    yield 2.0, "it is 2 times the gradient: a factor 1/2 is missing"
    yield 0.5, "it is half the gradient: a factor 2 is missing"
    yield -2.0, "it is -2 times the gradient"
    yield -0.5, "it is -1/2 times the gradient"
    lengths = {n for shape in shapes for n in shape} | {math.prod(shape) for shape in shapes}
    for n in sorted(lengths - {0, 1, 2}):
        yield float(n), f"it is {n} times the gradient: a sum where there is a mean over {n} entries"
        yield 1.0 / n, f"it is 1/{n} of the gradient: a mean where there is a sum over {n} entries"
        yield math.sqrt(n), f"it is sqrt({n}) times the gradient: a factor 1/sqrt({n}) is missing"
        yield 1 / math.sqrt(n), f"it is 1/sqrt({n}) of the gradient: a factor sqrt({n}) is missing"


# Single contributions.


def of_one_contribution(
    observed: np.ndarray, expected: Expected, graph: Graph, inputs: Sequence[np.ndarray], cotangents: Sequence[Any],
    argument: int,
) -> Mistake | None:  # fmt: skip
    """One consumer of one value whose contribution is missing, has the wrong sign or a wrong factor."""
    values = graph.evaluate(inputs)
    edges = [
        (k, place)
        for k, step in enumerate(graph.applications)
        for place, x in enumerate(step.operands)
        if isinstance(x, Value) and is_floating(values[x.number])
    ]
    work = sum(np.size(x) for x in values)
    if len(edges) > MOST_EDGES or work * len(edges) > MOST_WORK:
        return None
    full = gradient_without(graph, values, cotangents, None)[argument]
    if full is None:  # no output depends on the argument
        return None
    for edge in edges:
        without = gradient_without(graph, values, cotangents, edge)[argument]
        share = full - (0.0 if without is None else without)
        if not share.any():
            continue
        step = graph.applications[edge[0]]
        for factor, meaning in ((0.0, "is missing"), (-1.0, "has the wrong sign"), (2.0, "is counted twice")):
            changed = expected.value + (factor - 1) * share
            if explains(observed, changed, uniform(expected)):
                return Mistake(f"the contribution through {step.operation.name} {meaning}", step.place)
    for k, step in enumerate(graph.applications):
        passed = passing_unchanged(graph, values, cotangents, k)
        if passed is not None and explains(observed, passed[argument], uniform(expected)):
            return Mistake(f"the derivative of {step.operation.name} is not applied", step.place)
    return None


def gradient_without(
    graph: Graph, values: Sequence[Any], cotangents: Sequence[Any], edge: tuple[int, int] | None
) -> list[Any]:
    """The gradients of the inputs without the contribution of one operation to one of its operands."""
    if edge is None:
        return graph.vjp(values, cotangents)
    k, place = edge
    step = graph.applications[k]

    def vjp(*args: Any, **kwargs: Any) -> list[Any]:
        assert step.operation.vjp is not None
        given = list(step.operation.vjp(*args, **kwargs))
        if place < len(given):
            given[place] = None
        return given

    return with_vjp(graph, k, vjp).vjp(values, cotangents)


def with_vjp(graph: Graph, k: int, vjp: Any) -> Graph:
    """The graph with another vjp of one application."""
    steps = list(graph.applications)
    step = steps[k]
    if step.operation.vjp is None:
        return graph
    operation = type(step.operation)(step.operation.name, step.operation.function, vjp)
    steps[k] = Application(operation, step.operands, step.parameters, step.output, step.place)
    return Graph(graph.inputs, steps, graph.outputs)


def passing_unchanged(graph: Graph, values: Sequence[Any], cotangents: Sequence[Any], k: int) -> list[Any] | None:
    """The gradients where one function of one array passes the cotangent on as it is."""
    step = graph.applications[k]
    floats = [x for x in step.operands if isinstance(x, Value)]
    if len(step.operands) != 1 or len(floats) != 1:
        return None
    if np.shape(values[floats[0].number]) != np.shape(values[step.output.number]):
        return None
    return with_vjp(graph, k, lambda g, y, x, **_: (g,)).vjp(values, cotangents)


def of_a_sum(
    observed: np.ndarray, expected: Expected, graph: Graph, inputs: Sequence[np.ndarray], cotangents: Sequence[Any],
    argument: int,
) -> Mistake | None:  # fmt: skip
    """The sum over another axis than the one along which an argument was broadcast; or only one of its terms."""
    use = only_use(graph, argument)
    if use is None:
        return None
    step, place = use
    terms = summed_terms(graph, inputs, cotangents, step, place)
    if terms is None:
        return None
    every = range(terms.ndim)
    sums = [(axes, np.sum(terms, axis=axes)) for n in (1, 2) for axes in itertools.combinations(every, n)]
    for axes, other in sums:
        if other.size not in (1, observed.size):
            continue
        filled = np.full(observed.shape, other) if other.size == 1 else np.reshape(other, observed.shape)
        if explains(observed, filled, uniform(Expected(filled, expected.radius))):
            along = " and ".join(map(str, axes))
            return Mistake(f"it is summed over axis {along}, not over the broadcast axes", step.place)
    for first in (np.take(terms, 0, axis=axis) for axis in every):
        if first.size == observed.size and explains(observed, np.reshape(first, observed.shape), uniform(expected)):
            return Mistake("it is not summed over the broadcast axes: only their first entry is taken", step.place)
    return None


def only_use(graph: Graph, number: int) -> tuple[Application, int] | None:
    """The operation that uses a value, and as which operand; behind conversions. None if there are several."""
    operands = [(step, k, x) for step in graph.applications for k, x in enumerate(step.operands)]
    uses = [(step, k) for step, k, x in operands if isinstance(x, Value) and x.number == number]
    if len(uses) != 1:
        return None
    step = uses[0][0]
    return only_use(graph, step.output.number) if step.operation.name in CONVERSIONS else uses[0]


def summed_terms(
    graph: Graph, inputs: Sequence[np.ndarray], cotangents: Sequence[Any], step: Application, place: int
) -> np.ndarray | None:
    """The cotangent of a broadcast operand before its sum over the broadcast axes; None if there is no such sum."""
    values = graph.evaluate(inputs)
    operands, y = graph.operands(step, values), values[step.output.number]
    g = graph.all_cotangents(values, cotangents)[step.output.number]
    if g is None or step.operation.vjp is None or np.shape(operands[place]) == np.shape(y):
        return None
    if step.operation.name == "broadcast_to":
        return np.asarray(g)
    try:
        operands[place] = np.broadcast_to(operands[place], np.shape(y))
        terms = np.asarray(step.operation.vjp(g, y, *operands, **step.parameters)[place])
    except (ValueError, TypeError):  # no operation entry by entry
        return None
    return terms if terms.shape == np.shape(y) else None
