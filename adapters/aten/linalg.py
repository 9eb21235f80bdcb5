"""Linear algebra: factorisations, systems of equations and products."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.linalg import lapack

from gradagree.adapters.aten.table import CHOICES, aten, is_complex
from gradagree.errors import UsageError
from gradagree.reference.operations.complex_numbers import join_parts, stacked
from gradagree.reference.operations.linalg import complex_lu_factors, lu_factors
from gradagree.reference.operations.primitive import midpoints
from gradagree.reference.operations.spectral import complex_svd, numbers_of, svd


def transposed(x: Any) -> Any:
    """The transpose of each matrix of a stack."""
    return np.swapaxes(x, -1, -2)


def hermitian(x: Any) -> Any:
    """The conjugate transpose of each matrix of a stack."""
    return np.conjugate(transposed(x)) if is_complex(x) else transposed(x)


def no_errors(a: Any) -> np.ndarray:
    """The status that LAPACK returns for each matrix."""
    return np.zeros(np.shape(a)[:-2], dtype=np.int32)


UNUSED = np.zeros(0)
"""An output that only a backward pass uses."""


@aten("_linalg_check_errors")
def check_errors(*_: Any, **__: Any) -> None:
    """Raises for singular matrices; the call of the function has done so."""


@aten("_linalg_solve_ex")
def solve_ex(a: Any, b: Any, *, left: bool = True, check_errors: bool = False) -> Any:
    """(the solution of a x = b, or of x a = b; factor, pivots, status)."""
    vector = np.ndim(b) == 1 or (np.ndim(b) == np.ndim(a) - 1 and np.shape(b) == np.shape(a)[:-1])
    b = np.expand_dims(b, -1) if vector else b
    found = np.linalg.solve(a, b) if left else transposed(np.linalg.solve(transposed(a), transposed(b)))
    return (found[..., 0] if vector else found), UNUSED, UNUSED, no_errors(a)


@aten("linalg_inv_ex")
def inv_ex(a: Any, *, check_errors: bool = False) -> Any:
    return np.linalg.inv(a), no_errors(a)


@aten("linalg_solve_triangular")
def solve_triangular(a: Any, b: Any, *, upper: bool, left: bool = True, unitriangular: bool = False) -> Any:
    """The solution of a x = b (x a = b without left), from one triangle of a."""
    side = 1 if upper else -1
    if unitriangular:
        a = (np.triu if upper else np.tril)(a, side) + np.eye(np.shape(a)[-1])
    else:
        a = (np.triu if upper else np.tril)(a)
    return np.linalg.solve(a, b) if left else transposed(np.linalg.solve(transposed(a), transposed(b)))


@aten("triangular_solve")
def triangular_solve(b: Any, a: Any, upper: bool = True, transpose: bool = False, unitriangular: bool = False) -> Any:
    """(the solution, from one triangle of a, and a)."""
    system = transposed(a) if transpose else a
    return solve_triangular(system, b, upper=upper != transpose, unitriangular=unitriangular), a


def real_parts(decomposition: Any, z: Any) -> Any:
    """The real part of a decomposition of arrays whose first axis holds the parts."""
    return decomposition(stacked((np.real(z), np.imag(z))))[0]


def in_real_blocks(z: Any) -> Any:
    """The real matrix with a block [[re, -im], [im, re]] for each entry, which multiplies as the complex one does.

    The blocks of lower triangular matrices with a real diagonal are lower triangular, too, so that the Cholesky factor
    of the blocks is that of the complex matrix, in blocks.
    """
    m, n = np.shape(z)[-2:]
    rows = [np.stack(row, axis=-1) for row in ((np.real(z), -np.imag(z)), (np.imag(z), np.real(z)))]
    return np.reshape(np.stack(rows, axis=-3), (*np.shape(z)[:-2], 2 * m, 2 * n))


def from_real_blocks(x: Any) -> Any:
    """The complex matrix of `in_real_blocks`."""
    return join_parts(x[..., ::2, ::2], x[..., 1::2, ::2])


@aten("linalg_cholesky_ex")
def cholesky_ex(a: Any, *, upper: bool = False, check_errors: bool = False) -> Any:
    """(the triangular factor, the status).

    PyTorch reads one triangle, but its derivative is that of a function of symmetric matrices.
    """
    if is_complex(a):
        lower = hermitian(a) if upper else a
        found = from_real_blocks(cholesky_ex(in_real_blocks(lower))[0])
        return (hermitian(found) if upper else found), no_errors(a)
    numbers = transposed(midpoints(a)) if upper else midpoints(a)
    read = np.tril(numbers) + transposed(np.tril(numbers, -1))
    both = 0.5 * (a + transposed(a))
    rest = read - 0.5 * (numbers + transposed(numbers))
    found = np.linalg.cholesky(both + rest if rest.any() else both)
    return (transposed(found) if upper else found), no_errors(a)


@aten("cholesky")
def cholesky(a: Any, upper: bool = False) -> Any:
    return cholesky_ex(a, upper=upper)[0]


def positive_definite(factor: Any, upper: bool) -> Any:
    """The matrix of a Cholesky factor.

    PyTorch reads one triangle, but its derivative is that of a function of whole matrices.
    """
    numbers = numbers_of(factor)
    rest = np.tril(numbers, -1) if upper else np.triu(numbers, 1)
    factor = factor - rest if rest.any() else factor
    return hermitian(factor) @ factor if upper else factor @ hermitian(factor)


@aten("cholesky_solve")
def cholesky_solve(b: Any, factor: Any, upper: bool = False) -> Any:
    """The solution of a x = b, from the Cholesky factor of a."""
    return np.linalg.solve(positive_definite(factor, upper), b)


@aten("cholesky_inverse")
def cholesky_inverse(factor: Any, upper: bool = False) -> Any:
    return np.linalg.inv(positive_definite(factor, upper))


@aten("_linalg_det")
def det(a: Any) -> Any:
    return np.linalg.det(a), UNUSED, UNUSED


@aten("_linalg_slogdet")
def slogdet(a: Any) -> Any:
    """(sign, logarithm of the magnitude of the determinant, factor, pivots)."""
    found = np.linalg.det(a)
    return np.sign(found), np.log(np.abs(found)), UNUSED, UNUSED


@aten("linalg_cross")
def cross(x: Any, y: Any, *, dim: int = -1) -> Any:
    x, y = (np.moveaxis(z, dim, -1) for z in np.broadcast_arrays(x, y))
    (a, b, c), (d, e, f) = ([z[..., k] for k in range(3)] for z in (x, y))
    return np.moveaxis(np.stack([b * f - c * e, c * d - a * f, a * e - b * d], axis=-1), -1, dim)


@aten("vdot")
def vdot(x: Any, y: Any) -> Any:
    return np.conjugate(x) @ y if is_complex(x) else x @ y


@aten("eye")
def eye(n: int, m: int | None = None, **_: Any) -> Any:
    return np.eye(n, m)


def squared_norms(x: Any) -> Any:
    """The sum of squares of each column."""
    squares = np.square(np.real(x)) + np.square(np.imag(x)) if is_complex(x) else np.square(x)
    return np.sum(squares, axis=-2, keepdims=True)


def reflectors(a: Any) -> tuple[Any, list[tuple[Any, Any]]]:
    """(the triangular factor of the QR decomposition, (v, f) of the reflections 1 - f v v^H).

    The signs are LAPACK's: each pivot is real, with the sign opposite to the entry that it replaces.
    """
    m, n = np.shape(a)[-2:]
    vectors: list[tuple[Any, Any]] = []
    rows: list[Any] = []
    for j in range(min(m, n)):
        column = a[..., :, :1]
        if np.shape(a)[-2] > 1 or is_complex(a):
            head = column[..., :1, :]
            pivot = np.where(midpoints(np.real(head)) < 0, 1.0, -1.0) * np.sqrt(squared_norms(column))
            v = np.concatenate([head - pivot, column[..., 1:, :]], axis=-2)
            vectors.append((v, 1.0 / (pivot * (pivot - head)) if is_complex(a) else 2 / squared_norms(v)))
            a = reflected(*vectors[-1], a)
            first = np.concatenate([pivot, a[..., :1, 1:]], axis=-1)
        else:
            first = a[..., :1, :]
        rows.append(np.concatenate([np.zeros((*np.shape(a)[:-2], 1, j)), first], axis=-1))
        a = a[..., 1:, 1:]
    return (np.concatenate(rows, axis=-2) if rows else np.zeros((*np.shape(a)[:-2], 0, n))), vectors


def reflected(v: Any, factor: Any, x: Any) -> Any:
    """(1 - f v v^H) x."""
    return x - v @ (factor * (hermitian(v) @ x))


CHOICES["aten.linalg_qr"] = 1


@aten("linalg_qr")
def qr(a: Any, mode: str = "reduced", *, taken: Any = None) -> Any:
    """(q, r) with orthonormal columns of q, and triangular r with PyTorch's signs."""
    m, n = np.shape(a)[-2:]
    lead = np.shape(a)[:-2]
    r, vectors = reflectors(a)
    diagonals = [np.diagonal(np.real(x), axis1=-2, axis2=-1) for x in (r if taken is None else taken, r)]
    signs = np.where(midpoints(diagonals[0]) * midpoints(diagonals[1]) < 0, -1.0, 1.0)
    r = np.expand_dims(signs, -1) * r if (signs < 0).any() else r
    if mode == "r":
        return UNUSED, r
    columns = m if mode == "complete" else min(m, n)
    q: Any = np.broadcast_to(np.eye(m, columns), (*lead, m, columns))
    for k, (v, factor) in reversed(list(enumerate(vectors))):
        below = reflected(v, np.conjugate(factor) if is_complex(factor) else factor, q[..., k:, :])
        q = np.concatenate([q[..., :k, :], below], axis=-2) if k else below
    if (signs < 0).any():
        q = q * np.expand_dims(np.concatenate([signs, np.ones((*lead, columns - min(m, n)))], axis=-1), -2)
    if mode == "complete" and m > n:
        r = np.concatenate([r, np.zeros((*lead, m - n, n))], axis=-2)
    return q, r


