"""Proofs at single points: a listed kink is one, and a derivative is right where two branches of a formula may meet.

At such a point the derivative of a formula by dual numbers depends on the branch that it takes, and proves nothing.
The limits from both sides do: E or A is evaluated at two distances on either side, far closer than any float64.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import flint
import numpy as np

from gradagree.arithmetic.ball import Ball, lift, precision
from gradagree.arithmetic.dual import Dual, tangent_of
from gradagree.arithmetic.model import FORMULA, OWN
from gradagree.cases.regimes import Source, draw_targets
from gradagree.checker.kink_search import (
    BITS,
    MIN_CHANGE,
    adjacent_intervals,
    derivative_by_dual,
    exact_targets,
    find_jumps,
    margin_of,
)
from gradagree.checker.kinks import has_kinks
from gradagree.errors import UsageError
from gradagree.reference import Activation, ErrorFunction
from gradagree.reference.samples import allowed_width

MEETING_POINTS = (*(k / 4 for k in range(-8, 9)), -6.0, -5.0, -4.0, -3.0, 3.0, 4.0, 5.0, 6.0)
"""Points at which branches of an activation may meet; the input distribution grid draws most of them."""
STEPS = flint.arb(2) ** -(3 * BITS), flint.arb(2) ** -(2 * BITS)
"""Distances from a point; between these, limits change by little."""
BESIDE = 2.0**-20
"""A larger change of a derivative over the margin of a kink is a jump; a smooth function's is near 2^-40."""
MAX_MARKED = 4
"""Entries of a batch on a kink of a loss at which it is proved to be one."""

Dualed = Callable[[Ball], tuple[Any, Any]]
"""From points to the values and the derivatives there."""


def slopes_without_jump(dualed: Dualed, points: np.ndarray) -> list[float | None]:
    """The derivative at each point where function and derivative are continuous; None where one jumps or is unknown."""
    sides = [side * step for step in STEPS for side in (-1, 1)]
    with precision(16 * BITS), np.errstate(all="ignore"):
        near = [[flint.arb(float(x)) + step for x in points] for step in (*sides, flint.arb(0))]
        values, slopes = (
            np.broadcast_to(lift(x).balls, (len(near), len(points))) for x in dualed(Ball(np.array(near, dtype=object)))
        )
        return [_common_limit(values[:, k], slopes[:4, k]) for k in range(len(points))]


def _common_limit(values: np.ndarray, slopes: np.ndarray) -> float | None:
    """The derivative that all four slopes are near, if the four values are near the last one; else None."""
    if not all(x.is_finite() for x in (*values, *slopes)):
        return None
    size = max(abs(x).upper() for x in slopes)
    vanishing = flint.arb(2) ** -BITS
    same_slope = all(abs(x - slopes[0]).upper() <= max(size * MIN_CHANGE, vanishing) for x in slopes[1:])
    least = max(flint.arb(1), abs(values[4]).upper(), size) * vanishing
    same_value = all(abs(x - values[4]).upper() <= least for x in values[:4])
    if not (same_slope and same_value):
        return None
    return 0.0 if size <= vanishing else float(slopes[0].mid())


def derivative_without_jump(activation: Activation, kink: float) -> float | None:
    """A' at a point where A and A' are continuous; None if one of them jumps there, has no limit, or is unknown."""
    return slopes_without_jump(_dualed(activation), np.array([kink]))[0]


def _dualed(activation: Activation) -> Dualed:
    def evaluate(points: Ball) -> tuple[Any, Any]:
        dual = activation.value(Dual.variable(points))
        return dual.value, tangent_of(dual)

    return evaluate


def is_own(function: Activation | ErrorFunction) -> bool:
    """True for a function that is not gradagree's own.

    A function of the catalogue lists kinks that some of its parameters remove, as a slope of 1 does that of leaky_relu.
    """
    return not type(function).__module__.startswith("gradagree.")


def prove_listed_kinks(activation: Activation) -> None:
    """Raises UsageError for a listed kink at which value and its derivative are continuous."""
    if not is_own(activation):
        return
    for kink in activation.kinks:
        slope = derivative_without_jump(activation, kink)
        if slope is not None and not jumps_beside(activation, kink):
            raise UsageError(
                f"{activation}: a false kink: at p = {kink!r} the derivative of value does not jump, it is {slope!r} "
                f"on both sides; remove {kink!r} from kinks"
            )


def jumps_beside(activation: Activation, kink: float) -> bool:
    """True if A' jumps next to a listed kink, within its margin: where the rounded constants of the formula put it."""
    margin = margin_of(kink)
    ends = np.array([kink - margin, kink + margin / 3, kink + margin])
    return any(True for _ in find_jumps(lambda p: derivative_by_dual(activation, p), adjacent_intervals(ends)))


