"""Discrete Fourier transforms."""

from __future__ import annotations

from typing import Any

import numpy as np
from jax.lax import FftType

from gradagree.adapters.lax.table import form

TRANSFORMS = {
    FftType.FFT: np.fft.fftn, FftType.IFFT: np.fft.ifftn, FftType.RFFT: np.fft.rfftn, FftType.IRFFT: np.fft.irfftn,
}  # fmt: skip


@form("fft")
def fft(params: Any, z: Any) -> Any:
    """The transform of the last axes, of the kind and the lengths in the parameters."""
    lengths = tuple(params["fft_lengths"])
    function: Any = TRANSFORMS[FftType(params["fft_type"])]
    return function(z, s=lengths, axes=tuple(range(-len(lengths), 0)))
