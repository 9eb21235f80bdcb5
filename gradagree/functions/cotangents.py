"""Mistakes that a backward pass makes with its cotangent, and contributions of inner values that are wrong."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, TypeGuard

import numpy as np

from gradagree.functions.enclosures import Expected, is_floating
from gradagree.functions.mistakes import MOST_WORK, VAGUE, Mistake, explains, uniform
from gradagree.reference.graph import Graph, Value

MOST_SLICES = 64
"""Slices of an axis of a cotangent, and entries of an inner value, up to which their contributions are taken apart."""

MOST_INNER = 8
"""Inner values that are tried in pairs."""

Change = tuple[list[Any], str]
"""Other cotangents, and what they say about the backward pass."""


def another_cotangent(
    observed: np.ndarray | None, expected: Expected, graph: Graph, inputs: Sequence[np.ndarray],
    cotangents: Sequence[Any], argument: int,
) -> Mistake | None:  # fmt: skip
    """A cotangent that is ignored or taken for another one.

    Args:
        observed: The wrong gradient.
        expected: The right one with its tolerance.
        graph: The reference.
        inputs: Its inputs.
        cotangents: Those of its outputs.
        argument: The argument that the gradient belongs to, a number of an input.
    """
    if not is_comparable(observed, expected):
        return None
    with np.errstate(all="ignore"):
        search = CotangentSearch(observed, expected, graph, graph.evaluate(inputs), cotangents, argument)
        return search.changed(changes(cotangents, len(graph.outputs)))


def wrong_share(
    observed: np.ndarray | None, expected: Expected, graph: Graph, inputs: Sequence[np.ndarray],
    cotangents: Sequence[Any], argument: int,
) -> Mistake | None:  # fmt: skip
    """Entries of a cotangent in other places or that do not contribute, or an inner value with a wrong contribution."""
    if not is_comparable(observed, expected):
        return None
    with np.errstate(all="ignore"):
        search = CotangentSearch(observed, expected, graph, graph.evaluate(inputs), cotangents, argument)
        others = rearrangements(cotangents, len(graph.outputs))
        return search.changed(others) or search.itself() or search.in_part() or search.inner()


def is_comparable(observed: np.ndarray | None, expected: Expected) -> TypeGuard[np.ndarray]:
    return observed is not None and observed.shape == expected.value.shape and bool(np.isfinite(observed).all())


class CotangentSearch:
    """The search for other cotangents, of outputs or of inner values, that give the observed gradient.

    Args:
        observed: The wrong gradient, finite and of the right shape.
        expected: The right one with its tolerance.
        graph: The reference.
        values: Its values.
        cotangents: Those of its outputs.
        argument: The argument that the gradient belongs to, a number of an input.
    """

    def __init__(
        self, observed: np.ndarray, expected: Expected, graph: Graph, values: Sequence[Any], cotangents: Sequence[Any],
        argument: int,
    ) -> None:  # fmt: skip
        self.observed, self.expected = observed, expected
        self.graph, self.values, self.argument = graph, values, argument
        self.cotangents = list(cotangents)
        self.calls = MOST_WORK // max(1, sum(np.size(x) for x in values))  # backward passes that may be computed

    def gradient(self, graph: Graph, cotangents: Sequence[Any]) -> np.ndarray:
        """The gradient for other cotangents; counts the call."""
        self.calls -= 1
        found = graph.vjp(self.values, cotangents)[self.argument]
        return np.zeros(self.observed.shape) if found is None else np.broadcast_to(found, self.observed.shape)

    def matches(self, gradient: np.ndarray) -> bool:
        """True if this gradient is the observed one, and not the right one; tolerances grow with the gradient."""
        size = float(np.max(np.abs(self.expected.value), initial=0.0))
        growth = float(np.max(np.abs(gradient), initial=0.0)) / size if size > 0 else 1.0
        factors = {growth, max(1.0, growth)}
        return any(explains(self.observed, gradient, factor * uniform(self.expected)) for factor in factors)

    def changed(self, others: Iterator[Change]) -> Mistake | None:
        """The first of other cotangents that gives the observed gradient."""
        for cotangents, reason in others:
            if self.calls <= 0:
                return None
            if self.matches(self.gradient(self.graph, cotangents)):
                return Mistake(reason)
        return None

    def itself(self) -> Mistake | None:
        """A cotangent of the gradient's shape that is added to it, or that is missing in it."""
        for k, g in enumerate(self.cotangents):
            if g is None or np.shape(g) != self.observed.shape:
                continue
            for factor, what in ((-1.0, "is subtracted from the gradient"), (1.0, "is added to the gradient")):
                if self.matches(self.expected.value + factor * np.asarray(g)):
                    return Mistake(f"{called(k, len(self.graph.outputs))} itself {what}, and everything else is right")
        return None

    def in_part(self) -> Mistake | None:
        """Rows of a cotangent that do not contribute, or that count twice."""
        for k, g in enumerate(self.cotangents):
            of = called(k, len(self.cotangents))
            for axis in range(np.ndim(g)) if g is not None else ():
                if not 2 <= (n := np.shape(g)[axis]) <= min(MOST_SLICES, self.calls):
                    continue
                rest = self.gradient(self.graph, with_one(self.cotangents, k, np.zeros(np.shape(g))))
                shares = np.stack([self.gradient(self.graph, only(self.cotangents, k, axis, i)) for i in range(n)])
                for counted, what in itertools.chain(parts_of(n), fitted_parts(self.observed - rest, shares)):
                    if self.matches(rest + np.tensordot(counted, shares, 1)):
                        return Mistake(f"of {of} along axis {axis}, {what}")
        return None

    def inner(self) -> Mistake | None:
        """One or two inner values of few entries whose contribution is wrong, such as a sum over an axis."""
        most = self.observed.size // 2
        found = []
        for step in self.graph.applications:
            y = self.values[step.output.number]
            n = np.size(y)
            if not (is_floating(y) and 0 < n <= min(MOST_SLICES, most, self.calls)):
                continue
            shares = self.shares_of(step.output)
            if np.any(shares):
                found.append((step, shares.reshape(n, -1)))
        error = (self.observed - self.expected.value).ravel()
        for many in (1, 2):
            for group in itertools.combinations(found[-MOST_INNER:], many):
                shares = np.concatenate([one for _, one in group])
                if len(shares) > most:
                    continue
                fitted, *_ = np.linalg.lstsq(shares.T, error, rcond=None)
                if np.isfinite(fitted).all() and self.matches(
                    self.expected.value + (fitted @ shares).reshape(self.observed.shape)
                ):
                    names = " and ".join(dict.fromkeys(step.operation.name for step, _ in group))
                    return Mistake(f"the contribution through {names} {VAGUE}", group[0][0].place)
        return None

    def shares_of(self, value: Value) -> np.ndarray:
        """The gradients of each entry of an inner value."""
        graph = self.graph.with_outputs([value])
        shape = np.shape(self.values[value.number])
        units = np.eye(int(np.prod(shape))).reshape(-1, *shape)
        return np.stack([self.gradient(graph, [unit]) for unit in units])


