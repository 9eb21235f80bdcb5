"""Normalises NumPy calls: functions that are equivalent, arguments that only repeat a default."""

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
"""Ufunc methods and the functions that they are equivalent to."""

ALIASES: dict[Callable[..., Any], Callable[..., Any]] = {
    np.amax: np.max, np.amin: np.min, np.conjugate: np.positive, np.fmax: np.maximum, np.fmin: np.minimum,
    np.float_power: np.power, np.degrees: np.rad2deg, np.radians: np.deg2rad, np.i0: special.i0,
    special.cbrt: np.cbrt, special.exp2: np.exp2, special.expm1: np.expm1, special.log1p: np.log1p,
    special.round: np.rint, getattr(special._ufuncs, "_zeta", special.zeta): special.zeta,
}  # fmt: skip
"""Functions that are equivalent to another one for inputs without NaN."""

DEFAULTS = (None, True, getattr(np, "_NoValue", None))
DEFAULT_ONLY = ("dtype", "initial", "out", "where")
"""Keyword arguments accepted only at their defaults."""
IGNORED = ("copy", "kind", "optimize", "stable")
"""Keyword arguments that do not change the result."""


def drop_defaults(kwargs: dict[str, Any]) -> dict[str, Any]:
    """The keyword arguments without those that only repeat a default; the default dtype is float64."""
    return {
        name: value
        for name, value in kwargs.items()
        if name not in IGNORED
        and not (name in DEFAULT_ONLY and any(value is default for default in DEFAULTS))
        and not (name == "dtype" and value in (float, np.float64, "float64"))
    }


REDUCING = (np.sum, np.prod, np.mean, np.var, np.std, np.max, np.min, np.cumsum, np.cumprod, np.ptp, np.average)


def bind_reduction_arguments(
    function: Callable[..., Any], args: Any, kwargs: dict[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """Positional arguments of a reduction after array and axis, as keyword arguments."""
    if function not in REDUCING or len(args) <= 2:
        return args, kwargs
    names = list(inspect.signature(function).parameters)[2:]
    return args[:2], {**dict(zip(names, args[2:], strict=False)), **kwargs}
