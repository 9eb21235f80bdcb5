"""The rounding model of a correct program: bounds on what each operation of a framework may add, in one dtype.

One table for all functions. Adapters may only measure their own entries (`accumulator`, `biases`, `flushes`).

===================================  ============================================  =================================
operation                            bound on what it adds                         source
===================================  ============================================  =================================
+ - *, a stored number               u |v|                                         IEEE 754-2019, 4.3.1
division                             2 u |v|                                       reciprocal and product
sum of n terms, dot product          u_out |v| + n u_acc |a||w|, any order, FMA    Jeannerod and Rump, SIMAX 34 (2013)
dE/dw, per-example gradients stored  plus u |A(p)||delta_c|                        vmap: summed from stored values
p, delta from box to box, compiled   u |v| in 16 bits; exactness is not assumed    excess precision (XLA), fusion
library function (exp, tanh, erf)    12 u |v|                                      measured worst on CPU: 6.5 u (tanh)
the same in 16 bits                  2 u |v|, 4 u if computed in several steps     measured at every number: 1 u, 3 u
tanh, erf, s within u/16 of 1        the distance from 1                           measured: all give 1
derivative of an inner function      plus 2 u of it                                other steps: jax's tanh
cotangents that are added            plus u of the smaller one                     reverse mode may add others to
                                                                                   the larger one first
scalar that is not representable     u |c|                                         IEEE 754-2019, 4.3.1
a value A(p), of any formula         8 u (|A| + |p A'|)                            errors in p and in A of 4 u each
a derivative A'(p), of any formula   8 u (|A'| + |p A''|)                          errors in p and in A' of 4 u each
both, in 16 bits                     2 u in place of 8 u                           measured at every number: 0.9 u
digits lost in a formula             8 u S, S the largest |A| or |A'| on [0, p]    conditioning scale: inaccurate,
                                                                                   not wrong
result below the smallest normal     half the smallest subnormal, or the smallest  IEEE 754-2019, 7.5; flushing is
                                     normal number where subnormals are flushed    measured by a probe
library function below it            the smallest normal number                    vectorised exp and erf flush
===================================  ============================================  =================================

u = 2^-precision is the unit roundoff. The bound on dot products has no pole: gamma_n = n u / (1 - n u) has one at
n u = 1.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from gradagree.adapters.formats import FORMATS as FORMATS, Format as Format

LIBRARY = 12
FORMULA = 8
NARROW = 2
"""Replaces `FORMULA` in 16-bit formats, whose functions are computed in float32."""
DIVISION = 2
OWN = 2.0**-53
"""Unit roundoff of the reference's own float64."""
OUTWARD = 1 + 2.0**-48
"""Factor by which a radius is enlarged after each operation, because it is itself computed in float64."""


@dataclass(frozen=True)
class Model:
    """How a correct program may compute in one format, on one machine.

    Products and sums are accumulated in the format `accumulator`, the gradient of a bias in `biases`. `flushes`:
    subnormal inputs and outputs may become zero. `fused`: a value may be used before it is rounded to its stored
    format. `per_example`: the gradient of each example is stored before the examples are summed. `lowest`: the format
    of the program where this model stands for wider intermediates. `outer`: the model of the program around a section
    that converts its numbers to a narrower format. `products`: the format to which the factors of matrix products are
    rounded, if that is narrower. `ordered`: variances of sums are those of the partial sums in the order of the terms,
    which may be larger than those of terms with random signs.
    """

    format: Format
    accumulator: Format
    biases: Format
    flushes: bool = False
    fused: bool = False
    per_example: bool = False
    lowest: Format | None = None
    outer: Model | None = None
    products: Format | None = None
    ordered: bool = False

    def __hash__(self) -> int:
        return self.hash

    @functools.cached_property
    def hash(self) -> int:
        """Models are the keys of caches of constants, which are used in each operation."""
        return hash(tuple(getattr(self, one.name) for one in fields(self)))

    @functools.cached_property
    def u(self) -> float:
        return self.format.u

    @functools.cached_property
    def quantum(self) -> float:
        """Bound on the underflow error of one result."""
        if self.flushes:
            return self.format.smallest_normal
        return (
            self.format.smallest / 2 if self.format.precision < FORMATS["float64"].precision else self.format.smallest
        )

    @functools.cached_property
    def narrow(self) -> bool:
        """True for 16-bit formats, whose functions are computed in a wider one."""
        return self.format.precision < FORMATS["float32"].precision

    @property
    def least_precision(self) -> int:
        """The precision of the narrowest sums."""
        return min(self.accumulator.precision, self.biases.precision)

    @functools.cached_property
    def broadcast_sums(self) -> Model:
        """The model of sums over broadcast axes, which are accumulated like the gradient of a bias."""
        return replace(self, accumulator=self.biases)

    @functools.cached_property
    def narrow_sums(self) -> Model:
        """The model of sums that a program in 16 bits keeps in its own format, as normalization layers do."""
        return replace(self, accumulator=self.format, biases=self.format) if self.narrow else self.broadcast_sums

    @functools.cached_property
    def plain(self) -> Model:
        """The model of a program that keeps subnormals and rounds each result to its stored format."""
        return replace(self, flushes=False, fused=False)

    @functools.cached_property
    def wide(self) -> Model:
        """The model of one operation in 16 bits that is evaluated in float32; the model itself in wider formats."""
        return replace(self.wide_sums, format=FORMATS["float32"], fused=False) if self.narrow else self

    @functools.cached_property
    def wide_sums(self) -> Model:
        """The model of a program that adds numbers of 16 bits in float32 and stores only the result."""
        if not self.narrow:
            return self
        accumulator, biases = (max(x, FORMATS["float32"], key=_precision) for x in (self.accumulator, self.biases))
        return replace(self, accumulator=accumulator, biases=biases, per_example=False)

    @property
    def formula(self) -> float:
        """Difference between two correct formulas, in units of u at their conditioning scales."""
        return NARROW if self.narrow else FORMULA

    @property
    def excess(self) -> float:
        """Relative difference between a value passed to the next operation and the stored value."""
        return self.u if self.fused and self.narrow else 0.0


def _precision(format: Format) -> int:
    return format.precision


def model(dtype: str, accumulator: str | None = None, flushes: bool = False, biases: str | None = None) -> Model:
    """The model for a dtype. By default 16-bit dtypes accumulate in float32, the others in themselves."""
    wide = "float32" if FORMATS[dtype].precision < FORMATS["float32"].precision else dtype
    return Model(FORMATS[dtype], FORMATS[accumulator or wide], FORMATS[biases or accumulator or wide], flushes)


@functools.lru_cache(maxsize=256)
def converted(current: Model, to: str) -> Model:
    """The model of the operations that follow a conversion of numbers to another format.

    A conversion to a format narrower than the program's own begins a section in that format; one to the program's own
    or a wider one ends it. Wider intermediates are never relied upon: a correct backward pass may lack them.
    """
    home = current.outer or current
    if FORMATS[to].precision >= (home.lowest or home.format).precision:
        return home
    return replace(model(to), flushes=home.flushes, outer=home)


def common(models: Sequence[tuple[Model, int]]) -> Model:
    """The model of an operation on arrays of several models, given with their numbers of axes.

    The widest format counts, as in the promotion of dtypes; scalars count only among themselves.
    """
    arrays = [one for one, axes in models if axes] or [one for one, _ in models]
    return max(arrays, key=lambda one: one.format.precision)
