"""Changes of several operations of a backward pass at once: pairs, loops, values that are overwritten or stale."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np

from gradagree.functions.backward import Backward
from gradagree.functions.backward_change import BackwardChange
from gradagree.reference.graph import Value

MOST_PAIRS = 64
"""Contributions of which pairs are left out."""
LEAST_LOOP = 3
"""Steps that are taken for a loop."""
PERIODS = (1, 2, 3, 4)
MOST_LATER = 4


def pairs_of_contributions(b: Backward) -> Iterator[BackwardChange]:
    """Two contributions that are missing at once, such as those of a mean and of a variance."""
    found = []
    for k in b.live():
        for place, x in enumerate(b.contributions(k)):
            share = None if x is None else b.changed(k, place, np.zeros(np.shape(x)))
            if share is not None and share.any():
                found.append((k, place))
    for first, second in itertools.combinations(found[:MOST_PAIRS], 2):
        dropped: dict[int, set[int]] = defaultdict(set)
        for k, place in (first, second):
            dropped[k].add(place)
        names = " and ".join(b.steps[k].operation.name for k, _ in (first, second))
        gradient = b.with_vjps({k: dropping(b, k, places) for k, places in dropped.items()})
        yield BackwardChange(
            f"the contributions through {names} are missing", gradient - b.gradient, b.steps[first[0]].place
        )


def dropping(b: Backward, k: int, places: set[int]) -> Any:
    vjp = b.steps[k].operation.vjp
    assert vjp is not None
    return lambda *args, **kwargs: [None if p in places else x for p, x in enumerate(vjp(*args, **kwargs))]


# Loops, which are steps of one kind after each other.


def loops(b: Backward) -> Iterator[BackwardChange]:
    """Steps of a loop that all miss a contribution, or all use an operand of another step."""
    for members in loops_of(b):
        name, place = b.steps[members[0]].operation.name, b.steps[members[0]].place
        for q, x in enumerate(b.steps[members[0]].operands):
            if isinstance(x, Value):
                gradient = b.with_vjps({k: dropping(b, k, {q}) for k in members})
                reason = f"the contribution through {name} is missing in all {len(members)} steps of a loop"
                yield BackwardChange(reason, gradient - b.gradient, place)
            for reason, given in loop_operands(b, members, q):
                gradient = b.with_vjps({k: using(b, k, q, other) for k, other in given.items()})
                yield BackwardChange(f"the derivative of {name} in a loop uses {reason}", gradient - b.gradient, place)


def loops_of(b: Backward) -> Iterator[list[int]]:
    """Numbers of steps that have one operation and shapes of operands, every step of the loop or every second one."""
    groups: dict[Any, list[int]] = defaultdict(list)
    for k in b.live():
        groups[b.steps[k].operation.name, tuple(map(shape_of, b.operands(k)))].append(k)
    for group in groups.values():
        for period in PERIODS:
            for start in range(period):
                if len(group[start::period]) >= LEAST_LOOP:
                    yield group[start::period]


def shape_of(x: Any) -> tuple[int, ...]:
    return x.shape if isinstance(x, np.ndarray) else ()


def loop_operands(b: Backward, members: list[int], q: int) -> Iterator[tuple[str, dict[int, Any]]]:
    if b.steps[members[0]].operation.name not in ("multiply", "divide", "matmul", "where", "power"):
        return
    own = [b.operands(k)[q] for k in members]
    if not all(isinstance(x, np.ndarray) for x in own):
        return
    yield "the operand of the first step in all steps", dict.fromkeys(members, own[0])
    yield "the operand of the last step in all steps", dict.fromkeys(members, own[-1])
    for last in [own[-1], *later(b, members[-1], own[-1].shape)]:
        yield "the operand of the next step", dict(zip(members, [*own[1:], last], strict=True))
    yield "the operand of the step before", dict(zip(members, [own[0], *own[:-1]], strict=True))


def later(b: Backward, k: int, shape: tuple[int, ...]) -> list[np.ndarray]:
    """The next results of this shape, of which one may be the operand of a further step."""
    values = b.values[b.steps[k].output.number :]
    return [x for x in values if isinstance(x, np.ndarray) and x.shape == shape][:MOST_LATER]


def using(b: Backward, k: int, q: int, other: Any) -> Any:
    """The vjp of a step with another operand."""
    vjp = b.steps[k].operation.vjp
    assert vjp is not None

    def call(g: Any, y: Any, *xs: Any, **kwargs: Any) -> Any:
        return vjp(g, y, *[other if p == q else x for p, x in enumerate(xs)], **kwargs)

    return call


def overwritten(b: Backward) -> Iterator[BackwardChange]:
    """The cotangent of another value in place of that of an operation, as in a buffer that was written to before."""
    for k in reversed(b.live()):
        g, number = b.cotangent(k), b.steps[k].output.number
        own = b.push({number: g})
        name, after = b.steps[k].operation.name, b.depending(number)
        others = [("uses the cotangent of an argument: it is overwritten", b.gradient - own)]
        for n in b.live():
            result = f"the result of {b.steps[n].operation.name}"
            if after[b.steps[n].output.number]:
                others.append((f"and of what follows up to {result} is not applied", b.cotangent(n)))
            else:
                others.append((f"uses the cotangent of {result}: it is overwritten", b.cotangent(n)))
        for reason, other in others:
            if np.shape(other) == np.shape(g) and np.ndim(g) and not np.array_equal(other, g):
                yield BackwardChange(
                    f"the derivative of {name} {reason}", b.push({number: other}) - own, b.steps[k].place
                )


def computed_again(b: Backward) -> Iterator[BackwardChange]:
    """The backward pass that computes an intermediate value again, from the value itself in place of its input."""
    for j in range(len(b.graph.inputs)):
        for k in range(len(b.steps)):
            v = b.values[b.steps[k].output.number]
            if np.shape(v) != np.shape(b.values[j]) or np.ndim(v) == 0:
                continue
            again = b.graph.evaluate([v if n == j else x for n, x in enumerate(b.values[: len(b.graph.inputs)])])
            number = b.steps[k].output.number
            values = [*b.values[:number], again[number]]
            for step in b.steps[k + 1 :]:
                values.append(step.operation.function(*b.graph.operands(step, values), **step.parameters))
            b.spend(2 * b.size)
            found = b.graph.vjp(values, b.seeds)[b.argument]
            if found is not None:
                reason = f"the backward pass applies {b.steps[k].operation.name} to a result of it again"
                yield BackwardChange(reason, found - b.gradient, b.steps[k].place)
