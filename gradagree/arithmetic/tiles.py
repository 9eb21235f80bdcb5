"""Elementwise rules on large arrays, a part of the rows at a time, so that intermediates stay in the cache."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

TILE = 1 << 16
"""Entries processed together; a rule has some ten intermediates of this size."""


def tiled(kind: type[Any], rule: Callable[..., Any]) -> Callable[..., Any]:
    """A rule whose result at an entry depends on the operands at that entry only; kind is the type of its arrays.

    An array has ``value``, ``radius``, ``model`` and ``q``. Operands broadcast, as in the rule itself.
    """

    kinds = (kind, np.ndarray)

    @functools.wraps(rule)
    def by_tiles(*args: Any) -> Any:
        for x in args:
            if isinstance(x, kinds) and x.size >= 2 * TILE:
                break
        else:
            return rule(*args)
        arrays = [x for x in args if isinstance(x, kinds) and x.ndim]
        if any(not isinstance(x, (*kinds, int, float, np.number)) for x in args):
            return rule(*args)
        return assembled(kind, by_tiles if is_long(arrays) else rule, args, np.broadcast_shapes(*shapes(arrays)))

    return by_tiles


def shapes(arrays: list[Any]) -> list[tuple[int, ...]]:
    return [x.shape for x in arrays]


def is_long(arrays: list[Any]) -> bool:
    """True if single rows are still large."""
    shape = np.broadcast_shapes(*shapes(arrays))
    return math.prod(shape[1:]) >= 2 * TILE


def assembled(kind: type[Any], rule: Callable[..., Any], args: tuple[Any, ...], shape: tuple[int, ...]) -> Any:
    """The results of all tiles in one array."""
    value, radius, exponents = np.empty(shape), np.empty(shape), set()
    rows = max(1, TILE // max(math.prod(shape[1:]), 1))
    found = None
    for start in range(0, shape[0], rows):
        place: Any = start if rows == 1 and len(shape) > 1 else slice(start, start + rows)
        found = rule(*(part(x, len(shape), place) for x in args))
        value[place], radius[place] = found.value, found.radius
        exponents.add(found.q)
    return kind(value, radius, found.model, min(exponents))  # type: ignore[union-attr]


def part(x: Any, axes: int, place: Any) -> Any:
    """These rows of an operand; all of one that is repeated along the rows."""
    if getattr(x, "ndim", 0) < axes:
        return x
    if x.shape[0] > 1:
        return x[place]
    return x if isinstance(place, slice) else x[0]
