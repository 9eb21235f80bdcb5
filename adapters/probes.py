"""The arithmetic of a framework on this machine, measured with its own ``+``, ``*`` and ``@``.

Each probe has one correct result under IEEE 754 arithmetic in the dtype. Flushing of subnormals is the only deviation
that the rounding model allows, because it is measured.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradagree.adapters.adapter import Adapter
from gradagree.adapters.formats import FORMATS

LANES = 64
"""Probes are as long as any vector unit, so that vectorised loops are what is measured."""
NARROW = ("float32", "float64")


def probe(adapter: Adapter, dtype: str) -> dict[str, Any]:
    """accumulator, biases, flushes, fast_math and exact of one dtype, eager and compiled together."""
    return {
        "accumulator": _accumulator(adapter, dtype),
        "biases": _biases(adapter, dtype),
        "flushes": any(_flushes(adapter, dtype, compiled) for compiled in (False, True)),
        "fast_math": any(_reassociates(adapter, dtype, compiled) for compiled in (False, True)),
        "exact": all(_keeps_every_bit(adapter, dtype, compiled) for compiled in (False, True)),
    }


def _run(adapter: Adapter, dtype: str, compiled: bool, function: Callable[..., Any], *arrays: Any) -> np.ndarray:
    made = [adapter.array(np.asarray(x, dtype=np.float64), dtype) for x in arrays]
    return adapter.back(adapter.apply(function, made, compiled))


def _multiply(x: Any, y: Any) -> Any:
    return x * y


def _matmul(x: Any, y: Any) -> Any:
    return x @ y


def _add_and_subtract(x: Any, y: Any) -> Any:
    return (x + y) - y


def _flushes(adapter: Adapter, dtype: str, compiled: bool) -> bool:
    """True if half of the smallest normal number is flushed, as result or operand, elementwise or in products.

    Large products use other kernels of a library than small ones.
    """
    smallest = FORMATS[dtype].smallest_normal
    lanes, square = (LANES,), (LANES, LANES)
    times: tuple[tuple[Any, tuple[int, ...], float], ...] = (
        (_multiply, lanes, 1.0),
        (_matmul, square, LANES),
    )
    for product, shape, terms in times:
        made = _run(adapter, dtype, compiled, product, np.full(shape, smallest), np.full(shape, 0.5 / terms))
        used = _run(adapter, dtype, compiled, product, np.full(shape, smallest / 2), np.full(shape, 16.0))
        if np.any(made == 0) or np.any(used == 0):
            return True
    return False


def _reassociates(adapter: Adapter, dtype: str, compiled: bool) -> bool:
    """True if (x + y) - y is simplified to x although x is lost in y, or NaN is treated as a number."""
    one, big = np.full(LANES, 1.0), np.full(LANES, 2.0 ** (FORMATS[dtype].precision + 1))
    lost = _run(adapter, dtype, compiled, _add_and_subtract, one, big)
    zero, infinity = np.zeros(LANES), np.full(LANES, np.inf)
    undefined = _run(adapter, dtype, compiled, _multiply, zero, infinity)
    return bool(np.any(lost != 0) or not np.all(np.isnan(undefined)))


def _keeps_every_bit(adapter: Adapter, dtype: str, compiled: bool) -> bool:
    """True if a product with 1 keeps the last bit: no narrower intermediate format such as TF32, or 32 bits for 64."""
    last = 1 + 2 * FORMATS[dtype].u
    product = _run(adapter, dtype, compiled, _matmul, np.full((LANES, 1), last), np.ones((1, LANES)))
    return bool(np.all(product == last))


def _accumulator(adapter: Adapter, dtype: str) -> str:
    """The format that products are summed in, whatever their size."""

    def sums(tail: float, compiled: bool) -> np.ndarray:
        small = _products(adapter, dtype, compiled, tail, 1, 3)
        return np.append(small, _products(adapter, dtype, compiled, tail, LANES, LANES))

    return _narrowest(dtype, lambda tail: all(np.all(sums(tail, compiled) == tail) for compiled in (False, True)))


def _products(adapter: Adapter, dtype: str, compiled: bool, tail: float, rows: int, terms: int) -> np.ndarray:
    """Dot products 1 + tail - 1, each in every entry of a matrix; tail as the product of two powers of two."""
    near = 2.0 ** (np.log2(tail) // 2)
    row, column = np.zeros((rows, terms)), np.zeros((terms, rows))
    row[:, :3] = [1.0, near, -1.0]
    column[:3] = [[1.0], [tail / near], [1.0]]
    return _run(adapter, dtype, compiled, _matmul, row, column).ravel()


def _biases(adapter: Adapter, dtype: str) -> str:
    """The format in which the gradient of a bias is summed (the vjp of an addition broadcast over rows).

    The dtype itself where the framework's first mode cannot measure it.
    """

    def survives(tail: float) -> bool:
        mode = next(iter(adapter.modes.values()))
        gradient = mode(lambda leaves, targets: (((leaves[1] + leaves[0]) * targets).sum(), []), (False, True))
        factors = np.array([[1.0], [tail], [-1.0]]) * np.ones(LANES)
        bias, rows, targets = (adapter.array(x, dtype) for x in (np.zeros(LANES), np.zeros((3, LANES)), factors))
        _, (summed, _) = gradient([bias, rows], targets)
        return bool(np.all(adapter.back(summed) == tail))

    try:
        return _narrowest(dtype, survives)
    except (AttributeError, TypeError):
        return dtype


def _narrowest(dtype: str, survives: Callable[[float], bool]) -> str:
    """The narrowest format wider than 16 bits whose last bit survives in 1 + tail - 1, else the dtype."""
    for wide in NARROW if dtype in ("float16", "bfloat16") else ():
        if survives(2 * FORMATS[wide].u):
            return wide
    return dtype
