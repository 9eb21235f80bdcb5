"""Fourier transforms, with the normalisation as a number: 0 none, 1 the square root of the length, 2 the length."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradagree.adapters.aten.table import aten

FORWARD: tuple[Any, ...] = ("backward", "ortho", "forward")
INVERSE: tuple[Any, ...] = ("forward", "ortho", "backward")


@aten("_fft_c2c")
def c2c(z: Any, dim: Any, normalization: int, forward: bool) -> Any:
    if forward:
        return np.fft.fftn(z, axes=tuple(dim), norm=FORWARD[normalization])
    return np.fft.ifftn(z, axes=tuple(dim), norm=INVERSE[normalization])


@aten("_fft_r2c")
def r2c(x: Any, dim: Any, normalization: int, onesided: bool) -> Any:
    function = np.fft.rfftn if onesided else np.fft.fftn
    return function(x, axes=tuple(dim), norm=FORWARD[normalization])


@aten("_fft_c2r")
def c2r(z: Any, dim: Any, normalization: int, last_dim_size: int) -> Any:
    """Of the last axis that is named, the first half is given."""
    lengths = [np.shape(z)[axis] for axis in dim[:-1]] + [int(last_dim_size)]
    return np.fft.irfftn(z, s=lengths, axes=tuple(dim), norm=INVERSE[normalization])
