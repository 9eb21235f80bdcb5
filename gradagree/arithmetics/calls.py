"""How NumPy's calls are read: which functions are the same, and which arguments say nothing."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

REDUCTIONS: dict[Any, Any] = {
    (np.add, "reduce"): np.sum, (np.maximum, "reduce"): np.max, (np.minimum, "reduce"): np.min,
    (np.multiply, "reduce"): np.prod, (np.logaddexp, "reduce"): special.logsumexp,
    (np.logical_or, "reduce"): np.any, (np.logical_and, "reduce"): np.all,
    (np.add, "accumulate"): np.cumsum, (np.multiply, "accumulate"): np.cumprod,
}  # fmt: skip
"""Methods of ufuncs, and the functions that are the same."""

ALIASES: dict[Callable[..., Any], Callable[..., Any]] = {
    np.amax: np.max, np.amin: np.min, np.conjugate: np.positive, np.fmax: np.maximum, np.fmin: np.minimum,
    np.float_power: np.power, np.degrees: np.rad2deg, np.radians: np.deg2rad, np.i0: special.i0,
    special.cbrt: np.cbrt, special.exp2: np.exp2, special.expm1: np.expm1, special.log1p: np.log1p,
    special.round: np.rint, getattr(special._ufuncs, "_zeta", special.zeta): special.zeta,
}  # fmt: skip
"""Functions that are another one of numbers that are no NaN."""

DEFAULTS = (None, True, getattr(np, "_NoValue", None))
SAYING = ("dtype", "initial", "out", "where")
"""Arguments that say nothing at their defaults, and that no rule takes at any other value."""
POINTLESS = ("copy", "kind", "optimize", "stable")
"""Arguments on which no answer depends."""


def ordinary(kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments without those that only repeat a default; numbers are of float64 by default."""
    return {
        name: value
        for name, value in kwargs.items()
        if name not in POINTLESS
        and not (name in SAYING and any(value is default for default in DEFAULTS))
        and not (name == "dtype" and value in (float, np.float64, "float64"))
    }


REDUCING = (np.sum, np.prod, np.mean, np.var, np.std, np.max, np.min, np.cumsum, np.cumprod, np.ptp, np.average)


def named(function: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The arguments of a reduction by their names in NumPy, but for the array and the axis."""
    if function not in REDUCING or len(args) <= 2:
        return args, kwargs
    names = list(inspect.signature(function).parameters)[2:]
    return args[:2], {**dict(zip(names, args[2:], strict=False)), **kwargs}
