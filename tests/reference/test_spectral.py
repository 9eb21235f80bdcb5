"""Eigenvalues and singular values with their vectors: against their definition, and under error bounds."""

from __future__ import annotations

import numpy as np
import pytest

from gradagree.arithmetic.ball import Ball, precision
from gradagree.arithmetic.model import model
from gradagree.arithmetic.rounded import Rounded
from gradagree.reference.operations.primitive import Primitive
from gradagree.reference.operations.spectral import (
    COMPLEX_SVD,
    HERMITIAN_EIGH,
    eig,
    eig_vjp,
    eigh,
    eigh_vjp,
    svd,
    svd_vjp,
)

RNG = np.random.default_rng(11)


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape)


def test_that_eigenvectors_are_those_of_the_matrix() -> None:
    a = normal(3, 4, 4)
    a = a + np.swapaxes(a, -1, -2)
    found = eigh(a)
    values, v = found[:, :1], found[:, 1:]
    assert np.allclose(a @ v, v * values, rtol=1e-13, atol=1e-13)
    assert np.array_equal(eigh(a, taken=-v)[:, 1:], -v)


@pytest.mark.parametrize("shape", [(4, 4), (5, 3), (3, 5)])
def test_that_singular_vectors_compose_the_matrix(shape: tuple[int, int]) -> None:
    a = normal(*shape)
    found = svd(a)
    u, v = found[1 : 1 + shape[0]], found[1 + shape[0] :]
    assert np.allclose((u * found[0]) @ v.T, a, rtol=1e-13, atol=1e-13)


def moved(f: object, a: np.ndarray, step: np.ndarray) -> np.ndarray:
    """The central difference quotient of a decomposition, with the signs at a."""
    size = 2.0**-17
    m = a.shape[0]
    taken = f(a)[1 : 1 + m]  # type: ignore[operator]
    ends = (f(a + s * size * step, taken=taken) for s in (1, -1))  # type: ignore[operator]
    high, low = ends
    return (high - low) / (2 * size)  # type: ignore[no-any-return]


@pytest.mark.parametrize("shape", [(4, 4), (5, 3), (3, 5)])
def test_that_the_vjp_of_singular_vectors_is_the_derivative(shape: tuple[int, int]) -> None:
    a, step = normal(*shape), normal(*shape)
    y = svd(a)
    g = normal(*y.shape)
    (by_a,) = svd_vjp(g, y, a)
    expected = np.sum(moved(svd, a, step) * g)
    assert np.isclose(np.sum(by_a * step), expected, rtol=1e-7)
    assert not np.isclose(1.001 * np.sum(by_a * step), expected, rtol=1e-7)


def test_that_the_vjp_of_a_matrix_of_low_rank_is_the_derivative() -> None:
    left, right, step = normal(5, 2), normal(2, 4), normal(5, 2)
    y = svd(left @ right, rank=2)
    g = normal(*y.shape)
    (by_a,) = svd_vjp(g, y, left @ right)
    size = 2.0**-17
    ends = [svd((left + s * size * step) @ right, taken=y[1:6], rank=2) for s in (1, -1)]
    expected = np.sum((ends[0] - ends[1]) / (2 * size) * g)
    assert np.isclose(np.sum((by_a @ right.T) * step), expected, rtol=1e-7)


def test_that_the_vjp_of_eigenvectors_is_the_derivative() -> None:
    a, step = normal(4, 4), normal(4, 4)
    a, step = a + a.T, step + step.T
    y = eigh(a)
    g = normal(*y.shape)
    (by_a,) = eigh_vjp(g, y, a)
    expected = np.sum(moved(eigh, a, step) * g)
    assert np.isclose(np.sum(by_a * step), expected, rtol=1e-7)
    assert np.array_equal(by_a, by_a.T) or np.allclose(by_a, by_a.T, rtol=1e-12)


def test_that_eigenvectors_of_any_matrix_have_norm_1_and_the_phases_and_order_that_are_taken() -> None:
    a = normal(2, 3, 4, 4)
    values, v = eig(a)[..., :1, :], eig(a)[..., 1:, :]
    values, v, whole = (x[0] + 1j * x[1] for x in (values, v, a))
    assert np.allclose(whole @ v, v * values, rtol=1e-12, atol=1e-12)
    assert np.allclose(np.sum(np.abs(v) ** 2, axis=-2), 1, rtol=1e-14)
    turned = (v * np.exp(1j * np.arange(4)))[..., ::-1]
    found = eig(a, np.concatenate([values[..., ::-1], turned], axis=-2))
    assert np.allclose(found[0, ..., 1:, :] + 1j * found[1, ..., 1:, :], turned, rtol=1e-12)


