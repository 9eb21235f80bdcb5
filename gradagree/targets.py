"""Targets of each kind, drawn from a case's text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradagree.drawing import Source

SHARES = 16
"""Probabilities are multiples of 1/16, which every dtype holds."""
LEAST = 0.25
"""Stands for zero where numbers must be above it."""


def above_zero(x: Any) -> Any:
    """|x|, and 1/4 for 0; None stays None."""
    return None if x is None else np.where(x == 0, LEAST, np.abs(x))


def drawn_targets(
    kind: str, shape: tuple[int, ...], classes: int, source: Source, draw: Callable[[], np.ndarray]
) -> np.ndarray:
    """Targets of a kind and shape. Class numbers are below `classes`; draw gives real numbers of that shape."""
    if kind == "classes":
        return source.integers(classes, shape)
    if kind in ("bits", "signs"):
        return from_bits(kind, source.integers(2, shape).astype(np.float64))
    if kind == "simplex":
        return shares(source, shape)
    drawn = np.asarray(draw())
    return np.asarray(above_zero(drawn)) if kind == "positive" else drawn


def shares(source: Source, shape: tuple[int, ...]) -> np.ndarray:
    """Probabilities in each row: sixteen shares, each given to one entry at random."""
    given = source.integers(shape[-1], (shape[0], SHARES))
    return np.asarray(np.sum(given[..., None] == np.arange(shape[-1]), axis=1) / SHARES)


def from_decisions(kind: str, decisions: np.ndarray, outputs: int) -> np.ndarray:
    """The numbers of the right decisions as targets of that kind: for all but classes, 1 at the right one."""
    if kind == "classes":
        return decisions
    return from_bits(kind, (decisions[:, None] == np.arange(outputs)).astype(np.float64))


def from_bits(kind: str, bits: np.ndarray) -> np.ndarray:
    """Zeros and ones as targets of a kind other than classes."""
    if kind == "signs":
        return 2 * bits - 1
    return np.asarray(above_zero(bits)) if kind == "positive" else bits
