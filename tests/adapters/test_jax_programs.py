"""Programs of JAX, traced into NumPy forms of its primitives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradagree.arithmetic.model import model
from gradagree.arithmetic.rounded import Rounded
from gradagree.arithmetic.tape import trace
from gradagree.errors import UsageError
from gradagree.functions.assertions import assert_grads

pytest.importorskip("jax")
import jax
import jax.numpy as jnp
import jax.scipy.linalg
from jax import lax

from gradagree.adapters.jax_programs import trace_program
from gradagree.adapters.lax import NOT_COVERED
from gradagree.adapters.lax.table import LAX, PLACED


def draw(*shape: int, seed: int = 0) -> Any:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


def regular(n: int) -> Any:
    return draw(n, n) + 3 * jnp.eye(n)


def positive(n: int) -> Any:
    return draw(n, n) @ draw(n, n).T + jnp.eye(n)


def at(method: str) -> Any:
    return lambda x, u: getattr(x.at[jnp.array([0, 2, 2])], method)(u)


def pool(reduce: Any, start: float) -> Any:
    return lambda x: lax.reduce_window(x, start, reduce, (1, 3, 3), (1, 2, 2), "SAME")


def loop(x: Any) -> Any:
    return lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, jnp.sin(c[1]) + c[1]), (0, x))[1]


def grouped_convolution(x: Any, w: Any) -> Any:
    return lax.conv_general_dilated(
        x, w, (2, 1), [(1, 2), (0, 1)], (1, 2), (2, 1), feature_group_count=2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )  # fmt: skip


PROGRAMS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "grouped convolution": (grouped_convolution, (draw(2, 6, 5, 4), draw(3, 2, 2, 6, seed=1))),
    "convolution of batches": (
        lambda x, w: lax.conv_general_dilated(x, w, (1, 1), "SAME", batch_group_count=2),
        (draw(4, 3, 4, 4), draw(4, 3, 3, 3, seed=1)),
    ),
    "largest of windows": (pool(lax.max, -jnp.inf), (draw(2, 7, 7),)),
    "smallest of windows": (pool(lax.min, jnp.inf), (draw(2, 7, 7),)),
    "sums of windows": (pool(lax.add, 0.0), (draw(2, 7, 7),)),
    "cumlogsumexp": (lambda x: lax.cumlogsumexp(x, 1, reverse=True), (draw(3, 6),)),
    "cummax": (lambda x: lax.cummax(x, 1), (draw(3, 6),)),
    "sort by a key": (lambda x, y: lax.sort((x, y), num_keys=1), (draw(3, 6), draw(3, 6, seed=1))),
    "top_k": (lambda x: lax.top_k(x, 2)[0], (draw(3, 6),)),
    "argmax": (lambda x: x[jnp.arange(3), jnp.argmax(x, axis=1)], (draw(3, 6),)),
    "updates added": (at("add"), (draw(4, 3), draw(3, 3, seed=1))),
    "updates at the largest": (at("max"), (draw(4, 3), draw(3, 3, seed=1))),
    "updates at the smallest": (at("min"), (draw(4, 3), draw(3, 3, seed=1))),
    "factors": (
        lambda x, u: x.at[jnp.array([0, 2, 1])].multiply(u, unique_indices=True),
        (draw(4, 3), draw(3, 3, seed=1)),
    ),
    "stopped gradient": (lambda x: x * lax.stop_gradient(x), (draw(5),)),
    "scan": (lambda x: lax.scan(lambda c, y: (jnp.tanh(c + y), c * y), x[0], x), (draw(5, 3),)),
    "while": (lambda x: x * loop(lax.stop_gradient(x)), (draw(3),)),
    "cond": (lambda x: lax.cond(jnp.sum(x) > 0, jnp.sin, jnp.square, x), (draw(3),)),
    "checkpoint": (jax.checkpoint(lambda x: jnp.sin(jnp.exp(x))), (draw(6),)),
    "dropout": (lambda x: jnp.where(jax.random.bernoulli(jax.random.key(3), 0.5, x.shape), x, 0.0), (draw(6),)),
    "polygamma": (lambda x: jax.scipy.special.polygamma(2, x), (1 + jnp.abs(draw(3)),)),
    "columns": (jnp.column_stack, (draw(3, 4),)),  # a reshape that permutes its axes
    "constants of the program": (lambda x: x * jnp.linspace(0.0, 1.0, 8) ** 1.3, (draw(3, 8),)),
    "grid": (lambda x: jnp.linspace(x[0], x[1], 11), (draw(2),)),
    "powers of negative numbers": (jnp.vander, (draw(4),)),
    "frexp": (lambda x: jnp.frexp(x)[0] * x, (draw(6),)),
    "groups of rows": (
        lambda x, w: lax.ragged_dot(x, w, jnp.array([2, 0, 2], jnp.int32)),
        (draw(5, 4), draw(3, 4, 2, seed=1)),
    ),
    "reduction by a function": (
        lambda x: lax.reduce(x, jnp.zeros((), x.dtype), lambda a, b: a + b + a * b, (1,)),
        (draw(3, 4),),
    ),
    "largest by any method": (lambda x: lax.approx_max_k(x, 2)[0], (draw(3, 6),)),
    "incomplete gamma": (jax.scipy.special.gammainc, (1 + jnp.abs(draw(4)), jnp.abs(draw(4, seed=1)))),
    "its complement": (jax.scipy.special.gammaincc, (1 + jnp.abs(draw(4)), jnp.abs(draw(4, seed=1)))),
    "incomplete beta": (
        lambda x: jax.scipy.special.betainc(jnp.asarray(1.5, x.dtype), jnp.asarray(2.5, x.dtype), x),
        (jnp.asarray([0.1, 0.5, 0.8]),),
    ),
}
FACTORISATIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "factor of a triangle": (lambda a: jax.scipy.linalg.cho_factor(a)[0], (positive(4),)),
    "cholesky": (jnp.linalg.cholesky, (positive(4),)),
    "triangular system": (
        lambda a, b: jax.scipy.linalg.solve_triangular(a, b, lower=True, trans=1),
        (jnp.tril(regular(4)), draw(4, 2)),
    ),
    "linear system": (jnp.linalg.solve, (regular(4), draw(4, 2))),
    "inverse": (jnp.linalg.inv, (regular(4),)),
    "determinant": (lambda a: jnp.linalg.slogdet(a)[1], (regular(5),)),
    "eigenvectors": (jnp.linalg.eigh, (draw(4, 4),)),
    "singular vectors": (lambda a: jnp.linalg.svd(a, full_matrices=False), (draw(4, 3),)),
    "of a wide matrix": (lambda a: jnp.linalg.svd(a, full_matrices=False), (draw(3, 5),)),
    "singular values": (lambda a: jnp.linalg.svd(a, compute_uv=False), (draw(3, 4),)),
    "real transform": (lambda x: jnp.abs(jnp.fft.rfft2(x)), (draw(3, 4),)),
    "transform and back": (
        lambda x, y: jnp.fft.irfft(jnp.fft.rfft(x) * jnp.fft.rfft(y), 5),
        (draw(5), draw(5, seed=1)),
    ),
    "inverse transform": (lambda x: jnp.imag(jnp.fft.ifft(x)), (draw(6),)),
    "cosine transform": (lambda x: jax.scipy.fft.dct(x, norm="ortho"), (draw(3, 5),)),
    "qr": (jnp.linalg.qr, (draw(5, 3),)),
    "tridiagonal system": (
        lambda a, b, c, y: lax.linalg.tridiagonal_solve(a.at[0].set(0.0), b, c.at[-1].set(0.0), y),
        (draw(4), 4 + draw(4, seed=1), draw(4, seed=2), draw(4, 2, seed=3)),
    ),
    "complex qr": (jnp.linalg.qr, (lax.complex(draw(5, 3), draw(5, 3, seed=1)),)),
    "complex eigenvectors": (
        lambda z: (lambda w, v: (w, jnp.abs(v)))(*jnp.linalg.eigh(z)),
        (lax.complex(draw(4, 4), draw(4, 4, seed=1)),),
    ),
    "complex singular vectors": (
        lambda z: (lambda u, s, v: (jnp.abs(u), s, u @ v))(*jnp.linalg.svd(z, full_matrices=False)),
        (lax.complex(draw(4, 3), draw(4, 3, seed=1)),),
    ),
    "eigenvalues of any matrix": (jnp.linalg.eigvals, (regular(5),)),
    "lu": (lambda a: jax.scipy.linalg.lu_factor(a)[0], (regular(5),)),
}


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_that_a_program_agrees_with_its_own_forward_pass(name: str, dtype: str) -> None:
    function, args = PROGRAMS[name]
    report = assert_grads(function, [x.astype(dtype) for x in args])
    assert report.verdict.value == "agree"


@pytest.mark.parametrize("name", FACTORISATIONS)
def test_that_a_factorisation_agrees_with_its_own_forward_pass(name: str) -> None:
    function, args = FACTORISATIONS[name]
    report = assert_grads(function, args)
    assert report.verdict.value == "agree"
    assert all(r.sharpness is not None and float(r.sharpness) < 1e-3 for r in report.records)


@pytest.mark.parametrize("name", PROGRAMS | FACTORISATIONS)
def test_that_a_small_fault_of_the_backward_pass_is_found(name: str) -> None:
    function, args = (PROGRAMS | FACTORISATIONS)[name]

    @jax.custom_vjp
    def wrong(*xs: Any) -> Any:
        return function(*xs)

    def backward(vjp: Any, g: Any) -> Any:
        return tuple(x * 1.001 for x in vjp(g))

    wrong.defvjp(lambda *xs: jax.vjp(function, *xs), backward)
    with pytest.raises(AssertionError, match=r"disagree|suspect"):
        assert_grads(wrong, args)


def test_that_each_primitive_of_jax_is_covered_or_has_a_reason() -> None:
    from jax.extend.core import primitives

    listed = {getattr(primitives, name).name for name in dir(primitives) if name.endswith("_p")}
    opened = {
        "call",
        "cond",
        "custom_linear_solve",
        "jit",
        "reduce",
        "scan",
        "while",
        *("custom_jvp_call", "custom_vjp_call"),
    }
    integers = {
        "bitcast_convert_type", "clz", "nextafter", "population_count", "random_bits",
        "random_fold_in", "random_seed", "random_split", "reduce_xor", "rng_bit_generator", "rng_uniform",
        "shift_left", "shift_right_arithmetic", "shift_right_logical", "threefry2x32", "after_all", "create_token",
    }  # fmt: skip
    known = {*LAX, *PLACED, *NOT_COVERED, *opened, *integers}
    structure = ("core_", "closed_", "remat", "custom_")
    assert sorted(name for name in listed - known if not name.startswith(structure)) == []


def test_that_integers_of_a_program_keep_their_dtype() -> None:
    program = trace_program(lambda x: [x[jnp.argsort(x) + jnp.int32(0)]], [draw(5)], ["x"])
    assert program(np.arange(5.0)[::-1])[0].shape == (5,)


def test_that_the_loops_of_a_batch_end_each_at_its_own_time() -> None:
    def halved(x: Any) -> Any:
        return lax.while_loop(lambda c: c > 1.0, lambda c: c / 2, x)

    args = [jnp.asarray([0.7, 5.0, 40.0])]
    report = assert_grads(lambda x: x * lax.stop_gradient(jax.vmap(halved)(x)), args)
    assert report.verdict.value == "agree"


def test_that_numbers_from_the_bits_of_others_are_refused() -> None:
    with pytest.raises(UsageError, match=r"bits of others.*give a reference function"):
        assert_grads(lambda x: lax.bitcast_convert_type(lax.bitcast_convert_type(x, jnp.int32) + 1, x.dtype), [draw(3)])


def test_that_a_comparison_of_a_number_with_itself_asks_for_nan() -> None:
    report = assert_grads(jnp.logaddexp, [draw(3, 4), draw(3, 4, seed=1)])
    assert all(float(r.sharpness) < 1e-5 for r in report.records)
    assert_grads(lambda x: jnp.where(x != 0.0, x, 1.0), [draw(4)])


def test_that_constants_of_a_program_may_be_rounded_otherwise() -> None:
    """Compiled, the quotient is a product with the reciprocal, so that the constant is another number."""
    program = trace_program(lambda x: [x * (jnp.arange(8, dtype=x.dtype) / 7)], [draw(8)], ["x"])
    graph = trace(program, np.asarray(draw(8), float))
    (y,) = graph.results(graph.evaluate([Rounded.stored(draw(8), model("float32"))]))
    assert (y.radius[1:] > 1.5 * model("float32").u * np.abs(y.value[1:])).all()


def test_that_an_endless_loop_is_refused() -> None:
    def run(x: Any) -> Any:
        return lax.while_loop(lambda c: c[0] < 10**6, lambda c: (c[0] + 1, c[1]), (0, x))[1]

    with pytest.raises(UsageError, match=r"while loop runs more than 300 times.*test_jax_programs\.py"):
        trace_program(lambda x: [run(x)], [draw(3)], ["x"])


def test_that_an_iteration_until_convergence_is_no_reference() -> None:
    """Its derivative is less accurate than a derivative of its own: hyp1f1 was accused."""

    def series(x: Any) -> Any:
        """exp x."""
        start = (jnp.ones_like(x), jnp.ones_like(x), jnp.zeros_like(x))
        step = lambda c: (c[0] * x / (c[2] + 1), c[1] + c[0] * x / (c[2] + 1), c[2] + 1)  # noqa: E731
        return lax.while_loop(lambda c: jnp.max(jnp.abs(c[0] / c[1])) > 1e-3, step, start)[1]

    own = jax.custom_jvp(series)
    own.defjvp(lambda xs, ts: (own(*xs), jnp.exp(xs[0]) * ts[0]))
    with pytest.raises(UsageError, match=r"iterates until its numbers are close enough .*give a reference"):
        assert_grads(own, [draw(3)])
    assert_grads(lambda x: x * series(lax.stop_gradient(x)), [draw(3)])


def test_that_a_straight_through_estimator_is_not_accused() -> None:
    @jax.custom_vjp
    def rounded(x: Any) -> Any:
        return lax.stop_gradient(jnp.round(x))

    rounded.defvjp(lambda x: (rounded(x), None), lambda _, g: (g,))

    def layer(x: Any) -> Any:
        return jnp.sin(rounded(x)) * x

    with pytest.raises(UsageError, match=r"stops the gradient \(.*test_jax_programs\.py:\d+\).*give a reference"):
        assert_grads(layer, [draw(4)])
    assert_grads(layer, [draw(4)], reference=lambda x: jnp.sin(x + lax.stop_gradient(jnp.round(x) - x)) * x)
    wrong = [draw(4)], lambda x: jnp.sin(x + lax.stop_gradient(jnp.round(x) - x)) * x
    with pytest.raises(AssertionError, match="disagree"):
        assert_grads(lambda x: jnp.sin(lax.stop_gradient(rounded(x))) * x, wrong[0], reference=wrong[1])


def test_that_keys_of_random_numbers_are_no_arrays_to_check() -> None:
    def dropout(x: Any, key: Any) -> Any:
        return jnp.where(jax.random.bernoulli(key, 0.5, x.shape), x, 0.0)

    report = assert_grads(dropout, [draw(6), jax.random.key(1)])
    assert [r.name for r in report.records] == ["output", "args[0]"]


def test_that_a_linear_system_has_the_derivative_of_its_solution() -> None:
    a, b = np.asarray(regular(3), float), np.asarray(draw(3, 1), float)
    program = trace_program(lambda a, b: [jnp.linalg.solve(a, b)], [jnp.asarray(a), jnp.asarray(b)], ["a", "b"])
    graph = trace(program, a, b)
    by_a, by_b = graph.vjp(graph.evaluate([a, b]), [np.ones((3, 1))])
    expected = np.linalg.solve(a.T, np.ones((3, 1)))
    np.testing.assert_allclose(by_b, expected)
    np.testing.assert_allclose(by_a, -expected @ np.linalg.solve(a, b).T)


AROUND_ZERO = np.array([0.02, 0.3, 0.3725, 0.9, 1.0, 1.7, 4.0, 11.0, 30.0], np.float32)
INTEGRALS: dict[str, tuple[Any, Any]] = {
    "expi": (jax.scipy.special.expi, AROUND_ZERO),
    "expi of negative numbers": (jax.scipy.special.expi, -AROUND_ZERO),
    "exp1": (jax.scipy.special.exp1, AROUND_ZERO),
    **{f"expn {n}": (lambda x, n=n: jax.scipy.special.expn(n, x), AROUND_ZERO) for n in (1, 2, 3, 4)},
}


@pytest.mark.parametrize("name", INTEGRALS)
def test_that_exponential_integrals_agree_with_their_own_forward_pass(name: str) -> None:
    function, x = INTEGRALS[name]
    assert_grads(function, [jnp.asarray(x)], modes=("reverse", "forward"))


def test_that_wrong_derivatives_of_exponential_integrals_are_found() -> None:
    """That of E_0 is NaN in JAX 0.10: it is taken from E_-1, which JAX does not know."""
    integral = jax.scipy.special.expi
    own = jax.custom_jvp(lambda x: integral(x))
    own.defjvp(lambda xs, ts: (integral(xs[0]), 1.001 * jnp.exp(xs[0]) / xs[0] * ts[0]))
    with pytest.raises(AssertionError, match=r"every operation of the forward pass is right, so <lambda>"):
        assert_grads(own, [jnp.asarray(AROUND_ZERO)])
    with pytest.raises(AssertionError, match=r"the gradient of jax\.expn .* is wrong"):
        assert_grads(lambda x: jax.scipy.special.expn(0, x), [jnp.asarray(AROUND_ZERO)])


def test_that_exponential_integrals_without_a_form_are_refused() -> None:
    x = jnp.asarray(AROUND_ZERO)
    for function in (lambda x: jax.scipy.special.expn(7, x), lambda x: jax.scipy.special.expi(x.astype("bfloat16"))):
        with pytest.raises(UsageError, match="iterates until its numbers are close enough"):
            assert_grads(function, [x])
