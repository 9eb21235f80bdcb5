"""Where a framework computes another function of the catalogue, the record names it; else it names none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gradagree import Activation, Case, ErrorFunction
from gradagree.cases.case import Arrays
from gradagree.checker.explain import neighbours
from gradagree.checker.verdict import Record, Verdict

ACTIVATIONS = [
    ("gelu", "gelu_tanh"),
    ("gelu_tanh", "gelu"),
    ("leaky_relu", "leaky_relu(negative_slope=0.2)"),
    ("elu(alpha=2.0)", "elu"),
    ("softplus(beta=2.0)", "softplus"),
]
ERRORS = [
    ("mse", "sse"),
    ("sse", "mse"),
    ("huber", "huber(delta=2.0)"),
    ("smooth_l1", "smooth_l1(reduction=sum)"),
    ("poisson_nll", "poisson_nll(full=True)"),
    ("cross_entropy", "cross_entropy(label_smoothing=0.1)"),
    ("triplet_margin", "triplet_margin(swap=True)"),
]
each_dtype = pytest.mark.parametrize("dtype", ["f64", "f32"])


def with_large_numbers(case: Case) -> Case:
    """Inputs up to 40, on both sides of softplus's threshold."""
    x = case.arrays()
    return Case.of(case, Arrays(x.weights, x.biases, x.inputs * 16, x.targets))


def record_of(bench: Any, case: Case, lies: dict[Any, Callable[..., Any]]) -> Record:
    record = bench.judged(case, bench.answer(case, lies))
    assert record.verdict is Verdict.VALUE_DIFFERS
    return record  # type: ignore[no-any-return]


@each_dtype
@pytest.mark.parametrize(("asked", "computed"), ACTIVATIONS)
def test_that_an_activation_of_the_catalogue_is_named(bench: Any, asked: str, computed: str, dtype: str) -> None:
    activation, other = Activation.named(asked), Activation.named(computed)
    case = with_large_numbers(Case.parse(f"4-4:{asked}:sse:n64:{dtype}:ordinary:s1"))
    lie = {(1, "value"): lambda right, at: other.value(at.p)}
    record = record_of(bench, case, lie)
    assert record.reason.startswith(f"{activation}: the value is that of ")
    assert str(other) in record.reason


@each_dtype
@pytest.mark.parametrize(("asked", "computed"), ERRORS)
def test_that_an_error_function_of_the_catalogue_is_named(bench: Any, asked: str, computed: str, dtype: str) -> None:
    error, other = ErrorFunction.named(asked), ErrorFunction.named(computed)
    case = Case.parse(f"3-6:id:{asked}:n4:{dtype}:ordinary:s1")
    record = record_of(bench, case, {("error", "E"): lambda right, at: other.value(at.p, at.t)})
    assert str(other) in record.reason
    assert record.reason.startswith(f"{error}: the value is that of ")


@each_dtype
@pytest.mark.parametrize("change", [lambda a: a + 1, lambda a: -a, lambda a: a * (1 + 2.0**-10)])
def test_that_no_function_is_named_where_none_gives_all_entries(bench: Any, change: Any, dtype: str) -> None:
    case = Case.parse(f"4-4:tanh:sse:n8:{dtype}:ordinary:s1")
    assert record_of(bench, case, {(1, "value"): lambda right, at: change(right)}).reason == ""


def test_that_a_function_that_gives_most_entries_is_not_named(bench: Any) -> None:
    case = Case.parse("4-4:gelu:sse:n8:f64:ordinary:s1")
    tanh_form = Activation.named("gelu_tanh")

    def most(right: np.ndarray, at: Any) -> np.ndarray:
        return np.where(np.arange(right.size).reshape(right.shape) > 0, tanh_form.value(at.p), right)

    assert record_of(bench, case, {(1, "value"): most}).reason == ""


@pytest.mark.parametrize(
    ("times", "told"),
    [
        (1 / 4, "sse: the value is 1/4 of what it should be, and there are 4 examples: a mean is taken for a sum"),
        (5.0, "sse: the value is 5 times what it should be, and there are 5 outputs: a sum is taken for a mean"),
        (7.0, ""),
    ],
)
def test_that_a_mean_over_other_axes_is_named(bench: Any, times: float, told: str) -> None:
    case = Case.parse("3-5:id:sse:n4:f64:ordinary:s1")
    assert record_of(bench, case, {("error", "E"): lambda right, at: right * times}).reason == told


def test_that_half_and_twice_are_named(bench: Any) -> None:
    case = Case.parse("3-5:id:log_cosh:n4:f64:ordinary:s1")
    assert record_of(bench, case, {("error", "E"): lambda right, at: right / 2}).reason == (
        "log_cosh: the value is 1/2 of what it should be"
    )


def test_that_neighbours_have_one_parameter_changed_or_are_another_function() -> None:
    function = ErrorFunction.named("kl_div")
    found = list(neighbours(function))
    assert function not in found
    assert {replace(function, reduction=way) for way in ("mean", "sum", "none")} & set(found)
    assert {type(other).name for other in found} == set(ErrorFunction.catalogue)


def test_that_a_threshold_is_named_in_float64_which_shows_it(bench: Any) -> None:
    case = with_large_numbers(Case.parse("4-4:softplus:sse:n64:f64:ordinary:s1"))
    other = Activation.named("softplus_threshold")
    record = record_of(bench, case, {(1, "value"): lambda right, at: other.value(at.p)})
    assert record.reason == "softplus: the value is that of softplus_threshold"


def test_that_the_two_forms_of_gelu_are_distinguished_in_jax() -> None:
    jax = pytest.importorskip("jax")
    from gradagree import check
    from gradagree.api import Disagreement

    with pytest.raises(Disagreement) as caught:
        check(jax.nn.gelu, Activation.named("gelu"), frameworks="jax", modes="grad", dtypes=["float64"])
    reasons = {record.reason for record in caught.value.records if record.verdict is Verdict.VALUE_DIFFERS}
    assert reasons == {"gelu: the value is that of gelu_tanh"}
