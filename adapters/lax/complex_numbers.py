"""Complex numbers: their parts and conjugates."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradagree.adapters.lax.table import form
from gradagree.reference.operations.complex_numbers import join_parts


@form("complex")
def complex_(params: Any, re: Any, im: Any) -> Any:
    return join_parts(re, im)


@form("real")
def real(params: Any, z: Any) -> Any:
    return np.real(z)


@form("imag")
def imag(params: Any, z: Any) -> Any:
    return np.imag(z)


@form("conj")
def conj(params: Any, z: Any) -> Any:
    return np.conjugate(z)
