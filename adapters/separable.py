"""Error functions that are a sum, or a mean, of what each entry has of its own."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from gradagree.reference import ErrorFunction
from gradagree.reference.samples import allowed_width, as_targets, inside, some_targets

ROWS = 64
EXAMPLES = 3
ROUNDED = 64
"""Roundings that a sum of few terms may have. It decides how a case is asked, and never what its answer is worth."""


class Adding(NamedTuple):
    """How a framework's own form adds up examples, and the entries of a row: "sum", "mean", or None for neither."""

    examples: str | None
    entries: str | None

    def counts(self, examples: int, entries: int) -> float:
        """What one entry's own error, or with 1 for entries one example's, counts for."""
        return (examples if self.examples == "mean" else 1) ** -1.0 * (entries if self.entries == "mean" else 1) ** -1.0


def probe(error: ErrorFunction) -> tuple[np.ndarray, np.ndarray]:
    """A few outputs and targets, (3, outputs): what a form of the error function is asked on, to see how it adds up."""
    outputs = allowed_width(error, 4)
    o = inside(error.domain, np.arange(EXAMPLES * outputs).reshape(EXAMPLES, outputs) / 4 - 1)
    return o, some_targets(error, EXAMPLES, outputs)


def adding(whole: Any, examples: Any, entries: Any = None) -> Adding:
    """From E of all, of each example alone, and of each entry alone where that has a meaning."""
    return Adding(_made_of(whole, examples), None if entries is None else _made_of(examples, np.asarray(entries).T))


def _made_of(whole: Any, parts: Any) -> str | None:
    total, count = np.sum(parts, axis=0), len(parts)
    ways = {"sum": total, "mean": total / count}
    return next((name for name, value in ways.items() if _same(np.asarray(whole), value) and np.any(value)), None)


@functools.lru_cache(maxsize=1024)
def separable(error: ErrorFunction, outputs: int) -> bool:
    """Whether a row of so many outputs is a sum, or a mean, of what its entries have of their own."""
    if error.targets in ("classes", "simplex") or error.domain in ("simplex", "log_simplex") or error.width(1) != 1:
        return False
    width = allowed_width(error, 3)
    if error.width(width) != width or error.width(outputs) != outputs:
        return False
    o, t = _spread(error, width)
    alone = o[..., None, None], t[..., None, None]
    slope, slopes = error.sensitivity(o[:, None], t[:, None])[:, 0], error.sensitivity(*alone)[..., 0, 0]
    way = _made_of(error.value(o[:, None], t[:, None]), error.value(*alone).T)
    return way is not None and bool(slopes.any()) and _same(slope, slopes / (width if way == "mean" else 1))


def _spread(error: ErrorFunction, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Outputs and targets all over their kinds, (rows, width); no entry goes with its neighbours."""
    k = np.arange(ROWS * width).reshape(ROWS, width)
    fractions = (k * 0.6180339887498949) % 1, (k * 0.41421356237309515) % 1
    o, t = (8 * fraction - 4 for fraction in fractions)
    return inside(error.domain, o), as_targets(error.targets, t)


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal but for what rounding a short sum may change; what is no sum differs by much more than that."""
    return bool(np.all(np.abs(a - b) <= ROUNDED * np.finfo(np.float64).eps * (np.abs(a) + np.abs(b) + 1)))
