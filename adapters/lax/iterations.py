"""Functions of jax.scipy that iterate until their numbers are close enough: their steps are no NumPy form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.scipy.special
import numpy as np
from scipy import special

OWN_FILES = str(Path(jax.__file__).parent)
"""Where JAX's own functions are."""
NARROW = 4
"""Numbers of fewer bytes than this: JAX computes each step in 16 bits, for which there is no error bound."""
ITERATIONS = ("expi", "expn", "hyp1f1", "hyp2f1")
HIGHEST_ARGUMENT = {3: 30.0, 4: 0.5}
"""By the number of operands. JAX ends a series at a term of eps times the sum, and beyond 1/2 the rest of that of 2F1
is larger."""
HIGHEST = 4
"""The highest order with a form: the recurrence from one order to the next loses digits."""


def exponential_integral(n: int) -> Callable[[Any], Any]:
    """E_n(x), the integral of e^(-x t) / t^n over t > 1: n E_(n+1)(x) = e^-x - x E_n(x) (DLMF 8.19.12)."""

    def form(x: Any) -> Any:
        if n == 0:
            return np.exp(-x) / x
        found = special.exp1(x)
        for k in range(1, n):
            found = (np.exp(-x) - x * found) / k
        return found

    return form


NEGLIGIBLE = 2.0**-62
"""Terms this much smaller than the sum are left out of a series, once they fall by half each."""
LONGEST = 150
"""Terms of a series."""


def factor_of(k: int, upper: Sequence[Any], lower: Sequence[Any], x: Any) -> Any:
    """The ratio of the terms k + 1 and k of a hypergeometric series."""
    found = x / (k + 1)
    for p, q in zip(upper, (*lower, None), strict=False):
        found = found * ((p + k) if q is None else (p + k) / (q + k))
    return found


def hypergeometric(upper: Sequence[Any], lower: Sequence[Any], x: Any, count: int) -> Any:
    """The first terms of the series: sum (a)_k / (b)_k x^k / k! (DLMF 13.2.2) or (a)_k (b)_k / (c)_k x^k / k! (15.2.1).

    With (a)_k = Gamma(a + k) / Gamma(a), whose derivative has the factor psi(a + k) - psi(a), as in JAX.
    """
    total: Any = 1.0
    for k in range(1, count + 1):
        logarithm = k * np.log(x) - float(special.gammaln(k + 1))
        for p in upper:
            logarithm = logarithm + (special.gammaln(p + k) - special.gammaln(p))
        for q in lower:
            logarithm = logarithm - (special.gammaln(q + k) - special.gammaln(q))
        total = total + np.exp(logarithm)
    return total


def terms_of(upper: Sequence[np.ndarray], lower: Sequence[np.ndarray], x: np.ndarray) -> int | None:
    """How many terms of a series suffice, also for its derivatives; None if they are too many."""
    term, total = np.ones(()), np.ones(())
    for k in range(LONGEST):
        ratio = np.abs(factor_of(k, upper, lower, x))
        term = term * ratio
        total = total + term
        if np.all(ratio * (k + 2) < (k + 1) / 2) or np.all(ratio < 0.95):
            rest = np.max(term * (k + 2) ** 2 / total / np.maximum(1 - ratio, 0.05))
            if rest < NEGLIGIBLE:
                return k + 1
    return None


def hypergeometric_form(operands: Sequence[Any]) -> Callable[..., Any] | None:
    """The series of 1F1(a; b; x) or 2F1(a, b; c; x) where JAX evaluates it; None elsewhere."""
    *numbers, x = (np.asarray(y, dtype=np.float64) for y in operands)
    *upper, lower = numbers
    equal = any(bool(np.any(p == lower)) for p in upper)
    if equal or not all(np.all(y > 0) for y in numbers) or not np.all(x < HIGHEST_ARGUMENT[len(operands)]):
        return None
    if np.any(x <= 0):  # "The JAX version only accepts positive and real inputs"
        return None
    if len(operands) == 4 and not np.all(lower - upper[0] - upper[1] > -1):
        return None  # JAX transforms the function first
    if (count := terms_of(upper, (lower,), x)) is None:
        return None

    def form(*given: Any) -> Any:
        *numbers, x = given
        return hypergeometric(numbers[:-1], numbers[-1:], x, count)

    return form


def iteration(name: str, source: str, operands: Sequence[Any]) -> tuple[Callable[..., Any], Callable[..., Any]] | None:
    """(NumPy form, JAX's own function) of a compiled function of JAX with this name; None without any.

    Args:
        name: Name of the compiled function.
        source: Name and file of the function that was traced.
        operands: Its operands, ordinary arrays.
    """
    file = source.partition(" at ")[2]
    if name not in ITERATIONS or not file.startswith(OWN_FILES) or operands[-1].dtype.itemsize < NARROW:
        return None
    if name.startswith("hyp"):
        form = hypergeometric_form(operands)
        return form and (form, getattr(jax.scipy.special, name))
    if name == "expi":
        return special.expi, jax.scipy.special.expi
    orders = np.unique(operands[0])
    if len(orders) != 1 or int(orders[0]) not in range(HIGHEST + 1):
        return None
    integral = exponential_integral(int(orders[0]))
    return lambda _, x: integral(x), jax.scipy.special.expn