@aten("linalg_householder_product")
def householder_product(v: Any, tau: Any) -> Any:
    """The first columns of the product of the reflections 1 - tau_k v_k v_k^H; v_k is 1 at k and 0 before."""
    m, n = np.shape(v)[-2:]
    q: Any = np.broadcast_to(np.eye(m, n), (*np.shape(v)[:-2], m, n))
    for k in reversed(range(np.shape(tau)[-1])):
        q = once_reflected(v, tau, k, q)
    return q


def once_reflected(v: Any, tau: Any, k: int, x: Any) -> Any:
    """(1 - tau_k v_k v_k^H) x."""
    head = np.concatenate([np.zeros((*np.shape(v)[:-2], k)), np.ones((*np.shape(v)[:-2], 1))], axis=-1)
    own = np.expand_dims(np.concatenate([head, v[..., k + 1 :, k]], axis=-1), -1)
    return x - own @ (tau[..., k : k + 1, None] * (hermitian(own) @ x))


@aten("ormqr")
def ormqr(v: Any, tau: Any, x: Any, left: bool = True, transpose: bool = False) -> Any:
    """q x, or x q without left, with the product q of the reflections of `householder_product`, or its transpose."""
    if not left:
        return hermitian(ormqr(v, tau, hermitian(x), transpose=not transpose))
    tau = np.conjugate(tau) if transpose and is_complex(tau) else tau
    order = range(np.shape(tau)[-1])
    for k in order if transpose else reversed(order):
        x = once_reflected(v, tau, k, x)
    return x


