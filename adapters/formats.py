"""The floating-point formats."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass


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


PARTS = {"complex64": "float32", "complex128": "float64"}
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
