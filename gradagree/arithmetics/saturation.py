"""Functions with a limit of magnitude 1: where the exact value is within u/16 of it, every library returns the limit.

Measured on CPU for tanh, the logistic function and erf, in torch and jax, eager and compiled, in all four formats. The
distance to the limit is then known much better than a relative bound on the value says.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special

from gradagree.arithmetics.model import Model

SATURATED = 1 / 16
"""In u."""
OUTWARD = 1 + 2.0**-40
SMALLEST = 5e-324
"""A distance is enlarged for its own rounding in float64."""

TAILS: dict[Any, Any] = {
    np.tanh: lambda size: 2 * special.expit(-2 * size),
    special.erf: special.erfc,
    special.expit: lambda x: special.expit(-x),
}
"""The distance of f(x) from its limit; for odd functions, as a function of |x|."""


def tail_of(f: Any, x: np.ndarray, radius: np.ndarray, model: Model) -> tuple[Any, Any]:
    """(distance from the limit; the limit, or 0 where not saturated). The limit is None if no entry is saturated."""
    odd = f is not special.expit
    size = (np.abs(x) if odd else x) - radius
    tail = TAILS[f](size) * OUTWARD + SMALLEST
    saturated = tail < SATURATED * model.u
    if not np.any(saturated):
        return tail, None
    return tail, np.where(saturated, np.sign(x) if odd else 1.0, 0.0)
