"""Numbers and arrays as a script writes them: exactly."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gradagree.verdict import plain

WIDTH = 110


def number(stored: Any) -> str:
    x = plain(stored)
    return repr(x) if math.isfinite(x) else f'float("{x}")'


def written(array: np.ndarray) -> str:
    """``np.array([[...]])``, broken into lines; numbers are written exactly."""
    kind = ", dtype=np.int64" if array.dtype.kind == "i" else ""
    if array.ndim == 1:
        return f"np.array({array.tolist()!r}{kind})"
    rows = [repr(row) for row in array.tolist()]
    inside = ", ".join(rows)
    return (
        f"np.array([{inside}]{kind})"
        if len(inside) < WIDTH
        else "np.array([\n    " + ",\n    ".join(rows) + f",\n]{kind})"
    )
