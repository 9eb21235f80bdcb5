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
    """

    def __init__(self, arrays: Sequence[Any], found: T) -> None:
        self.known = [(arrays, found)]

    def of(self, arrays: Sequence[Any], compute: Callable[[], T]) -> T:
        """The result for these arrays, computed unless it is known."""
        for others, found in self.known:
            if same_numbers(others, arrays):
                return found
        found = compute()
        self.known[1:] = [(arrays, found)]
        return found


def same_numbers(first: Sequence[Any], second: Sequence[Any]) -> bool:
    """True if two lists hold the same arrays; NaN is different from itself."""
    pairs = zip(first, second, strict=True)
    return all(x is y or (x is not None and y is not None and np.array_equal(x, y)) for x, y in pairs)