def row_swaps(a: Any, pivot: bool) -> tuple[np.ndarray, np.ndarray]:
    """(the order of the rows, LAPACK's pivots, which count from 1) of an LU decomposition."""
    matrices = numbers_of(a)
    *lead, m, n = matrices.shape
    pivots = np.broadcast_to(np.arange(1, min(m, n) + 1), (*lead, min(m, n))).astype(np.int32)
    order = np.broadcast_to(np.arange(m), (*lead, m)).copy()
    if not pivot:
        return order, pivots
    factorise = lapack.zgetrf if is_complex(a) else lapack.dgetrf
    for index in np.ndindex(*lead):
        if min(m, n):
            pivots[index] = factorise(matrices[index])[1] + 1
    return rows_of(pivots, m), pivots


def rows_of(pivots: np.ndarray, m: int) -> np.ndarray:
    """The order of m rows after the swaps that LAPACK's pivots stand for."""
    order = np.broadcast_to(np.arange(m), (*pivots.shape[:-1], m)).copy()
    for index in np.ndindex(*pivots.shape[:-1]):
        own = order[index]
        for k, other in enumerate(pivots[index] - 1):
            own[[k, other]] = own[[other, k]]
    return order


def packed_factors(a: Any, order: np.ndarray) -> Any:
    """Both triangular factors, in one matrix, of the matrices with their rows in this order."""
    left = np.take_along_axis(a, order[..., None], axis=-2)
    if not is_complex(a):
        return lu_factors(left)
    found = complex_lu_factors(stacked((np.real(left), np.imag(left))))
    return join_parts(found[0], found[1])


