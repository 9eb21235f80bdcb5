"""Public functions at their own defaults are compared with the plain definition of their names."""

from __future__ import annotations

import dataclasses
import sys
from concurrent.futures import Future
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from scipy.special import erf

from gradagree import survey
from gradagree.adapters.entry_points import EntryPoints, evaluate_entry_points, options, plain_name
from gradagree.reference import Activation, ErrorFunction
from gradagree.reproduce.finding import SurveyFinding
from gradagree.runner.protocol import Definition, pack
from gradagree.surveys.definitions import (
    NO_DEFAULTS,
    Sample,
    claimed_names,
    computes,
    definition_findings,
    plain_definition,
    samples,
)

KIND = "frameworks differ in definition"


def differences(**options: Any) -> list[SurveyFinding]:
    return [one for one in survey(dtypes="float32", **options).findings if one.kind == KIND]


def given(sample: Sample, values: Any, call: str = "lib.f(x)") -> list[SurveyFinding]:
    """The findings about a library with one function that returns these values."""
    future: Future[list[Definition]] = Future()
    future.set_result([Definition("lib.f", call, "", pack(np.asarray(values, dtype=np.float64)))])
    return list(definition_findings([(sample, {"torch": future})], {"torch": "0"}))


def test_that_jax_gelu_is_found_to_be_the_tanh_form_and_the_program_shows_it() -> None:
    pytest.importorskip("jax")
    (one,) = differences(activations="gelu,relu,elu,leaky_relu", frameworks="jax", modes="eager")
    assert (one.framework, one.function, one.severity, one.example["input"]) == ("jax", "gelu", "note", [1.0])
    assert one.example["true"] == pytest.approx((1 + erf(np.sqrt(0.5))) / 2)
    assert one.example["computes"] == "gelu_tanh"
    exec(one.reproducer, {})
    with pytest.raises(AssertionError):
        exec(one.reproducer.replace("gelu(x)", "gelu(x, approximate=False)"), {})


def test_that_each_library_is_named_with_what_it_computes() -> None:
    pytest.importorskip("jax")
    pytest.importorskip("torch")
    (one,) = differences(activations="gelu", frameworks="torch,jax", modes="eager")
    assert one.note == (
        "jax.nn.gelu(x) returns 0.841192 with the defaults approximate=True, which is gelu_tanh; the definition gives "
        "0.841345; torch.nn.functional.gelu gives 0.841345"
    )


