"""Algorithms whose errors are bounded by the largest entries: inaccurate, neither wrong nor right; faults are found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradagree.checker.verdict import Verdict
from gradagree.functions.assertions import check_function
from gradagree.functions.enclosures import Expected
from gradagree.functions.judge import judge
from gradagree.functions.own_operations import OWN_OPERATIONS, REASON, with_own
from gradagree.functions.records import Report

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")


def by_transforms(x: Any, w: Any) -> Any:
    return torch.fft.irfft(torch.fft.rfft(x) * torch.fft.rfft(w), n=x.shape[-1])


def plain_sum(x: Any, w: Any) -> Any:
    n = x.shape[-1]
    return np.stack([sum(x[..., (i - j) % n] * w[j] for j in range(n)) for i in range(n)], axis=-1)


def strassen(a: Any, b: Any) -> Any:
    """Strassen (1969): seven products of blocks in place of eight."""
    h = a.shape[0] // 2
    (a11, a12), (a21, a22) = ((z[:h], z[h:]) for z in (a[:h].mT, a[h:].mT))
    a11, a12, a21, a22 = (z.mT for z in (a11, a12, a21, a22))
    b11, b12, b21, b22 = b[:h, :h], b[:h, h:], b[h:, :h], b[h:, h:]
    m1, m2, m3 = (a11 + a22) @ (b11 + b22), (a21 + a22) @ b11, a11 @ (b12 - b22)
    m4, m5 = a22 @ (b21 - b11), (a11 + a12) @ b22
    m6, m7 = (a21 - a11) @ (b11 + b12), (a12 - a22) @ (b21 + b22)
    return torch.cat([torch.cat([m1 + m4 - m5 + m7, m3 + m5], 1), torch.cat([m2 + m4, m1 - m2 + m3 + m6], 1)])


def winograd(x: Any, w: Any) -> Any:
    """F(2, 3) (Winograd 1980): two sliding products with three weights by four multiplications."""
    m1 = (x[..., 0] - x[..., 2]) * w[0]
    m2 = (x[..., 1] + x[..., 2]) * ((w[0] + w[1] + w[2]) / 2)
    m3 = (x[..., 2] - x[..., 1]) * ((w[0] - w[1] + w[2]) / 2)
    m4 = (x[..., 1] - x[..., 3]) * w[2]
    return torch.stack([m1 + m2 + m3, m2 - m3 - m4], -1)


def sliding(x: Any, w: Any) -> Any:
    return np.stack([x[..., k : k + 3] @ w for k in range(2)], axis=-1)


def one_pass_variance(x: Any) -> Any:
    return (x * x).mean(-1) - x.mean(-1) ** 2


def two_pass_variance(x: Any) -> Any:
    return np.mean((x - np.mean(x, axis=-1, keepdims=True)) ** 2, axis=-1)


SIZES = 4.0 ** -np.arange(8)
CASES: dict[str, tuple[Callable[..., Any], Callable[..., Any], list[np.ndarray]]] = {
    "convolution": (by_transforms, plain_sum, [np.ones((3, 8)), SIZES]),
    "product of matrices": (strassen, np.matmul, [SIZES[:, None] * np.ones(8), np.ones((8, 8))]),
    "short convolution": (winograd, sliding, [np.array([1, 1, 1e-3, 1]), np.array([1e-3, 1.0, 1e-3])]),
    "variance": (one_pass_variance, two_pass_variance, [np.full((4, 6), 0.05)]),
}
SHIFTS = {"variance": 1.0}


def arrays_of(name: str, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [size * rng.standard_normal(size.shape) + SHIFTS.get(name, 0) for size in CASES[name][2]]


def checked(function: Any, reference: Any, arrays: list[np.ndarray], dtype: str = "float64", **options: Any) -> Report:
    args = tuple(torch.tensor(x).to(getattr(torch, dtype)) for x in arrays)
    return check_function(function, args, reference=reference, layouts=False, repeat=1, **options)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", CASES)
def test_that_an_algorithm_of_another_kind_is_inaccurate_and_not_wrong(name: str, dtype: str) -> None:
    function, reference, _ = CASES[name]
    found = [
        record
        for seed in range(12)
        for record in checked(function, reference, arrays_of(name, seed), dtype, modes=("reverse", "forward")).records
    ]
    assert not [record for record in found if record.verdict.fails]
    inaccurate = [record for record in found if record.verdict.value == "inaccurate"]
    assert inaccurate
    assert all((r.arithmetic, r.reason) == (OWN_OPERATIONS, REASON) for r in inaccurate)
    assert all(float(r.ratio or 0) > 1 for r in inaccurate)


def test_that_a_convolution_by_transforms_in_jax_is_not_wrong_either() -> None:
    def function(x: Any, w: Any) -> Any:
        return jax.numpy.fft.irfft(jax.numpy.fft.rfft(x) * jax.numpy.fft.rfft(w), n=x.shape[-1])

    with jax.enable_x64(True):
        verdicts = set()
        for seed in range(4):
            args = tuple(jax.numpy.asarray(x) for x in arrays_of("convolution", seed))
            verdicts.add(check_function(function, args, reference=plain_sum, layouts=False, repeat=1).verdict.value)
    assert "inaccurate" in verdicts <= {"inaccurate", "agree"}


FAULTS: dict[str, Callable[[Any, Any], Any]] = {
    "a small constant": lambda x, w: by_transforms(x, w) + 1e-17,
    "a small factor": lambda x, w: by_transforms(x, w * (1 + 2e-15)),
    "a small weight": lambda x, w: by_transforms(x, torch.cat([w[:-1], w[-1:] * 1.001])),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_that_a_fault_below_the_bound_of_transforms_is_found(fault: str) -> None:
    """The exact values of the function's own operations are others, so their bound does not count."""
    x, w = np.array([[1.0, 0, 0, 0, 0]]), np.array([1, 1e-5, 1e-12, 1e-13, 1e-14])
    assert not checked(by_transforms, plain_sum, [x, w]).verdict.fails
    assert checked(FAULTS[fault], plain_sum, [x, w]).verdict.value == "value-differs"


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_that_a_wrong_backward_pass_of_another_algorithm_is_found(dtype: str) -> None:
    class Convolution(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, x: Any, w: Any) -> Any:
            ctx.save_for_backward(x, w)
            return by_transforms(x, w)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            x, w = ctx.saved_tensors
            own = [torch.fft.irfft(torch.fft.rfft(g) * torch.fft.rfft(z).conj(), n=g.shape[-1]) for z in (w, x)]
            return own[0], own[1].sum(0) * (1 + 1e-4)

    report = checked(Convolution.apply, plain_sum, arrays_of("convolution", 2), dtype)
    assert [(r.label, r.verdict.value) for r in report.failures] == [("gradient of args[1]", "disagree")]


