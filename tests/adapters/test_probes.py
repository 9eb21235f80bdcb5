"""The probes pass an honest framework and find one that flushes, reassociates, narrows, or sums in too few bits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from gradagree.adapters import Adapter, probe
from gradagree.arithmetic.model import FORMATS

TYPES = {"float64": np.float64, "float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
SUMS = {"float64": "float64", "float32": "float32", "float16": "float32", "bfloat16": "float32"}
HONEST = {"flushes": False, "fast_math": False, "exact": True}


def in_wide(dtype: str) -> dict[str, str]:
    """What is found where short numbers are summed in float32."""
    return {"accumulator": SUMS[dtype], "biases": SUMS[dtype]}


each_dtype = pytest.mark.parametrize("dtype", TYPES)


class Number:
    """An array of an honest framework in NumPy; a subclass lies in one operation."""

    def __init__(self, x: Any, dtype: str) -> None:
        with np.errstate(all="ignore"):
            self.x = np.asarray(x).astype(TYPES[dtype])
        self.dtype = dtype

    def made(self, x: Any) -> Any:
        return type(self)(x, self.dtype)

    def __mul__(self, other: Any) -> Any:
        with np.errstate(all="ignore"):
            return self.made(self.x * other.x)

    def __add__(self, other: Any) -> Any:
        return self.made(self.x + other.x)

    def __sub__(self, other: Any) -> Any:
        return self.made(self.x - other.x)

    def __matmul__(self, other: Any) -> Any:
        return self.made(self.summed(other, SUMS[self.dtype]))

    def summed(self, other: Any, accumulator: str) -> Any:
        """Products summed one after the other, each partial sum rounded to the accumulator."""
        kind = TYPES[accumulator]
        total = np.zeros((self.x.shape[0], other.x.shape[1]), kind)
        for k in range(self.x.shape[1]):
            total = (total + self.x[:, k : k + 1].astype(kind) * other.x[k : k + 1].astype(kind)).astype(kind)
        return total

    def rows_summed(self) -> Any:
        return self.made(Number(np.ones((1, self.x.shape[0])), self.dtype).summed(self, SUMS[self.dtype]))


class FlushesResults(Number):
    def __mul__(self, other: Any) -> Any:
        product = super().__mul__(other)
        product.x[np.abs(product.x.astype(np.float64)) < FORMATS[self.dtype].smallest_normal] = 0
        return product


class FlushesOperands(Number):
    def __mul__(self, other: Any) -> Any:
        tiny = np.abs(self.x.astype(np.float64)) < FORMATS[self.dtype].smallest_normal
        return self.made((Number(np.where(tiny, 0, self.x), self.dtype) * other).x)


class Reassociates(Number):
    addend: Any = None

    def __add__(self, other: Any) -> Any:
        total = super().__add__(other)
        total.addend = self
        return total

    def __sub__(self, other: Any) -> Any:
        return self.addend if self.addend is not None else super().__sub__(other)


class TakesNothingForInfinity(Number):
    def __mul__(self, other: Any) -> Any:
        return self.made(np.where((self.x == 0) | (other.x == 0), 0, super().__mul__(other).x))


NARROWER = {"float64": "float32", "float32": "bfloat16", "float16": "bfloat16", "bfloat16": "bfloat16"}


class Narrows(Number):
    def __matmul__(self, other: Any) -> Any:
        narrow = [Number(array.x, NARROWER[self.dtype]) for array in (self, other)]
        return self.made((narrow[0] @ narrow[1]).x)


class SumsInItself(Number):
    def __matmul__(self, other: Any) -> Any:
        return self.made(self.summed(other, self.dtype))


class SumsRowsInItself(Number):
    def rows_summed(self) -> Any:
        return self.made(Number(np.ones((1, self.x.shape[0])), self.dtype).summed(self, self.dtype))


class FlushesInProducts(Number):
    def __matmul__(self, other: Any) -> Any:
        product = super().__matmul__(other)
        large = product.x.shape[0] > 16
        product.x[large & (np.abs(product.x.astype(np.float64)) < FORMATS[self.dtype].smallest_normal)] = 0
        return product


class SumsInFloat64(Number):
    def __matmul__(self, other: Any) -> Any:
        return self.made(self.summed(other, "float64"))


class Fake:
    """As much of an adapter as the probes use; only one of its two ways of computing lies, if asked."""

    def __init__(self, kind: type[Number], lies_when: Sequence[bool]) -> None:
        self.kind, self.lies_when = kind, lies_when

    def array(self, x: np.ndarray, dtype: str) -> Number:
        return self.kind(x, dtype)

    def back(self, x: Number) -> np.ndarray:
        return x.x.astype(np.float64)

    @property
    def modes(self) -> dict[str, Any]:
        """One mode, which knows the gradient of a bias that was added to rows and weighed: the sum of their weights."""
        return {"grad": lambda error, per_example: lambda leaves, targets: (None, (targets.rows_summed(), None))}

    def apply(self, function: Callable[..., Any], arrays: Sequence[Number], compiled: bool) -> Any:
        if compiled not in self.lies_when:
            arrays = [Number(array.x, array.dtype) for array in arrays]
        with np.errstate(all="ignore"):
            return function(*arrays)


either_way = pytest.mark.parametrize("lies_when", [(False,), (True,), (False, True)], ids=["eager", "compiled", "both"])


def probed(kind: type[Number], dtype: str, lies_when: Sequence[bool] = (False, True)) -> dict[str, Any]:
    return probe(Fake(kind, lies_when), dtype)  # type: ignore[arg-type]


@each_dtype
def test_that_an_honest_framework_passes(dtype: str) -> None:
    assert probed(Number, dtype) == {**HONEST, **in_wide(dtype)}


@each_dtype
@either_way
@pytest.mark.parametrize("kind", [FlushesResults, FlushesOperands])
def test_that_flushing_is_measured(kind: type[Number], dtype: str, lies_when: Any) -> None:
    assert probed(kind, dtype, lies_when) == {**HONEST, **in_wide(dtype), "flushes": True}


@each_dtype
@either_way
def test_that_flushing_in_large_products_alone_is_measured(dtype: str, lies_when: Any) -> None:
    assert probed(FlushesInProducts, dtype, lies_when)["flushes"] is True


@each_dtype
@either_way
@pytest.mark.parametrize("kind", [Reassociates, TakesNothingForInfinity])
def test_that_fast_math_is_found(kind: type[Number], dtype: str, lies_when: Any) -> None:
    assert probed(kind, dtype, lies_when) == {**HONEST, **in_wide(dtype), "fast_math": True}


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@either_way
def test_that_a_narrower_format_in_between_is_found(dtype: str, lies_when: Any) -> None:
    assert probed(Narrows, dtype, lies_when)["exact"] is False


@each_dtype
@either_way
def test_that_short_numbers_summed_in_their_own_format_are_found(dtype: str, lies_when: Any) -> None:
    assert probed(SumsInItself, dtype, lies_when) == {**HONEST, **in_wide(dtype), "accumulator": dtype}


@each_dtype
def test_that_a_bias_summed_in_its_own_format_is_found(dtype: str) -> None:
    assert probed(SumsRowsInItself, dtype) == {**HONEST, **in_wide(dtype), "biases": dtype}


def test_that_jax_sums_short_biases_in_their_own_format_and_torch_in_float32(adapter: Adapter) -> None:
    assert probe(adapter, "bfloat16")["biases"] == {"jax": "bfloat16", "torch": "float32"}[adapter.name]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_that_a_wider_accumulator_counts_as_the_narrower_one_that_it_includes(dtype: str) -> None:
    assert probed(SumsInFloat64, dtype) == {**HONEST, **in_wide(dtype)}


@each_dtype
def test_that_torch_and_jax_keep_every_bit_and_do_no_fast_math(adapter: Adapter, dtype: str) -> None:
    found = probe(adapter, dtype)
    assert (found["exact"], found["fast_math"]) == (True, False)
    assert found["accumulator"] in FORMATS
    assert FORMATS[found["accumulator"]].precision >= FORMATS[dtype].precision
