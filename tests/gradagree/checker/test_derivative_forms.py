"""Derivatives as AD evaluates them are enclosed, and used only where they are needed; gains of intermediates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.special import expit

from gradagree.adapters import ForTorch
from gradagree.arithmetic.dual import IntermediateTangents
from gradagree.arithmetic.model import model
from gradagree.arithmetic.rounded import Rounded
from gradagree.arithmetic.rounding import round_to_precision
from gradagree.cases.case import Arrays, Case, problem_of
from gradagree.checker.allowances import ToleranceOptions
from gradagree.checker.comparison import compare
from gradagree.checker.conditioning import second_derivative
from gradagree.checker.derivative_forms import (
    EXTRA_ROUNDINGS,
    ad_loss_gradient,
    cancelling_cotangents,
    cotangent_gain,
    loss_gain,
)
from gradagree.checker.verdict import Verdict
from gradagree.reference import Activation, ErrorBox, ErrorFunction
from gradagree.reference.graph import quantity_of
from gradagree.reference.samples import to_domain

ERRORS = [name for name, kind in ErrorFunction.catalogue.items() if kind.__module__.startswith("gradagree.")]


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("seed", range(3))
def test_that_the_ad_gradient_of_a_loss_overlaps_its_own_gradient(name: str, seed: int) -> None:
    case = Case.parse(f"3-6:id:{name}:n5:f32:ordinary:s{seed}")
    arrays, rules = case.arrays(), model("float32")
    o = Rounded.stored(to_domain(case.error.domain, arrays.inputs @ arrays.weights[0]), rules)
    targets = arrays.targets if case.error.targets == "classes" else Rounded.stored(arrays.targets, rules)
    formed, own = ad_loss_gradient(case.error, o, targets), o._lift(case.error.sensitivity(o, targets))
    assert formed is not None
    assert (np.abs(formed.value - own.value) <= formed.radius + own.radius).all()


def test_that_digits_lost_by_the_usual_formula_are_accepted_and_twice_the_error_is_not() -> None:
    """exp(o - log(1 + exp(o))) rounds a difference of numbers of size o = 30: a few times u |o| of its value."""
    error, rules = ErrorFunction.named("bce_logits"), model("float32")
    o, t = np.full((1, 1), 30.0), Rounded.stored(np.zeros((1, 1)), rules)

    def verdict(lost: float) -> Verdict:
        def expect(how: ToleranceOptions) -> Rounded:
            return ErrorBox(how.bounds(error), t).pull(Rounded.stored(o, rules))

        return compare(quantity_of("error", "delta_p", 1), np.full((1, 1), 1.0 - lost * rules.u), expect).verdict

    formed = ad_loss_gradient(error, Rounded.stored(o, rules), t)
    assert formed is not None
    reach = float(formed.radius[0, 0]) / rules.u
    assert verdict(reach / 2) is Verdict.AGREE
    assert verdict(10 * reach) is Verdict.DISAGREE


class _Coupled(ErrorFunction):
    """E = (sum of all outputs)^2; not registered, for its name begins with an underscore."""

    def __str__(self):
        return "coupled"

    def value(self, o, t):
        return np.sum(o, axis=(-2, -1)) ** 2

    def sensitivity(self, o, t):
        return 2 * np.sum(o, axis=(-2, -1), keepdims=True) * np.ones_like(o)


def test_that_the_gradient_of_a_small_loss_coupling_examples_is_evaluated_entry_by_entry() -> None:
    assert "_Coupled" not in ErrorFunction.catalogue
    o, rules = np.arange(6.0).reshape(3, 2), model("float32")
    formed = ad_loss_gradient(_Coupled(), Rounded.stored(o, rules), np.zeros((3, 2)))
    assert formed is not None
    assert (np.abs(formed.value - _Coupled().sensitivity(o, 0)) <= formed.radius).all()
    large = np.ones((64, 64))
    assert ad_loss_gradient(_Coupled(), Rounded.stored(large, rules), large) is None


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_that_a_derivative_computed_in_more_steps_is_enclosed(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """d - (d + d y) (1 - y) for p - tanh p, each step rounded: so jax forms it, and all digits cancel near 0."""
    rules = model(dtype)

    def stored(x: np.ndarray) -> np.ndarray:
        return round_to_precision(x, rules.format.precision)

    p, d = np.meshgrid(stored(np.linspace(0.02, 3, 1500)), stored(np.linspace(1, 2, 257)))
    y = stored(np.tanh(p))
    formed = stored(d - stored(stored(d + stored(d * y)) * stored(1 - y)))
    within = []
    for steps in (EXTRA_ROUNDINGS, 0):
        monkeypatch.setattr("gradagree.checker.derivative_forms.EXTRA_ROUNDINGS", steps)
        bounds = ToleranceOptions(conditioning=True, ad_forms=True).bounds(Activation.named("tanhshrink"))
        expected = bounds.vjp(Rounded.stored(p, rules), Rounded.stored(d, rules))
        within.append(bool((np.abs(formed - expected.value) <= expected.radius).all()))
    assert within == [True, False]


SHARP = {"bfloat16": 14, "float32": 64, "float64": 130}
"""In u (|A'| + |p A''|): what the steps of a slope and any formula may round, on [-3, 3]."""


@pytest.mark.parametrize("dtype", SHARP)
@pytest.mark.parametrize("name", ["leaky_relu", "erf", "softplus", "exp"])
def test_that_derivatives_are_allowed_the_roundings_of_their_steps_and_no_more(dtype: str, name: str) -> None:
    """Not what a slope of 1 on the way would: 2 u of it is most of leaky_relu's 0.01 in bfloat16."""
    rules, activation = model(dtype), Activation.named(name)
    p = round_to_precision(np.linspace(-3, 3, 1001), rules.format.precision)
    slope = ToleranceOptions(ad_forms=True).bounds(activation).derivative(Rounded.stored(p, rules))
    scale = np.abs(slope.value) + np.abs(p * second_derivative(activation, p))
    assert (slope.radius <= SHARP[dtype] * rules.u * scale).all()


@pytest.mark.parametrize(
    "spec",
    [
        "8-5b-4b:id,softplus_threshold:multiclass_sparsemax:n3:bf16:saturated:s599419737",
        "2-8-3:id,softplus_threshold:multiclass_sparsemax:n3:f64:saturated:s493123093",
    ],
)
def test_that_cotangents_of_several_paths_are_summed_with_their_roundings(spec: str, monkeypatch: Any) -> None:
    """Reverse mode begins with 1 + 72 where the slopes of the paths are 1 + 72 - 72, and the last two exact."""
    torch = pytest.importorskip("torch")
    case, adapter = Case.parse(spec), ForTorch()
    arrays, rules = case.arrays(), model(case.dtype)
    stored = [*adapter.answers(problem_of(case, arrays), "backward")[0].values.values()][-1]
    o, t = adapter.array(stored, case.dtype), torch.as_tensor(arrays.targets)
    in_support = (torch.relu(o[..., None, :] - o[..., :, None]).sum(-1) < 1).to(o.dtype)
    q = torch.relu(o - ((in_support * o).sum(-1, keepdim=True) - 1) / in_support.sum(-1, keepdim=True))
    z = o - torch.gather(o, -1, t[..., None])
    ((q * z).sum(-1) + 0.5 * (1 - (q**2).sum(-1))).mean().backward()
    observed = adapter.back(o.grad)

    def found() -> Verdict:
        box = lambda how: ErrorBox(how.bounds(case.error), arrays.targets).pull(Rounded.stored(stored, rules))  # noqa: E731
        return compare(quantity_of("error", "delta_p", 1), observed, box).verdict

    assert not found().fails
    monkeypatch.setattr("gradagree.arithmetic.dual.record_sum", lambda tangent, x, y: tangent)
    assert found().fails


class _Cubic(Activation):
    """A(p) = p^3 / (1 + p^2); not registered, for its name begins with an underscore."""

    def value(self, p):
        return p**3 / (1 + p**2)

    def derivative(self, p):
        return p**2 * (3 + p**2) / (1 + p**2) ** 2


def test_that_the_underflow_allowance_grows_with_the_factors_of_a_product(monkeypatch: pytest.MonkeyPatch) -> None:
    """jax's quotient rule: delta / y^2 holds two bits of float16 where it is multiplied with p^3 2 p = 28,000."""
    p, delta, rules = np.float16([10.921875]), np.float16([0.0031728744506835938]), model("float16")
    y = 1 + p * p
    formed = (delta / y * 3 * p * p - delta * (1 / (y * y)) * p**3 * (2 * p)).astype(np.float64)
    bounds = ToleranceOptions(conditioning=True, ad_forms=True).bounds(_Cubic())

    def within(part: float) -> bool:
        expected = bounds.vjp(Rounded.stored(p, rules), Rounded.stored(delta, rules))
        return bool((np.abs(part * formed - expected.value) <= expected.radius).all())

    assert within(1)
    assert not within(0.25)
    monkeypatch.setattr("gradagree.checker.allowances.gain", lambda activation, p: np.ones(p.shape))
    assert not within(1)


RATE, TARGET = 2.0**-10, 2.0**-15


def test_that_the_gain_is_the_largest_derivative_of_an_intermediate() -> None:
    error = ErrorFunction.named("poisson_nll_of_rates")
    o, t = np.array([[RATE, 1.0]]), np.array([[TARGET, TARGET]])
    found = loss_gain(error, o, t)
    assert found[0, 0] >= 1 / (RATE + error.eps)
    assert found[0, 1] < 2
    assert np.all(np.abs(error.sensitivity(o, t)) < 2)
    assert IntermediateTangents.active is None


@pytest.mark.parametrize(("lost", "fails"), [(1.0, False), (16.0, True)])
def test_that_a_term_lost_to_underflow_is_accepted_and_a_larger_one_is_not(
    bench: Any, lost: float, fails: bool
) -> None:
    n = 32
    case = Case.parse(f"{n}-{n}:id:poisson_nll_of_rates:n{n}:f16:ordinary:s0")
    x, t = np.full((n, n), 1.0), np.full((n, n), 2.0)
    x[0, 0], t[0, 0] = RATE, TARGET
    case = Case.of(case, Arrays((np.eye(n),), (None,), x, t))
    term = t[0, 0] / (RATE * n * n)

    def lie(right: np.ndarray, at: Any) -> np.ndarray:
        right = right.copy()
        right[0, 0] += lost * term
        return right

    found = bench.compared(case, bench.answer(case, {("error", "delta_p"): lie}))
    (one,) = (c for c in found if (c.box, c.part) == ("error", "delta_p"))
    assert one.verdict.fails is fails, one
    assert one.verdict is (Verdict.DISAGREE if fails else Verdict.INACCURATE)


class _LengthsTimesTanh(Activation):
    """p tanh p: jax adds parts of the size of 2 p to its cotangent, which cancel where p is far below 0."""

    name = "_lengths_times_tanh"

    def value(self, p: Any) -> Any:
        return p * np.tanh(p)

    def derivative(self, p: Any) -> Any:
        return np.tanh(p) + p * (1 - np.tanh(p) ** 2)


class _Gated(Activation):
    """p_1 s(p_1) p_2: the derivative by s is p_1 p_2."""

    name = "_gated"

    def width(self, n: int) -> int | None:
        return 1 if n == 2 else None

    def value(self, p: Any) -> Any:
        return p[..., :1] * expit(p[..., :1]) * p[..., 1:]

    def vjp(self, p: Any, delta_a: Any) -> Any:
        a, b, s = p[..., :1], p[..., 1:], expit(p[..., :1])
        return np.concatenate([delta_a * b * (s + a * s * (1 - s)), delta_a * a * s], axis=-1)


def test_that_the_cotangent_of_an_intermediate_is_found_at_its_size() -> None:
    p = np.array([[-3000.0, 0.5]])
    assert cotangent_gain(_LengthsTimesTanh(), p).tolist() == [[3000.0, 1.0]]  # by tanh p; by p itself
    assert cotangent_gain(_Gated(), p).item() == 1500.0  # p_1 p_2, by s
    assert cotangent_gain(Activation.named("id"), p).tolist() == [[1.0, 1.0]]


def test_that_only_a_tanh_of_the_input_itself_has_parts_that_cancel() -> None:
    p = np.array([[-3000.0, 0.5]])
    u = 2.0**-24
    assert cancelling_cotangents(_LengthsTimesTanh(), p, u).tolist() == [[3 * u * 6000.0, 0.0]]  # 0.5 is not saturated
    assert cancelling_cotangents(Activation.named("gelu_tanh"), p, u).tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize(("excess", "verdict"), [(1.0, Verdict.INACCURATE), (40.0, Verdict.DISAGREE)])
def test_that_digits_lost_to_parts_that_cancel_are_lost_digits(excess: float, verdict: Verdict) -> None:
    # jax returns -71680 for -71560.6, the cotangent times -1, from p = -18931.5 in float32: an error of 2 u |p| |delta|
    case = Case((1, 1), (_LengthsTimesTanh(),), ErrorFunction.named("sse"), 1, "float32", "ordinary", 1, (False,))
    p, delta_a = np.array([[-18931.5]]), np.array([[71560.60678577423]])
    bounds, rules = ToleranceOptions, model("float32")
    expect = lambda how: bounds.bounds(how, case.activations[0]).vjp(  # noqa: E731
        Rounded.stored(p, rules), Rounded.stored(delta_a, rules)
    )
    observed = -delta_a - excess * 2 * rules.u * np.abs(p * delta_a)
    quantity = case.nodes(case.arrays())[0].cotangent()
    assert compare(quantity, observed, expect).verdict is verdict
