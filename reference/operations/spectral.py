"""Eigenvalues and eigenvectors, and singular values and vectors.

They are those of float64, refined once (Ogita and Aishima 2018, 2020): the value is accurate to twice as many digits,
and its error bound in any arithmetic is that of perturbation theory, error of the matrix over gap of the eigenvalues.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from gradagree.reference.operations.complex_numbers import join_parts, stacked
from gradagree.reference.operations.primitive import Primitive, midpoints


def transposed(x: Any) -> Any:
    """The transpose of each matrix of a stack."""
    return np.swapaxes(x, -1, -2)


def adjoint(x: Any) -> Any:
    """The conjugate transpose of each matrix of a stack."""
    return np.conjugate(transposed(x)) if is_complex(x) else transposed(x)


def is_complex(x: Any) -> bool:
    return getattr(x, "dtype", np.dtype(float)).kind == "c"


def numbers_of(x: Any) -> np.ndarray:
    """The central values of an array of any arithmetic, real or complex."""
    return midpoints(np.real(x)) + 1j * midpoints(np.imag(x)) if is_complex(x) else midpoints(x)


def like(constant: np.ndarray, x: Any) -> Any:
    """A constant in the arithmetic of x, so that what is computed from it has the rounding errors of a program."""
    if is_complex(x):
        re, im = (like(part, np.real(x)) for part in (np.real(constant), np.imag(constant)))
        return join_parts(re, im) if is_complex(constant) else re
    anchor = np.reshape(np.reshape(x, (-1,))[:1], (1,) * np.ndim(constant))
    return np.where(np.ones(np.shape(constant), dtype=bool), constant, anchor)


def as_a_whole(a: Any) -> Any:
    """A matrix with the errors of its decomposition: those of each entry are u times the norm of the matrix.

    Decompositions are backward stable in norm, not by entry (Anderson et al., LAPACK Users' Guide, 4.7 and 4.9).
    """
    if is_complex(a):
        return join_parts(as_a_whole(np.real(a)), as_a_whole(np.imag(a)))
    norms = np.sqrt(np.sum(np.square(midpoints(a)), axis=(-2, -1), keepdims=True))
    size = like(2.0 ** np.ceil(np.log2(np.where(norms > 0, norms, 1.0))), a)
    return (a + size) - size


def rows(x: Any) -> Any:
    """Diagonal entries, or eigenvalues, as a matrix of one row."""
    return np.expand_dims(x, -2)


def diagonal(x: Any) -> Any:
    return np.sum(x * np.eye(np.shape(x)[-1]), axis=-1)


def phases(vectors: np.ndarray, taken: np.ndarray | None) -> Any:
    """1 or -1 for each column, or its phase: that of the taken columns, of which it is arbitrary."""
    if taken is None or taken.shape != vectors.shape:
        return 1.0
    overlap = np.sum(np.conj(vectors) * taken, axis=-2, keepdims=True)
    if not is_complex(vectors):
        return np.where(overlap < 0, -1.0, 1.0)
    sizes = np.abs(overlap)
    return np.where(sizes > 0, overlap / np.where(sizes > 0, sizes, 1.0), 1.0)


def over_gaps(x: Any, gaps: Any) -> Any:
    """The entries outside the diagonal over the gaps, 0 on it."""
    on_it = np.eye(np.shape(x)[-1], dtype=bool)
    return np.where(on_it, 0.0, x / np.where(on_it, 1.0, gaps))


def rest_of(v: Any) -> Any:
    """1 - v^H v, the distance from orthonormal columns."""
    return np.eye(np.shape(v)[-1]) - adjoint(v) @ v


def imaginary(x: Any) -> Any:
    return join_parts(np.zeros(np.shape(x)), x)


def skew(x: Any) -> Any:
    return x - adjoint(x)


def eigh(a: Any, taken: np.ndarray | None = None) -> Any:
    """Eigenvalues in ascending order (row 0) and eigenvectors (the columns of the other rows) of a symmetric matrix.

    Args:
        a: Symmetric matrices (..., n, n). Their derivatives are symmetric: no triangle is left out.
        taken: Eigenvectors whose signs are taken, ordinary arrays (..., n, n).

    Returns:
        Array (..., 1 + n, n).

    Example:
        >>> eigh(np.array([[2.0, 0.0], [0.0, 1.0]]))[0]
        array([1., 2.])
    """
    if hasattr(a, "record"):
        return a.record(EIGH, a, taken=taken)
    return refined_eigh(a, taken)


def refined_eigh(a: Any, taken: np.ndarray | None) -> Any:
    """As `eigh`, also of hermitian matrices."""
    known = numbers_of(a)
    numbers, vectors = np.linalg.eigh(0.5 * (known + adjoint(known)))
    v, first = like(vectors * phases(vectors, taken), a), like(numbers, a)
    inner, rest = adjoint(v) @ as_a_whole(a) @ v, rest_of(v)
    lacking = diagonal(np.real(rest))
    values = diagonal(np.real(inner)) / (1 - lacking)
    correction = over_gaps(inner + rest * rows(first), rows(first) - transposed(rows(first)))
    return np.concatenate([rows(values), v + v @ correction + v * rows(lacking) / 2], axis=-2)


def eigh_vjp(g: Any, y: Any, a: Any, taken: Any = None) -> tuple[Any]:
    """V (diag(Re g_values) + S / (l_j - l_i)) V^H, where 2 S = V^H g_V - g_V^H V."""
    values, v = np.real(y[..., :1, :]), y[..., 1:, :]
    by_values, by_v = np.real(g[..., :1, :]), g[..., 1:, :]
    inner = by_values * np.eye(np.shape(v)[-1])
    if np.any(numbers_of(by_v)):
        inner = inner + over_gaps(0.5 * skew(adjoint(v) @ by_v), values - transposed(values))
    return (v @ inner @ adjoint(v),)


def in_pairs(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of a complex array as one of an array whose first axis holds the real and the imaginary parts."""

    def paired(a: Any, **parameters: Any) -> Any:
        found = function(join_parts(a[0], a[1]), **parameters)
        return stacked((np.real(found), np.imag(found)))

    return paired


def vjp_in_pairs(vjp: Callable[..., Any]) -> Callable[..., Any]:
    def paired(g: Any, y: Any, a: Any, **parameters: Any) -> tuple[Any]:
        (found,) = vjp(*(join_parts(x[0], x[1]) for x in (g, y, a)), **parameters)
        return (stacked((np.real(found), np.imag(found))),)

    return paired


def hermitian_eigh(a: Any, taken: np.ndarray | None = None) -> Any:
    """As `eigh`, of complex hermitian matrices.

    Args:
        a: Real and imaginary part of matrices, (2, ..., n, n).
        taken: Eigenvectors whose phases are taken, ordinary complex arrays (..., n, n).

    Returns:
        Real and imaginary part, (2, ..., 1 + n, n).

    Example:
        >>> hermitian_eigh(np.stack([np.diag([2.0, 1.0]), np.zeros((2, 2))]))[0, 0]
        array([1., 2.])
    """
    if hasattr(a, "record"):
        return a.record(HERMITIAN_EIGH, a, taken=taken)
    return in_pairs(refined_eigh)(a, taken=taken)


def eig(a: Any, taken: np.ndarray | None = None) -> Any:
    """Eigenvalues (row 0) and eigenvectors of norm 1 (the columns of the other rows) of any matrix.

    Args:
        a: Real and imaginary part of matrices, (2, ..., n, n).
        taken: A program's own eigenvalues, whose order is taken, and eigenvectors, whose phases are taken; ordinary
            complex arrays (..., 1 + n, n).

    Returns:
        Real and imaginary part, (2, ..., 1 + n, n).

    Example:
        >>> eig(np.stack([np.diag([2.0, 1.0]), np.zeros((2, 2))]))[0, 0]
        array([2., 1.])
    """
    if hasattr(a, "record"):
        return a.record(EIG, a, taken=taken)
    known = midpoints(a)
    numbers, vectors = np.linalg.eig(known[0] + 1j * known[1])
    if taken is not None:
        numbers, vectors = in_order(numbers, vectors, taken)
    v = join_parts(like(vectors.real, a), like(vectors.imag, a))
    inner = np.linalg.solve(v, join_parts(as_a_whole(a[0]), as_a_whole(a[1])) @ v)
    v = v + v @ over_gaps(inner, rows(numbers) - transposed(rows(numbers)))
    sizes = np.sqrt(np.sum(np.real(v) ** 2 + np.imag(v) ** 2, axis=-2, keepdims=True))
    found = np.concatenate([rows(diagonal(inner)), v / sizes], axis=-2)
    return stacked((np.real(found), np.imag(found)))


def in_order(numbers: np.ndarray, vectors: np.ndarray, taken: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues and eigenvectors in the order and with the phases of others."""
    numbers, vectors = numbers.copy(), vectors.copy()
    for index in np.ndindex(*numbers.shape[:-1]):
        distance = np.abs(numbers[index][:, None] - taken[index][0][None, :])
        order = np.argsort(linear_sum_assignment(distance)[1])
        numbers[index], vectors[index] = numbers[index][order], vectors[index][:, order]
    overlap = np.sum(np.conj(vectors) * taken[..., 1:, :], axis=-2, keepdims=True)
    sizes = np.abs(overlap)
    return numbers, vectors * np.where(sizes > 0, overlap / np.where(sizes > 0, sizes, 1.0), 1.0)


def eig_vjp(g: Any, y: Any, a: Any, taken: Any = None) -> tuple[Any]:
    """V^-H (diag(g_values) + (V^H g_V - V^H V diag(Re V^H g_V)) / conj(l_j - l_i)) V^H.

    The last term is left out on the diagonal: a phase of an eigenvector has no derivative (Boeddeker et al. 2017).
    """
    values, v = (join_parts(y[0][..., one, :], y[1][..., one, :]) for one in (slice(1), slice(1, None)))
    by_values, by_v = (join_parts(g[0][..., one, :], g[1][..., one, :]) for one in (slice(1), slice(1, None)))
    v_adjoint = adjoint(v)
    inner = by_values * np.eye(np.shape(v)[-1])
    if np.any(midpoints(g[0][..., 1:, :])) or np.any(midpoints(g[1][..., 1:, :])):
        turned = v_adjoint @ by_v
        turned = turned - (v_adjoint @ v) * rows(diagonal(np.real(turned)))
        inner = inner + over_gaps(turned, np.conjugate(values - transposed(values)))
    found = np.linalg.solve(v_adjoint, inner @ v_adjoint)
    return (stacked((np.real(found), np.imag(found))),)


def svd(a: Any, taken: np.ndarray | None = None, rank: int | None = None) -> Any:
    """Singular values in descending order (row 0), left singular vectors (the next m rows) and right ones (n rows).

    Args:
        a: Matrices (..., m, n); k is the smaller one of m and n, or the rank.
        taken: Left singular vectors whose signs are taken, ordinary arrays (..., m, k).
        rank: Number of singular values that are not 0, if smaller than m and n; the others are left out.

    Returns:
        Array (..., 1 + m + n, k).

    Example:
        >>> svd(np.array([[3.0, 0.0], [0.0, 4.0]]))[0]
        array([4., 3.])
    """
    if hasattr(a, "record"):
        return a.record(SVD, a, taken=taken, rank=rank)
    return refined_svd(a, taken, rank)


def refined_svd(a: Any, taken: np.ndarray | None, rank: int | None = None) -> Any:
    """As `svd`, also of complex matrices: with real singular values, and the phases of u v^H that they leave."""
    left, numbers, right = np.linalg.svd(numbers_of(a), full_matrices=False)
    left, numbers, right = left[..., :rank], numbers[..., :rank], right[..., :rank, :]
    phase = phases(left, taken)
    u, v, s = like(left * phase, a), like(adjoint(right) * phase, a), rows(like(numbers, a))
    a = as_a_whole(a)
    across, by_u, by_v = a @ v, rest_of(u), rest_of(v)
    inner = adjoint(u) @ across
    half_u, half_v = (rows(diagonal(np.real(x))) / 2 for x in (by_u, by_v))
    values = rows(diagonal(np.real(inner))) / (1 - (half_u + half_v))
    gaps = (s - transposed(s)) * (s + transposed(s))
    first, second = inner + by_u * s, adjoint(inner) + by_v * s
    turn_u = over_gaps(first * s + second * transposed(s), gaps)
    turn_v = over_gaps(first * transposed(s) + second * s, gaps)
    if is_complex(a):
        half_turn = imaginary(rows(diagonal(np.imag(inner))) / (2 * s))
        half_u, half_v = half_u + half_turn, half_v - half_turn
    u_new, v_new = u + u @ turn_u + u * half_u, v + v @ turn_v + v * half_v
    m, n = np.shape(a)[-2:]
    k = np.shape(s)[-1]
    u_new = u_new + (across - u @ inner) / s if m > k else u_new
    v_new = v_new + (adjoint(a) @ u - v @ adjoint(inner)) / s if n > k else v_new
    return np.concatenate([values, u_new, v_new], axis=-2)


def svd_vjp(g: Any, y: Any, a: Any, taken: Any = None, rank: Any = None) -> tuple[Any]:
    """The derivative by singular values and vectors (Townsend 2016); that of complex ones has a diagonal of phases."""
    m, n = np.shape(a)[-2:]
    k = np.shape(y)[-1]
    s, u, v = parts(y, m)
    by_s, by_u, by_v = parts(g, m)
    s, by_s = np.real(s), np.real(by_s)
    inner = by_s * np.eye(np.shape(s)[-1])
    gaps = (s - transposed(s)) * (s + transposed(s))
    outside: Any = 0.0
    if np.any(numbers_of(by_u)):
        own = adjoint(u) @ by_u
        inner = inner + over_gaps(skew(own), gaps) * s + half_turns(own, s)
        outside = (by_u - u @ own) / s @ adjoint(v) if m > k else outside
    if np.any(numbers_of(by_v)):
        own = adjoint(v) @ by_v
        inner = inner + transposed(s) * over_gaps(skew(own), gaps) - half_turns(own, s)
        outside = outside + (u / s) @ adjoint(by_v - v @ own) if n > k else outside
    return (u @ inner @ adjoint(v) + outside,)


def half_turns(own: Any, s: Any) -> Any:
    """i Im(own) / (2 s) on the diagonal: the phase that a singular value does not have is shared by u and v."""
    if not is_complex(own):
        return 0.0
    return imaginary(np.imag(own) * np.eye(np.shape(own)[-1]) / (2 * s))


def complex_svd(a: Any, taken: np.ndarray | None = None) -> Any:
    """As `svd`, of complex matrices.

    Args:
        a: Real and imaginary part of matrices, (2, ..., m, n).
        taken: Left singular vectors whose phases are taken, ordinary complex arrays (..., m, k).

    Returns:
        Real and imaginary part, (2, ..., 1 + m + n, k).

    Example:
        >>> complex_svd(np.stack([np.zeros((2, 2)), np.diag([3.0, 4.0])]))[0, 0]
        array([4., 3.])
    """
    if hasattr(a, "record"):
        return a.record(COMPLEX_SVD, a, taken=taken)
    return in_pairs(refined_svd)(a, taken=taken)


def parts(y: Any, m: int) -> tuple[Any, Any, Any]:
    return y[..., :1, :], y[..., 1 : 1 + m, :], y[..., 1 + m :, :]


EIGH = Primitive("eigh", eigh, eigh_vjp)
HERMITIAN_EIGH = Primitive("complex eigh", hermitian_eigh, vjp_in_pairs(eigh_vjp))
EIG = Primitive("eig", eig, eig_vjp)
SVD = Primitive("svd", svd, svd_vjp)
COMPLEX_SVD = Primitive("complex svd", complex_svd, vjp_in_pairs(svd_vjp))
