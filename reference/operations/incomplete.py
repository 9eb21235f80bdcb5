"""Incomplete gamma and beta functions, and their derivatives with respect to the order, which Arb computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

from gradagree.reference.operations.moves import constant
from gradagree.reference.operations.primitive import overridable, register, sum_to

BY_ORDER: dict[str, Callable[..., Any]] = {}
"""The two derivatives on ordinary arrays, by name, once `gradagree.arithmetic` is imported; Arb has their series."""


@overridable
def gammainc_by_order(a: Any, x: Any) -> Any:
    """The derivative of scipy.special.gammainc(a, x) with respect to a.

    Example:
        >>> import gradagree.arithmetic
        >>> round(float(gammainc_by_order(1.0, 1.0)), 6)
        -0.431775
    """
    return BY_ORDER["gamma"](a, x)


@overridable
def betainc_by_order(a: Any, b: Any, x: Any) -> Any:
    """The derivative of scipy.special.betainc(a, b, x) with respect to a.

    Example:
        >>> import gradagree.arithmetic
        >>> round(float(betainc_by_order(1.0, 1.0, 0.5)), 6)
        -0.346574
    """
    return BY_ORDER["beta"](a, b, x)


def together(*xs: Any) -> list[Any]:
    """The operands in one arithmetic: a program computes the logarithm of a constant's Gamma, too, and rounds it."""
    first = next((x for x in xs if hasattr(x, "_lift")), None)
    return [x if first is None or hasattr(x, "_lift") else constant(first, x) for x in xs]


def gamma_density(a: Any, x: Any) -> Any:
    """d/dx P(a, x)."""
    a, x = together(a, x)
    return np.exp((a - 1) * np.log(x) - x - special.gammaln(a))


def beta_density(a: Any, b: Any, x: Any) -> Any:
    """d/dx I_x(a, b)."""
    a, b, x = together(a, b, x)
    whole = special.gammaln(a) + special.gammaln(b) - special.gammaln(a + b)
    return np.exp((a - 1) * np.log(x) + (b - 1) * np.log1p(-x) - whole)


def gammainc(sign: float) -> Callable[..., Any]:
    def vjp(g: Any, y: Any, a: Any, x: Any) -> tuple[Any, Any]:
        partials = gammainc_by_order(a, x), gamma_density(a, x)
        by_a, by_x = (sum_to(sign * g * partial, np.shape(z)) for partial, z in zip(partials, (a, x), strict=True))
        return by_a, by_x

    return vjp


def betainc(g: Any, y: Any, a: Any, b: Any, x: Any) -> tuple[Any, Any, Any]:
    """I_x(a, b) = 1 - I_(1-x)(b, a)."""
    partials = betainc_by_order(a, b, x), -betainc_by_order(b, a, 1 - x), beta_density(a, b, x)
    by_a, by_b, by_x = (sum_to(g * partial, np.shape(z)) for partial, z in zip(partials, (a, b, x), strict=True))
    return by_a, by_b, by_x


register(special.gammainc, gammainc(1.0))
register(special.gammaincc, gammainc(-1.0))
register(special.betainc, betainc)
register(gammainc_by_order, None)
register(betainc_by_order, None)
