"""Kinks: the entries on them, and the admissible derivatives there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from gradagree.reference import Activation, ErrorFunction

Kinks = dict[str, np.ndarray]
"""For each kink, by name, a mask of the entries that lie on it."""
ADMISSIBLE = ("left", "right", "mean", "zero")
"""The admissible derivatives at a kink, in the order in which they are tried.

All lie between the one-sided derivatives; "zero" is the one of these next to 0.
"""
BETWEEN = 2.0**-32
"""0 lies between one-sided derivatives if it is outside by less than this share of the larger one."""
FROM_REFERENCE = "reference"
"""The reference's own derivative at a kink, where it is none of these: equal shares for outputs that tie."""

STEP_SIZES = [2.0**-k for k in range(520, 0, -40)]
"""The last step changes numbers up to 2^12; its square vanishes beside 1."""


def activation_kinks(activation: Activation, x: np.ndarray) -> Kinks:
    """The kinks of an elementwise activation on which an entry of x lies exactly."""
    found = {f"p = {kink:g}": x == kink for kink in activation.kinks}
    return {name: where for name, where in found.items() if where.any()}


def has_kinks(error: ErrorFunction) -> bool:
    """True if a loss defines ``kink``."""
    return type(error).kink is not ErrorFunction.kink


def loss_kinks(error: ErrorFunction, x: np.ndarray, t: Any) -> Kinks:
    """The kinks of a loss on which an output lies."""
    with np.errstate(all="ignore"):
        kinds = error.kinks(x, t) if hasattr(error, "kinks") else {"the kink": error.kink(x, t)}
        found = {name: np.broadcast_to(on, x.shape) & np.isfinite(x) for name, on in kinds.items()}
    return {name: on for name, on in found.items() if on.any()}


def one_sided_derivative(activation: Activation, x: np.ndarray, name: str) -> Any:
    """One of `ADMISSIBLE` for A'(x)."""
    return admissible_derivative(name, x.shape, lambda side: activation.derivative(np.nextafter(x, side * np.inf)))


def one_sided_loss_gradient(error: ErrorFunction, x: np.ndarray, t: Any, name: str) -> Any:
    """One of `ADMISSIBLE` for dE/do, at the kinks of a loss."""
    return admissible_derivative(name, x.shape, lambda side: loss_gradient_beside(error, x, t, side))


def admissible_derivative(name: str, shape: tuple[int, ...], of_side: Callable[[int], Any]) -> Any:
    """One of `ADMISSIBLE`, from the derivatives of the sides -1 and 1, of which only those needed are evaluated."""
    if name in ("left", "right"):
        return of_side(-1 if name == "left" else 1)
    left, right = np.broadcast_arrays(of_side(-1), of_side(1))
    if name == "mean":
        return (left + right) / 2
    size = BETWEEN * np.maximum(np.abs(left), np.abs(right))
    low, high = np.minimum(left, right), np.maximum(left, right)
    # not a number where a side is not, and then nothing excludes 0
    return np.broadcast_to(np.where(low > size, low, np.where(high < -size, high, 0.0)), shape)


def loss_gradient_beside(error: ErrorFunction, x: np.ndarray, t: Any, side: int) -> Any:
    """dE/do on one side of the kink, extrapolated by 2 s(h) - s(2h) from the smallest of `shifts` that leaves the kink.

    Entries near a kink but not on it stay on their side, if possible.
    """
    across = side * np.broadcast_to(error.across(x, t), x.shape)
    gradient, on = error.sensitivity(x, t), np.broadcast_to(error.kink(x, t), x.shape)
    for near, far in shifts(x, across):
        if not np.any(on):
            break
        limit = 2 * error.sensitivity(near, t) - error.sensitivity(far, t)
        gradient = np.where(on & np.isfinite(limit), limit, gradient)
        on = on & ~(np.isfinite(limit) & ~np.broadcast_to(error.kink(near, t), x.shape))
    return gradient


def shifts(x: np.ndarray, across: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """x one and two steps across a kink, for each of `STEP_SIZES`; before the longest, for one ulp of each number."""
    for step in STEP_SIZES:
        if step == STEP_SIZES[-1]:
            next_to = np.where(across == 0, x, np.nextafter(x, np.copysign(np.inf, across)))
            yield next_to, next_to
        yield x + step * np.sign(across), x + 2 * step * np.sign(across)
