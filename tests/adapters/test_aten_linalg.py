"""The NumPy forms of PyTorch's linear algebra: its gradients agree with them, and a wrong form does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
linalg = torch.linalg

from gradagree.adapters.aten import ATEN  # noqa: E402
from gradagree.checker.verdict import Verdict  # noqa: E402
from gradagree.errors import UsageError  # noqa: E402
from gradagree.functions.assertions import assert_grads, check_function  # noqa: E402

SEED = 8


def tensor(*shape: int) -> Any:
    """Standard normal numbers."""
    return torch.as_tensor(np.random.default_rng(SEED + len(shape)).standard_normal(shape))


A, TALL, WIDE, B = tensor(4, 4), tensor(5, 3), tensor(3, 5), tensor(4, 2)
Z, TALL_Z = torch.complex(A, A.flip(0).mT), torch.complex(TALL, TALL.flip(0, 1))
POSITIVE = A @ A.mT + torch.eye(4)
FACTORS, PIVOTS = linalg.lu_factor(A)
SAMPLES: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "solve": (linalg.solve, (A, B)),
    "solve a stack": (linalg.solve, (tensor(2, 3, 3), tensor(2, 3, 1))),
    "solve for a vector": (linalg.solve, (A, B[:, 0])),
    "solve from the right": (lambda a, b: linalg.solve(a, b, left=False), (A, B.mT)),
    "inv": (linalg.inv, (tensor(2, 3, 3),)),
    "det": (linalg.det, (A,)),
    "slogdet": (linalg.slogdet, (A,)),
    "cholesky": (linalg.cholesky, (POSITIVE,)),
    "cholesky, upper": (lambda a: linalg.cholesky(a, upper=True), (POSITIVE,)),
    "old cholesky": (torch.cholesky, (POSITIVE,)),
    "cholesky_solve": (torch.cholesky_solve, (B, linalg.cholesky(POSITIVE))),
    "cholesky_solve, upper": (lambda b, u: torch.cholesky_solve(b, u, upper=True), (B, linalg.cholesky(POSITIVE).mT)),
    "cholesky_inverse": (torch.cholesky_inverse, (linalg.cholesky(POSITIVE),)),
    "triangular_solve": (lambda b, a: torch.triangular_solve(b, a, upper=False)[0], (B, A)),
    "triangular_solve, transposed": (lambda b, a: torch.triangular_solve(b, a, transpose=True)[0], (B, A)),
    "lu_unpack": (lambda a: torch.lu_unpack(a, PIVOTS)[1:], (FACTORS,)),
    "ormqr": (torch.ormqr, (TALL, tensor(3), tensor(5, 2))),
    "ormqr from the right": (lambda v, t, x: torch.ormqr(v, t, x, left=False, transpose=True), (A, tensor(4), B.mT)),
    "matrix_exp": (linalg.matrix_exp, (A,)),
    "matrix_exp of a small matrix": (linalg.matrix_exp, (A / 16,)),
    "solve_triangular": (lambda a, b: linalg.solve_triangular(a, b, upper=True), (A, B)),
    "solve_triangular, ones on the diagonal": (
        lambda a, b: linalg.solve_triangular(a, b, upper=False, unitriangular=True), (A, B),
    ),
    "qr of a tall matrix": (linalg.qr, (TALL,)),
    "qr of a wide matrix": (linalg.qr, (WIDE,)),
    "qr of a triangle": (linalg.qr, (A.triu(),)),
    "complex qr": (linalg.qr, (TALL_Z,)),
    "complex qr of a wide matrix": (linalg.qr, (TALL_Z.mT,)),
    "complex eigh": (
        lambda z: (lambda w, v: (w, v.abs(), (v * w.exp()) @ v.mH))(*linalg.eigh(z + z.mH)), (Z,),
    ),
    "complex eigh of an upper triangle": (lambda z: linalg.eigh(z, UPLO="U")[1].abs(), (Z,)),
    "complex svd": (
        lambda z: (lambda u, s, v: (u.abs(), s, v.abs(), u @ v))(*linalg.svd(z, full_matrices=False)), (TALL_Z,),
    ),
    "complex svd of a wide matrix": (
        lambda z: (lambda u, s, v: (s, u @ v))(*linalg.svd(z, full_matrices=False)), (TALL_Z.mT,),
    ),
    "complex lu": (lambda z: linalg.lu(z)[1:], (TALL_Z,)),
    "complex lstsq": (lambda a, b: linalg.lstsq(a, b)[0], (TALL_Z, torch.complex(tensor(5, 2), tensor(5, 2).flip(0)))),
    "complex cholesky_solve": (
        lambda b, z: torch.cholesky_solve(b, linalg.cholesky(z @ z.mH + torch.eye(4))), (Z[:, :2], Z),
    ),
    "complex singular values": (linalg.svdvals, (Z,)),
    "complete qr": (lambda a: linalg.qr(a, mode="complete")[1], (A,)),
    "lu": (lambda a: linalg.lu(a)[1:], (TALL,)),
    "lu_factor": (lambda a: linalg.lu_factor(a)[0], (WIDE,)),
    "lu_solve": (lambda a, b: linalg.lu_solve(a, PIVOTS, b), (FACTORS, B)),
    "lu_solve, adjoint": (lambda a, b: linalg.lu_solve(a, PIVOTS, b, adjoint=True), (FACTORS, B)),
    "pinv": (linalg.pinv, (TALL,)),
    "pinv of a wide matrix": (linalg.pinv, (WIDE,)),
    "pinv of rank 2": (lambda a, b: linalg.pinv(a @ b, rtol=1e-4), (TALL[:, :2], WIDE[:2])),
    "eigh": (linalg.eigh, (POSITIVE - 2 * torch.eye(4),)),
    "eigenvalues of any matrix": (linalg.eigvals, (A,)),
    "eigenvectors of any matrix": (lambda a: linalg.eig(a)[1].abs(), (A,)),
    "functions of any matrix": (
        lambda a: (lambda w, v: (v * w.exp()[None]) @ linalg.inv(v))(*linalg.eig(a)).real, (A,),
    ),
    "eigvalsh": (linalg.eigvalsh, (POSITIVE,)),
    "eigh of an upper triangle": (lambda a: linalg.eigh(a, UPLO="U"), (POSITIVE,)),
    "svd": (linalg.svd, (A,)),
    "svd of tall matrices": (lambda a: linalg.svd(a, full_matrices=False), (tensor(2, 5, 3),)),
    "svd of a wide matrix": (lambda a: linalg.svd(a, full_matrices=False), (WIDE,)),
    "svd with a complete basis": (lambda a: linalg.svd(a)[0][:, :3], (TALL,)),
    "singular values": (linalg.svdvals, (WIDE,)),
    "nuclear norm": (lambda a: linalg.matrix_norm(a, "nuc"), (TALL,)),
    "spectral norm": (lambda a: linalg.matrix_norm(a, 2), (TALL,)),
    "lstsq": (lambda a, b: linalg.lstsq(a, b).solution, (TALL, tensor(5, 2))),
    "lstsq by singular values": (lambda a, b: linalg.lstsq(a, b, driver="gelsd")[0], (TALL, tensor(5, 2))),
    "householder_product": (linalg.householder_product, (TALL, tensor(3))),
    "matrix_power": (lambda a: linalg.matrix_power(a, -2), (A,)),
    "cross": (linalg.cross, (TALL, TALL.flip(0))),
    "vector_norm": (lambda x: linalg.vector_norm(x, 3), (B,)),
    "norm of zero": (linalg.vector_norm, (torch.zeros(3, dtype=torch.float64),)),
    "multi_dot": (lambda *x: linalg.multi_dot(x), (A, B, B.mT)),
    "vander": (linalg.vander, (tensor(3),)),
    "tensorinv": (lambda a: linalg.tensorinv(a, ind=1), (tensor(4, 2, 2),)),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:torch.*is deprecated in favor of torch.linalg:UserWarning")
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("name", SAMPLES)
def test_that_gradients_of_linear_algebra_agree_with_their_forms(name: str, dtype: Any) -> None:
    function, args = SAMPLES[name]
    report = assert_grads(function, tuple(x.to(dtype.to_complex() if x.is_complex() else dtype) for x in args))
    zero = name == "norm of zero"
    assert all(r.verdict in ((Verdict.AGREE, Verdict.UNDECIDED) if zero else (Verdict.AGREE,)) for r in report.records)


@pytest.mark.parametrize(
    ("name", "operation"),
    [
        ("solve", "_linalg_solve_ex"),
        ("cholesky", "linalg_cholesky_ex"),
        ("det", "_linalg_det"),
        ("eigenvalues of any matrix", "linalg_eig"),
    ],
)
def test_that_a_form_with_a_wrong_factor_disagrees(name: str, operation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    function, args = SAMPLES[name]
    right = ATEN[f"aten.{operation}"]

    def wrong(*operands: Any, **keywords: Any) -> Any:
        first, *rest = right(*operands, **keywords)
        return first * (1 + 2.0**-40), *rest

    monkeypatch.setitem(ATEN, f"aten.{operation}", wrong)
    with pytest.raises(AssertionError):
        assert_grads(function, args)


@pytest.mark.filterwarnings("ignore:torch.*is deprecated in favor of torch.linalg:UserWarning")
@pytest.mark.parametrize(
    "name",
    [
        *("cholesky_solve", "cholesky_inverse", "ormqr", "matrix_exp", "singular values", "spectral norm"),
        *("complex qr", "complex eigh", "complex svd"),
    ],
)
def test_that_a_wrong_gradient_of_a_factor_disagrees(name: str) -> None:
    function, args = SAMPLES[name]

    class Wrong(torch.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, *x: Any) -> Any:
            ctx.save_for_backward(*x)
            return function(*x)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            with torch.enable_grad():
                x = [y.detach().requires_grad_() for y in ctx.saved_tensors]
                found = torch.autograd.grad(function(*x), x, g)
            return tuple(y * (1 + 2.0**-20) for y in found)

    with pytest.raises(AssertionError, match="disagree"):
        assert_grads(Wrong.apply, args)


def test_that_the_entries_that_a_cholesky_factor_does_not_have_are_not_read() -> None:
    whole = linalg.cholesky(POSITIVE) + torch.triu(tensor(4, 4), 1)
    report = assert_grads(lambda b: torch.cholesky_solve(b, whole), (B,))
    assert report.verdict is Verdict.AGREE


def test_that_a_symmetric_derivative_is_expected_of_the_cholesky_factor() -> None:
    class OneTriangle(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, a: Any) -> Any:
            ctx.save_for_backward(a)
            return linalg.cholesky(a)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            (a,) = ctx.saved_tensors
            with torch.enable_grad():
                b = a.detach().requires_grad_()
                (full,) = torch.autograd.grad(linalg.cholesky(b), b, g)
            return 2 * full.tril(-1) + full.diag().diag()

    with pytest.raises(AssertionError):
        assert_grads(OneTriangle.apply, (POSITIVE,))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda a: linalg.pinv(torch.stack([a, torch.eye(3, dtype=a.dtype)])), "matrices of one rank only"),
        (lambda a: linalg.pinv(a + a.triu(1), hermitian=True), "not symmetric"),
        (lambda a: linalg.lstsq(a, a, driver="gelsd").solution, "full rank only"),
    ],
)
def test_that_what_is_not_covered_says_so(function: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        assert_grads(function, (torch.ones(3, 3, dtype=torch.float64),))


@pytest.mark.parametrize("seed", range(8))
def test_that_gradients_taken_from_that_of_the_product_of_the_factors_are_not_accused(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = (torch.as_tensor(rng.standard_normal((40, 3, k))).float() for k in (3, 1))
    factors, pivots = torch.linalg.lu_factor(a)
    report = check_function(
        lambda lu, b: torch.linalg.lu_solve(lu, pivots, b), [factors, b], layouts=False, repeat=1
    )  # fmt: skip
    assert not report.verdict.fails, report


def test_that_a_function_of_the_phases_of_eigenvectors_is_refused() -> None:
    with pytest.raises(UsageError, match=r"no derivative for these cotangents.*ill-defined.*absolute values"):
        assert_grads(lambda z: linalg.eigh(z + z.mH)[1], (Z,))


@pytest.mark.parametrize("name", ["complex qr", "complex eigh", "complex svd", "complex lu", "complex lstsq"])
def test_that_forward_mode_of_complex_matrices_agrees(name: str) -> None:
    function, args = SAMPLES[name]
    report = assert_grads(function, args, modes="forward", layouts=False, repeat=1)
    assert {r.verdict for r in report.records} == {Verdict.AGREE}
