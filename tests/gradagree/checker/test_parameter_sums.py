"""What 16-bit programs add up and multiply on the way outwards: tolerated where they do, and only there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gradagree import Case, Record
from gradagree.adapters import Adapter, ForJax, ForTorch
from gradagree.arithmetic.model import Model
from gradagree.cases.case import problem_of
from gradagree.checker.judge import Framework, judge
from gradagree.checker.response import handshake, respond
from gradagree.checker.verdict import Verdict

ADDED_UP = "16-5-8-48:id,tanhshrink,maximum_zero,softmin:dice_of_probabilities:n16:f16:ordinary:s436582273"
MULTIPLIED = "48-16-4-24-5:id,glu,cos,gelu_tanh:sse:n8:f16:mixed:s854814216"


TINY = (
    "8-10b-2b-5b:id,dropout,rms_norm:binary_sparsemax:n4:f16:tiny:s127867156",
    "3-9:id:triplet_margin_of_squares:n16:f32:mixed:s613427605",
)


@pytest.fixture(scope="module")
def torch() -> Iterator[tuple[ForTorch, Framework]]:
    pytest.importorskip("torch")
    adapter = ForTorch()
    with adapter.settings():
        yield adapter, Framework.of("torch", handshake(adapter))


@pytest.fixture(scope="module")
def jax() -> Iterator[tuple[ForJax, Framework]]:
    pytest.importorskip("jax")
    adapter = ForJax()
    with adapter.settings():
        yield adapter, Framework.of("jax", handshake(adapter))


def record(asked: tuple[Adapter, Framework], spec: str, mode: str = "packed") -> Record:
    adapter, framework = asked
    case = Case.parse(spec)
    arrays = case.arrays()
    return judge(case, arrays, framework, respond(adapter, problem_of(case, arrays), mode))


def test_that_a_softmax_whose_sums_are_of_16_bits_is_not_accused(
    jax: tuple[ForJax, Framework], monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = record(jax, ADDED_UP)
    assert not usual.verdict.fails
    monkeypatch.setattr(Model, "broadcast_sums", property(lambda rules: rules))
    narrower = record(jax, ADDED_UP)
    assert narrower.sharpness is not None
    assert usual.sharpness is not None
    assert narrower.sharpness < usual.sharpness / 2


def test_that_a_product_past_the_range_on_the_way_is_out_of_range(
    jax: tuple[ForJax, Framework], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not record(jax, MULTIPLIED).verdict.fails
    monkeypatch.setattr("gradagree.checker.allowances.overflow_allowance", lambda size, rounds, rules: 0.0)
    accused = record(jax, MULTIPLIED)
    assert (accused.verdict, accused.function) == (Verdict.NONFINITE, "glu")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("spec", TINY)
def test_that_tangents_below_the_normal_numbers_make_no_suspect(
    torch: tuple[ForTorch, Framework], spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not record(torch, spec, "forward").verdict.fails
    monkeypatch.setattr("gradagree.checker.forward.ForwardCheck.along", lambda self, which: iter(()))
    monkeypatch.setattr("gradagree.checker.forward.Localization._same", lambda self, suspect: False)
    assert record(torch, spec, "forward").verdict is Verdict.SUSPECT
