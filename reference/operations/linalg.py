"""Linear algebra: systems of equations, inverse, determinant and Cholesky factor, with their classic vjps."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradagree.reference.operations.primitive import register, sum_to


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


register(np.linalg.solve, solve)
register(np.linalg.inv, inverse)
register(np.linalg.det, determinant)
register(np.linalg.cholesky, cholesky)
