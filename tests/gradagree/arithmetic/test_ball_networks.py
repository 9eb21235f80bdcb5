"""Balls through whole networks enclose the gradients that backpropagation on fractions gives, and tightly."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import flint
import numpy as np
import pytest

from gradagree import Case
from gradagree.arithmetic import Ball
from gradagree.arithmetic.ball import lift, precision
from gradagree.cases.regimes import REGIMES, Source
from gradagree.reference import backpropagate

BITS, TIGHT = 160, 60
"""The working precision; and so many bits of the largest entry are certain, whatever cancels."""
NETWORKS = 60
ACTIVATIONS = ("id", "relu", "leaky_relu", "leaky_relu(negative_slope=0.25)", "hardtanh", "softsign")
ERRORS = ("sse", "mse", "huber")


@pytest.fixture(autouse=True)
def working_precision() -> Iterator[None]:
    with precision(BITS):
        yield


exactly = np.vectorize(Fraction, otypes=[object])


def each(f: Callable[..., tuple[Fraction, Fraction]], *args: Any) -> Callable[..., Any]:
    """f(*args, x) for every x, as two arrays."""
    return np.vectorize(functools.partial(f, *args), otypes=[object, object])


def activated(activation: Any, p: Fraction) -> tuple[Fraction, Fraction]:
    """A(p) and A'(p)."""
    if activation.name == "softsign":
        return p / (1 + abs(p)), 1 / (1 + abs(p)) ** 2
    if activation.name == "hardtanh":
        return max(min(p, Fraction(1)), Fraction(-1)), Fraction(-1 < p < 1)
    below = {"id": 1, "relu": 0}.get(activation.name, getattr(activation, "negative_slope", None))
    return (p, Fraction(1)) if p > 0 else (p * Fraction(below), Fraction(below))


def judged(error: Any, count: int, d: Fraction) -> tuple[Fraction, Fraction]:
    """One output's share in E, and its sensitivity, from o - t."""
    if error.name == "huber":
        return (d * d / 2 if abs(d) <= 1 else abs(d) - Fraction(1, 2)) / count, max(
            min(d, Fraction(1)), Fraction(-1)
        ) / count
    return d * d / (1 if error.name == "sse" else count), 2 * d / (1 if error.name == "sse" else count)


def by_fractions(case: Case) -> dict[str, Any]:
    """E, and every dw, db and delta_p from the outermost box inwards."""
    arrays, p, seen = case.arrays(), exactly(case.arrays().inputs), []
    for activation, w, b in zip(case.activations, arrays.weights, arrays.biases, strict=True):
        a, derivative = each(activated, activation)(p)
        p = a.dot(exactly(w)) + (0 if b is None else exactly(b))
        seen.append((a, derivative, exactly(w)))
    d = p - exactly(arrays.targets)
    E, delta = (x * Fraction(case.loss_weight) for x in each(judged, case.error, d.size)(d))
    found: dict[str, Any] = {"E": E.sum(), "error delta_p": delta}
    for k, (a, derivative, w) in reversed(list(enumerate(seen, 1))):
        found[f"dw{k}"], found[f"db{k}"] = a.T.dot(delta), delta.sum(axis=0)
        delta = found[f"delta_p{k}"] = derivative * delta.dot(w.T)
    return found


def by_balls(case: Case) -> dict[str, Any]:
    """The same from the reference, run on balls."""
    arrays = case.arrays()
    weights, biases = ([None if x is None else Ball.exact(x) for x in xs] for xs in (arrays.weights, arrays.biases))
    on_balls = replace(arrays, weights=tuple(weights), biases=tuple(biases), targets=Ball.exact(arrays.targets))
    answer = backpropagate(case.network(on_balls), Ball.exact(arrays.inputs))
    found = {"E": answer.E, "error delta_p": answer.sensitivities[-1]}
    for k, (delta, gradient) in enumerate(zip(answer.sensitivities, answer.gradients, strict=False), 1):
        found |= {f"delta_p{k}": delta, f"dw{k}": gradient.w}
        found |= {} if gradient.b is None else {f"db{k}": gradient.b}
    return found


def fraction(x: flint.arb) -> Fraction:
    mantissa, exponent = x.man_exp()
    return Fraction(int(mantissa)) * Fraction(2) ** int(exponent)


def drawn(regime: str, seed: int) -> Case:
    """A network of one to three boxes, up to four wide."""
    source = Source(f"network of balls {regime} {seed}")
    boxes = 1 + int(source.integers(3))
    widths = [f"{1 + int(source.integers(4))}{source.choice(('', 'b')) if k else ''}" for k in range(boxes + 1)]
    activations = ",".join(source.choice(ACTIVATIONS) for _ in range(boxes))
    examples = 1 + int(source.integers(3))
    return Case.parse(f"{'-'.join(widths)}:{activations}:{source.choice(ERRORS)}:n{examples}:f64:{regime}:s{seed}")


def violations(regime: str) -> Iterator[str]:
    """Every part of a network's answer where a ball does not enclose the fraction, or is wider than need be."""
    for case in (drawn(regime, seed) for seed in range(NETWORKS)):
        right = by_fractions(case)
        for part, balls in by_balls(case).items():
            found, numbers = np.ravel(lift(balls).balls), np.ravel(np.asarray(right[part], dtype=object))
            widest = max(map(abs, numbers)) * Fraction(2) ** -TIGHT
            for ball, number in zip(found, numbers, strict=True):
                if not abs(fraction(ball.mid()) - number) <= fraction(ball.rad()) <= widest:
                    yield f"{part} of {case}: {float(number)!r}"


@pytest.mark.parametrize("regime", REGIMES)
def test_that_balls_enclose_the_gradients_of_networks(regime: str) -> None:
    assert list(violations(regime)) == []


def test_that_the_networks_have_every_rational_function() -> None:
    cases = [drawn(regime, seed) for regime in REGIMES for seed in range(NETWORKS)]
    assert {str(activation) for case in cases for activation in case.activations} == set(ACTIVATIONS)
    assert {str(case.error) for case in cases} == set(ERRORS)
    assert {len(case.activations) for case in cases} == {1, 2, 3}


def first(regimes: Any = REGIMES) -> str | None:
    return next((violation for regime in regimes for violation in violations(regime)), None)


def test_that_balls_without_radii_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    middle = np.frompyfunc(lambda one: one.mid(), 1, 1)
    monkeypatch.setattr(Ball, "__init__", lambda self, balls: setattr(self, "balls", middle(np.asarray(balls))))
    assert first() is not None


@pytest.mark.parametrize("f", [np.multiply, np.matmul, np.divide, np.sum], ids=lambda f: f.__name__)
def test_that_balls_beside_the_truth_are_found(f: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rule, factor = Ball.rules[f], 1 + flint.arb(2) ** (16 - BITS)
    monkeypatch.setitem(Ball.rules, f, lambda *xs, **names: Ball(rule(*xs, **names).balls * factor))
    assert first(["ordinary"]) is not None


def test_that_balls_of_few_bits_are_found() -> None:
    with precision(TIGHT - 20):
        assert first(["ordinary"]) is not None
