"""A change of a backward pass, with what it adds to the gradient of an argument."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from gradagree.functions.backward import Backward


class BackwardChange(NamedTuple):
    """A change of the backward pass.

    Args:
        reason: What the backward pass does then.
        share: What it adds to the gradient.
        place: File and line of the reference.
        scaled: The reason where the share is added with another factor; ``{}`` stands for 1 + this factor. Empty if
            the share must be as it is.
    """

    reason: str
    share: np.ndarray
    place: str = ""
    scaled: str = ""


def change_of(b: Backward, k: int, place: int, contribution: Any, reason: str) -> Iterator[BackwardChange]:
    if (share := b.changed(k, place, contribution)) is not None:
        yield BackwardChange(reason, share, b.steps[k].place)


def through(b: Backward, k: int) -> str:
    return f"the contribution through {b.steps[k].operation.name}"
