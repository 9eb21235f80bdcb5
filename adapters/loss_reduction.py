"""How a loss is reduced: over examples and over entries, to a sum or a mean, found on samples."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from gradagree.reference import ErrorFunction
from gradagree.reference.samples import allowed_width, as_targets, to_domain, varied_targets

ROWS, EXAMPLES = 64, 3
"""Rows and examples of the sample arrays on which the reduction of a loss is probed."""
MAX_ROUNDINGS = 64
"""Roundings of a sum of few terms. The limit selects a program; no verdict depends on it."""


class LossReduction(NamedTuple):
    """Reduction of a loss over examples, and over the entries of an example: "sum", "mean", or None for neither."""

    examples: str | None
    entries: str | None

    def weight(self, examples: int, entries: int) -> float:
        """The weight of the loss of one entry; with entries = 1, of one example."""
        return (examples if self.examples == "mean" else 1) ** -1.0 * (entries if self.entries == "mean" else 1) ** -1.0


def sample_operands(error: ErrorFunction) -> tuple[np.ndarray, list[np.ndarray]]:
    """A few outputs, (3, outputs), and several batches of targets, on which the summation of a loss is probed."""
    outputs = allowed_width(error, 4)
    o = to_domain(error.domain, np.arange(EXAMPLES * outputs).reshape(EXAMPLES, outputs) / 4 - 1)
    return o, varied_targets(error, EXAMPLES, outputs)


def loss_reduction(E: Any, examples: Any, entries: Any = None) -> LossReduction:
    """The reduction, from the loss of all examples, of single examples, and of single entries where they have one."""
    return LossReduction(
        _reduction(E, examples), None if entries is None else _reduction(examples, np.asarray(entries).T)
    )


def _reduction(E: Any, parts: Any) -> str | None:
    total, count = np.sum(parts, axis=0), len(parts)
    reduced = {"sum": total, "mean": total / count}
    return next((name for name, value in reduced.items() if _same(np.asarray(E), value) and np.any(value)), None)


@functools.lru_cache(maxsize=1024)
def is_separable(error: ErrorFunction, outputs: int) -> bool:
    """True if the loss of a row of `outputs` entries is a sum or a mean of the losses of its entries."""
    if error.targets in ("classes", "simplex") or error.domain in ("simplex", "log_simplex") or error.width(1) != 1:
        return False
    width = allowed_width(error, 3)
    if error.width(width) != width or error.width(outputs) != outputs:
        return False
    o, t = _spread(error, width)
    rows, entries = (o[:, None], t[:, None]), (o[..., None, None], t[..., None, None])
    of_rows, of_entries = error.sensitivity(*rows)[:, 0], error.sensitivity(*entries)[..., 0, 0]
    reduction = _reduction(error.value(*rows), error.value(*entries).T)
    if reduction is None or not of_entries.any():
        return False
    return _same(of_rows, of_entries / (width if reduction == "mean" else 1))


def _spread(error: ErrorFunction, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Outputs and targets that spread over their domains, (rows, width); no entry correlates with its neighbours."""
    k = np.arange(ROWS * width).reshape(ROWS, width)
    fractions = (k * 0.6180339887498949) % 1, (k * 0.41421356237309515) % 1
    o, t = (8 * fraction - 4 for fraction in fractions)
    return to_domain(error.domain, o), as_targets(error.targets, t)


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    """True if equal up to the rounding of a short sum; losses that are not sums differ by much more."""
    return bool(np.all(np.abs(a - b) <= MAX_ROUNDINGS * np.finfo(np.float64).eps * (np.abs(a) + np.abs(b) + 1)))