def changes(cotangents: Sequence[Any], outputs: int) -> Iterator[Change]:
    """Cotangents that a faulty backward pass may use in place of the given ones."""
    known = [k for k, g in enumerate(cotangents) if g is not None and np.size(g)]
    for k in known:
        g = np.asarray(cotangents[k])
        if len(known) > 1:
            yield with_one(cotangents, k, np.zeros(g.shape)), f"it ignores {called(k, outputs)}"
        if len(known) > 2:
            yield only_one(cotangents, k), f"it ignores every cotangent but that of output[{k}]"
        for other, what in changed(g):
            yield with_one(cotangents, k, other), f"{called(k, outputs)} is {what}"
    for j, k in itertools.combinations(known, 2):
        if np.shape(cotangents[j]) == np.shape(cotangents[k]):
            both = with_one(with_one(cotangents, j, cotangents[k]), k, cotangents[j])
            yield both, f"the cotangents of output[{j}] and output[{k}] are exchanged"
            for a, b in ((j, k), (k, j)):
                yield (
                    with_one(cotangents, a, cotangents[b]),
                    (f"the cotangent of output[{a}] is taken for that of output[{b}]"),
                )


def rearrangements(cotangents: Sequence[Any], outputs: int) -> Iterator[Change]:
    """The entries of one cotangent in other places."""
    for k, g in enumerate(cotangents):
        for other, what in rearranged(np.asarray(g)) if g is not None else ():
            yield with_one(cotangents, k, other), f"{called(k, outputs)} is {what}"


