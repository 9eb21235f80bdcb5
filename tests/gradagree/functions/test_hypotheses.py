"""Mistakes inside of a backward pass are named: by a change of it that gives the same gradient, or by further calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradagree.functions.assertions import check_function

torch = pytest.importorskip("torch")


def with_backward(forward: Callable[..., Any], backward: Callable[..., Any]) -> Callable[..., Any]:
    """A function with a backward pass of its own: backward(g, *inputs)."""

    class Own(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, *xs: Any) -> Any:
            ctx.save_for_backward(*xs)
            with torch.no_grad():
                return forward(*xs)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return backward(g, *ctx.saved_tensors)

    return Own.apply  # type: ignore[no-any-return]


def drawn(*shape: int, seed: int = 3) -> Any:
    return torch.as_tensor(np.random.default_rng(seed).standard_normal(shape))


def by_autograd(function: Any, g: Any, *xs: Any) -> tuple[Any, ...]:
    with torch.enable_grad():
        leaves = [x.detach().requires_grad_() for x in xs]
        return torch.autograd.grad(function(*leaves), leaves, g)  # type: ignore[no-any-return]


def normalised(x: Any) -> Any:
    return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + 0.1)


def centred(x: Any) -> Any:
    c = x - x.mean(0)
    return c * torch.rsqrt((c * c).mean(0) + 0.1)


def rows_swapped(g: Any, x: Any) -> Any:
    r = torch.rsqrt((x * x).mean(-1, keepdim=True) + 0.1)
    return g * r - x * (r**3 * (g * x).mean(-1, keepdim=True)).T


def recurrence(a: Any, x: Any) -> Any:
    h, states = torch.zeros_like(x[0]), []
    for t in range(len(x)):
        h = a[t] * h + x[t]
        states.append(h)
    return torch.stack(states)


def of_the_next_state(g: Any, a: Any, x: Any) -> Any:
    h, d = recurrence(a, x), torch.zeros_like(x[0])
    da, dx = torch.zeros_like(a), torch.zeros_like(x)
    for t in reversed(range(len(x))):
        d = g[t] + (a[t + 1] * d if t + 1 < len(x) else 0)
        da[t], dx[t] = d * h[t], d
    return da, dx


def scores(q: Any, k: Any) -> Any:
    return torch.tanh(q @ k.T)


def below_the_diagonal(g: Any, q: Any, k: Any) -> Any:
    d = (g * (1 - scores(q, k) ** 2)).tril()
    return d @ k, d.T @ q


def overwriting(g: Any, w: Any, index: Any) -> Any:
    d = torch.zeros_like(w)
    d[index] = g
    return d, None


def twice_normalised(g: Any, x: Any, w: Any) -> Any:
    dx, _ = by_autograd(lambda x, w: normalised(x) @ w, g, x, w)
    return dx, normalised(normalised(x)).T @ g


INDEX = torch.tensor([1, 4, 1, 0, 4])
PLANTED: dict[str, tuple[Any, Any, list[Any], str, str]] = {
    "cotangent of ones": (
        torch.sin, lambda g, x: torch.cos(x), [drawn(4, 5)], "args[0]", "taken for ones",
    ),
    "first cotangent": (
        torch.sin, lambda g, x: g[0] * torch.cos(x), [drawn(4, 5)], "args[0]", "the same along axis 0",
    ),
    "wrong factor of one contribution": (
        lambda x: torch.sin(x) + x * torch.exp(x),
        lambda g, x: g * (torch.cos(x) + torch.exp(x) + 0.75 * x * torch.exp(x)), [drawn(4, 5)],
        "args[0]", "has the factor 0.75, not 1",
    ),
    "mean and variance as constants": (
        centred, lambda g, x: g * torch.rsqrt(((x - x.mean(0)) ** 2).mean(0) + 0.1), [drawn(6, 4)], "args[0]",
        "the contributions through mean and mean are missing",
    ),
    "row term along the columns": (
        normalised, rows_swapped, [drawn(5, 5)], "args[0]", "is broadcast along axis 0, not along axis 1",
    ),
    "summed over the rows as well": (
        lambda x, s: x * s, lambda g, x, s: (g * s, (g * x).sum().expand(s.shape).clone()), [drawn(4, 5), drawn(4, 1)],
        "args[1]", "is summed over axis 0 and 1",
    ),
    "last row of a bias": (
        lambda x, b: torch.tanh(x) + b, lambda g, x, b: (g * (1 - torch.tanh(x) ** 2), g[-1]),
        [drawn(4, 5), drawn(5)], "args[1]", "only its last entry is taken",
    ),
    "state of the wrong step": (
        recurrence, of_the_next_state, [drawn(5, 3), drawn(5, 3, seed=4)], "args[0]", "in a loop uses the operand of",
    ),
    "scores above the diagonal": (
        scores, below_the_diagonal, [drawn(5, 3), drawn(5, 3, seed=4)], "args[0]", "missing above its diagonal",
    ),
    "operand in reverse order": (
        lambda x, w: x * w, lambda g, x, w: (g * w.flip(-1), (g * x).sum(0)), [drawn(4, 5), drawn(5)], "args[0]",
        "uses its operand in reverse order along axis 0",
    ),
    "inputs normalised twice": (
        lambda x, w: normalised(x) @ w, twice_normalised, [drawn(4, 3), drawn(3, 5)], "args[1]",
        "applies multiply to a result of it again",
    ),
    "gradient times an argument": (
        lambda x, m: (x * m).sum(0), lambda g, x, m: ((g * m).expand(x.shape), (g * x).sum(0) * m),
        [drawn(4, 5), drawn(5)], "args[1]", "it is the gradient times args[1]",
    ),
    "log_softmax by its own output": (
        lambda x: torch.log_softmax(x, -1),
        lambda g, x: g - (g * torch.log_softmax(x, -1)).sum(-1, keepdim=True), [drawn(4, 5)], "args[0]",
        "the derivative of log_softmax takes the sum of products with its result",
    ),
    "last window by the whole size": (
        lambda x: x * 2, lambda g, x: torch.cat([2 * g[:, :3], g[:, 3:] * 0.5], 1), [drawn(4, 5)], "args[0]",
        "it has the factor 0.25, not 1, at the indices from 3 on along axis 1",
    ),
}  # fmt: skip


def reason(function: Any, args: Any, argument: str) -> str:
    """The reason of the only wrong gradient."""
    wrong = [r for r in check_function(function, args).records if r.verdict.fails]
    assert {r.name for r in wrong} == {argument}
    return wrong[0].reason


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", PLANTED)
def test_that_a_mistake_inside_of_a_backward_pass_is_named(name: str, dtype: str) -> None:
    forward, backward, args, argument, sentence = PLANTED[name]
    args = [x.to(getattr(torch, dtype)) for x in args]
    if name == "scores above the diagonal":
        wrong = {r.name: r.reason for r in check_function(with_backward(forward, backward), args).failures}
        assert set(wrong) == {"args[0]", "args[1]"}
        assert sentence in wrong[argument]
    else:
        assert sentence in reason(with_backward(forward, backward), args, argument)


def test_that_a_missing_part_orthogonal_to_the_columns_is_named() -> None:
    def backward(g: Any, x: Any) -> Any:
        q, _ = torch.linalg.qr(x)
        return q @ (q.T @ (g * torch.cos(x)))

    assert "orthogonal to the columns is missing" in reason(
        with_backward(torch.sin, backward), [drawn(6, 3)], "args[0]"
    )


def test_that_duplicates_which_overwrite_each_other_are_named() -> None:
    index = INDEX
    function = with_backward(lambda w: w[index], lambda g, w: overwriting(g, w, index)[0])
    assert "duplicates are lost" in reason(function, [drawn(6, 3)], "args[0]")


# Further calls.


def test_that_memory_that_nothing_was_written_to_is_named() -> None:
    def backward(g: Any, x: Any) -> Any:
        found = torch.empty_like(x)
        found[:2] = g[:2] * torch.cos(x[:2])
        return found

    assert "from memory that nothing was written to" in reason(
        with_backward(torch.sin, backward), [drawn(4, 5)], "args[0]"
    )


def test_that_a_gradient_that_differs_between_calls_is_named() -> None:
    generator = torch.Generator().manual_seed(1)

    def backward(g: Any, x: Any) -> Any:
        return g * torch.cos(x) + torch.rand(x.shape, generator=generator, dtype=x.dtype)

    assert "the same call gives another gradient" in reason(
        with_backward(torch.sin, backward), [drawn(4, 5)], "args[0]"
    )


def test_that_the_part_of_the_output_is_named_whose_cotangent_is_passed_on_wrongly() -> None:
    w = drawn(5, 5, seed=7)

    def backward(g: Any, x: Any) -> Any:
        right = g @ w.T
        return right + (g[:, 3:] @ w[:, 3:].T) * w.diagonal() - 0.1 * g[:, 3:].sum(1, keepdim=True) * x

    assert "only the cotangent of the output at the indices from 3 on along axis 1 is passed on wrongly" in reason(
        with_backward(lambda x: x @ w, backward), [drawn(4, 5)], "args[0]"
    )


def test_that_indices_where_the_mistake_would_be_too_small_to_be_seen_do_not_count_as_right() -> None:
    """In bfloat16 some columns are within their tolerances by chance."""

    def backward(g: Any, a: Any, b: Any) -> Any:
        s = torch.sigmoid(a)
        return g * b * s * (1 + a * (1 + s)), g * a * s

    torch.manual_seed(0)
    swiglu = with_backward(lambda a, b: torch.nn.functional.silu(a) * b, backward)
    args = [torch.randn(8, 16).bfloat16() for _ in range(2)]
    assert "only the cotangent" not in reason(swiglu, args, "args[0]")


def test_that_a_cotangent_which_reaches_other_rows_is_named() -> None:
    def backward(g: Any, x: Any) -> Any:
        return g * torch.cos(x) + 0.3 * (g * x).sum() * torch.sin(x * x)

    assert "it also reaches entries that do not depend on it" in reason(
        with_backward(torch.sin, backward), [drawn(4, 3)], "args[0]"
    )


def test_that_a_wide_tolerance_at_a_kink_explains_no_factor_of_all_entries() -> None:
    def backward(g: Any, x: Any) -> Any:
        return torch.where(x == 4, -3 * g, g * ((x > 0) & (x < 4)))

    x = torch.tensor([0.5, 2.75, 4.0, 3.25, 1.125], dtype=torch.float64)
    sentence = reason(with_backward(lambda x: x.clamp(0, 4), backward), [x], "args[0]")
    assert "times the gradient" not in sentence
    assert "only where args[0] is the largest along axis 0" in sentence
