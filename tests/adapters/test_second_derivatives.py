"""Forward over forward mode of a survey agrees with the other modes, and shows faults that only it has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradagree import survey
from gradagree.adapters import Adapter, Unsupported
from gradagree.adapters.pointwise import framework_implementation
from gradagree.reference import Activation, ErrorFunction

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
FRAMEWORKS = ("torch", "jax")
ROWS = np.array([[1.0, 0.875, 0.75], [0.5, -2.0, 1.5]])
TARGETS = np.array([[0.0, 1.0, 0.0], [0.25, 0.25, 0.5]])


def second(framework: str, function: Any, mode: str, j: int | None, x: np.ndarray, *constants: np.ndarray) -> Any:
    """The second derivative of the first output along input j, in float64."""
    pytest.importorskip(framework)
    adapter = Adapter.catalogue[framework]()
    with adapter.settings():
        f = framework_implementation(function, adapter, "float64")
        targets = tuple(adapter.constant(t, "float64") for t in constants)
        k = 0 if isinstance(function, Activation) and j is not None else None
        return adapter.back(adapter.pointwise().modes("second")[mode](f, adapter.array(x, "float64"), targets, k, j))


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("name", ["tanh", "silu", "id", "relu"])
def test_that_forward_over_forward_is_the_second_derivative_entry_by_entry(framework: str, name: str) -> None:
    x, function = np.array([-1.5, 0.5, 2.0]), Activation.named(name)
    given = second(framework, function, "forward-forward", None, x)
    assert given == pytest.approx(second(framework, function, "reverse-reverse", None, x), abs=2.0**-40)


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("j", [0, 2])
@pytest.mark.parametrize("name", ["softmax", "logsumexp"])
def test_that_forward_over_forward_is_a_column_of_the_hessian(framework: str, name: str, j: int) -> None:
    function = Activation.named(name)
    given = second(framework, function, "forward-forward", j, ROWS)
    assert given.shape == ROWS.shape
    assert given == pytest.approx(second(framework, function, "forward-reverse", j, ROWS), abs=2.0**-40)


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("name", ["soft_cross_entropy", "mse", "kl_div"])
def test_that_forward_over_forward_of_a_loss_adds_the_losses_of_a_row(framework: str, name: str) -> None:
    function = ErrorFunction.named(name)
    o = np.abs(ROWS) / np.abs(ROWS).sum(axis=1, keepdims=True) if name == "kl_div" else ROWS
    given = second(framework, function, "forward-forward", 1, o, TARGETS)
    assert given == pytest.approx(second(framework, function, "reverse-forward", 1, o, TARGETS), abs=2.0**-40)


ONLY_REVERSE = """
from gradagree import Activation
import numpy as np

class ReverseOnly(Activation):
    '''A(p) = p^2.'''

    def value(self, p):
        return p * p

    def derivative(self, p):
        return 2 * p

    def torch(self, p, torch):
        class Square(torch.autograd.Function):
            @staticmethod
            def forward(p):
                return p * p

            @staticmethod
            def setup_context(ctx, inputs, output):
                ctx.save_for_backward(*inputs)

            @staticmethod
            def backward(ctx, delta_a):
                return 2 * ctx.saved_tensors[0] * delta_a

        return Square.apply(p)

    def jax(self, p, jax):
        square = jax.custom_vjp(lambda p: p * p)
        square.defvjp(lambda p: (p * p, p), lambda p, delta_a: (2 * p * delta_a,))
        return square(p)
"""


@pytest.fixture
def catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADAGREE_CACHE", "off")
    monkeypatch.setattr(Activation, "catalogue", dict(Activation.catalogue))


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.usefixtures("catalogue")
def test_that_a_function_without_forward_mode_is_unsupported(framework: str, tmp_path: Path) -> None:
    pytest.importorskip(framework)
    (tmp_path / "only.py").write_text(ONLY_REVERSE, encoding="utf-8")
    modes = "forward,forward-forward,reverse-reverse"
    found = survey(frameworks=framework, modes=modes, dtypes="float32", ext=[str(tmp_path / "only.py")])
    statuses = {row.mode: row.status for row in found.rows if row.mode in modes.split(",")}
    assert statuses == {"forward": "unsupported", "forward-forward": "unsupported", "reverse-reverse": "measured"}


PLANTED = """
from gradagree import Activation
import numpy as np

class FirstOnly(Activation):
    '''A(p) = p^3, whose forward rule in torch is right once and has no derivative of its own.'''

    def value(self, p):
        return p**3

    def derivative(self, p):
        return 3 * p**2

    def torch(self, p, torch):
        class Cube(torch.autograd.Function):
            @staticmethod
            def forward(p):
                return p**3

            @staticmethod
            def setup_context(ctx, inputs, output):
                ctx.save_for_backward(*inputs)
                ctx.save_for_forward(*inputs)

            @staticmethod
            def backward(ctx, delta_a):
                return 3 * ctx.saved_tensors[0] ** 2 * delta_a

            @staticmethod
            def jvp(ctx, tangent):
                return 3 * ctx.saved_tensors[0].detach() ** 2 * tangent

        return Cube.apply(p)
"""


@pytest.mark.usefixtures("catalogue")
def test_that_a_forward_rule_without_a_derivative_is_found_in_forward_over_forward_mode(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (tmp_path / "first.py").write_text(PLANTED, encoding="utf-8")
    modes = "forward,forward-reverse,forward-forward"
    found = survey(frameworks="torch", modes=modes, dtypes="float32", ext=[str(tmp_path / "first.py")])
    faults = [one for one in found.findings if one.severity in ("high", "medium") and one.region == "ordinary"]
    assert {mode for one in faults for mode in one.modes} == {"forward-forward"}


def test_that_forward_over_forward_of_layer_norm_is_wrong_in_torch_and_the_program_of_the_finding_shows_it() -> None:
    torch = pytest.importorskip("torch")
    found = survey(activations="layer_norm", frameworks="torch", modes="forward-forward", dtypes="float64")
    worst = next(one for one in found.findings if one.region == "ordinary")
    assert (worst.kind, worst.severity) == ("wrong sign", "high")
    x = torch.tensor([worst.example["input"]], dtype=torch.float64)
    first, other = (worst.example["entry"][0], worst.example["entry"][-1])
    eps = 2.0**-16

    def plain(x: Any) -> Any:
        return (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, keepdim=True, unbiased=False) + eps)

    hessian = torch.func.hessian(lambda x: plain(x)[0, 0])(x)[0, first, 0, other]
    assert worst.example["true"] == pytest.approx(hessian.item())
    exec(worst.reproducer, {})


def test_that_an_error_of_another_kind_is_not_called_unsupported() -> None:
    torch = pytest.importorskip("torch")
    pointwise = Adapter.catalogue["torch"]().pointwise()

    def wrong(x: Any) -> Any:
        raise RuntimeError("it has no such shape")

    with pytest.raises(RuntimeError) as raised:
        pointwise.modes("slope")["backward"](wrong, torch.ones(2), ())
    assert not isinstance(raised.value, Unsupported)
