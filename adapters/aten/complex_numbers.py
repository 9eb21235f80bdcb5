"""Complex numbers: their parts, conjugates and polar forms."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradagree.adapters.aten.table import aten
from gradagree.reference.operations.complex_numbers import join_parts


@aten("complex")
def complex_(re: Any, im: Any) -> Any:
    return join_parts(re, im)


@aten("polar")
def polar(size: Any, angle: Any) -> Any:
    return join_parts(size * np.cos(angle), size * np.sin(angle))


@aten("view_as_real")
def view_as_real(z: Any) -> Any:
    return np.stack([np.real(z), np.imag(z)], axis=-1)


@aten("view_as_complex")
def view_as_complex(x: Any) -> Any:
    return join_parts(x[..., 0], x[..., 1])


@aten("real")
def real(z: Any) -> Any:
    return np.real(z)


@aten("imag")
def imag(z: Any) -> Any:
    return np.imag(z)


@aten("_conj", "conj", "_conj_physical", "conj_physical")
def conj(z: Any) -> Any:
    return np.conjugate(z)


@aten("resolve_conj", "resolve_neg")
def resolved(z: Any) -> Any:
    return z


@aten("_neg_view")
def neg_view(z: Any) -> Any:
    return -z
