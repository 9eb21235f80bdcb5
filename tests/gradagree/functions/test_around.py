"""Functions with an operation that the reference does not know: what is around it is judged."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradagree import check
from gradagree.adapters.aten import ATEN
from gradagree.adapters.lax.table import LAX
from gradagree.checker.verdict import Verdict
from gradagree.errors import UsageError
from gradagree.functions.assertions import assert_grads, check_function
from gradagree.functions.records import OPERATION, GradientRecord, Report

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
import jax.numpy as jnp  # noqa: E402

from gradagree.torch import gradcheck  # noqa: E402

UNKNOWN = {"torch": "aten.sinh", "jax": "lax.sinh"}
Square = Callable[[Any], Any]


@pytest.fixture(autouse=True)
def unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hyperbolic sine has no NumPy form."""
    monkeypatch.delitem(ATEN, UNKNOWN["torch"])
    monkeypatch.delitem(LAX, "sinh")


def numbers(dtype: str = "float32") -> np.ndarray:
    return np.random.default_rng(4).uniform(0.5, 1.5, (4, 3)).astype(dtype)


class TorchSquare(torch.autograd.Function):  # type: ignore[misc]
    """x^2 with a backward pass of its own."""

    factor = 2.0

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x * x

    @classmethod
    def backward(cls, ctx: Any, g: Any) -> Any:
        return cls.factor * ctx.saved_tensors[0] * g


class WrongTorchSquare(TorchSquare):
    factor = 2.001


def jax_square(factor: float) -> Square:
    square = jax.custom_vjp(lambda x: x * x)
    square.defvjp(lambda x: (x * x, x), lambda x, g: (factor * x * g,))
    return square


SQUARES = {
    "torch": (TorchSquare.apply, WrongTorchSquare.apply),
    "jax": (jax_square(2.0), jax_square(2.001)),
}


def program(name: str, before: int = 0, after: int = 0) -> Callable[[Any], Any]:
    """tanh(sinh(x^2))^2, where a square with number 1 is wrong."""
    squares, xp = SQUARES[name], {"torch": torch, "jax": jnp}[name]
    return lambda x: squares[after](xp.tanh(xp.sinh(squares[before](x))))


def checked(name: str, function: Callable[[Any], Any], x: np.ndarray | None = None, **options: Any) -> Report:
    array = {"torch": torch.as_tensor, "jax": jnp.asarray}[name]
    return check_function(function, [array(numbers() if x is None else x)], **options)


def of(report: Report, quantity: str) -> list[GradientRecord]:
    return [record for record in report.records if record.quantity == quantity]


@pytest.mark.parametrize("name", list(UNKNOWN))
def test_that_a_correct_function_agrees_around_the_operation_and_not_as_a_whole(name: str) -> None:
    report = checked(name, program(name))
    (operation,) = of(report, OPERATION)
    assert (operation.name, operation.verdict) == (UNKNOWN[name], Verdict.UNSUPPORTED)
    assert operation.place.split(":")[0].endswith("test_around.py")
    assert "give a reference function in NumPy to check it too" in operation.reason
    assert report.verdict is Verdict.UNSUPPORTED
    others = [record for record in report.records if record is not operation]
    assert {record.verdict for record in others} == {Verdict.AGREE}
    assert [record.label.split(" (")[0] for record in others] == [
        "output", f"input of {UNKNOWN[name]}", "gradient of args[0]", f"gradient of output of {UNKNOWN[name]}",
    ]  # fmt: skip
    assert all(record.sharpness is not None and float(record.sharpness) < 1e-4 for record in others)


@pytest.mark.parametrize(("before", "after"), [(1, 0), (0, 1)])
@pytest.mark.parametrize("name", list(UNKNOWN))
def test_that_a_fault_on_either_side_is_found(name: str, before: int, after: int) -> None:
    report = checked(name, program(name, before, after))
    assert report.verdict is Verdict.DISAGREE
    assert [record.label for record in report.failures] == ["gradient of args[0]"]
    assert f"not judged: {UNKNOWN[name]}" in report.failures[0].reason


