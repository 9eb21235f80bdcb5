"""Any function against a plain reference, or its own forward pass."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import special

from gradagree.errors import UsageError
from gradagree.functions.assertions import assert_grads

torch = pytest.importorskip("torch")
DTYPES = ("float64", "float32", "float16", "bfloat16")


class SwiGLU(torch.autograd.Function):  # type: ignore[misc]
    """silu(x @ wg) * (x @ wu) with a backward pass of its own."""

    missing_term = False

    @classmethod
    def forward(cls, ctx: Any, x: Any, wg: Any, wu: Any) -> Any:
        ctx.save_for_backward(x, wg, wu)
        return torch.nn.functional.silu(x @ wg) * (x @ wu)

    @classmethod
    def backward(cls, ctx: Any, g: Any) -> Any:
        x, wg, wu = ctx.saved_tensors
        a = x @ wg
        s = torch.sigmoid(a)
        by_a = g * (x @ wu) * (s + (a * s if cls.missing_term else a * s * (1 - s)))
        by_b = g * a * s
        return by_a @ wg.T + by_b @ wu.T, x.T @ by_a, x.T @ by_b


class WithoutTerm(SwiGLU):
    missing_term = True


def swiglu(x: Any, wg: Any, wu: Any) -> Any:
    a = x @ wg
    return a * special.expit(a) * (x @ wu)


def arguments(dtype: str) -> list[Any]:
    made = torch.Generator().manual_seed(1)
    draw = lambda *shape: torch.randn(*shape, generator=made).to(getattr(torch, dtype))  # noqa: E731
    return [draw(8, 16), draw(16, 12) * 0.3, draw(16, 12) * 0.3]


@pytest.mark.parametrize("reference", [swiglu, None], ids=["reference", "own forward pass"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_that_a_right_backward_pass_agrees(dtype: str, reference: Any) -> None:
    report = assert_grads(SwiGLU.apply, arguments(dtype), reference=reference)
    assert report.verdict.value == "agree"
    assert {r.name for r in report.records} == {"output", "args[0]", "args[1]", "args[2]"}


@pytest.mark.parametrize("reference", [swiglu, None], ids=["reference", "own forward pass"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_that_a_missing_term_is_found_in_the_right_arguments(dtype: str, reference: Any) -> None:
    with pytest.raises(AssertionError) as caught:
        assert_grads(WithoutTerm.apply, arguments(dtype), reference=reference)
    assert {record.name for record in caught.value.report.failures} == {"args[0]", "args[1]"}  # type: ignore[attr-defined]


def test_that_another_function_differs_in_value() -> None:
    with pytest.raises(AssertionError, match="value-differs"):
        assert_grads(torch.tanh, [torch.ones(3)], reference=special.expit)


def test_that_a_gradient_of_zeros_never_agrees() -> None:
    class Zeros(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(_: Any, x: Any) -> Any:
            return torch.tanh(x)

        @staticmethod
        def backward(_: Any, g: Any) -> Any:
            return torch.zeros_like(g)

    for dtype in DTYPES:
        with pytest.raises(AssertionError, match="disagree"):
            assert_grads(Zeros.apply, [torch.linspace(-1, 1, 7).to(getattr(torch, dtype))], reference=np.tanh)


def test_that_an_infinite_input_is_refused() -> None:
    with pytest.raises(UsageError, match=r"args\[0\] holds NaN or infinity; give finite numbers"):
        assert_grads(torch.tanh, [torch.tensor([1.0, torch.inf])], reference=np.tanh)


def test_that_jax_functions_with_loops_and_scatters_are_checked() -> None:
    jax = pytest.importorskip("jax")
    jnp = jax.numpy

    def function(x: Any, w: Any) -> Any:
        y = jax.nn.softmax(jnp.tanh(x) @ w)
        y = y.at[jnp.array([1, 1])].add(2.0)
        c, ys = jax.lax.scan(lambda c, a: (c + a, c * a), jnp.zeros(3, y.dtype), y)
        z = jax.lax.cond(c.sum() > 0, lambda v: v * 2, lambda v: v, c)
        return jax.nn.gelu(ys).sum() + jax.checkpoint(jnp.sin)(z).sum() + jax.lax.top_k(z, 2)[0].sum()

    @jax.custom_vjp
    def wrong(x: Any, w: Any) -> Any:
        return function(x, w)

    wrong.defvjp(lambda x, w: jax.vjp(function, x, w), lambda vjp, g: (vjp(g)[0], vjp(2 * g)[1]))
    rng = np.random.default_rng(3)
    args = [jnp.asarray(rng.standard_normal(shape), "float32") for shape in ((4, 2), (2, 3))]
    assert assert_grads(function, args).verdict.value == "agree"
    with pytest.raises(AssertionError) as caught:
        assert_grads(wrong, args)
    assert [record.label for record in caught.value.report.failures] == ["gradient of args[1]"]  # type: ignore[attr-defined]