@aten("linalg_lu")
def lu(a: Any, *, pivot: bool = True) -> Any:
    """(p, l, u) with a = p l u; p is empty without pivoting."""
    order, _ = row_swaps(a, pivot)
    factors, (m, n) = packed_factors(a, order), np.shape(a)[-2:]
    k = min(m, n)
    swaps = np.swapaxes(np.eye(m)[order], -1, -2) if pivot else UNUSED
    return swaps, np.tril(factors[..., :k], -1) + np.eye(m, k), np.triu(factors[..., :k, :])


@aten("linalg_lu_factor_ex")
def lu_factor_ex(a: Any, *, pivot: bool = True, check_errors: bool = False) -> Any:
    """(both factors in one matrix, the pivots, the status)."""
    order, pivots = row_swaps(a, pivot)
    return packed_factors(a, order), pivots, no_errors(a)


@aten("lu_unpack")
def lu_unpack(factors: Any, pivots: Any, unpack_data: bool = True, unpack_pivots: bool = True) -> Any:
    """(p, l, u) of both factors in one matrix and its pivots; what is not unpacked is empty."""
    m, n = np.shape(factors)[-2:]
    k = min(m, n)
    p: Any = UNUSED
    if unpack_pivots:
        p = np.swapaxes(np.eye(m)[rows_of(np.asarray(pivots), m)], -1, -2)
    if not unpack_data:
        return p, UNUSED, UNUSED
    return p, np.tril(factors[..., :k], -1) + np.eye(m, k), np.triu(factors[..., :k, :])


@aten("linalg_lu_solve")
def lu_solve(factors: Any, pivots: Any, b: Any, *, left: bool = True, adjoint: bool = False) -> Any:
    """The solution of a x = b (x a = b without left), or with the transpose of a, from an LU decomposition of a.

    The factors are multiplied, because backward passes take their gradients from that of the product, -a^-T g x^T.
    """
    if not left:
        return hermitian(lu_solve(factors, pivots, hermitian(b), adjoint=not adjoint))
    lead = np.broadcast_shapes(np.shape(factors)[:-2], np.shape(b)[:-2])
    b = np.broadcast_to(b, (*lead, *np.shape(b)[-2:]))
    order = np.broadcast_to(rows_of(np.asarray(pivots), np.shape(factors)[-1]), (*lead, np.shape(factors)[-1]))
    a = (np.tril(factors, -1) + np.eye(np.shape(factors)[-1])) @ np.triu(factors)
    if not adjoint:
        return np.linalg.solve(a, np.take_along_axis(b, order[..., None], axis=-2))
    found = np.linalg.solve(hermitian(a), b)
    return np.take_along_axis(found, np.argsort(order, axis=-1)[..., None], axis=-2)


TERMS = 30
"""Terms of the exponential series: for norms up to 1, the rest is below 1e-33."""
SEPARATE = 5
"""Terms that programs add one by one; PyTorch adds at most 6 matrices, in any order."""


