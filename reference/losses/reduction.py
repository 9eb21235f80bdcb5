"""How the errors of single entries or examples become one number, and what each counts for in it.

The reduction "none" gives no number, so its array is contracted with fixed weights, multiples of 1/8 that differ from
entry to entry.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from gradagree.reference.contract import ErrorFunction
from gradagree.reference.parameters import Reduction

EIGHTHS = 8


def of_kind(x: Any, like: Any) -> Any:
    """The numbers x as an array of the other's kind, so that what is done to them later is done in its arithmetic."""
    return np.where(True, x, like)


def fixed_weights(shape: tuple[int, ...]) -> np.ndarray:
    """(1 + (5 k + 3 j) mod 8) / 8 for entry j of example k, or j = 0 where there is one error for each example."""
    k, j = np.indices((*shape, 1)[:2])
    return (1 + (5 * k + 3 * j) % EIGHTHS).reshape(shape) / EIGHTHS


def total(e: Any, reduction: str, axes: int) -> Any:
    """The error of arrays of errors (..., examples, outputs), or with one axis (..., examples)."""
    axis = tuple(range(-axes, 0))
    if reduction == "mean":
        return np.mean(e, axis=axis)
    return np.sum(e if reduction == "sum" else e * fixed_weights(e.shape[-axes:]), axis=axis)


def counted(slope: Any, reduction: str, shape: tuple[int, ...]) -> Any:
    """Each error's slope times what the error counts for, where errors have this shape without leading axes."""
    if reduction == "mean":
        return slope / int(np.prod(shape))
    return slope if reduction == "sum" else slope * fixed_weights((*shape, 1)[:2]).reshape((*shape, 1)[:2])


class _Reduced(ErrorFunction):
    """An error function with a reduction."""

    reduction: Reduction = "mean"

    def _gathered(self, e: Any, asarray: Any) -> Any:
        """A framework's errors, already reduced or not, as one number; asarray makes its arrays."""
        if self.reduction == "none":
            return (e * asarray(fixed_weights(e.shape), dtype=e.dtype)).sum()
        if e.ndim == 0:
            return e
        return e.mean() if self.reduction == "mean" else e.sum()


class _Separable(_Reduced):
    """E over terms e(o, t): a subclass gives ``_term`` and its derivative by every output, ``_slope``."""

    _axes: ClassVar[int]

    def _term(self, o: Any, t: Any) -> Any:
        raise NotImplementedError

    def _slope(self, o: Any, t: Any) -> Any:
        raise NotImplementedError

    def value(self, o: Any, t: Any) -> Any:
        return total(self._term(o, t), self.reduction, self._axes)

    def sensitivity(self, o: Any, t: Any) -> Any:
        return counted(of_kind(self._slope(o, t), o), self.reduction, o.shape[-2:][: self._axes])


class _EntryByEntry(_Separable):
    """A term for each entry: e(o_i, t_i)."""

    _axes = 2


class _ExampleByExample(_Separable):
    """A term for each example."""

    _axes = 1