def test_that_the_vjp_of_eigenvectors_of_any_matrix_is_the_derivative() -> None:
    """Of a function that does not depend on the phases, as there is no other derivative."""
    a, step, size = normal(2, 4, 4), normal(2, 4, 4), 2.0**-17
    y, g = eig(a), normal(5, 4)

    def squares(y: np.ndarray) -> float:
        return float(np.sum(g * (y[0] ** 2 + y[1] ** 2)))

    own = y[0] + 1j * y[1]
    expected = (squares(eig(a + size * step, own)) - squares(eig(a - size * step, own))) / (2 * size)
    (by_a,) = eig_vjp(2 * g * y, y, a)
    assert np.isclose(np.sum(by_a * step), expected, rtol=1e-7)
    (wrong,) = eig_vjp(2 * g[::-1] * y, y, a)
    assert not np.isclose(np.sum(wrong * step), expected, rtol=1e-3)


def hermitian(a: np.ndarray) -> np.ndarray:
    """The hermitian part of matrices whose first axis holds the real and the imaginary parts."""
    turned = np.swapaxes(a, -1, -2)
    return np.stack([a[0] + turned[0], a[1] - turned[1]]) / 2


@pytest.mark.parametrize(
    ("operation", "shape"),
    [(HERMITIAN_EIGH, (4, 4)), (COMPLEX_SVD, (4, 4)), (COMPLEX_SVD, (5, 3)), (COMPLEX_SVD, (2, 4))],
)
def test_that_the_vjp_of_complex_vectors_is_the_derivative(operation: Primitive, shape: tuple[int, int]) -> None:
    """Of a function that does not depend on the phases: the values, the squares of the vectors, and one u v^H."""
    a, step, size = normal(2, *shape), normal(2, *shape), 2.0**-17
    a, step = (hermitian(x) if operation is HERMITIAN_EIGH else x for x in (a, step))
    y, m = operation.function(a), shape[0]
    g, h = normal(*y.shape[1:]), normal(*shape) + 1j * normal(*shape)

    def loss(y: np.ndarray) -> float:
        z = y[0] + 1j * y[1]
        u, v = z[1 : 1 + m], z[1 + m :]
        product = np.real(np.sum(h * (u @ v.conj().T))) if len(v) else 0.0
        return float(product + np.sum(g[0] * y[0, 0]) + np.sum(g[1:] * (y[:, 1:] ** 2).sum(0)))

    z = y[0] + 1j * y[1]
    cotangent = np.concatenate([g[:1], 2 * g[1:] * z[1:]])
    if operation is COMPLEX_SVD:
        cotangent[1 : 1 + m] += h.conj() @ z[1 + m :]
        cotangent[1 + m :] += h.T @ z[1 : 1 + m]
    expected = (loss(operation.function(a + size * step)) - loss(operation.function(a - size * step))) / (2 * size)
    assert operation.vjp is not None
    (by_a,) = operation.vjp(np.stack([cotangent.real, cotangent.imag]), y, a)
    assert np.isclose(np.sum(by_a * step), expected, rtol=1e-7)
    (wrong,) = operation.vjp(np.stack([cotangent.real, -cotangent.imag]), y, a)
    assert not np.isclose(np.sum(wrong * step), expected, rtol=1e-3)


def test_that_complex_vectors_have_the_phases_that_are_taken() -> None:
    a = hermitian(normal(2, 3, 4, 4))
    y = HERMITIAN_EIGH.function(a)
    turned = (y[0, :, 1:] + 1j * y[1, :, 1:]) * np.exp(1j * np.arange(4))
    found = HERMITIAN_EIGH.function(a, taken=turned)
    assert np.allclose(found[0, :, 1:] + 1j * found[1, :, 1:], turned, rtol=1e-12)


def test_that_error_bounds_hold_the_eigenvalues_of_every_matrix_nearby() -> None:
    a, inside = np.stack([normal(4, 4), np.zeros((4, 4))]), model("float32")
    bound, y = eig(Rounded.stored(a, inside)), eig(a)
    for _ in range(20):
        near = eig(a + inside.u * np.abs(a) * RNG.uniform(-1, 1, a.shape), y[0] + 1j * y[1])
        assert np.all(np.abs(near - bound.value)[:, 0] <= bound.radius[:, 0])
    assert np.max(bound.radius) < 1e-3


def test_that_error_bounds_hold_the_decomposition_of_every_matrix_nearby() -> None:
    a = normal(4, 4)
    inside = model("float32")
    bound = svd(Rounded.stored(a, inside))
    for _ in range(20):
        near = svd(a + inside.u * np.abs(a) * RNG.uniform(-1, 1, a.shape), taken=svd(a)[1:5])
        assert np.all(np.abs(near - bound.value) <= bound.radius)
    assert np.max(bound.radius) < 1e-4


def test_that_equal_eigenvalues_have_no_known_eigenvectors() -> None:
    found = eigh(Rounded.stored(np.diag([1.0, 1.0, 3.0]), model("float32")))
    assert not np.isfinite(found.radius[1:, :2]).all()
    assert np.isfinite(found.radius[0]).all()


def test_that_balls_hold_more_digits_than_float64() -> None:
    a = np.array([[2.0, 1.0], [1.0, 3.0]])
    with precision(200):
        found = Ball.entry(eigh(Ball.exact(a)), (0, 0))
        exact = (5 - Ball.entry(np.sqrt(Ball.exact(np.array([5.0]))), (0,))) / 2
        assert float(abs(found - exact).abs_upper()) < 1e-30
