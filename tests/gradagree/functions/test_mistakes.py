"""A wrong gradient is explained: the mistake that it looks like, and the operation or backward pass at fault."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradagree.functions.assertions import check_call, check_function
from gradagree.functions.fits import digits_of
from gradagree.functions.localize import check_steps

torch = pytest.importorskip("torch")
from gradagree.adapters.torch_functions import TorchFunctions  # noqa: E402


def with_backward(forward: Callable[..., Any], backward: Callable[..., Any]) -> Callable[..., Any]:
    """A function with a backward pass of its own: backward(g, *inputs)."""

    class Own(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, *xs: Any) -> Any:
            ctx.save_for_backward(*xs)
            return forward(*xs)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return backward(g, *ctx.saved_tensors)

    return Own.apply  # type: ignore[no-any-return]


def reasons(function: Any, args: Any, reference: Any, dtype: str = "float32") -> dict[str, str]:
    """The reasons of wrong gradients by their arguments."""
    adapter = TorchFunctions()
    args = [x.to(getattr(torch, dtype)) for x in args]
    records = check_call(adapter, adapter.prepare(function, args, {}, None), reference, args, {})
    return {r.name: r.reason for r in records if r.verdict.fails}


def drawn(*shape: int, seed: int = 3) -> Any:
    return torch.as_tensor(np.random.default_rng(seed).standard_normal(shape))


def squares(x: Any) -> Any:
    return x * x


def product(x: Any, w: Any) -> Any:
    return x @ w


def softmax(x: Any) -> Any:
    e = np.exp(x)
    return e / np.sum(e, axis=-1, keepdims=True)


PLANTED: dict[str, tuple[Any, Any, list[Any], Any, str, str]] = {
    "missing factor 2": (squares, lambda g, x: g * x, [drawn(5, 7)], squares, "args[0]", "a factor 2 is missing"),
    "missing factor 1/2": (
        lambda x: x * x / 2, lambda g, x: 2 * g * x, [drawn(5, 7)], lambda x: x * x / 2, "args[0]", "a factor 1/2",
    ),
    "wrong sign": (torch.cos, lambda g, x: g * torch.sin(x), [drawn(5, 7)], np.cos, "args[0]", "the wrong sign"),
    "zero gradient": (torch.tanh, lambda g, x: 0 * g, [drawn(5, 7)], np.tanh, "args[0]", "0 everywhere"),
    "transposed": (
        product, lambda g, x, w: (g @ w.T, (x.T @ g).T), [drawn(6, 6), drawn(6, 6, seed=4)], product, "args[1]",
        "transposed",
    ),
    "mask not applied": (
        lambda x: torch.where(x > 0, x * x, 0 * x), lambda g, x: 2 * g * x, [drawn(5, 7)],
        lambda x: np.where(x > 0, x * x, 0.0), "args[0]", "a mask is not applied",
    ),
    "mask too many": (
        squares, lambda g, x: torch.where(x > 0, 2 * g * x, 0 * x), [drawn(5, 7)], squares, "args[0]",
        "entries are 0 where the gradient is not",
    ),
    "sum in place of mean": (
        lambda x: (x * x).mean(0), lambda g, x: 2 * g * x, [drawn(5, 7)], lambda x: np.mean(x * x, axis=0), "args[0]",
        "a sum where there is a mean over 5 entries",
    ),
    "mean in place of sum": (
        lambda x: (x * x).sum(0), lambda g, x: 2 * g * x / 5, [drawn(5, 7)], lambda x: np.sum(x * x, axis=0),
        "args[0]", "a mean where there is a sum over 5 entries",
    ),
    "scale of attention": (
        lambda x, w: x @ w / 4, lambda g, x, w: (g @ w.T, x.T @ g / 4), [drawn(5, 16), drawn(16, 3, seed=4)],
        lambda x, w: x @ w / 4, "args[0]", "a factor 1/sqrt(16) is missing",
    ),
    "sum over the wrong axis": (
        lambda x, b: x * x + b, lambda g, x, b: (2 * g * x, g.sum(1)), [drawn(6, 6), drawn(6, seed=4)],
        lambda x, b: x * x + b, "args[1]", "summed over axis 1",
    ),
    "no sum": (
        lambda x, b: x * x + b, lambda g, x, b: (2 * g * x, g[0]), [drawn(6, 5), drawn(5, seed=4)],
        lambda x, b: x * x + b, "args[1]", "only its first entry is taken",
    ),
    "gradient of another argument": (
        lambda x, y: torch.sin(x) * y, lambda g, x, y: (g * torch.sin(x), g * torch.sin(x)),
        [drawn(5, 7), drawn(5, 7, seed=4)], lambda x, y: np.sin(x) * y, "args[0]", "the gradient of args[1]",
    ),
    "missing consumer": (
        lambda x: torch.sin(x) + x * torch.exp(x), lambda g, x: g * (torch.cos(x) + torch.exp(x)), [drawn(5, 7)],
        lambda x: np.sin(x) + x * np.exp(x), "args[0]", "the contribution through exp is missing",
    ),
    "missing sum in softmax": (
        lambda x: torch.softmax(x, -1), lambda g, x: g * torch.softmax(x, -1), [drawn(5, 7)],
        softmax, "args[0]", "the contribution through sum is missing",
    ),
    "derivative not applied": (
        lambda x, w: torch.tanh(x @ w), lambda g, x, w: (g @ w.T, x.T @ (g * (1 - torch.tanh(x @ w) ** 2))),
        [drawn(5, 7), drawn(7, 3, seed=4)], lambda x, w: np.tanh(x @ w), "args[0]",
        "the derivative of tanh is not applied",
    ),
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", PLANTED)
def test_that_a_common_mistake_is_named(name: str, dtype: str) -> None:
    forward, backward, args, reference, argument, sentence = PLANTED[name]
    found = reasons(with_backward(forward, backward), args, reference, dtype)
    assert list(found) == [argument]
    assert sentence in found[argument]
    assert "so Own.backward" in found[argument]
    assert "test_mistakes.py:" in found[argument]


def test_that_an_operation_that_blocks_gradients_is_named() -> None:
    found = reasons(lambda x: torch.tanh(x.detach()) * x, [drawn(5, 7)], lambda x: np.tanh(x) * x)
    assert "the contribution through tanh is missing" in found["args[0]"]
    assert found["args[0]"].endswith("stops the gradient")
    assert "aten.detach (" in found["args[0]"]


def test_that_a_right_program_with_another_reference_is_not_accused() -> None:
    x = drawn(5, 7).float()
    found = reasons(torch.sin, [x], lambda y: np.sin(y) + 0.1 * (y - x.double().numpy()))
    assert "the reference is another function" in found["args[0]"]


def test_that_an_operation_of_jax_that_stops_gradients_is_named() -> None:
    jax = pytest.importorskip("jax")
    x = jax.numpy.asarray(drawn(5, 7).numpy(), "float32")
    report = check_function(
        lambda x: jax.lax.stop_gradient(jax.numpy.tanh(x)) * x, [x], reference=lambda x: np.tanh(x) * x
    )
    (wrong,) = (r for r in report.records if r.verdict.fails)
    assert "the contribution through tanh is missing" in wrong.reason
    assert "lax.stop_gradient" in wrong.reason


def test_that_a_backward_pass_of_jax_is_named_with_its_place() -> None:
    jax = pytest.importorskip("jax")

    @jax.custom_vjp
    def square(x: Any) -> Any:
        return x * x

    def by_square(x: Any, g: Any) -> Any:
        return (g * x,)

    square.defvjp(lambda x: (square(x), x), by_square)
    report = check_function(square, [jax.numpy.asarray(drawn(5, 7).numpy(), "float32")])
    (wrong,) = (r for r in report.records if r.verdict.fails)
    assert "a factor 2 is missing" in wrong.reason
    assert "so by_square" in wrong.reason
    assert "test_mistakes.py:" in wrong.place


def test_that_an_operation_of_a_program_with_a_wrong_form_is_named() -> None:
    """The first wrong operation, not those that its error goes through."""
    adapter = TorchFunctions()
    args = [drawn(5, 7).float()]
    call = adapter.prepare(lambda x: torch.tanh(torch.sin(torch.exp(x))), args, {}, None)
    seeds = [torch.ones(5, 7)]
    program = adapter.trace(call)
    assert check_steps(adapter, call, program, seeds).fault is None
    k = next(k for k, step in enumerate(program.steps) if step.name == "aten.sin")
    program.steps[k] = program.steps[k]._replace(function=lambda x: np.sin(x) * (1 + 1e-5))
    fault = check_steps(adapter, call, program, seeds).fault
    assert fault is not None
    assert (fault.names, fault.quantity) == (("aten.sin",), "value")
    values = args[0].double().exp().numpy()
    program.steps[k] = program.steps[k]._replace(function=lambda x: np.sin(x) + 1e-3 * (x - values.astype("f4")))
    fault = check_steps(adapter, call, program, seeds).fault
    assert fault is not None
    assert fault.names == ("aten.sin",)


def test_that_a_custom_jvp_of_the_user_is_named_and_none_of_jax() -> None:
    jax = pytest.importorskip("jax")

    @jax.custom_jvp
    def sine(x: Any) -> Any:
        return jax.numpy.sin(x)

    @sine.defjvp
    def sine_rule(primals: Any, tangents: Any) -> Any:
        return sine(*primals), 1.1 * jax.numpy.cos(primals[0]) * tangents[0]

    points = np.linspace(0.5, 1.0, 7, dtype=np.float32)
    given = [jax.numpy.asarray(points)]
    report = check_function(lambda x: jax.nn.relu(sine(x) + 2), given)
    (wrong,) = (r for r in report.records if r.verdict.fails)
    assert "so sine_rule" in wrong.reason
    assert "test_mistakes.py:" in wrong.place
    report = check_function(jax.nn.relu, given, reference=lambda x: 2 * x - points.astype(np.float64))
    (other,) = (r for r in report.records if r.verdict.fails)
    assert "the reference is another function here" in other.reason


def test_that_a_gradient_of_a_constant_is_found() -> None:
    class Step(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(_: Any, x: Any) -> Any:
            return (x > 0).to(x.dtype)

        @staticmethod
        def backward(_: Any, g: Any) -> Any:
            return g

    reference = lambda x: np.where(x > 0, 1.0, 0.0)  # noqa: E731
    report = check_function(Step.apply, (torch.linspace(-1, 1, 4),), reference=reference, layouts=False, repeat=1)
    assert [record.label for record in report.failures] == ["gradient of args[0]"]


def test_that_a_factor_near_1_has_the_digits_that_tell_it_from_1() -> None:
    assert digits_of(0.125) == "0.125"
    assert digits_of(1 / 3) == "0.3333"
    assert digits_of(1 + 5.8e-11) == "1.00000000006"
    assert digits_of(1.0) == "1"
