"""Further calls of a function whose gradient is wrong: what its backward pass does with parts of the cotangent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradagree.adapters.functions import Call, FunctionAdapter
from gradagree.functions.backward import MOST_WORK, Exhausted, work_of
from gradagree.functions.enclosures import Expected
from gradagree.functions.fits import digits_of, indices
from gradagree.reference.graph import Graph

MOST_ENTRIES = 48
"""Entries of an output, or indices along an axis, whose cotangents are given one by one."""
MOST_CALLS, LEAST_CALLS = 128, 4
"""Further calls of the function for one gradient, fewer for one with many numbers."""


@dataclass
class Probes:
    """A function whose gradient with respect to one array is wrong.

    Args:
        adapter: The framework's adapter.
        call: The call.
        graph: The reference, a function of the real arrays of the call.
        inputs: Its inputs.
        seeds: The framework's cotangents.
        place: The number of the array in call.wrt.
        argument: Its number among the inputs of the graph.
        observed: Its gradient.
        expected: The expected one with its tolerance.
    """

    adapter: FunctionAdapter
    call: Call
    graph: Graph
    inputs: Sequence[Any]
    seeds: Sequence[Any]
    place: int
    argument: int
    observed: np.ndarray
    expected: Expected

    def __post_init__(self) -> None:
        self.values = self.graph.evaluate(self.inputs)
        self.bound = float(np.max(self.expected.radius, initial=0.0))
        self.calls = min(MOST_CALLS, max(LEAST_CALLS, MOST_WORK // work_of(self.graph, self.values)))

    def gradient(self, seeds: Sequence[Any], context: AbstractContextManager[Any] | None = None) -> np.ndarray | None:
        """The framework's gradient for other cotangents; None where there is none.

        Raises:
            Exhausted: It would be one call too many.
        """
        self.calls -= 1
        if self.calls < 0:
            raise Exhausted
        with context or nullcontext():
            found = self.adapter.vjp(self.call, seeds)[1][self.place]
        return None if found is None else np.asarray(self.adapter.to_numpy(found), dtype=float)

    def exact(self, seeds: Sequence[Any]) -> np.ndarray:
        """The reference's gradient for other cotangents."""
        numbers = [None if g is None else self.adapter.to_numpy(g) for g in seeds]
        found = self.graph.vjp(self.values, numbers)[self.argument]
        return np.zeros(self.observed.shape) if found is None else np.asarray(found)

    def parts(self) -> Iterator[tuple[int, int | None, list[list[Any]]]]:
        """(output, axis, cotangents with one index each); no axis for single entries."""
        for j, g in enumerate(self.seeds):
            if g is None or not g.shape:
                continue
            numbers = self.adapter.to_numpy(g)
            if numbers.size <= MOST_ENTRIES:
                yield j, None, [self.only(j, numbers, np.unravel_index(k, numbers.shape)) for k in range(numbers.size)]
            for axis in range(numbers.ndim):
                if 1 < numbers.shape[axis] <= MOST_ENTRIES:
                    yield j, axis, [
                        self.only(j, numbers, tuple([slice(None)] * axis + [k])) for k in range(numbers.shape[axis])
                    ]  # fmt: skip

    def only(self, j: int, numbers: np.ndarray, index: Any) -> list[Any]:
        """The cotangents with zeros but at one index of output j."""
        one = np.zeros(numbers.shape)
        one[index] = numbers[index]
        return [
            None if g is None else self.adapter.array(one if k == j else np.zeros(g.shape), g)
            for k, g in enumerate(self.seeds)
        ]


def called_again(probes: Probes) -> str:
    """A sentence on memory that is read before it is written, and on calls that differ; empty without such a thing."""
    return first_of(probes, memory, repeated)


def probed(probes: Probes) -> str:
    """A sentence on what the backward pass does with parts of the cotangent; empty if nothing can be said."""
    return first_of(probes, scaled, alone, apart)


def first_of(probes: Probes, *tried: Callable[[Probes], str]) -> str:
    try:
        with np.errstate(all="ignore"):
            return next((sentence for one in tried if (sentence := one(probes))), "")
    except Exception:  # noqa: BLE001 (the function may not accept these cotangents)
        return ""


def memory(probes: Probes) -> str:
    """Memory that is read before anything is written to it."""
    if not probes.adapter.strided:
        return ""
    found = probes.gradient(probes.seeds, probes.adapter.uninitialized_as_nan())
    if found is None:
        return ""
    empty = np.isnan(found) & ~np.isnan(probes.expected.value)
    if not empty.any():
        return ""
    again = probes.gradient(probes.seeds)
    if again is not None and np.array_equal(empty, np.isnan(probes.observed) & np.isnan(again)):
        return ""  # NaN with any contents of memory
    return f"{int(empty.sum())} entries come from memory that nothing was written to"


