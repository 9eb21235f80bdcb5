"""Linear algebra: systems of equations, inverse, determinant, LU and Cholesky factors, with their classic vjps."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradagree.reference.operations.complex_numbers import join_parts, stacked
from gradagree.reference.operations.primitive import overridable, register, sum_to


def transposed(x: Any) -> Any:
    """The transpose of each matrix of a stack."""
    return np.swapaxes(x, -1, -2)


def solve(g: Any, y: Any, a: Any, b: Any) -> tuple[Any, Any]:
    """y = a^-1 b: the cotangent of b is a^-T g, that of a is minus it times y^T (Giles 2008)."""
    if np.ndim(b) == 1:
        by_a, by_b = solve(g[:, None], y[:, None], a, b[:, None])
        return by_a, by_b[:, 0]
    by_b = np.linalg.solve(transposed(a), g)
    return sum_to(-(by_b @ transposed(y)), np.shape(a)), sum_to(by_b, np.shape(b))


def inverse(g: Any, y: Any, a: Any) -> tuple[Any]:
    """-y^T g y^T."""
    return (-(transposed(y) @ g @ transposed(y)),)


def determinant(g: Any, y: Any, a: Any) -> tuple[Any]:
    """g det(a) a^-T."""
    scaled = np.expand_dims(g * y, (-1, -2)) * np.eye(np.shape(a)[-1])
    return (np.linalg.solve(transposed(a), scaled),)


def cholesky(g: Any, y: Any, a: Any) -> tuple[Any]:
    """S = y^-T M y^-1, with M the lower triangle of y^T g made symmetric and halved (Murray 2016).

    The cotangent of the entries that are read, those of the lower triangle, is that of both triangles of S.
    """
    product = transposed(y) @ g
    below = np.tril(product, -1)
    middle = 0.5 * (below + transposed(below) + product * np.eye(np.shape(a)[-1]))
    left = np.linalg.solve(transposed(y), middle)
    both = np.linalg.solve(transposed(y), transposed(left))
    return (np.tril(2 * both, -1) + both * np.eye(np.shape(a)[-1]),)


def eliminated(a: Any) -> Any:
    """Both triangular factors of matrices (..., m, n) in one of this shape, by elimination without pivoting."""
    m, n = np.shape(a)[-2:]
    if m < 2 or n < 1:
        return a
    top, factors = a[..., :1, :], a[..., 1:, :1] / a[..., :1, :1]
    if n > 1:
        rest = eliminated(a[..., 1:, 1:] - factors * top[..., 1:])
        factors = np.concatenate([factors, rest], axis=-1)
    return np.concatenate([top, factors], axis=-2)


@overridable
def lu_factors(a: Any) -> Any:
    """The factors of a = l u in one matrix: l below the diagonal, where it has ones, and u on and above it.

    Args:
        a: Matrices (..., m, n) of any arithmetic, with their rows in the order of the pivots.
    """
    return eliminated(a)


@overridable
def complex_lu_factors(a: Any) -> Any:
    """As `lu_factors`, of complex matrices.

    Args:
        a: Real and imaginary part of matrices (2, ..., m, n) of any arithmetic.
    """
    return in_parts(eliminated(join_parts(a[0], a[1])))


def in_parts(z: Any) -> Any:
    """The real and the imaginary part of a complex array along a new first axis."""
    return stacked((np.real(z), np.imag(z)))


def complex_lu_vjp(g: Any, y: Any, a: Any) -> tuple[Any]:
    """The conjugate of `lu_vjp` of the conjugate, as for every function with a complex derivative."""
    (found,) = lu_vjp(join_parts(g[0], -g[1]), join_parts(y[0], y[1]), join_parts(a[0], a[1]))
    return (in_parts(np.conjugate(found)),)


def lu_vjp(g: Any, y: Any, a: Any) -> tuple[Any]:
    """The transpose of `lu_tangent`."""
    m, n = np.shape(y)[-2:]
    k = min(m, n)
    square = y[..., :k, :k]
    lower, upper = np.tril(square, -1) + np.eye(k), np.triu(square)
    below = np.tril(transposed(lower) @ np.tril(g[..., :k, :k], -1), -1)
    above = np.triu(np.triu(g[..., :k, :k]) @ transposed(upper))
    if n > k:
        below = below - np.tril(g[..., k:] @ transposed(y[..., :k, k:]), -1)
    if m > k:
        above = above - np.triu(transposed(y[..., k:, :]) @ g[..., k:, :])
    inner = transposed(np.linalg.solve(upper, transposed(below + above)))
    inner = np.concatenate([inner, g[..., k:]], axis=-1) if n > k else inner
    found = np.linalg.solve(transposed(lower), inner)
    if m > k:
        found = np.concatenate([found, transposed(np.linalg.solve(upper, transposed(g[..., k:, :])))], axis=-2)
    return (found,)


def lu_tangent(y: Any, moved: Any) -> Any:
    """The tangent of both factors y of a matrix, by that of the matrix.

    With F = l^-1 a' u^-1 of the square part, l' = l tril(F, -1) and u' = triu(F) u; the other rows or columns follow
    from a' = l' u + l u' (Murray 2016, and PyTorch's linalg_lu_jvp).
    """
    m, n = np.shape(y)[-2:]
    k = min(m, n)
    square = y[..., :k, :k]
    lower, upper = np.tril(square, -1) + np.eye(k), np.triu(square)
    solved = np.linalg.solve(lower, moved[..., :k, :])
    inner = transposed(np.linalg.solve(transposed(upper), transposed(solved[..., :k])))
    below, above = np.tril(inner, -1), np.triu(inner)
    found = np.tril(lower @ below, -1) + np.triu(above @ upper)
    if n > k:
        return np.concatenate([found, solved[..., k:] - below @ y[..., :k, k:]], axis=-1)
    if m > k:
        by_rows = transposed(np.linalg.solve(transposed(upper), transposed(moved[..., k:, :])))
        return np.concatenate([found, by_rows - y[..., k:, :] @ above], axis=-2)
    return found


register(np.linalg.solve, solve)
register(lu_factors, lu_vjp)
register(complex_lu_factors, complex_lu_vjp)
register(np.linalg.inv, inverse)
register(np.linalg.det, determinant)
register(np.linalg.cholesky, cholesky)
