"""PyTorch: settings, gradients that are not there, class targets, and reverse mode as users call it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradagree.adapters import Adapter, ForTorch, Problem, Unsupported
from gradagree.adapters.for_torch import backward, compiled, gradient_at
from gradagree.adapters.programs import MAX_PROGRAMS
from gradagree.arithmetic.model import model
from gradagree.cases.case import Case
from gradagree.checker.reverse import check
from gradagree.checker.statistical import compare_statistically
from gradagree.checker.verdict import Verdict
from gradagree.reference.activations import Tanh

torch: Any = pytest.importorskip("torch")

THREADS, PRECISION = 2, "medium"


@pytest.fixture
def others() -> Any:
    """Settings that are not those of the adapter."""
    before = torch.get_num_threads(), torch.get_float32_matmul_precision()
    torch.set_num_threads(THREADS)
    torch.set_float32_matmul_precision(PRECISION)
    yield
    torch.set_num_threads(before[0])
    torch.set_float32_matmul_precision(before[1])


def settings() -> tuple[int, str]:
    return torch.get_num_threads(), torch.get_float32_matmul_precision()


def test_that_settings_are_on_within_and_as_before_after(others: None) -> None:
    adapter = ForTorch()
    assert settings() == (THREADS, PRECISION), "making an adapter sets nothing"
    with adapter.settings():
        assert settings() == (1, "highest")
    assert settings() == (THREADS, PRECISION)


def test_that_settings_are_as_before_after_an_error_too(others: None) -> None:
    with pytest.raises(RuntimeError, match="within"), ForTorch().settings():
        raise RuntimeError("within")
    assert settings() == (THREADS, PRECISION)


def test_that_backward_is_users_own_backward() -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    error = lambda leaves, targets: ((leaves[0] ** targets).sum(), "aux")  # noqa: E731
    (E, aux), (gradient,) = backward(error, [True])([x], 3)
    assert (E.item(), aux) == (9.0, "aux")
    assert gradient.tolist() == [3.0, 12.0]


def test_that_a_missing_gradient_is_zero() -> None:
    x = torch.ones((2, 3), dtype=torch.float64, requires_grad=True)
    zero = gradient_at(x)
    assert (zero.shape, zero.dtype, float(zero.abs().sum())) == (x.shape, x.dtype, 0.0)
    x.sum().backward()
    assert gradient_at(x) is x.grad


def test_that_leaves_ask_for_gradients_and_targets_of_classes_cannot() -> None:
    adapter = ForTorch()
    assert adapter.array(np.ones(2), "float32").requires_grad
    assert not adapter.array(np.ones(2, dtype=np.int64), "float32").requires_grad


def test_that_a_function_is_applied_without_gradients() -> None:
    adapter = ForTorch()
    assert not adapter.apply(lambda x: x * 2, [adapter.array(np.ones(2), "float64")], False).requires_grad


def test_that_the_sensitivity_of_a_box_is_the_gradient_at_its_current_input(problem: Callable[..., Problem]) -> None:
    given = problem("2-3-2:id,tanh:sse:n3:f64:ordinary:s4", loss_weight=1.0)
    tapped, _ = ForTorch().answers(given, "backward")
    p = torch.from_numpy(tapped.values["c1"]).requires_grad_()
    o = torch.tanh(p) @ torch.from_numpy(given.weights[1])
    torch.nn.functional.mse_loss(o, torch.from_numpy(given.targets), reduction="sum").backward()
    assert np.array_equal(tapped.values["c2"], o.detach().numpy())
    assert np.array_equal(tapped.cotangents["c1"], p.grad.numpy())


def test_that_gradients_do_not_pile_up_over_calls(problem: Callable[..., Problem]) -> None:
    given, adapter = problem("2-3b-2:id,tanh:sse:n3:f64:ordinary:s4"), ForTorch()
    first, second = (adapter.answers(given, "backward")[1] for _ in range(2))
    assert np.any(first.gradients["w1"])
    assert np.array_equal(first.gradients["w1"], second.gradients["w1"])


def test_that_importing_the_adapters_imports_no_framework() -> None:
    program = "import sys, gradagree.adapters; print([name for name in ('torch', 'jax') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    imported = subprocess.run(
        [sys.executable, "-c", program.replace("; print", ", torch; print")], capture_output=True, text=True, check=True
    )
    assert imported.stdout.strip() == "['torch']", "this check can fail"


def test_that_the_catalogue_has_it() -> None:
    assert Adapter.catalogue["torch"] is ForTorch
    assert ForTorch.modes["backward"].gradient is backward


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
@pytest.mark.parametrize("mode", ["vmap", "forward"])
def test_that_a_function_that_cannot_be_transformed_is_unsupported_there(
    mode: str, problem: Callable[..., Problem]
) -> None:
    class Plain(torch.autograd.Function):
        @staticmethod
        def forward(_: Any, p: Any) -> Any:
            return 2 * p

        @staticmethod
        def backward(_: Any, delta: Any) -> Any:
            return 2 * delta

    class _Doubled(Tanh):
        def torch(self, p: Any, torch: Any) -> Any:
            return Plain.apply(p)

    given = problem("3-4b-2:id,tanh:sse:n5:f64:ordinary:s1", activations=[_Doubled(), _Doubled()])
    with pytest.raises(Unsupported, match=r"^torch: "):
        ForTorch().answers(given, mode)
    assert ForTorch().answers(given, "backward")


def test_that_a_process_that_compiles_nothing_never_imports_the_compiler() -> None:
    """Not even when it drops old programs, which is when the compiler has to forget them."""
    program = f"""