def repeated(probes: Probes) -> str:
    """A second call with another result."""
    found = probes.gradient(probes.seeds)
    if found is None or np.array_equal(found, probes.observed, equal_nan=True):
        return ""
    return "the same call gives another gradient: it is non-deterministic"


def scaled(probes: Probes) -> str:
    """A gradient that does not depend on the cotangent."""
    twice = [None if g is None else g * 2 for g in probes.seeds]
    found = probes.gradient(twice)
    if found is None or not probes.observed.any():
        return ""
    if np.array_equal(found, probes.observed):
        return "the gradient for twice the cotangent is the same: the cotangent is not used"
    return ""


def alone(probes: Probes) -> str:
    """The gradient of each entry of the cotangent is right, but not that of all of them."""
    entries = [(j, parts) for j, axis, parts in probes.parts() if axis is None]
    if {j for j, _ in entries} != {j for j, g in enumerate(probes.seeds) if g is not None}:
        return ""
    parts = [seeds for _, several in entries for seeds in several]
    found = [probes.gradient(seeds) for seeds in parts]
    given = [x for x in found if x is not None]
    if len(given) < len(found) or not all(np.isfinite(x).all() for x in [*given, probes.observed]):
        return ""
    if np.all(np.abs(np.sum(given, axis=0) - probes.observed) <= len(given) ** 0.5 * probes.bound):
        return ""
    right = [np.all(np.abs(x - probes.exact(seeds)) <= probes.bound) for x, seeds in zip(given, parts, strict=True)]
    if all(right):
        return (
            "it is right for each entry of the cotangent alone, but not for all: contributions to one entry overwrite "
            "each other, so that duplicates are lost"
        )
    return "the backward pass is not linear in the cotangent"


def apart(probes: Probes) -> str:
    """Which indices of an output have their cotangent passed on wrongly, and how."""
    best = ""
    for j, axis, parts in probes.parts():
        if axis is None:
            continue
        pairs = [(x, probes.exact(seeds)) for seeds in parts if (x := probes.gradient(seeds)) is not None]
        if len(pairs) < len(parts):
            return ""
        wrong = np.array([np.any(np.abs(x - exact) > probes.bound) for x, exact in pairs])
        kinds = {kind_of(x, exact, probes.bound) for (x, exact), bad in zip(pairs, wrong, strict=True) if bad}
        if not wrong.any():
            continue
        how = kinds.pop() if len(kinds) == 1 else ""
        output = "the output" if len(probes.seeds) == 1 else f"output {j}"
        if not wrong.all() and stands_out(pairs, wrong, probes.bound):
            return f"only the cotangent of {output} at {indices(wrong)} along axis {axis} is passed on wrongly{how}"
        if wrong.all() and how and not best:
            best = f"the cotangent of {output} at one index along axis {axis} is passed on wrongly{how}"
    return best


def stands_out(pairs: Sequence[tuple[np.ndarray, np.ndarray]], wrong: np.ndarray, bound: float) -> bool:
    """True if a relative error like the smallest of the wrong gradients would have been seen in the others as well.

    Indices without a pattern may be those whose errors happen to be large; theirs must be far above the bound.
    """
    sizes = [float(np.max(np.abs(exact), initial=0.0)) for _, exact in pairs]
    errors = [float(np.max(np.abs(x - exact), initial=0.0)) for x, exact in pairs]
    smallest = min(e / s if s else np.inf for e, s, bad in zip(errors, sizes, wrong, strict=True) if bad)
    at_equal_distances = len(set(np.diff(np.flatnonzero(wrong)))) <= 1
    seen = bound if at_equal_distances else 8 * bound
    return all(smallest * size > seen for size, bad in zip(sizes, wrong, strict=True) if size and not bad)


def kind_of(found: np.ndarray, exact: np.ndarray, bound: float) -> str:
    """How a gradient differs from the exact one."""
    wrong = np.abs(found - exact) > bound
    if not np.any(np.abs(found) > bound):
        return ": it is lost"
    size = float(np.vdot(exact, exact))
    factor = float(np.vdot(exact, found)) / size if size else 0.0
    if np.all(np.abs(found - factor * exact) <= 2 * max(1.0, abs(factor)) * bound) and factor:
        return f": with the factor {digits_of(factor)}"
    if np.all(np.abs(np.sort(found.ravel()) - np.sort(exact.ravel())) <= 2 * bound):
        return ": it arrives at other entries"
    if np.mean(np.abs(exact)[wrong] <= bound) >= 0.5 and np.all(np.abs(found)[wrong & (exact == 0)] > bound):
        return ": it also reaches entries that do not depend on it"
    if np.all(np.abs(found)[wrong] <= bound):
        return ": some of the entries that depend on it get nothing"
    return ""
