"""The drop-in replacements beside the originals: the same answers in float64, and answers where those have none."""

from __future__ import annotations

import functools
import inspect
import warnings
from typing import Any

import pytest

torch = pytest.importorskip("torch")


class Scaled(torch.autograd.Function):  # type: ignore[misc]
    """sin(x) w, whose gradient with respect to x is off by a factor."""

    factor = 1.0

    @classmethod
    def forward(cls, ctx: Any, x: Any, w: Any) -> Any:
        ctx.save_for_backward(x, w)
        return x.sin() * w

    @classmethod
    def backward(cls, ctx: Any, g: Any) -> Any:
        x, w = ctx.saved_tensors
        return g * x.cos() * w * cls.factor, g * x.sin()


class Off(Scaled):
    factor = 1.1


def products(x: Any, w: Any) -> Any:
    return torch.tanh(x @ w.T), x.sum(0)


def in_place(x: Any, w: Any) -> Any:
    y = x.clone()
    y[0] *= 2
    return y.mul_(w)


RIGHT = {
    "own function": Scaled.apply, "several outputs": products, "in place": in_place,
    "views": lambda x, w: x.t().reshape(-1)[::2] * w[0, 0], "used twice": lambda x, w: x * x + x * w,
    "normalised": lambda x, w: torch.nn.functional.layer_norm(x, (5,), w[0]),
    "softmax": lambda x, w: torch.softmax(x, -1) * w, "indexed": lambda x, w: x[[0, 1, 0]] + w[:1],
    "where": lambda x, w: torch.where(x > 0, x * w, -x), "sorted": lambda x, w: torch.sort(x, dim=0)[0] * w,
    "loss": lambda x, w: torch.nn.functional.mse_loss(x, w), "maximum": lambda x, w: torch.maximum(x, w).amax(0),
}  # fmt: skip


def arguments(dtype: Any = torch.float64) -> tuple[Any, Any]:
    made = torch.Generator().manual_seed(4)
    return tuple(torch.randn(4, 5, generator=made).to(dtype).requires_grad_() for _ in range(2))


@pytest.mark.parametrize("name", RIGHT)
def test_that_right_functions_pass_as_with_the_original(name: str) -> None:
    from gradagree.torch import gradcheck

    assert torch.autograd.gradcheck(RIGHT[name], arguments())
    for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
        assert gradcheck(RIGHT[name], arguments(dtype))


@pytest.mark.parametrize("name", RIGHT)
def test_that_second_derivatives_pass_as_with_the_original(name: str) -> None:
    from gradagree.torch import gradgradcheck

    assert torch.autograd.gradgradcheck(RIGHT[name], arguments())
    assert gradgradcheck(RIGHT[name], arguments())


def test_that_a_wrong_gradient_fails_with_the_originals_error() -> None:
    from torch.autograd.gradcheck import GradcheckError

    from gradagree.torch import gradcheck

    with pytest.raises(GradcheckError):
        torch.autograd.gradcheck(Off.apply, arguments())
    for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
        with pytest.raises(GradcheckError, match=r"gradient of args\[0\]"):
            gradcheck(Off.apply, arguments(dtype))
        assert gradcheck(Off.apply, arguments(dtype), raise_exception=False) is False


class WithoutBatches(torch.autograd.Function):  # type: ignore[misc]
    """A backward pass that reads numbers, which a batched one cannot."""

    @staticmethod
    def forward(_: Any, x: Any) -> Any:
        return x.clone()

    @staticmethod
    def backward(_: Any, g: Any) -> Any:
        return g * (1.0 if g.flatten()[0].item() == g.flatten()[0].item() else 2.0)


class NoUndefined(torch.autograd.Function):  # type: ignore[misc]
    """A backward pass that gives ones for an undefined gradient."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x)
        return x.clone()

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (x,) = ctx.saved_tensors
        return torch.ones_like(x) if g is None else g


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("function", "option"),
    [(WithoutBatches.apply, "check_batched_grad"), (NoUndefined.apply, "check_undefined_grad")],
)
def test_that_options_do_what_they_say(function: Any, option: str) -> None:
    from gradagree.torch import gradcheck

    x = arguments()[0]
    for check in (torch.autograd.gradcheck, gradcheck):
        assert check(function, x, **{option: False})
        assert check(function, x, **{option: True}, raise_exception=False) is False


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_that_forward_mode_is_checked_where_wanted() -> None:
    from gradagree.torch import gradcheck

    for check in (torch.autograd.gradcheck, gradcheck):
        assert check(torch.tanh, arguments()[0], check_forward_ad=True, check_batched_forward_grad=True)
        with pytest.raises((ValueError, AssertionError), match="check_forward_ad"):
            check(torch.tanh, arguments()[0], check_batched_forward_grad=True)
        with pytest.raises(ValueError, match="at least one"):
            check(torch.tanh, arguments()[0].detach())


def test_that_unused_numbers_are_reported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    import gradagree.torch

    monkeypatch.setattr(gradagree.torch, "_warned", set())
    with pytest.warns(UserWarning, match="^atol: not used; gradagree computes the tolerance from the dtype$"):
        gradagree.torch.gradcheck(torch.tanh, arguments()[0], atol=1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gradagree.torch.gradcheck(torch.tanh, arguments()[0], atol=1.0)


def test_that_the_signatures_are_those_of_the_originals() -> None:
    import gradagree.torch

    for name in ("gradcheck", "gradgradcheck"):
        ours, original = (
            {p.name: (p.kind, p.default) for p in inspect.signature(getattr(module, name)).parameters.values()}
            for module in (gradagree.torch, torch.autograd)
        )
        assert ours == original


def test_that_jax_functions_are_checked_to_any_order() -> None:
    jax = pytest.importorskip("jax")
    import jax.test_util as originals

    import gradagree.jax as ours

    def function(p: Any, x: Any) -> Any:
        return jax.numpy.tanh(x @ p["w"]).sum(0)

    args = ({"w": jax.numpy.ones((3, 2)) * 0.3}, jax.numpy.arange(6.0).reshape(2, 3) / 7)
    ours.check_grads(function, args, 3)
    ours.check_vjp(function, functools.partial(jax.vjp, function), args)
    ours.check_jvp(function, functools.partial(jax.jvp, function), args)

    @jax.custom_jvp
    def wrong(x: Any) -> Any:
        return jax.numpy.sin(x)

    wrong.defjvp(lambda x, t: (wrong(*x), jax.numpy.cos(x[0]) * t[0] * 1.1))
    for dtype in ("float32", "bfloat16"):
        x = jax.numpy.linspace(-1, 1, 7, dtype=dtype)
        for mode in ("fwd", "rev"):
            with pytest.raises(AssertionError, match="disagree"):
                ours.check_grads(wrong, (x,), 1, modes=mode)
    with pytest.raises(AssertionError):
        ours.check_jvp(wrong, lambda x, t: jax.jvp(wrong, x, t), (jax.numpy.linspace(-1, 1, 7),))
    for name in ("check_grads", "check_vjp", "check_jvp"):
        pairs = (inspect.signature(getattr(module, name)).parameters for module in (ours, originals))
        one, other = ([(p.name, p.kind) for p in parameters.values()] for parameters in pairs)
        assert one == other
