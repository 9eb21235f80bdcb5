"""The truth, entry by entry, against exact fractions and correctly rounded decimals that know nothing of balls."""

from __future__ import annotations

import decimal
import math
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from gradagree import Case
from gradagree.checker.exact import enclosure

DIGITS = 80
PIECEWISE = [
    "3-4b-2:id,relu:sse:n3:f64:ordinary:s1",
    "2-3-3b-2:id*2,relu,id:mse:n4:f64:grid:s2",
    "4-1-2:id,leaky_relu(negative_slope=0.25),relu:absolute:n2:f32:ordinary:s3",
    "2-2b:relu:sse:n1:f32:zeros:s4",
]
SMOOTH = ["3-4b-2:id,tanh:sse:n3:f64:ordinary:s1", "3-2-2:id,sigmoid,tanh:sse:n2:f32:ordinary:s2"]


@pytest.fixture(autouse=True)
def digits() -> Iterator[None]:
    with decimal.localcontext() as context:
        context.prec = DIGITS
        yield


@dataclass(frozen=True)
class Exactly:
    """One network's boxes in a number type of Python's own; names are those of the derivation."""

    case: Case
    answer: Any
    make: Any

    def numbers(self, x: np.ndarray) -> list[list[Any]]:
        return [[self.make(float(entry)) for entry in row] for row in np.atleast_2d(x)]

    def activate(self, k: int, p: Any) -> tuple[Any, Any]:
        """A(p) and A'(p)."""
        name = self.case.activations[k - 1].name
        one = self.make(1)
        if name == "id":
            return p, one
        if name in ("relu", "leaky_relu"):
            below = self.make(getattr(self.case.activations[k - 1], "negative_slope", 0.0))
            return (p, one) if p > 0 else (below * p, below)
        e = (-2 * p if name == "tanh" else -p).exp()
        s = 1 / (1 + e)
        return ((1 - e) * s, 4 * e * s * s) if name == "tanh" else (s, e * s * s)

    def entry(self, box: int | str, part: str, index: tuple[int, ...]) -> Any:
        if box == "error":
            return self.error(part, index)
        k, arrays = int(box), self.case.arrays()
        p, w = self.numbers([*self.answer.values.values()][k - 1]), [*arrays.weights, None][k - 1]
        delta = self.numbers(self.answer.cotangents[f"c{k}"])
        zero = self.make(0)
        if part == "db":
            return sum((row[index[0]] for row in delta), zero)
        i, j = index
        if part == "dw":
            return sum((self.activate(k, row[i])[0] * d[j] for row, d in zip(p, delta, strict=True)), zero)
        if part == "delta_p":
            inner = (
                delta[i][j]
                if w is None
                else sum((x * d for x, d in zip(self.numbers(w[j])[0], delta[i], strict=True)), zero)
            )
            return self.activate(k, p[i][j])[1] * inner
        if w is None:
            return self.activate(k, p[i][j])[0]
        b = [*arrays.biases, None][k - 1]
        c = sum((self.activate(k, x)[0] * self.make(float(v)) for x, v in zip(p[i], w[:, j], strict=True)), zero)
        return c if b is None else c + self.make(float(b[j]))

    def error(self, part: str, index: tuple[int, ...]) -> Any:
        """E or its sensitivity for the sum and the mean of squares and the absolute error, times the loss's factor."""
        return self.make(self.case.loss_weight) * self.unweighted(part, index)

    def unweighted(self, part: str, index: tuple[int, ...]) -> Any:
        o, t = self.numbers([*self.answer.values.values()][-1]), self.numbers(self.case.arrays().targets)
        gaps = [[x - y for x, y in zip(*rows, strict=True)] for rows in zip(o, t, strict=True)]
        name, count = self.case.error.name, len(gaps) * len(gaps[0])
        if part == "E":
            size = abs if name == "absolute" else lambda d: d * d
            return sum((size(d) for row in gaps for d in row), self.make(0)) / (count if name == "mse" else 1)
        d = gaps[index[0]][index[1]]
        return self.make((d > 0) - (d < 0)) if name == "absolute" else 2 * d / (count if name == "mse" else 1)


def places(bench: Any, case: Case, answer: Any) -> Iterator[tuple[int | str, str, tuple[int, ...]]]:
    for found in bench.compared(case, answer):
        for index in np.ndindex(bench.part(answer, found.box, found.part).shape):
            yield found.box, found.part, index


@pytest.mark.parametrize("spec", PIECEWISE)
def test_that_the_truth_of_piecewise_linear_networks_is_exact(bench: Any, spec: str) -> None:
    case = Case.parse(spec)
    answer = bench.answer(case)
    exactly, seen = Exactly(case, answer, Fraction), set()
    for box, part, index in places(bench, case, answer):
        proof = enclosure(case, case.arrays(), answer, case.quantity(box, part), index)
        right = exactly.entry(box, part, index)
        assert proof is not None
        assert proof.value == float(right), (box, part, index)
        assert abs(Fraction(proof.value) - right) <= Fraction(proof.radius)
        assert (proof.radius == 0) == (Fraction(proof.value) == right)
        assert proof.radius <= math.ulp(proof.value)
        seen.add((box, part))
    assert len(seen) >= 2 * case.depth + 2


@pytest.mark.parametrize("spec", SMOOTH)
def test_that_the_truth_encloses_what_decimals_of_many_digits_give(bench: Any, spec: str) -> None:
    case = Case.parse(spec)
    answer = bench.answer(case)
    exactly, count = Exactly(case, answer, Decimal), 0
    for box, part, index in places(bench, case, answer):
        proof = enclosure(case, case.arrays(), answer, case.quantity(box, part), index)
        right = exactly.entry(box, part, index)
        assert proof is not None
        slack = Decimal(10) ** (DIGITS // 2 - DIGITS)
        assert abs(Decimal(proof.value) - right) <= Decimal(proof.radius) + slack, (box, part, index)
        assert proof.radius <= math.ulp(proof.value), "next to the truth there is no nearer float64"
        count += 1
    assert count > 20


@pytest.mark.parametrize("spec", SMOOTH)
def test_that_the_truth_lies_within_the_tolerance_around_the_float64_sums(bench: Any, spec: str) -> None:
    case = Case.parse(spec)
    answer = bench.answer(case)
    for box, part, index in places(bench, case, answer):
        proof = enclosure(case, case.arrays(), answer, case.quantity(box, part), index)
        assert proof is not None
        tolerance = bench.tolerance(case, answer, box, part)[index]
        assert abs(bench.part(answer, box, part)[index] - proof.value) <= tolerance + proof.radius


def test_that_the_check_against_decimals_can_fail(bench: Any) -> None:
    case = Case.parse(SMOOTH[0])
    answer = bench.answer(case)
    proof = enclosure(case, case.arrays(), answer, case.quantity(2, "dw"), (1, 0))
    assert proof is not None
    neighbour = Decimal(np.nextafter(proof.value, np.inf))
    assert abs(neighbour - Exactly(case, answer, Decimal).entry(2, "dw", (1, 0))) > Decimal(proof.radius)
