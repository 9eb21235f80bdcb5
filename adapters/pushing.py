"""Forward mode, and its taps: each box's c with its tangents, which are outputs like E."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from gradagree.adapters.assembling import by_node
from gradagree.adapters.problem import Answer, Backend, Problem, directions, nothing, owned
from gradagree.adapters.programs import Architecture
from gradagree.reference.graph import INPUTS

ROOM = 1 << 20
"""Numbers that all tangents may have together; beyond, those of the inputs are left out."""


def watched(adapter: Backend, problem: Problem, targets: Any) -> Callable[[list[Any]], list[Any]]:
    """From the leaves to E and each box's c."""
    error = adapter.error_of(Architecture.of(problem))

    def program(leaves: list[Any]) -> list[Any]:
        seen: list[Any] = []

        def tap(c: Any) -> Any:
            seen.append(c)
            return c

        return [error(leaves, targets, tap), *seen]

    return program


def along(adapter: Backend, problem: Problem) -> Answer:
    """In a few directions; the inputs stay where they are."""
    leaves, targets, _ = adapter.operands(problem)
    program = watched(adapter, problem, targets)
    still = adapter.array(np.zeros(problem.inputs.shape), problem.dtype)
    started = time.perf_counter()
    pairs = []
    for direction in directions(problem):
        tangents = [still, *(adapter.array(x, problem.dtype) for x in direction)]
        pairs.append(adapter.slope(program, leaves, tangents))
    seconds = time.perf_counter() - started
    slopes = [np.stack(some) for some in zip(*([adapter.back(x) for x in slope] for _, slope in pairs), strict=True)]
    return _answer(problem, [adapter.back(x) for x in pairs[0][0]], slopes, seconds)


def pushed(adapter: Backend, problem: Problem) -> Answer:
    """In every coordinate of the weights, and of the inputs where there is room."""
    leaves, targets, _ = adapter.operands(problem)
    program = watched(adapter, problem, targets)
    started = time.perf_counter()
    found, slopes = program(leaves), adapter.jacobian(program, leaves)
    seconds = time.perf_counter() - started
    room = sum(x.size for x in nothing(problem)) * sum(x.size for x in (problem.inputs, *owned(problem))) <= ROOM
    read = [adapter.back(x) for x in found]
    lined = [_lined(x.shape, map(adapter.back, by if room else by[1:])) for x, by in zip(read, slopes, strict=True)]
    return _answer(problem, read, lined, seconds)


def _lined(shape: tuple[int, ...], slopes: Iterable[np.ndarray]) -> np.ndarray:
    """The derivatives of an array of that shape by some leaves, on one first axis."""
    return np.moveaxis(np.concatenate([x.reshape(*shape, -1) for x in slopes], axis=-1), -1, 0)


def _answer(problem: Problem, found: list[np.ndarray], slopes: list[np.ndarray], seconds: float) -> Answer:
    E, *inside = found
    values = {INPUTS: np.asarray(problem.inputs, dtype=np.float64), **by_node(inside)}
    slope, *tangents = slopes
    return Answer(float(E), values, seconds=seconds, along=tuple(slope.tolist()), tangents=by_node(tangents))
