"""The legitimate slopes at kinks, by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradagree.arithmetic.model import FORMULA, model
from gradagree.arithmetic.rounded import Rounded
from gradagree.checker.allowances import ToleranceOptions
from gradagree.checker.kinks import SLOPES, activation_kinks, loss_kinks, one_sided_derivative, one_sided_loss_gradient
from gradagree.reference import Activation, ErrorFunction

F = np.float32
RULES = {dtype: model(dtype) for dtype in ("float64", "float32")}


def points(seed: int, shape: tuple[int, ...] = (40, 5), reach: int = 6) -> np.ndarray:
    """Numbers of float32 near and far, a few of them on kinks."""
    source = np.random.default_rng(seed)
    x = source.normal(size=shape) * 2.0 ** source.integers(-20, reach - 2, shape)
    x.flat[:4] = 0.0, 1.0, -1.0, -0.0
    return np.clip(x, -(2.0**reach), 2.0**reach).astype(F).astype(np.float64)


@pytest.mark.parametrize("name", [name for name in Activation.catalogue if Activation.named(name).kinks])
@pytest.mark.parametrize("slope", SLOPES)
def test_that_a_slope_is_chosen_at_the_kinks_and_nothing_is_said_elsewhere(name: str, slope: str) -> None:
    activation = Activation.named(name)
    numbers = points(5)
    numbers.flat[4 : 4 + len(activation.kinks)] = activation.kinks
    p = Rounded.stored(numbers, RULES["float32"])
    kinked = np.isin(p.value, activation.kinks)
    chosen = ToleranceOptions(one_sided=slope).bounds(activation).derivative(p)
    assert kinked.any()
    assert np.isnan(chosen.radius[~kinked]).all()
    assert np.array_equal(chosen.value[kinked], one_sided_derivative(activation, p.value, slope)[kinked])
    assert np.array_equal(chosen.radius[kinked], FORMULA * RULES["float32"].u * np.abs(chosen.value[kinked]))


@pytest.mark.parametrize(
    ("name", "kink", "slopes"),
    [
        ("relu", 0.0, (0, 1, 0.5, 0)),
        ("leaky_relu(negative_slope=0.25)", 0.0, (0.25, 1, 0.625, 0)),
        ("elu(alpha=2.0)", 0.0, (2, 1, 1.5, 0)),
        ("hardtanh", -1.0, (0, 1, 0.5, 0)),
        ("hardtanh", 1.0, (1, 0, 0.5, 0)),
    ],
)
def test_that_the_slopes_at_a_kink_are_those_on_its_two_sides(name: str, kink: float, slopes: Any) -> None:
    activation = Activation.named(name)
    assert tuple(float(one_sided_derivative(activation, np.array([kink]), slope)[0]) for slope in SLOPES) == slopes
    assert activation_kinks(activation, np.array([kink, 0.7]))[f"p = {kink:g}"].tolist() == [True, False]
    assert activation_kinks(activation, np.array([0.7, -0.3])) == {}


def test_that_the_slopes_of_the_absolute_error_are_those_on_its_two_sides() -> None:
    error, o, t = ErrorFunction.named("absolute"), np.array([[1.5, 2.0]]), np.array([[1.5, 0.0]])
    assert [one_sided_loss_gradient(error, o, t, slope)[0, 0] for slope in SLOPES] == [-1.0, 1.0, 0.0, 0.0]
    assert loss_kinks(error, o, t)["the kink"].tolist() == [[True, False]]
    assert loss_kinks(error, o, t - 1) == {}
    assert loss_kinks(ErrorFunction.named("sse"), o, t) == {}


def test_that_an_output_which_does_not_move_across_the_kink_stays_where_it_is_without_a_warning() -> None:
    """Of a triplet whose distances tie only the anchor moves, to the left of which the far one is the smaller."""
    error = ErrorFunction.named("triplet_margin(swap=True)")
    o, t = np.ones((1, 6)), np.zeros((1, 0))
    assert error.across(o, t).tolist() == [[1.0, 1.0, 0.0, 0.0, 0.0, 0.0]]
    left, right, mean = (one_sided_loss_gradient(error, o, t, slope) for slope in SLOPES[:3])
    assert not np.array_equal(left, right)
    assert np.array_equal(mean, (left + right) / 2)
