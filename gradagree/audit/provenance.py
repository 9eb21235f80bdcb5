"""Which arrays of a test are gradients: the results of differentiation, their views, casts, slices and copies.

An array is recognised by identity, by the memory that it shares with a gradient, or by its values. Values count only if
they carry enough information: that so many digits agree by chance has a probability of at most 2^-`ENOUGH`.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gradagree.adapters.audit_arrays import NUMPY, ArrayKind, Memory, Numbers
from gradagree.adapters.formats import FORMATS, PARTS

ENOUGH = 16
"""Bits of information that identify a copy."""
SAMPLE = 16
"""So many entries of an array are looked up among the entries of a gradient."""
MOST_GRADIENTS, MOST_ENTRIES, MOST_BYTES = 200, 2_000_000, 256 * 2**20
"""Copies are searched in the latest gradients, up to a size; the oldest are forgotten beyond so many bytes."""
BITS_PER_DIGIT = math.log2(10)


@dataclass(eq=False)
class KnownGradient:
    """A result of differentiation: the array, the function that returned it, and what it differentiated, if known."""

    array: Any
    source: str
    origin: Any = None
    memory: Memory | None = None
    size: int = 0
    tables: dict[str, np.ndarray] = field(default_factory=dict)


class ArrayKinds:
    """The kinds of arrays that are known, and how their numbers are read."""

    def __init__(self) -> None:
        self.kinds: list[ArrayKind] = [NUMPY]

    def kind(self, x: Any) -> ArrayKind | None:
        return next((kind for kind in self.kinds if kind.matches(x)), None)

    def leaves(self, x: Any) -> list[Any]:
        """The arrays and numbers in nested containers, in order."""
        if x is None or isinstance(x, int | float | complex | str) or self.kind(x) is not None:
            return [x]
        if isinstance(x, list | tuple):
            return [leaf for one in x for leaf in self.leaves(one)]
        if isinstance(x, dict):
            try:
                keys: list[Any] = sorted(x)
            except TypeError:
                keys = list(x)
            return [leaf for key in keys for leaf in self.leaves(x[key])]
        for kind in self.kinds:
            if kind.leaves is not None:
                return kind.leaves(x)
        return [x]

    def is_concrete(self, x: Any) -> bool:
        kind = self.kind(x)
        return kind is not None and kind.concrete(x)

    def numbers(self, x: Any) -> Numbers | None:
        """The values of an array, a number or nested lists of numbers; None for anything else."""
        kind = self.kind(x)
        if kind is not None:
            return kind.numbers(x) if kind.concrete(x) else None
        if isinstance(x, bool) or not isinstance(x, int | float | complex | list | tuple):
            return None
        try:
            values, _ = NUMPY.numbers(np.asarray(x))
        except (TypeError, ValueError):
            return None
        return values, ""

    @contextlib.contextmanager
    def quiet(self) -> Iterator[None]:
        """Hide what is done from the hooks of the libraries."""
        with contextlib.ExitStack() as stack:
            for kind in self.kinds:
                stack.enter_context(kind.quiet())
            yield


class Gradients:
    """The gradients that a test has computed so far; they are kept alive, so that addresses stay theirs."""

    def __init__(self, arrays: ArrayKinds) -> None:
        self.arrays = arrays
        self.known: dict[int, KnownGradient] = {}
        self.bytes = 0

    def __len__(self) -> int:
        return len(self.known)

    def clear(self) -> None:
        self.known.clear()
        self.bytes = 0

    def mark(self, x: Any, source: str, origin: Any = None) -> None:
        """Remember an array as a gradient."""
        if id(x) in self.known:
            self.known.pop(id(x))
        else:
            self.bytes += _size(x)
        self.known[id(x)] = KnownGradient(x, source, origin)
        while self.bytes > MOST_BYTES and len(self.known) > 1:
            oldest = next(iter(self.known))
            self.bytes -= _size(self.known.pop(oldest).array)

    def find(self, x: Any) -> KnownGradient | None:
        """The gradient that an array or a number is, or is a view or a copy of."""
        if not self.known or x is None:
            return None
        return self.find_same(x) or self._by_values(x)

    def find_same(self, x: Any) -> KnownGradient | None:
        """The gradient that an array is, or shares its memory with."""
        return self.known[id(x)] if id(x) in self.known else self._by_memory(x)

    def _by_memory(self, x: Any) -> KnownGradient | None:
        kind = self.arrays.kind(x)
        memory = kind.memory(x) if kind is not None and kind.concrete(x) else None
        if memory is None:
            return None
        for gradient in self.known.values():
            if gradient.memory is None:
                home = self.arrays.kind(gradient.array)
                gradient.memory = (home.memory(gradient.array) if home is not None else None) or (0, 0)
            if gradient.memory[0] <= memory[0] < gradient.memory[1]:
                return gradient
        return None

    def _by_values(self, x: Any) -> KnownGradient | None:
        read = self.arrays.numbers(x)
        if read is None or not read[0].size:
            return None
        values, dtype = _sample(read[0]), read[1] or "float64"
        if not np.isfinite(values).all():
            return None
        bits = _information(values, dtype)
        for gradient in list(self.known.values())[: -MOST_GRADIENTS - 1 : -1]:
            for form in dict.fromkeys((dtype, "float32")):
                table = self._table(gradient, form)
                if table.size and bits - len(values) * math.log2(table.size) >= ENOUGH and _contains(table, values):
                    return gradient
        return None

    def _table(self, gradient: KnownGradient, dtype: str) -> np.ndarray:
        """The sorted values of a gradient, rounded to a dtype."""
        if dtype not in gradient.tables:
            read = self.arrays.numbers(gradient.array) if _size(gradient.array) <= 8 * MOST_ENTRIES else None
            values = np.empty(0) if read is None else read[0].ravel()
            gradient.tables[dtype] = np.unique(round_to(values, dtype))
        return gradient.tables[dtype]


def _size(x: Any) -> int:
    """Bytes of an array."""
    return int(getattr(x, "nbytes", 8))


def _sample(values: np.ndarray) -> np.ndarray:
    """Some distinct entries, none of them zero."""
    flat = values.ravel()
    if flat.size > 64 * SAMPLE:
        flat = flat[:: flat.size // (64 * SAMPLE)]
    distinct = np.unique(flat[flat != 0])
    return distinct[:: max(1, len(distinct) // SAMPLE)][:SAMPLE]


def _contains(table: np.ndarray, values: np.ndarray) -> bool:
    places = np.minimum(np.searchsorted(table, values), len(table) - 1)
    return bool(len(values)) and bool((table[places] == values).all())


def _information(values: np.ndarray, dtype: str) -> float:
    """Bits of information in numbers: their significant bits, or the decimal digits that they can be written with."""
    narrow: Any = {"float32": np.float32, "complex64": np.float32, "float16": np.float16}.get(dtype, np.float64)
    parts = [values.real, values.imag] if values.dtype.kind == "c" else [values]
    total = 0.0
    for x in (x for part in parts for x in part.tolist() if x):
        mantissa = int(abs(math.frexp(x)[0]) * 2**53)
        binary = 53 - ((mantissa & -mantissa).bit_length() - 1)
        digits = np.format_float_scientific(narrow(x), unique=True).partition("e")[0].replace(".", "").strip("-0")
        total += min(binary, BITS_PER_DIGIT * len(digits))
    return total


def round_to(values: np.ndarray, dtype: str) -> np.ndarray:
    """Values in float64 or complex128, each rounded to a narrower dtype."""
    if values.dtype.kind == "c":
        part = PARTS.get(dtype, dtype)
        return round_to(values.real, part) + 1j * round_to(values.imag, part)
    precision = FORMATS.get(PARTS.get(dtype, dtype), FORMATS["float64"]).precision
    if precision >= FORMATS["float64"].precision:
        return values
    if precision == FORMATS["float32"].precision:
        with np.errstate(over="ignore"):
            return values.astype(np.float32).astype(np.float64)
    mantissa, exponent = np.frexp(values)
    return np.ldexp(np.rint(np.ldexp(mantissa, precision)), exponent - precision)
