"""Systems of equations by elimination, entry by entry, shared by all arithmetics.

The pivots are those of partial pivoting at the central values. Every rounding of a program that eliminates is one of
this elimination, in another order.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gradagree.arithmetic.derived import midpoints
from gradagree.arithmetic.duck import Duck
from gradagree.reference.operations.linalg import complex_lu_factors, eliminated, lu_factors


def row_order(a: Any) -> tuple[np.ndarray, np.ndarray]:
    """(the order of the rows, the sign of the permutation) of partial pivoting; triangular matrices stay as they are.

    Args:
        a: Matrices (..., n, n).

    Returns:
        Integers (..., n), and 1 or -1 for each matrix.
    """
    left = np.array(midpoints(a))
    n = left.shape[-1]
    order = np.broadcast_to(np.arange(n), left.shape[:-1]).copy()
    signs = np.ones(left.shape[:-2])
    if not (np.tril(left, -1).any() and np.triu(left, 1).any()):
        return order, signs
    for index in np.ndindex(*left.shape[:-2]):
        rows, own = left[index], order[index]
        for k in range(n - 1):
            best = k + int(np.argmax(np.abs(rows[k:, k])))
            if best != k:
                rows[[k, best]], own[[k, best]] = rows[[best, k]], own[[best, k]]
                signs[index] *= -1
            with np.errstate(all="ignore"):
                rows[k + 1 :, k:] -= np.outer(rows[k + 1 :, k] / rows[k, k], rows[k, k:])
    return order, signs


def eliminate(a: Any, order: np.ndarray) -> list[Any]:
    """The rows of the triangular factor of the first columns of a (..., n, m), each from its pivot on."""
    left = np.take_along_axis(a, order[..., None], axis=-2)
    found = []
    for _ in range(np.shape(a)[-2]):
        top = left[..., :1, :]
        found.append(top[..., 0, :])
        left = left[..., 1:, 1:] - (left[..., 1:, :1] / top[..., :1]) * top[..., 1:]
    return found


def solve(a: Any, b: Any) -> Any:
    """a^-1 b, for matrices and stacks of them; b may be one vector."""
    if np.ndim(b) == 1:
        return solve(a, np.expand_dims(b, -1))[..., 0]
    lead = np.broadcast_shapes(np.shape(a)[:-2], np.shape(b)[:-2])
    a, b = (np.broadcast_to(x, (*lead, *np.shape(x)[-2:])) for x in (a, b))
    n = np.shape(a)[-1]
    if not n:
        return b
    rows = eliminate(np.concatenate([a, b], axis=-1), row_order(a)[0])
    found: list[Any] = []
    for k in reversed(range(n)):
        right = rows[k][..., n - k :]
        if found:
            known = np.stack(found[::-1], axis=-2)
            right = right - (np.expand_dims(rows[k][..., 1 : n - k], -2) @ known)[..., 0, :]
        found.append(right / rows[k][..., :1])
    return np.stack(found[::-1], axis=-2)


def inverse(a: Any) -> Any:
    return solve(a, np.eye(np.shape(a)[-1]))


def determinant(a: Any) -> Any:
    """The product of the pivots."""
    if not np.shape(a)[-1]:
        return np.ones(np.shape(a)[:-2])
    order, signs = row_order(a)
    found: Any = signs
    for row in eliminate(a, order):
        found = found * row[..., 0]
    return found


def cholesky(a: Any) -> Any:
    """The lower triangular l with l l^T = a, column by column; only the lower triangle of a is read."""
    n = np.shape(a)[-1]
    if not n:
        return a
    columns: list[Any] = []
    for k in range(n):
        column = a[..., k:, k]
        if columns:
            known = np.stack([own[..., k - j :] for j, own in enumerate(columns)], axis=-1)
            column = column - (known @ np.expand_dims(known[..., 0, :], -1))[..., 0]
        pivot = np.sqrt(column[..., :1])
        columns.append(np.concatenate([pivot, column[..., 1:] / pivot], axis=-1))
    lead = np.shape(a)[:-2]
    return np.stack([np.concatenate([np.zeros((*lead, k)), c], axis=-1) for k, c in enumerate(columns)], axis=-1)


Duck.derived.update({
    np.linalg.solve: solve, np.linalg.inv: inverse, np.linalg.det: determinant, np.linalg.cholesky: cholesky,
    lu_factors: eliminated, complex_lu_factors: complex_lu_factors.__wrapped__,  # type: ignore[attr-defined]
})  # fmt: skip