@aten("linalg_matrix_exp")
def matrix_exp(a: Any) -> Any:
    """The exponential, by its series at a / 2^k and k squarings."""
    size = np.max(np.sum(midpoints(np.abs(a)) if is_complex(a) else np.abs(midpoints(a)), axis=-2), initial=0.0)
    halvings = int(np.ceil(np.log2(size))) if size > 1 else 0
    a = a * 0.5**halvings
    one = np.broadcast_to(np.eye(np.shape(a)[-1]), np.shape(a))
    rest = one + a / TERMS
    for k in range(TERMS - 1, SEPARATE, -1):
        rest = one + (a @ rest) / k
    power, terms = one, [one]
    for k in range(1, SEPARATE + 1):
        power = a if k == 1 else power @ a
        terms.append(power / math.factorial(k) if k < SEPARATE else power @ rest / math.factorial(k))
    found = np.sum(np.stack(terms, axis=0), axis=0)
    for _ in range(halvings):
        found = found @ found
    return found


def pseudoinverse(a: Any) -> Any:
    """r^-1 q^H for a matrix of full rank with at least as many rows as columns; transposed otherwise."""
    m, n = np.shape(a)[-2:]
    if m < n:
        return transposed(pseudoinverse(transposed(a)))
    q, r = qr(a)
    return np.linalg.solve(r, hermitian(q))


def rank_of(a: Any, atol: Any = None, rtol: Any = None) -> int:
    """The number of singular values that do not count as 0.

    Raises:
        UsageError: The matrices of a stack have different ranks.
    """
    sizes = np.linalg.svd(numbers_of(a), compute_uv=False)
    if not sizes.size:
        return min(np.shape(a)[-2:])
    relative = np.finfo(np.float32).eps * max(np.shape(a)[-2:]) if rtol is None else midpoints(rtol)[..., None]
    least = np.maximum(relative * sizes[..., :1], 0.0 if atol is None else midpoints(atol)[..., None])
    found = np.sum(sizes > least, axis=-1)
    if np.ptp(found):
        raise UsageError("the pseudoinverse is covered for matrices of one rank only; give a reference function")
    return int(found.flat[0])


@aten("linalg_pinv")
def pinv(a: Any, *rcond: Any, atol: Any = None, rtol: Any = None, hermitian: bool = False) -> Any:
    """The pseudoinverse, of symmetric matrices if they are declared as hermitian."""
    if is_complex(a):
        if hermitian or True in rcond[1:]:
            raise UsageError("the pseudoinverse with hermitian=True is covered for real matrices only; leave it out")
        return from_real_blocks(pinv(in_real_blocks(a), *rcond, atol=atol, rtol=rtol))
    numbers = midpoints(a)
    if (hermitian or True in rcond[1:]) and not np.array_equal(numbers, np.swapaxes(numbers, -1, -2)):
        raise UsageError("the pseudoinverse with hermitian=True is given a matrix that is not symmetric; give a + a.mT")
    m, n = np.shape(a)[-2:]
    rank = rank_of(a, atol, rcond[0] if rcond else rtol)
    if rank == min(m, n):
        return pseudoinverse(a)
    if not rank:
        return np.zeros((*np.shape(a)[:-2], n, m))
    found = svd(a, rank=rank)
    return (found[..., 1 + m :, :] / found[..., :1, :]) @ transposed(found[..., 1 : 1 + m, :])


@aten("linalg_lstsq")
def lstsq(a: Any, b: Any, rcond: Any = None, *, driver: str | None = None) -> Any:
    """(the solution of least squares, its squared residuals, ranks, singular values)."""
    vector = np.ndim(b) == 1 or (np.ndim(b) == np.ndim(a) - 1 and np.shape(b) == np.shape(a)[:-1])
    b = np.expand_dims(b, -1) if vector else b
    if rank_of(a) < min(np.shape(a)[-2:]):
        raise UsageError("linalg.lstsq is covered for matrices of full rank only; give a reference function")
    found = pseudoinverse(a) @ b
    m, n = np.shape(a)[-2:]
    with_residuals = m > n and driver not in (None, "gelsy")
    residuals = np.squeeze(squared_norms(a @ found - b), -2) if with_residuals else UNUSED
    rank = UNUSED if driver == "gels" else np.full(np.shape(a)[:-2], min(m, n))
    singular: Any = UNUSED
    if driver in ("gelsd", "gelss") and np.size(a):
        singular = (real_parts(complex_svd, a) if is_complex(a) else svd(a))[..., 0, :]
    return (found[..., 0] if vector else found), residuals, rank, singular
