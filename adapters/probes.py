"""What a framework does with numbers on this machine, measured with its own ``+``, ``*`` and ``@``.

Each probe has one right answer under IEEE 754 arithmetic in the dtype asked; flushing of subnormals is the one liberty
that the model of a correct program allows, and only because it is measured.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradagree.adapters.adapter import Adapter

__all__ = ["probe"]

LANES = 64
"""Probes are as long as any vector unit, so that vectorised loops are what is measured."""
SIGNIFICAND = {"float64": 52, "float32": 23, "float16": 10, "bfloat16": 7}
MIN_EXPONENT = {"float64": -1022, "float32": -126, "float16": -14, "bfloat16": -126}
NARROW = ("float32", "float64")


def probe(adapter: Adapter, dtype: str) -> dict[str, Any]:
    """accumulator, flushes, fast_math and exact of one dtype, eager and compiled together."""
    return {
        "accumulator": _accumulator(adapter, dtype),
        "flushes": any(_flushes(adapter, dtype, compiled) for compiled in (False, True)),
        "fast_math": any(_reassociates(adapter, dtype, compiled) for compiled in (False, True)),
        "exact": all(_keeps_every_bit(adapter, dtype, compiled) for compiled in (False, True)),
    }


def _run(adapter: Adapter, dtype: str, compiled: bool, function: Callable[..., Any], *arrays: Any) -> np.ndarray:
    made = [adapter.array(np.asarray(x, dtype=np.float64), dtype) for x in arrays]
    return adapter.back(adapter.apply(function, made, compiled))


def _flushes(adapter: Adapter, dtype: str, compiled: bool) -> bool:
    """Whether half of the smallest normal number is lost, as a result or as an operand."""
    smallest = np.full(LANES, 2.0 ** MIN_EXPONENT[dtype])
    half, big = np.full(LANES, 0.5), np.full(LANES, 16.0)
    made = _run(adapter, dtype, compiled, lambda x, y: x * y, smallest, half)
    used = _run(adapter, dtype, compiled, lambda x, y: x * y, smallest / 2, big)
    return bool(np.any(made == 0) or np.any(used == 0))


def _reassociates(adapter: Adapter, dtype: str, compiled: bool) -> bool:
    """Whether (x + y) - y is taken for x although x is lost in y, or NaN for a number."""
    one, big = np.full(LANES, 1.0), np.full(LANES, 2.0 ** (SIGNIFICAND[dtype] + 2))
    lost = _run(adapter, dtype, compiled, lambda x, y: (x + y) - y, one, big)
    zero, infinity = np.zeros(LANES), np.full(LANES, np.inf)
    undefined = _run(adapter, dtype, compiled, lambda x, y: x * y, zero, infinity)
    return bool(np.any(lost != 0) or not np.all(np.isnan(undefined)))


def _keeps_every_bit(adapter: Adapter, dtype: str, compiled: bool) -> bool:
    """Whether a product with 1 keeps the last bit: no narrower format in between, such as TF32 or 32 bits for 64."""
    last = 1 + 2.0 ** -SIGNIFICAND[dtype]
    product = _run(adapter, dtype, compiled, lambda x, y: x @ y, np.full((LANES, 1), last), np.ones((1, LANES)))
    return bool(np.all(product == last))


def _accumulator(adapter: Adapter, dtype: str) -> str:
    """The format that products are summed in: the narrowest whose last bit survives in a sum, else the dtype."""
    for wide in NARROW if dtype in ("float16", "bfloat16") else ():
        tail = 2.0 ** -SIGNIFICAND[wide]
        row = np.array([[1.0, tail**0.5, -1.0]])
        column = np.array([[1.0], [tail**0.5], [1.0]])
        sums = [_run(adapter, dtype, compiled, lambda x, y: x @ y, row, column) for compiled in (False, True)]
        if all(np.all(total == tail) for total in sums):
            return wide
    return dtype
