"""Where a program stops gradients, the expected gradient has none; in a custom forward pass, nothing is stopped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gradagree.functions.assertions import assert_grads, check_function

torch = pytest.importorskip("torch")


@torch.no_grad()  # type: ignore[untyped-decorator]
def largest(x: Any) -> Any:
    return x.abs().max()


def in_block(x: Any) -> Any:
    with torch.no_grad():
        scale = x.norm()
    return x / scale


def switched(x: Any) -> Any:
    torch.set_grad_enabled(False)
    scale = x.norm()
    torch.set_grad_enabled(True)
    return x / scale


def nested(x: Any) -> Any:
    with torch.no_grad():
        with torch.enable_grad():
            y = x.sin()
        z = x.cos()
    return y * z * x


class Stretched(torch.autograd.Function):  # type: ignore[misc]
    """x sin x cos x, whose forward pass has all ways to stop a gradient, which stop none there."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        with torch.enable_grad():
            y = torch.sin(x.detach())
        with torch.no_grad():
            z = torch.cos(x)
        return y.data * x * z

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (x,) = ctx.saved_tensors
        return g * (0.5 * torch.sin(2 * x) + x * torch.cos(2 * x))


PROGRAMS: dict[str, Callable[[Any], Any]] = {
    "detach": lambda x: x / x.norm().detach(),
    "data": lambda x: x / x.norm().data,
    "straight through": lambda x: x + (torch.round(x) - x).detach(),
    "decorated function": lambda x: x / largest(x),
    "block": in_block,
    "switched": switched,
    "nested": nested,
    "custom forward pass": Stretched.apply,
    "parameter outside": (lambda w: lambda x: torch.tanh(x * w) * w.detach())(torch.nn.Parameter(torch.ones(5))),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_that_a_stopped_gradient_is_expected(name: str) -> None:
    assert assert_grads(PROGRAMS[name], [torch.linspace(-1, 1.5, 5)]).verdict.value == "agree"


class Doubled(torch.autograd.Function):  # type: ignore[misc]
    """sin x, with twice its gradient."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return torch.sin(x.detach())

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return 2 * g * torch.cos(ctx.saved_tensors[0])


def test_that_a_stopped_gradient_hides_no_wrong_backward_pass() -> None:
    with pytest.raises(AssertionError, match="2 times the gradient"):
        assert_grads(lambda x: Doubled.apply(x) * largest(x), [torch.linspace(-1, 1.5, 5)])


def test_that_an_argument_without_gradient_is_noted() -> None:
    report = check_function(lambda x, y: x * torch.sin(y.detach()), [torch.ones(2), torch.ones(2)])
    (note,) = report.notes
    assert note.startswith("no gradient passes from args[1] to an output: aten.detach (")
    assert "test_torch_stops.py:" in note
