"""NumPy forms of ATen operations, by name; they run on every array type that NumPy dispatches to.

Signatures are those of ``native_functions.yaml`` in PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

ATEN: dict[str, Callable[..., Any]] = {}
"""A NumPy function for each covered operation; it takes the operation's arguments."""

CHOICES: dict[str, int] = {}
"""Operations that may take any of several equal entries, or any sign of a vector, and which output shows the choice.

Their functions have a keyword argument ``taken`` for that output of PyTorch.
"""


def aten(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a function under the names of operations."""

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        ATEN.update({f"aten.{name}": function for name in names})
        return function

    return add


def axes(dim: Any, x: Any = None) -> Any:
    """An axis argument as NumPy takes it; PyTorch's empty list stands for all axes, and a number has axis 0."""
    if dim is None or (isinstance(dim, list | tuple) and not dim) or (x is not None and not np.ndim(x)):
        return None
    return tuple(dim) if isinstance(dim, list | tuple) else dim


def concrete(x: Any) -> np.ndarray:
    """Integers and truth values, such as an index, for the given inputs."""
    return np.asarray(x._parts()[0] if hasattr(x, "_parts") else x)


def is_complex(x: Any) -> bool:
    return getattr(x, "dtype", np.dtype(float)).kind == "c"