@pytest.mark.parametrize("name", list(UNKNOWN))
def test_that_a_wrong_value_is_found_on_either_side(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    xp = {"torch": torch, "jax": jnp}[name]
    monkeypatch.setitem(ATEN, "aten.cos", np.sin)
    monkeypatch.setitem(LAX, "cos", lambda params, x: np.sin(x))
    for function in (lambda x: xp.sinh(xp.cos(x)) * 2.0, lambda x: xp.cos(xp.sinh(x))):
        assert checked(name, function).verdict is Verdict.VALUE_DIFFERS


def test_that_the_operation_itself_is_checked_with_a_reference() -> None:
    def reference(x: Any) -> Any:
        return np.tanh(np.sinh(x * x)) ** 2

    report = checked("torch", program("torch"), reference=reference)
    assert report.verdict is Verdict.AGREE
    assert not of(report, OPERATION)


def test_that_several_unknown_operations_have_a_record_each() -> None:
    def function(x: Any) -> Any:
        return torch.sinh(torch.exp(torch.sinh(x)) + x).sum()

    report = checked("torch", function, 0.3 * numbers())
    assert [record.verdict for record in of(report, OPERATION)] == [Verdict.UNSUPPORTED] * 2
    assert report.verdict is Verdict.UNSUPPORTED


def test_that_tolerances_allow_for_what_the_operation_makes_of_rounding() -> None:
    """The compiled program rounds otherwise than the operations one by one, and sinh enlarges that."""
    function = program("jax")
    report = checked("jax", lambda x: jnp.log(jnp.sinh(3.0 * jnp.exp(x) + jnp.sin(x))), numbers())
    assert not report.failures
    assert not checked("jax", function, numbers("float16")).failures


@pytest.mark.parametrize("name", list(UNKNOWN))
def test_that_nothing_but_the_operation_is_refused_with_its_place(name: str) -> None:
    xp, operation = {"torch": torch, "jax": jnp}[name], re.escape(UNKNOWN[name])
    with pytest.raises(UsageError, match=rf"no NumPy form of the operation {operation} is known \(called at .*:\d+"):
        checked(name, lambda x: xp.sinh(x))


def test_that_yes_or_no_is_no_answer() -> None:
    with pytest.raises(UsageError, match=r"no NumPy form of the operation aten\.sinh is known"):
        gradcheck(program("torch"), torch.as_tensor(numbers()).requires_grad_())


def test_that_assert_grads_and_check_return_the_report() -> None:
    report = assert_grads(program("torch"), [torch.as_tensor(numbers())], order=2, modes="reverse,forward")
    assert report.verdict is Verdict.UNSUPPORTED
    assert any("in reverse mode were checked: an operation is not known" in note for note in report.notes)
    found = check(program("torch"), inputs=(numbers(),), frameworks="torch", dtypes="float64,bfloat16")
    assert {record.dtype for record in found.records if record.quantity == "gradient"} == {"float64", "bfloat16"}
    assert found.verdict is Verdict.UNSUPPORTED
    assert "unsupported" in str(found)


def test_that_a_crash_of_the_backward_pass_is_a_finding() -> None:
    class Crash(TorchSquare):
        @classmethod
        def backward(cls, *_: Any) -> Any:
            raise ValueError("no derivative")

    report = checked("torch", lambda x: torch.sinh(Crash.apply(x)))
    assert report.verdict is Verdict.CRASHED


def test_that_a_fault_under_a_hidden_condition_is_found_around_the_operation() -> None:
    class Strided(TorchSquare):
        @classmethod
        def backward(cls, ctx: Any, g: Any) -> Any:
            (x,) = ctx.saved_tensors
            memory = g.as_strided(g.shape, (g.shape[1], 1)) if g.numel() > 1 else g  # as if g were contiguous
            return 2 * x * memory

    report = checked("torch", lambda x: Strided.apply(torch.sinh(x)))
    assert report.failures
    assert all("cotangent" in record.condition for record in report.failures)
    assert "call 2" in checked("torch", program("torch")).conditions


def test_that_a_cotangent_that_is_modified_is_found_around_the_operation() -> None:
    class Modifies(TorchSquare):
        @classmethod
        def backward(cls, ctx: Any, g: Any) -> Any:
            (x,) = ctx.saved_tensors
            return g.mul_(2 * x).clone()

    report = checked("torch", lambda x: Modifies.apply(torch.sinh(x)))
    assert report.verdict is Verdict.DISAGREE
    assert report.failures[0].condition == "after the backward pass"
