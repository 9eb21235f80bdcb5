"""The discrete Fourier transform of complex numbers, as arrays whose first axis holds real and imaginary parts."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradagree.reference.operations.complex_numbers import matrix_product, stacked
from gradagree.reference.operations.primitive import Primitive, overridable, register

SCALES = ("none", "root", "length")
"""What a transform is divided by: nothing, the square root of its length, its length."""


@overridable
def unit_circle(like: Any, places: np.ndarray, n: int) -> Any:
    """cos and sin of 2 pi k / n for integers k, along a new first axis, in the arithmetic of the first argument.

    Example:
        >>> unit_circle(np.zeros(1), np.arange(4), 4)
        array([[ 1.,  0., -1.,  0.],
               [ 0.,  1.,  0., -1.]])
    """
    octant, rest = np.divmod(8 * (places % n), n)
    angle = np.pi / 4 * np.where(octant % 2 == 0, rest, n - rest) / n
    near, far = np.cos(angle), np.sin(angle)
    cos = np.where(np.isin(octant, (1, 2, 5, 6)), far, near) * np.where(np.isin(octant, (2, 3, 4, 5)), -1.0, 1.0)
    sin = np.where(np.isin(octant, (1, 2, 5, 6)), near, far) * np.where(octant >= 4, -1.0, 1.0)
    return np.stack([cos, sin]) + 0.0


@overridable
def dft(z: Any, sign: int = -1, scale: str = "none") -> Any:
    """sum_j z_j exp(sign 2 pi i j k / n) along the last axis, divided by 1, the square root of n, or n.

    A program may add the terms in any order, as fast transforms do.
    """
    n, shape = np.shape(z)[-1], np.shape(z)
    matrix = unit_circle(z, np.outer(np.arange(n), np.arange(n)), n)
    rows = np.reshape(z, (2, -1, n))
    found = stacked(matrix_product((rows[0], rows[1]), (matrix[0], sign * matrix[1])))
    found = np.reshape(found, shape)
    return found if scale == "none" else found / (float(n) if scale == "length" else root_of(z, n))


@overridable
def root_of(like: Any, n: int) -> Any:
    """The square root of an integer, in the arithmetic of the first argument."""
    return float(n) ** 0.5


def adjoint(g: Any, y: Any, z: Any, sign: int = -1, scale: str = "none") -> tuple[Any]:
    """The transform with the other sign."""
    return (dft(g, sign=-sign, scale=scale),)


def real_ends(x: Any, real: np.ndarray) -> Any:
    """The imaginary parts of the transform of real numbers: exactly 0 at the first and the middle frequency."""
    return np.where(real, 0.0, x)


def real_ends_vjp(g: Any, y: Any, x: Any, real: np.ndarray) -> tuple[Any]:
    """g: what it adds at these frequencies is 0 in the real part of the transform, but programs round it there."""
    return (g,)


REAL_ENDS = Primitive("real ends", real_ends, real_ends_vjp)
DFT = register(dft, adjoint)
