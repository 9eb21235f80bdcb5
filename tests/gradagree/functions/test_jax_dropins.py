"""`gradagree.jax.check_grads` accepts whatever functions of JAX take and return, and finds what is wrong in them."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
import pytest

from gradagree import assert_grads
from gradagree.errors import UsageError
from gradagree.functions.records import Disagreement

jax = pytest.importorskip("jax")
jnp, lax = jax.numpy, jax.lax

from gradagree.jax import check_grads, check_jvp, check_vjp  # noqa: E402

X = np.linspace(-1, 1, 6).reshape(2, 3).astype(np.float32)
W = np.cos(np.arange(12)).reshape(3, 4).astype(np.float32)
PARAMETERS = {"w": W * np.float32(0.3), "u": np.eye(4, dtype=np.float32) / 2, "skip": None}


def scaled(factor: float) -> Any:
    """k sin(x) with k as a static argument; the gradient is off by a factor."""

    @functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
    def function(k: float, x: Any) -> Any:
        return k * jnp.sin(x)

    function.defvjp(lambda k, x: (k * jnp.sin(x), x), lambda k, x, g: (factor * k * jnp.cos(x) * g,))
    return functools.partial(function, 3.0)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def power(x: Any, k: int) -> Any:
    return x**k


power.defjvp(lambda k, xs, ts: (xs[0] ** k, k * xs[0] ** (k - 1) * ts[0]))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def twice(f: Any, x: Any) -> Any:
    return 2 * f(x)


twice.defvjp(lambda f, x: (2 * f(x), x), lambda f, x, g: (2 * jax.vjp(f, x)[1](g)[0],))


def recurrent(params: Any, xs: Any) -> Any:
    def step(h: Any, x: Any) -> Any:
        h = jnp.tanh(x @ params["w"] + h @ params["u"])
        return h, h

    return lax.scan(step, jnp.zeros(4), xs)


@functools.partial(jax.tree_util.register_dataclass, data_fields=["w", "b"], meta_fields=["n"])
@dataclasses.dataclass
class Linear:
    """A module that is a pytree, as those of equinox are."""

    w: Any
    b: Any
    n: int = 3

    def __call__(self, x: Any) -> Any:
        return self.n * jnp.tanh(x @ self.w + self.b)


LINEAR = Linear(W, np.zeros(4, np.float32))
BRANCHES = [jnp.sin, jnp.cos, jnp.tanh]

BOTH: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "Python's number": (lambda x: x * jnp.sin(x), (0.5,)),
    "indices": (lambda x, n: x[n] * 2, (X, np.array([0, 1, 0]))),
    "static number": (lambda x, n: x**n, (X, 3)),
    "static text": (lambda x, s: jnp.einsum(s, x, W), (X, "ij,jk")),
    "integer output": (lambda x: (jnp.sin(x), jnp.argmax(x)), (X,)),
    "boolean output": (lambda x: {"y": jnp.sin(x), "m": x > 0}, (X,)),
    "missing leaf": (lambda p, x: x @ p["w"], ({"w": W, "b": None}, X)),
    "missing output": (lambda x: (jnp.sin(x), None), (X,)),
    "closure": (lambda x: x @ W, (X,)),
    "checkpoint": (jax.checkpoint(lambda x: jnp.sin(jnp.tanh(x @ W))), (X,)),
    "scan": (recurrent, (PARAMETERS, X)),
    "cond": (lambda x: lax.cond(x[0, 0] > 0, jnp.sin, jnp.cos, x), (X,)),
    "switch": (lambda x, k: lax.switch(k, BRANCHES, x), (X, np.array(1))),
    "fori_loop": (lambda x: lax.fori_loop(0, 3, lambda i, c: jnp.sin(c) * i, x), (X,)),
    "map": (lambda x: lax.map(lambda r: jnp.sin(r).sum(), x), (X,)),
    "associative_scan": (lambda x: lax.associative_scan(jnp.multiply, x, axis=1), (X,)),
    "vmap": (jax.vmap(lambda r: jnp.outer(r, r)), (X,)),
    "jit with a static argument": (functools.partial(jax.jit, static_argnums=1)(lambda x, k: x**k), (X, 2)),
    "gradient inside": (jax.vmap(jax.grad(lambda r: jnp.tanh(r).prod())), (X,)),
    "complex": (lambda z: z * jnp.exp(1j * z), (X + 1j * X[::-1],)),
    "complex output": (lambda x: jnp.exp(1j * x), (X,)),
    "containers": (lambda xs: xs[0] * xs[1][0], ([X, (X,)],)),
    "key of random numbers": (lambda x, k: x * jax.random.normal(k, x.shape), (X, jax.random.key(3))),
    "custom_jvp with a static argument": (lambda x: power(x, 3), (X,)),
    "Partial": (lambda f, x: f(x), (jax.tree_util.Partial(jnp.multiply, jnp.asarray(X)), X)),
    "module": (LINEAR, (X,)),
    "module as an argument": (lambda m, x: m(x), (LINEAR, X)),
}
ONE_MODE: dict[str, tuple[Any, tuple[Any, ...], str]] = {
    "while_loop": (
        lambda x: lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, jnp.sin(c[1])), (0, x))[1], (X,), "fwd",
    ),
    "custom_vjp with a static argument": (scaled(1.0), (X,), "rev"),
    "custom_vjp with a function as argument": (lambda x: twice(jnp.tanh, x), (X,), "rev"),
    "custom_vjp under vmap": (jax.vmap(scaled(1.0)), (X,), "rev"),
}  # fmt: skip


@pytest.mark.parametrize("name", BOTH)
def test_that_right_functions_pass_to_second_order(name: str) -> None:
    function, args = BOTH[name]
    check_grads(function, args, order=2, modes="rev")
    check_grads(function, args, order=1, modes="fwd")


@pytest.mark.parametrize("name", ["indices", "integer output", "complex", "module as an argument"])
def test_that_tangents_are_differentiated_again(name: str) -> None:
    function, args = BOTH[name]
    check_grads(function, args, order=2, modes=("fwd", "lin"))


@pytest.mark.parametrize("name", ONE_MODE)
def test_that_right_functions_with_one_mode_pass(name: str) -> None:
    function, args, mode = ONE_MODE[name]
    check_grads(function, args, order=2, modes=mode)


def test_that_a_wrong_rule_with_a_static_argument_is_found() -> None:
    with pytest.raises(Disagreement, match="function"):
        check_grads(scaled(1.001), (X,), order=1, modes="rev")


def test_that_a_wrong_rule_under_scan_is_found() -> None:
    wrong = scaled(1.01)
    with pytest.raises(Disagreement):
        check_grads(lambda x: lax.scan(lambda h, r: (wrong(h) + r, h), jnp.zeros(3), x), (X,), order=1, modes="rev")


@jax.custom_jvp
def doubled(t: Any) -> Any:
    return 2 * t


doubled.defjvp(lambda ts, us: (doubled(*ts), 2.02 * us[0]))


def halved() -> Any:
    """x^2 / 2, whose derivatives are right, but not the derivatives of those with respect to the cotangent."""

    @jax.custom_vjp
    def function(x: Any) -> Any:
        return x * x / 2

    function.defvjp(lambda x: (x * x / 2, x), lambda x, g: (x * doubled(g) / 2,))
    return function


def test_that_a_gradient_with_a_wrong_derivative_in_its_cotangent_is_found() -> None:
    check_grads(halved(), (X,), order=1, modes="rev")
    with pytest.raises(Disagreement, match="vjp: gradient of cotangent of output"):
        check_grads(halved(), (X,), order=2, modes="rev")


def test_that_each_derivative_is_differentiated_again() -> None:
    """The jvp of a function whose second derivative in forward mode is wrong."""

    @jax.custom_jvp
    def slope(x: Any) -> Any:
        return jnp.cos(x)

    slope.defjvp(lambda xs, ts: (slope(*xs), -1.01 * jnp.sin(xs[0]) * ts[0]))

    @jax.custom_jvp
    def function(x: Any) -> Any:
        return jnp.sin(x)

    function.defjvp(lambda xs, ts: (function(*xs), slope(*xs) * ts[0]))
    for modes in ("fwd", "rev", "lin"):
        check_grads(function, (X,), order=1, modes=modes)
        with pytest.raises(Disagreement):
            check_grads(function, (X,), order=2, modes=modes)


def test_that_modes_may_be_text_and_unknown_ones_are_refused() -> None:
    check_grads(jnp.sin, (X,), order=1, modes="fwd,rev")
    for modes in ("reverse", (), ("fwd", "bwd")):
        with pytest.raises(UsageError, match="give 'fwd', 'rev', 'lin', or several of them"):
            check_grads(jnp.sin, (X,), order=1, modes=modes)


def test_that_given_derivatives_take_integers_and_complex_numbers() -> None:
    def function(z: Any, n: Any, p: Any) -> Any:
        return {"y": z[n] * jnp.exp(1j * p["a"]), "n": n}

    args = (X + 1j * X[::-1], np.array([0, 1, 0]), {"a": 0.5, "b": None})
    check_vjp(function, functools.partial(jax.vjp, function), args)
    check_jvp(function, functools.partial(jax.jvp, function), args)

    def conjugate_missing(*args: Any) -> Any:
        value, vjp = jax.vjp(function, *args)
        return value, lambda g: tuple(jax.tree.map(lambda x: jnp.conj(x) if x.dtype.kind == "c" else x, vjp(g)))

    with pytest.raises(Disagreement):
        check_vjp(function, conjugate_missing, args)
    with pytest.raises(Disagreement, match="f_vjp has 1 gradients for 2 arguments; give one for each"):
        check_vjp(lambda x, y: x * y, lambda x, y: (x * y, lambda g: (g * y,)), (X, X))


def kernel(factor: float) -> Any:
    """2 sin(x), forward and backward by kernels of Pallas."""
    pallas = pytest.importorskip("jax.experimental.pallas")

    def forward(x_ref: Any, y_ref: Any) -> None:
        y_ref[...] = 2 * jnp.sin(x_ref[...])

    def backward(x_ref: Any, g_ref: Any, y_ref: Any) -> None:
        y_ref[...] = factor * 2 * jnp.cos(x_ref[...]) * g_ref[...]

    def call(body: Any, *args: Any) -> Any:
        like = jax.ShapeDtypeStruct(args[0].shape, args[0].dtype)
        return pallas.pallas_call(body, out_shape=like, interpret=True)(*args)

    @jax.custom_vjp
    def double_sine(x: Any) -> Any:
        return call(forward, x)

    double_sine.defvjp(lambda x: (call(forward, x), x), lambda x, g: (call(backward, x, g),))
    return double_sine


def test_that_kernels_are_judged_with_a_reference() -> None:
    x = jnp.linspace(-1, 1, 8)
    assert assert_grads(kernel(1.0), [x], reference=lambda x: 2 * np.sin(x)).verdict.value == "agree"
    with pytest.raises(Disagreement, match=r"backward \(.*\) may be wrong; not judged: lax.pallas_call|1\.01"):
        assert_grads(kernel(1.01), [x], reference=lambda x: 2 * np.sin(x))
    with pytest.raises(UsageError, match=r"lax.pallas_call is known .*; give a reference function in NumPy"):
        check_grads(kernel(1.0), (x,), order=1, modes="rev")


def test_that_calls_of_python_are_judged_with_a_reference() -> None:
    def sine(x: Any) -> Any:
        return jax.pure_callback(np.sin, jax.ShapeDtypeStruct(x.shape, x.dtype), x)

    function = jax.custom_vjp(sine)
    function.defvjp(lambda x: (sine(x), x), lambda x, g: (jnp.cos(x) * g,))
    assert assert_grads(function, [jnp.asarray(X)], reference=np.sin).verdict.value == "agree"
    with pytest.raises(UsageError, match=r"lax.pure_callback is known .*; give a reference function in NumPy"):
        check_grads(function, (X,), order=1, modes="rev")


def test_that_a_branch_on_numbers_is_refused_in_one_sentence() -> None:
    with pytest.raises(UsageError, match=r"^the function cannot be traced: .*[^.]; give a reference function in NumPy"):
        check_grads(lambda x: x if x[0, 0] > 0 else 2 * x, (X,), order=1)
