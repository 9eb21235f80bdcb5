"""The probable check: a whole gradient at once, against the reference run end to end in variance arithmetic.

A bound carried through a network is vacuous after a few boxes; the variance of the rounding errors is not. It is a
trigger, not a proof: it judges what the taps might disturb.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from gradagree.adapters import Answer, directions
from gradagree.arithmetics.dual import Dual
from gradagree.arithmetics.model import Model
from gradagree.arithmetics.variance import Variance, tiles
from gradagree.arithmetics.variance_products import factors, may_overflow, stored_sum
from gradagree.cases import Arrays, Case, problem_of
from gradagree.comparison import Comparison, Part
from gradagree.probable_error import ProbableError
from gradagree.probable_vector import probable_activation
from gradagree.reference import Box, network
from gradagree.reference.boxes import Gradient, boxes
from gradagree.summation import added_up
from gradagree.tiles import Tile, index
from gradagree.verdict import Verdict

__all__ = ["probable"]

TOGETHER = 1 << 16
"""Weights up to which all directions are pushed forward together."""


def probable(case: Case, arrays: Arrays, answer: Answer, model: Model) -> list[Comparison]:
    """E, the outermost delta_p and every gradient (or the slopes along directions) against the variance arithmetic.

    What automatic differentiation of E may form is only worked out where something is suspect without it.
    """
    found = _probable(case, arrays, answer, model, False)
    return _probable(case, arrays, answer, model, True) if any(c.verdict.fails for c in found) else found


def _probable(case: Case, arrays: Arrays, answer: Answer, model: Model, formed: bool) -> list[Comparison]:
    with np.errstate(all="ignore"):
        if answer.along:
            return [_slopes(case, arrays, answer, model, formed)]
        network = list(boxes(_network(case, arrays, model, Variance.stored, formed)))
        inputs = [Variance.stored(arrays.inputs, model)]
        for box in network:
            inputs.append(box.weigh(inputs[-1]))
        inner: Any = network[-1].inside
        delta = inner.pull(inputs[-1])
        found: list[Comparison] = []
        for k in range(len(network), 0, -1):
            found += _of_box(k, network[k - 1], inputs[k - 1], delta, answer)
            delta = network[k - 1].sensitivity(inputs[k - 1], delta)
        found.append(_compare(1, "delta_p", answer.sensitivities[0], delta))
        found.append(_compare("error", "E", np.asarray(answer.E), inner(inputs[-1])))
    return found[::-1]


def _of_box(number: int, box: Box, p: Any, delta_c: Any, answer: Answer) -> Iterator[Comparison]:
    """The gradients of one box; that of many weights is nowhere kept."""
    k = number - 1
    for place, (name, own) in reversed(list(enumerate(box.pull_own(p, delta_c).items()))):
        given = answer.activations[k] if k < len(answer.activations) else ()
        yield _compare(number, f"d{name}", given[place] if place < len(given) else None, own)
    if box.b is not None:
        yield _compare(number, "db", answer.biases[k], added_up(Gradient(None, np.sum(delta_c, axis=-2)), p, delta_c).b)
    if box.w is not None:
        a = p._lift(box.activation.value(p))
        yield _compare(number, "dw", answer.weights[k], Outer(a, delta_c))


class Outer:
    """dE/dw, with what the mode's way of adding up costs, made some rows at a time when they are asked for."""

    def __init__(self, a: Variance, delta_c: Variance) -> None:
        self.a, self.delta_c = a, delta_c
        self.shape, self.nothing = (a.shape[-1], delta_c.shape[-1]), a.nothing
        self.factors = None if may_overflow(a.T, delta_c) else factors(a.T, delta_c)

    def __getitem__(self, rows: slice) -> Variance:
        a, delta_c, terms = self.a[:, rows].T, self.delta_c, len(self.a)
        if self.factors is None:
            product = a @ delta_c
        else:
            left, right = self.factors
            product = stored_sum(a.value @ delta_c.value, left[rows] @ right, terms, a.model, 0.0)
        gradient: Variance = added_up(Gradient(product, None), a.T, delta_c).w
        return gradient


