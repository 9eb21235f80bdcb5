"""Numbers of a dtype: rounding to it, the distance between neighbours, and what underflow may cost."""

from __future__ import annotations

import numpy as np

from gradagree.arithmetics.model import FORMATS, Format

KEEPS_SUBNORMALS = ("float16",)
"""In the other dtypes XLA, and torch in places, takes subnormal numbers for 0."""
LOST = 64
"""Factor by which an intermediate that underflows may be multiplied later."""


def ulp(x: np.ndarray, form: Format) -> np.ndarray:
    """The distance between neighbouring numbers of the format around |x|."""
    _, exponent = np.frexp(np.where(np.isfinite(x), x, 1.0))
    least = form.emin - form.precision + 1
    exponent = np.where(x == 0, form.emin - form.precision, exponent)
    power = np.clip(exponent - form.precision, least, form.emax - form.precision + 1)
    return np.asarray(np.ldexp(1.0, power))


def rounded_to(x: np.ndarray, form: Format) -> np.ndarray:
    """The nearest number of the format, the even one of two; infinity beyond the largest."""
    x = np.asarray(x, dtype=np.float64)
    if form.precision == FORMATS["float64"].precision:
        return x
    with np.errstate(all="ignore"):
        step = ulp(x, form)
        y = np.where(np.isfinite(x), np.rint(x / step) * step, x)
    return np.where(np.abs(y) > form.largest, np.copysign(np.inf, y), y)


def underflow(form: Format) -> float:
    """Below this size zero, or any such number, may stand for any other."""
    return LOST * (form.smallest if form.name in KEEPS_SUBNORMALS else form.smallest_normal)
