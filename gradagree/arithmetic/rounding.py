"""Numbers of a format: the spacing between them, rounding to the nearest one, and the next one."""

from __future__ import annotations

import math

import numpy as np

from gradagree.arithmetic.model import FORMATS, Format


def ulp(x: np.ndarray, form: Format) -> np.ndarray:
    """The distance between neighbouring numbers of the format around |x|."""
    _, exponent = np.frexp(np.where(np.isfinite(x), x, 1.0))
    least = form.emin - form.precision + 1
    exponent = np.where(x == 0, form.emin - form.precision, exponent)
    power = np.clip(exponent - form.precision, least, form.emax - form.precision + 1)
    return np.asarray(np.ldexp(1.0, power))


def round_to_format(x: np.ndarray, form: Format) -> np.ndarray:
    """The nearest number of the format, the even one of two; infinity beyond the largest."""
    x = np.asarray(x, dtype=np.float64)
    if form.precision == FORMATS["float64"].precision:
        return x
    with np.errstate(all="ignore"):
        step = ulp(x, form)
        y = np.where(np.isfinite(x), np.rint(x / step) * step, x)
    return np.where(np.abs(y) > form.largest, np.copysign(np.inf, y), y)


def next_number(x: float, towards: float, form: Format) -> float:
    """The next number of the format."""
    if not math.isfinite(x):
        return x
    _, exponent = math.frexp(x)
    least = form.emin - form.precision + 1
    step = form.smallest if x == 0 else math.ldexp(1.0, max(exponent - form.precision, least))
    below = math.copysign(step, towards)
    if abs(x) == math.ldexp(0.5, exponent) and x != 0 and (x > 0) != (towards > 0):
        below = math.copysign(max(step / 2, form.smallest), towards)
    return float(round_to_format(np.asarray(x + below), form))


def round_to_precision(x: np.ndarray, precision: int) -> np.ndarray:
    """x rounded to `precision` significant bits."""
    mantissa, exponent = np.frexp(x)
    return np.asarray(np.ldexp(np.rint(np.ldexp(mantissa, precision)), exponent - precision))
