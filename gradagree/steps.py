"""Numbers below the normal ones of a dtype: whole multiples of its smallest."""

from __future__ import annotations

import math

import numpy as np

from gradagree.arithmetics.model import Format


def whole_steps(x: np.ndarray, form: Format) -> np.ndarray:
    """x rounded to multiples of the smallest number; x is below the smallest normal one.

    By shifts of the exponent: a quotient by the smallest float64 raises a false overflow in NumPy 1.26.
    """
    _, above = math.frexp(form.smallest)
    return np.ldexp(np.rint(np.ldexp(x, 1 - above)), above - 1)
