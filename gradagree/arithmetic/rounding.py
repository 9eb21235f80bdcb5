"""Numbers of a format: the spacing between them, rounding to the nearest one, and the next one."""

from __future__ import annotations

import math

import numpy as np

from gradagree.arithmetic.model import FORMATS, Format

BEYOND_HALF = 2.0**-53 * (1 + 2.0**-50)


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


def outward(x: np.ndarray, side: int) -> np.ndarray:
    """The next number of float64 in a direction, as ``np.nextafter``, which takes ten times longer; of a rounded sum.

    |x| 2^-53 (1 + 2^-50) is more than half the distance to the next number, and at most one. Below 2^-1021, where it
    underflows, sums are exact, and so may stay as they are.
    """
    with np.errstate(all="ignore"):
        found = np.asarray(x + side * BEYOND_HALF * np.abs(x))
        return found if math.isfinite(np.sum(found)) else np.nextafter(x, side * np.inf)


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


def is_representable(x: np.ndarray, form: Format) -> bool:
    """True if all entries are numbers of the format, or infinite."""
    with np.errstate(all="ignore"):
        if form.precision == FORMATS["float64"].precision:
            return not bool(np.isnan(np.sum(x)) and np.isnan(x).any())
        if form.emax != FORMATS["float32"].emax:
            return bool(np.array_equal(x.astype(np.float16), x))
        narrow = x.astype(np.float32)
        cut = np.uint32((1 << FORMATS["float32"].precision - form.precision) - 1)
        return bool(np.array_equal(narrow, x) and not (cut and (narrow.view(np.uint32) & cut).any()))


def round_to_precision(x: np.ndarray, precision: int) -> np.ndarray:
    """x rounded to `precision` significant bits."""
    mantissa, exponent = np.frexp(x)
    return np.asarray(np.ldexp(np.rint(np.ldexp(mantissa, precision)), exponent - precision))
