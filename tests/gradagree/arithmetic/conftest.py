"""What hardware and frameworks compute, and whether a rounded number encloses it."""

from __future__ import annotations

import functools
import math
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from gradagree.adapters import Adapter
from gradagree.arithmetic import Rounded
from gradagree.arithmetic.model import FORMATS, Format, Model, model
from gradagree.arithmetic.rounded import COMPARISONS
from gradagree.checker.judge import Framework
from gradagree.checker.response import handshake

TYPES: dict[str, Any] = {name: getattr(ml_dtypes, name, name) for name in FORMATS}

Functions = Callable[..., tuple[Any, ...]]


def nearest(x: Fraction, form: Format, flushes: bool = False) -> float:
    """x rounded once, to even where it lies between two numbers; infinite past the largest."""
    if x == 0:
        return 0.0
    top, bottom = abs(x.numerator), x.denominator
    exponent = top.bit_length() - bottom.bit_length()
    exponent -= top << max(-exponent, 0) < bottom << max(exponent, 0)
    if flushes and exponent < form.emin:
        return 0.0
    step = max(exponent, form.emin) - form.precision + 1
    bottom <<= max(step, 0)
    whole, rest = divmod(top << max(-step, 0), bottom)
    whole += 2 * rest > bottom or (2 * rest == bottom and whole % 2)
    overflows = exponent > form.emax or (exponent == form.emax and whole.bit_length() > form.precision)
    return (math.inf if overflows else math.ldexp(whole, step)) * (1 if x > 0 else -1)


@dataclass(frozen=True)
class Machine:
    """A processor that rounds each result once, fused products apart; one that flushes takes subnormals for zero."""

    form: Format
    accumulator: Format
    fused: bool = False
    flushes: bool = False

    def loaded(self, x: float) -> Fraction:
        return Fraction(0 if self.flushes and abs(x) < self.form.smallest_normal else x)

    def rounded(self, x: Fraction) -> float:
        return nearest(x, self.accumulator, self.flushes)

    def product(self, x: float, y: float) -> float:
        return self.rounded(self.loaded(x) * self.loaded(y)) if math.isfinite(x) and math.isfinite(y) else x * y

    def added(self, x: float, y: float) -> float:
        return self.rounded(Fraction(x) + Fraction(y)) if math.isfinite(x) and math.isfinite(y) else x + y

    def next(self, total: float, x: float, y: float) -> float:
        """total + x y."""
        if self.fused and all(map(math.isfinite, (total, x, y))):
            return self.rounded(Fraction(total) + self.loaded(x) * self.loaded(y))
        return self.added(total, self.product(x, y))

    def stored(self, total: float) -> float:
        """The total, rounded once more where the form is narrower than the accumulator."""
        return nearest(Fraction(total), self.form, self.flushes) if math.isfinite(total) else total


@functools.cache
def adapter(name: str) -> Adapter:
    pytest.importorskip(name)
    return Adapter.catalogue[name]()


@functools.cache
def framework(name: str) -> Framework:
    with adapter(name).settings():
        return Framework.of(name, handshake(adapter(name)))


@functools.cache
def jitted(functions: Functions) -> Any:
    jax = adapter("jax").framework
    return jax.jit(functools.partial(functions, jax.numpy))


