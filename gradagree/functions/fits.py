"""Factors along an axis that explain a wrong gradient: of its own entries, or of contributions inside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from gradagree.functions.backward import Backward
from gradagree.functions.enclosures import Expected

MOST_SLICES = 48
"""Length of an axis along which factors are distinguished."""
ROWS_PER_FACTOR = 2
"""Entries that each factor must explain."""


def bound_of(observed: np.ndarray, expected: Expected) -> float:
    """The largest tolerance; that of a gradient with larger entries is larger by as much."""
    size = float(np.max(np.abs(expected.value), initial=0.0))
    growth = float(np.max(np.abs(observed), initial=0.0)) / size if size else 1.0
    return float(np.max(expected.radius, initial=0.0)) * max(1.0, growth)


def factors_along_an_axis(observed: np.ndarray, expected: Expected) -> str | None:
    """The gradient that is right up to one factor for each index along an axis."""
    value, radius = expected.value, expected.radius
    for axis in range(value.ndim):
        v, o, r = (np.moveaxis(x, axis, 0).reshape(value.shape[axis], -1) for x in (value, observed, radius))
        wrong = (np.abs(o - v) > r).any(axis=1)
        if not wrong.any() or v.shape[1] < ROWS_PER_FACTOR or value.shape[axis] < 2:
            continue
        size = np.sum(v * v, axis=1)
        factor = np.sum(v * o, axis=1) / np.where(size > 0, size, 1)
        near = np.abs(o - factor[:, None] * v) <= 2 * np.maximum(1, np.abs(factor))[:, None] * r
        clear = np.sum(np.abs(v) > 4 * r, axis=1) >= ROWS_PER_FACTOR
        if near.all() and clear[wrong].all() and np.max(np.abs(factor)) > 0:
            return f"it has {listed(factor, wrong)} at {indices(wrong)} along axis {axis}"
    return None


def digits_of(factor: float) -> str:
    """Four digits, or as many as it takes to tell the number from 1, and one more."""
    return next((f"{factor:.{n + (n > 4)}g}" for n in range(4, 17) if f"{factor:.{n}g}" != "1"), "1")


def listed(factor: np.ndarray, wrong: np.ndarray) -> str:
    """``the factor 0.5``, ``the factors 0.5, 2, ...``."""
    found = list(dict.fromkeys(digits_of(x) for x in factor[wrong]))
    if len(found) == 1:
        return f"the factor {found[0]}, not 1,"
    return f"the factors {', '.join(found[:4])}{', ...' if len(found) > 4 else ''}, not 1,"


def indices(chosen: np.ndarray) -> str:
    """``indices 3 and 5``, ``indices from 4 on``, ``every index``."""
    at = np.flatnonzero(chosen)
    if len(at) == len(chosen):
        return "every index"
    if len(at) > 1 and at[-1] == len(chosen) - 1 and len(at) == len(chosen) - at[0]:
        return f"the indices from {at[0]} on"
    if len(at) > 1 and at[0] == 0 and len(at) == at[-1] + 1:
        return f"the indices up to {at[-1]}"
    return f"{'index' if len(at) == 1 else 'the indices'} {', '.join(map(str, at[:6]))}{', ...' if len(at) > 6 else ''}"


def contributions_along_an_axis(
    observed: np.ndarray, levels: Sequence[Expected], b: Backward
) -> Iterator[tuple[str, str]]:
    """(reason, place) of values inside whose contributions have wrong factors along one axis; outputs first."""
    outputs = [x.number for x in b.graph.outputs if hasattr(x, "number")]
    numbers = [*outputs, *(b.steps[k].output.number for k in reversed(b.live()))]
    for number in dict.fromkeys(numbers):
        g = b.cotangents[number]
        if g is None or not b.reaches[number]:
            continue
        for axis in range(np.ndim(g)):
            n = np.shape(g)[axis]
            if not 2 <= n <= MOST_SLICES or observed.size < ROWS_PER_FACTOR * n:
                continue
            found = fitted(observed, levels, b, number, axis)
            if found is not None:
                step = b.steps[number - len(b.graph.inputs)] if number >= len(b.graph.inputs) else None
                what = "the output" if number in outputs else "" if step is None else step.operation.name
                yield f"the contribution through {what} {found} along axis {axis}", "" if step is None else step.place


def fitted(observed: np.ndarray, levels: Sequence[Expected], b: Backward, number: int, axis: int) -> str | None:
    """What is wrong with the contributions along an axis of one value; None if they do not explain the gradient."""
    g = np.asarray(b.cotangents[number])
    columns = []
    for k in range(g.shape[axis]):
        part = np.zeros(g.shape)
        index = tuple([slice(None)] * axis + [k])
        part[index] = g[index]
        columns.append(b.push({number: part}).ravel())
    matrix = np.stack(columns, axis=1)
    used = np.abs(matrix).max(axis=0) > 0
    if used.sum() < 2 or np.linalg.matrix_rank(matrix[:, used]) < used.sum():
        return None
    for one in levels:
        rest = (observed - one.value).ravel()
        bound = bound_of(observed, one)
        factor = np.zeros(len(used))
        factor[used] = np.linalg.lstsq(matrix[:, used], rest, rcond=None)[0]
        clear = np.sum(np.abs(matrix) > 4 * bound, axis=0)
        if np.max(np.abs(rest - matrix @ factor)) > bound or clear.sum() < ROWS_PER_FACTOR * used.sum():
            continue
        wrong = np.max(np.abs(matrix * factor), axis=0) > 2 * bound
        if not wrong.any() or (wrong.all() and observed.size < 2 * ROWS_PER_FACTOR * len(used)):
            continue
        if np.max(np.abs(matrix[:, wrong] * (factor[wrong] + 1))) <= 4 * bound:
            return f"is missing at {indices(wrong)}"
        return f"has {listed(1 + factor, wrong)} at {indices(wrong)}"
    return None
