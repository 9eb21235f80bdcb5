"""The probable check: a whole gradient at once, against the reference run end to end in variance arithmetic.

A bound carried through a network is vacuous after a few boxes; the variance of the rounding errors is not. It is a
trigger, not a proof: it judges what the taps might disturb.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradagree.adapters import Answer, directions
from gradagree.arithmetics.dual import Dual
from gradagree.arithmetics.model import Model
from gradagree.arithmetics.variance import Variance, tiles
from gradagree.cases import Arrays, Case, problem_of
from gradagree.comparison import Comparison, Part
from gradagree.judged import finite, values_of
from gradagree.kinks import error_slope
from gradagree.natural import largest_sensitivity
from gradagree.probable_vector import probable_activation
from gradagree.reference import Box, ErrorFunction, backpropagate, network
from gradagree.reference.boxes import Gradient, boxes
from gradagree.summation import added_up
from gradagree.tiles import Tile, index
from gradagree.verdict import Verdict

__all__ = ["out_of_range", "probable", "same_bits"]


@dataclass(frozen=True)
class ProbableError:
    """An error function in variance arithmetic, or in dual numbers over it."""

    error: ErrorFunction

    def value(self, o: Any, t: Any) -> Any:
        if isinstance(o, Dual):
            return Dual(self.error.value(o.value, t), (self.sensitivity(o.value, t) * o.slope).sum())
        return self.error.value(o, t)

    def sensitivity(self, o: Variance, t: Any) -> Any:
        """dE/do, with other formulas' errors, u (|s| + S), and with its jump on a kink."""
        s, plain = o._lift(self.error.sensitivity(o, t)), values_of(t)
        scale = np.abs(s.value) + largest_sensitivity(self.error, o.value, plain)
        s = s.widened(o.model.u * finite(scale) * (s.variance > 0))
        kinked = self.error.kink(o.value, plain)
        if not np.any(kinked):
            return s
        left, right = (error_slope(self.error, o.value, plain, side) for side in ("left", "right"))
        return s.widened(np.where(kinked, right - left, 0.0))


def same_bits(x: Answer, y: Answer) -> bool:
    """Whether two answers have the same E, outermost sensitivity and gradients (zeros of either sign are the same)."""
    pairs = zip(gradients(x), gradients(y), strict=True)
    return all(np.array_equal(a, b, equal_nan=True) for a, b in pairs)


def gradients(answer: Answer) -> list[np.ndarray]:
    """E, the outermost sensitivity and every gradient."""
    return [
        np.asarray(answer.E),
        *answer.sensitivities[:1],
        *(x for x in (*answer.weights, *answer.biases) if x is not None),
        *(x for own in answer.activations for x in own),
    ]


def probable(case: Case, arrays: Arrays, answer: Answer, model: Model) -> list[Comparison]:
    """E, the outermost delta_p and every gradient (or the slopes along directions) against the variance arithmetic."""
    with np.errstate(all="ignore"):
        if answer.along:
            return [_slopes(case, arrays, answer, model)]
        expected = backpropagate(_network(case, arrays, model, Variance.stored), Variance.stored(arrays.inputs, model))
        added = list(_added_up(case, arrays, expected))
    found = [
        _compare("error", "E", np.asarray(answer.E), expected.E),
        _compare(1, "delta_p", answer.sensitivities[0], expected.delta_p),
    ]
    for k, gradient in enumerate(added):
        for part, observed, own in (("dw", answer.weights[k], gradient.w), ("db", answer.biases[k], gradient.b)):
            if own is not None:
                found.append(_compare(k + 1, part, observed, own))
    for k, activation in enumerate(expected.activations):
        given = (*answer.activations[k : k + 1], ())[0]
        for place, (name, own) in enumerate(activation.items()):
            found.append(_compare(k + 1, f"d{name}", (*given, *[None] * len(activation))[place], own))
    return found


def out_of_range(case: Case, arrays: Arrays, model: Model) -> bool:
    """Whether some number of the forward pass may not fit the dtype."""
    box: Any = _network(case, arrays, model, Variance.stored)
    p: Any = Variance.stored(arrays.inputs, model)
    with np.errstate(all="ignore"):
        while isinstance(box, Box) and np.isfinite(p.variance).all():
            p, box = box.weigh(p), box.inside
    return not np.isfinite(p.variance).all()