def test_that_the_same_algorithm_has_no_wider_tolerance() -> None:
    """A gradient beyond the probabilistic tolerance stays suspect: the function's own operations are the reference."""

    class Layers(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, x: Any, w: Any) -> Any:
            with torch.enable_grad():
                ctx.pair = x.detach().requires_grad_(), w.detach().requires_grad_()
                ctx.y = layers(*ctx.pair)
            return ctx.y.detach()

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return tuple(1.3 * z for z in torch.autograd.grad(ctx.y, ctx.pair, g))

    def layers(x: Any, w: Any) -> Any:
        for _ in range(5):
            x = torch.tanh(x @ w) + x
        return x

    def plain(x: Any, w: Any) -> Any:
        for _ in range(5):
            x = np.tanh(x @ w) + x
        return x

    rng = np.random.default_rng(3)
    report = checked(Layers.apply, plain, [rng.standard_normal((4, 16)), rng.standard_normal((16, 16)) / 6], "bfloat16")
    assert {r.verdict.value for r in report.failures} <= {"suspect", "disagree"}
    assert report.failures


def test_that_an_unknown_probabilistic_tolerance_of_the_other_program_stands_for_its_worst_case():
    value, narrow, wide = np.array([1.0, 2.0]), np.full(2, 1e-3), np.full(2, 0.5)
    usual = Expected(value, narrow, narrow / 2)
    own = Expected(value, wide, np.array([np.nan, 0.1]), lambda: np.array([np.nan, 0.1]))
    found = with_own(usual, own, True)
    assert found.probable.tolist() == found.correlated().tolist() == [0.5, 0.1]
    assert judge(np.array([1.4, 2.0]), {"stored": found}).verdict is Verdict.AGREE
    assert judge(np.array([1.6, 2.0]), {"stored": found}).verdict is Verdict.DISAGREE
    assert judge(np.array([1.0, 2.2]), {"stored": found}).verdict is Verdict.SUSPECT
