"""A check in which no derivative was compared ends with a sentence, never with a pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradagree import assert_grads, check
from gradagree.cli.main import code
from gradagree.errors import UsageError

torch = pytest.importorskip("torch")


def empty(*shape: int) -> Any:
    return torch.zeros(*shape, requires_grad=True)


def jax_numpy() -> Any:
    return pytest.importorskip("jax").numpy


def through_gradcheck() -> None:
    from gradagree.torch import gradcheck

    gradcheck(torch.sin, (empty(0),))


def through_check_grads() -> None:
    pytest.importorskip("jax")
    from gradagree.jax import check_grads

    check_grads(jax_numpy().sin, (jax_numpy().zeros(0),), 1)


CALLS: dict[str, tuple[Callable[[], Any], str]] = {
    "empty arrays": (lambda: assert_grads(torch.sin, [empty(0, 3)]), "the output has no entries"),
    "empty arrays of jax": (
        lambda: assert_grads(jax_numpy().sin, [jax_numpy().zeros((0, 3))]), "the output has no entries",
    ),
    "empty output": (lambda: assert_grads(lambda x: x[:0], [torch.ones(3)]), "the output has no entries"),
    "empty input": (lambda: assert_grads(torch.sum, [empty(0)]), r"the gradient of args\[0\] has no entries"),
    "by inputs": (
        lambda: check(torch.sin, np.sin, inputs=(np.zeros(0),), dtypes="float32,float64"), "the output has no entries",
    ),
    "gradcheck": (through_gradcheck, "the output has no entries"),
    "check_grads": (through_check_grads, "the output has no entries"),
    "blunt tolerance": (
        lambda: assert_grads(lambda x: torch.softmax(x, -1).sum(), [torch.linspace(-1, 1, 4)]),
        r"the tolerance of the gradient of args\[0\] is as large as its entries; give other inputs or a wider dtype",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_that_a_check_without_comparison_says_so(name: str) -> None:
    call, sentence = CALLS[name]
    with pytest.raises(UsageError, match=f"nothing was compared: {sentence}"):
        call()


def test_that_a_mode_that_the_function_lacks_is_no_comparison() -> None:
    jax = pytest.importorskip("jax")
    square = jax.custom_vjp(lambda x: x * x)
    square.defvjp(lambda x: (x * x, x), lambda x, g: (2 * x * g,))
    with pytest.raises(UsageError, match=r"nothing was compared: forward mode: TypeError: .* custom_vjp"):
        assert_grads(square, [jax.numpy.ones(3)], modes="forward")
    assert assert_grads(square, [jax.numpy.ones(3)], modes=("reverse", "forward"))


def test_that_an_empty_array_beside_others_is_shown_as_not_checked() -> None:
    report = assert_grads(lambda x, y: (x.sum(), 2 * y), [empty(0, 3).detach(), torch.ones(2)])
    found = {record.label: (record.verdict.value, record.share, record.reason) for record in report.records}
    assert found["gradient of args[0]"] == ("agree", 0.0, "it has no entries, so nothing was compared")
    assert found["gradient of args[1]"] == ("agree", 1.0, "")


def test_that_a_wrong_shape_of_an_empty_gradient_is_found() -> None:
    class Wrong(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(_: Any, x: Any, y: Any) -> Any:
            return x.sum() + y

        @staticmethod
        def backward(_: Any, g: Any) -> Any:
            return g.new_ones(3, 1), g

    with pytest.raises(AssertionError, match=r"crashed(.*\n)*.*invalid gradient"):
        assert_grads(Wrong.apply, [empty(0, 3).detach(), torch.ones(())])


def test_that_a_gradient_that_is_exactly_zero_is_compared() -> None:
    assert assert_grads(torch.round, [torch.linspace(-1, 1.3, 5)]).verdict.value == "agree"


def test_that_the_command_ends_with_5(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    np.savez(tmp_path / "inputs.npz", np.zeros(0))
    words = ["check", "torch:sin", "--inputs", str(tmp_path / "inputs.npz"), "--framework", "torch"]
    assert code(words) == 5
    assert "nothing was compared: the output has no entries" in capsys.readouterr().err