def called(k: int, outputs: int) -> str:
    """What a message calls the cotangent of an output."""
    return "the cotangent" if outputs == 1 else f"the cotangent of output[{k}]"


def changed(g: np.ndarray) -> Iterator[tuple[np.ndarray, str]]:
    """Other arrays for a cotangent, and what happens to it."""
    yield np.ones(g.shape), "taken for ones: nothing is multiplied by it"
    if np.ptp(g) == 0:
        return
    yield np.full(g.shape, g.flat[0]), "taken for one number, its first entry"
    yield np.full(g.shape, g.mean()), "taken for one number, its mean"
    yield np.full(g.shape, g.sum()), "taken for one number, its sum"
    for axis in (a for a in range(g.ndim) if g.shape[a] > 1):
        yield np.broadcast_to(np.take(g, [0], axis), g.shape), f"taken to be the same along axis {axis}"


def rearranged(g: np.ndarray) -> Iterator[tuple[np.ndarray, str]]:
    """The entries of a cotangent in other places, and what happens to it."""
    for axis in (a for a in range(g.ndim) if g.shape[a] > 1):
        yield np.flip(g, axis), f"taken in reverse order along axis {axis}"
        yield np.roll(g, 1, axis), f"shifted by one entry along axis {axis}"
        yield np.roll(g, -1, axis), f"shifted by one entry along axis {axis}"
    for a, b in itertools.combinations(range(g.ndim), 2):
        if g.shape[a] == g.shape[b] > 1:
            yield np.swapaxes(g, a, b), "transposed"


def with_one(cotangents: Sequence[Any], k: int, g: Any) -> list[Any]:
    """The cotangents with another one at a place."""
    return [g if j == k else other for j, other in enumerate(cotangents)]


def only_one(cotangents: Sequence[Any], k: int) -> list[Any]:
    """The cotangents with zeros for all but one."""
    return [g if j == k or g is None else np.zeros(np.shape(g)) for j, g in enumerate(cotangents)]


def only(cotangents: Sequence[Any], k: int, axis: int, i: int) -> list[Any]:
    """One slice of one cotangent, and zeros for everything else."""
    g = np.asarray(cotangents[k])
    part = np.zeros(g.shape)
    at = (slice(None),) * axis + (i,)
    part[at] = g[at]
    return [part if j == k else None if h is None else np.zeros(np.shape(h)) for j, h in enumerate(cotangents)]


def parts_of(n: int) -> Iterator[tuple[np.ndarray, str]]:
    """How often each of n slices is counted by a faulty backward pass, and what that says."""
    place = np.arange(n)
    for k in range(1, n):
        do = "does not contribute" if k == 1 else "do not contribute"
        yield (place < n - k).astype(float), f"the last {k} of {n} entries {do}"
        yield (place >= k).astype(float), f"the first {k} of {n} entries {do}"
    for k in range(1, n - 1):
        yield (place != k).astype(float), f"entry {k} of {n} does not contribute"
    for k in range(n):
        yield 1.0 + (place == k), f"entry {k} of {n} counts twice"
    for step in range(2, n // 2 + 1):
        for k in range(step):
            yield (place % step != k).astype(float), f"entries {k}, {k + step}, ... of {n} do not contribute"
            if step > 2:
                yield (place % step == k).astype(float), f"only entries {k}, {k + step}, ... of {n} contribute"


def fitted_parts(rest: np.ndarray, shares: np.ndarray) -> Iterator[tuple[np.ndarray, str]]:
    """The same from least squares, where the gradient has enough entries to tell: any slices that are lost or twice."""
    n = len(shares)
    if rest.size < 2 * n:
        return
    counted = np.rint(np.linalg.lstsq(shares.reshape(n, -1).T, rest.ravel(), rcond=None)[0])
    for number, do in ((0, "do not contribute"), (2, "count twice")):
        affected = np.flatnonzero(counted == number)
        if 0 < len(affected) < n and np.all(np.isin(counted, (1, number))):
            yield counted, f"entries {', '.join(map(str, affected))} of {n} {do}"
