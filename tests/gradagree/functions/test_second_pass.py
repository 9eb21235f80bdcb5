"""A second backward pass of one graph, memory that is never written, and sums that stop growing in 16 bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradagree.functions.assertions import check_function
from gradagree.functions.message import format_report

torch = pytest.importorskip("torch")


class Overwriting(torch.autograd.Function):  # type: ignore[misc]
    """sin x, whose backward pass writes its gradient over the cosine that the forward pass has left."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.cosine = torch.cos(x)
        return torch.sin(x)

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return ctx.cosine.mul_(g).clone()


class Once(torch.autograd.Function):  # type: ignore[misc]
    """sin x, which refuses a second backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.cosine = torch.cos(x)
        return torch.sin(x)

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        cosine, ctx.cosine = ctx.cosine, None
        if cosine is None:
            raise RuntimeError("one backward pass only")
        return cosine * g


class HalfWritten(torch.autograd.Function):  # type: ignore[misc]
    """The first three columns of x, whose backward pass never writes the others."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.like = x
        return x[:, :3].clone()

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        found = torch.empty_like(ctx.like)
        found[:, :3] = g
        return found


class NarrowSum(torch.autograd.Function):  # type: ignore[misc]
    """x + w, whose backward pass adds the rows for w one after the other in their own dtype."""

    @staticmethod
    def forward(_: Any, x: Any, w: Any) -> Any:
        return x + w

    @staticmethod
    def backward(_: Any, g: Any) -> Any:
        total = torch.zeros_like(g[0])
        for row in g:
            total = total + row
        return g, total


def drawn(*shape: int) -> Any:
    return torch.as_tensor(np.random.default_rng(3).standard_normal(shape))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_that_a_second_backward_pass_is_judged(dtype: torch.dtype) -> None:
    report = check_function(Overwriting.apply, [drawn(4, 5).to(dtype)])
    (failure,) = report.failures
    assert failure.condition == "second backward pass"
    assert "the first backward pass overwrites what the second one reads" in format_report(report)


def test_that_a_second_backward_pass_may_be_refused() -> None:
    report = check_function(Once.apply, [drawn(4, 5)])
    assert report.verdict.value == "agree"
    assert any("second backward pass: the function raises" in note for note in report.notes)


def test_that_a_right_function_has_as_many_backward_passes_as_wanted() -> None:
    report = check_function(torch.sin, [drawn(4, 5)])
    assert report.verdict.value == "agree"
    assert "second backward pass" in report.conditions
    assert not report.notes


@pytest.mark.parametrize("first", [0.0, 7.0])
def test_that_memory_that_is_never_written_is_named(first: float) -> None:
    """Whatever the memory holds: numbers that are wrong at once, or zeros."""
    for _ in range(20):
        torch.full((64, 5), first, dtype=torch.float64)
    report = check_function(HalfWritten.apply, [drawn(64, 5)])
    assert report.failures
    assert "memory is read that nothing was written to" in format_report(report)


def test_that_a_sum_that_stops_growing_in_16_bits_is_named() -> None:
    report = check_function(NarrowSum.apply, [drawn(4096, 3).to(torch.bfloat16), drawn(3).to(torch.bfloat16)])
    assert [failure.name for failure in report.failures] == ["args[1]"]
    assert "perhaps partial sums are kept in bfloat16" in format_report(report)


class LastAngles(torch.autograd.Function):  # type: ignore[misc]
    """x cos a, whose backward pass uses the angles of the last call."""

    angles = None

    @staticmethod
    def forward(_: Any, x: Any, a: Any) -> Any:
        LastAngles.angles = a
        return x * torch.cos(a)

    @staticmethod
    def backward(_: Any, g: Any) -> Any:
        return g * torch.cos(LastAngles.angles), None


def test_that_another_call_has_other_numbers_in_arrays_without_a_gradient_too() -> None:
    report = check_function(LastAngles.apply, [drawn(4, 5), drawn(4, 5)], wrt=[0])
    assert "the backward pass reads what a later call has overwritten" in format_report(report)


class Economical(torch.autograd.Function):  # type: ignore[misc]
    """x * w, whose backward pass computes what both gradients need only if x requires one."""

    @staticmethod
    def forward(ctx: Any, x: Any, w: Any) -> Any:
        ctx.save_for_backward(x, w)
        return x * w

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        x, w = ctx.saved_tensors
        scaled = g * x if ctx.needs_input_grad[0] else torch.zeros_like(x)
        return (g * w if ctx.needs_input_grad[0] else None), scaled.sum(0)


def test_that_a_gradient_is_judged_where_no_other_array_requires_one() -> None:
    report = check_function(Economical.apply, [drawn(4, 5), drawn(5)])
    (failure,) = report.failures
    assert (failure.name, failure.condition) == ("args[1]", "only args[1] requires a gradient")
    assert "the gradient is right where the other arrays require one too" in format_report(report)


def test_that_right_functions_pass_where_one_array_requires_a_gradient() -> None:
    report = check_function(lambda x, w: torch.nn.functional.layer_norm(x, (5,), w), [drawn(4, 5), drawn(5)])
    assert report.verdict.value == "agree"
    assert {"only args[0] requires a gradient", "only args[1] requires a gradient"} <= set(report.conditions)


class Workspace(torch.autograd.Function):  # type: ignore[misc]
    """The square of x, from a buffer that all calls share."""

    buffers: dict[Any, Any] = {}

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.buffer = Workspace.buffers.setdefault((x.shape, x.dtype), torch.empty_like(x))
        return ctx.buffer.copy_(x) ** 2

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return 2 * g * ctx.buffer


def test_that_a_workspace_of_all_calls_is_found_from_the_forward_pass_alone() -> None:
    report = check_function(Workspace.apply, [drawn(4, 5)])
    assert "the backward pass reads what a later call has overwritten" in format_report(report)


def test_that_a_function_that_writes_into_a_workspace_is_judged() -> None:
    workspace = torch.zeros(4, 5, dtype=torch.float64)

    def doubled(x: Any) -> Any:
        workspace.copy_(x.detach())
        return x * 2 + 0 * workspace

    assert check_function(doubled, [drawn(4, 5)]).verdict.value == "agree"
