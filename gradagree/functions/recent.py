"""What was evaluated for the numbers of the last calls, so that calls with the same numbers share it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

T = TypeVar("T")


class Recent(Generic[T]):
    """Results by the arrays that they were computed from: those of the first call, and of the last one.

    Args:
        arrays: The arrays of the first call; None where there is none.
        found: The result for them.
        same: Compares two arrays.
    """

    def __init__(self, arrays: Sequence[Any], found: T, same: Callable[[Any, Any], bool] = np.array_equal) -> None:
        self.known = [(arrays, found)]
        self.same = same

    def find(self, arrays: Sequence[Any]) -> T | None:
        """The result for these arrays; None if it is not known."""
        return next((found for others, found in self.known if same_numbers(others, arrays, self.same)), None)

    def keep(self, arrays: Sequence[Any], found: T) -> T:
        """Note the result for these arrays, and return it."""
        self.known[1:] = [(arrays, found)]
        return found

    def of(self, arrays: Sequence[Any], compute: Callable[[], T]) -> T:
        """The result for these arrays, computed unless it is known."""
        known = self.find(arrays)
        return self.keep(arrays, compute()) if known is None else known


def same_numbers(first: Sequence[Any], second: Sequence[Any], same: Callable[[Any, Any], bool]) -> bool:
    """True if two lists hold the same arrays."""
    pairs = zip(first, second, strict=True)
    return all(x is y or (x is not None and y is not None and same(x, y)) for x, y in pairs)
