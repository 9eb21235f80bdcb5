"""What the audit of existing tests needs to know about the arrays of a library."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradagree.adapters.formats import FORMATS

Numbers = tuple[np.ndarray, str]
"""Values in float64 or complex128, and the name of their dtype; empty for Python's numbers."""
Memory = tuple[int, int]
"""First address of the memory behind an array, and the first one after it."""


@dataclass(frozen=True)
class ArrayKind:
    """The arrays of one library.

    Args:
        matches: True for an array of the library.
        concrete: True for an array with values; False for a placeholder that a transformation is tracing.
        numbers: Its values and the name of its dtype.
        memory: The memory that it shares with its views; None if that is not known.
        quiet: A context in which reading an array is hidden from the hooks of the library.
        leaves: The arrays inside a container that only the library knows; None if it has no such containers.
    """

    matches: Callable[[Any], bool]
    concrete: Callable[[Any], bool]
    numbers: Callable[[Any], Numbers]
    memory: Callable[[Any], Memory | None]
    quiet: Callable[[], Any] = contextlib.nullcontext
    leaves: Callable[[Any], list[Any]] | None = None


def widen(x: np.ndarray) -> np.ndarray:
    """The values in float64 or complex128."""
    return np.asarray(x, dtype=np.complex128 if x.dtype.kind == "c" else np.float64)


def numpy_numbers(x: Any) -> Numbers:
    """The values and the dtype of a NumPy array or scalar. Raises TypeError for anything but numbers."""
    array = np.asarray(x)
    if array.dtype.kind not in "fciu" and array.dtype.name not in FORMATS:
        raise TypeError(f"no numbers: {array.dtype}")
    return widen(array), array.dtype.name if array.dtype.kind in "fcV" else ""


def numpy_memory(x: Any) -> Memory | None:
    """The memory of the array that x is a view of."""
    if not isinstance(x, np.ndarray):
        return None
    low, high = np.lib.array_utils.byte_bounds(x) if hasattr(np.lib, "array_utils") else np.byte_bounds(x)  # type: ignore[attr-defined]
    return low, high


NUMPY = ArrayKind(
    matches=lambda x: isinstance(x, np.ndarray | np.generic),
    concrete=lambda x: x.dtype.kind in "fciu" or (x.dtype.kind == "V" and x.dtype.name in FORMATS),
    numbers=numpy_numbers,
    memory=numpy_memory,
)
