"""Tracing of PyTorch programs: places in the user's file, modules, views, writes and branches."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from gradagree.adapters.torch_programs import to_numpy, trace_program  # noqa: E402
from gradagree.functions.assertions import assert_grads  # noqa: E402

X = torch.linspace(-1.0, 1.5, 6, dtype=torch.float64).reshape(2, 3)


def line_of(function: Any, text: str) -> str:
    """File and line of the function's line that contains the text."""
    lines, start = inspect.getsourcelines(function)
    number = next(k for k, line in enumerate(lines) if text in line)
    return f"{Path(__file__)}:{start + number}"


def plain(x: Any) -> Any:
    y = torch.tanh(x)
    return torch.nn.functional.gelu(y)


def writing(x: Any) -> Any:
    y = x * 2
    y[0] += 1
    y.view(-1)[1:3].mul_(x[0, 0])
    return y.exp()


def writing_into_its_input(x: Any, buffer: Any) -> Any:
    buffer.add_(x)
    return buffer * x


def branching(x: Any) -> Any:
    if x.sum() > 0:
        return x * float(x.detach().max())
    return x


class Block(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = torch.nn.Linear(3, 3).double()
        self.register_buffer("shift", torch.ones(3, dtype=torch.float64))

    def forward(self, x: Any) -> Any:
        return torch.relu(self.inner(x) + self.shift)


def test_that_places_are_lines_of_the_user() -> None:
    places = {step.name: step.place for step in trace_program(plain, [X], ["x"]).steps}
    assert places["aten.tanh"] == line_of(plain, "torch.tanh")
    assert places["aten.gelu"] == line_of(plain, "functional.gelu")


def test_that_places_survive_writes() -> None:
    steps = trace_program(writing, [X], ["x"]).steps
    assert all(step.place.startswith(str(Path(__file__))) for step in steps)
    assert {s.place for s in steps if s.name == "aten.exp"} == {line_of(writing, "y.exp()")}
    assert line_of(writing, "y[0] += 1") in {s.place for s in steps if s.name == "aten.add"}


def test_that_places_of_modules_are_lines_of_the_users_own_module() -> None:
    steps = trace_program(Block(), [X], ["x"]).steps
    assert {s.place for s in steps} == {line_of(Block.forward, "self.inner(x)")}


@pytest.mark.parametrize("function", [plain, writing, branching], ids=lambda f: f.__name__)
def test_that_the_program_computes_what_the_function_computes(function: Any) -> None:
    (found,) = trace_program(function, [X], ["x"])(to_numpy(X))
    np.testing.assert_allclose(found, to_numpy(function(X.clone())), rtol=1e-14)


def test_that_tracing_leaves_the_inputs_alone() -> None:
    buffer = torch.zeros_like(X)
    program = trace_program(writing_into_its_input, [X, buffer], ["x", "buffer"])
    assert not buffer.any()
    assert not program.unknown
    (found,) = program(to_numpy(X), to_numpy(buffer))
    np.testing.assert_allclose(found, to_numpy(X * X))


def test_that_gradients_through_writes_views_and_branches_agree() -> None:
    assert_grads(writing, (X,))
    assert_grads(branching, (X,))
    assert_grads(lambda x, y: (x * y, torch.sin(x) + y), (X, X))


def test_that_parameters_of_a_module_keep_their_names() -> None:
    report = assert_grads(Block(), (X.clone().requires_grad_(),))
    assert {r.name for r in report.records} >= {"args[0]", "inner.weight", "inner.bias"}


def test_that_a_wrong_backward_pass_of_a_write_disagrees() -> None:
    class Doubled(torch.autograd.Function):
        @staticmethod
        def forward(_ctx: Any, x: Any) -> Any:
            y = x.clone()
            y[0] *= 2
            return y

        @staticmethod
        def backward(_ctx: Any, g: Any) -> Any:
            return g

    with pytest.raises(AssertionError):
        assert_grads(Doubled.apply, (X,))


def test_that_random_slopes_are_those_of_the_first_run() -> None:
    assert_grads(lambda x: torch.nn.functional.rrelu(x, training=False), (X,))
    program = trace_program(lambda x: torch.nn.functional.rrelu(x, training=True), [X], ["x"])
    (found,) = program(to_numpy(X))
    negative = to_numpy(X) < 0
    slopes = found[negative] / to_numpy(X)[negative]
    assert ((slopes >= 0.125) & (slopes <= 1 / 3)).all()
    np.testing.assert_array_equal(found[to_numpy(X) >= 0], to_numpy(X)[to_numpy(X) >= 0])


def test_that_fused_attention_without_dropout_has_gradients() -> None:
    x = torch.linspace(-1.0, 1.0, 24, dtype=torch.float64).reshape(1, 2, 4, 3)
    report = assert_grads(torch.nn.functional.scaled_dot_product_attention, (x, x.flip(-1), x.cos()))
    assert len(report.records) >= 4