def prove_meeting_points(activation: Activation) -> None:
    """Raises UsageError where the derivative is another one than that of value at a point of `MEETING_POINTS`."""
    if not is_own(activation) or activation.domain not in ("real", "positive"):
        return
    least = 0.0 if activation.domain == "positive" else -np.inf
    points = np.array([x for x in MEETING_POINTS if x > least and x not in activation.kinks])
    exact = slopes_without_jump(_dualed(activation), points)
    with np.errstate(all="ignore"):
        stated = np.broadcast_to(np.asarray(activation.derivative(points), dtype=np.float64), points.shape)
    for x, of_value, given in zip(points, exact, stated, strict=True):
        if of_value is not None and differ(float(given), of_value, float(x)):
            raise UsageError(
                f"{activation}: derivative does not match value: at p = {float(x)!r} it gives {float(given)!r}, but "
                f"the derivative of value is {of_value!r} (proved); correct derivative, or value"
            )


def differ(given: float, exact: float, scale: float) -> bool:
    """True if two derivatives differ by more than the constants and steps of a formula in float64 explain."""
    return bool(abs(given - exact) > 2**10 * FORMULA * OWN * max(abs(given), abs(exact), abs(scale), 1.0))


def prove_loss_at_ties(error: ErrorFunction) -> None:
    """Raises UsageError for a false mark of ``kink``, or a wrong derivative of a loss where numbers tie.

    Outputs and targets are multiples of 1/4, and outputs equal to targets. A mark is false if E and its derivatives are
    continuous in the direction of each output of that example.
    """
    if not is_own(error) or error.domain != "real":
        return
    for o, t in tied_batches(error):
        _prove_batch(error, o, t)


def _prove_batch(error: ErrorFunction, o: np.ndarray, t: Any) -> None:
    """As `prove_loss_at_ties`, for one batch."""
    kinks = np.broadcast_to(error.kink(o, t), o.shape) if has_kinks(error) else np.zeros(o.shape, dtype=bool)
    slopes = _entry_slopes(error, o, t)
    for k, j in np.argwhere(kinks)[:MAX_MARKED].tolist():
        _prove_mark(error, o, t, slopes[k], (k, j))
    with np.errstate(all="ignore"):
        gradient = error.sensitivity(o, t)
    for k, j in np.argwhere(~np.any(kinks, axis=-1, keepdims=True) & np.isfinite(gradient)).tolist():
        slope, given = slopes[k][j], float(gradient[k, j])
        if slope is not None and differ(given, slope, float(o[k, j])):
            raise UsageError(
                f"{error}: sensitivity does not match value: at o = {o.tolist()} and t = {np.asarray(t).tolist()} "
                f"it gives {given!r} for o[{k},{j}], but the derivative of value is {slope!r} (proved); correct "
                "sensitivity, or value"
            )


def _prove_mark(
    error: ErrorFunction, o: np.ndarray, t: Any, slopes: list[float | None], entry: tuple[int, int]
) -> None:
    """Raises UsageError if E has a derivative without a jump in the direction of every output of the example."""
    if any(slope is None for slope in slopes):
        return
    k, j = entry
    raise UsageError(
        f"{error}: a false kink: at o = {o.tolist()} and t = {np.asarray(t).tolist()} the derivative of value does not "
        f"jump at o[{k},{j}], it is {slopes[j]!r} on both sides, but kink(o, t) is true there; make it false"
    )


def _entry_slopes(error: ErrorFunction, o: np.ndarray, t: Any) -> list[list[float | None]]:
    """dE/do where E and this derivative are continuous along that output; None elsewhere."""
    targets = exact_targets(error, t)

    def dualed(unit: np.ndarray) -> Dualed:
        def evaluate(points: Ball) -> tuple[Any, Any]:
            moved = Ball.exact(o) + points[..., None, None] * unit
            dual = error.value(Dual(moved, lift(np.broadcast_to(unit, moved.shape))), targets)
            return dual.value, tangent_of(dual)

        return evaluate

    units = np.eye(o.size).reshape(*o.shape, *o.shape)
    rows, columns = o.shape
    return [[_slope_at_zero(dualed(units[k, j]), margin_of(o[k, j])) for j in range(columns)] for k in range(rows)]


def _slope_at_zero(dualed: Dualed, margin: float) -> float | None:
    """As `slopes_without_jump`, at 0; None too if the derivative jumps beside it, as with rounded constants."""
    left, slope, right = slopes_without_jump(dualed, np.array([-margin, 0.0, margin]))
    if left is None or right is None or abs(right - left) > BESIDE * max(abs(left), abs(right), 1.0):
        return None
    return slope


def tied_batches(error: ErrorFunction) -> Iterator[tuple[np.ndarray, Any]]:
    """A few small batches of multiples of 1/4 with targets of the loss's kind; some outputs equal their targets."""
    outputs = allowed_width(error, 3)
    for number in range(2):
        source = Source(f"ties {error} {number}")
        o = (source.integers(17, (2, outputs)) - 8) / 4.0
        shape = (2,) if error.targets == "classes" else (2, error.width(outputs) or 0)
        grid = (source.integers(17, shape) - 8) / 4.0
        t = draw_targets(error.targets, shape, outputs, source, functools.partial(np.copy, grid))
        yield o, t
        if error.targets != "classes" and t.shape == o.shape:
            yield np.array(t, dtype=np.float64), t
            yield np.where(np.arange(outputs) % 2, o, t + np.sign(o)), t
