"""The arithmetics that a result is judged by, the finest first; each is evaluated only when the ones before fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from gradagree.adapters.functions import FunctionAdapter
from gradagree.arithmetic.model import FORMATS
from gradagree.functions.enclosures import FLUSHED, LADDER, PRODUCTS, REDUCED, SUMS, interior
from gradagree.functions.parts import real_dtype

T = TypeVar("T")
U = TypeVar("U")
LANES = 64
"""Length of the arrays of a probe: longer than any vector unit's."""


class Ladder(Mapping[str, T]):
    """What a correct program computes in each arithmetic, by the names of the arithmetics.

    Args:
        names: The arithmetics, the finest first; called anew for each iteration, which may stop early.
        compute: Gives the values of one; called once for each.
    """

    def __init__(
        self, names: Callable[[], Iterator[str]], compute: Callable[[str], T], found: dict[str, T] | None = None
    ) -> None:
        """found: the values that are known already."""
        self.names, self.compute = names, compute
        self.found: dict[str, T] = {} if found is None else found

    def __getitem__(self, name: str) -> T:
        if name not in self.found:
            self.found[name] = self.compute(name)
        return self.found[name]

    def __iter__(self) -> Iterator[str]:
        return self.names()

    def __len__(self) -> int:
        return sum(1 for _ in self.names())

    def map(self, function: Callable[[T], U]) -> Ladder[U]:
        """A part of the values, in every arithmetic."""
        return Ladder(self.names, lambda name: function(self[name]))

    def only(self, name: str) -> Ladder[T]:
        """One arithmetic, which is evaluated once for both."""
        return Ladder(lambda: iter([name]), self.compute, self.found)

    def forget(self) -> None:
        """Give back the memory of all values, which are computed anew if they are needed."""
        self.found.clear()

    def accurate_first(self) -> list[T]:
        """The values in the coarsest arithmetic of an accurate program, then in one that loses digits, if any."""
        names = list(self.names())
        accurate = [name for name in names if name in LADDER]  # at least one
        return [self[name] for name in (accurate[-1], *(name for name in names if name.startswith(SUMS)))]


def arithmetics(
    adapter: FunctionAdapter, like: Any, dtype: str, arithmetic: str = "auto", opmath: Sequence[str] = ()
) -> Iterator[str]:
    """The names of the arithmetics for a dtype, the finest first.

    Args:
        adapter: The framework's adapter.
        like: An array of this dtype, on the device that is measured.
        dtype: The dtype of the function.
        arithmetic: ``"wide"`` admits intermediates in the format of the accumulator only.
        opmath: Those with one rounding for each operation of the framework, if the operations are known.
    """
    narrow = interior("wide", dtype) != interior("stored", dtype)
    if narrow:
        yield "wide"
    if narrow and arithmetic != "wide":
        yield from opmath
    if not narrow or arithmetic != "wide":
        yield "stored"
    if flushes(adapter, like):
        yield ("wide" if narrow and arithmetic == "wide" else "stored") + FLUSHED
    if (form := reduced_products(adapter, like)) and arithmetic != "wide":
        yield ("stored" + FLUSHED if flushes(adapter, like) else "stored") + PRODUCTS + form
    if narrow and arithmetic != "wide":
        yield SUMS + dtype


MEASURED: dict[tuple[str, str, str], bool] = {}
FACTORS: dict[tuple[str, ...], str] = {}


def reduced_products(adapter: FunctionAdapter, like: Any) -> str:
    """The format to which the device rounds the factors of matrix products, such as TF32; empty if it keeps them.

    A setting of the framework may change it, so that it is measured for each.
    """
    dtype = adapter.dtype(like)
    if dtype not in ("float32", "float64"):
        return ""
    key = adapter.name, dtype, str(getattr(like, "device", "")), adapter.precision()
    if key not in FACTORS:
        last = FORMATS[dtype].u * 2
        tails = {"": last, **{name: form.u * 2 for name, form in REDUCED.items() if form.u * 2 > last}}
        finest_first = sorted(tails, key=lambda name: tails[name])
        FACTORS[key] = next((name for name in finest_first if keeps(adapter, like, tails[name])), "bfloat16")
    return FACTORS[key]


def keeps(adapter: FunctionAdapter, like: Any, tail: float) -> bool:
    """True if a matrix product keeps the factor 1 + tail, on either side."""
    one, other = np.eye(LANES), np.full((LANES, LANES), 1 + tail)
    pairs = ((other, one), (one, other))
    return all(
        bool(np.all(adapter.to_numpy(adapter.array(x, like) @ adapter.array(y, like)) == other)) for x, y in pairs
    )


def measured(adapter: FunctionAdapter, like: Any) -> dict[str, str]:
    """What was measured on the device in use, for the report."""
    found = {"framework": f"{adapter.name} {adapter.version()}", "device": adapter.device(like)}
    if adapter.dtype(like) in FORMATS:
        found["subnormal numbers"] = "flushed to zero" if flushes(adapter, like) else "kept"
        found["factors of products"] = reduced_products(adapter, like) or "kept"
    return found


def flushes(adapter: FunctionAdapter, like: Any) -> bool:
    """True if the framework flushes subnormal numbers to zero, in this dtype and on this device."""
    dtype = adapter.dtype(like)
    key = adapter.name, dtype, str(getattr(like, "device", ""))
    if key not in MEASURED:
        smallest = FORMATS[real_dtype(dtype)].smallest_normal
        least, half, many = (adapter.array(np.full(LANES, x), like) for x in (smallest, 0.5, 16.0))
        results = least * half, (least * half) * many
        MEASURED[key] = any(bool(np.any(adapter.to_numpy(x) == 0)) for x in results)
    return MEASURED[key]
