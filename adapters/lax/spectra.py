"""Eigenvectors and singular vectors: those of the given numbers as constants, refined by a formula of the matrix.

A step of refinement (Ogita and Aishima 2018, 2020) makes the error of nearly exact vectors the square of what it was,
so that its value is that of the factorisation, and so is its derivative; the sensitivity to rounding errors, one over
the distance of eigenvalues, comes with the formula. Vectors have the signs that JAX gives them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from gradagree.adapters.lax.table import placed


def transposed(x: Any) -> Any:
    return np.swapaxes(x, -1, -2)


def diagonal(x: Any) -> Any:
    return np.diagonal(x, axis1=-2, axis2=-1)


def aligned(vectors: np.ndarray, like: Any) -> np.ndarray:
    """The signs of the columns of a factor with respect to those of another."""
    products = np.sum(vectors * np.asarray(like).astype(np.float64), axis=-2, keepdims=True)
    return np.where(products < 0, -1.0, 1.0)


def quotients(above: Any, below: Any) -> Any:
    """The quotients off the diagonal, and 0 on it."""
    own = np.eye(np.shape(below)[-1], dtype=bool)
    return np.where(own, 0.0, above / np.where(own, 1.0, below))


@placed("eigh")
def eigh(params: dict[str, Any], operands: Sequence[Any]) -> Callable[..., Any] | None:
    """Eigenvectors and eigenvalues in ascending order of a symmetric matrix."""
    if params.get("subset_by_index") is not None or not params["sort_eigenvalues"]:
        return None
    a = np.asarray(operands[0], np.float64)
    own = lax.linalg.eigh(jnp.asarray(operands[0], params["source"]), lower=params["lower"], symmetrize_input=False)[0]
    vectors = np.linalg.eigh(a, UPLO="L" if params["lower"] else "U")[1]
    x = vectors * aligned(vectors, own)
    rest = np.eye(a.shape[-1]) - transposed(x) @ x

    def run(a: Any) -> Any:
        product = transposed(x) @ a @ x
        values = diagonal(product) / (1 - diagonal(rest))
        columns = np.expand_dims(values, -2)
        error = quotients(product + columns * rest, columns - np.expand_dims(values, -1))
        return [x + x @ (error + 0.5 * rest * np.eye(np.shape(rest)[-1])), values]

    return run


@placed("svd")
def svd(params: dict[str, Any], operands: Sequence[Any]) -> Callable[..., Any] | None:
    """Singular values, and the thin factors u and v^T."""
    rows, columns = np.shape(operands[0])[-2:]
    whole = params["full_matrices"] and params["compute_uv"] and rows != columns
    if params.get("subset_by_index") is not None or whole:
        return None
    a = np.asarray(operands[0], np.float64)
    wide = rows < columns
    full, _, other = np.linalg.svd(transposed(a) if wide else a)
    n = min(rows, columns)
    u, beyond, v = full[..., :n], full[..., n:], transposed(other)
    if params["compute_uv"]:
        left, _, right = lax.linalg.svd(jnp.asarray(operands[0], params["source"]), full_matrices=False)
        signs = aligned(u, np.swapaxes(right, -1, -2) if wide else left)
        u, v = u * signs, v * signs

    def run(a: Any) -> Any:
        found, values, others = refined(transposed(a) if wide else a, u, beyond, v)
        if not params["compute_uv"]:
            return [values]
        return [values, others, transposed(found)] if wide else [values, found, transposed(others)]

    return run


def refined(a: Any, u: np.ndarray, beyond: np.ndarray, v: np.ndarray) -> tuple[Any, Any, Any]:
    """(u, singular values, v) from nearly exact u and v, with vectors orthogonal to u."""
    eye = np.eye(v.shape[-1])
    rest, other = eye - transposed(u) @ u, eye - transposed(v) @ v
    product = transposed(u) @ a @ v
    values = diagonal(product) / (1 - 0.5 * (diagonal(rest) + diagonal(other)))
    across, down = np.expand_dims(values, -2), np.expand_dims(values, -1)
    first, second = product + across * rest, transposed(product) + across * other
    gaps = (across - down) * (across + down)
    left = quotients(across * first + down * second, gaps) + 0.5 * rest * eye
    right = quotients(down * first + across * second, gaps) + 0.5 * other * eye
    outside = beyond @ (transposed(beyond) @ (a @ v) / across) if beyond.shape[-1] else 0.0
    return u + u @ left + outside, values, v + v @ right
