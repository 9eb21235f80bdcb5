"""What is claimed of a function against what ball arithmetic proves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gradagree.arithmetics.ball import Ball
from gradagree.arithmetics.model import FORMULA, OWN
from gradagree.errors import UsageError
from gradagree.extensions import file_of, line_in

WHOLE = "write it with NumPy's functions on whole arrays, such as np.tanh and np.where"
HINTS = {
    "truth value of an array": "write np.where(condition, this, that) in place of if, and np.maximum in place of max",
    "converted to Python scalars": f"{WHOLE}, not math's",
    "converted to a scalar": WHOLE,
    "setting an array element": WHOLE,
    "float() argument": WHOLE,
    "read-only": WHOLE,
    "item assignment": WHOLE,
}
"""What to do about errors that formulas for single numbers raise."""


def compare(
    function: Any, name: str, variable: str, x: np.ndarray, claimed: Ball, true: Ball, scale: np.ndarray
) -> None:
    """Raises UsageError at the first point that differs; constants are rounded to float64, so a few roundings may."""
    gap = abs(claimed - true)
    allowed = FORMULA * OWN * scale
    for i in range(x.size):
        distance = gap.balls[i]
        if true.balls[i].is_finite() and not claimed.balls[i].is_finite():
            raise UsageError(
                f"{function}: {name} is not finite at {variable} = {float(x[i])!r}, where the slope of value is "
                f"{float(true.middle[i])!r}; correct {name}"
            )
        if distance.is_finite() and float(distance.lower()) > allowed[i]:
            raise UsageError(
                f"{function}: {name} does not match value: at {variable} = {float(x[i])!r} it gives "
                f"{float(claimed.middle[i])!r}, but the slope of value is {float(true.middle[i])!r} (proved); "
                f"correct {name}, or value"
            )


def told(wrong: Exception, kind: type) -> str:
    """An exception that a formula raised, with its line where the class is from a file, and what to write instead."""
    file = file_of(kind)
    where = "" if file is None else line_in(wrong, Path(file))
    first = str(wrong).partition("\n")[0]
    hint = next((f"; {hint}" for part, hint in HINTS.items() if part in first), "")
    return f"{type(wrong).__name__} in its formula{where}: {first}{hint}"
