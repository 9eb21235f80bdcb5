"""What a comparison of a gradient would let through, and how much of it rounding requires.

A comparison accepts a gradient g where |g - e| <= atol + rtol |d|; d is the side that the library calls expected.
Substitutes for e are tried in the place of g: 0, -e and 2 e. docs/audit.md has the definitions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradagree.adapters.formats import PARTS
from gradagree.arithmetic.model import FORMATS, LIBRARY, NARROW
from gradagree.audit.records import ORDER, Classification

HALF = 0.5
DIGITS = 1 + 2.0**-20
"""Factor by which 10^-k may be exceeded: tolerances are written in decimals."""


@dataclass
class Pair:
    """A gradient and the value that it is compared with.

    Args:
        gradient: The gradient, in float64 or complex128.
        expected: The other side.
        atol: Absolute tolerance of each entry, a number or an array.
        rtol: Relative tolerance.
        dtype: Dtype of the comparison.
        source: The function that computed the gradient.
        origin: What was differentiated, if known.
        swapped: True if rtol is relative to the gradient, not to the other side.
        accepts: For a bound on a norm, tells whether a difference passes as a whole.
    """

    gradient: np.ndarray
    expected: np.ndarray
    atol: Any
    rtol: float
    dtype: str
    source: str = ""
    origin: Any = None
    swapped: bool = False
    accepts: Callable[[np.ndarray], bool] | None = None


def judge(pair: Pair, required: float | None = None) -> dict[str, Any]:
    """The fields of an `AuditRecord` that follow from a pair; required is the traced relative tolerance."""
    gradient, expected, atol = np.broadcast_arrays(pair.gradient, pair.expected, np.asarray(pair.atol, dtype=float))
    finite = np.isfinite(gradient) & np.isfinite(expected) & np.isfinite(atol)
    whole = bool(finite.all())
    expected, atol = expected[finite], atol[finite]
    size = np.abs(expected)
    own = np.zeros_like(size) if pair.swapped else size  # |d| where the gradient is replaced by 0
    passes = {
        "zero": size <= atol + pair.rtol * own,
        "flip": 2 * size <= atol + pair.rtol * size,
        "double": size <= atol + pair.rtol * (2 * size if pair.swapped else size),
    }
    top = float(np.max(size, initial=0.0))
    traced = required is not None and math.isfinite(required)
    needed = top * (required if required is not None and traced else relative_bound(pair.dtype, size.size))
    there = size > needed if top > needed else size > 0
    fields = {"entries": int(size.size), "counted": int(np.count_nonzero(there)), "dtype": pair.dtype}
    fields |= {"source": pair.source, "atol": _one(atol), "rtol": float(pair.rtol)}
    if not fields["counted"]:
        return {**fields, "classification": Classification.UNJUDGED}
    tolerance = atol + pair.rtol * size
    fields |= _sizes(size[there], tolerance[there], needed)
    fields |= {name: float(np.mean(found[there])) for name, found in passes.items()}
    zeros = passes["zero"].all() if pair.accepts is None else whole and pair.accepts(-expected)
    fields |= {"zeros_pass": bool(zeros), "required_by": "traced" if traced else "bound"}
    # a traced tolerance is that of the entry with the largest one; otherwise a correctly rounded result must pass
    rounded = _rounds(expected, pair.dtype) & (tolerance < unit(pair.dtype) * size) & there
    tight = needed > np.max(tolerance) if traced else rounded.any()
    return {**fields, "classification": _classify(fields, bool(tight))}


def relative_bound(dtype: str, entries: int) -> float:
    """A bound on the rounding error of a gradient over its largest entry: one library function, and a sum over entries.

    Sums of 16-bit numbers are accumulated in float32, as in `gradagree.arithmetic.model`.
    """
    narrow = unit(dtype) > unit("float32")
    return (2 * NARROW if narrow else LIBRARY) * unit(dtype) + entries * min(unit(dtype), unit("float32"))


def _sizes(size: np.ndarray, tolerance: np.ndarray, needed: float) -> dict[str, Any]:
    """Tolerances at the largest entry and at the median of the nonzero entries, relative to them."""
    largest, middle = int(np.argmax(size)), int(np.argsort(size)[len(size) // 2])
    top = float(size[largest])
    return {
        "largest": float(tolerance[largest] / top),
        "median": float(tolerance[middle] / size[middle]),
        "required": needed / top,
    }


def _classify(fields: dict[str, Any], tight: bool) -> Classification:
    if fields["zeros_pass"] or fields["zero"] >= HALF:
        return Classification.VACUOUS
    # half of the decimal digits of the dtype, rounded down, must be checked, as far as rounding allows
    half = math.floor(-math.log10(unit(fields["dtype"])) / 2)
    if (
        fields["zero"]
        or fields["flip"]
        or fields["double"]
        or fields["largest"] > max(DIGITS * 10.0**-half, fields["required"])
    ):
        return Classification.LOOSE
    return Classification.TOO_TIGHT if tight else Classification.SOUND


def _rounds(expected: np.ndarray, dtype: str) -> np.ndarray:
    """True where an entry has so many digits that a product or quotient behind it was presumably rounded."""
    form = FORMATS.get(PARTS.get(dtype, dtype), FORMATS["float64"])
    parts = [expected.real, expected.imag] if expected.dtype.kind == "c" else [expected]
    return np.any([x != _rounded(x, form.precision // 2) for x in parts], axis=0)


def _rounded(x: np.ndarray, bits: int) -> np.ndarray:
    """The values rounded to a number of significant bits."""
    mantissa, exponent = np.frexp(x)
    rounded: np.ndarray = np.ldexp(np.rint(np.ldexp(mantissa, bits)), exponent - bits)
    return rounded


def unit(dtype: str) -> float:
    """The unit roundoff of a dtype."""
    return FORMATS.get(PARTS.get(dtype, dtype), FORMATS["float64"]).u


def _one(atol: np.ndarray) -> float | None:
    """The tolerance that is the same for all entries, or the largest."""
    return float(np.max(atol)) if atol.size else None


def worst(found: list[dict[str, Any]]) -> int:
    """The place of the worst of several judgements."""
    return min(range(len(found)), key=lambda k: (ORDER[found[k]["classification"]], -found[k].get("median", 0)))
