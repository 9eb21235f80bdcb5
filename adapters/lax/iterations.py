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
ITERATIONS = ("expi", "expn")
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
    if name == "expi":
        return special.expi, jax.scipy.special.expi
    orders = np.unique(operands[0])
    if len(orders) != 1 or int(orders[0]) not in range(HIGHEST + 1):
        return None
    form = exponential_integral(int(orders[0]))
    return lambda _, x: form(x), jax.scipy.special.expn
