"""The reference in float64 in place of a framework: the exact value lies within its error bound, in every box."""

from __future__ import annotations

import functools
import inspect
import itertools
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

import flint
import numpy as np
import pytest

from gradagree import Case, draw
from gradagree.adapters import Answer
from gradagree.arithmetic import (
    Ball,
    Rounded,
    exactness,
    model as model_module,
    rounded,
    rounded_library as rounded_functions,
    rounded_rules as rounded_sums,
)
from gradagree.arithmetic.ball import precision
from gradagree.arithmetic.model import model
from gradagree.cases.regimes import REGIMES, Source
from gradagree.checker import dense, exact, loss, reverse
from gradagree.checker.allowances import ToleranceOptions
from gradagree.checker.comparison import Comparison
from gradagree.checker.verdict import Verdict
from gradagree.reference import Box, backpropagate
from gradagree.reference.graph import Quantity

SEED, BLOCKS, CASES, MOST_NUMBERS, MOST_EXAMPLES = 20260, 4, 84, 300, 8
PRECISIONS = (128, 512, 4096)
NOTHING = flint.arb(2) ** -1075  # half of the smallest number


@dataclass(frozen=True, eq=False)
class Part:
    """The expected value of one part of a box, with its radius, and the result of the reference."""

    quantity: Quantity
    expected: Rounded
    observed: np.ndarray

    @property
    def box(self) -> int | str:
        return self.quantity.node

    @property
    def name(self) -> str:
        return self.quantity.label

    @functools.cached_property
    def relative(self) -> np.ndarray:
        """The radii divided by the values, where both are nonzero and finite."""
        value, radius = np.asarray(self.expected.value), np.asarray(self.expected.radius)
        with np.errstate(all="ignore"):
            return np.where((value != 0) & (radius > 0) & np.isfinite(radius), radius / np.abs(value), np.nan)

    def numbers(self, index: tuple[int, ...]) -> list[float]:
        """An entry's radius, its value, and the reference's."""
        return [float(np.asarray(x)[index]) for x in (self.expected.radius, self.expected.value, self.observed)]


def cases(regime: str, block: int) -> Iterator[Case]:
    """Small networks of a regime, others in each block."""
    every = draw(100 * CASES, SEED + block, ("float64",), regimes=(regime,))
    small = (case for case in every if case.size <= MOST_NUMBERS and case.batch <= MOST_EXAMPLES)
    return (replace(case, explicit=case.arrays()) for case in itertools.islice(small, CASES))


def reference_answer(case: Case) -> Answer:
    """The answer of the reference on float64 arrays."""
    arrays = case.arrays()
    values, (*inner, _) = {"inputs": arrays.inputs}, case.nodes(arrays)
    with np.errstate(all="ignore"):
        found = backpropagate(case.network(arrays), arrays.inputs)
        for node in inner:
            assert isinstance(node.operation, Box)
            values[node.output] = node.operation.weigh(values[node.input])
    gradients = {}
    for node, gradient, own in zip(inner, found.gradients, found.activations, strict=True):
        gradients |= {
            name: np.asarray(({"w": gradient.w, "b": gradient.b} | own)[part]) for part, name in node.parameters.items()
        }
    return Answer(float(found.E), values, dict(zip(values, found.sensitivities, strict=True)), gradients)


def compared_parts(case: Case, answer: Answer) -> list[Part]:
    """The parts that the check of single operations compares."""
    seen = []

    def spy(quantity: Quantity, observed: Any, expect: Any, *_: Any, **__: Any) -> Comparison:
        seen.append(Part(quantity, expect(ToleranceOptions()), np.asarray(observed)))
        return Comparison(quantity, Verdict.AGREE)

    patch = mock.patch.object
    slow = patch(reverse, "accept")
    with patch(dense, "compare", spy), patch(loss, "compare", spy), slow, np.errstate(all="ignore"):
        list(reverse.check(case, case.arrays(), answer, model("float64")))
    return seen


