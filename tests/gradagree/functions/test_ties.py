"""At a tie each entry may have any share of the gradient, but the shares of equal entries add up."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from gradagree.functions.assertions import check_function
from gradagree.reference.operations.primitive import between, one_choice

TIED = [[1.0, 1.0, 2.0, 3.0, 5.0, 4.0, 6.0, 7.0, 9.0, 8.0, 0.0, -1.0]]
OTHER = [[1.0, 0.5, 2.0, -3.0, 5.0, 4.5, 6.0, 7.5, 9.0, 8.5, 0.0, -2.0]]


def pooled(x):
    return torch.nn.functional.max_pool1d(x, 2)


RIGHT = {
    "pooling": (pooled, [torch.tensor(TIED)]),
    "one of the largest": (lambda x: torch.max(x, -1)[0], [torch.tensor([[1.0, 3, 3, 0], [2, 0, 1, 1]])]),
    "all the largest": (lambda x: torch.amax(x, -1), [torch.tensor([[1.0, 3, 3, 0], [2, 0, 1, 1]])]),
    "maximum": (lambda x, y: torch.tanh(torch.maximum(x, y)), [torch.tensor(TIED), torch.tensor(OTHER)]),
    "distance": (lambda x, y: torch.sin((x - y).abs()), [torch.tensor(TIED), torch.tensor(OTHER)]),
    "sorted": (lambda x: torch.sort(x, -1)[0] * torch.arange(4), [torch.tensor([[1.0, 3, 3, 0]])]),
    "rectified": (lambda x, y: torch.relu(x - y), [torch.tensor(TIED), torch.tensor(OTHER)]),
    "many in float64": (pooled, [torch.as_tensor(np.random.default_rng(1).standard_normal((40, 60)).round())]),
    "jax: largest": (lambda x: jnp.max(x, -1), [jnp.asarray([[1.0, 3, 3, 0], [2, 0, 1, 1]])]),
    "jax: minimum": (lambda x, y: jnp.tanh(jnp.minimum(x, y)), [jnp.asarray(TIED), jnp.asarray(OTHER)]),
}


@pytest.mark.parametrize(("function", "args"), RIGHT.values(), ids=RIGHT)
def test_that_every_share_at_a_tie_is_admissible(function, args):
    report = check_function(function, args)
    assert not report.failures, report


@pytest.mark.parametrize("name", ["pooling", "one of the largest", "all the largest", "jax: largest"])
def test_that_sums_that_are_right_decide_the_tied_entries(name):
    function, args = RIGHT[name]
    report = check_function(function, args, layouts=False, repeat=1)
    assert {(record.verdict.value, record.share) for record in report.records} == {("agree", 1.0)}
    assert all(record.sharpness < 1e-5 for record in report.records)


class Whole(torch.autograd.Function):
    """Pooling whose backward pass gives the whole gradient to each of the largest entries."""

    @staticmethod
    def forward(ctx, x):
        y = pooled(x)
        ctx.save_for_backward(x, y)
        return y

    @staticmethod
    def backward(ctx, g):
        x, y = ctx.saved_tensors
        return torch.where(x == y.repeat_interleave(2, -1), g.repeat_interleave(2, -1), torch.zeros_like(x))


class Neither(torch.autograd.Function):
    """The larger one of two arrays, with no gradient where they are equal."""

    @staticmethod
    def forward(ctx, x, y):
        ctx.save_for_backward(x, y)
        return torch.maximum(x, y)

    @staticmethod
    def backward(ctx, g):
        x, y = ctx.saved_tensors
        return g * (x > y), g * (y > x)


@jax.custom_vjp
def largest(x):
    return jnp.max(x, -1)


largest.defvjp(
    lambda x: (jnp.max(x, -1), x), lambda x, g: (g[..., None] * (x == jnp.max(x, -1, keepdims=True)).astype(x.dtype),)
)

WRONG = {
    "whole": (Whole.apply, [torch.tensor(TIED)]),
    "whole in bfloat16": (Whole.apply, [torch.tensor(TIED).bfloat16()]),
    "neither": (Neither.apply, [torch.tensor(TIED), torch.tensor(OTHER)]),
    "jax": (largest, [jnp.asarray([[1.0, 3, 3, 0], [2, 0, 1, 1]])]),
}


@pytest.mark.parametrize(("function", "args"), WRONG.values(), ids=WRONG)
def test_that_shares_that_do_not_add_up_are_found(function, args):
    report = check_function(function, args)
    assert report.verdict.value == "disagree"
    assert report.failures[0].reason.startswith("at a tie each entry may have any share of the gradient, but")
    assert "reverse order" not in report.failures[0].reason
    assert report.failures[0].entry is None


def test_that_a_choice_is_one_end_of_what_is_admissible():
    where, x, y = np.array([True, False]), np.array([0.0, 3.0]), np.array([1.0, 9.0])
    with one_choice(0):
        assert between(where, x, y).tolist() == [0.0, 3.0]
    with one_choice(1):
        assert between(where, x, y).tolist() == [1.0, 3.0]
    assert between(where, x, y).tolist() == [0.5, 3.0]
