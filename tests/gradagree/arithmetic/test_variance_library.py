"""Variances of functions: squared derivatives, jumps within reach and errors of frameworks, within the tolerance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import special

from gradagree.arithmetic import NoRule
from gradagree.arithmetic.model import LIBRARY, OWN, model
from gradagree.arithmetic.three_valued import Trilean
from gradagree.arithmetic.variance import DEVIATIONS, Variance
from gradagree.reference.operations.derivatives import DERIVATIVES, PARTIALS, STEPS

FORM = model("float32")
X = np.array([0.28125, 0.65625, 0.90625, 0.71875])
ERROR = 2.0**-12


def exact(x: Any) -> Variance:
    return Variance.stored(x, FORM)


def near(found: np.ndarray, expected: Any) -> bool:
    """The same but for the rounding of float64."""
    return bool((np.abs(found - expected) <= LIBRARY * OWN * (np.abs(found) + np.abs(expected))).all())


@pytest.mark.parametrize("f", [f for f in DERIVATIVES if f not in STEPS], ids=lambda f: f.__name__)
def test_that_a_variance_grows_by_the_square_of_the_derivative(f: Any) -> None:
    x = X + (f is np.arccosh)
    plain, wider = f(exact(x)), f(exact(x).widen(ERROR))
    assert near(wider.variance, plain.variance + (DERIVATIVES[f](x, f(x)) * ERROR) ** 2)
    assert not near(wider.variance, plain.variance + 1.001 * (DERIVATIVES[f](x, f(x)) * ERROR) ** 2)


@pytest.mark.parametrize("f", [np.arctan2, np.hypot, np.logaddexp, np.power], ids=lambda f: f.__name__)
@pytest.mark.parametrize("side", [0, 1])
def test_that_a_variance_grows_by_the_square_of_the_partial_derivative(f: Any, side: int) -> None:
    xs = [X, X[::-1]]
    made = [exact(x).widen(ERROR * (k == side)) for k, x in enumerate(xs)]
    grown = (PARTIALS[f][side](*xs, f(*xs)) * ERROR) ** 2
    plain, wider = f(*map(exact, xs)), f(*made)
    assert near(wider.variance, plain.variance + grown)
    assert not near(wider.variance, plain.variance + 1.001 * grown)


@pytest.mark.parametrize("n", [3, -1, -3, 0.5, -2.1, 1 / 3])
def test_that_powers_by_a_number_hold_the_errors_of_float32(n: float) -> None:
    """The exponent is rounded to float32, too."""
    x = np.random.default_rng(5).uniform(0.1, 9.0, 200).astype(np.float32)
    found, observed = exact(x.astype(np.float64)) ** n, np.power(x, np.float32(n)).astype(np.float64)
    errors = np.abs(observed - found.value) / found.deviation
    assert np.max(errors) < DEVIATIONS
    assert np.median(found.deviation / np.abs(found.value)) < 8 * FORM.u


@pytest.mark.parametrize("f", [f for f in STEPS if f is not np.sign], ids=lambda f: f.__name__)
def test_that_a_step_is_exact_but_where_a_jump_is_within_reach(f: Any) -> None:
    middle = np.array([0.5, 1.0, 0.25, -1.0, -2.5])
    jumps = {np.rint: [1, 0, 0, 0, 1], np.floor: [0, 1, 0, 1, 0], np.ceil: [0, 1, 0, 1, 0], np.trunc: [0, 1, 0, 1, 0]}
    found, sure = f(exact(middle).widen(2.0**-20)), f(exact(middle))
    assert found.variance.tolist() == jumps[f]
    assert found.value.tolist() == f(middle).tolist()
    assert not sure.variance.any()
    assert f(exact(middle).widen(0.25)).variance.min() >= 1


def test_that_numbers_that_may_change_places_are_ordered_by_their_centres() -> None:
    found = np.sort(Variance([3.0, 1.0, 2.0], [0.25, 0.0, 0.5], FORM))
    assert (found.value.tolist(), found.variance.tolist()) == ([1.0, 2.0, 3.0], [0.0, 0.5, 0.25])


def test_that_a_place_is_given_where_it_is_decided() -> None:
    assert np.argmax(exact([1.0, 3.0, 3.0])) == 1
    assert np.argsort(exact([1.0, 3.0, 2.0])).tolist() == [0, 2, 1]
    with pytest.raises(NoRule, match="argmax is undecided"):
        np.argmax(Variance([1.0, 1.5], [0.0, 0.01], FORM))
    assert np.argmin(Variance([1.0, 1.5], [0.0, 0.001], FORM)) == 0


def test_that_a_sum_on_the_way_has_the_errors_of_all_before_it() -> None:
    found = np.cumsum(exact(X))
    stored = np.cumsum((FORM.u * np.cumsum(X)) ** 2) / 3
    assert (found.variance >= stored).all()
    assert (found.variance <= 2 * stored).all()
    assert near(np.cumsum(exact(X).widen(1.0)).variance - found.variance, np.arange(1.0, 5.0))


def test_that_any_angle_may_be_at_the_cut() -> None:
    found = np.arctan2(exact([0.0, 1.0, 0.0]), exact([-1.0, -1.0, 1.0]))
    assert (found.tolerance >= 2 * np.pi).tolist() == [True, False, False]


def test_that_the_sign_of_a_number_within_reach_of_zero_is_open() -> None:
    answer = np.signbit(Variance([1.0, -1.0, 0.0], [0.0, 1.0, 0.0], FORM))
    assert isinstance(answer, Trilean)
    assert (answer.true.tolist(), answer.open.tolist()) == ([False, True, False], [False, True, True])
    assert np.isfinite(Variance([1.0, np.inf, np.nan], 0.0, FORM)).tolist() == [True, False, False]


def test_that_the_gamma_function_keeps_its_sign() -> None:
    found = special.gamma(exact([0.5, -0.5, -1.5, 4.0]))
    assert np.sign(found.value).tolist() == [1, -1, 1, 1]
    assert (np.abs(found.value - special.gamma([0.5, -0.5, -1.5, 4.0])) <= found.tolerance).all()


def test_that_a_comparison_is_open_where_nothing_is_known_of_the_error() -> None:
    x = Variance(np.array([1.0, 1.0]), np.array([np.nan, 0.0]), model("float32"))
    answer: Any = x > 0
    assert (answer.true.tolist(), answer.open.tolist()) == ([True, True], [True, False])
    signs, larger = np.sign(x), np.maximum(x, 0.0)
    assert signs.variance.tolist() == [1.0, 0.0]
    assert np.isnan(larger.variance).tolist() == [True, False]


def test_that_a_number_that_cannot_overflow_is_not_infinity() -> None:
    for found in (exact(X).widen(ERROR) == -np.inf, exact(X).widen(ERROR) >= np.inf, np.inf <= exact(X)):
        assert isinstance(found, np.ndarray)
        assert not found.any()
    assert isinstance(Variance(X, np.inf, FORM) == np.inf, Trilean)


def test_that_a_masked_score_has_no_error() -> None:
    scores = np.where(np.array([True, False, True, True]), exact(X).widen(ERROR), -np.inf)
    shifted = np.exp(scores - np.max(scores))
    assert shifted.value[1] == 0
    assert shifted.variance[1] == 0
    assert np.isfinite(shifted.variance).all()
    assert np.isinf((exact(X) + 1e300).variance).all()