def _slopes(case: Case, arrays: Arrays, answer: Answer, model: Model, formed: bool) -> Comparison:
    """The slope of E along each direction, in dual numbers over variance arithmetic: forward mode's own roundings.

    All directions at once, on a first axis of the tangents, where the network is small.
    """
    many = directions(problem_of(case, arrays))
    if case.size <= TOGETHER:
        many = [[np.stack(tangents) for tangents in zip(*many, strict=True)]]
    slopes = []
    for direction in many:
        tangents = iter(direction)
        pushed = lambda x, model: Dual(Variance.stored(x, model), Variance.stored(next(tangents), model))  # noqa: B023, E731
        E = _network(case, arrays, model, pushed, formed)(Variance.stored(arrays.inputs, model))
        slopes.append(E.slope)
    value, variance = (
        np.hstack([np.ravel(getattr(slope, part)) for slope in slopes]) for part in ("value", "variance")
    )
    return _compare("error", "E'", np.array(answer.along), Variance(value, variance, model))


def _network(case: Case, arrays: Arrays, model: Model, stored: Any, formed: bool = False) -> Box:
    """The boxes on arrays that `stored` makes of the weights, and then of the biases."""
    targets = arrays.targets if case.error.targets == "classes" else Variance.stored(arrays.targets, model)
    weights = [stored(w, model) for w in arrays.weights]
    biases = [None if b is None else stored(b, model) for b in arrays.biases]
    activations: list[Any] = [probable_activation(a, lambda own: stored(own, model)) for a in case.activations]
    judge: Any = ProbableError(case.error, formed)
    return network(activations, weights, biases, judge, targets)


def _compare(box: int | str, part: Part, observed: np.ndarray | None, expected: Variance | Outer) -> Comparison:
    """One array against its probable tolerance, some rows at a time."""
    shape = expected.shape
    if observed is None or observed.shape != shape:
        reason = "is missing" if observed is None else f"has shape {observed.shape}, not {shape}"
        return Comparison(box, part, Verdict.SUSPECT, math.inf, reason=reason)
    with np.errstate(all="ignore"):
        found = _tiles(expected, observed)
        size, largest = (float(np.max([getattr(tile, name) for tile in found])) for name in ("largest", "tolerance"))
        sharpness = 0.0 if size == 0 and largest <= expected.nothing else float(np.divide(largest, size))
        undecided = not math.isfinite(largest) or not sharpness < 1
        if undecided:
            found = _tiles(expected, observed, dull=True)
    worst = max(found, key=lambda tile: tile.ratio)
    passed = Verdict.UNDECIDED if undecided else Verdict.AGREE
    if any(math.isinf(tile.tolerance) for tile in found):
        passed = Verdict.OUT_OF_RANGE
    return Comparison(
        box, part, Verdict.SUSPECT if worst.ratio > 1 else passed, worst.ratio, worst.place,
        worst.expected, worst.observed, worst.allowed, sharpness, sum(tile.sharp for tile in found), observed.size,
    )  # fmt: skip


def _tiles(expected: Variance | Outer, observed: np.ndarray, dull: bool = False) -> list[Tile]:
    return [_tile(expected[rows], observed[rows], getattr(rows, "start", 0), dull) for rows in tiles(observed)]


def _tile(expected: Variance, observed: np.ndarray, start: int, dull: bool = False) -> Tile:
    """start is the number of the first row.

    Of an array that is dull, an entry that may be off by as much as it is makes no suspect: errors so large do not
    simply add up, as variance has them do.
    """
    value, tolerance = expected.value, expected.tolerance
    sizes, room = np.abs(value), expected.model.format.largest
    size, largest = float(np.maximum.reduce(sizes, axis=None)), float(np.maximum.reduce(tolerance, axis=None))
    if not size + largest <= room:
        tolerance = np.where(sizes + tolerance > room, np.inf, tolerance)
        largest = float(np.max(tolerance))
    ratio = np.asarray(observed - value)
    np.abs(ratio, out=ratio)
    ratio /= tolerance
    if not np.isfinite(np.max(ratio)) or not math.isfinite(largest):
        ratio = np.where(observed == value, 0.0, np.where(np.isnan(ratio), np.inf, ratio))
        ratio = np.where(np.isfinite(tolerance), ratio, 0.0)
    if dull:
        vague = np.isfinite(observed) & (tolerance >= np.abs(value))
        ratio = np.where(vague, np.minimum(ratio, 1.0), ratio)
    place = int(np.argmax(ratio))
    at = index(place, value.shape)
    return Tile(
        float(ratio.flat[place]), (start + at[0], *at[1:]) if at else (), float(value.flat[place]),
        float(observed.flat[place]), float(tolerance.flat[place]), size, largest,
        int(np.count_nonzero(sizes > tolerance)),
    )  # fmt: skip
