"""Programs that convert their numbers to narrower formats: the conversions round, and so do the sections after them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from jax import lax

from gradagree import assert_grads
from gradagree.arithmetic.model import FORMATS, converted, model
from gradagree.arithmetic.rounded import Rounded
from gradagree.arithmetic.rounding import round_to_format
from gradagree.errors import UsageError
from gradagree.functions.assertions import check_function
from gradagree.reference.operations.casts import cast

RNG = np.random.default_rng(3)
X = RNG.standard_normal((5, 16)).astype(np.float32)
W = RNG.standard_normal((16, 16)).astype(np.float32)


def explicit(x, w):
    return torch.nn.functional.gelu(x.bfloat16() @ w.bfloat16()).float() * 1.5


def autocast(x, w):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return torch.tanh(torch.nn.functional.linear(x, w)).sum(-1)


def promoted(x, w):
    return torch.softmax(x.half(), -1) * x @ w


def scaled(x, w):
    return (x.bfloat16() * w.sum().tanh()).to(w.dtype) @ w


def through_half(x, w):
    return torch.sin(x.half().bfloat16().to(w.dtype) @ w)


TORCH = (explicit, autocast, promoted, scaled, through_half)


@pytest.mark.parametrize(("function", "dtype"), [
    *((function, torch.float32) for function in TORCH),
    *((function, torch.float64) for function in TORCH if function is not autocast),  # which leaves float64 as it is
])  # fmt: skip
def test_that_conversions_of_torch_are_no_errors(function, dtype):
    assert_grads(function, [torch.tensor(X, dtype=dtype), torch.tensor(W, dtype=dtype)])


def narrow_product(x, w):
    return jax.nn.gelu(x.astype(jnp.bfloat16) @ w.astype(jnp.bfloat16)).astype(jnp.float32)


def wide_accumulator(x, w):
    return jnp.tanh(jnp.dot(x.astype(jnp.bfloat16), w.astype(jnp.bfloat16), preferred_element_type=jnp.float32))


def reduced(x, w):
    return jnp.sin(lax.reduce_precision(x, 5, 10)) @ w


@pytest.mark.parametrize("function", [narrow_product, wide_accumulator, reduced])
def test_that_conversions_of_jax_are_no_errors(function):
    assert_grads(function, [jnp.asarray(X), jnp.asarray(W)])


@pytest.mark.parametrize("modes", ["reverse", "forward"])
def test_that_derivatives_in_both_modes_are_rounded(modes):
    assert_grads(explicit, [torch.tensor(X), torch.tensor(W)], modes=[modes])


def test_that_second_derivatives_are_rounded():
    assert_grads(lambda x: torch.sin(x.bfloat16()).float() * x, [torch.tensor(X)], order=2)


class NarrowProduct(torch.autograd.Function):
    """A product in bfloat16 of float32 numbers; `factor` is 1 where the backward pass is right."""

    factor = 1.0

    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return (x.bfloat16() @ w.bfloat16()).float()

    @staticmethod
    def backward(ctx, g):
        x, w = (t.bfloat16() for t in ctx.saved_tensors)
        g = g.bfloat16()
        return (g @ w.T).float(), (x.T @ g).float() * NarrowProduct.factor


@pytest.mark.parametrize(("factor", "verdict"), [(1.0, "agree"), (0.9, "disagree")])
def test_that_a_wrong_backward_pass_in_another_format_is_found(factor, verdict, monkeypatch):
    monkeypatch.setattr(NarrowProduct, "factor", factor)
    report = check_function(NarrowProduct.apply, [torch.tensor(X), torch.tensor(W)])
    assert report.verdict.value == verdict


def test_that_a_forward_pass_in_another_format_differs_from_a_plain_reference():
    report = check_function(NarrowProduct.apply, [torch.tensor(X), torch.tensor(W)], reference=lambda x, w: x @ w)
    assert report.verdict.value == "value-differs"


def test_that_wide_intermediates_admit_the_conversions_of_the_program():
    def function(x, w):
        p = torch.softmax(x.float(), -1).to(x.dtype)  # rounded, as the program says
        return (p.float() @ w.float()).to(x.dtype)

    args = [torch.tensor(X).bfloat16(), torch.tensor(W).bfloat16()]
    assert_grads(function, args, arithmetic="wide")


@pytest.mark.parametrize("to", ["float32", "float16", "bfloat16"])
def test_that_a_conversion_is_enclosed(to):
    x = RNG.standard_normal(1000)
    y = cast(Rounded.stored(x, model("float64")), to=to, source="float64")
    error = np.abs(round_to_format(x, FORMATS[to]) - y.value)
    assert np.all(error <= y.radius)
    assert np.any(error > 0.9 * y.radius)


def test_that_a_section_ends_where_numbers_return_to_the_format_of_the_program():
    home = model("float32")
    section = converted(home, "bfloat16")
    assert section.format.name == "bfloat16"
    assert converted(section, "float32") == home
    assert converted(section, "float64") == home
    assert converted(model("bfloat16"), "float32") == model("bfloat16")


def test_that_a_format_without_a_model_is_refused():
    with pytest.raises(UsageError, match="converts numbers to float8_e4m3fn, which has no rounding model"):
        assert_grads(lambda x: x.to(torch.float8_e4m3fn).float(), [torch.tensor(X)])
