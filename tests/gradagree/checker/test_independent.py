"""Bounds for independent rounding errors: programs lie within them, they are narrower, and wrong arrays are outside."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gradagree import Case
from gradagree.adapters import Answer
from gradagree.arithmetic.model import FORMATS, Model, model
from gradagree.arithmetic.rounded import Rounded
from gradagree.arithmetic.rounding import round_to_format
from gradagree.checker import independent
from gradagree.checker.comparison import BLUNT, classify, sharpened
from gradagree.checker.dense import DenseCheck
from gradagree.checker.verdict import Verdict
from gradagree.reference.boxes import ErrorBox
from gradagree.reference.graph import Kind, Quantity
from gradagree.reference.losses import Dice

HALF = FORMATS["float16"]
GRADIENT = Quantity(Kind.GRADIENT, 1, "b1", "db")


def sequential_sum(terms: np.ndarray) -> np.ndarray:
    """The sum over the first axis, each partial sum stored in float16."""
    total = np.zeros(terms.shape[1:])
    for term in terms:
        total = round_to_format(total + term, HALF)
    return total


def bias_check(seed: int) -> tuple[DenseCheck, np.ndarray]:
    """A layer of 256 examples whose bias gradients are summed in float16, and that gradient."""
    case = Case.parse(f"3-4b:id:sse:n256:f16:ordinary:s{seed}")
    arrays = case.arrays()
    node = case.nodes(arrays)[0]
    delta = round_to_format(np.random.default_rng(seed).normal(size=(256, 4)), HALF)
    cotangents = {"inputs": np.zeros((256, 3)), "c1": delta}
    answer = Answer(0.0, {"inputs": arrays.inputs, "c1": delta}, cotangents)
    return DenseCheck(node, answer, model("float16", biases="float16")), sequential_sum(delta)


def judged(check: DenseCheck, observed: np.ndarray) -> tuple[Verdict, float]:
    name = check.node.parameters["b"]
    answer = replace(check.answer, gradients={name: observed})
    again = DenseCheck(check.node, answer, check.model)
    found = next(c for c in again.backward() if c.part == "db")
    return found.verdict, found.sharpness


@pytest.mark.parametrize("seed", range(4))
def test_a_long_sum_in_16_bits_has_a_sharp_tolerance(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    check, observed = bias_check(seed)
    verdict, sharpness = judged(check, observed)
    assert verdict is Verdict.AGREE
    monkeypatch.setattr(independent, "bounds", lambda *_: iter(()))
    assert 4 * sharpness < judged(check, observed)[1]


def test_a_sum_outside_the_narrow_bound_is_judged_by_the_worst_case() -> None:
    check, observed = bias_check(0)
    (likely,) = check.likely_gradient("b")
    wrong = observed + np.array([2 * likely.radius[0], 0, 0, 0])
    assert classify(GRADIENT, wrong, likely).verdict is Verdict.DISAGREE
    assert judged(check, wrong)[1] > judged(check, observed)[1]
    assert judged(check, observed + 8 * np.max(np.abs(observed)))[0] is Verdict.DISAGREE


def test_a_sharp_comparison_or_one_that_fails_is_kept() -> None:
    rules, value = model("float16"), np.array([1.0, -2.0])
    narrow = lambda: [Rounded(value, 1e-3, rules)]  # noqa: E731
    for radius, observed, verdict in ((BLUNT, value, Verdict.AGREE), (0.5, value + 1, Verdict.DISAGREE)):
        found = classify(GRADIENT, observed, Rounded(value, radius, rules))
        assert sharpened(found, observed, narrow) is found
        assert found.verdict is verdict
    for radius, verdict in ((0.5, Verdict.AGREE), (5.0, Verdict.UNDECIDED)):
        found = classify(GRADIENT, value, Rounded(value, radius, rules))
        assert found.verdict is verdict
        sharp = sharpened(found, value, narrow)
        assert (sharp.verdict, sharp.sharpness) == (Verdict.AGREE, 5e-4)
        off = value * 1.01
        assert sharpened(classify(GRADIENT, off, Rounded(value, radius, rules)), off, narrow).sharpness > BLUNT


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_the_gradient_of_a_loss_lies_within_its_bounds(dtype: str) -> None:
    generator = np.random.default_rng(3)
    o, t = (round_to_format(generator.uniform(0.1, 0.9, (4, 5)), FORMATS[dtype]) for _ in range(2))
    box, rules = ErrorBox(Dice(), t, 0.7), model(dtype)
    observed = round_to_format(box.pull(o), FORMATS[dtype])
    (bound,) = independent.loss_cotangent(box, o, rules)
    assert (np.abs(observed - bound.value) <= bound.radius).all()
    assert (np.abs(2 * observed - bound.value) > bound.radius).any()


def test_a_formula_without_rules_has_no_bounds() -> None:
    rules: Model = model("float16")
    missing = independent.NoRule("variance arithmetic has no rule for this")

    def fails() -> None:
        raise missing

    assert list(independent.bounds(rules, fails)) == []
    assert list(independent.bounds(rules, lambda: None)) == []
