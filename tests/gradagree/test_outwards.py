"""What 16-bit programs add up and multiply on the way outwards: tolerated where they do, and only there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gradagree import Case, Record
from gradagree.adapters import ForJax
from gradagree.arithmetics.model import Model
from gradagree.cases import problem_of
from gradagree.judge import Framework, judge
from gradagree.verdict import Verdict
from gradagree.worker import answer, greeting

ADDED_UP = "16-5-8-48:id,tanhshrink,maximum_zero,softmin:dice_of_probabilities:n16:f16:ordinary:s995656939"
MULTIPLIED = "48-16-4-24-5:id,glu,cos,gelu_tanh:sse:n8:f16:mixed:s854814216"


@pytest.fixture(scope="module")
def jax() -> Iterator[tuple[ForJax, Framework]]:
    pytest.importorskip("jax")
    adapter = ForJax()
    with adapter.settings():
        yield adapter, Framework.of("jax", greeting(adapter))


def record(jax: tuple[ForJax, Framework], spec: str) -> Record:
    adapter, framework = jax
    case = Case.parse(spec)
    arrays = case.arrays()
    return judge(case, arrays, framework, answer(adapter, problem_of(case, arrays), "packed"))


def test_that_a_softmax_whose_sums_are_of_16_bits_is_not_accused(
    jax: tuple[ForJax, Framework], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not record(jax, ADDED_UP).verdict.fails
    monkeypatch.setattr(Model, "outwards", property(lambda rules: rules))
    accused = record(jax, ADDED_UP)
    assert (accused.verdict, accused.function) == (Verdict.DISAGREE, "softmin")


def test_that_a_product_past_the_range_on_the_way_is_out_of_range(
    jax: tuple[ForJax, Framework], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not record(jax, MULTIPLIED).verdict.fails
    monkeypatch.setattr("gradagree.judged_vector.overflow", lambda size, rounds, rules: 0.0)
    accused = record(jax, MULTIPLIED)
    assert (accused.verdict, accused.function) == (Verdict.NONFINITE, "glu")
