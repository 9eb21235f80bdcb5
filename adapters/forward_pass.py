"""The forward pass, written once for all frameworks.

Boxes activate with the framework's own function and weigh with its own ``@`` and ``+``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

Tap = Callable[[Any], Any]


def forward(
    activations: Sequence[Callable[[Any], Any]], p: Any, weights: Sequence[Any], biases: Sequence[Any],
    biased: Sequence[bool], tap: Tap,
) -> Any:  # fmt: skip
    """The output o: every box activates its current input, weighs it, and hands it inwards through a tap."""
    given = iter(biases)
    for k, activation in enumerate(activations):
        c = activation(p)
        if k < len(weights):
            c = c @ weights[k]
            c = c + next(given) if biased[k] else c
        p = tap(c)
    return p
