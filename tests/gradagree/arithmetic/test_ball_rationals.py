"""Balls enclose exact fractions, and tightly, in random formulas of rational operations; weaker balls do not."""

from __future__ import annotations

import contextlib
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import flint
import numpy as np
import pytest

from gradagree.arithmetic import Ball
from gradagree.arithmetic.ball import lift, precision

BITS, SPARE = 160, 16
"""The working precision, and how many of its last bits may be lost."""
DEPTH, FORMULAS = 5, 100


@pytest.fixture(autouse=True)
def working_precision() -> Iterator[None]:
    with precision(BITS):
        yield


@dataclass(frozen=True)
class Exact:
    """A fraction, and what the sizes of all the terms come to that it was added up from."""

    value: Fraction
    size: Fraction

    @classmethod
    def of(cls, x: Any) -> Exact:
        return x if isinstance(x, Exact) else cls(Fraction(x), abs(Fraction(x)))

    def __add__(self, other: Any) -> Exact:
        other = Exact.of(other)
        return Exact(self.value + other.value, self.size + other.size)

    def __neg__(self) -> Exact:
        return Exact(-self.value, self.size)

    def __sub__(self, other: Any) -> Exact:
        return self + -Exact.of(other)

    def __mul__(self, other: Any) -> Exact:
        other = Exact.of(other)
        return Exact(self.value * other.value, self.size * other.size)

    def __truediv__(self, other: Any) -> Exact:
        other = Exact.of(other)
        return Exact(self.value / other.value, self.size * other.size / other.value**2)

    def __abs__(self) -> Exact:
        return Exact(abs(self.value), self.size)


def each(f: Callable[..., Exact]) -> Callable[..., Any]:
    return np.vectorize(f, otypes=[object])


def fraction(x: flint.arb) -> Fraction:
    mantissa, exponent = x.man_exp()
    return Fraction(int(mantissa)) * Fraction(2) ** int(exponent)


def misses(found: flint.arb, number: Exact, wide: bool) -> bool:
    """Whether the fraction lies outside the ball, or the ball is wider than the last bits of what it was made of."""
    if not found.is_finite():
        return not wide
    radius = fraction(found.rad())
    loose = not wide and radius > number.size * Fraction(2) ** (SPARE - BITS)
    return loose or abs(fraction(found.mid()) - number.value) > radius


def missed(balls: Any, numbers: Any, wide: bool = False) -> bool:
    pairs = zip(np.ravel(lift(balls).balls), np.ravel(np.asarray(numbers, dtype=object)), strict=True)
    return any(misses(found, Exact.of(number), wide) for found, number in pairs)


exactly = each(Exact.of)
larger = np.frompyfunc(lambda x, y: Exact(max(x.value, y.value), x.size + y.size), 2, 1)
OPERATIONS: dict[str, tuple[int, Callable[..., Any], Callable[..., Any]]] = {
    "x + y": (2, operator.add, operator.add),
    "x - y": (2, operator.sub, operator.sub),
    "x y": (2, operator.mul, operator.mul),
    "x / y": (2, operator.truediv, operator.truediv),
    "x / 3": (1, lambda x: x / 3, lambda x: x / 3),
    "|x|": (1, np.abs, abs),
    "x x": (1, np.square, lambda x: x * x),
    "root of x x": (1, lambda x: np.sqrt(np.square(x)), abs),
    "x^3": (1, lambda x: x**3, lambda x: x * x * x),
    "x^-2": (1, lambda x: x**-2, lambda x: exactly(Fraction(1)) / (x * x)),
    "max(x, y)": (2, np.maximum, larger),
    "min(x, y)": (2, np.minimum, lambda x, y: -larger(-x, -y)),
    "clip x": (1, lambda x: np.clip(x, -0.5, 2), lambda x: -larger(-larger(x, exactly(-0.5)), exactly(-2))),
    "where": (2, lambda x, y: np.where(x > y, -x, y), each(lambda x, y: -x if x.value > y.value else y)),
}
"""The number of operands, and the operation on balls and on fractions."""


