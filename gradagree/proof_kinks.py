"""Whether an activation lists its kinks: none is found that ``kinks`` leaves out."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gradagree.arithmetics.dual import Dual, slope_of
from gradagree.errors import UsageError
from gradagree.reference import Activation
from gradagree.unlisted import Jump, jumps, side_by_side

NEAR = np.linspace(-20, 20, 1281) + 2.0**-10
FAR = np.geomspace(20, 1024, 65) + 2.0**-10


def prove_kinks(activation: Activation) -> None:
    """Raises UsageError, naming the point and both slopes, where A' jumps and ``kinks`` does not say so."""
    for found in unlisted_kinks(activation):
        at, left, right = found.place, *(float(x.mid()) for x in (found.left, found.right))
        listed = ", ".join(f"{kink!r}" for kink in activation.kinks) or "none"
        raise UsageError(
            f"{activation}: an unlisted kink: at p = {at!r} the slope of value jumps from {left!r} to {right!r} "
            f"(proved), and kinks has {listed}; add {at!r} to kinks"
        )


def unlisted_kinks(activation: Activation) -> Iterator[Jump]:
    """The jumps of A' between -1024 and 1024 that are no kinks of the activation."""
    ends = np.concatenate([-FAR[::-1], NEAR, FAR])
    if activation.domain != "real":
        ends = ends[ends > 0] if activation.domain == "positive" else np.linspace(0, 1, 257)[1:-1] + 2.0**-20
    yield from jumps(lambda p: slope_of(activation.value(Dual.variable(p))), side_by_side(ends, activation.kinks))
