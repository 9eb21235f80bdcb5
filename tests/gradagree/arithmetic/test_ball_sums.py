"""Balls enclose exact sums, all answers at a tie, and what formulas of known constants are; weaker ones do not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import flint
import numpy as np
import pytest

from gradagree.arithmetic import Ball, ball
from gradagree.arithmetic.ball import lift, precision
from gradagree.arithmetic.rounded import COMPARISONS
from gradagree.arithmetic.three_valued import split

BITS, SPARE = 160, 16
"""The working precision, and how many of its last bits may be lost."""
each_scale = pytest.mark.parametrize("scale", ["ordinary", "cancelling", "spread", "tiny", "huge", "grid"])


@pytest.fixture(autouse=True)
def working_precision() -> Iterator[None]:
    with precision(BITS):
        yield


def fraction(x: flint.arb) -> Fraction:
    mantissa, exponent = x.man_exp()
    return Fraction(int(mantissa)) * Fraction(2) ** int(exponent)


def missed(balls: Any, numbers: Any, sizes: Any) -> bool:
    """Whether a fraction lies outside its ball, or a ball is wider than the last bits of the sizes it is made of."""
    trios = zip(*(np.ravel(np.asarray(x, dtype=object)) for x in (lift(balls).balls, numbers, sizes)), strict=True)
    return any(
        abs(fraction(found.mid()) - number) > fraction(found.rad())
        or fraction(found.rad()) > size * Fraction(2) ** (SPARE - BITS)
        for found, number, size in trios
    )


REDUCTIONS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "sum": (lambda x, y: np.sum(x, axis=-1), lambda x, y: np.sum(x, axis=-1)),
    "mean": (lambda x, y: np.mean(x), lambda x, y: np.sum(x) / x.size),
    "product": (lambda x, y: x @ y.T, lambda x, y: x @ y.T),
    "product of all": (lambda x, y: x[None] @ y.T, lambda x, y: x[None] @ y.T),
    "max": (lambda x, y: np.max(x, axis=0), lambda x, y: np.max(x, axis=0)),
    "min": (lambda x, y: -np.min(-x, axis=0), lambda x, y: np.max(x, axis=0)),
}
"""On balls and on fractions; the sizes are what comes of sizes."""


def parts(x: np.ndarray, n: int) -> tuple[Any, Any]:
    """The n-th parts of numbers, on balls and on fractions."""
    return Ball.exact(x) / n, np.vectorize(Fraction, otypes=[object])(x) / n


def ends(x: np.ndarray, _: int) -> tuple[Any, Any]:
    """Balls that reach halfway to zero, and their ends."""
    made = np.frompyfunc(lambda z: flint.arb(float(z), abs(float(z)) / 2), 1, 1)(x)
    return Ball(made), np.frompyfunc(lambda one: fraction(one.mid()) + fraction(one.rad()), 1, 1)(made)


def in_sums(hardware: Any, scale: str, drawn: Any = parts) -> Iterator[str]:
    """Sums whose balls do not enclose the fraction, or, of parts, not tightly."""
    for seed in range(5):
        x, y = (hardware.numbers("float64", scale, seed + k, (4, 9)) for k in (0, 100))
        (x, a), (y, b) = drawn(x, 3), drawn(y, 7)
        slack = 1 if drawn is parts else 2**BITS
        for name, (on_balls, on_fractions) in REDUCTIONS.items():
            if missed(on_balls(x, y), on_fractions(a, b), on_fractions(abs(a), abs(b)) * slack):
                yield f"{name}, {scale}, {seed=}"


def at_ties(hardware: Any, scale: str) -> Iterator[str]:
    """Choices between equal numbers, one of them known only within a ball, that leave out the right answer."""
    x = hardware.numbers("float64", scale, 1, (20,))
    for compare in COMPARISONS:
        found = lift(np.where(compare(Ball.exact(x) / 7 * 7, Ball.exact(x)), 5.0, 7.0))
        right = 5 if compare(1, 1) else 7
        yield from (f"{compare.__name__} at {x[k]!r}" for k, one in enumerate(found.balls) if not one.contains(right))


CONSTANTS: dict[str, tuple[Callable[[], Any], int]] = {
    "1 + sin pi": (lambda: 1 + np.sin(lift(np.pi)), 1),
    "1 + sin 2 pi": (lambda: 1 + np.sin(lift(2 * np.pi)), 1),
    "square of the root of 2": (lambda: lift(np.sqrt(2.0)) ** 2, 2),
    "square of the root of 1/2": (lambda: lift(1 / np.sqrt(2.0)) ** 2 * 2, 1),
    "exp of log 2": (lambda: np.exp(lift(np.log(2.0))), 2),
    "exp of log 10": (lambda: np.exp(lift(np.log(10.0))), 10),
    "log e": (lambda: np.log(lift(np.e)), 1),
    "square of the root of pi": (lambda: lift(np.sqrt(np.pi)) ** 2 / lift(np.pi), 1),
    "square of the root of 2 pi": (lambda: lift(np.sqrt(2 * np.pi)) ** 2 / lift(np.pi), 2),
    "square of 1 / root of 2 pi": (lambda: lift(1 / np.sqrt(2 * np.pi)) ** 2 * lift(2 * np.pi), 1),
    "square of the root of 2 / pi": (lambda: lift(np.sqrt(2 / np.pi)) ** 2 * lift(np.pi), 2),
    "square of 2 / root of pi": (lambda: lift(2 / np.sqrt(np.pi)) ** 2 * lift(np.pi), 4),
}


def of_constants(hardware: Any, scale: str) -> Iterator[str]:
    """Formulas of the floats next to well-known constants that are not what those of the constants are."""
    yield from (name for name, (formula, right) in CONSTANTS.items() if missed(formula(), right, right))


@each_scale
@pytest.mark.parametrize("drawn", [parts, ends])
def test_that_balls_enclose_sums(hardware: Any, scale: str, drawn: Any) -> None:
    assert list(in_sums(hardware, scale, drawn)) == []


@each_scale
def test_that_balls_enclose_every_answer_at_a_tie(hardware: Any, scale: str) -> None:
    assert list(at_ties(hardware, scale)) == []


def test_that_floats_next_to_constants_are_the_constants(hardware: Any) -> None:
    assert len(CONSTANTS) == len(ball.CONSTANTS)
    assert list(of_constants(hardware, "")) == []


def stripped(x: Any) -> Any:
    """Without its radius."""
    return Ball(np.frompyfunc(lambda one: one.mid(), 1, 1)(x.balls)) if isinstance(x, Ball) else x


@pytest.mark.parametrize("f", [np.sum, np.matmul, np.max], ids=lambda f: f.__name__)
def test_that_a_sum_that_forgets_radii_is_found(hardware: Any, f: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rule = Ball.rules[f]
    monkeypatch.setitem(Ball.rules, f, lambda *xs, **names: rule(*map(stripped, xs), **names))
    assert next(in_sums(hardware, "ordinary", ends), None) is not None


def test_that_a_tie_that_is_decided_is_found(hardware: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for f in COMPARISONS:
        monkeypatch.setitem(Ball.rules, f, lambda x, y, rule=Ball.rules[f]: split(rule(x, y))[0])
    assert next(at_ties(hardware, "ordinary"), None) is not None


def test_that_constants_taken_for_their_floats_are_found(hardware: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ball, "constant", lambda x: None)
    assert list(of_constants(hardware, "")) == list(CONSTANTS)
