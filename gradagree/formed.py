"""What automatic differentiation of an error function's value may form, within its own roundings."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradagree.adapters import Unsupported, share
from gradagree.arithmetics.dual import Dual, slope_of
from gradagree.arithmetics.rounded import Rounded
from gradagree.reference import ErrorFunction

__all__ = ["formed_sensitivity"]

LARGEST = 1 << 22
"""Numbers in the arrays that hold every direction at once; beyond, this is not worked out."""


def formed_sensitivity(error: ErrorFunction, o: Rounded, t: Any) -> Rounded | None:
    """dE/do from dual numbers over rounded ones: one direction for each output, each example alone.

    None where the error function couples the examples, or where there are too many outputs.
    """
    examples, outputs = o.shape
    if outputs * examples * outputs > LARGEST:
        return None
    try:
        counts = share(error, examples)
    except Unsupported:
        return None
    alone = o[:, None, :]
    directions = np.broadcast_to(np.eye(outputs)[:, None, None, :], (outputs, examples, 1, outputs))
    everywhere = np.broadcast_to(alone, directions.shape)  # type: ignore[call-overload]
    E = error.value(Dual(everywhere, o._lift(directions)), t[:, None])
    slope: Rounded = slope_of(E) * counts
    return slope.T