def sampled(case: Case, parts: list[Part]) -> Iterator[tuple[Part, tuple[int, ...]]]:
    """The least precise entry of all, the most precise one that is not exact, and two random ones."""
    source, inexact = Source(f"entries of {case}"), [part for part in parts if not np.isnan(part.relative).all()]
    for extreme, most in ((np.nanargmax, max), (np.nanargmin, min)):
        places = [(part.relative.flat[extreme(part.relative)], k) for k, part in enumerate(inexact)]
        part = inexact[most(places)[1]] if places else parts[0]
        yield part, np.unravel_index(extreme(part.relative) if places else 0, part.observed.shape)
    for part in (source.choice(parts), source.choice(parts)):
        yield part, tuple(int(source.integers(length)) for length in part.observed.shape)


def within_radius(case: Case, answer: Answer, part: Part, index: tuple[int, ...]) -> bool:
    """True if the exact entry is proved to lie within the radius of both values, or if the radius is not finite."""
    outputs = [*answer.values.values()][-1]
    if part.box == "error" and not np.isfinite(outputs[index[:1]]).all():
        return True  # comparisons with NaN or infinity are undecided: the loss of these examples has no exact value
    radius, *numbers = part.numbers(index)
    if not all(map(math.isfinite, (radius, *numbers))):
        return True
    for bits in PRECISIONS:
        with precision(bits):
            true = exact.exact_entry(case, case.arrays(), answer, part.quantity, index)
            if all(abs(true - flint.arb(x)) <= flint.arb(radius) + NOTHING for x in numbers):
                return True
    return False


def violations(regime: str, block: int) -> Iterator[str]:
    """Every sampled entry of a block's cases whose radius does not reach the exact value."""
    for case in cases(regime, block):
        answer = reference_answer(case)
        for part, index in sampled(case, compared_parts(case, answer)):
            if not within_radius(case, answer, part, index):
                yield f"{case}: {part.name}{[*map(int, index)]} of box {part.box}: {part.numbers(index)}"


@pytest.mark.parametrize("block", range(BLOCKS))
@pytest.mark.parametrize("regime", REGIMES)
def test_that_the_reference_lies_within_its_radius_of_the_exact_value(regime: str, block: int) -> None:
    assert list(violations(regime, block)) == []


@pytest.mark.xfail(strict=True, reason="scipy's expit(x) is 0 below -709.78, and so is the distance of s from 1")
def test_that_the_distance_from_a_limit_does_not_underflow() -> None:
    case = Case.parse("4-6-4-8-1:id,gelu,sigmoid,elu:mse:n4:f64:saturated:s106540991")
    answer = reference_answer(case)
    (part,) = (part for part in compared_parts(case, answer) if (part.box, part.name) == (3, "delta_p"))
    assert within_radius(case, answer, part, (3, 0))


def loss_gradient(spec: str) -> tuple[Case, Answer, Part, np.ndarray]:
    """A case, its answer, delta_o, and the examples with NaN among their outputs."""
    case = Case.parse(spec)
    answer = reference_answer(case)
    (part,) = (part for part in compared_parts(case, answer) if (part.box, part.name) == ("error", "delta_p"))
    return case, answer, part, np.isnan([*answer.values.values()][-1]).any(axis=-1)


def test_that_a_nan_output_leaves_the_gradients_of_other_examples_exact() -> None:
    spec = "12-8-2-8:id,log1mexp,exp:multiclass_sparsemax:n8:f64:mixed:s334924538"
    case, answer, part, undefined = loss_gradient(spec)
    assert undefined.tolist() == [True] + [False] * 7
    assert np.isnan(part.expected.radius[undefined]).all()
    assert np.isfinite(part.expected.radius[~undefined]).all()
    moved = replace(part, observed=part.observed + 2.0**-30)
    for k, j in np.ndindex(part.observed.shape):
        assert within_radius(case, answer, part, (k, j))
        assert within_radius(case, answer, moved, (k, j)) == undefined[k]


