"""Eigenvalues and eigenvectors, and singular values and vectors."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradagree.adapters.aten.linalg import UNUSED, hermitian
from gradagree.adapters.aten.table import CHOICES, aten, is_complex
from gradagree.reference.operations.complex_numbers import join_parts, stacked
from gradagree.reference.operations.spectral import complex_svd, eig, eigh, hermitian_eigh, numbers_of, svd

CHOICES |= {"aten._linalg_eigh": 1, "aten._linalg_svd": 0, "aten.linalg_eig": 1}


def of_complex(decomposition: Any, a: Any, taken: Any) -> Any:
    """A decomposition of arrays whose first axis holds the parts, for a complex array."""
    found = decomposition(stacked((np.real(a), np.imag(a))), taken)
    return join_parts(found[0], found[1])


@aten("_linalg_eigh")
def linalg_eigh(a: Any, uplo: str = "L", compute_v: bool = True, *, taken: Any = None) -> Any:
    """(eigenvalues, eigenvectors with PyTorch's signs or phases).

    PyTorch reads one triangle, but its derivative is that of a function of symmetric (hermitian) matrices.
    """
    if not np.size(a):
        return np.zeros(np.shape(a)[:-1]), np.zeros(np.shape(a)) if compute_v else UNUSED
    known = numbers_of(a)
    read = np.tril(known, -1) if uplo.upper() == "L" else np.triu(known, 1)
    rest = read + hermitian(read) + np.real(known) * np.eye(known.shape[-1]) - known
    whole = a + rest if rest.any() else a
    found = of_complex(hermitian_eigh, whole, taken) if is_complex(a) else eigh(whole, taken)
    return np.real(found[..., 0, :]), found[..., 1:, :] if compute_v else UNUSED


@aten("linalg_eig")
def linalg_eig(a: Any, *, taken: Any = None) -> Any:
    """(eigenvalues, eigenvectors), complex numbers in the order and with the phases of PyTorch."""
    if not np.size(a):
        return np.zeros(np.shape(a)[:-1], complex), np.zeros(np.shape(a), complex)
    if taken is not None:  # the eigenvalues in this order are those of a v = v l
        known = numbers_of(join_parts(np.real(a), np.imag(a)))
        numbers = np.sum(np.conj(taken) * (known @ taken), axis=-2) / np.sum(np.abs(taken) ** 2, axis=-2)
        taken = np.concatenate([numbers[..., None, :], taken], axis=-2)
    found = eig(stacked((np.real(a), np.imag(a))), taken)
    values, vectors = (join_parts(found[0][..., one, :], found[1][..., one, :]) for one in (0, slice(1, None)))
    return values, vectors


@aten("_linalg_svd")
def linalg_svd(
    a: Any, full_matrices: bool = False, compute_uv: bool = True, *, driver: Any = None, taken: Any = None
) -> Any:
    """(u, singular values, v^H) with PyTorch's signs or phases.

    The columns that complete a basis have no derivative.
    """
    m, n = np.shape(a)[-2:]
    k = min(m, n)
    if not np.size(a):
        return tuple(map(np.asarray, np.linalg.svd(np.zeros(np.shape(a)), full_matrices=full_matrices)))
    taken = taken if taken is not None and taken.ndim > 1 else None
    first = None if taken is None else taken[..., :k]
    found = of_complex(complex_svd, a, first) if is_complex(a) else svd(a, first)
    values = np.real(found[..., 0, :])
    if not compute_uv:
        return UNUSED, values, UNUSED
    u, v = found[..., 1 : 1 + m, :], found[..., 1 + m :, :]
    if full_matrices and m != n:
        left, _, right = np.linalg.svd(numbers_of(a), full_matrices=True)
        u = u if m == k else np.concatenate([u, (left if taken is None else taken)[..., k:]], axis=-1)
        v = v if n == k else np.concatenate([v, hermitian(right)[..., k:]], axis=-1)
    return u, values, hermitian(v)
