"""Forward mode, second derivatives and the message of a failure."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradagree import assert_grads
from gradagree.api import Disagreement

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
jnp = jax.numpy
X, W = np.linspace(-1, 1, 6).reshape(2, 3), np.linspace(-0.7, 0.9, 12).reshape(3, 4)
MODES = ("reverse", "forward")


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_that_right_derivatives_agree_in_all_modes_and_orders(framework: str, dtype: str) -> None:
    if framework == "torch":
        args = [torch.tensor(x).to(getattr(torch, dtype)) for x in (X, W)]
        report = assert_grads(lambda x, w: torch.tanh(x @ w) * 2, args, modes=MODES, order=2)
    else:
        with jax.enable_x64(dtype == "float64"):
            args = [jnp.asarray(x, dtype) for x in (X, W)]
            report = assert_grads(lambda x, w: jnp.tanh(x @ w) * 2, args, modes=MODES, order=2)
    assert not report.failures
    assert {(record.mode, record.order) for record in report.records} == {(m, k) for m in MODES for k in (1, 2)}


SECOND = {
    "maximum": lambda x: x.amax(-1) * x.relu().sum(-1) ** 2,
    "branches": lambda x: torch.where(x > 0, x**2, x.exp()),
    "sorted": lambda x: torch.sort(x, -1)[0] ** 2,
    "clipped": lambda x: x.clamp(-0.5, 0.5) ** 2,
    "normalised": lambda x: torch.nn.functional.layer_norm(x, (3,)),
    "gathered": lambda x: x[torch.tensor([0, 0, 1])] ** 2,
}


@pytest.mark.parametrize("name", SECOND)
def test_that_second_derivatives_of_functions_with_conditions_agree(name: str) -> None:
    assert assert_grads(SECOND[name], [torch.tensor(X)], order=2).verdict.value == "agree"


class OnlyFirst(torch.autograd.Function):  # type: ignore[misc]
    """tanh whose gradient is right, but whose derivative is lost."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return torch.tanh(x)

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return g * (1 - torch.tanh(ctx.saved_tensors[0].detach()) ** 2)


def test_that_a_lost_second_derivative_is_found_by_order_2_only() -> None:
    x = torch.linspace(-1, 1, 5)
    assert assert_grads(OnlyFirst.apply, [x]).verdict.value == "agree"
    with pytest.raises(Disagreement) as caught:
        assert_grads(OnlyFirst.apply, [x], order=2)
    assert [record.label for record in caught.value.report.failures] == ["second derivative, gradient of args[0]"]


@jax.custom_jvp
def wrong_tangent(x: Any) -> Any:
    return jnp.sin(x)


wrong_tangent.defjvp(lambda primals, tangents: (jnp.sin(primals[0]), jnp.cos(primals[0]) * tangents[0] * 1.001))


def test_that_a_wrong_tangent_is_found_in_forward_mode_alone() -> None:
    with pytest.raises(Disagreement) as caught:
        assert_grads(wrong_tangent, [jnp.linspace(-1, 1, 5)], modes="forward", reference=np.sin)
    labels = [(record.label, record.mode) for record in caught.value.report.failures]
    assert labels == [("tangent of output", "forward")]


class Raises(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(_: Any, x: Any) -> Any:
        return torch.tanh(x)

    @staticmethod
    def backward(_: Any, g: Any) -> Any:
        raise RuntimeError(f"no kernel for {g.dtype}")


def test_that_a_backward_pass_that_raises_has_crashed() -> None:
    with pytest.raises(Disagreement, match=r"crashed\n  RuntimeError: no kernel for torch\.float32"):
        assert_grads(Raises.apply, [torch.ones(3)])


@jax.custom_vjp
def only_reverse(x: Any) -> Any:
    return jnp.sin(x)


only_reverse.defvjp(lambda x: (jnp.sin(x), x), lambda x, g: (g * jnp.cos(x),))


@pytest.mark.parametrize("function", [OnlyFirst.apply, only_reverse], ids=["torch", "jax"])
def test_that_a_function_without_a_forward_mode_is_unsupported_there(function: Any) -> None:
    x = torch.ones(3) if function is not only_reverse else jnp.ones(3)
    report = assert_grads(function, [x], modes=MODES)
    assert [r.verdict.value for r in report.records] == ["agree", "agree", "unsupported"]
    assert "jvp" in report.records[-1].reason


def test_that_the_message_shows_the_worst_entry_first() -> None:
    class Wrong(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, x: Any, y: Any) -> Any:
            ctx.save_for_backward(x, y)
            return x * y

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            x, y = ctx.saved_tensors
            wrong = g * x
            wrong[1] *= 3
            return g * y, wrong

    with pytest.raises(Disagreement) as caught:
        assert_grads(Wrong.apply, [torch.ones(3), torch.ones(3)], cotangents=np.ones(3), msg="product of two")
    lines = str(caught.value).splitlines()
    assert lines[:3] == [
        "product of two",
        "Wrong.apply: gradient of args[1] (torch float32): disagree",
        "  worst entry: gradient of args[1] (y) at [1]",
    ]
    assert lines[3].split()[:2] == ["expected", "1"]
    assert lines[4].split() == ["observed", "3"]
    assert lines[5].startswith("  tolerance ")
