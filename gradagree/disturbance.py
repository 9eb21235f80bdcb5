"""Whether taps have changed the gradient: the same one is asked for without them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gradagree.adapters import Answer
from gradagree.comparison import Comparison, derivative


def same_bits(x: Answer, y: Answer) -> bool:
    """Whether two answers have the same E, outermost sensitivity and gradients (zeros of either sign are the same)."""
    pairs = zip(gradients(x), gradients(y), strict=True)
    return all(np.array_equal(a, b, equal_nan=True) for a, b in pairs)


def gradients(answer: Answer) -> list[np.ndarray]:
    """E, the outermost sensitivity and every gradient."""
    return [np.asarray(answer.E), *list(answer.cotangents.values())[:1], *answer.gradients.values()]


def disturbed(comparisons: Sequence[Comparison], tapped: Answer, untapped: Answer) -> list[Comparison]:
    """Those of arrays that differ in some bit without taps; what the others are, the box check has told."""

    def same(one: Comparison) -> bool:
        if one.part == "E":
            return np.array_equal(tapped.E, untapped.E, equal_nan=True)
        x, y = (derivative(answer, one.box, one.part) for answer in (tapped, untapped))
        return x is y if x is None or y is None else np.array_equal(x, y, equal_nan=True)

    return [one for one in comparisons if not same(one)]