def _added_up(case: Case, arrays: Arrays, expected: Any) -> Iterator[Gradient]:
    """The gradients, box by box, with what the mode's way of adding up costs."""
    p = arrays.inputs
    for box, gradient, delta_c in zip(
        boxes(case.network(arrays)), expected.gradients, expected.sensitivities[1:], strict=True
    ):
        yield added_up(gradient, box.activation.value(p), delta_c)
        p = box.weigh(p)


def _slopes(case: Case, arrays: Arrays, answer: Answer, model: Model) -> Comparison:
    """The slope of E along each direction, in dual numbers over variance arithmetic: forward mode's own roundings."""
    slopes = []
    for direction in directions(problem_of(case, arrays)):
        tangents = iter(direction)
        pushed = lambda x, model: Dual(Variance.stored(x, model), Variance.stored(next(tangents), model))  # noqa: B023, E731
        E = _network(case, arrays, model, pushed)(Variance.stored(arrays.inputs, model))
        slopes.append(E.slope)
    value, variance = (np.array([getattr(slope, part) for slope in slopes]) for part in ("value", "variance"))
    return _compare("error", "E'", np.array(answer.along), Variance(value, variance, model))


def _network(case: Case, arrays: Arrays, model: Model, stored: Any) -> Box:
    """The boxes on arrays that `stored` makes of the weights, and then of the biases."""
    targets = arrays.targets if case.error.targets == "classes" else Variance.stored(arrays.targets, model)
    weights = [stored(w, model) for w in arrays.weights]
    biases = [None if b is None else stored(b, model) for b in arrays.biases]
    activations: list[Any] = [probable_activation(a, lambda own: stored(own, model)) for a in case.activations]
    judge: Any = ProbableError(case.error)
    return network(activations, weights, biases, judge, targets)


def _compare(box: int | str, part: Part, observed: np.ndarray | None, expected: Variance) -> Comparison:
    """One array against its probable tolerance, some rows at a time."""
    value = expected.value
    if observed is None or observed.shape != value.shape:
        reason = "is missing" if observed is None else f"has shape {observed.shape}, not {value.shape}"
        return Comparison(box, part, Verdict.SUSPECT, math.inf, reason=reason)
    with np.errstate(all="ignore"):
        found = [_tile(expected[rows], observed[rows], getattr(rows, "start", 0)) for rows in tiles(value)]
    size, largest = (float(np.max([getattr(tile, name) for tile in found])) for name in ("largest", "tolerance"))
    worst = max(found, key=lambda tile: tile.ratio)
    with np.errstate(all="ignore"):
        sharpness = 0.0 if size == 0 and largest <= expected.nothing else float(np.divide(largest, size))
    undecided = not math.isfinite(largest) or not sharpness < 1
    passed = Verdict.UNDECIDED if undecided else Verdict.AGREE
    if any(math.isinf(tile.tolerance) for tile in found):
        passed = Verdict.OUT_OF_RANGE
    return Comparison(
        box, part, Verdict.SUSPECT if worst.ratio > 1 else passed, worst.ratio, worst.place,
        worst.expected, worst.observed, worst.allowed, sharpness, sum(tile.sharp for tile in found), value.size,
    )  # fmt: skip


def _tile(expected: Variance, observed: np.ndarray, start: int) -> Tile:
    """start is the number of the first row."""
    value, tolerance = expected.value, expected.tolerance
    ratio = np.abs(observed - value)
    ratio /= tolerance
    sizes, largest = np.abs(value), float(np.max(tolerance))
    if not np.isfinite(np.max(ratio)) or not math.isfinite(largest):
        ratio = np.where(observed == value, 0.0, np.where(np.isnan(ratio), np.inf, ratio))
        ratio = np.where(np.isfinite(tolerance), ratio, 0.0)
    place = int(np.argmax(ratio))
    at = index(place, value.shape)
    return Tile(
        float(ratio.flat[place]), (start + at[0], *at[1:]) if at else (), float(value.flat[place]),
        float(observed.flat[place]), float(tolerance.flat[place]), float(np.max(sizes)), largest,
        int(np.count_nonzero(sizes > tolerance)),
    )  # fmt: skip
