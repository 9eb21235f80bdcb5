"""Complex arrays are judged as pairs of reals; faults of one part, or of the conjugate, are found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from gradagree import assert_grads, check
from gradagree.errors import UsageError
from gradagree.functions.records import Disagreement
from gradagree.jax import check_grads
from gradagree.torch import GradcheckDisagreement, gradcheck, gradgradcheck

RNG = np.random.default_rng(3)
Z, W = (RNG.standard_normal((3, 3)) + 1j * RNG.standard_normal((3, 3)) for _ in range(2))
DTYPES = ("complex64", "complex128")


def of_torch(x: np.ndarray, dtype: str) -> torch.Tensor:
    return torch.tensor(x, dtype=getattr(torch, dtype))


def of_jax(x: np.ndarray, dtype: str) -> Any:
    return jnp.asarray(x, dtype=dtype)


def rotary(x: torch.Tensor) -> torch.Tensor:
    """The rotary embedding of LLaMA: neighbours are the parts of a number, which is turned."""
    angles = torch.polar(torch.ones(3, 2), torch.arange(6.0).reshape(3, 2))
    pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * angles).flatten(-2)


FUNCTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "abs": lambda m, z: m.abs(z),
    "angle": lambda m, z: m.angle(z),
    "exp": lambda m, z: m.exp(z),
    "log": lambda m, z: m.log(z),
    "square root": lambda m, z: m.sqrt(z),
    "tanh": lambda m, z: m.tanh(z),
    "quotient": lambda m, z: z / (z * z + 3.0),
    "products": lambda m, z: z * m.conj(z) * z,
    "matmul": lambda m, z: z @ m.conj(z),
    "einsum": lambda m, z: m.einsum("ij,kj->ik", z, m.conj(z)),
    "polynomial": lambda m, z: 1 + 2 * z + (0.5 - 1j) * z**2 + z**3,
    "normalised": lambda m, z: m.exp(z) / m.abs(m.exp(z)).sum(-1)[:, None],
    "parts": lambda m, z: m.real(z) * 2 + m.imag(z) ** 2,
    "real power": lambda m, z: z**0.5,
    "mean": lambda m, z: z.mean(0),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_that_right_functions_of_torch_agree(name: str, dtype: str) -> None:
    def function(z: Any) -> Any:
        return FUNCTIONS[name](torch, z)

    report = assert_grads(function, (of_torch(Z, dtype),), modes=("reverse", "forward"))
    assert report.verdict.value == "agree"
    assert {r.label for r in report.records} >= {"gradient of args[0].real", "gradient of args[0].imag"}
    assert all(r.share is None or r.share > 0.6 for r in report.records)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["abs", "log", "quotient", "matmul", "polynomial"])
def test_that_right_functions_of_jax_agree(name: str, dtype: str) -> None:
    with jax.enable_x64(dtype == "complex128"):
        report = assert_grads(lambda z: FUNCTIONS[name](jnp, z), (of_jax(Z, dtype),), layouts=False, repeat=1)
    assert report.verdict.value == "agree"


OF_TORCH: dict[str, Callable[[Any], Any]] = {
    "arccosh": torch.acosh,
    "arctanh": torch.atanh,
    "expm1": torch.expm1,
    "solve": lambda z: torch.linalg.solve(z, z[0]),
    "inverse": torch.linalg.inv,
    "determinant": torch.linalg.det,
    "logarithm of the determinant": lambda z: torch.linalg.slogdet(z).logabsdet,
    "logsumexp": lambda z: torch.logsumexp(z, 0),
    "inner product": lambda z: torch.linalg.vecdot(z, z.flip(0)),
    "variance": lambda z: torch.var(z, 0),
    "logaddexp": lambda z: torch.logaddexp(z, 8 * z[0]),
    "Cholesky factor": lambda z: torch.linalg.cholesky(z @ z.mH),
    "upper Cholesky factor": lambda z: torch.linalg.cholesky(z @ z.mH, upper=True),
    "pseudoinverse of columns": lambda z: torch.linalg.pinv(z[:, :2]),
    "pseudoinverse of rows": lambda z: torch.linalg.pinv(z[:2]),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", OF_TORCH)
def test_that_more_functions_of_torch_agree(name: str, dtype: str) -> None:
    assert assert_grads(OF_TORCH[name], (of_torch(Z, dtype),), layouts=False, repeat=1).verdict.value == "agree"


def test_that_an_operation_without_complex_form_is_refused() -> None:
    with pytest.raises(UsageError, match=r"complex arithmetic does not support sort; .*; give a reference in NumPy"):
        assert_grads(jnp.sort, (of_jax(Z, "complex64"),))


def of_numpy(z: Any, w: Any) -> Any:
    return w * z**2


FAULTS: dict[str, Callable[[Any, Any], Any]] = {
    "none": lambda m, g: g,
    "conjugate": lambda m, g: m.conj(g),
    "swapped parts": lambda m, g: 1j * m.conj(g),
    "factor in the imaginary part": lambda m, g: g + 1j * m.imag(g),
}


def torch_function(fault: str) -> Any:
    class Product(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, z: Any, w: Any) -> Any:
            ctx.save_for_backward(z, w)
            return w * z * z

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            z, w = ctx.saved_tensors
            by_z = g * (2 * z * w).conj() if fault != "forgotten" else g * (2 * z * w)
            return FAULTS.get(fault, FAULTS["none"])(torch, by_z), g * (z * z).conj()

    return Product.apply


def jax_function(fault: str) -> Any:
    @jax.custom_vjp
    def product(z: Any, w: Any) -> Any:
        return w * z * z

    def backward(saved: Any, g: Any) -> Any:
        z, w = saved
        by_z = g * (2 * z * w) if fault != "forgotten" else g * jnp.conj(2 * z * w)
        return FAULTS.get(fault, FAULTS["none"])(jnp, by_z), g * z * z

    product.defvjp(lambda z, w: (product(z, w), (z, w)), backward)
    return product


WRONG = ["forgotten", *list(FAULTS)[1:]]
WRONG_BY_PART = {"factor in the imaginary part": {"args[0].imag"}, "conjugate": {"args[0].imag"}}


@pytest.mark.parametrize("reference", [None, of_numpy], ids=["itself", "numpy"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("fault", WRONG)
@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_that_a_wrong_part_is_found(framework: str, fault: str, dtype: str, reference: Any) -> None:
    function, array = (torch_function, of_torch) if framework == "torch" else (jax_function, of_jax)
    with jax.enable_x64(dtype == "complex128"):
        args = array(Z, dtype), array(W, dtype)
        assert_grads(function("none"), args, reference=reference, layouts=False, repeat=1)
        with pytest.raises(Disagreement) as caught:
            assert_grads(function(fault), args, reference=reference, layouts=False, repeat=1)
    found = {r.name for r in caught.value.records if r.verdict.value == "disagree" and r.quantity == "gradient"}
    assert found == WRONG_BY_PART.get(fault, {"args[0].real", "args[0].imag"})
    assert "(proved)" in str(caught.value)
    assert "backward" in str(caught.value)
    assert ("a conjugate is missing" in str(caught.value)) == (fault == "forgotten")


def test_that_swapped_parts_are_named() -> None:
    with pytest.raises(Disagreement, match=r"it is the gradient of args\[0\].imag"):
        assert_grads(torch_function("swapped parts"), (of_torch(Z, "complex64"), of_torch(W, "complex64")))


def test_that_both_frameworks_have_the_convention_that_is_documented() -> None:
    """L = x^2 + 3 y at z = x + i y has dL/dx = 2 x and dL/dy = 3."""
    z = torch.tensor(2.0 + 1j, requires_grad=True)
    (z.real**2 + 3 * z.imag).backward()
    assert z.grad.item() == 4 + 3j
    assert jax.grad(lambda z: z.real**2 + 3 * z.imag)(2.0 + 1j) == 4 - 3j


def test_that_given_cotangents_are_those_of_the_framework() -> None:
    g = np.array([1.0, 1j, 2.0 - 1j])
    assert_grads(lambda z: z * z, (of_torch(Z[0], "complex64"),), cotangents=[g])
    assert_grads(lambda z: z * z, (of_jax(Z[0], "complex64"),), cotangents=[of_jax(g, "complex64")])


@pytest.mark.parametrize("dtype", DTYPES)
def test_that_second_derivatives_of_complex_functions_agree(dtype: str) -> None:
    def of(m: Any, z: Any) -> Any:
        return m.abs(z) * m.exp(z)

    assert gradgradcheck(lambda z: of(torch, z), of_torch(Z, dtype).requires_grad_())
    with jax.enable_x64(dtype == "complex128"):
        check_grads(lambda z: of(jnp, z), (of_jax(Z, dtype),), order=2)


def test_that_gradcheck_and_check_grads_find_a_missing_conjugate() -> None:
    args = of_torch(Z, "complex64").requires_grad_(), of_torch(W, "complex64").requires_grad_()
    assert gradcheck(torch_function("none"), args)
    with pytest.raises(GradcheckDisagreement, match=r"gradient of args\[0\]\.(real|imag) \(torch complex64\)"):
        gradcheck(torch_function("forgotten"), args)
    with pytest.raises(Disagreement, match=r"gradient of args\[0\]\.(real|imag) \(jax complex64\)"):
        check_grads(jax_function("forgotten"), (of_jax(Z, "complex64"), of_jax(W, "complex64")), 1, modes="rev")


def test_that_a_real_function_may_have_complex_intermediate_values() -> None:
    x = torch.tensor(RNG.standard_normal((3, 4)), dtype=torch.float32)
    report = assert_grads(rotary, (x,), order=2)
    assert {r.dtype for r in report.records} == {"float32"}
    assert_grads(lambda x: torch.polar(x.square(), x), (x,))


def test_that_check_accepts_complex_inputs_of_numpy() -> None:
    report = check(torch.sin, np.sin, inputs=(Z,), frameworks="torch", dtypes="float32,float64")
    assert {r.dtype for r in report.records} == {"complex64", "complex128"}


def test_that_a_write_into_a_complex_input_is_reported() -> None:
    with pytest.raises(Disagreement, match=r"modifies args\[0\] in place"):
        assert_grads(lambda z: z.mul_(2j) * 1.0, (of_torch(Z, "complex64"),))


LEFT = np.array([-0.7 + 0.4j, -1.5 - 0.3j, -0.2 + 2.0j])
FAULTS_OF_FRAMEWORKS: dict[str, Callable[[], Any]] = {
    "the derivative of sign is 0 in JAX": lambda: assert_grads(jnp.sign, (of_jax(LEFT, "complex64"),)),
    "that of arccosh has the wrong sign in the left half plane in JAX": lambda: assert_grads(
        jnp.arccosh, (of_jax(LEFT, "complex64"),)
    ),
}


@pytest.mark.skipif(jax.__version__ != "0.10.2", reason="a later version may be right")
@pytest.mark.parametrize("fault", FAULTS_OF_FRAMEWORKS)
def test_that_faults_of_a_framework_are_found_and_proved(fault: str) -> None:
    with pytest.raises(Disagreement, match=r"\(proved\)"):
        FAULTS_OF_FRAMEWORKS[fault]()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["Cholesky factor", "pseudoinverse of columns", "logaddexp"])
def test_that_a_conjugate_gradient_of_a_matrix_function_is_found(name: str, dtype: str) -> None:
    class Conjugate(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, z: Any) -> Any:
            ctx.save_for_backward(z)
            return OF_TORCH[name](z)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            with torch.enable_grad():
                z = ctx.saved_tensors[0].detach().requires_grad_()
                return torch.autograd.grad(OF_TORCH[name](z), z, g)[0].conj()

    with pytest.raises(Disagreement):
        assert_grads(Conjugate.apply, (of_torch(Z, dtype),), layouts=False, repeat=1)


HALVES = [torch.tensor(part.T[0] + k, dtype=torch.float16) for k, part in enumerate((Z.real, Z.imag))]


@pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental:UserWarning")
@pytest.mark.parametrize("function", [torch.complex, lambda a, b: a.chalf() * b], ids=["complex", "chalf"])
def test_that_complex_numbers_of_16_bits_are_checked(function: Callable[..., Any]) -> None:
    report = assert_grads(function, HALVES)
    assert {r.dtype for r in report.records} == {"complex32", "float16"}


@pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental:UserWarning")
def test_that_a_wrong_sign_of_an_imaginary_part_of_16_bits_is_found() -> None:
    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(_: Any, a: Any, b: Any) -> Any:
            return torch.complex(a, b)

        @staticmethod
        def backward(_: Any, g: Any) -> Any:
            return torch.view_as_real(g)[..., 0], -torch.view_as_real(g)[..., 1]

    with pytest.raises(Disagreement, match="it has the wrong sign"):
        assert_grads(Wrong.apply, HALVES)
