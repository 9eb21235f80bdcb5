"""The natural scale of a function: how large it gets on the way from 0 to its input."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from gradagree.arithmetics.model import FORMULA, Model
from gradagree.reference import Activation, ErrorFunction
from gradagree.reference.samples import neutral

__all__ = ["FRACTIONS", "TABLE", "largest_sensitivity", "largest_up_to", "underflow"]

TABLE = np.concatenate([np.arange(0, 16, 1 / 64), np.geomspace(16, 2.0**20, 512)])
FRACTIONS = np.arange(9) / 8


def largest_up_to(activation: Activation, part: str, x: np.ndarray) -> np.ndarray:
    """S(p): the largest size of A (on [-1, 1] too) or of A' on [0, p]; beyond the table, at p itself."""
    table = natural_table(activation, part)
    with np.errstate(all="ignore"):
        here = np.abs(getattr(activation, part)(x))
        place = np.minimum(np.searchsorted(TABLE, np.abs(x)), len(TABLE) - 1)
    return np.fmax(here, np.where(x < 0, table[0][place], table[1][place]))


@functools.lru_cache(maxsize=1024)
def natural_table(activation: Activation, part: str) -> tuple[np.ndarray, np.ndarray]:
    """The running largest size outwards from 0, for negative and for positive p."""
    function: Callable[[Any], Any] = getattr(activation, part)
    with np.errstate(all="ignore"):
        sizes = [np.abs(np.broadcast_to(function(side * TABLE), TABLE.shape)) for side in (-1, 1)]
    negative, positive = (np.fmax.accumulate(np.where(np.isfinite(size), size, 0.0)) for size in sizes)
    if part == "value":
        one = np.searchsorted(TABLE, 1.0)
        floor = max(negative[one], positive[one])
        return np.maximum(negative, floor), np.maximum(positive, floor)
    return negative, positive


def largest_sensitivity(error: ErrorFunction, o: np.ndarray, t: Any) -> np.ndarray:
    """S: the largest |dE/do| on the way from the middle of the domain to o, over the outputs of an example."""
    start = neutral(error.domain, o)
    way = [np.abs(error.sensitivity(start + f * (o - start), t)) for f in FRACTIONS]
    sizes = [np.max(size, axis=-1, keepdims=True) for size in way]
    return np.broadcast_to(np.max(sizes, axis=0), o.shape)


def underflow(scale: Any, squares: Any, model: Model) -> Any:
    """What a chain of products may lose below the smallest numbers, where its factors are as large as S and p^2."""
    return FORMULA * model.quantum * np.maximum(1.0, scale) * np.maximum(1.0, squares)
