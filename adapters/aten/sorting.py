"""Sorting and selection: entries by their order in the given inputs; of equal entries any one may be taken.

``taken`` are the places that PyTorch took; they count where their entries equal the right ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gradagree.adapters.aten.table import CHOICES, aten
from gradagree.reference.operations.primitive import midpoints

CHOICES |= {f"aten.{name}": 1 for name in ("sort", "topk", "kthvalue", "median", "nanmedian", "mode")}


def order(x: Any, dim: int, descending: bool = False) -> np.ndarray:
    """The stable order of the entries along an axis."""
    known = midpoints(x)
    return np.argsort(-known if descending else known, axis=dim, kind="stable")


def accepted(x: Any, chosen: np.ndarray, dim: int, taken: np.ndarray | None) -> np.ndarray:
    """The places that PyTorch took along an axis, if their entries equal the chosen ones."""
    if taken is None or taken.shape != chosen.shape:
        return chosen
    known = midpoints(x)
    if (taken < 0).any() or (taken >= known.shape[dim]).any():
        return chosen
    same = np.take_along_axis(known, taken, axis=dim) == np.take_along_axis(known, chosen, axis=dim)
    return np.where(same, taken, chosen)


def picked(x: Any, chosen: np.ndarray, dim: int) -> Any:
    """The entries of x at these places along an axis; equal ones share the cotangent in any way.

    Args:
        chosen: Places along the axis, which has their number in the result.
    """
    known = midpoints(x)
    values = np.take_along_axis(known, chosen, axis=dim)
    equal = np.expand_dims(np.moveaxis(known, dim, -1), -2) == np.expand_dims(np.moveaxis(values, dim, -1), -1)
    if (np.sum(equal, axis=-1) < 2).all():
        return np.take_along_axis(x, chosen, axis=dim)
    lowest = float(np.floor(np.nanmin(known) - 1))
    spread = np.where(equal, np.expand_dims(np.moveaxis(x, dim, -1), -2), lowest)
    return np.moveaxis(np.max(spread, axis=-1), -1, dim)


def one_entry(
    x: Any, chosen: np.ndarray, dim: int, keepdim: bool, taken: np.ndarray | None = None
) -> tuple[Any, np.ndarray]:
    """(the entries, their places) with one entry along an axis."""
    if taken is not None:
        chosen = accepted(x, chosen, dim, taken if keepdim else np.expand_dims(taken, dim))
    found = picked(x, chosen, dim)
    return (found, chosen) if keepdim else (np.squeeze(found, dim), np.squeeze(chosen, dim))


@aten("sort")
def sort(
    x: Any, *args: Any, dim: int = -1, descending: bool = False, stable: Any = None, taken: Any = None
) -> tuple[Any, np.ndarray]:
    positional = [a for a in args if a is not None and (not isinstance(a, bool))]
    dim = positional[0] if positional else dim
    flags = [a for a in args if isinstance(a, bool)]
    descending = flags[-1] if flags else descending
    if not np.ndim(x):
        return x, np.zeros((), int)
    chosen = order(x, dim, descending)
    lined = np.moveaxis(np.take_along_axis(midpoints(x), chosen, axis=dim), dim, -1)
    if not (lined[..., 1:] == lined[..., :-1]).any():
        return np.take_along_axis(x, chosen, axis=dim), chosen
    found = np.sort(x, axis=dim)
    return (np.flip(found, dim) if descending else found), accepted(x, chosen, dim, taken)


@aten("msort")
def msort(x: Any) -> Any:
    return sort(x, dim=0)[0]


@aten("argsort")
def argsort(x: Any, dim: int = -1, descending: bool = False, **_: Any) -> np.ndarray:
    return sort(x, dim=dim, descending=descending)[1]


@aten("topk")
def topk(x: Any, k: int, dim: int = -1, largest: bool = True, *_: Any, taken: Any = None) -> tuple[Any, np.ndarray]:
    if not np.ndim(x):
        return x, np.zeros((), int)
    chosen = accepted(x, np.take(order(x, dim, largest), np.arange(k), axis=dim), dim, taken)
    return picked(x, chosen, dim), chosen


@aten("kthvalue")
def kthvalue(x: Any, k: int, dim: int = -1, keepdim: bool = False, taken: Any = None) -> tuple[Any, np.ndarray]:
    if not np.ndim(x):
        return x, np.zeros((), int)
    return one_entry(x, np.take(order(x, dim), [k - 1], axis=dim), dim, keepdim, taken)


@aten("nanmedian")
def nanmedian(x: Any, dim: int | None = None, keepdim: bool = False, taken: Any = None) -> Any:
    """The lower one of two middle entries of those that are numbers."""
    if dim is None:
        return nanmedian(np.ravel(x), 0)[0]
    if not np.ndim(x):
        return x, np.zeros((), int)
    count = np.sum(~np.isnan(midpoints(x)), axis=dim, keepdims=True)
    chosen = np.take_along_axis(order(x, dim), np.maximum(count - 1, 0) // 2, axis=dim)
    return one_entry(x, chosen, dim, keepdim, taken)


@aten("median")
def median(x: Any, dim: int | None = None, keepdim: bool = False, taken: Any = None) -> Any:
    """The lower one of two middle entries."""
    if dim is None:
        return median(np.ravel(x), 0)[0]
    return kthvalue(x, (np.shape(x)[dim] + 1) // 2 if np.ndim(x) else 1, dim, keepdim, taken)


@aten("mode")
def mode(x: Any, dim: int = -1, keepdim: bool = False, taken: Any = None) -> tuple[Any, np.ndarray]:
    """The most frequent entry, the smallest one of several."""
    if not np.ndim(x):
        return x, np.zeros((), int)
    known = np.moveaxis(midpoints(x), dim, -1)
    counts = np.sum(known[..., :, None] == known[..., None, :], axis=-1)
    frequent = np.where(counts == counts.max(axis=-1, keepdims=True), known, np.inf)
    chosen = np.moveaxis(np.argmin(frequent, axis=-1, keepdims=True), -1, dim)
    return one_entry(x, chosen, dim, keepdim, taken)


@aten("max")
def largest(x: Any, dim: Any = None, keepdim: bool = False) -> Any:
    return extreme(x, dim, keepdim, 1)


@aten("min")
def smallest(x: Any, dim: Any = None, keepdim: bool = False) -> Any:
    return extreme(x, dim, keepdim, -1)


def extreme(x: Any, dim: Any, keepdim: bool, sign: int) -> Any:
    """Of all entries, along an axis with places, or of two arrays."""
    if dim is None:
        return (np.max if sign > 0 else np.min)(x)
    if not isinstance(dim, int):
        return (np.maximum if sign > 0 else np.minimum)(x, dim)
    if not np.ndim(x):
        return x, np.zeros((), int)
    chosen = np.argmax(sign * midpoints(x), axis=dim, keepdims=True)
    return one_entry(x, chosen, dim, keepdim)


@aten("aminmax")
def aminmax(x: Any, *, dim: int | None = None, keepdim: bool = False) -> tuple[Any, Any]:
    if not np.ndim(x):
        return x, x
    return np.min(x, axis=dim, keepdims=keepdim), np.max(x, axis=dim, keepdims=keepdim)


def running_extreme(x: Any, dim: int, sign: int) -> tuple[Any, np.ndarray]:
    """The running maximum and its places, the last one of equal entries."""
    if not np.ndim(x):
        return x, np.zeros((), int)
    known = np.moveaxis(sign * midpoints(x), dim, 0)
    places = np.zeros(known.shape, int)
    for k in range(1, len(known)):
        before = np.take_along_axis(known, places[k - 1 : k], axis=0)[0]
        places[k] = np.where(known[k] >= before, k, places[k - 1])
    places = np.moveaxis(places, 0, dim)
    return np.take_along_axis(x, places, axis=dim), places


@aten("cummax")
def cummax(x: Any, dim: int) -> tuple[Any, np.ndarray]:
    return running_extreme(x, dim, 1)


@aten("cummin")
def cummin(x: Any, dim: int) -> tuple[Any, np.ndarray]:
    return running_extreme(x, dim, -1)


@aten("argmax")
def argmax(x: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    return np.argmax(midpoints(x), axis=dim if np.ndim(x) else None, keepdims=keepdim)


@aten("argmin")
def argmin(x: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    return np.argmin(midpoints(x), axis=dim if np.ndim(x) else None, keepdims=keepdim)