DIFFERENT = [
    ("softplus", "torch.nn.functional.softplus", "softplus_threshold"), ("softmax", "torch.nn.functional.softmax", ""),
    ("layer_norm", "torch.nn.functional.layer_norm", "layer_norm(eps=1e-05)"),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_that_thresholds_axes_and_small_numbers_in_divisors_are_found() -> None:
    pytest.importorskip("torch")
    names = ",".join(name for name, _, _ in DIFFERENT)
    found = differences(activations=names, frameworks="torch", modes="eager")
    assert sorted((one.function, one.calls.split(", ")[0], one.example["computes"]) for one in found) == sorted(
        DIFFERENT
    )
    for one in found:
        exec(one.reproducer, {})
    (axis,) = (one for one in found if one.function == "softmax")
    assert axis.example["shape"] == [2, 2, 4]


def test_that_the_reduction_of_kl_div_is_found_and_those_of_other_losses_are_right() -> None:
    pytest.importorskip("torch")
    found = differences(
        errors="kl_div,mse,huber,smooth_l1,bce,bce_logits,cross_entropy", frameworks="torch", modes="eager"
    )
    assert [(one.function, one.example["computes"]) for one in found] == [("kl_div", "kl_div(reduction=mean)")]


@pytest.mark.parametrize("name", ["tanh", "huber", "softmax", "kl_div", "cross_entropy", "prelu"])
def test_that_the_definition_itself_is_no_finding(name: str) -> None:
    kind: Any = Activation if name in Activation.catalogue else ErrorFunction
    for sample in samples(kind.named(name)):
        assert given(sample, sample.exact * (1 + 2.0**-50)) == []
        for losses in sample.terms:
            assert given(sample, losses) == []


@pytest.mark.parametrize(
    ("name", "planted"),
    [
        ("huber", "huber(delta=0.5)"), ("elu", "elu(alpha=2.0)"), ("leaky_relu", "leaky_relu(negative_slope=0.2)"),
        ("smooth_l1", "smooth_l1(beta=0.5)"), ("softplus", "softplus_threshold"), ("hardsigmoid", "sparse_sigmoid"),
        ("mse", "half_squared"), ("silu", "hardswish"), ("gelu", "gelu_tanh"),
    ],
)  # fmt: skip
def test_that_another_default_is_found_and_named(name: str, planted: str) -> None:
    kind: Any = Activation if name in Activation.catalogue else ErrorFunction
    (sample,) = samples(kind.named(name))
    wrong = kind.named(planted)
    values = wrong.value(sample.x) if sample.t is None else wrong.value(sample.x, sample.t)
    (one,) = given(sample, values)
    assert (one.kind, one.function) == (KIND, name)
    if str(type(wrong)()) == planted:
        assert computes(sample, np.asarray(values)) == planted


def test_that_a_result_of_another_shape_is_found() -> None:
    *_, sample = samples(Activation.named("logsumexp"))
    (one,) = given(sample, 1.0)
    assert "in the shape ()" in one.note


def test_that_a_definition_has_no_small_number_in_a_divisor() -> None:
    assert plain_definition(Activation.named("layer_norm")) == Activation.named("layer_norm(eps=0.0)")
    assert plain_definition(Activation.named("tanh")) == Activation.named("tanh")


def test_that_each_name_belongs_to_one_function_and_exact_names_come_first() -> None:
    names = claimed_names()
    every = [name for some in names.values() for name in some]
    assert len(every) == len(set(every))
    assert "gelu" in names["gelu"]
    assert "binarycrossentropywithlogits" in names["bce_logits"]
    assert "softmaxcrossentropy" in names["soft_cross_entropy"]
    assert "l1" in names["absolute"]


def test_that_most_functions_have_a_sample_with_a_proved_result() -> None:
    functions = [one() for kind in (Activation, ErrorFunction) for one in kind.catalogue.values()]
    without = {one.name for one in functions if one.name not in NO_DEFAULTS and not list(samples(type(one)()))}
    assert without <= {"generalized_dice", "ntxent"}


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module with functions and a class named after one function, and one that returns another result each time."""
    made = ModuleType("planted")
    counts: list[int] = []

    class HuberLoss:
        def __init__(self, delta: float = 2.0, inplace: Any = None) -> None:
            self.delta = delta

        def __call__(self, x: Any, t: Any) -> Any:
            return x * self.delta

    def random(x: Any, t: Any) -> Any:
        counts.append(1)
        return x * len(counts)

    def overwriting(x: Any, t: Any) -> Any:
        x += 1
        return x

    functions = {"HuberLoss": HuberLoss, "huber_loss_": random, "huber": random, "huber_loss": overwriting}
    for name, function in functions.items():
        setattr(made, name, function)
    made._huber = random  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "planted", made)
    return made


@pytest.mark.usefixtures("module")
def test_that_functions_and_classes_are_called_on_new_operands_and_random_ones_are_left_out() -> None:
    where = EntryPoints(("planted",))
    found = evaluate_entry_points(where, ["huber"], lambda: {"x": np.ones(2), "t": np.ones(2)}, np.asarray)
    results = {entry.name: (entry.call, entry.options, x if isinstance(x, str) else x.tolist()) for entry, x in found}
    assert results == {
        "planted.HuberLoss": ("planted.HuberLoss()(x, t)", "delta=2.0", [2.0, 2.0]),
        "planted.huber": ("planted.huber(x, t)", "", "it is random"),
        "planted.huber_loss": ("planted.huber_loss(x, t)", "", [2.0, 2.0]),
    }


def test_that_a_function_that_needs_an_argument_has_a_reason() -> None:
    where = EntryPoints(("math",), {"math.ldexp": "math.ldexp(x)"})
    ((entry, reason),) = evaluate_entry_points(where, ["ldexp"], lambda: {"x": 1.0}, np.asarray)
    assert entry.name == "math.ldexp"
    assert "TypeError" in str(reason)


def test_that_names_are_compared_without_case_underscores_and_loss() -> None:
    assert {plain_name(name) for name in ("HuberLoss", "huber_loss", "huber")} == {"huber"}
    assert plain_name("loss") == "loss"


def test_that_default_options_come_from_the_signature_or_the_first_line_of_the_documentation() -> None:
    def f(x: Any, dim: Any = None, alpha: float = 1.0, out: Any = None) -> Any:
        """Nothing."""

    class Builtin:
        """gelu(input, approximate = 'none') -> Tensor"""

        __signature__ = "no signature"

        def __call__(self) -> None:
            """Do nothing."""

    assert options(f) == "dim=None, alpha=1.0"
    assert options(Builtin()) == "approximate='none'"


def test_that_samples_are_of_the_definition() -> None:
    (sample,) = samples(Activation.named("elu"))
    assert sample.exact == pytest.approx(np.where(sample.x > 0, sample.x, np.expm1(sample.x)))
    assert dataclasses.replace(sample, exact=sample.exact + 1).deviation(sample.exact) is not None
