"""Eigenvectors and singular vectors, with the signs and phases that JAX gives them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from gradagree.adapters.lax.table import placed
from gradagree.reference.operations.complex_numbers import join_parts, stacked
from gradagree.reference.operations.spectral import (
    complex_svd,
    eig as any_matrix,
    eigh as decomposed,
    hermitian_eigh,
    is_complex,
    numbers_of,
    svd as factors,
)


def wide(x: Any) -> np.ndarray:
    """An array as float64 or complex128."""
    return numbers_of(np.asarray(x).astype(np.complex128 if jnp.iscomplexobj(x) else np.float64))


def of_both(real: Callable[..., Any], paired: Callable[..., Any], a: Any, taken: Any) -> Any:
    """A decomposition of a real matrix, or that of a complex one by its form for pairs."""
    if not is_complex(a):
        return real(a, taken)
    found = paired(stacked((np.real(a), np.imag(a))), taken)
    return join_parts(found[0], found[1])


@placed("eigh")
def eigh(params: dict[str, Any], operands: Sequence[Any]) -> Callable[..., Any] | None:
    """Eigenvectors and eigenvalues in ascending order; JAX's derivative is that of a function of symmetric matrices."""
    if params.get("subset_by_index") is not None or not params["sort_eigenvalues"]:
        return None
    matrix = jnp.asarray(operands[0], params["source"])
    own = lax.linalg.eigh(matrix, lower=params["lower"], symmetrize_input=False)[0]

    def run(a: Any) -> Any:
        found = of_both(decomposed, hermitian_eigh, a, wide(own))
        return [found[..., 1:, :], np.real(found[..., 0, :])]

    return run


@placed("eig")
def eig(params: dict[str, Any], operands: Sequence[Any]) -> Callable[..., Any] | None:
    """Eigenvalues and right eigenvectors of any matrix."""
    if params["compute_left_eigenvectors"]:
        return None
    vectors = params["compute_right_eigenvectors"]
    options = {"compute_left_eigenvectors": False, "compute_right_eigenvectors": vectors}
    own = lax.linalg.eig(jnp.asarray(operands[0], params["source"]), **options)
    known = [np.asarray(x).astype(np.complex128) for x in own]
    taken = np.concatenate([known[0][..., None, :], known[1] if vectors else np.zeros(np.shape(operands[0]))], axis=-2)

    def run(a: Any) -> Any:
        found = any_matrix(stacked((np.real(a), np.imag(a))), taken)
        both = [join_parts(found[0][..., one, :], found[1][..., one, :]) for one in (0, slice(1, None))]
        return both if vectors else both[:1]

    return run


@placed("svd")
def svd(params: dict[str, Any], operands: Sequence[Any]) -> Callable[..., Any] | None:
    """Singular values, and the factors u and v^H without the columns that complete a basis."""
    rows, columns = np.shape(operands[0])[-2:]
    whole = params["full_matrices"] and params["compute_uv"] and rows != columns
    if params.get("subset_by_index") is not None or whole:
        return None
    own = None
    if params["compute_uv"]:
        own = lax.linalg.svd(jnp.asarray(operands[0], params["source"]), full_matrices=False)[0]
        own = wide(own)

    def run(a: Any) -> Any:
        found = of_both(factors, complex_svd, a, own)
        values, u, v = np.real(found[..., 0, :]), found[..., 1 : 1 + rows, :], found[..., 1 + rows :, :]
        return [values, u, np.conjugate(np.swapaxes(v, -1, -2))] if params["compute_uv"] else [values]

    return run
