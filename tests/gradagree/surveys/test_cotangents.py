"""The survey multiplies derivatives by several cotangents: exact values, accepted errors, findings and programs."""

from __future__ import annotations

import dataclasses
from typing import Any

import mpmath
import numpy as np
import pytest

from gradagree.arithmetic.model import FORMATS
from gradagree.arithmetic.rounding import round_to_format
from gradagree.reference import Activation, ErrorFunction
from gradagree.surveys.cache import fill_from_limits
from gradagree.surveys.classify import ErrorCode
from gradagree.surveys.cotangents import cotangent_rows, subjects_with_cotangents, with_cotangents
from gradagree.surveys.exact import compute_exact_values
from gradagree.surveys.measurements import measure, mode_deviations
from gradagree.surveys.subject import Subject

SOFTMAX = Activation.named("softmax")


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("width", [1, 3, 1027])
def test_that_cotangents_are_numbers_of_the_dtype_whose_sums_cancel_or_overflow(dtype: str, width: int) -> None:
    form, found = FORMATS[dtype], cotangent_rows(width, FORMATS[dtype])
    assert np.array_equal(round_to_format(found, form), found)
    assert (np.abs(found[found != 0]) >= form.smallest_normal).all()
    if width == 1:
        assert not np.isin(1.0, found)
        return
    total, sizes = (np.sum(x / form.largest, axis=1) for x in (found, np.abs(found)))
    assert (np.abs(total) > 1).any()
    assert ((np.abs(total) <= 1) & (sizes > 1)).any()


def softmax_vjp(row: np.ndarray, cotangent: np.ndarray) -> list[float]:
    """The vjp by mpmath at 60 digits."""
    with mpmath.workdps(60):
        e = [mpmath.exp(mpmath.mpf(float(x))) for x in row]
        p = [x / mpmath.fsum(e) for x in e]
        mean = mpmath.fsum(a * mpmath.mpf(float(b)) for a, b in zip(p, cotangent, strict=True))
        return [float(a * (mpmath.mpf(float(b)) - mean)) for a, b in zip(p, cotangent, strict=True)]


def test_that_the_exact_vjp_of_softmax_equals_that_of_mpmath() -> None:
    points, cotangents = np.array([[0.0, 1.0, -2.0]] * 3), np.array([[1.0, 2.0, 3.0], [3e38, -3e38, 3e38], [1, 1, 1.0]])
    subject = Subject(SOFTMAX, "float32", points, None, (0,), (0, 1, 2), cotangents)
    exact = compute_exact_values(subject, "slope", balls_only=True)
    expected = [softmax_vjp(x, c) for x, c in zip(points, cotangents, strict=True)]
    np.testing.assert_allclose(exact.high[:2, 0], expected[:2], rtol=1e-15)
    assert exact.high[2, 0].tolist() == [0.0, 0.0, 0.0]


def test_that_the_exact_vjp_of_a_loss_is_the_derivative_times_the_cotangent() -> None:
    plain = Subject(ErrorFunction.named("bce_logits"), "float64", np.array([[2.0]]), np.array([[1.0]]))
    weighted = Subject(plain.function, "float64", plain.points, plain.targets, cotangents=np.array([-0.7]))
    (found,), (one,) = (compute_exact_values(x, "slope", balls_only=True).high for x in (weighted, plain))
    assert one == pytest.approx(-1 / (1 + np.exp(2.0)), rel=1e-14)
    assert found == pytest.approx(-0.7 * one, rel=1e-15)


def codes(observed: Any, row: Any, cotangent: Any, dtype: str = "float32") -> list[int]:
    subject = Subject(SOFTMAX, dtype, np.array([row]), None, (0,), tuple(range(len(row))), np.array([cotangent]))
    exact = compute_exact_values(subject, "slope")
    return measure(subject, "slope", "torch", "grad", np.array([observed]), exact).errors.codes[0, 0].tolist()


def test_that_rounding_of_the_terms_of_a_sum_that_cancels_is_accepted() -> None:
    row, ones = [0.0] * 3, [1.0, 1.0, 1.0]
    assert codes([3e-8, -3e-8, 0.0], row, ones) == [0, 0, 0]
    assert codes([1e-3, 0.0, 0.0], row, ones)[0] == ErrorCode.DIGITS
    assert codes([1 / 3, 0.0, 0.0], row, ones)[0] == ErrorCode.NO_DIGIT  # p c without the sum


