"""Whether taps have changed the gradient: the same one is asked for without them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gradagree.adapters import Answer
from gradagree.comparison import Comparison


def same_bits(x: Answer, y: Answer) -> bool:
    """Whether two answers have the same E, outermost sensitivity and gradients (zeros of either sign are the same)."""
    pairs = zip(gradients(x), gradients(y), strict=True)
    return all(np.array_equal(a, b, equal_nan=True) for a, b in pairs)


def gradients(answer: Answer) -> list[np.ndarray]:
    """E, the outermost sensitivity and every gradient."""
    return [
        np.asarray(answer.E),
        *answer.sensitivities[:1],
        *(x for x in (*answer.weights, *answer.biases) if x is not None),
        *(x for own in answer.activations for x in own),
    ]


def disturbed(comparisons: Sequence[Comparison], tapped: Answer, untapped: Answer) -> list[Comparison]:
    """Those of arrays that differ in some bit without taps; what the others are, the box check has told."""

    def parts(answer: Answer, one: Comparison) -> Sequence[Any]:
        if one.part == "E":
            return [answer.E]
        if one.part == "delta_p":
            return answer.sensitivities[:1]
        place = int(one.box) - 1
        if one.part in ("dw", "db"):
            return [(answer.weights if one.part == "dw" else answer.biases)[place]]
        return [own for one_box in answer.activations[place : place + 1] for own in one_box]

    def same(one: Comparison) -> bool:
        pairs = zip(parts(tapped, one), parts(untapped, one), strict=True)
        return all(np.array_equal(x, y, equal_nan=True) for x, y in pairs)

    return [one for one in comparisons if not same(one)]
