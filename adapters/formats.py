"""The floating-point formats."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Format:
    """A binary floating-point format: precision in bits, exponents of the largest and of the smallest normal number."""

    name: str
    short: str
    precision: int
    emax: int
    emin: int

    @functools.cached_property
    def u(self) -> float:
        return math.ldexp(1.0, -self.precision)

    @functools.cached_property
    def largest(self) -> float:
        return math.ldexp(2.0 - 2.0 * self.u, self.emax)

    @functools.cached_property
    def smallest_normal(self) -> float:
        return math.ldexp(1.0, self.emin)

    @functools.cached_property
    def smallest(self) -> float:
        return math.ldexp(1.0, self.emin - self.precision + 1)


def spacings(x: np.ndarray, form: Format) -> tuple[np.ndarray, np.ndarray]:
    """The distances from finite numbers of a format to the next larger one, and to the next smaller one.

    Example:
        >>> spacings(np.array([1.0, -1.0]), FORMATS["bfloat16"])
        (array([0.0078125 , 0.00390625]), array([0.00390625, 0.0078125 ]))
    """
    fraction, exponent = np.frexp(np.where(np.isfinite(x), x, 1.0))
    last = np.maximum(np.where(x == 0, form.emin, exponent - 1), form.emin) - form.precision + 1
    away = np.ldexp(1.0, last)
    back = np.where((np.abs(fraction) == 0.5) & (exponent - 1 > form.emin), away / 2, away)
    return np.where(x >= 0, away, back), np.where(x > 0, back, away)


PARTS = {"complex32": "float16", "complex64": "float32", "complex128": "float64"}
"""The format of the real and imaginary parts of a dtype of complex numbers."""

FORMATS = {
    form.name: form
    for form in (
        Format("float64", "f64", 53, 1023, -1022),
        Format("float32", "f32", 24, 127, -126),
        Format("float16", "f16", 11, 15, -14),
        Format("bfloat16", "bf16", 8, 127, -126),
    )
}
