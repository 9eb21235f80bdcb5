"""The table of NumPy forms of JAX's primitives, and the reasons for those that have none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

Form = Callable[..., Any]

LAX: dict[str, Form] = {}
"""A function ``form(params, *operands)`` for each covered primitive."""

PLACED: dict[str, Callable[[dict[str, Any], Sequence[Any]], Form | None]] = {}
"""For primitives that move entries as their numbers say: ``(params, operands) -> function of operands``.

The operands given are ordinary arrays, those of the inputs for which the program is traced.
"""


def form(*names: str) -> Callable[[Form], Form]:
    """Register a form under the names of primitives."""

    def add(function: Form) -> Form:
        LAX.update(dict.fromkeys(names, function))
        return function

    return add


def placed(*names: str) -> Callable[[Any], Any]:
    """Register a form that needs the numbers of the operands."""

    def add(function: Any) -> Any:
        PLACED.update(dict.fromkeys(names, function))
        return function

    return add


def numpy_form(name: str, params: dict[str, Any], operands: Sequence[Any]) -> Form | None:
    """The NumPy function of a primitive with these parameters and operands; None if none is known."""
    if name in PLACED:
        return PLACED[name](params, operands)
    found = LAX.get(name)
    return None if found is None else lambda *xs: found(params, *xs)


def reasons(names: Sequence[str], reason: str) -> dict[str, str]:
    return dict.fromkeys(names, reason)


NOT_COVERED: dict[str, str] = {
    **reasons(("eig", "hessenberg", "schur", "tridiagonal"), "an iteration, not a formula"),
    **reasons(("householder_product",), "a product of reflections, of which JAX has no derivative"),
    **reasons(("random_gamma", "random_gamma_grad"), "samples of an iteration"),
    **reasons(("reduce_window",), "reduces windows by a function of the user"),
    **reasons(("select_and_gather_add", "select_and_scatter", "select_and_scatter_add"), "derivatives of pooling"),
    **reasons(
        ("all_gather", "all_to_all", "axis_index", "pmax", "pmin", "ppermute", "psum", "ragged_all_to_all"),
        "needs several devices",
    ),
    **reasons(("empty", "empty2", "get", "swap", "addupdate"), "memory that is written in place"),
    **reasons(("cholesky_update", "ormqr"), "JAX has no derivative of it"),
}
"""Primitives of floating-point numbers without a NumPy form, with the reason."""