def test_that_a_comparison_with_a_nan_output_has_no_exact_value() -> None:
    spec = "3-24-2-4-8-1-16:id,abs,sparse_plus,softplus,log,erf:perceptron:n1:f64:saturated:s426118393"
    case, _, part, undefined = loss_gradient(spec)
    assert undefined.all()
    value, radius = np.asarray(part.expected.value), np.asarray(part.expected.radius)
    for derivative in (0.0, -case.arrays().targets / 16):  # of max(0, -t o) / 16, on both sides of its kink
        assert (np.abs(derivative - value) <= radius).all()


@pytest.mark.parametrize("regime", REGIMES)
def test_that_most_radii_claim_something(regime: str) -> None:
    few = [(case, compared_parts(case, reference_answer(case))) for case in itertools.islice(cases(regime, 0), 20)]
    chosen = [part.numbers(index) for case, parts in few for part, index in sampled(case, parts)]
    assert np.mean([radius < 1e-3 * max(abs(value), 1) for radius, value, _ in chosen]) > 0.75


def with_arguments(f: Any, **known: Any) -> Any:
    """The function with these arguments in place of its own."""

    def weaker(*args: Any, **names: Any) -> Any:
        return f(**{**inspect.signature(f).bind(*args, **names).arguments, **known})

    return weaker


def infallible(monkeypatch: pytest.MonkeyPatch) -> None:
    """Functions do not err: neither those of libraries nor those of formulas."""
    monkeypatch.setattr(rounded_functions, "LIBRARY", 0)
    for constant in ("LIBRARY", "FORMULA", "NARROW"):
        monkeypatch.setattr(model_module, constant, 0)


def unrounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Operations do not round, whether their results may overflow or not."""
    for name in ("bounded", "result"):
        monkeypatch.setattr(rounded, name, with_arguments(getattr(rounded, name), keep=True))


def forgetting(f: Any, place: int) -> Any:
    """A rule that forgets the radius of one operand."""
    rule = Rounded.rules[f]

    def bare(x: Any, k: int) -> Any:
        return Rounded(x.value, 0.0, x.model) if k == place and isinstance(x, Rounded) else x

    return lambda patch: patch.setitem(Rounded.rules, f, lambda *xs: rule(*(bare(x, k) for k, x in enumerate(xs))))


def beside(f: Any) -> Any:
    """Balls beside the exact value, by 2^-40 of it."""
    rule, factor = Ball.rules[f], 1 + flint.arb(2) ** -40
    return lambda patch: patch.setitem(Ball.rules, f, lambda *xs: Ball(rule(*xs).balls * factor))


def attribute(owner: Any, name: str, value: Any) -> Any:
    return lambda patch: patch.setattr(owner, name, value)


WEAKER: dict[str, tuple[Any, str]] = {
    "operations do not round": (unrounded, "ordinary"),
    "sums of no terms": (
        attribute(rounded_sums, "sum_of_terms", with_arguments(rounded_sums.sum_of_terms, terms=0)),
        "ordinary",
    ),
    "functions do not err": (infallible, "ordinary"),
    "all is exact": (attribute(exactness, "is_exact", lambda *args, **names: True), "ordinary"),
    "no radius of the first factor": (forgetting(np.multiply, 0), "ordinary"),
    "no radius of the second factor": (forgetting(np.multiply, 1), "ordinary"),
    "wrong exact products": (beside(np.multiply), "ordinary"),
    "wrong exact sums": (beside(np.matmul), "ordinary"),
    "an exact value of few bits": (attribute(sys.modules[__name__], "PRECISIONS", (30,)), "ordinary"),
}


@pytest.mark.parametrize("weakness", WEAKER)
def test_that_a_weaker_arithmetic_is_found(weakness: str, monkeypatch: pytest.MonkeyPatch) -> None:
    weaken, regime = WEAKER[weakness]
    weaken(monkeypatch)
    assert any(next(violations(regime, block), None) is not None for block in range(4 * BLOCKS))
