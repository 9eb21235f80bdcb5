"""Derivatives that a class leaves out: those of its value, by the tape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gradagree.reference.operations.primitive import is_constant, midpoints
from gradagree.reference.parameters import ContractError

TRACE: list[Callable[..., Any]] = []
"""`gradagree.arithmetic.tape.trace`, once that module is imported; it stands in a later layer."""


def taped_vjp(value: Callable[[Any], Any], x: Any, cotangent: Any | None = None) -> Any:
    """The vjp of a function of one array.

    Args:
        value: The function, of NumPy functions only.
        x: Its input, of any array type that NumPy dispatches to.
        cotangent: Cotangent of the value; by default 1 in every entry.

    Returns:
        The cotangent of x, in its shape.

    Raises:
        ContractError: The tape is not loaded.
    """
    if not TRACE:
        raise ContractError("a derivative that a class leaves out needs the tape: import gradagree.arithmetic first")
    graph = TRACE[0](value, midpoints(x))
    values = graph.evaluate([x])
    (output,) = graph.results(values)
    g = np.ones(np.shape(output)) if cotangent is None else cotangent
    (found,) = graph.vjp(values, [lifted(g, x)])
    return lifted(np.zeros(np.shape(x)), x) if found is None else found


def taped_vjp_of_all(value: Callable[..., Any], arrays: Sequence[Any], cotangent: Any) -> list[Any]:
    """As `taped_vjp`, of a function of several arrays and of one or several outputs.

    Args:
        value: The function, of NumPy functions only.
        arrays: Its inputs; integers and booleans have no cotangent.
        cotangent: Cotangent of the value, or one for each of several outputs.

    Returns:
        The cotangent of each array, or None.

    Raises:
        ContractError: The tape is not loaded.
    """
    if not TRACE:
        raise ContractError("a derivative that a class leaves out needs the tape: import gradagree.arithmetic first")
    floating = [k for k, x in enumerate(arrays) if not is_constant(x)]

    def function(*given: Any) -> Any:
        every = list(arrays)
        for k, x in zip(floating, given, strict=True):
            every[k] = x
        return value(*every)

    graph = TRACE[0](function, *(midpoints(arrays[k]) for k in floating))
    values = graph.evaluate([arrays[k] for k in floating])
    cotangents = list(cotangent) if len(graph.outputs) > 1 else [cotangent]
    found: list[Any] = [None] * len(arrays)
    first = arrays[floating[0]]
    for k, g in zip(floating, graph.vjp(values, [lifted(g, first) for g in cotangents]), strict=True):
        found[k] = g
    return found


def lifted(g: Any, x: Any) -> Any:
    """Ordinary numbers as an array of the type of x."""
    return x._lift(g) if type(g) is np.ndarray and hasattr(x, "_lift") else g


def mixes_entries(value: Callable[[Any], Any], width: Callable[[int], int | None]) -> bool:
    """True if an entry of a function of rows depends on other entries of its row."""
    n = next((n for n in (3, 2, 4, 6, 5, 8, 1) if width(n) is not None), 3)
    p = np.arange(1.0, n + 1)[None] / (n * (n + 1) / 2)
    with np.errstate(all="ignore"):
        if np.shape(value(p)) != p.shape:
            return True
        first = np.zeros((1, n))
        first[0, 0] = 1.0
        found = taped_vjp(value, p, first)
    return bool(np.any(found[0, 1:] != 0))
