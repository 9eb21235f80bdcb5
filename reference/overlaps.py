"""How far probabilities p overlap targets t, and the classes in which that counts.

The overlap is Tversky's quotient (I + smooth) / (I + alpha (P - I) + beta (T - I) + smooth) of the sums I of p t,
P of p, T of t; with alpha = beta = 1/2 it is that of Dice (Milletari et al., 3DV 2016).
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["foreground", "overlap", "tversky", "with_background"]


def overlap(both: Any, P: Any, T: Any, smooth: float, alpha: float = 0.5, beta: float = 0.5) -> tuple[Any, Any]:
    """The quotient, and its denominator."""
    below = both + alpha * (P - both) + beta * (T - both) + smooth
    return (both + smooth) / below, below


def tversky(right: Any, too_much: Any, too_little: Any, smooth: float) -> Any:
    """The quotient in a framework, of true positives, and weighted false positives and false negatives."""
    return (right + smooth) / (right + too_much + too_little + smooth)


def foreground(x: Any, ignore_background: bool) -> Any:
    """The classes that count."""
    return x[..., 1:] if ignore_background else x


def with_background(x: Any, ignore_background: bool) -> Any:
    """With a slope of 0 for the background where that does not count."""
    return np.concatenate([0 * x[..., :1], x], axis=-1) if ignore_background else x
