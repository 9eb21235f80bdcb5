"""Errors of library functions in correct programs: one record a function, measured on CPU in torch and jax.

Measured eager and compiled, contiguous and strided, in all four formats, against ball arithmetic: densely in float64
and float32, at every number in float16 and bfloat16.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special


@dataclass(frozen=True)
class Library:
    """The errors of a function, in multiples of `LIBRARY` u, and its turning points.

    forward: relative to the result. backward: relative to the argument (for steep functions, where its rounding
    matters). absolute: in u of the accumulator. narrow: the same, in 16-bit formats only. half: replaces forward in
    16-bit formats, in u. accuracy: relative error of an algorithm with a fixed number of digits in every format.
    slope: a bound on |f'| for arguments of at least a given magnitude, used instead of turns. domain: True for ends
    between which the function is known. peak: an intermediate that overflows before the result does, as a function of
    the argument's magnitude.
    """

    turns: tuple[float, ...] = ()
    forward: float = 1
    backward: float = 0
    absolute: float = 0
    narrow: float = 0
    accuracy: float = 0
    half: float = 2
    slope: Callable[[Any], Any] | None = None
    domain: Callable[[Any, Any], Any] | None = None
    peak: Callable[[Any], Any] | None = None


def between_poles(low: Any, high: Any) -> Any:
    """True if no pole of tan lies between the ends, with a margin."""
    margin = 2.0**-50 * (np.abs(low) + np.abs(high))
    return (low == high) | (np.rint((low - margin) / np.pi) == np.rint((high + margin) / np.pi))


LOWEST_GAMMA = 1.4616321449683623
HIGHEST_I1E = 1.5451272579925426
PLAIN, STEEP, COMPOSED = Library(), Library(backward=1), Library(half=4)
ZETA = Library(domain=lambda low, high: low > 0)

ACCURATE = (np.arctan, np.cbrt, np.exp, np.log, np.sqrt, np.tanh, special.exprel, special.ndtri)
IN_STEPS = (
    np.arccos, np.arccosh, np.arcsin, np.arcsinh, np.expm1, np.log10, np.log2, special.expit, special.log_expit,
)  # fmt: skip
CLIMBING = (
    np.exp2, special.erfc, special.erfcinv, special.erfcx, special.logit, special.ndtr,
)  # fmt: skip

FUNCTIONS: dict[Any, Library] = {
    **dict.fromkeys(ACCURATE, PLAIN), **dict.fromkeys(IN_STEPS, COMPOSED), **dict.fromkeys(CLIMBING, STEEP),
    **dict.fromkeys((np.cos, np.sin), Library(slope=np.ones_like)),
    np.arctanh: Library(accuracy=2.0**-45, half=4),
    np.cosh: Library(turns=(0.0,), backward=1, peak=np.exp),
    np.log1p: Library(accuracy=2.0**-44),
    np.sinc: Library(slope=lambda size: 2 / np.maximum(size, 1.4), backward=1, half=4, peak=lambda size: np.pi * size),
    np.sinh: Library(backward=1, peak=np.exp),
    np.tan: Library(domain=between_poles),
    special.digamma: Library(backward=2, domain=lambda low, high: low > 0),
    special.erf: Library(narrow=1),
    **dict.fromkeys((special.erfinv, special.log_ndtr), Library(forward=2, backward=1)),
    special.gammaln: Library((LOWEST_GAMMA,), backward=1, absolute=4, domain=lambda low, high: low > 0),
    special.i0: Library((0.0,), half=4, peak=np.exp),
    special.i0e: Library((0.0,)),
    special.i1: Library(forward=2, half=4, peak=np.exp),
    special.i1e: Library((-HIGHEST_I1E, HIGHEST_I1E), forward=2),
}  # fmt: skip
"""Measured, in u of the result, or absolute where a value is near 0:

half       at every number of 16 bits: 1, and 3 where XLA rounds its formula's steps (log2, expit, arccosh)
backward   XLA's exp2, sinh and cosh raise e to a rounded power (716 in float64); so do erfc and ndtr; zeros of logit
forward    i1 and i1e: 19 where two series meet, near 7.7; erfinv: 34 in XLA; log_ndtr: 13, compiled by Inductor
absolute   gammaln: 35 in size near 1 and 2, by XLA's sum of large terms that cancel
narrow     erf: 3.4 of float32 in size, by torch's polynomial for vectors of bfloat16
accuracy   XLA's log1p in float64: 241 just above -0.4142; arctanh through it: 147
peak       e^x overflows in sinh, cosh, i0 and i1 before it is halved or scaled; pi x in sinc
"""
