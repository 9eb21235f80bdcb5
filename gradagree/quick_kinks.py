"""Which slopes explain what was observed on a kink, where that is beyond doubt."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradagree.arithmetics.model import Model
from gradagree.kinks import OWN, SLOPES, Kinks, one_sided
from gradagree.reference import Activation
from gradagree.tiles import SAFE

__all__ = ["explained"]

DOUBT = 16
"""What is so many tolerances away is no rounding."""
LOST = 2.0**32
"""Nor is what is so many of the smallest normal numbers away lost by underflow."""


def explained(
    activation: Activation, model: Model, kinks: Kinks, p: Any, observed: Any, delta_a: Any, radius: Any
) -> dict[str, frozenset[str]] | None:
    """The slopes that explain all entries on each kink, given delta_a within its radius; None where it is not plain.

    A slope explains if every entry is as near as its own and delta_a's rounding allow, and does not if one is far off.
    """
    found = {}
    for name, on in kinks.items():
        here = [np.broadcast_to(x, on.shape)[on] for x in (observed, delta_a, radius)]
        plain = {slope: _explains(one_sided(activation, p[on], slope), model, *here) for slope in SLOPES}
        if None in plain.values():
            return None
        found[name] = frozenset([OWN, *(slope for slope, yes in plain.items() if yes)])
    return found


def _explains(slope: Any, model: Model, observed: Any, delta_a: Any, radius: Any) -> bool | None:
    value = slope * delta_a
    tolerance = np.abs(slope) * radius + model.u * (model.formula * np.abs(slope) * np.abs(delta_a))
    off = np.abs(observed - value)
    if np.all((off == 0) | (off <= SAFE * tolerance)):
        return True
    return False if np.any(off > DOUBT * tolerance + LOST * model.format.smallest_normal) else None