def test_that_an_overflow_of_the_sum_of_cotangents_is_not_finite() -> None:
    large = [3e38, -3e38, 3e38]
    exact = softmax_vjp(np.zeros(3), np.array(large))
    right = [float(x) for x in np.float32(exact)]
    assert codes(right, [0.0] * 3, np.float32(large).astype(float)) == [0, 0, 0]
    assert set(codes([np.inf, np.nan, np.inf], [0.0] * 3, np.float32(large).astype(float))) == {ErrorCode.NONFINITE}


@pytest.mark.parametrize("function", [SOFTMAX, Activation.named("tanh"), ErrorFunction.named("nll")])
def test_that_only_derivatives_are_surveyed_with_cotangents(function: Activation | ErrorFunction) -> None:
    subject = with_cotangents(Subject.of(function, "float32", 8))
    assert subject.inputs == "cotangents"
    assert len(subject.points) == len(subject.order) == len(subject.scale) == len(subject.cotangents)  # type: ignore[arg-type]
    assert np.isfinite(subject.points).all()
    assert next(one.inputs for one in subjects_with_cotangents(function, "float32", 8)) == "cotangents"


@pytest.mark.parametrize("name", [*Activation.catalogue, *ErrorFunction.catalogue])
def test_that_the_vjp_of_every_function_is_the_sum_of_its_derivatives(name: str) -> None:
    kind: Any = Activation if name in Activation.catalogue else ErrorFunction
    subject = Subject.of(kind.named(name), "float32", 8)
    weighted = with_cotangents(subject.at(subject.order[:8]))
    assert weighted.cotangents is not None
    plain = dataclasses.replace(weighted, cotangents=None, ks=subject.ks)
    with np.errstate(all="ignore"):
        found, derivative = (x.evaluate("slope", x.points) for x in (weighted, plain))
        c = weighted.cotangents.reshape(
            *weighted.cotangents.shape, *[1] * (np.ndim(derivative) - weighted.cotangents.ndim)
        )
        expected = c * derivative
        if weighted.cotangents.ndim == 2:
            expected = expected.sum(axis=1, keepdims=True)
        bound = 1e-12 * np.nanmax(np.abs(c * derivative), axis=tuple(range(1, np.ndim(derivative))), initial=0.0)
        gap = np.abs(found - expected).T
        right = (gap <= bound).T | ~np.isfinite(expected) | ~np.isfinite(found)
    assert np.shape(found) == np.shape(expected)
    assert np.all(right)


def test_that_an_infinite_derivative_has_no_exact_value_times_a_small_cotangent() -> None:
    # bce at o = 1 and t = 0, whose derivative is infinite
    subject = Subject(
        ErrorFunction.named("bce"), "float32", np.array([[1.0]]), np.array([[0.0]]), cotangents=np.array([-0.7])
    )
    exact = fill_from_limits(subject, "slope", compute_exact_values(subject, "slope"))
    assert not exact.known.any()
    assert not measure(subject, "slope", "jax", "jit", np.array([[-np.inf]]), exact).errors.codes.any()


def test_that_modes_that_differ_by_the_rounding_of_a_sum_that_cancels_are_no_deviation() -> None:
    subject = Subject(SOFTMAX, "float32", np.zeros((1, 3)), None, (0,), (0, 1, 2), np.ones((1, 3)))
    exact = compute_exact_values(subject, "slope")
    for second, count in ((6e-8, 0), (0.25, 1)):
        both = [
            measure(subject, "slope", "jax", mode, np.full((1, 1, 3), x), exact)
            for mode, x in (("grad", 0.0), ("jit", second))
        ]
        assert len(list(mode_deviations(both))) == count


@pytest.mark.parametrize(("o", "expected"), [(100.0, 0), (80.0, ErrorCode.NONFINITE)])
def test_that_infinity_is_accepted_where_the_derivative_alone_is_too_large(o: float, expected: int) -> None:
    subject = Subject(
        ErrorFunction.named("poisson_nll"), "float32", np.array([[o]]), np.array([[1.0]]),
        cotangents=np.array([2.0**-110]),
    )  # fmt: skip
    exact = compute_exact_values(subject, "slope")
    assert measure(subject, "slope", "jax", "jit", np.array([[np.inf]]), exact).errors.codes[0, 0] == expected
