"""The probable check: a whole gradient at once, against the reference run end to end in variance arithmetic.

A bound carried through a network is vacuous after a few boxes; the variance of the rounding errors is not. It is a
trigger, not a proof: it judges what the taps might disturb.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gradagree.adapters import Answer, directions
from gradagree.arithmetics.dual import Dual, slope_of
from gradagree.arithmetics.model import Model
from gradagree.arithmetics.rounded import Rounded
from gradagree.arithmetics.variance import DEVIATIONS, Variance, blocks
from gradagree.arithmetics.variance_products import factors, may_overflow, stored_sum
from gradagree.cases import Arrays, Case, problem_of
from gradagree.checker.allowances import finite, largest_sensitivity, largest_up_to, product, second, values_of
from gradagree.checker.derivative_forms import along, formed_sensitivity, pull_change, rows, value_change
from gradagree.comparison import Comparison, Part, Tile, index
from gradagree.kinks import at_kinks, error_slope, one_sided
from gradagree.reference import Activation, Box, ErrorFunction, network
from gradagree.reference.boxes import Gradient, boxes
from gradagree.summation import added_up
from gradagree.verdict import Verdict

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
    return [_tile(expected[rows], observed[rows], getattr(rows, "start", 0), dull) for rows in blocks(observed)]


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


@dataclass(frozen=True)
class ProbableError:
    """An error function in variance arithmetic, or in dual numbers over it."""

    error: ErrorFunction
    formed: bool = False

    def value(self, o: Any, t: Any) -> Any:
        if isinstance(o, Dual):
            return Dual(self.error.value(o.value, t), np.sum(self.sensitivity(o.value, t) * o.slope, axis=(-2, -1)))
        return self.error.value(o, t)

    def sensitivity(self, o: Variance, t: Any) -> Any:
        """dE/do, with other formulas' errors, u (|s| + S), those of E's own if formed, and its jump on a kink."""
        s, plain = o._lift(self.error.sensitivity(o, t)), values_of(t)
        scale = np.abs(s.value) + largest_sensitivity(self.error, o.value, plain)
        s = s.widened(o.model.u * finite(scale) * (s.variance > 0))
        if self.formed:
            given = plain if self.error.targets == "classes" else Rounded.stored(plain, o.model)
            formed = formed_sensitivity(self.error, Rounded.stored(o.value, o.model), given)
            s = s if formed is None else s.widened(np.nan_to_num(formed.radius / DEVIATIONS, posinf=0.0))
        kinked = self.error.kink(o.value, plain)
        if not np.any(kinked):
            return s
        left, right = (error_slope(self.error, o.value, plain, side) for side in ("left", "right"))
        return s.widened(np.where(kinked, right - left, 0.0))


@dataclass(frozen=True)
class ProbableActivation:
    """An activation in variance arithmetic, with other formulas' errors: u (|A| + |p A'|), u (|A'| + |p A''| + S).

    tangents holds the tangents of its own weights where dual numbers are pushed forward.
    """

    activation: Activation
    tangents: dict[str, Variance] = field(default_factory=dict)

    @property
    def own_weights(self) -> tuple[str, ...]:
        return self.activation.own_weights

    def shared_along(self, name: str) -> tuple[int, ...]:
        return self.activation.shared_along(name)

    def value(self, p: Any) -> Any:
        if not isinstance(p, Dual) and not self.tangents:
            return self.value_of(p)
        x = p if isinstance(p, Dual) else Dual(p, p._lift(np.zeros(p.shape)))
        slope = self.push(x.value, x.slope)
        for name, tangent in self.tangents.items():
            slope = slope + self.by(name, x.value) * tangent
        return Dual(self.value_of(x.value), slope)

    def value_of(self, p: Variance) -> Variance:
        a = self.activation.value(p)
        return p if a is p else self.widened(a, p, lambda x: product(x, self.activation.derivative(x)))

    def push(self, p: Variance, tangent: Variance) -> Any:
        """The slope of A(p) along a tangent."""
        return self.derivative(p) * tangent

    def derivative(self, p: Variance) -> Variance:
        """A'(p), with what automatic differentiation of A may lose, and with the jump of A' on a kink."""

        def change(x: np.ndarray) -> Any:
            return product(x, second(self.activation, x)) + largest_up_to(self.activation, "derivative", x)

        x = p.value
        slope = self.widened(self.activation.derivative(p), p, change)
        formed = p._lift(slope_of(self.activation.value(Dual.variable(p))))
        slope = slope.widened(np.nan_to_num(formed.deviation, posinf=0.0))
        if not at_kinks(self.activation, x):
            return slope
        left, right = (one_sided(self.activation, x, side) for side in ("left", "right"))
        return slope.widened(np.where(np.isin(x, self.activation.kinks), right - left, 0.0))

    def by(self, name: str, p: Variance) -> Variance:
        """dA/da of one of its own weights."""
        by = self.activation.by
        return self.widened(by(name, p), p, lambda x: product(x, slope_of(by(name, Dual.variable(x)))))

    def vjp(self, p: Variance, delta_a: Variance) -> Any:
        return self.derivative(p) * delta_a

    def widened(self, a: Any, p: Variance, change: Callable[[np.ndarray], Any]) -> Variance:
        """With an error of u (|a| + its change for a change of p) more, where there is one."""
        a = p._lift(a)
        return a.widened(p.model.u * finite(np.abs(a.value) + change(p.value)) * (a.variance > 0))


@dataclass(frozen=True)
class ProbableVector(ProbableActivation):
    """An activation with a vjp of its own."""

    def value_of(self, p: Variance) -> Variance:
        a = self.activation.value(p)
        return p if a is p else self.widened(a, p, lambda x: value_change(self.activation, x))

    def push(self, p: Variance, tangent: Variance) -> Any:
        """The tangent's product with each row of dA_j/dp_i; of several tangents, on a first axis, each by itself."""
        partials = rows(self.activation, p)
        if tangent.ndim > p.ndim:
            return np.stack([along(partials, one) for one in tangent])
        return along(partials, tangent)

    def vjp(self, p: Variance, delta_a: Variance) -> Any:
        found = self.activation.vjp(p, delta_a)
        return self.widened(found, p, lambda x: pull_change(self.activation, x, delta_a.value))


def probable_activation(activation: Activation, tangent: Callable[[np.ndarray], Any]) -> ProbableActivation:
    """tangent makes Dual numbers of an own weight's number, or plain ones."""
    pushed = {name: tangent(np.asarray(getattr(activation, name), dtype=np.float64)) for name in activation.own_weights}
    tangents = {name: over_examples(x.slope, x.value.ndim) for name, x in pushed.items() if isinstance(x, Dual)}
    return (ProbableVector if activation.along_last_axis else ProbableActivation)(activation, tangents)


def over_examples(tangent: Variance, ndim: int) -> Any:
    """An own weight's tangent; several, on a first axis, in a shape that goes with p's examples and numbers."""
    return np.expand_dims(tangent, tuple(range(1, 3 - ndim))) if tangent.ndim > ndim else tangent  # type: ignore[call-overload]
