"""What is claimed of a function against what ball arithmetic proves."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradagree.arithmetics.ball import Ball
from gradagree.arithmetics.model import FORMULA, OWN
from gradagree.errors import UsageError

__all__ = ["compare"]


def compare(
    function: Any, name: str, variable: str, x: np.ndarray, claimed: Ball, true: Ball, scale: np.ndarray
) -> None:
    """Raises UsageError at the first point that differs; constants are rounded to float64, so a few roundings may."""
    gap = abs(claimed - true)
    allowed = FORMULA * OWN * scale
    for i in range(x.size):
        distance = gap.balls[i]
        if true.balls[i].is_finite() and not claimed.balls[i].is_finite():
            raise UsageError(f"{function}: {name} is not finite at {variable} = {x[i]!r}, where the slope of value is")
        if distance.is_finite() and float(distance.lower()) > allowed[i]:
            raise UsageError(
                f"{function}: {name} does not match value: at {variable} = {float(x[i])!r} it gives "
                f"{float(claimed.middle[i])!r}, but the slope of value is {float(true.middle[i])!r} (proved); "
                f"correct {name}, or value"
            )
