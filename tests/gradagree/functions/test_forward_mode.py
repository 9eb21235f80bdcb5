"""Forward mode: several formulas of a tangent are admissible, tolerances are sharp, and wrong tangents are proved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradagree.arithmetic.tape import trace
from gradagree.checker.verdict import plain
from gradagree.functions.assertions import check_function
from gradagree.functions.tangents import expect_tangents

torch = pytest.importorskip("torch")
F = torch.nn.functional
DTYPES = ("float64", "float32", "bfloat16")


def drawn(*shape: int, seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def with_zero() -> np.ndarray:
    x = drawn(3, 5)
    x[1, 2] = x[0, 4] = 0
    return x


RIGHT: dict[str, tuple[Callable[..., Any], list[np.ndarray]]] = {
    "cumulative product": (lambda x: torch.cumprod(x, -1), [drawn(3, 5)]),
    "cumulative product with zeros": (lambda x: torch.cumprod(x, -1), [with_zero()]),
    "product": (lambda x: torch.prod(x, -1), [drawn(3, 5)]),
    "product with zeros": (lambda x: torch.prod(x, -1), [with_zero()]),
    "maximum": (torch.maximum, [drawn(4, 3), drawn(3, seed=6)]),
    "minimum": (torch.fmin, [drawn(4, 3), drawn(3, seed=6)]),
    "equal largest entries": (lambda x: x.amax(-1), [np.round(drawn(3, 5))]),
    "cumulative logsumexp": (lambda x: torch.logcumsumexp(4 * x, -1), [drawn(3, 5)]),
    "cholesky": (lambda x: torch.linalg.cholesky(x @ x.mT + 3 * torch.eye(3).to(x.dtype)), [drawn(3, 3)]),
    "cholesky of an argument": (torch.linalg.cholesky, [np.diag([3.0, 4.0, 5.0]) + 0.5]),
    "logsumexp with a shift of its own": (
        lambda x: (x - x.amax(-1, keepdim=True).detach()).exp().sum(-1).log(),
        [drawn(3, 5)],
    ),
    "factors of matrices": (torch.linalg.lu_factor, [drawn(3, 3)]),
    "factors of wide matrices": (lambda x: torch.linalg.lu(x)[1:], [drawn(2, 3, 5)]),
    "factors of tall matrices": (lambda x: torch.linalg.lu(x)[1:], [drawn(5, 3)]),
    "determinant": (torch.linalg.det, [drawn(3, 3)]),
    "a number as a determinant": (torch.linalg.det, [drawn(4, 1, 1)]),
    "a sum with a quotient": (torch.addcdiv, [drawn(5, 5, 5), drawn(5, 5, seed=6), 2 + drawn(5, 1, seed=7) / 9]),
    "a convolution that has a bias": (
        lambda x, w, b: F.conv_transpose1d(x, w, b, stride=2),
        [drawn(2, 3, 9), drawn(3, 4, 3, seed=6), drawn(4, seed=7)],
    ),
    "attention": (F.scaled_dot_product_attention, [drawn(2, 4, 3, seed=k) for k in range(3)]),
}


NOT_THERE = {
    ("cholesky", "bfloat16"): "PyTorch has no Cholesky factorisation in bfloat16",
    ("cholesky of an argument", "bfloat16"): "PyTorch has no Cholesky factorisation in bfloat16",
    **{
        (name, "bfloat16"): "PyTorch has no factorisation of matrices in bfloat16"
        for name in (
            "factors of matrices",
            "factors of wide matrices",
            "factors of tall matrices",
            "determinant",
            "a number as a determinant",
        )
    },
    ("cumulative logsumexp", "float64"): "PyTorch adds 1e-13 to the denominator, a fault that is found in float64",
}


@pytest.mark.parametrize(
    ("name", "dtype"), [(name, dtype) for name in RIGHT for dtype in DTYPES if (name, dtype) not in NOT_THERE]
)
def test_that_no_right_tangent_is_accused(name: str, dtype: str) -> None:
    function, arrays = RIGHT[name]
    for seed in range(5):
        args = tuple(torch.tensor(x * (1 + seed / 4)).to(getattr(torch, dtype)) for x in arrays)
        report = check_function(function, args, modes=("forward",), layouts=False, repeat=1)
        assert not report.failures, str(report)


def test_that_the_shift_of_a_softmax_does_not_blunt_its_tangent() -> None:
    report = check_function(
        lambda x: torch.softmax(3 * x, -1), (torch.tensor(drawn(3, 5)),), modes=("forward",), layouts=False, repeat=1
    )
    assert all(float(record.sharpness or 0) < 1e-12 for record in report.records)


@pytest.mark.parametrize(
    "name",
    ["cumulative product", "maximum", "equal largest entries", "determinant", "a sum with a quotient",
     "a convolution that has a bias"],
)  # fmt: skip
def test_that_a_tangent_that_is_one_percent_too_large_is_found(name: str) -> None:
    function, arrays = RIGHT[name]

    class Wrong(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(x: Any) -> Any:
            return x.clone()

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            pass

        @staticmethod
        def jvp(_: Any, t: Any) -> Any:
            return t * 1.01

    args = tuple(torch.tensor(x, dtype=torch.float32) for x in arrays)
    report = check_function(lambda *xs: Wrong.apply(function(*xs)), args, modes=("forward",), layouts=False, repeat=1)
    (failure,) = report.failures
    assert (failure.label, failure.verdict.value) == ("tangent of output", "disagree")
    assert failure.expected_radius is not None


def test_that_an_output_that_is_declared_to_have_no_derivative_needs_no_tangent() -> None:
    def function(x: Any) -> Any:
        return torch.native_batch_norm(x, None, None, None, None, True, 0.1, 1e-5)

    report = check_function(function, (torch.tensor(drawn(4, 3, 2)),), modes=("forward",), layouts=False, repeat=1)
    assert [r.label for r in report.records if r.quantity == "tangent"] == ["tangent of output[0]"]
    assert report.verdict.value == "agree"


def test_that_a_tangent_that_is_missing_is_found() -> None:
    """The second output has a gradient in reverse mode, so it is no constant."""

    def lost(x: Any) -> Any:
        return x * 2, torch.autograd.forward_ad.unpack_dual(x).primal * 3

    report = check_function(lost, (torch.tensor(drawn(3)),), modes=("forward",), layouts=False, repeat=1)
    assert [r.label for r in report.failures] == ["tangent of output[1]"]


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_that_long_programs_in_16_bits_have_probabilistic_tolerances() -> None:
    def function(x: Any, w: Any) -> Any:
        for _ in range(6):
            x = np.tanh(x @ w) + x
        return x

    x, w, t = (np.round(8 * drawn(n, 64, seed=k)) / 8 for k, n in enumerate((3, 64, 3)))
    w = w / 8
    graph = trace(function, x, w)
    (found,) = expect_tangents(graph, [x, w], [t, None], "stored", "bfloat16", ["bfloat16"])
    assert found.probable is not None
    assert found.correlated is not None
    assert np.median(found.probable / found.radius) < 0.1
    a, b, e = (torch.tensor(z).to(torch.bfloat16) for z in (x, w, t))
    ours = torch.func.jvp(lambda z: sum_of_layers(z, b), (a,), (e,))[1].double().numpy()
    error = np.abs(ours - found.value)
    assert np.all(error <= np.maximum(found.probable, found.correlated()))
    assert np.max(error / found.probable) > 0.02


def sum_of_layers(x: Any, w: Any) -> Any:
    for _ in range(6):
        x = torch.tanh(x @ w) + x
    return x


def test_that_the_proved_tangent_is_the_derivative() -> None:
    class Halved(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(x: Any) -> Any:
            return torch.exp(x)

        @staticmethod
        def setup_context(ctx: Any, _: Any, output: Any) -> None:
            ctx.save_for_forward(output)

        @staticmethod
        def jvp(ctx: Any, t: Any) -> Any:
            return ctx.saved_tensors[0] * t / 2

    x = torch.tensor([0.5], dtype=torch.float64)
    (failure,) = check_function(Halved.apply, (x,), modes=("forward",), layouts=False, repeat=1).failures
    assert failure.expected_radius is not None
    assert abs(plain(failure.expected) / plain(failure.observed) - 2) < 2.0**-50
