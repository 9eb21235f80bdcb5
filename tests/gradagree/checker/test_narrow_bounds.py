"""Bounds of one program: each contains that program, computed independently, and is narrower than the next."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

from gradagree.adapters.formats import FORMATS
from gradagree.arithmetic.model import model
from gradagree.arithmetic.rounded import Rounded, round_once
from gradagree.arithmetic.rounding import round_to_format
from gradagree.checker.allowances import ToleranceOptions
from gradagree.checker.loss_operands import OperandGradient
from gradagree.reference import Activation, ErrorFunction

NARROW = ("float16", "bfloat16")
ONCE, STEPS, ANY = ToleranceOptions.without_conditioning()
POINTS = np.array([-2.5, -1.25, -0.375, 0.4375, 1.5, 2.25])
EXACT = {
    "gelu": (
        lambda p: p * mpmath.ncdf(p),
        lambda p: mpmath.ncdf(p) + p * mpmath.npdf(p),
    ),
    "tanh": (mpmath.tanh, lambda p: mpmath.sech(p) ** 2),
    "softplus": (lambda p: mpmath.log1p(mpmath.exp(p)), lambda p: 1 / (1 + mpmath.exp(-p))),
    "sin": (mpmath.sin, mpmath.cos),
    "silu": (
        lambda p: p / (1 + mpmath.exp(-p)),
        lambda p: (1 + mpmath.exp(-p) + p * mpmath.exp(-p)) / (1 + mpmath.exp(-p)) ** 2,
    ),
}


@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("part", [0, 1], ids=["value", "derivative"])
def test_a_result_rounded_once_is_within_the_narrowest_bound(dtype: str, name: str, part: int) -> None:
    activation = Activation.named(name)
    method = ("value", "derivative")[part]
    p = Rounded.stored(POINTS, model(dtype))
    with mpmath.workdps(40):
        exact = np.array([float(EXACT[name][part](mpmath.mpf(float(x)))) for x in POINTS])
    radii = []
    for how in (ONCE, STEPS, ANY):
        bound = getattr(how.bounds(activation), method)(p)
        assert (np.abs(round_to_format(exact, FORMATS[dtype]) - bound.value) <= bound.radius).all()
        radii.append(bound.radius)
    assert (radii[0] < radii[1]).all()
    assert (radii[1] < radii[2]).all()


@pytest.mark.parametrize("dtype", NARROW)
def test_a_value_two_ulps_away_is_outside_the_narrowest_bound(dtype: str) -> None:
    bound = ONCE.bounds(Activation.named("gelu")).value(Rounded.stored(POINTS, model(dtype)))
    rounded = round_to_format(bound.value, FORMATS[dtype])
    wrong = rounded + np.copysign(4 * FORMATS[dtype].u * np.abs(rounded), rounded - bound.value)
    assert (np.abs(wrong - bound.value) > bound.radius).all()


@pytest.mark.parametrize("dtype", FORMATS)
def test_the_sine_of_a_huge_number_is_known_to_its_last_digits(dtype: str) -> None:
    huge = round_to_format(np.array([30000.0, 54321.0, 2.0**15]), FORMATS[dtype])
    p = Rounded.stored(huge, model(dtype))
    sin = Activation.named("sin")
    narrow, any_formula = (how.bounds(sin).derivative(p) for how in (STEPS, ANY))
    assert (narrow.radius <= 32 * FORMATS[dtype].u * np.abs(narrow.value)).all()
    assert (any_formula.radius > FORMATS[dtype].u * 1000).all()


@pytest.mark.parametrize("dtype", NARROW)
def test_a_loss_has_narrower_bounds_in_float32(dtype: str) -> None:
    o, t = np.array([[5.5, -2.25, 9.75]]), np.array([[0.25, 0.5, 0.25]])
    error, rules = ErrorFunction.named("generalized_kl"), model(dtype)
    once, steps, any_formula = (
        how.bounds(error).sensitivity(Rounded.stored(o, rules), Rounded.stored(t, rules)).radius
        for how in (ONCE, STEPS, ANY)
    )
    assert (once < steps).all()
    assert (steps < any_formula).all()


def vjp_of_stored_softmax(p: np.ndarray, delta_a: np.ndarray, dtype: str) -> np.ndarray:
    """The vjp of softmax from A(p) in the dtype, with nothing else rounded but the result."""
    form = FORMATS[dtype]
    with mpmath.workdps(40):
        powers = [mpmath.exp(mpmath.mpf(float(x))) for x in p]
        exact = np.array([float(x / sum(powers)) for x in powers])
        a = [mpmath.mpf(float(x)) for x in round_to_format(exact, form)]
        mean = sum(x * mpmath.mpf(float(d)) for x, d in zip(a, delta_a, strict=True))
        found = [float(x * (mpmath.mpf(float(d)) - mean)) for x, d in zip(a, delta_a, strict=True)]
    return round_to_format(np.array(found), form)


@pytest.mark.parametrize("dtype", NARROW)
def test_a_vjp_from_the_stored_value_has_a_narrow_bound(dtype: str) -> None:
    rules, softmax = model(dtype), Activation.named("softmax")
    delta = np.array([2.0, 2.125, 2.0, 1.875, 2.0, 2.0625])  # nearly equal, so that the vjp cancels
    observed = vjp_of_stored_softmax(POINTS, delta, dtype)
    p, delta_a = Rounded.stored(POINTS[None], rules), Rounded.stored(delta[None], rules)
    once, stored, steps = (
        how.bounds(softmax).vjp(p, delta_a) for how in ToleranceOptions.without_conditioning(cotangent=True)[:3]
    )
    assert (np.abs(observed - once.value) > once.radius).any()
    assert (np.abs(observed - stored.value) <= stored.radius).all()
    assert np.max(stored.radius) < np.max(steps.radius) / 2
    wrong = observed + np.max(stored.radius) * np.array([1.5, 0, 0, 0, 0, 0])
    assert (np.abs(wrong - stored.value) > stored.radius).any()


@pytest.mark.parametrize("dtype", NARROW)
def test_a_gradient_of_targets_has_narrower_bounds_in_float32(dtype: str) -> None:
    o, t = np.array([[5.5, -2.25, 9.75]]), np.array([[0.25, 0.5, 0.75]])
    rules = model(dtype)
    gradient = OperandGradient.of(ErrorFunction.named("dice"), "t", o, t)
    once, steps, any_formula = (
        gradient.bounds(Rounded.stored(o, rules), Rounded.stored(t, rules), how) for how in (ONCE, STEPS, ANY)
    )
    observed = round_to_format(gradient.plain[0], FORMATS[dtype])
    assert (np.abs(observed - once.value) <= once.radius).all()
    assert (once.radius < steps.radius).all()
    assert (steps.radius < any_formula.radius).all()
    assert (np.abs(1.03 * observed - once.value) > once.radius).all()


def test_wide_formats_have_no_wider_one() -> None:
    for dtype in ("float32", "float64"):
        p = Rounded.stored(POINTS, model(dtype))
        once, steps = (how.bounds(Activation.named("gelu")).value(p) for how in (ONCE, STEPS))
        assert (once.radius == steps.radius).all()


def test_numbers_that_the_format_holds_are_not_rounded_again() -> None:
    rules = model("bfloat16")
    found = round_once(Rounded.stored([1.5, 1 + 2.0**-20], rules.wide), rules)
    assert found.radius[0] == 0 < found.radius[1]


def test_a_number_that_does_not_fit_the_format_is_out_of_range() -> None:
    rules = model("float16")
    found = round_once(Rounded.stored([60000.0, 70000.0], rules.wide), rules)
    assert np.isfinite(found.radius[0])
    assert np.isinf(found.radius[1])


def test_a_plain_program_keeps_subnormals() -> None:
    rules = model("bfloat16", flushes=True)
    x = 2.0**-130
    assert Rounded.stored(x, rules).radius == x
    assert Rounded.stored(x, rules.plain).radius == 0
