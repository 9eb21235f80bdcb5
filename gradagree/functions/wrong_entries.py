"""Where a gradient is wrong: the places and the numbers of the arguments that the wrong entries have in common."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from gradagree.functions.enclosures import Expected, is_floating

LEAST_COVERED = 0.6
"""Share of the entries with a property that must be wrong, so that the property says where they are."""

MOST_ROWS = 8
"""Rows that a message lists."""

Property = tuple[np.ndarray, str]
"""True for the entries that have it, and what it says."""


def wrong_where(
    observed: np.ndarray | None, expected: Expected, inputs: Sequence[np.ndarray], names: Sequence[str], argument: int
) -> str:
    """What the wrong entries of a gradient have in common; empty if nothing is known, or if all are wrong.

    Args:
        observed: The wrong gradient.
        expected: The right one with its tolerance.
        inputs: The arguments.
        names: Their names.
        argument: The number of the argument that the gradient belongs to.
    """
    value = expected.value
    if observed is None or observed.shape != value.shape or value.ndim == 0:
        return ""
    with np.errstate(all="ignore"):
        wrong = ~(np.abs(observed - value) <= expected.radius)
    if not 0 < (n := int(wrong.sum())) < wrong.size:
        return ""
    numbers = itertools.chain(of_numbers(inputs, names, argument), of_indices(inputs, names, value.shape))
    what = common(wrong, itertools.chain(numbers, of_places(wrong))) or common(wrong, of_rows(wrong))
    return f"{n} of {wrong.size} entries are wrong, only where {what}" if what else ""


def common(wrong: np.ndarray, properties: Iterable[Property]) -> str:
    """The property of all wrong entries that the fewest others have."""
    best, found = LEAST_COVERED, ""
    for holds, what in properties:
        if holds.shape != wrong.shape or holds.all() or np.any(wrong & ~holds):
            continue
        covered = int(wrong.sum()) / int(holds.sum())
        if covered > best:
            best, found = covered, what
    return found


def of_numbers(inputs: Sequence[np.ndarray], names: Sequence[str], argument: int) -> Iterator[Property]:
    """Signs, zeros and equal entries of the arguments that have the shape of the gradient, and of pairs of them."""
    shape = np.shape(inputs[argument])
    alike = [k for k, x in enumerate(inputs) if np.shape(x) == shape]
    for k in alike:
        if inputs[k].dtype.kind == "b":
            yield inputs[k], f"{names[k]} is true"
            yield ~inputs[k], f"{names[k]} is false"
    ordered = [k for k in sorted(alike, key=lambda k: k != argument) if inputs[k].dtype.kind != "b"]
    for k in ordered:
        x, name = inputs[k], names[k]
        yield x == 0, f"{name} is 0"
        yield x < 0, f"{name} is negative"
        yield x > 0, f"{name} is positive"
        if is_floating(x):
            yield np.abs(x) > 1, f"{name} is larger than 1 in size"
            yield np.abs(x) < 1, f"{name} is smaller than 1 in size"
            yield np.isinf(x), f"{name} is infinite"
    for k in ordered:
        if is_floating(inputs[k]):
            yield from ties(inputs[k], names[k])
    for j, k in itertools.combinations(alike, 2):
        x, y = inputs[j], inputs[k]
        if x.dtype.kind in "fiu" and y.dtype.kind in "fiu":
            yield x == y, f"{names[j]} equals {names[k]}"
            yield x * y < 0, f"{names[j]} and {names[k]} have opposite signs"
            yield x * y > 0, f"{names[j]} and {names[k]} have the same sign"
            yield x < y, f"{names[j]} is smaller than {names[k]}"
            yield x > y, f"{names[j]} is larger than {names[k]}"


def ties(x: np.ndarray, name: str) -> Iterator[Property]:
    """Entries that equal another one along an axis, and extreme ones."""
    for axis in range(x.ndim):
        if not 1 < x.shape[axis] <= 4096:
            continue
        ordered = np.sort(x, axis)
        equal = np.diff(ordered, axis=axis) == 0
        if equal.any():
            found = np.zeros(x.shape, bool)
            for other in (np.roll(x, k, axis) for k in range(1, min(x.shape[axis], 64))):
                found |= x == other
            yield found, f"equal entries are tied along axis {axis} of {name}"
        yield x == x.max(axis, keepdims=True), f"{name} is the largest along axis {axis}"
        yield x == x.min(axis, keepdims=True), f"{name} is the smallest along axis {axis}"


def of_indices(inputs: Sequence[np.ndarray], names: Sequence[str], shape: tuple[int, ...]) -> Iterator[Property]:
    """Numbers of rows and of groups in arrays of integers: repeated, absent, negative and out of range."""
    for x, name in zip(inputs, names, strict=True):
        if x.dtype.kind not in "iu" or not x.size:
            continue
        many, least = f"an index of {name} occurs more than once", int(x.min())
        if x.ndim and x.shape == shape[: x.ndim]:  # one for each row: a group, a target
            for special in sorted({least, int(x.max())}):
                yield spread(x == special, shape), f"{name} is {special}"
            yield spread(x < 0, shape), f"{name} is negative"
            for n in sorted(set(shape)):
                yield spread(x >= n, shape), f"{name} is out of range"
            count = np.array([np.sum(x == i) for i in x.ravel()]).reshape(x.shape)
            yield spread(count > 1, shape), many
        for axis, n in enumerate(shape):  # indices of rows
            count = np.array([np.sum((x == i) | (x == i - n)) for i in range(n)])
            yield along(count > 1, axis, shape), many
            yield along(count == 0, axis, shape), f"no index of {name} is"
            if x.max() >= n:
                yield (
                    along(np.arange(n) == n - 1, axis, shape),
                    f"indices of {name} that are out of range are clipped to",
                )
            if least < 0:
                reached = np.isin(np.arange(n), x[x < 0] + n)
                yield along(reached, axis, shape), f"an index of {name} is negative"


def of_places(wrong: np.ndarray) -> Iterator[Property]:
    """Rows next to each other, single rows, diagonals and triangles."""
    for axis, n in enumerate(wrong.shape):
        rows = affected(wrong, axis)
        if len(rows) == n:
            continue
        holds = along(np.isin(np.arange(n), rows), axis, wrong.shape)
        first, last = int(rows[0]), int(rows[-1])
        if len(rows) == 1:
            yield holds, f"the index along axis {axis} is {first} of {n}"
        elif last - first + 1 == len(rows):
            end = (
                f" (the last {len(rows)} of {n})"
                if last == n - 1
                else f" (the first {len(rows)} of {n})"
                if first == 0
                else ""
            )
            yield holds, f"the index along axis {axis} is {first} to {last}{end}"
    if wrong.ndim > 1:
        i, j = np.indices(wrong.shape[-2:])
        for there, what in ((i == j, "on"), (i > j, "below"), (i < j, "above")):
            yield np.broadcast_to(there, wrong.shape), f"the entry is {what} the diagonal"


def of_rows(wrong: np.ndarray) -> Iterator[Property]:
    """Any few rows."""
    for axis, n in enumerate(wrong.shape):
        rows = affected(wrong, axis)
        if 1 < len(rows) <= MOST_ROWS and len(rows) < n:
            holds = along(np.isin(np.arange(n), rows), axis, wrong.shape)
            yield holds, f"the index along axis {axis} is one of {', '.join(map(str, rows))}"


def affected(wrong: np.ndarray, axis: int) -> np.ndarray:
    """The indices along an axis with a wrong entry."""
    return np.flatnonzero(wrong.any(tuple(a for a in range(wrong.ndim) if a != axis)))


def along(rows: np.ndarray, axis: int, shape: tuple[int, ...]) -> np.ndarray:
    """A property of the index along one axis, for all entries."""
    return np.broadcast_to(rows.reshape([-1 if k == axis else 1 for k in range(len(shape))]), shape)


def spread(rows: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A property of leading indices, for all entries."""
    return np.broadcast_to(rows.reshape(rows.shape + (1,) * (len(shape) - rows.ndim)), shape)
