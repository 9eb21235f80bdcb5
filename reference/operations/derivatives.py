"""Derivatives of NumPy's and SciPy's functions, by the formulas that automatic differentiation uses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

TWO_OVER_ROOT_PI = float(2 / np.sqrt(np.pi))
ROOT_PI = float(np.sqrt(np.pi))
ROOT_2_PI = float(np.sqrt(2 * np.pi))
LOG_2, LOG_10 = float(np.log(2)), float(np.log(10))


def at_zero(x: Any, limit: float, slope: float, derivative: Callable[[Any], Any]) -> Any:
    """A derivative whose formula divides by x, and at x = 0 its limit, with the slope that the derivative has there."""
    near = limit + slope * x if slope else limit
    return np.where(x == 0, near, derivative(np.where(x == 0, 1.0, x)))


STEPS = (np.ceil, np.floor, np.rint, np.sign, np.trunc)
"""Functions with derivative 0 that jump."""

DERIVATIVES: dict[Any, Callable[[Any, Any], Any]] = {
    np.absolute: lambda x, y: np.sign(x),
    np.arccos: lambda x, y: -1 / np.sqrt(1 - x**2),
    np.arccosh: lambda x, y: 1 / np.sqrt((x - 1) * (x + 1)),
    np.arcsin: lambda x, y: 1 / np.sqrt(1 - x**2),
    np.arcsinh: lambda x, y: 1 / np.sqrt(1 + x**2),
    np.arctan: lambda x, y: 1 / (1 + x**2),
    np.arctanh: lambda x, y: 1 / (1 - x**2),
    np.cbrt: lambda x, y: 1 / (3 * y**2),
    np.cos: lambda x, y: -np.sin(x),
    np.cosh: lambda x, y: np.sinh(x),
    np.exp: lambda x, y: y,
    np.exp2: lambda x, y: LOG_2 * y,
    np.expm1: lambda x, y: y + 1,
    np.log: lambda x, y: 1 / x,
    np.log10: lambda x, y: 1 / (LOG_10 * x),
    np.log1p: lambda x, y: 1 / (1 + x),
    np.log2: lambda x, y: 1 / (LOG_2 * x),
    np.negative: lambda x, y: -1.0,
    np.reciprocal: lambda x, y: -(y**2),
    np.sin: lambda x, y: np.cos(x),
    np.sinc: lambda x, y: at_zero(x, 0.0, -(np.pi**2) / 3, lambda x: (np.cos(np.pi * x) - y) / x),
    np.sinh: lambda x, y: np.cosh(x),
    np.sqrt: lambda x, y: 0.5 / y,
    np.square: lambda x, y: 2 * x,
    np.tan: lambda x, y: 1 + y**2,
    np.tanh: lambda x, y: 1 - y**2,
    special.digamma: lambda x, y: special.zeta(2.0, x),
    special.erf: lambda x, y: TWO_OVER_ROOT_PI * np.exp(-(x**2)),
    special.erfc: lambda x, y: -TWO_OVER_ROOT_PI * np.exp(-(x**2)),
    special.erfcinv: lambda x, y: -0.5 * (ROOT_PI * np.exp(y**2)),
    special.erfcx: lambda x, y: 2 * x * y - TWO_OVER_ROOT_PI,
    special.erfinv: lambda x, y: 0.5 * (ROOT_PI * np.exp(y**2)),
    special.exp1: lambda x, y: -np.exp(-x) / x,
    special.expi: lambda x, y: np.exp(x) / x,
    special.expit: lambda x, y: y * (1 - y),
    special.exprel: lambda x, y: at_zero(x, 0.5, 1 / 3, lambda x: (np.exp(x) - y) / x),
    special.gamma: lambda x, y: y * special.digamma(x),
    special.gammaln: lambda x, y: special.digamma(x),
    special.i0: lambda x, y: special.i1(x),
    special.i0e: lambda x, y: special.i1e(x) - np.sign(x) * y,
    special.i1: lambda x, y: at_zero(x, 0.5, 0.0, lambda x: special.i0(x) - y / x),
    special.i1e: lambda x, y: at_zero(x, 0.5, 0.0, lambda x: special.i0e(x) - y * (np.sign(x) + 1 / x)),
    special.log_expit: lambda x, y: special.expit(-x),
    special.log_ndtr: lambda x, y: np.exp(-0.5 * x**2 - y) / ROOT_2_PI,
    special.logit: lambda x, y: 1 / (x * (1 - x)),
    special.ndtr: lambda x, y: np.exp(-0.5 * x**2) / ROOT_2_PI,
    special.ndtri: lambda x, y: ROOT_2_PI * np.exp(0.5 * y**2),
    **{f: lambda x, y: 0.0 for f in STEPS},
}
"""dy/dx from the input x and the output y."""

PARTIALS: dict[Any, tuple[Callable[[Any, Any, Any], Any], Callable[[Any, Any, Any], Any]]] = {
    np.arctan2: (lambda x, y, z: y / (x**2 + y**2), lambda x, y, z: -x / (x**2 + y**2)),
    np.hypot: (lambda x, y, z: x / z, lambda x, y, z: y / z),
    np.logaddexp: (lambda x, y, z: np.exp(x - z), lambda x, y, z: np.exp(y - z)),
    np.power: (lambda x, y, z: y * x ** (y - 1), lambda x, y, z: z * np.log(x)),
    special.xlog1py: (lambda x, y, z: np.log1p(y), lambda x, y, z: x / (1 + y)),
    special.xlogy: (lambda x, y, z: np.log(y), lambda x, y, z: x / y),
}
"""dz/dx and dz/dy from the inputs x and y and the output z."""
