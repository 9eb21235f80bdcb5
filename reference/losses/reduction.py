"""Reduce the losses of entries or examples to one number.

The reduction "none" returns an array, which is contracted with fixed weights: multiples of 1/8 that differ from entry
to entry.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from gradagree.reference.contract import ErrorFunction
from gradagree.reference.parameters import Reduction

EIGHTHS = 8


def of_kind(x: Any, like: Any) -> Any:
    """Convert x to the array type of like, so that later operations use its arithmetic."""
    return np.where(True, x, like)


def fixed_weights(shape: tuple[int, ...]) -> np.ndarray:
    """(1 + (5 k + 3 j) mod 8) / 8 for entry j of example k; j = 0 if there is one loss for each example."""
    k, j = np.indices((*shape, 1)[:2])
    return (1 + (5 * k + 3 * j) % EIGHTHS).reshape(shape) / EIGHTHS


def reduce_losses(e: Any, reduction: str, axes: int) -> Any:
    """Reduce losses of shape (..., examples, outputs) for axes = 2, or (..., examples) for axes = 1."""
    axis = tuple(range(-axes, 0))
    if reduction == "mean":
        return np.mean(e, axis=axis)
    return np.sum(e if reduction == "sum" else e * fixed_weights(e.shape[-axes:]), axis=axis)


def scale_derivative(derivative: Any, reduction: str, shape: tuple[int, ...]) -> Any:
    """Multiply the derivative of each loss by its weight in the reduction; shape is without leading axes."""
    if reduction == "mean":
        return derivative / int(np.prod(shape))
    return derivative if reduction == "sum" else derivative * fixed_weights((*shape, 1)[:2]).reshape((*shape, 1)[:2])


class _Reduced(ErrorFunction):
    """A loss with a reduction."""

    reduction: Reduction = "mean"

    def _reduce(self, e: Any, asarray: Any) -> Any:
        """Reduce a framework's losses to one number, unless they are reduced already; asarray creates its arrays."""
        if self.reduction == "none":
            return (e * asarray(fixed_weights(e.shape), dtype=e.dtype)).sum()
        if e.ndim == 0:
            return e
        return e.mean() if self.reduction == "mean" else e.sum()


class _Separable(_Reduced):
    """E over terms e(o, t): a subclass gives ``_term`` and its derivative by every output, ``_derivative``."""

    _axes: ClassVar[int]

    def _term(self, o: Any, t: Any) -> Any:
        raise NotImplementedError

    def _derivative(self, o: Any, t: Any) -> Any:
        raise NotImplementedError

    def value(self, o: Any, t: Any) -> Any:
        return reduce_losses(self._term(o, t), self.reduction, self._axes)

    def sensitivity(self, o: Any, t: Any) -> Any:
        return scale_derivative(of_kind(self._derivative(o, t), o), self.reduction, o.shape[-2:][: self._axes])


class _EntryByEntry(_Separable):
    """A term for each entry: e(o_i, t_i)."""

    _axes = 2


class _ExampleByExample(_Separable):
    """A term for each example."""

    _axes = 1
