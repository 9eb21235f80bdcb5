"""Common mistakes in backward passes, recognised by the gradient that they give."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeGuard

import numpy as np

from gradagree.functions.backward import Backward, Exhausted, expanded
from gradagree.functions.backward_change import BackwardChange
from gradagree.functions.enclosures import Expected
from gradagree.functions.fits import bound_of, contributions_along_an_axis, digits_of, factors_along_an_axis
from gradagree.functions.hypotheses import changes, composites
from gradagree.functions.parts import Parts
from gradagree.reference.graph import Graph

MOST_WORK = 1 << 26
"""Entries times edges up to which single contributions are left out one after the other."""
MOST_ENTRIES = 1 << 14
"""Entries of a gradient up to which changes of the backward pass are tried."""
CLEARLY_BETTER = 0.5
"""Share of the error that another explanation must leave to come before an earlier one."""
LEAST_EXPLAINED = 0.25
"""Share of the largest error that an explanation may leave."""
LEAST_ENTRIES = 3
"""Entries that one factor must explain."""


VAGUE = "is wrong, and everything else is right"


class Mistake(NamedTuple):
    """What the observed gradient is: a sentence, and the place in the reference that it concerns."""

    reason: str
    place: str = ""

    @property
    def is_vague(self) -> bool:
        """True if it says which contribution is wrong, but not how."""
        return self.reason.endswith(VAGUE)


def recognise(
    observed: np.ndarray | None, expected: Expected, others: Mapping[str, Expected], inputs: Sequence[np.ndarray]
) -> Mistake | None:
    """The mistake that explains all entries of a wrong gradient by the right ones, or None.

    Args:
        observed: The wrong gradient.
        expected: The right one with its tolerance.
        others: The gradients of the other arguments by their names.
        inputs: The arguments.
    """
    with np.errstate(all="ignore"):
        if observed is None or explains(observed, expected.value, expected.radius):
            return None
        return of_the_array(observed, expected, others, [*map(np.shape, inputs)])


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
    if not np.isfinite(observed[wrong]).any():
        return Mistake(f"{n} entries are NaN or infinite, and the others are right")
    if np.all((value == 0)[wrong]):
        return Mistake(
            f"{n} entries are not 0 where the gradient is 0, and the others are right: a mask is not applied"
        )
    if np.all((observed == 0)[wrong]):
        return Mistake(f"{n} entries are 0 where the gradient is not, and the others are right")
    if np.all(((observed == 0) != (value == 0))[wrong]):
        lost = int((wrong & (observed == 0)).sum())
        both = f"{lost} entries are 0 where the gradient is not, {n - lost} are not 0 where it is 0"
        return Mistake(f"{both}, and the others are right: another mask is applied")
    return None


def scale(observed: np.ndarray, expected: Expected, shapes: Sequence[tuple[int, ...]]) -> str | None:
    """The gradient times a number that means something: -1, 2, 1/2, a length of an axis, a number of entries."""
    value, radius = expected.value, expected.radius
    relative = float(np.max(radius)) / max(float(np.max(np.abs(value))), 1e-300)
    usual = float(np.median(radius[radius > 0])) if np.any(radius > 0) else 0.0  # not that of an entry at a kink
    radius = np.maximum(radius, usual / float(np.max(np.abs(value), initial=1e-300)) * np.abs(value))
    # what is exact need not be when it is multiplied
    factor = fitted_factor(observed, value)
    for number, meaning in factors(shapes):
        near = abs(factor - number) <= 2 * abs(number) * relative
        if near and explains(observed, number * value, 2 * max(abs(number), 1.0) * radius):
            return meaning
    if np.count_nonzero(np.abs(value) > 4 * radius) >= LEAST_ENTRIES and explains(
        observed, factor * value, 2 * max(abs(factor), 1.0) * radius
    ):
        return f"it is {digits_of(factor)} times the gradient: a constant factor is wrong"
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


# Changes of the backward pass.


def of_a_change(
    observed: np.ndarray | None, levels: Sequence[Expected], graph: Graph, inputs: Sequence[np.ndarray],
    cotangents: Sequence[Any], argument: int,
) -> Mistake | None:  # fmt: skip
    """The change of the backward pass that explains all entries of a wrong gradient, or None.

    Args:
        observed: The wrong gradient.
        levels: The right one with the tolerance of an accurate program, then with wider ones.
        graph: The reference.
        inputs: Its inputs.
        cotangents: Those of its outputs.
        argument: The argument that the gradient belongs to, a number of an input.
    """
    if not is_searched(observed, levels):
        return None
    with np.errstate(all="ignore"):
        b = Backward(expanded(graph), inputs, cotangents, argument)
        tried = itertools.chain(composites(Backward(graph, inputs, cotangents, argument)), changes(b))
        return best_change(observed, levels, tried, [*map(np.shape, inputs)])


def of_factors(
    observed: np.ndarray | None, levels: Sequence[Expected], graph: Graph, inputs: Sequence[np.ndarray],
    cotangents: Sequence[Any], argument: int,
) -> Mistake | None:  # fmt: skip
    """Factors along an axis, of the gradient itself or of a contribution, that explain it; arguments as before."""
    if not is_searched(observed, levels):
        return None
    with np.errstate(all="ignore"):
        for one in levels:
            if (sentence := factors_along_an_axis(observed, one)) is not None:
                return Mistake(sentence)
        with contextlib.suppress(Exhausted):
            b = Backward(expanded(graph), inputs, cotangents, argument)
            for reason, place in contributions_along_an_axis(observed, levels, b):
                return Mistake(reason, place)
    return None


def is_searched(observed: np.ndarray | None, levels: Sequence[Expected]) -> TypeGuard[np.ndarray]:
    """True for a gradient of the right shape that is not too large."""
    if observed is None or observed.shape != levels[0].value.shape or not np.isfinite(observed).all():
        return False
    return 0 < observed.size <= MOST_ENTRIES


def best_change(
    observed: np.ndarray, levels: Sequence[Expected], tried: Iterator[BackwardChange], shapes: Sequence[tuple[int, ...]]
) -> Mistake | None:
    """The first change that explains the gradient, unless another one does so clearly better."""
    best, least = None, math.inf
    for change in tried:
        for one in levels:
            bound = bound_of(observed, one)
            share, factor = scaled_share(observed - one.value, change, bound)
            if share is None:
                continue
            ratio = float(np.max(np.abs(observed - one.value - share))) / bound if bound else math.inf
            explained = ratio * bound <= LEAST_EXPLAINED * float(np.max(np.abs(observed - one.value)))
            if ratio <= 1 and explained and ratio < CLEARLY_BETTER * least:
                reason = change.scaled.format(f"{1 - factor:.4g}") if change.scaled else change.reason
                reason += meaning_of(1 - factor, bound / float(np.max(np.abs(share))), shapes) if change.scaled else ""
                best, least = Mistake(reason, change.place), ratio
    return best


def meaning_of(factor: float, bound: float, shapes: Sequence[tuple[int, ...]]) -> str:
    """``: a sum where there is a mean over 8 entries``; empty for a factor without a meaning."""
    for number, meaning in factors(shapes):
        if number > 0 and number not in (1.0, 2.0) and abs(factor - number) <= 4 * bound * max(1.0, number):
            return meaning[meaning.index(":") :]
    return ""


def scaled_share(rest: np.ndarray, change: BackwardChange, bound: float) -> tuple[np.ndarray | None, float]:
    """(share, its factor), fitted if the change may have any; None if it is too small to be seen."""
    share = change.share
    if share.shape != rest.shape or not np.isfinite(share).all() or np.max(np.abs(share), initial=0.0) <= bound:
        return None, 1.0
    if not change.scaled:
        return share, 1.0
    if np.count_nonzero(np.abs(share) > 4 * bound) < LEAST_ENTRIES:
        return None, 1.0
    factor = float(np.vdot(share, rest)) / float(np.vdot(share, share))
    return factor * share, -factor
