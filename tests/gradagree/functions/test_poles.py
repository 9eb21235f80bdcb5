"""Functions at and between their poles, and tolerances that are as small as the program's own errors allow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import special

from gradagree.arithmetic.ball import Ball
from gradagree.arithmetic.model import FORMATS, model
from gradagree.arithmetic.rounded import Rounded
from gradagree.checker.verdict import Verdict
from gradagree.functions.assertions import check_function
from gradagree.functions.records import GradientRecord

torch = pytest.importorskip("torch")

BETWEEN_POLES = np.array([-0.5, -1.25, -2.453125, -3.875, -7.5, -9.9375])


def gradient(function: Any, x: Any, reference: Any = None) -> GradientRecord:
    records = check_function(function, [x.requires_grad_()], reference=reference, layouts=False, repeat=1).records
    return next(record for record in records if record.quantity == "gradient")


class Scaled(torch.autograd.Function):  # type: ignore[misc]
    """A function whose gradient is multiplied by a factor."""

    @staticmethod
    def forward(context: Any, x: Any, function: Any, factor: float) -> Any:
        context.factor, context.function = factor, function
        context.save_for_backward(x)
        return function(x)

    @staticmethod
    def backward(context: Any, g: Any) -> Any:
        (x,) = context.saved_tensors
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            (found,) = torch.autograd.grad(context.function(leaf), leaf, g)
        return context.factor * found, None, None


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize(
    "f", [special.digamma, special.gammaln, lambda x: special.zeta(2.0, x), lambda x: special.zeta(3.0, x)],
    ids=["digamma", "gammaln", "zeta 2", "zeta 3"],
)  # fmt: skip
def test_that_radii_between_poles_enclose_the_function_of_every_argument_within(f: Any, dtype: str) -> None:
    inside = model(dtype)
    radius = 2.0**-6 * np.ones(BETWEEN_POLES.shape)
    found = f(Rounded(BETWEEN_POLES, radius, inside))
    assert np.all(np.isfinite(found.radius))
    for share in np.linspace(-1, 1, 9):
        exact = f(Ball.exact(BETWEEN_POLES + share * radius))
        assert np.all(np.abs(exact.middle - found.value) <= found.radius)


@pytest.mark.parametrize("f", [special.digamma, special.gammaln, lambda x: special.zeta(2.0, x)])
def test_that_nothing_is_known_where_a_pole_lies_within_the_radius(f: Any) -> None:
    with np.errstate(all="ignore"):
        found = f(Rounded(np.array([-1.01, -3.0, 0.0]), np.array([0.02, 0.0, 0.01]), model("float32")))
    assert np.all(np.isnan(found.radius))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_that_gradients_of_gamma_functions_between_poles_are_judged(dtype: str) -> None:
    x = torch.as_tensor(BETWEEN_POLES).to(getattr(torch, dtype))
    for function in (torch.lgamma, torch.digamma):
        assert gradient(function, x.clone()).verdict is Verdict.AGREE
        wrong = gradient(lambda x, f=function: Scaled.apply(x, f, 1.1), x.clone(), reference=None)
        assert wrong.verdict.fails, wrong


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
def test_that_an_infinite_gradient_at_a_pole_leaves_the_other_entries_judged(dtype: str) -> None:
    x = torch.tensor([-1.0, -0.75, 0.125, 0.5, 1.0], dtype=getattr(torch, dtype))
    assert gradient(torch.asin, x.clone()).verdict is Verdict.AGREE
    assert gradient(lambda x: Scaled.apply(x, torch.asin, 1.25), x.clone()).verdict.fails


def test_that_nothing_but_infinities_is_undecided() -> None:
    assert gradient(torch.asin, torch.tensor([-1.0, 1.0])).verdict is Verdict.UNDECIDED


def test_that_the_gradient_nan_is_undecided_even_where_it_is_expected() -> None:
    x = torch.tensor([0.0, 1.0, 2.0, 3.0])
    found = gradient(lambda x: torch.sqrt(x) * x / x, x)
    assert found.verdict is Verdict.UNDECIDED


@pytest.mark.parametrize("name", ["cosh", "sinh", "erfc", "erfinv", "lgamma", "digamma"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_that_steep_functions_in_16_bits_have_errors_of_their_results_only(name: str, dtype: str) -> None:
    x = torch.tensor([0.25, 0.5, 0.75], dtype=getattr(torch, dtype)) * (8 if name in ("cosh", "sinh") else 1)
    found = check_function(getattr(torch, name), [x.requires_grad_()]).records[0]
    assert found.quantity == "value"
    assert found.sharpness <= 2 * FORMATS[dtype].u


def test_that_an_error_between_the_probabilistic_and_the_worst_case_tolerance_is_suspect() -> None:
    rng = np.random.default_rng(3)
    w = torch.as_tensor(rng.standard_normal((128, 1))).float()

    def product(x: Any) -> Any:
        return x @ w

    x = torch.as_tensor(rng.standard_normal((4, 128))).float()
    assert gradient(product, x.clone()).verdict is Verdict.AGREE
    record = check_function(lambda x: product(x) * (1 + 6e-6), [x], reference=lambda x: x @ w.numpy()).records[0]
    assert record.verdict is Verdict.SUSPECT


def test_that_a_function_which_is_nan_has_no_derivative_there() -> None:
    """The formula gives -inf for a vector of zeros, PyTorch NaN; neither is a number."""
    x = torch.tensor([[1.0, 2.0], [0.0, 0.0]])
    found = gradient(lambda x: x / x.norm(dim=-1, keepdim=True), x)
    assert (found.verdict, found.reason) == (Verdict.UNDECIDED, "an output is NaN and has no derivative there")


def test_that_nan_on_both_sides_is_undecided_with_its_number_of_entries() -> None:
    found = gradient(
        lambda x: torch.where(x > 0, torch.sqrt(x), torch.zeros_like(x)), torch.tensor([2.0, -3.0, 0.0, 0.5])
    )
    assert found.verdict is Verdict.UNDECIDED
    assert found.reason == "the reference is NaN in 2 of 4 entries, and so is the result"


def test_that_the_value_of_a_power_is_that_of_the_library() -> None:
    """The exponential of a rounded product of a logarithm is off by many units in the last place."""
    generator = np.random.default_rng(7)
    x, y = generator.uniform(0.05, 0.3, 400), generator.uniform(-9, -6, 400)
    inside = model("float64")
    found = np.power(Rounded.stored(x, inside), Rounded.stored(y, inside))
    np.testing.assert_array_equal(found.value, np.power(x, y))
    assert np.all(np.abs(np.exp(y * np.log(x)) - found.value) <= found.radius)
