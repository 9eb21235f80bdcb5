"""Faults that a plain call does not show: each is found, under its condition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradagree.functions.assertions import assert_grads, check_function
from gradagree.functions.conditions import distance_in_ulp

torch = pytest.importorskip("torch")

Backward = Callable[[Any, Any], Any]


def square(backward: Backward, forward: Callable[[Any], Any] = lambda x: x * x) -> Callable[[Any], Any]:
    """x * x with a backward pass (saved x, cotangent) of its own."""

    class Square(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return forward(x)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return backward(ctx.saved_tensors[0], g)

    return Square.apply  # type: ignore[no-any-return]


def drawn(*shape: int) -> Any:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3))


def as_contiguous(x: Any) -> Any:
    """What a kernel reads that takes the memory of an array for its entries."""
    return x.as_strided(x.shape, torch.empty(x.shape).stride())


def failing(function: Any, args: Any, reference: Any = np.square, **options: Any) -> set[str]:
    return {record.condition for record in check_function(function, args, reference=reference, **options).failures}


def right(x: Any, g: Any) -> Any:
    return 2 * x * g


def channels_last(g: Any) -> bool:
    return not g.is_contiguous() and bool(g.is_contiguous(memory_format=torch.channels_last))


COTANGENTS: dict[str, tuple[tuple[int, ...], Backward]] = {
    "non-contiguous cotangent": ((5,), lambda x, g: right(x, as_contiguous(g) if g.stride()[-1] == 2 else g)),
    "transposed cotangent": ((3, 4), lambda x, g: right(x, as_contiguous(g) if g.stride() == (1, 3) else g)),
    "channels-last cotangent": ((2, 3, 4, 5), lambda x, g: right(x, as_contiguous(g) if channels_last(g) else g)),
    "cotangent of ones": ((5,), lambda x, g: x * g if bool((g == 1).all()) else right(x, g)),
    "expanded cotangent": (
        (5,),
        lambda x, g: right(x, as_contiguous(g) if g.stride() == (0,) and g.untyped_storage().nbytes() > 4 else g),
    ),
    "zero-dimensional cotangent": (
        (5,),
        lambda x, g: right(x, g if g.untyped_storage().nbytes() > 4 else 0 * g),
    ),
}


@pytest.mark.parametrize("condition", COTANGENTS)
def test_that_a_fault_under_one_cotangent_is_found_under_it(condition: str) -> None:
    shape, backward = COTANGENTS[condition]
    assert failing(square(backward), [drawn(*shape)]) == {condition}
    assert failing(square(backward), [drawn(*shape)], layouts=False) == set()


def test_that_a_backward_pass_without_fault_passes_all_conditions() -> None:
    report = assert_grads(square(right), [drawn(2, 3, 4, 5)], reference=np.square)
    names = {*COTANGENTS, "call 2", "non-contiguous inputs", "transposed inputs", "channels-last inputs"}
    assert names <= set(report.conditions)
    assert {record.condition for record in report.records} == {""}
    assert report.notes == []


def test_that_a_backward_pass_that_refuses_a_layout_crashes() -> None:
    function = square(lambda x, g: right(x.reshape(-1), g.view(-1)).view(x.shape))
    with pytest.raises(AssertionError, match=r"crashed.*\n.*view size is not compatible") as caught:
        assert_grads(function, [drawn(3, 4)], reference=np.square)
    assert "transposed cotangent" in str(caught.value)


def test_that_a_gradient_that_changes_between_calls_is_found() -> None:
    calls = []

    def backward(x: Any, g: Any) -> Any:
        calls.append(x)
        return right(x, g) * (1 if len(calls) == 1 else 1.01)

    with pytest.raises(AssertionError, match=r"call 2.*disagree(.*\n)*.*non-deterministic: .* differs by \d\S+ ulp"):
        assert_grads(square(backward), [drawn(5)], reference=np.square)


def bias(backward: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    """x + b with the gradient of b of its own."""

    class Bias(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(_: Any, x: Any, b: Any) -> Any:
            return x + b

        @staticmethod
        def backward(_: Any, g: Any) -> Any:
            return g, backward(g)

    return Bias.apply  # type: ignore[no-any-return]


def in_bfloat16(g: Any) -> Any:
    """The sum of the rows, with partial sums in the dtype."""
    total = g[0]
    for row in g[1:]:
        total = total + row
    return total


def test_that_a_gradient_that_is_inaccurate_under_one_condition_is_recorded() -> None:
    args = [drawn(400, 3).bfloat16(), drawn(3).bfloat16()]
    function = bias(lambda g: in_bfloat16(g) if g.stride() == (1, len(g)) else g.sum(0))
    report = assert_grads(function, args, reference=np.add)
    assert [(r.label, r.verdict.value) for r in report.records if r.condition] == [
        ("gradient of args[1] (transposed cotangent)", "inaccurate")
    ]
    assert report.verdict.value == "inaccurate"
    report = assert_grads(bias(in_bfloat16), args, reference=np.add, layouts=False)
    assert [r.label for r in report.records if r.verdict.value == "inaccurate"] == ["gradient of args[1]"]


def test_that_rounding_that_changes_between_calls_is_a_note() -> None:
    calls = []

    def backward(x: Any, g: Any) -> Any:
        calls.append(x)
        gradient = right(x, g)
        return gradient if len(calls) == 1 else torch.nextafter(gradient, torch.tensor(torch.inf))

    report = assert_grads(square(backward), [drawn(5)], reference=np.square, layouts=False)
    assert report.notes == ["gradient of args[0]: differs by 1 ulp between calls, within its tolerance"]


def test_that_uninitialized_memory_is_found() -> None:
    def backward(x: Any, g: Any) -> Any:
        fresh = torch.empty(1 << 24)  # so large that it comes from the system, which clears it
        return right(x, g) + fresh[: len(x)]

    assert failing(square(backward), [drawn(5)]) == {"uninitialized memory holds NaN"}


def test_that_a_global_buffer_is_found() -> None:
    saved: list[Any] = [None]

    def forward(x: Any) -> Any:
        saved[0] = x.clone()
        return x * x

    function = square(lambda _, g: right(saved[0], g), forward)
    assert failing(function, [drawn(5)]) == {"another call before the backward pass"}
    assert failing(function, [drawn(5)], repeat=1) == set()


class Pair(torch.autograd.Function):  # type: ignore[misc]
    """(x * x, 3 x); without a cotangent of the first output, its gradient is lost, or taken for zero."""

    fault = ""

    @classmethod
    def forward(cls, ctx: Any, x: Any) -> Any:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x)
        return x * x, 3 * x

    @classmethod
    def backward(cls, ctx: Any, g: Any, h: Any) -> Any:
        if cls.fault == "missing" and (g is None or h is None):
            return None
        if cls.fault == "zero" and h is not None and not h.any():
            return None
        found = [] if g is None else [2 * ctx.saved_tensors[0] * g]
        return sum(found if h is None else [*found, 3 * h])


class MissingLost(Pair):
    fault = "missing"


class ZeroLost(Pair):
    fault = "zero"


def pair(x: Any) -> Any:
    return x * x, 3 * x


def test_that_a_missing_cotangent_is_a_zero() -> None:
    assert failing(Pair.apply, [drawn(5)], pair) == set()
    assert failing(MissingLost.apply, [drawn(5)], pair) == {"no cotangent of output[0]", "no cotangent of output[1]"}
    assert failing(ZeroLost.apply, [drawn(5)], pair) == {"cotangent of output[1] is zero"}


def modify(x: Any, result: Any) -> Any:
    x.data.mul_(2)
    return result


def test_that_a_modified_input_is_found() -> None:
    function = square(right, lambda x: modify(x, x * x))
    with pytest.raises(
        AssertionError, match=r"args\[0\] \(after the forward pass\).*(\n.*)*modifies args\[0\] in place"
    ):
        assert_grads(function, [drawn(5)], reference=np.square)
    assert failing(square(lambda x, g: modify(x, right(x, g))), [drawn(5)]) == {"after the backward pass"}
    report = check_function(square(lambda x, g: modify(g, right(x, g))), [drawn(5)], reference=np.square)
    assert [record.label for record in report.failures] == ["cotangent of output (after the backward pass)"]


def test_that_a_workspace_may_be_written_to() -> None:
    def function(x: Any, workspace: Any) -> Any:
        workspace += 1
        return x * workspace

    workspace = torch.ones(5)
    report = assert_grads(function, [drawn(5), workspace], wrt=0, reference=lambda x, w: x * (w + 1))
    assert report.notes == ["the function writes to args[1]; each call gets the numbers given"]


INPUTS: dict[str, tuple[tuple[int, ...], Callable[[Any], bool]]] = {
    "non-contiguous inputs": ((5,), lambda x: x.stride()[-1] == 2),
    "transposed inputs": ((3, 4), lambda x: x.stride() == (1, 3)),
    "channels-last inputs": ((2, 3, 4, 5), channels_last),
}


@pytest.mark.parametrize("condition", INPUTS)
def test_that_a_fault_under_one_layout_of_the_inputs_is_found_under_it(condition: str) -> None:
    shape, special = INPUTS[condition]
    function = square(right, lambda x: (as_contiguous(x) if special(x) else x) ** 2)
    assert failing(function, [drawn(*shape)]) == {condition}


def test_that_an_expanded_input_is_found() -> None:
    function = square(lambda x, g: right(x, g) * (0 if x.stride()[0] == 0 else 1))
    assert failing(function, [drawn(5, 2)]) == {"expanded inputs"}


def test_that_a_function_may_refuse_a_layout_of_its_inputs() -> None:
    function = square(right, lambda x: x.view(-1).square().view(x.shape))
    report = assert_grads(function, [drawn(3, 4)], reference=np.square)
    assert any(note.startswith("transposed inputs: the function raises") for note in report.notes)


def test_that_the_distance_is_counted_in_units_of_the_dtype() -> None:
    one = np.ones(1)
    assert distance_in_ulp(one, one + 2**-22, "float32") == "2 ulp"
    assert distance_in_ulp(one, one + 2**-7, "bfloat16") == "1 ulp"
    assert distance_in_ulp(0 * one, one * 2**-149, "float32") == "1 ulp"
    assert distance_in_ulp(one, one * np.nan, "float32") == "NaN or infinity"


def test_that_a_missing_cotangent_of_jax_is_a_zero() -> None:
    jax = pytest.importorskip("jax")
    jnp = jax.numpy

    def function(h_lost: bool) -> Any:
        @jax.custom_vjp
        def both(x: Any) -> Any:
            return x * x, 3 * x

        def backward(x: Any, given: Any) -> Any:
            g, h = given
            return (jnp.where(jnp.any(g != 0) | (not h_lost), 2 * x * g + 3 * h, 0),)

        both.defvjp(lambda x: (both(x), x), backward)
        return both

    x = jnp.linspace(-1, 1, 5)
    assert failing(function(False), [x], pair) == set()
    assert failing(function(True), [x], pair) == {"no cotangent of output[0]"}


def test_that_a_gradient_of_jax_that_changes_between_calls_is_found() -> None:
    jax = pytest.importorskip("jax")
    calls: list[int] = []

    @jax.custom_vjp
    def function(x: Any) -> Any:
        return x * x

    def factor() -> Any:
        calls.append(1)
        return np.float32(1 if len(calls) == 1 else 1.01)

    def backward(x: Any, g: Any) -> Any:
        return (2 * x * g * jax.pure_callback(factor, jax.ShapeDtypeStruct((), np.float32)),)

    function.defvjp(lambda x: (x * x, x), backward)
    assert "call 2" in failing(function, [jax.numpy.linspace(-1, 1, 5)])


def test_that_values_without_a_derivative_are_compared() -> None:
    class Cube(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return 3 * ctx.saved_tensors[0] ** 2 * g

    def cube(x: Any) -> Any:
        return Cube.apply(x) if x.requires_grad else 1.01 * x**3

    report = check_function(cube, [drawn(5)], reference=lambda x: x**3)
    assert [r.label for r in report.failures] == ["output (no derivative)"]
    assert "the values with a derivative are others" in report.failures[0].reason
    assert failing(Cube.apply, [drawn(5)], lambda x: x**3) == set()


@pytest.mark.parametrize("factor", [1.0, 1.01])
def test_that_values_of_jax_without_a_derivative_are_compared(factor: float) -> None:
    jax = pytest.importorskip("jax")

    @jax.custom_vjp
    def cube(x: Any) -> Any:
        return factor * x**3

    cube.defvjp(lambda x: (x**3, x), lambda x, g: (3 * x * x * g,))
    expected = {"no derivative"} if factor != 1 else set()
    assert failing(cube, [jax.numpy.linspace(-1, 1, 5)], lambda x: x**3) == expected


def test_that_jax_compiles_a_function_and_its_derivative_once(monkeypatch: pytest.MonkeyPatch) -> None:
    jax = pytest.importorskip("jax")
    calls = []
    compile_once = jax.stages.Lowered.compile
    monkeypatch.setattr(jax.stages.Lowered, "compile", lambda *args: calls.append(args) or compile_once(*args))
    report = assert_grads(lambda x: (jax.numpy.sin(x), x * x), [jax.numpy.linspace(-1, 1, 5)], repeat=3)
    assert {"call 3", "cotangent of ones", "no cotangent of output[1]"} <= set(report.conditions)
    assert len(calls) == 2


def test_that_a_gradient_of_jax_that_changes_with_its_trace_is_found() -> None:
    jax = pytest.importorskip("jax")
    traces: list[int] = []

    @jax.custom_vjp
    def function(x: Any) -> Any:
        return x * x

    def backward(x: Any, g: Any) -> Any:
        traces.append(1)
        return (2 * x * g * (1 if len(traces) == 1 else 1.01),)

    function.defvjp(lambda x: (x * x, x), backward)
    assert "call 2" in failing(function, [jax.numpy.linspace(-1, 1, 5)])


def test_that_a_right_function_is_called_a_few_times_under_all_conditions() -> None:
    calls, cotangents = [], []

    def backward(x: Any, g: Any) -> Any:
        cotangents.append(g)
        return right(x, g)

    report = check_function(square(backward, lambda x: calls.append(x) or x * x), [drawn(3, 4)], reference=np.square)
    assert not report.failures
    assert len(report.conditions) == len(set(report.conditions)) == 13
    assert (len(calls), len(cotangents)) == (8, 8)


class Alone(torch.autograd.Function):  # type: ignore[misc]
    """x * w, wrong only for a transposed cotangent and an x that is not contiguous."""

    @staticmethod
    def forward(ctx: Any, x: Any, w: Any) -> Any:
        ctx.save_for_backward(x, w)
        return x * w

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        x, w = ctx.saved_tensors
        wrong = g.stride() == (1, len(g)) and x.stride()[-1] == 2
        return (2 if wrong else 1) * g * w, g * x


def test_that_a_fault_under_two_conditions_together_has_both_names() -> None:
    assert failing(Alone.apply, [drawn(3, 4), drawn(3, 4)], np.multiply) == {
        "non-contiguous inputs, transposed cotangent"
    }


@pytest.mark.parametrize("shape", [(3, 4), (4,)])
def test_that_a_cotangent_that_is_taken_for_the_layout_of_an_input_is_found(shape: tuple[int, ...]) -> None:
    """The same layout of both hides it."""

    def backward(x: Any, g: Any) -> Any:
        taken = g.as_strided(x.shape, x.stride()) if sum(x.stride()) <= sum(g.stride()) else g
        return right(x, taken)

    assert "non-contiguous cotangent" in failing(square(backward), [drawn(*shape)])


def test_that_a_number_that_differs_between_calls_within_its_tolerance_agrees() -> None:
    calls = []

    def function(x: Any) -> Any:
        calls.append(x)
        y = (x * x).sum()
        return y if len(calls) < 3 else torch.nextafter(y, torch.tensor(torch.inf))

    report = check_function(function, [drawn(5)], reference=lambda x: np.sum(np.square(x)))
    assert not report.failures
