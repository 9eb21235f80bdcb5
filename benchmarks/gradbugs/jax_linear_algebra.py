"""Bugs of JAX in the derivatives of factorisations and of densities that use them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.gradbugs.bug import Bug
from benchmarks.gradbugs.kernels import gradients_in_wide, in_wide, jax_vjp, wide


def kernel(forward: Any, backward: Any) -> Any:
    return jax_vjp(in_wide(forward), gradients_in_wide(backward))


def upper_cholesky(a: Any) -> Any:
    """The upper factor, from the upper triangle of a alone."""
    return jnp.linalg.cholesky(jnp.triu(a) + jnp.triu(a, 1).T).T


def upper_cholesky_backward(ignore_lower: bool) -> Any:
    """The gradient with respect to the triangle that is used; by mistake with a share for the other triangle."""

    def backward(g: Any, a: Any) -> Any:
        factor = upper_cholesky(a).T
        p = jnp.tril(factor.T @ g.T)
        p = p - jnp.diag(jnp.diag(p)) / 2
        inner = jax.scipy.linalg.solve_triangular(factor, p, trans=1, lower=True)
        s = jax.scipy.linalg.solve_triangular(factor, inner.T, trans=1, lower=True).T
        return (jnp.triu(s) + jnp.tril(s, -1).T if ignore_lower else s,)

    return backward


def positive_definite(rng: np.random.Generator) -> list[Any]:
    a = rng.normal(size=(4, 4))
    return [a @ a.T + 4 * np.eye(4)]


def triangular_solve(a: Any, b: Any) -> Any:
    return jax.scipy.linalg.solve_triangular(a, b, lower=True)


def triangular_solve_backward(masked: bool) -> Any:
    """-w xᵀ of the lower triangle; by mistake of the whole matrix."""

    def backward(g: Any, a: Any, b: Any) -> Any:
        x = triangular_solve(a, b)
        w = jax.scipy.linalg.solve_triangular(a, g, lower=True, trans=1)
        da = -w @ x.T
        return jnp.tril(da) if masked else da, w

    return backward


def triangle_and_right_side(rng: np.random.Generator) -> list[Any]:
    return [rng.normal(size=(4, 4)) / 4 + 2 * np.eye(4), rng.normal(size=(4, 2))]


def upper_factor(a: Any) -> Any:
    """The factor R of a = Q R, with a positive diagonal."""
    r = jnp.linalg.qr(a)[1]
    return r * jnp.sign(jnp.diag(r))[:, None]


def upper_factor_rule(complete: bool) -> Any:
    """R with a rule for its tangent; by mistake without the rotation of Q."""
    function = jax.custom_jvp(in_wide(upper_factor))

    @function.defjvp
    def rule(primals: Any, tangents: Any) -> Any:
        a, t = wide(primals[0], tangents[0])
        r = upper_factor(a)
        over_r = jax.scipy.linalg.solve_triangular(r, t.T, trans=1).T
        q = jax.scipy.linalg.solve_triangular(r, a.T, trans=1).T
        inner = q.T @ over_r
        turn = jnp.tril(inner, -1)
        turn = turn - turn.T
        dtype = primals[0].dtype
        return r.astype(dtype), (((inner - turn) if complete else inner) @ r).astype(dtype)

    return function


def tall(rng: np.random.Generator) -> list[Any]:
    return [rng.normal(size=(5, 3))]


def log_density(x: Any, mean: Any, covariance: Any) -> Any:
    """The logarithm of the density of a normal distribution, without its constant."""
    d = x - mean
    return -0.5 * (d @ jnp.linalg.solve(covariance, d) + jnp.linalg.slogdet(covariance)[1])


def log_density_backward(sign: int) -> Any:
    def backward(g: Any, x: Any, mean: Any, covariance: Any) -> Any:
        w = jnp.linalg.solve(covariance, x - mean)
        by_covariance = 0.5 * (jnp.outer(w, w) - jnp.linalg.inv(covariance))
        return -g * w, g * w, sign * g * by_covariance

    return backward


def normal(rng: np.random.Generator) -> list[Any]:
    a = rng.normal(size=(3, 3))
    return [rng.normal(size=3), rng.normal(size=3), a @ a.T + 3 * np.eye(3)]


BUGS = (
    Bug(
        "the upper Cholesky factor has a gradient in the triangle that it ignores",
        "https://github.com/jax-ml/jax/issues/40421", "Incorrect gradient for linalg.cholesky", "jax", "cholesky",
        "one triangle", "mask-not-applied", kernel(upper_cholesky, upper_cholesky_backward(False)),
        kernel(upper_cholesky, upper_cholesky_backward(True)), positive_definite, ("args[0]",),
        lambda a: np.linalg.cholesky(np.triu(a) + np.triu(a, 1).T).T,
    ),
    Bug(
        "a triangular solve has a gradient in the triangle that it ignores",
        "https://github.com/jax-ml/jax/issues/1458",
        "JVP of jax.scipy.linalg.solve with sym_pos=True fails check_grads", "jax", "triangular solve", "one triangle",
        "mask-not-applied", kernel(triangular_solve, triangular_solve_backward(False)),
        kernel(triangular_solve, triangular_solve_backward(True)), triangle_and_right_side, ("args[0]",),
        lambda a, b: np.linalg.solve(np.tril(a), b),
    ),
    Bug(
        "the tangent of the factor R misses the rotation of Q", "https://github.com/jax-ml/jax/issues/2863",
        "Gradient of QR fails", "jax", "qr", "", "where", upper_factor_rule(False), upper_factor_rule(True), tall,
        ("args[0]",), in_wide(upper_factor),
    ),
    Bug(
        "the gradient of a covariance has the wrong sign", "https://github.com/HIPS/autograd/pull/412",
        "Fix vjp for multivariate normal covariance", "jax", "density", "", "sign",
        kernel(log_density, log_density_backward(-1)), kernel(log_density, log_density_backward(1)), normal,
        ("args[2]",), in_wide(log_density),
    ),
)  # fmt: skip
