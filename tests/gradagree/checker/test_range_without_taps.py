"""What does not fit the dtype is accused of nothing; what fits is, for the same numbers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from gradagree import Case, Record
from gradagree.adapters import Adapter, ForJax, ForTorch
from gradagree.arithmetic.model import model
from gradagree.arithmetic.rounded import Rounded
from gradagree.cases.case import problem_of
from gradagree.checker.comparison import classify
from gradagree.checker.judge import Framework, judge
from gradagree.checker.response import handshake, respond
from gradagree.checker.verdict import Verdict
from gradagree.reference import ErrorFunction
from gradagree.reference.graph import quantity_of

ModeProcess = tuple[Adapter, Framework]
FORWARD = (
    "8-24b:id,squareplus:gaussian_nll:n16:f16:saturated:s595745863",
    "6-10b:id:generalized_kl:n8:bf16:mixed:s419110166",
)
REFUSED = "1-12-64-4-64-10:id,asinh,normalize,prelu,sparse_plus,gumbel_softmax:bce:n4:f16:mixed:s369228284"
ROW = "5-32b-32b:id,clip,exp:log_cosh:n1:f16:saturated:s989342516"
SQUARE = "64-24:id,exp:gaussian_nll:n8:f16:grid:s808584382"
VAGUE = (
    "16-1-32:id,softsign:cosine_embedding:n1:f16:zeros:s472208539",
    "8-16b-1b-1b-6b:id,asinh,tanh,sin,softmax:cosine_embedding:n3:f16:saturated:s533964612",
)
SURE = "32-10b-4b-64b-6b:id,hardsigmoid,sparse_plus,elu,hardsigmoid:cosine_embedding:n8:f32:grid:s758147318"
RATES = "64-12b-16b:id,softplus,sigmoid:poisson_nll_of_rates:n8:f16:grid:s327215636"
TIES = "1-16b:id:multilabel_margin:n32:f32:mixed:s902681702"
MEANS = (
    "1-24b:id:mse:n8:f16:tiny:s839219762",
    "10-64b:id:half_squared:n2:f32:tiny:s100595748",
    "6-32-64-8-8:id,mish,elu,gelu_tanh:mse:n32:f16:tiny:s787722327",
)
LIKELIHOODS = "1-64b-10b-12b:id,maximum_zero,logmeanexp,log_softmax:nll:n8:f16:saturated:s466697597"
STANDARDIZED = "16-10-16-16:id,standardize,sin:generalized_kl:n8:f16:mixed:s624918102"
DICE = "32-48:id:dice:n32:f16:mixed:s508388536"
NAN = "3-3b-24b-24b-4b-64b:id,log_sigmoid,atan,leaky_relu,log_softmax,softmin:cosine_embedding:n3:f16:mixed:s429708828"
NEAR = "12-16:id,softmin:multilabel_margin:n16:f32:saturated:s587971128"
LEAST = "2-10-48:id,tanh,softmin:huber:n2:f16:tiny:s45515375"
FLAT = (
    "24-6b:id,gaussian:cosine_embedding:n8:f64:saturated:s273853095",
    "24-6b:id,gaussian:cosine_embedding:n8:bf16:saturated:s273853095",
    "16-1-4:id,selu:cosine_embedding:n8:f32:mixed:s176837606",
)
quiet = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def torch() -> Iterator[ModeProcess]:
    adapter = ForTorch()
    with adapter.settings():
        yield adapter, Framework.of("torch", handshake(adapter))


@pytest.fixture(scope="module")
def jax() -> Iterator[ModeProcess]:
    pytest.importorskip("jax")
    adapter = ForJax()
    with adapter.settings():
        yield adapter, Framework.of("jax", handshake(adapter))


def record(asked: ModeProcess, spec: str, mode: str) -> Record:
    adapter, framework = asked
    case = Case.parse(spec)
    arrays = case.arrays()
    return judge(case, arrays, framework, respond(adapter, problem_of(case, arrays), mode))


@quiet
@pytest.mark.parametrize("spec", FORWARD)
def test_that_without_tangents_nan_is_suspect_only_where_all_numbers_are_known_to_fit(
    torch: ModeProcess, monkeypatch: pytest.MonkeyPatch, spec: str
) -> None:
    monkeypatch.setattr(
        "gradagree.checker.forward.Localization.__call__", lambda self, comparisons: ([*comparisons], None)
    )
    found = record(torch, spec, "forward")
    assert found.verdict in (Verdict.OUT_OF_RANGE, Verdict.UNDECIDED)
    monkeypatch.setattr("gradagree.checker.range.unknown", lambda *_: None)
    assert record(torch, spec, "forward").verdict is Verdict.SUSPECT


def test_that_a_framework_may_refuse_what_may_not_fit(torch: ModeProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    assert record(torch, REFUSED, "backward").verdict is Verdict.OUT_OF_RANGE
    monkeypatch.setattr("gradagree.checker.judge.unknown", lambda *_: None)
    assert record(torch, REFUSED, "backward").verdict is Verdict.CRASHED


def test_that_an_overflow_within_the_error_function_excuses_the_sensitivities_that_hang_on_it(
    torch: ModeProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not record(torch, SQUARE, "backward").verdict.fails
    monkeypatch.setattr("gradagree.checker.allowances._overflowing", lambda o, formed: False)
    assert record(torch, SQUARE, "backward").verdict is Verdict.NONFINITE


def test_that_an_infinite_output_takes_no_tolerance_from_the_rest_of_its_row(
    torch: ModeProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gradagree.checker.allowances._overflowing", lambda o, formed: False)
    assert not record(torch, ROW, "backward").verdict.fails
    monkeypatch.setattr("gradagree.checker.allowances.loss_scale", lambda error, o, t: np.full(o.shape, np.nan))
    assert record(torch, ROW, "backward").verdict is Verdict.DISAGREE


@pytest.mark.parametrize(("radius", "verdict"), [(1e7, Verdict.OUT_OF_RANGE), (1.0, Verdict.NONFINITE)])
def test_that_a_tolerance_beyond_the_largest_number_means_out_of_range(radius: float, verdict: Verdict) -> None:
    expected = Rounded(np.array([1.0, -4440.0]), np.array([1e-3, radius]), model("float16"))
    assert classify(quantity_of(1, "delta_p", 1), np.array([1.0, -np.inf]), expected).verdict is verdict


def test_that_beside_a_tie_a_comparison_that_is_open_stays_open(jax: ModeProcess) -> None:
    found = record(jax, TIES, "packed")
    assert found.verdict is Verdict.CONVENTION
    assert [slopes for place, slopes in found.slopes.items() if "multilabel_margin" in place] == [["mean"]]


@pytest.mark.parametrize("spec", MEANS)
def test_that_a_mean_of_tiny_squares_is_taken_as_jax_takes_it(jax: ModeProcess, spec: str) -> None:
    assert record(jax, spec, "packed").verdict in (Verdict.AGREE, Verdict.UNDECIDED)


@pytest.mark.parametrize("name", ["huber", "smooth_l1"])
@pytest.mark.parametrize("side", [1, -1])
def test_that_a_spelling_of_ours_has_a_slope_where_a_difference_overflows(
    jax: ModeProcess, name: str, side: int
) -> None:
    error, framework = ErrorFunction.named(name), jax[0].framework
    o, t = (framework.numpy.array([[sign * side * 60000.0]], dtype="float16") for sign in (1, -1))
    assert np.isinf(o - t)
    assert float(framework.grad(lambda o: error.jax(o, t, framework))(o)[0, 0]) == side


def test_that_without_taps_infinity_is_suspect_only_where_all_numbers_are_known_to_fit(
    jax: ModeProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not record(jax, RATES, "jit").verdict.fails
    monkeypatch.setattr("gradagree.checker.range.unknown", lambda *_: None)
    assert record(jax, RATES, "jit").verdict is Verdict.SUSPECT


def test_that_an_array_of_which_nothing_is_known_says_nothing_of_the_slope_at_a_kink(torch: ModeProcess) -> None:
    for spec in VAGUE:
        found = record(torch, spec, "backward")
        assert (found.verdict, found.slopes) == (Verdict.UNDECIDED, {})
    assert record(torch, SURE, "backward").slopes["cosine_embedding: the kink"] == ["right"]


def test_that_a_mean_of_likelihoods_may_overflow_before_it_is_divided(torch: ModeProcess) -> None:
    assert record(torch, LIKELIHOODS, "backward").verdict is Verdict.OUT_OF_RANGE


def test_that_a_spelling_of_ours_normalises_16_bits_with_more(torch: ModeProcess) -> None:
    case = Case.parse(STANDARDIZED)
    tapped, _ = torch[0].answers(problem_of(case, case.arrays()), "backward")
    assert all(np.isfinite(delta).all() for delta in [*tapped.cotangents.values()][1:])


def test_that_rounding_of_stored_outputs_counts_where_two_may_be_the_largest(jax: ModeProcess) -> None:
    for spec in (DICE, LEAST):
        assert not record(jax, spec, "packed").verdict.fails


@pytest.mark.parametrize("spec", FLAT)
def test_that_a_kink_is_left_by_the_smallest_step_that_leaves_it(
    torch: ModeProcess, monkeypatch: pytest.MonkeyPatch, spec: str
) -> None:
    found = record(torch, spec, "backward")
    assert (found.verdict, found.slopes["cosine_embedding: the kink"]) == (Verdict.CONVENTION, ["right"])
    monkeypatch.setattr("gradagree.checker.kinks.STEP_SIZES", [2.0**-40])
    assert record(torch, spec, "backward").verdict is Verdict.DISAGREE


def test_that_rows_of_nan_say_nothing_of_the_slope_at_a_kink(torch: ModeProcess) -> None:
    found = record(torch, NAN, "backward")
    assert (found.verdict, found.slopes) == (Verdict.UNDECIDED, {"cosine_embedding: the kink": ["right"]})


def test_that_what_is_near_a_kink_stays_on_its_side(jax: ModeProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    found = record(jax, NEAR, "grad")
    assert (found.verdict, found.slopes["multilabel_margin: the kink"]) == (Verdict.CONVENTION, ["mean"])
    monkeypatch.setattr("gradagree.checker.kinks.STEP_SIZES", [2.0**-40])
    assert record(jax, NEAR, "grad").verdict is Verdict.DISAGREE
