"""The records of forward mode."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from gradagree.arithmetic.model import FORMATS
from gradagree.functions.checked_call import (
    CheckedCall,
    crashed,
    expectations,
    tangents_of,
    value_records,
)
from gradagree.functions.drawing import INEXACT, SEED, draw_cotangents, draw_like
from gradagree.functions.judge import judge
from gradagree.functions.opmath import FUSED
from gradagree.functions.own_operations import expect_own_tangents
from gradagree.functions.proofs import prove_tangents
from gradagree.functions.records import GradientRecord
from gradagree.functions.tangents import expect_tangents

OF_SYMMETRIC = ("cholesky", "eigh")
"""Operations on symmetric matrices: what they do along a direction that is not symmetric is not defined."""


def forward_records(checked: CheckedCall, with_values: bool) -> list[GradientRecord]:
    """The records of tangents in forward mode, along random tangents of all arrays."""
    adapter, call = checked.adapter, checked.call
    tangents = draw_tangents(checked)
    try:
        found, moved = adapter.jvp(call, tangents)
    except Exception as error:  # noqa: BLE001 (whatever the user's function raises)
        return crashed(checked, "forward mode", "forward", error)
    constant = without_derivative(checked) if any(t is None for t in moved) else ()
    along = dict(zip(call.wrt, tangents, strict=True))
    numbers = checked.numbers([along.get(k) for k in range(len(call.arrays))], call.arrays)
    stores = checked.stores(checked.outputs)
    expected = checked.ladder(
        lambda rung: expect_tangents(checked.graph, checked.inputs, numbers, rung, checked.dtype, stores),
        lambda own, rung: expect_own_tangents(own, checked.graph, checked.inputs, numbers, rung, checked.dtype, stores),
        opmath=(FUSED,),
    )
    records = []
    if with_values:
        values = expectations(checked, [None] * len(found))
        records = value_records(checked, found, values, "forward")
    parts = checked.parts(checked.outputs)
    judged = [k for k, y in enumerate(checked.outputs) if adapter.dtype(y) in INEXACT and k not in constant]
    inexact = [t if k in judged else None for k, t in enumerate(moved)]
    for k, (part, t) in enumerate(zip(parts, checked.numbers(inexact, checked.outputs), strict=True)):
        if part.place in judged:
            finding = judge(t, tangents_of(expected, k))
            records.append(checked.record(part.place, "tangent", finding.fields(), "forward", part.name))
    return prove_tangents(checked.graph, checked.inputs, numbers, records, parts.names(call.results))


def without_derivative(checked: CheckedCall) -> Sequence[int]:
    """The outputs that have no derivative in reverse mode either."""
    with suppress(Exception):  # the function may have forward mode only
        checked.adapter.vjp(checked.call, draw_cotangents(checked.adapter, checked.outputs))
    return checked.call.constant


def draw_tangents(checked: CheckedCall) -> list[Any]:
    """Random tangents of the arrays to differentiate; symmetric ones of symmetric matrices, if they must stay so."""
    adapter, call = checked.adapter, checked.call
    drawn = draw_like(adapter, [call.arrays[k] for k in call.wrt], SEED + 1)
    if not any(step.operation.name in OF_SYMMETRIC for step in checked.graph.applications):
        return drawn
    pairs = [(adapter.to_numpy(call.arrays[k]), t) for k, t in zip(call.wrt, drawn, strict=True)]
    u = FORMATS[checked.dtype].u
    return [adapter.array(symmetric(adapter.to_numpy(t)), t) if is_symmetric(x, u) else t for x, t in pairs]


def is_symmetric(x: np.ndarray, u: float) -> bool:
    """True for matrices that are symmetric (Hermitian) to at least half the digits."""
    if x.ndim < 2 or x.shape[-1] != x.shape[-2] or not x.size:
        return False
    return bool(np.max(np.abs(x - np.conj(np.swapaxes(x, -1, -2)))) <= math.sqrt(u) * np.max(np.abs(x)))


def symmetric(x: np.ndarray) -> np.ndarray:
    return np.asarray((x + np.conj(np.swapaxes(x, -1, -2))) / 2)
