"""Random cotangents and tangents, the same at every call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gradagree.adapters.formats import PARTS
from gradagree.adapters.functions import FunctionAdapter

SEED = 20240607
INEXACT = ("float64", "float32", "float16", "bfloat16", *PARTS)


def draw_cotangents(adapter: FunctionAdapter, outputs: Sequence[Any]) -> list[Any]:
    """Random cotangents without a pattern, the same at every call; None for outputs that are not floating-point."""
    return draw_like(adapter, outputs, SEED)


def draw_like(adapter: FunctionAdapter, arrays: Sequence[Any], seed: int) -> list[Any]:
    """Random arrays of the shapes and dtypes of others; None for those that are not floating-point."""
    rng = np.random.default_rng(seed)
    drawn = []
    for x in arrays:
        both = rng.standard_normal(tuple(x.shape)), adapter.dtype(x) in PARTS
        drawn.append(both[0] + 1j * rng.standard_normal(tuple(x.shape)) if both[1] else both[0])
    return [adapter.array(d, x) if adapter.dtype(x) in INEXACT else None for d, x in zip(drawn, arrays, strict=True)]
