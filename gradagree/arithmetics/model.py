"""The model of a correct program: what may happen to a number that a framework computes in one dtype.

One table for all functions. Adapters may only measure their own entries (`accumulator`, `biases`, `flushes`).

===================================  ============================================  =================================
operation                            bound on what it adds                         source
===================================  ============================================  =================================
+ - *, a stored number               u |v|                                         IEEE 754-2019, 4.3.1
division                             2 u |v|                                       reciprocal and product
sum of n terms, dot product          u_out |v| + n u_acc |a||w|, any order, FMA    Jeannerod and Rump, SIMAX 34 (2013)
dE/dw, each example's own stored     u |A(p)||delta_c| more                        vmap: added up from stored numbers
p, delta from box to box, compiled   u |v| in 16 bits; exactness is not assumed    excess precision (XLA), fusion
library function (exp, tanh, erf)    12 u |v|                                      measured worst on CPU: 6.5 u (tanh)
likewise in 16 bits                  2 u |v|, 4 u where it is worked out in steps  measured at every number: 1 u, 3 u
tanh, erf, s within u/16 of 1        the distance from 1                           measured: all give 1
slope of a function others follow    2 u of it more                                in other steps: jax's tanh
paths of E's slope that meet         u of the lesser one more                      reverse mode may add others to
                                                                                   the greater one first
scalar that is not representable     u |c|                                         IEEE 754-2019, 4.3.1
a value A(p), of any formula         8 u (|A| + |p A'|)                            errors in p and in A of 4 u each
a derivative A'(p), of any formula   8 u (|A'| + |p A''|)                          likewise
both, in 16 bits                     2 u in place of 8 u                           measured at every number: 0.9 u
digits lost in a formula             8 u S, S the largest |A| or |A'| on [0, p]    natural scale: lost, not wrong
result below the smallest normal     half the smallest subnormal, or the smallest  IEEE 754-2019, 7.5; flushing is
                                     normal number where subnormals are flushed    measured by a probe
library function below it            the smallest normal number                    vectorised exp and erf flush
===================================  ============================================  =================================

u = 2^-precision is the unit roundoff. The bound on dot products has no pole: gamma_n = n u / (1 - n u) has one at
n u = 1.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace

LIBRARY = 12
FORMULA = 8
NARROW = 2
"""In place of `FORMULA` in formats of 16 bits, whose functions are worked out in float32."""
DIVISION = 2
OWN = 2.0**-53
"""Unit roundoff of the reference's own float64."""
OUTWARD = 1 + 2.0**-48
"""Factor by which a radius, itself computed in float64, is blown up after each operation."""


@dataclass(frozen=True)
class Format:
    """A binary floating-point format: precision in bits, exponent of the largest number and of the smallest normal."""

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


FORMATS = {
    form.name: form
    for form in (
        Format("float64", "f64", 53, 1023, -1022),
        Format("float32", "f32", 24, 127, -126),
        Format("float16", "f16", 11, 15, -14),
        Format("bfloat16", "bf16", 8, 127, -126),
    )
}


@dataclass(frozen=True)
class Model:
    """What a correct program with numbers of one format may compute, on one machine.

    Products and sums are accumulated in `accumulator`, a bias's gradient in `biases`; flushes says that subnormals may
    become zero, on input and on output; fused, that a number may be used before it is rounded to be stored;
    each_alone, that each example's own gradient is stored before they are added up.
    """

    format: Format
    accumulator: Format
    biases: Format
    flushes: bool = False
    fused: bool = False
    each_alone: bool = False

    @functools.cached_property
    def u(self) -> float:
        return self.format.u

    @functools.cached_property
    def quantum(self) -> float:
        """What underflow may add to one result."""
        if self.flushes:
            return self.format.smallest_normal
        return (
            self.format.smallest / 2 if self.format.precision < FORMATS["float64"].precision else self.format.smallest
        )

    @functools.cached_property
    def narrow(self) -> bool:
        """Whether numbers have 16 bits, and functions are worked out with more."""
        return self.format.precision < FORMATS["float32"].precision

    @functools.cached_property
    def outwards(self) -> Model:
        """For the sums that automatic differentiation makes of what was spread: as it makes a bias's gradient."""
        return replace(self, accumulator=self.biases)

    @property
    def formula(self) -> float:
        """How many u another correct formula may differ, at its scales."""
        return NARROW if self.narrow else FORMULA

    @property
    def excess(self) -> float:
        """How far a number that a box hands on may be from what is stored, relatively."""
        return self.u if self.fused and self.narrow else 0.0


def model(dtype: str, accumulator: str | None = None, flushes: bool = False, biases: str | None = None) -> Model:
    """The model for a dtype's name; by default the 16-bit ones accumulate in float32, the others in themselves."""
    wide = "float32" if FORMATS[dtype].precision < FORMATS["float32"].precision else dtype
    return Model(FORMATS[dtype], FORMATS[accumulator or wide], FORMATS[biases or accumulator or wide], flushes)