def grown(rng: np.random.Generator, leaves: list[tuple[Any, Any]], depth: int) -> tuple[str, Any, Any]:
    """A random formula in words, on balls and on fractions."""
    if depth == 0:
        place = int(rng.integers(len(leaves)))
        return "xyz"[place], *leaves[place]
    name = str(rng.choice(list(OPERATIONS)))
    operands, on_balls, on_fractions = OPERATIONS[name]
    words, balls, fractions = zip(*(grown(rng, leaves, depth - 1) for _ in range(operands)), strict=True)
    return f"({name}: {', '.join(words)})", on_balls(*balls), on_fractions(*fractions)


def leaf(x: np.ndarray, share: float, rng: np.random.Generator) -> tuple[Any, Any]:
    """Numbers; or balls whose radii are a share of them, and fractions within."""
    side = rng.choice([-1, 0, 1], x.shape)
    wide = [flint.arb(float(z), float(abs(z) * share)) for z in x]
    within = [Fraction(z) + int(s) * fraction(one.rad()) for z, s, one in zip(x, side, wide, strict=True)]
    return Ball(wide), exactly(np.array(within, dtype=object))


def formulas(hardware: Any, scale: str, share: float) -> Iterator[tuple[str, Any, Any]]:
    """Random formulas in words, on balls and on fractions; divisions by zero are passed over."""
    for seed in range(FORMULAS):
        rng = np.random.default_rng(seed)
        numbers = [hardware.numbers("float64", scale, 10 * seed + k, (3,)) for k in range(3)]
        with contextlib.suppress(ZeroDivisionError):
            words, balls, fractions = grown(rng, [leaf(x, share, rng) for x in numbers], 1 + seed % DEPTH)
            yield f"{words} of {[x.tolist() for x in numbers]}", balls, fractions


def violations(hardware: Any, scale: str, share: float) -> Iterator[str]:
    """Every formula whose ball does not enclose the fraction, or not tightly."""
    yield from (words for words, *pair in formulas(hardware, scale, share) if missed(*pair, wide=share > 0))


@pytest.mark.parametrize("scale", ["ordinary", "cancelling", "spread", "tiny", "huge", "grid"])
@pytest.mark.parametrize("share", [0.0, 2.0**-20, 0.5])
def test_that_balls_enclose_random_formulas(hardware: Any, scale: str, share: float) -> None:
    assert list(violations(hardware, scale, share)) == []


def test_that_most_wide_balls_have_bounds(hardware: Any) -> None:
    bounded = [np.isfinite(balls.radius).all() for _, balls, _ in formulas(hardware, "ordinary", 2.0**-20)]
    assert len(bounded) > 0.75 * FORMULAS
    assert np.mean(bounded) > 0.75


def stripped(x: Any) -> Any:
    """Without its radius."""
    return Ball(np.frompyfunc(lambda one: one.mid(), 1, 1)(x.balls)) if isinstance(x, Ball) else x


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize(
    "f",
    [np.absolute, np.square, np.sqrt, np.add, np.subtract, np.multiply, np.divide, np.maximum, np.minimum, np.power],
    ids=lambda f: f.__name__,
)
def test_that_a_rule_that_forgets_an_operands_radius_is_found(
    hardware: Any, f: Any, place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule, place = Ball.rules[f], min(place, f.nin - 1) if f is not np.power else 0
    monkeypatch.setitem(Ball.rules, f, lambda *xs: rule(*(stripped(x) if k == place else x for k, x in enumerate(xs))))
    assert next(violations(hardware, "ordinary", 0.5), None) is not None


def test_that_a_ball_that_forgets_its_own_rounding_is_found(hardware: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rule = Ball.rules[np.divide]
    monkeypatch.setitem(Ball.rules, np.divide, lambda x, y: stripped(rule(x, y)))
    assert next(violations(hardware, "grid", 0.0), None) is not None


def test_that_a_ball_wider_than_its_precision_is_found(hardware: Any) -> None:
    with precision(BITS - 2 * SPARE):
        assert next(violations(hardware, "grid", 0.0), None) is not None
