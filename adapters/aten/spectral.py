"""Eigenvalues and eigenvectors of symmetric matrices, and singular values and vectors."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradagree.adapters.aten.linalg import UNUSED, transposed
from gradagree.adapters.aten.table import CHOICES, aten
from gradagree.reference.operations.primitive import midpoints
from gradagree.reference.operations.spectral import eigh, svd

CHOICES |= {"aten._linalg_eigh": 1, "aten._linalg_svd": 0}


@aten("_linalg_eigh")
def linalg_eigh(a: Any, uplo: str = "L", compute_v: bool = True, *, taken: Any = None) -> Any:
    """(eigenvalues, eigenvectors with PyTorch's signs).

    PyTorch reads one triangle, but its derivative is that of a function of symmetric matrices.
    """
    if not np.size(a):
        return np.zeros(np.shape(a)[:-1]), np.zeros(np.shape(a)) if compute_v else UNUSED
    known = midpoints(a)
    read = np.tril(known) if uplo.upper() == "L" else np.triu(known)
    rest = read + transposed(read) - read * np.eye(known.shape[-1]) - known
    found = eigh(a + rest if rest.any() else a, taken)
    return found[..., 0, :], found[..., 1:, :] if compute_v else UNUSED


@aten("_linalg_svd")
def linalg_svd(
    a: Any, full_matrices: bool = False, compute_uv: bool = True, *, driver: Any = None, taken: Any = None
) -> Any:
    """(u, singular values, v^T) with PyTorch's signs; without a derivative of the columns that complete a basis."""
    m, n = np.shape(a)[-2:]
    k = min(m, n)
    if not np.size(a):
        return tuple(map(np.asarray, np.linalg.svd(np.zeros(np.shape(a)), full_matrices=full_matrices)))
    found = svd(a, taken[..., :k] if taken is not None and taken.ndim > 1 else None)
    if not compute_uv:
        return UNUSED, found[..., 0, :], UNUSED
    u, v = found[..., 1 : 1 + m, :], found[..., 1 + m :, :]
    if full_matrices and m != n:
        left, _, right = np.linalg.svd(midpoints(a), full_matrices=True)
        u = u if m == k else np.concatenate([u, (left if taken is None else taken)[..., k:]], axis=-1)
        v = v if n == k else np.concatenate([v, transposed(right)[..., k:]], axis=-1)
    return u, found[..., 0, :], transposed(v)
