"""Input distributions (regimes) and targets: numbers from a text, with the same bits on every platform."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gradagree.arithmetic.model import Format


def round_subnormal(x: np.ndarray, form: Format) -> np.ndarray:
    """x rounded to multiples of the smallest number; x is below the smallest normal one.

    By shifts of the exponent: a quotient by the smallest float64 raises a false overflow in NumPy 1.26.
    """
    _, above = math.frexp(form.smallest)
    return np.ldexp(np.rint(np.ldexp(x, 1 - above)), above - 1)


BITS = 16
"""Significant bits of a drawn number, or those of the dtype if it has fewer."""


class Source:
    """A stream of random numbers seeded by a text."""

    def __init__(self, text: str) -> None:
        self._bits = np.random.PCG64(int.from_bytes(hashlib.sha256(text.encode()).digest(), "big"))

    def integers(self, bound: int, shape: tuple[int, ...] = ()) -> np.ndarray:
        """Whole numbers from 0 to bound - 1, of int64 (bound at most 2^31: the bias is below 2^-32)."""
        raw = np.asarray(self._bits.random_raw(math.prod(shape)), dtype=np.uint64)
        scaled = (raw >> np.uint64(32)) * np.uint64(bound) >> np.uint64(32)
        return scaled.astype(np.int64).reshape(shape)

    def choice(self, things: Sequence[Any]) -> Any:
        """One of the things, drawn at random."""
        return things[int(self.integers(len(things)))]

    def dyadic(self, shape: tuple[int, ...], bits: int, exponent: int) -> np.ndarray:
        """k 2^(exponent - bits + 1) with |k| < 2^(bits - 1) drawn evenly: numbers within (-2^exponent, 2^exponent)."""
        half = 1 << (bits - 1)
        return np.ldexp((self.integers(2 * half - 1, shape) - (half - 1)).astype(np.float64), exponent - bits + 1)


def inverse_root(n: int) -> int:
    """The exponent of the power of two next to n^(-1/2)."""
    return -round(math.log2(n) / 2)


def ordinary(source: Source, shape: tuple[int, ...], form: Format, role: str) -> np.ndarray:
    """Inputs, targets and biases within (-2, 2); weights within 2 (fan-in)^(-1/2)."""
    exponent = 1 + (inverse_root(shape[0]) if role == "weights" else 0)
    return source.dyadic(shape, min(BITS, form.precision), exponent)


def grid(source: Source, shape: tuple[int, ...], _form: Format, role: str) -> np.ndarray:
    """Multiples of 1/4 within [-2, 2], weights within [-1, 1]: sums are exact, and kinks are met exactly."""
    reach = 4 if role == "weights" else 8
    return (source.integers(2 * reach + 1, shape) - reach) / 4.0


def zeros(source: Source, shape: tuple[int, ...], form: Format, role: str) -> np.ndarray:
    """Half of the entries zero, of either sign; one array in four altogether."""
    kept = source.integers(2, shape) * int(source.integers(4) > 0)
    return ordinary(source, shape, form, role) * kept


def saturated(source: Source, shape: tuple[int, ...], form: Format, role: str) -> np.ndarray:
    """Numbers eight times those of the ordinary regime: activations at their ends. Targets stay ordinary."""
    return ordinary(source, shape, form, role) * (1 if role == "targets" else 8)


def tiny(source: Source, shape: tuple[int, ...], form: Format, role: str) -> np.ndarray:
    """Each array has an order of magnitude between 1 and the smallest subnormal number; weights stay ordinary."""
    drawn = ordinary(source, shape, form, role)
    if role == "weights":
        return drawn
    small = np.ldexp(drawn, -int(source.integers(form.precision - form.emin)))
    subnormal = np.abs(small) < form.smallest_normal
    return np.where(subnormal, round_subnormal(np.where(subnormal, small, 0), form), small)


def mixed(source: Source, shape: tuple[int, ...], form: Format, role: str) -> np.ndarray:
    """Each row from another regime."""
    draws = (ordinary, grid, zeros, saturated, tiny)
    return np.stack([source.choice(draws)(source, shape, form, role)[k] for k in range(shape[0])])


SMALLEST_HUGE = 14
"""Huge numbers are at least this power of two, which float16 holds."""


def extreme(source: Source, shape: tuple[int, ...], form: Format, role: str) -> np.ndarray:
    """Each row of inputs holds zeros of either sign, subnormal, saturated or huge numbers; all else stays ordinary.

    Half of the huge rows are below 2^20, so that a function's square is finite in most dtypes.
    """
    drawn = ordinary(source, shape, form, role)
    return np.stack([source.choice(EXTREMES)(source, row, form) for row in drawn]) if role == "inputs" else drawn


def _signed_zeros(_source: Source, row: np.ndarray, _form: Format) -> np.ndarray:
    return np.copysign(0.0, row)


def _subnormal(source: Source, row: np.ndarray, form: Format) -> np.ndarray:
    steps = 1 + source.integers(2 ** min(form.precision - 1, 30) - 1, row.shape)
    return np.copysign(np.ldexp(steps * form.smallest, max(form.precision - 31, 0)), row)


def _saturated(_source: Source, row: np.ndarray, _form: Format) -> np.ndarray:
    return row * 8


def _huge(source: Source, row: np.ndarray, form: Format) -> np.ndarray:
    """Numbers of 2^e to 2^(e + 1), with one e for the row."""
    most = form.emax if source.integers(2) else min(form.emax, 20)
    exponent = SMALLEST_HUGE + int(source.integers(most - SMALLEST_HUGE))
    return np.copysign(np.ldexp(1 + np.abs(row) / 2, exponent), row)


EXTREMES = (_signed_zeros, _subnormal, _saturated, _huge)

REGIMES: dict[str, Callable[[Source, tuple[int, ...], Format, str], np.ndarray]] = {
    draw.__name__: draw for draw in (ordinary, grid, zeros, saturated, tiny, mixed, extreme)
}
"""How numbers are drawn; real data sets are regimes of their own (`gradagree.cases.datasets`)."""


STANDARD = ("ordinary", "grid", "zeros", "saturated", "extreme")
"""The default regimes of a run; in the others, many gradients are undecided because of the numbers themselves."""


SHARES = 16
"""Probabilities are multiples of 1/16, which every dtype holds."""
LEAST = 0.25
"""Replaces zero where numbers must be positive."""


def make_positive(x: Any) -> Any:
    """|x|, and 1/4 for 0; None stays None."""
    return None if x is None else np.where(x == 0, LEAST, np.abs(x))


def draw_targets(
    kind: str, shape: tuple[int, ...], classes: int, source: Source, draw: Callable[[], np.ndarray]
) -> np.ndarray:
    """Draw targets of a kind and shape. Class numbers are below `classes`; draw returns real numbers of that shape."""
    if kind == "classes":
        return source.integers(classes, shape)
    if kind in ("bits", "signs"):
        return encode_bits(kind, source.integers(2, shape).astype(np.float64))
    if kind == "simplex":
        return draw_simplex(source, shape)
    drawn = np.asarray(draw())
    return np.asarray(make_positive(drawn)) if kind == "positive" else drawn


def draw_simplex(source: Source, shape: tuple[int, ...]) -> np.ndarray:
    """Probabilities in each row, of shape (examples, n): sixteen shares, each assigned to one entry at random."""
    entries = source.integers(shape[-1], (shape[0], SHARES))
    return np.asarray(np.sum(entries[..., None] == np.arange(shape[-1]), axis=1) / SHARES)


def encode_decisions(kind: str, decisions: np.ndarray, outputs: int) -> np.ndarray:
    """The numbers of the right decisions as targets of that kind: for all but classes, 1 at the right one."""
    if kind == "classes":
        return decisions
    return encode_bits(kind, (decisions[:, None] == np.arange(outputs)).astype(np.float64))


def encode_bits(kind: str, bits: np.ndarray) -> np.ndarray:
    """Zeros and ones as targets of a kind other than classes."""
    if kind == "signs":
        return 2 * bits - 1
    return np.asarray(make_positive(bits)) if kind == "positive" else bits