import sys
from gradagree.adapters import ForTorch
from gradagree.cases.case import Case, problem_of
adapter = ForTorch()
for width in range(1, {MAX_PROGRAMS} + 3):
    case = Case.parse(f"2-{{width}}-2:id,tanh:sse:n1:f64:grid:s1")
    adapter.answers(problem_of(case, case.arrays()), "backward")
print('torch._dynamo' in sys.modules)
adapter.framework.compiler.reset()
print('torch._dynamo' in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch", "ignore:The .grad attribute:UserWarning")
def test_that_a_function_whose_python_asks_for_numbers_is_compiled_in_pieces(problem: Callable[..., Problem]) -> None:
    """As ``torch.compile`` does for its users: ``gaussian_nll_loss`` asks whether a variance is negative."""
    case = Case.parse("2-4b:id,exp:gaussian_nll:n3:f64:ordinary:s1")
    tapped, untapped = ForTorch().answers(problem(case.spec), "compile")
    assert np.any(tapped.gradients["w1"])
    rules, arrays = model("float64"), case.arrays()
    found = [*check(case, arrays, tapped, rules), *compare_statistically(case, arrays, untapped, rules)]
    assert {one.verdict for one in found} == {Verdict.AGREE}


@pytest.mark.parametrize(("fails", "whole"), [(False, [True, True]), (True, [True, False, False])])
def test_that_what_can_be_compiled_as_a_whole_is(fails: bool, whole: list[bool], monkeypatch: Any) -> None:
    calls: list[bool] = []

    def compile(error: Any, fullgraph: bool, dynamic: bool) -> Any:
        def program(*operands: Any) -> Any:
            calls.append(fullgraph)
            if fullgraph and fails:
                raise torch._dynamo.exc.UserError(torch._dynamo.exc.UserErrorType.ANTI_PATTERN, "numbers")
            return error(*operands)

        return program

    monkeypatch.setattr(torch, "compile", compile)
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    gradient = compiled(lambda leaves, targets: ((leaves[0] ** 2).sum(), ()), ())
    for _ in range(2):
        assert gradient([x], None)[1][0].tolist() == [2.0, 4.0]
    assert calls == whole
