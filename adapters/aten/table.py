"""NumPy forms of ATen operations, by name; they run on every array type that NumPy dispatches to.

Signatures are those of ``native_functions.yaml`` in PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

ATEN: dict[str, Callable[..., Any]] = {}
"""A NumPy function for each covered operation; it takes the operation's arguments."""


def aten(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a function under the names of operations."""

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        ATEN.update({f"aten.{name}": function for name in names})
        return function

    return add


def axes(dim: Any) -> Any:
    """An axis argument as NumPy takes it; PyTorch's empty list stands for all axes."""
    return None if dim is None or dim == [] else tuple(dim) if isinstance(dim, list | tuple) else dim
