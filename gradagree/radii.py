"""The radii of A(p) and A'(p) in rounded arithmetic, tabulated once for each activation."""

from __future__ import annotations

import functools

import numpy as np

from gradagree.arithmetics.model import Model
from gradagree.arithmetics.rounded import Rounded
from gradagree.judged import JudgedActivation
from gradagree.reference import Activation

__all__ = ["cells", "radii"]

LOWEST, HIGHEST = -64, 16
"""Binades of p that the tables cover."""
CELLS = 16
"""In each binade."""
SAMPLES = np.array([0.0, 0.5, 1 - 2.0**-20])


@functools.lru_cache(maxsize=256)
def radii(activation: Activation, model: Model) -> tuple[np.ndarray, np.ndarray]:
    """The radii of A(p) and of A'(p) by `cells`: at zero, the smallest of several points in each cell, and NaN."""
    edges = np.ldexp(1 + np.arange(CELLS) / CELLS, np.arange(LOWEST, HIGHEST)[:, None]).ravel()
    widths = np.ldexp(np.full(CELLS, 1 / CELLS), np.arange(LOWEST, HIGHEST)[:, None]).ravel()
    points = edges[:, None] + widths[:, None] * SAMPLES
    both = np.concatenate([np.zeros((1, SAMPLES.size)), points, -points])
    judged, p = JudgedActivation(activation, formed=True), Rounded.stored(both, model)
    found = (judged.value(p).radius, judged.derivative(p).radius)
    value, slope = (np.append(np.where(np.isfinite(x), x, np.nan).min(axis=-1), np.nan) for x in found)
    return value, slope


def cells(p: np.ndarray) -> np.ndarray:
    """The place of each p in the tables."""
    bits = np.ascontiguousarray(p).view(np.int64)
    place = ((bits & 0x7FFF_FFFF_FFFF_FFFF) >> 48) - ((LOWEST + 1023) << 4)
    size = (HIGHEST - LOWEST) * CELLS
    inside = place + 1 + np.where(bits < 0, size, 0)
    return np.where(p == 0, 0, np.where((place >= 0) & (place < size), inside, 2 * size + 1))
