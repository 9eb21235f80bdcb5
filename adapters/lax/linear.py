"""Products of matrices, factorisations and triangular systems."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gradagree.adapters.lax.table import form, placed
from gradagree.reference.operations.primitive import midpoints
from gradagree.reference.operations.spectral import adjoint


@form("dot_general")
def dot_general(params: Any, a: Any, b: Any) -> Any:
    """Batch axes first, then the free axes of a and of b: one batched matrix product."""
    (sum_a, sum_b), (batch_a, batch_b) = params["dimension_numbers"]
    free_a = [k for k in range(np.ndim(a)) if k not in (*sum_a, *batch_a)]
    free_b = [k for k in range(np.ndim(b)) if k not in (*sum_b, *batch_b)]
    batch = [np.shape(a)[k] for k in batch_a]
    rows, columns = [np.shape(a)[k] for k in free_a], [np.shape(b)[k] for k in free_b]
    terms = int(np.prod([np.shape(a)[k] for k in sum_a]))
    left = np.reshape(np.transpose(a, (*batch_a, *free_a, *sum_a)), (*batch, int(np.prod(rows)), terms))
    right = np.reshape(np.transpose(b, (*batch_b, *sum_b, *free_b)), (*batch, terms, int(np.prod(columns))))
    return np.reshape(left @ right, (*batch, *rows, *columns))


@placed("ragged_dot_general")
def ragged_dot(params: dict[str, Any], operands: Sequence[Any]) -> Callable[..., Any] | None:
    """Consecutive rows of x times the matrix of their group; rows beyond all groups give 0."""
    numbers = params["ragged_dot_dimension_numbers"]
    plain = (((1,), (1,)), ((), ())), (0,), (0,)
    found = numbers.dot_dimension_numbers, numbers.lhs_ragged_dimensions, numbers.rhs_group_dimensions
    if tuple(map(nested, found)) != plain or params.get("group_offset") is not None:
        return None
    ends = np.cumsum(np.asarray(operands[2]))
    starts = ends - np.asarray(operands[2])
    rows = np.shape(operands[0])[0]

    def run(x: Any, w: Any, *_: Any) -> Any:
        parts = [x[a:b] @ w[k] for k, (a, b) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)) if b > a]
        if ends[-1] < rows:
            parts.append(np.zeros((rows - int(ends[-1]), np.shape(w)[-1])))
        return np.concatenate(parts, axis=0)

    return run


def nested(x: Any) -> Any:
    return tuple(map(nested, x)) if isinstance(x, list | tuple) else x


@form("tridiagonal_solve")
def tridiagonal_solve(params: Any, below: Any, diagonal: Any, above: Any, b: Any) -> Any:
    """x of a x = b, for a with these three diagonals; the first entry below and the last above do not count."""
    n = np.shape(diagonal)[-1]
    places = np.arange(n)
    matrix = np.expand_dims(diagonal, -1) * np.eye(n)
    if n > 1:
        lower, upper = np.zeros((n, n)), np.zeros((n, n))
        lower[places[1:], places[:-1]] = 1.0
        upper[places[:-1], places[1:]] = 1.0
        matrix = matrix + np.expand_dims(below, -1) * lower + np.expand_dims(above, -1) * upper
    return np.linalg.solve(matrix, b)


@form("symmetric_product")
def symmetric_product(params: Any, a: Any, c: Any) -> Any:
    return params["alpha"] * (a @ np.swapaxes(a, -1, -2)) + params["beta"] * c


@placed("qr")
def qr(params: dict[str, Any], operands: Sequence[Any]) -> Callable[..., Any] | None:
    """Each column without its parts along those before it; with the signs of LAPACK's reflections."""
    rows, columns = np.shape(operands[0])[-2:]
    if params["pivoting"] or (params["full_matrices"] and rows > columns):
        return None
    factor = np.linalg.qr(np.asarray(operands[0]))[1]
    signs = np.where(np.diagonal(np.real(factor), axis1=-2, axis2=-1) < 0, -1.0, 1.0)

    def run(a: Any) -> Any:
        q: Any = None
        for k in range(min(rows, columns)):
            rest = a[..., k : k + 1]
            if k:
                rest = rest - q @ (adjoint(q) @ rest)
            size = np.linalg.norm(rest, axis=(-2, -1), keepdims=True)
            column = rest * signs[..., k, None, None] / size
            q = np.concatenate([q, column], axis=-1) if k else column
        return [q, np.triu(adjoint(q) @ a)]

    return run


