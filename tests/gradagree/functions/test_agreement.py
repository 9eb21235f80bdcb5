"""Arrays that agree are found some rows at a time, with the records of the whole; no fault gets past."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradagree.functions import batches
from gradagree.functions.agreement import Limits, Rung
from gradagree.functions.assertions import check_function

torch = pytest.importorskip("torch")

ROWS = 60


def layer_norm(xp: Any, x: Any, weight: Any, bias: Any) -> Any:
    centred = x - xp.mean(x, axis=-1, keepdims=True)
    return centred / xp.sqrt(xp.mean(centred**2, axis=-1, keepdims=True) + 1e-5) * weight + bias


def softmax(xp: Any, x: Any) -> Any:
    z = xp.exp(x - xp.amax(x, axis=-1, keepdims=True))
    return z / xp.sum(z, axis=-1, keepdims=True)


def chain(xp: Any, x: Any) -> Any:
    return xp.tanh(x) * xp.exp(-x) + x


FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[tuple[int, ...], ...]]] = {
    "layer norm": (layer_norm, ((ROWS, 50), (50,), (50,))),
    "softmax": (softmax, ((ROWS, 20),)),
    "chain": (chain, ((ROWS, 40),)),
}


def drawn(shapes: tuple[tuple[int, ...], ...], dtype: str) -> list[Any]:
    rng = np.random.default_rng(5)
    return [torch.tensor(rng.standard_normal(shape)).to(getattr(torch, dtype)) for shape in shapes]


def by_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "LEAST", 1)
    monkeypatch.setattr(batches, "TILE", 500)


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("in_numpy", [True, False], ids=["in NumPy", "its own forward pass"])
def test_that_records_are_those_of_the_whole(
    monkeypatch: pytest.MonkeyPatch, name: str, dtype: str, in_numpy: bool
) -> None:
    function, shapes = FUNCTIONS[name]
    args, ran = drawn(shapes, dtype), []
    findings = Rung.findings
    monkeypatch.setattr(Rung, "findings", lambda rung: ran.append(findings(rung)) or ran[-1])

    def records() -> list[Any]:
        reference = (lambda *xs: function(np, *xs)) if in_numpy else None
        mine = lambda *xs: function(torch, *xs)  # noqa: E731
        return check_function(mine, args, reference=reference, layouts=False, repeat=1).records

    whole = records()
    assert not ran
    by_rows(monkeypatch)
    rows = records()
    assert ran
    assert set().union(*ran) == set(range(len(whole)))
    for one, other in zip(rows, whole, strict=True):
        assert (one.label, one.verdict) == (other.label, other.verdict)
        if one.arithmetic != other.arithmetic:  # sums over rows, where the rows themselves need "stored"
            assert one.name != "args[0]"
            continue
        assert one.share == pytest.approx(other.share, abs=0.02)
        assert one.sharpness == pytest.approx(other.sharpness, rel=0.05)
        assert one.ratio == pytest.approx(other.ratio, rel=0.05, abs=0.01)


def wrong_by(change: Callable[[list[Any]], None]) -> Callable[..., Any]:
    """Layer norm whose backward pass changes the gradients."""

    class Norm(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, *arrays: Any) -> Any:
            ctx.save_for_backward(*arrays)
            return layer_norm(torch, *arrays)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            arrays = [x.detach().requires_grad_() for x in ctx.saved_tensors]
            with torch.enable_grad():
                found = [x.clone() for x in torch.autograd.grad(layer_norm(torch, *arrays), arrays, g)]
            change(found)
            return tuple(found)

    return Norm.apply  # type: ignore[no-any-return]


def last_entry(found: list[Any]) -> None:
    found[0][-1, -1] += 1e-3


def weights(found: list[Any]) -> None:
    found[1] *= 1.0003


def biases(found: list[Any]) -> None:
    found[2][7] += 1e-3


def beyond_independent_errors(found: list[Any]) -> None:
    found[2] += 6e-6 * found[2].abs().max()


@pytest.mark.parametrize("change", [last_entry, weights, biases, beyond_independent_errors])
def test_that_a_fault_in_any_array_is_found(monkeypatch: pytest.MonkeyPatch, change: Any) -> None:
    by_rows(monkeypatch)
    args = drawn(FUNCTIONS["layer norm"][1], "float32")
    report = check_function(wrong_by(change), args, reference=lambda *xs: layer_norm(np, *xs))
    assert {record.name for record in report.failures} == {
        {last_entry: "args[0]", weights: "args[1]"}.get(change, "args[2]")
    }


def test_that_a_fault_with_another_layout_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    by_rows(monkeypatch)

    class Chain(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return chain(torch, x)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            (x,) = ctx.saved_tensors
            found = g * (torch.exp(-x) * (1 - torch.tanh(x) ** 2 - torch.tanh(x)) + 1)
            return found if g.is_contiguous() else found * 1.0001

    args = drawn(FUNCTIONS["chain"][1], "float32")
    report = check_function(Chain.apply, args, reference=lambda x: chain(np, x))
    assert {record.condition for record in report.failures} >= {"non-contiguous cotangent", "transposed cotangent"}
    assert all("(" in record.label for record in report.failures)


def test_that_shares_at_a_tie_that_do_not_add_up_are_found_by_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    by_rows(monkeypatch)

    class Largest(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return torch.amax(x * 2, -1)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            (x,) = ctx.saved_tensors
            return 2 * g[:, None] * (x == torch.amax(x, -1, keepdim=True))  # wrong: the whole to each

    x = drawn(((ROWS, 20),), "float32")[0]
    x[3, 4] = x[3, 9] = 7.0
    assert not check_function(lambda x: torch.amax(x * 2, -1), [x], reference=lambda x: np.max(x * 2, -1)).failures
    report = check_function(Largest.apply, [x], reference=lambda x: np.max(x * 2, -1))
    assert report.failures[0].reason.startswith("at a tie each entry may have any share")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_that_limits_hold_what_is_within_the_tolerance_and_nothing_else(dtype: str) -> None:
    value, tolerance = np.array([1.0, -3.0, 0.0]), np.array([1e-3, 0.0, 1e-5])
    limits = Limits((3,), dtype)
    limits.put(..., value, np.abs(value), tolerance)
    assert limits.hold(value)
    assert limits.hold(value + 0.99 * tolerance)
    for k in range(3):
        for side in (-1, 1):
            beyond = value.copy()
            beyond[k] += side * (1.01 * tolerance[k] + 1e-6)
            assert not limits.hold(beyond)
    assert not limits.hold(value[:2])
    assert not limits.hold(None)
    assert not limits.hold(np.array([np.nan, -3.0, 0.0]))
