"""Where numbers lie on kinks exactly, and the legitimate slopes there."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradagree.reference import Activation, ErrorFunction

__all__ = ["SLOPES", "Kinks", "at_kinks", "error_kinks", "error_slope", "one_sided"]

Kinks = dict[str, np.ndarray]
"""For each kink, by name, where numbers lie on it."""
SLOPES = ("left", "right", "mean", "zero")
"""The legitimate slopes at a kink, in the order in which they are tried."""


def at_kinks(activation: Activation, x: np.ndarray) -> Kinks:
    """For each kink that some p lies on exactly: its name, and where."""
    found = {f"p = {kink:g}": x == kink for kink in activation.kinks}
    return {name: where for name, where in found.items() if where.any()}


def error_kinks(error: ErrorFunction, x: np.ndarray, t: Any) -> Kinks:
    """Likewise for an error function."""
    with np.errstate(all="ignore"):
        where = np.broadcast_to(error.kink(x, t), x.shape) & np.isfinite(x)
    return {"the kink": where} if where.any() else {}


def one_sided(activation: Activation, x: np.ndarray, slope: str) -> Any:
    """The slope of that name: from the left, from the right, their mean, or 0."""
    left, right = (activation.derivative(np.nextafter(x, side * np.inf)) for side in (-1, 1))
    return {"left": left, "right": right, "mean": (left + right) / 2, "zero": np.zeros(x.shape)}[slope]


def error_slope(error: ErrorFunction, x: np.ndarray, t: Any, slope: str) -> Any:
    """Likewise of an error function, to both sides of its kinks."""
    across = np.broadcast_to(error.across(x, t), x.shape)
    beside = [np.where(across == 0, x, np.nextafter(x, np.copysign(np.inf, side * across))) for side in (-1, 1)]
    left, right = (error.sensitivity(o, t) for o in beside)
    return {"left": left, "right": right, "mean": (left + right) / 2, "zero": np.zeros(x.shape)}[slope]
