"""Discrete Fourier transforms: NumPy's functions on complex arrays of any arithmetic, and their error bounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import flint
import numpy as np

from gradagree.arithmetic.ball import Ball
from gradagree.arithmetic.complex_numbers import Complex, recorded
from gradagree.arithmetic.dual import Dual
from gradagree.arithmetic.duck import Duck, NoRule
from gradagree.arithmetic.model import OUTWARD, OWN
from gradagree.arithmetic.rounded import Rounded
from gradagree.arithmetic.variance import Variance, max_repeats, partial_sums_factor, stored_sum
from gradagree.reference.operations import complex_numbers as pairs
from gradagree.reference.operations.fourier import DFT, REAL_ENDS, dft, root_of, unit_circle

TWIDDLES = 4
"""Roundings of a term besides the additions: its factor, the product, and the division by the length."""
FORWARD = {None: "none", "backward": "none", "ortho": "root", "forward": "length"}
INVERSE = {None: "length", "backward": "length", "ortho": "root", "forward": "none"}
LONGEST = 4096
"""Length up to which a transform is evaluated as a product with a matrix."""


def transform(z: Any, n: int | None, axis: int, sign: int, scale: str) -> Complex:
    """The transform along one axis, whose entries are cut, or filled up with zeros, to n of them."""
    z = in_length(Complex.of(z), n, axis)
    if z.shape[axis] > LONGEST:
        raise NoRule(f"a Fourier transform of {z.shape[axis]} numbers is not covered; check one of at most {LONGEST}")
    lined = z.map(np.moveaxis, axis, -1)
    found = recorded(DFT, pairs.stacked(lined.pair), sign=sign, scale=scale)
    return Complex(found[0], found[1]).map(np.moveaxis, -1, axis)


def in_length(z: Complex, n: int | None, axis: int) -> Complex:
    length = z.shape[axis]
    if n is None or n == length:
        return z
    if n < length:
        return z[at(z, axis, slice(n))]
    rest = np.zeros([n - length if k == axis % z.ndim else m for k, m in enumerate(z.shape)])
    return z.map(lambda part: np.concatenate([part, rest], axis=axis))


def at(z: Any, axis: int, place: Any) -> tuple[Any, ...]:
    """An index into one axis."""
    index: list[Any] = [slice(None)] * np.ndim(z)
    index[axis] = place
    return tuple(index)


def scale_of(table: dict[str | None, str], norm: str | None) -> str:
    if norm not in table:
        raise NoRule(f"norm={norm!r}: give 'backward', 'ortho' or 'forward'")
    return table[norm]


def fft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Complex:
    return transform(a, n, axis, -1, scale_of(FORWARD, norm))


def ifft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Complex:
    return transform(a, n, axis, 1, scale_of(INVERSE, norm))


def rfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Complex:
    """The first half of the transform of real numbers."""
    if Complex.of(a).im is not None:
        raise NoRule("np.fft.rfft takes real numbers; write np.fft.fft for complex ones")
    found = fft(a, n, axis, norm)
    length = found.shape[axis]
    half = found[at(found, axis, slice(length // 2 + 1))]
    real = np.zeros(half.shape, dtype=bool)
    real[at(half, axis, [0, length // 2] if length % 2 == 0 else [0])] = True
    return Complex(half.re, recorded(REAL_ENDS, half.im, real=real))


def irfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """The inverse of `rfft`: the parts that real numbers leave 0 are not read."""
    z = Complex.of(a)
    n = 2 * (z.shape[axis] - 1) if n is None else n
    half = in_length(z, n // 2 + 1, axis)
    first, middle = half[at(half, axis, slice(1))], half[at(half, axis, slice(1, (n + 1) // 2))]
    parts: list[Any] = [Complex(first.pair[0], None), middle]
    if n % 2 == 0:
        parts.append(Complex(half[at(half, axis, slice(n // 2, None))].pair[0], None))
    parts.append(middle.map(np.flip, axis).conjugate())
    return ifft(np.concatenate(parts, axis=axis), None, axis, norm).pair[0]


def hfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """The transform of a sequence of which the second half is the conjugate of the first."""
    return irfft(Complex.of(a).conjugate(), n, axis, swapped(norm))


def ihfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None) -> Complex:
    return rfft(a, n, axis, swapped(norm)).conjugate()


def swapped(norm: str | None) -> str:
    """The scale of an inverse transform for a forward one, and the reverse."""
    return scale_of({None: "forward", "backward": "forward", "ortho": "ortho", "forward": "backward"}, norm)


def all_axes(z: Any, s: Sequence[int] | None, axes: Sequence[int] | None) -> list[tuple[int, int | None]]:
    """(axis, length) of each transform, the last axis first."""
    if axes is None:
        axes = range(np.ndim(z)) if s is None else range(-len(s), 0)
    lengths = [None] * len(axes) if s is None else [None if n in (None, -1) else int(n) for n in s]
    return list(zip(axes, lengths, strict=True))[::-1]


def over_axes(one: Callable[..., Any]) -> Callable[..., Any]:
    def rule(a: Any, s: Any = None, axes: Any = None, norm: str | None = None) -> Any:
        for axis, n in all_axes(a, s, axes):
            a = one(a, n, axis, norm)
        return a

    return rule


def rfftn(a: Any, s: Any = None, axes: Any = None, norm: str | None = None) -> Any:
    (axis, n), *others = all_axes(a, s, axes)
    found: Any = rfft(a, n, axis, norm)
    for other, m in others:
        found = fft(found, m, other, norm)
    return found


def irfftn(a: Any, s: Any = None, axes: Any = None, norm: str | None = None) -> Any:
    (axis, n), *others = all_axes(a, s, axes)
    for other, m in reversed(others):
        a = ifft(a, m, other, norm)
    return irfft(a, n, axis, norm)


def in_plane(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda a, s=None, axes=(-2, -1), norm=None: function(a, s, axes, norm)


def shift(direction: int) -> Callable[..., Any]:
    """The zero frequency moved to the middle, or back."""

    def rule(x: Any, axes: Any = None) -> Any:
        over = range(np.ndim(x)) if axes is None else [int(k) for k in np.atleast_1d(axes)]
        by = [np.shape(x)[k] // 2 if direction > 0 else -(np.shape(x)[k] // 2) for k in over]
        return np.roll(x, by, tuple(over))

    return rule


fftn, ifftn = over_axes(fft), over_axes(ifft)
RULES: dict[Any, Callable[..., Any]] = {
    np.fft.fft: fft, np.fft.ifft: ifft, np.fft.rfft: rfft, np.fft.irfft: irfft, np.fft.hfft: hfft,
    np.fft.ihfft: ihfft, np.fft.fftn: fftn, np.fft.ifftn: ifftn, np.fft.fft2: in_plane(fftn),
    np.fft.ifft2: in_plane(ifftn), np.fft.rfftn: rfftn, np.fft.irfftn: irfftn, np.fft.rfft2: in_plane(rfftn),
    np.fft.irfft2: in_plane(irfftn), np.fft.fftshift: shift(1), np.fft.ifftshift: shift(-1),
}  # fmt: skip
Duck.derived.update(RULES)
Complex.derived.update(RULES)


def transformed(z: np.ndarray, sign: int, scale: str) -> tuple[np.ndarray, float]:
    """(the transform of ordinary numbers, what it is divided by)."""
    n = z.shape[-1]
    joined = z[0] + 1j * z[1]
    divisor = {"none": 1.0, "root": float(n) ** 0.5, "length": float(n)}[scale]
    found = (np.fft.fft(joined) if sign < 0 else np.fft.ifft(joined) * n) / divisor
    return np.stack([found.real, found.imag]), divisor


def rounded_dft(z: Rounded, sign: int = -1, scale: str = "none") -> Rounded:
    """The bound on sums of 2 n terms in any order, for all terms of both parts: a fast transform mixes them."""
    n = z.shape[-1]
    value, divisor = transformed(z.value, sign, scale)
    radius = np.sum(np.sum(z.radius, axis=0), axis=-1, keepdims=True)
    size = np.sum(np.sum(np.abs(z.value), axis=0), axis=-1, keepdims=True) + radius
    rounding = (2 * n + TWIDDLES) * ((z.model.u + OWN) * size + z.model.quantum)
    rounding = np.where(size == 0, 0.0, rounding)
    largest = size + rounding
    spread = np.where(largest > z.model.format.largest, np.inf, (radius + rounding) * OUTWARD) / divisor
    return Rounded(value, np.broadcast_to(spread, z.shape), z.model)


def variance_dft(z: Variance, sign: int = -1, scale: str = "none") -> Variance:
    """The variance of a plain sum, and that of a fast transform.

    A fast transform of length n has log2 n steps of three roundings, each of numbers as large as the sum of all
    magnitudes, to which tones and spikes add up. Bluestein's method for lengths with large prime factors has three
    transforms of up to 4 n numbers (Higham, Accuracy and Stability of Numerical Algorithms, 2002, chapter 24).
    """
    n = z.shape[-1]
    value, divisor = transformed(z.value, sign, scale)
    size = np.sum(np.sum(np.abs(z.value), axis=0), axis=-1, keepdims=True)
    squares = np.sum(np.sum(np.square(z.value), axis=0), axis=-1, keepdims=True)
    variance = max_repeats(z.reshape(-1, n), -1) * np.sum(np.sum(z.variance, axis=0), axis=-1, keepdims=True)
    variance = variance + 9 * (np.log2(n) + 2) * np.square(z.model.u * size) / 3
    variance = (variance + partial_sums_factor(2 * n, z.model) * squares) / divisor**2
    return stored_sum(value, np.broadcast_to(variance, z.shape), 2 * n, z.model, np.square(size))


def dual_dft(z: Dual, sign: int = -1, scale: str = "none") -> Dual:
    return Dual(dft(z.value, sign=sign, scale=scale), dft(z.tangent, sign=sign, scale=scale))


def unit_circle_in_balls(_: Ball, places: np.ndarray, n: int) -> Ball:
    known = [flint.arb.sin_cos_pi_fmpq(flint.fmpq(2 * k, n))[::-1] for k in range(n)]
    return Ball(np.array(known, dtype=object).T[:, places % n])


Rounded.rules[dft] = rounded_dft
Variance.rules[dft] = variance_dft
Dual.rules[dft] = dual_dft
Ball.rules[unit_circle] = unit_circle_in_balls
Ball.rules[root_of] = lambda _, n: Ball(flint.arb(n).sqrt())