@form("cholesky")
def cholesky(params: Any, a: Any) -> Any:
    """The lower factor of a symmetric matrix.

    JAX reads one triangle, but its derivative is that of L (A) = L tril'(L^-1 A L^-T), for matrices that need not be
    symmetric, with half the diagonal in tril'; the second term here is 0, and has that derivative.
    """
    numbers = midpoints(a)
    read, other = np.tril(numbers) + np.swapaxes(np.tril(numbers, -1), -1, -2), np.swapaxes(a, -1, -2)
    rest = read - 0.5 * (numbers + np.swapaxes(numbers, -1, -2))
    both = 0.5 * (a + other)
    factor = by_columns(both + rest if rest.any() else both)
    skew = 0.5 * (a - other) - 0.5 * (numbers - np.swapaxes(numbers, -1, -2))
    middle = np.linalg.solve(factor, np.swapaxes(np.linalg.solve(factor, skew), -1, -2))
    return factor - factor @ (np.tril(middle, -1) + 0.5 * middle * np.eye(np.shape(a)[-1]))


def by_columns(a: Any) -> Any:
    """The lower factor, column by column, from the lower triangle."""
    n = np.shape(a)[-1]
    columns: list[Any] = []
    for j in range(n):
        rest = a[..., j:, j]
        if j:
            left = np.stack([c[..., j:] for c in columns], axis=-1)
            rest = rest - np.squeeze(left @ np.expand_dims(left[..., 0, :], -1), -1)
        column = rest / np.sqrt(rest[..., :1])
        columns.append(np.concatenate([np.zeros((*np.shape(a)[:-2], j)), column], axis=-1) if j else column)
    return np.stack(columns, axis=-1)


@form("triangular_solve")
def triangular_solve(params: Any, a: Any, b: Any) -> Any:
    """x of a x = b (or x a = b) by substitution, one row after the other."""
    left, lower = params["left_side"], params["lower"]
    if params["transpose_a"] != (not left):
        a, lower = np.swapaxes(a, -1, -2), not lower
    b = b if left else np.swapaxes(b, -1, -2)
    n = np.shape(a)[-1]
    order = range(n) if lower else range(n - 1, -1, -1)
    rows: dict[int, Any] = {}
    for i in order:
        rest = b[..., i : i + 1, :]
        if rows:
            known = sorted(rows)
            rest = rest - a[..., i : i + 1, known] @ np.concatenate([rows[k] for k in known], axis=-2)
        rows[i] = rest if params["unit_diagonal"] else rest / a[..., i : i + 1, i : i + 1]
    found = np.concatenate([rows[k] for k in range(n)], axis=-2)
    return found if left else np.swapaxes(found, -1, -2)


@placed("lu")
def lu(params: dict[str, Any], operands: Sequence[Any]) -> Callable[..., Any] | None:
    """Factors of a matrix whose rows are exchanged as for the given numbers: the largest pivot comes first."""
    a = np.array(operands[0], dtype=np.float64)
    rows, columns = a.shape[-2:]
    pivots, permutation = pivoted(a)

    def run(x: Any) -> Any:
        x = np.take_along_axis(x, np.broadcast_to(permutation[..., None], np.shape(x)), axis=-2)
        upper, lower = [], []
        for _ in range(min(rows, columns)):
            row, column = x[..., :1, :], x[..., 1:, :1]
            factors = column / row[..., :, :1]
            upper.append(row)
            lower.append(factors)
            x = x[..., 1:, 1:] - factors * row[..., :, 1:]
        return [packed(upper, lower, rows, columns), pivots, permutation.astype(np.int32)]

    return run


def packed(upper: list[Any], lower: list[Any], rows: int, columns: int) -> Any:
    """Row i: its factors from the steps before it, then its row of the upper factor."""
    found = []
    for i in range(rows):
        parts = [lower[k][..., i - k - 1 : i - k, :] for k in range(min(i, len(lower)))]
        found.append(np.concatenate([*parts, *upper[i : i + 1]], axis=-1))
    return np.concatenate(found, axis=-2)


def pivoted(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(the row that each step exchanges with its own, the order of the rows), for a stack of matrices."""
    rows, columns = a.shape[-2:]
    steps = min(rows, columns)
    stack = a.reshape(-1, rows, columns)
    pivots, orders = np.zeros((len(stack), steps), np.int32), np.tile(np.arange(rows), (len(stack), 1))
    for matrix, pivot, order in zip(stack, pivots, orders, strict=True):
        for k in range(steps):
            best = pivot[k] = k + int(np.argmax(np.abs(matrix[k:, k])))
            matrix[[k, best]], order[[k, best]] = matrix[[best, k]], order[[best, k]]
            if matrix[k, k]:
                matrix[k + 1 :, k] /= matrix[k, k]
                matrix[k + 1 :, k + 1 :] -= np.outer(matrix[k + 1 :, k], matrix[k, k + 1 :])
    return pivots.reshape(*a.shape[:-2], steps), orders.reshape(*a.shape[:-2], rows)