class Hardware:
    """Numbers of several scales, programs that compute with them, and rounded numbers to be held against both."""

    scales = ("ordinary", "cancelling", "spread", "tiny", "huge", "grid")
    machine = Machine
    operations = frozenset({
        np.add, np.subtract, np.multiply, np.divide, np.negative, np.positive, np.absolute, np.fabs, np.sign, np.power,
        np.maximum, np.minimum, np.max, np.min, np.reciprocal, np.square, np.where, *COMPARISONS,
    })  # fmt: skip
    """The rules that are no library functions, sums apart."""

    def held(self, dtype: str, x: Any) -> np.ndarray:
        """Numbers of the dtype, finite ones, next to those given."""
        largest = FORMATS[dtype].largest
        with np.errstate(all="ignore"):
            return np.clip(x, -largest, largest).astype(TYPES[dtype]).astype(np.float64)

    def numbers(self, dtype: str, scale: str, seed: int, shape: tuple[int, ...], mirror: int = -1) -> np.ndarray:
        """Numbers of the dtype; where they cancel, the second half is nearly `mirror` times the first."""
        form, rng = FORMATS[dtype], np.random.default_rng([seed, zlib.crc32(f"{dtype} {scale}".encode())])
        if scale == "grid":
            return rng.integers(-8, 9, shape) / 4.0
        if scale in ("ordinary", "cancelling"):
            x, half = rng.uniform(-2, 2, shape), shape[-1] // 2 if scale == "cancelling" else 0
            x[..., half : 2 * half] = mirror * self.near(dtype, x[..., :half], seed)
            return self.held(dtype, x)
        reach = min(form.precision, form.emax // 2)
        ends = {"tiny": (form.emin - form.precision, form.emin + 3), "huge": (form.emax - 3, form.emax)}
        low, high = ends.get(scale, (-reach, reach))
        exponent, halved = rng.integers(low, high + 1, shape), rng.integers(0, 2, shape) * (scale in ends)
        x = rng.uniform(1, 2, shape) * rng.choice([-1.0, 1.0], shape)
        return self.held(dtype, np.ldexp(x, np.where(halved, exponent // 2, exponent)))

    def near(self, dtype: str, x: np.ndarray, seed: int) -> np.ndarray:
        """The same numbers, or some a few units in the last place away."""
        steps = np.random.default_rng(seed).integers(-3, 4, x.shape)
        return self.held(dtype, x * (1 + 2 * FORMATS[dtype].u * steps))

    def operands(self, dtype: str, scale: str, seed: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Two operands for elementwise operations; where they cancel, they are nearly the same but for the sign."""
        x, y = (self.numbers(dtype, scale, seed + k, (size,)) for k in (0, 10**6))
        if scale == "cancelling":
            y = self.near(dtype, x, seed) * np.random.default_rng(seed).choice([-1.0, 1.0], size)
        return x, y

    def wider(self, x: np.ndarray, share: float, seed: int, rules: Model) -> tuple[Rounded, np.ndarray]:
        """Rounded numbers whose radii are a share of them, and numbers within that a program may have made."""
        stored = Rounded.stored(x, rules)
        if not share:
            return stored, x
        side = np.random.default_rng(seed).choice([-1.0, -0.5, 0.0, 1.0], x.shape)
        with np.errstate(over="ignore"):
            radius = np.minimum(share * np.abs(x), FORMATS["float64"].largest)
            member = self.held(rules.format.name, x + side * np.maximum(radius - 4 * rules.format.u * np.abs(x), 0))
            made = ~(rules.flushes & (np.abs(member) < rules.format.smallest_normal))
            member = np.where(made & (np.abs(member - x) <= radius), member, x)
        return Rounded(x, radius + stored.radius, rules), member

    def model(self, program: str, dtype: str) -> Model:
        """As measured; NumPy sums numbers of 16 bits in themselves."""
        name = program.partition("-")[0]
        return model(dtype, accumulator=dtype) if name == "numpy" else framework(name).models[dtype]

    def run(self, program: str, dtype: str, functions: Functions, *arrays: np.ndarray) -> list[np.ndarray]:
        """What a program gives in the dtype: numpy, torch, torch-strided (past its vector units), jax or jax-jit."""
        with np.errstate(all="ignore"):
            if program == "numpy":
                answers = functions(np, *(x.astype(TYPES[dtype]) for x in arrays))
                return [np.asarray(x).astype(TYPES[dtype]).astype(np.float64) for x in answers]
            known = adapter(program.partition("-")[0])
            with known.settings():
                made = [known.array(x, dtype) for x in arrays]
                if program == "torch-strided":
                    made = [known.framework.stack([x, x], -1)[..., 0] for x in made]
                lib = known.framework.numpy if program == "jax" else known.framework
                answers = jitted(functions)(*made) if program == "jax-jit" else functions(lib, *made)
                return [known.back(x) for x in answers]

    def escaped(self, found: Any, observed: Any) -> Iterator[tuple[int, ...]]:
        """Where an answer lies outside its radius, in exact fractions; a radius that is not finite says nothing."""
        value, radius = (
            (found.value, found.radius) if isinstance(found, Rounded) else (found, np.zeros(np.shape(found)))
        )
        observed = np.broadcast_to(observed, value.shape)
        with np.errstate(all="ignore"):
            sure = (np.abs(observed - value) <= radius * (1 - 2.0**-40)) | (observed == value)
        for k in map(tuple, np.argwhere(~sure & np.isfinite(value) & np.isfinite(radius)).tolist()):
            centre, reach, answer = (float(x[k]) for x in (value, radius, observed))
            if not math.isfinite(answer) or abs(Fraction(answer) - Fraction(centre)) > Fraction(reach):
                yield k

    def weaken(self, monkeypatch: pytest.MonkeyPatch, name: str, change: Callable[[Any], Any]) -> None:
        """Change a constant or function of the rounded arithmetic in every module that imported it."""
        modules = {path: m for path, m in sys.modules.items() if path.startswith("gradagree.arithmetic.")}
        homes = ("gradagree.arithmetic.model", "gradagree.arithmetic.rounded")
        original = next(getattr(m, name) for path, m in modules.items() if path.startswith(homes) and hasattr(m, name))
        for module in modules.values():
            if getattr(module, name, None) is original:
                monkeypatch.setattr(module, name, change(original))


@pytest.fixture(scope="session")
def hardware() -> Hardware:
    return Hardware()
