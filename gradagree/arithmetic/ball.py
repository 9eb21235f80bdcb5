"""Ball arithmetic: a midpoint and a rigorous radius, by Arb through python-flint."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Self

import flint
import numpy as np

from gradagree.arithmetic.duck import Duck, Rules

LADDER = tuple(128 << step for step in range(6))
"""The precisions in bits, from 128 to 4096, at which an enclosure is computed until it is narrow enough."""


@contextlib.contextmanager
def precision(bits: int) -> Iterator[None]:
    """Set the working precision in bits."""
    before = flint.ctx.prec
    flint.ctx.prec = bits
    try:
        yield
    finally:
        flint.ctx.prec = before


def is_narrow(ball: flint.arb, bits: int) -> bool:
    """True if a ball is exact or its radius at most about 2^-bits of its midpoint."""
    return bool(ball.rad() == 0 or ball.rel_accuracy_bits() >= bits)


class Ball(Duck):
    """An array of Arb's real balls, each an enclosure of its exact value."""

    __slots__ = ("balls",)
    arithmetic = "ball"
    rules: ClassVar[Rules] = {}

    def __init__(self, balls: Any) -> None:
        self.balls = np.asarray(balls, dtype=object)

    @classmethod
    def exact(cls, x: Any) -> Self:
        """Floating-point numbers as exact balls of radius 0."""
        return cls(to_arb(np.asarray(x, dtype=np.float64)))

    def _parts(self) -> tuple[Any, ...]:
        return (self.balls,)

    def _like(self, *parts: Any) -> Self:
        return type(self)(*parts)

    def _lift(self, x: Any) -> Ball:
        return lift(x)

    @property
    def middle(self) -> np.ndarray:
        """The midpoints, rounded to float64."""
        return np.asarray(FLOAT(self.balls), dtype=np.float64)

    @staticmethod
    def entry(x: Any, index: tuple[int, ...]) -> flint.arb:
        """One entry of an array; a plain one (a constant derivative) is exact."""
        return (x if isinstance(x, Ball) else Ball.exact(x)).balls[index]

    @property
    def radius(self) -> np.ndarray:
        """The radii, rounded up to float64."""
        return np.asarray(RADIUS(self.balls), dtype=np.float64)


def _radius(x: flint.arb) -> float:
    return float(np.nextafter(float(x.rad()), np.inf)) if not x.is_exact() else 0.0


def _float(x: flint.arb) -> float:
    return float(x.mid()) if x.is_finite() else float("nan")


to_arb = np.frompyfunc(lambda x: flint.arb(float(x)), 1, 1)
FLOAT = np.frompyfunc(_float, 1, 1)
RADIUS = np.frompyfunc(_radius, 1, 1)


def lift(x: Any) -> Ball:
    """Constants of a formula: exact, except that a float64 next to a well-known constant stands for that constant."""
    if isinstance(x, Ball):
        return x
    if np.ndim(x) == 0 and (known := constant(float(x))) is not None:
        return Ball(known())
    return Ball.exact(x)


@functools.cache
def constant(x: float) -> Any:
    """A function that returns the well-known constant next to x at the working precision, or None."""
    with precision(128):
        for make in CONSTANTS:
            for sign in (1, -1):
                known = float(sign * make())
                if abs(x - known) <= 2 * np.spacing(abs(known)):
                    return lambda: sign * make()
    return logarithm_of_integer(x)


def logarithm_of_integer(x: float) -> Any:
    """As `constant`, for the logarithm of a number of entries, or its negative."""
    if not math.log(3) - 1e-9 < abs(x) < math.log(MOST_ENTRIES):
        return None
    n = round(math.exp(abs(x)))
    if abs(abs(x) - math.log(n)) > 2 * np.spacing(abs(x)):
        return None
    return lambda: flint.arb(n).log() if x > 0 else -flint.arb(n).log()


MOST_ENTRIES = 1 << 20
CONSTANTS: tuple[Callable[[], flint.arb], ...] = (
    flint.arb.pi,
    lambda: 2 * flint.arb.pi(),
    lambda: flint.arb.pi().sqrt(),
    lambda: 2 / flint.arb.pi().sqrt(),
    lambda: (2 * flint.arb.pi()).sqrt(),
    lambda: 1 / (2 * flint.arb.pi()).sqrt(),
    lambda: (2 / flint.arb.pi()).sqrt(),
    lambda: flint.arb(2).sqrt(),
    lambda: 1 / flint.arb(2).sqrt(),
    lambda: flint.arb(2).log(),
    lambda: flint.arb(10).log(),
    flint.arb.const_e,
)
