"""The message of a wrong gradient: a cotangent that is taken for another, lost rows, where the wrong entries are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradagree.functions.assertions import check_function

torch = pytest.importorskip("torch")


def kernel(forward: Callable[..., Any], backward: Callable[..., Any]) -> Callable[..., Any]:
    """A function with a backward pass of its own: backward(*cotangents, *inputs)."""

    class Own(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, *xs: Any) -> Any:
            ctx.save_for_backward(*xs)
            return forward(*xs)

        @staticmethod
        def backward(ctx: Any, *given: Any) -> Any:
            return backward(*given, *ctx.saved_tensors)

    return Own.apply  # type: ignore[no-any-return]


def drawn(*shape: int, seed: int = 3) -> Any:
    return torch.as_tensor(np.random.default_rng(seed).standard_normal(shape))


def reasons(function: Any, args: Any, reference: Any, dtype: str = "float32") -> dict[str, str]:
    """The reasons of wrong gradients by their arguments."""
    args = [x.to(getattr(torch, dtype)) if x.is_floating_point() else x for x in args]
    return {r.name: r.reason for r in check_function(function, args, reference=reference).records if r.verdict.fails}


def scaled(x: Any, w: Any) -> Any:
    return x * w


def both(x: Any) -> Any:
    return x * x, x * x * x


def rows_of(x: Any, index: Any) -> Any:
    return x[index]


def added(g: Any, x: Any, index: Any) -> Any:
    """The gradient of rows, of which the last one wins."""
    found = torch.zeros_like(x)
    found[index] = g
    return found, None


INDEX = torch.tensor([1, 0, 1, 3, 2, 1])

PLANTED: dict[str, tuple[Any, Any, list[Any], Any, str, str]] = {
    "ones": (torch.tanh, lambda g, x: 1 - torch.tanh(x) ** 2, [drawn(4, 5)], np.tanh, "args[0]", "taken for ones"),
    "first entry": (
        torch.tanh, lambda g, x: g[0, 0] * (1 - torch.tanh(x) ** 2), [drawn(4, 5)], np.tanh, "args[0]",
        "its first entry",
    ),
    "same along an axis": (
        torch.tanh, lambda g, x: g[:1] * (1 - torch.tanh(x) ** 2), [drawn(4, 5)], np.tanh, "args[0]",
        "the cotangent is taken to be the same along axis 0",
    ),
    "shifted": (
        torch.tanh, lambda g, x: g.roll(1, 1) * (1 - torch.tanh(x) ** 2), [drawn(4, 5)], np.tanh, "args[0]",
        "shifted by one entry along axis 1",
    ),
    "second output": (
        both, lambda g, h, x: 2 * g * x, [drawn(9)], both, "args[0]", "ignores the cotangent of output[1]",
    ),
    "exchanged": (
        both, lambda g, h, x: 2 * h * x + 3 * g * x * x, [drawn(9)], both, "args[0]",
        "the cotangents of output[0] and output[1] are exchanged",
    ),
    "last rows": (
        scaled, lambda g, x, w: (g * w, (g * x)[:8].sum(0)), [drawn(11, 6), drawn(6)], scaled, "args[1]",
        "of the cotangent along axis 0, the last 3 of 11 entries do not contribute",
    ),
    "a row twice": (
        scaled, lambda g, x, w: (g * w, (g * x).sum(0) + (g * x)[4]), [drawn(7, 6), drawn(6)], scaled, "args[1]",
        "entry 4 of 7 counts twice",
    ),
    "some rows": (
        scaled, lambda g, x, w: (g * w, (g * x)[[0, 1, 3, 6]].sum(0)), [drawn(7, 20), drawn(20)], scaled, "args[1]",
        "entries 2, 4, 5 of 7 do not contribute",
    ),
    "summed to one number": (
        scaled, lambda g, x, w: (g * w, (g * x).sum().expand(6)), [drawn(7, 6), drawn(6)], scaled, "args[1]",
        "summed over axis 0 and 1",
    ),
    "repeated rows": (
        rows_of, added, [drawn(5, 3), INDEX], rows_of, "args[0]",
        "only where an index of args[1] occurs more than once",
    ),
    "negative numbers": (
        torch.square, lambda g, x: torch.where(x < 0, 3 * g * x, 2 * g * x), [drawn(4, 5)], np.square, "args[0]",
        "only where args[0] is negative",
    ),
    "last columns": (
        torch.square, lambda g, x: torch.where(torch.arange(9) < 6, 2, 3) * g * x, [drawn(4, 9)], np.square, "args[0]",
        "only where the index along axis 1 is 6 to 8 (the last 3 of 9)",
    ),
    "opposite signs": (
        scaled, lambda g, x, w: (g * w + (x * w < 0), g * x), [drawn(4, 5), drawn(4, 5, seed=4)], scaled, "args[0]",
        "only where args[0] and args[1] have opposite signs",
    ),
    "another mask": (
        lambda x: torch.where(x > 0, x * x, 0 * x), lambda g, x: torch.where(x.flip(0) > 0, 2 * g * x, 0 * x),
        [drawn(4, 5)], lambda x: np.where(x > 0, x * x, 0.0), "args[0]", "another mask is applied",
    ),
    "exclusive sum": (
        lambda x: torch.cumsum(x, -1), lambda g, x: g.flip(-1).cumsum(-1).flip(-1) - g, [drawn(4, 6)],
        lambda x: np.cumsum(x, axis=-1), "args[0]", "the cotangent itself is subtracted from the gradient",
    ),
    "both triangles": (
        lambda x: (torch.tril(x) + torch.tril(x, -1).mT) ** 2,
        lambda g, x: 2 * g * (torch.tril(x) + torch.tril(x, -1).mT), [drawn(5, 5)],
        lambda x: (np.tril(x) + np.swapaxes(np.tril(x, -1), -1, -2)) ** 2, "args[0]",
        "only its symmetric part is right",
    ),
    "a mean": (
        lambda x: x - x.mean(-1, keepdim=True), lambda g, x: g - (g * x).mean(-1, keepdim=True), [drawn(4, 9)],
        lambda x: x - np.mean(x, axis=-1, keepdims=True), "args[0]", "the contribution through mean is wrong",
    ),
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize("name", PLANTED)
def test_that_the_message_names_the_part_that_is_wrong(name: str, dtype: str) -> None:
    forward, backward, args, reference, argument, expected = PLANTED[name]
    assert expected in reasons(kernel(forward, backward), args, reference, dtype)[argument]


def test_that_a_gradient_that_is_wrong_everywhere_has_no_place() -> None:
    wrong = kernel(torch.tanh, lambda g, x: g * torch.cos(x) + 1)
    assert "only where" not in reasons(wrong, [drawn(4, 5)], np.tanh)["args[0]"]


def test_that_nothing_is_named_that_does_not_explain_all_entries() -> None:
    noise = drawn(4, 5, seed=9)
    reason = reasons(kernel(torch.tanh, lambda g, x: g * noise.to(g.dtype)), [drawn(4, 5)], np.tanh)["args[0]"]
    assert "cotangent" not in reason
    assert "contribut" not in reason


def test_that_the_triangle_that_jax_leaves_unspecified_is_not_blamed() -> None:
    jax = pytest.importorskip("jax")
    factor = jax.custom_vjp(jax.numpy.linalg.cholesky)
    factor.defvjp(lambda a: (factor(a), a), lambda a, g: (g + a,))
    a = jax.numpy.asarray(np.eye(4) * 5 + drawn(4, 4).numpy() / 8 + drawn(4, 4).numpy().T / 8, "float32")
    (reason,) = [r.reason for r in check_function(factor, [a]).records if r.verdict.fails]
    assert "the value of" not in reason
    assert "every operation of the forward pass is right" in reason
