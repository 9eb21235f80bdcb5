"""Every activation of the catalogue: its derivative, its kinks and its implementations against its value."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import flint
import numpy as np
import pytest

from gradagree.arithmetic import Ball, Dual, Rounded
from gradagree.arithmetic.ball import lift
from gradagree.arithmetic.model import model
from gradagree.checker.allowances import ToleranceOptions
from gradagree.reference import Activation, activations

pytestmark = pytest.mark.usefixtures("working_precision")
BITS = 600
GRID = np.arange(-96, 97) / 4
REGISTERED = [made for made in Activation.catalogue.values() if made.__module__.startswith("gradagree.reference")]
DEFAULTS = [made() for made in REGISTERED if not made().along_last_axis]
VARIANTS = [
    *DEFAULTS,
    activations.LeakyRelu(negative_slope=-0.5),
    activations.LeakyRelu(negative_slope=1.0),
    activations.Elu(alpha=0.25),
    activations.Softplus(beta=3.0),
    activations.Softplus(beta=-0.5),
    activations.Hardtanh(min_val=-2.25, max_val=0.5),
    activations.Clip(low=-0.5, high=4.0),
    activations.Threshold(threshold=0.5, to=-1.25),
    activations.Rrelu(lower=0.25, upper=0.75),
    activations.Celu(alpha=2.0),
    activations.Hardshrink(lambd=1.5),
    activations.Softshrink(lambd=0.25),
    activations.Squareplus(b=0.5),
    activations.SoftplusThreshold(beta=2.0, threshold=9.0),
    activations.Prelu(a=-0.75),
    activations.Prelu(a=1.0),
]
KINKED = [activation for activation in VARIANTS if activation.kinks]
JUMPING = (activations.Threshold, activations.Hardshrink, activations.SoftplusThreshold)
"""Their values jump at their kinks, as their docstrings say."""
CONTINUOUS = [activation for activation in KINKED if not isinstance(activation, JUMPING)]


class Planted:
    """An activation with another derivative, and without its kinks."""

    kinks: tuple[float, ...] = ()

    def __init__(self, activation: Activation, derivative: Callable[[Any], Any]) -> None:
        self.domain = activation.domain
        self.value = activation.value
        self.derivative = derivative


def each(made: list[Activation]) -> Any:
    return pytest.mark.parametrize("activation", made, ids=str)


def dyadic_points(activation: Any) -> np.ndarray:
    """Hundreds of short dyadic numbers, tiny, ordinary and large, none of them a kink."""
    sizes = np.outer([1.0, 1.25, 1.5, 1.8125], np.exp2([-1000, -160, -60, -30, -12, 12, 30, 60])).ravel()
    near = [kink + side * 2.0**-k for kink in activation.kinks for side in (-1, 1) for k in (1, 10, 30)]
    points = np.concatenate([np.arange(-96, 97) / 8, sizes, -sizes, near])
    points = points[~np.isin(points, activation.kinks)]
    return within(activation, points)


def within(activation: Any, points: np.ndarray) -> np.ndarray:
    """Those inside the domain, and, for functions that grow like exp, those whose values have few thousand digits."""
    points = points[points > 0] if activation.domain == "positive" else points
    large = getattr(activation, "name", "") in ("exp", "gaussian")
    return points[np.abs(points) < 2.0**20] if large else points


def wrong_slopes(activation: Any, points: np.ndarray) -> np.ndarray:
    """The points where the derivative is not proved to be the slope of the value, to half of the bits."""
    p, sharp = Ball.exact(points), flint.arb(2) ** (-BITS // 2)
    derived = lift(activation.derivative(p)).balls
    slope = lift(activation.value(Dual.variable(p)).tangent).balls
    proved = [
        x.overlaps(y) and max(x.rad(), y.rad()) < sharp * max(1, abs(y).upper())
        for x, y in zip(derived, slope, strict=True)
    ]
    return points[~np.asarray(proved)]


def jump(activation: Any, at: float, step: float) -> flint.arb:
    """How far the slope of the value a step to the left is from that a step to the right."""
    left, right = (lift(activation.value(Dual.variable(Ball.exact(at + side * step))).tangent) for side in (-1, 1))
    return abs(right.balls.item() - left.balls.item())


def jumps(activation: Any) -> tuple[float, ...]:
    """Where the slope jumps: there its change stays, elsewhere it vanishes with the step."""
    return tuple(
        at for at in within(activation, GRID) if jump(activation, at, 2.0**-30) > jump(activation, at, 2.0**-8) / 2
    )


def is_continuous(value: Callable[[Any], Any], at: float) -> bool:
    """Across a step that is 2^20 times shorter the value changes about 2^20 times less."""
    left, middle, right = value(Ball.exact([at - 2.0**-40, at, at + 2.0**-40])).balls
    far_left, far_right = value(Ball.exact([at - 2.0**-20, at + 2.0**-20])).balls
    return bool(abs(right - left) <= (abs(middle - far_left) + abs(far_right - middle)) / 2**19)


@each(VARIANTS)
def test_that_the_derivative_matches_a_finite_difference_of_the_value(activation: Activation) -> None:
    points = dyadic_points(activation)
    assert points.size > 120
    assert wrong_slopes(activation, points).size == 0


@pytest.mark.parametrize("factor", [1 + 1e-9, 1 - 2.0**-52, -1.0, 0.0])
@each(DEFAULTS)
def test_that_a_derivative_times_a_wrong_factor_is_found(activation: Activation, factor: float) -> None:
    planted = Planted(activation, lambda p: activation.derivative(p) * factor)
    assert wrong_slopes(planted, dyadic_points(activation)).size > 0


def test_that_a_derivative_wrong_at_one_point_is_found_at_that_point() -> None:
    tanh = activations.Tanh()
    planted = Planted(tanh, lambda p: np.where(p == 1.5, 0.5, tanh.derivative(p)))
    assert wrong_slopes(planted, dyadic_points(tanh)).tolist() == [1.5]


def test_that_a_derivative_that_proves_nothing_does_not_pass() -> None:
    tanh = activations.Tanh()
    points = dyadic_points(tanh)
    planted = Planted(tanh, lambda p: Ball([y + flint.arb(0, 10) for y in tanh.derivative(p).balls]))
    assert wrong_slopes(planted, points).size == points.size


@each(VARIANTS)
def test_that_the_kinks_are_the_points_of_the_grid_where_the_derivative_jumps(activation: Activation) -> None:
    assert jumps(activation) == activation.kinks


@each(KINKED)
def test_that_an_unlisted_kink_is_found(activation: Activation) -> None:
    planted = Planted(activation, activation.derivative)
    assert jumps(planted) != planted.kinks


@each(CONTINUOUS)
def test_that_the_value_is_continuous_at_its_kinks(activation: Activation) -> None:
    assert all(is_continuous(activation.value, kink) for kink in activation.kinks)


def test_that_a_step_is_not_continuous() -> None:
    assert not is_continuous(lambda p: np.where(p > 0, p + 2.0**-10, p), 0.0)


@each(KINKED)
def test_that_the_derivative_at_a_kink_lies_between_the_sides(activation: Activation) -> None:
    for kink in activation.kinks:
        at = lift(activation.derivative(Ball.exact(kink))).balls.item()
        left, right = (lift(activation.derivative(Ball.exact(kink + d))).balls.item() for d in (-(2.0**-45), 2.0**-45))
        assert left.union(right).overlaps(at)


@each(VARIANTS)
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (4, 2, 3)], ids=str)
def test_that_value_and_derivative_keep_the_shape_and_the_input(activation: Activation, shape: tuple[int, ...]) -> None:
    p = np.linspace(-3, 3, int(np.prod(shape))).reshape(shape)
    p = np.abs(p) + 1 if activation.domain == "positive" else p
    before = p.copy()
    assert [np.shape(part(p)) for part in (activation.value, activation.derivative)] == [shape, shape]
    np.testing.assert_array_equal(p, before)


@each(VARIANTS)
def test_that_vjp_is_the_derivative_times_the_cotangent(activation: Activation) -> None:
    p = within(activation, GRID + 1 / 16)
    delta_a = GRID[: p.size] * 0.5
    np.testing.assert_array_equal(activation.vjp(p, delta_a), activation.derivative(p) * delta_a)


def strays(activation: Activation, framework: str, reference: Activation) -> np.ndarray:
    """The points of the grid where the implementation is outside what a correct float32 program may compute."""
    module = pytest.importorskip(framework)
    make = module.tensor if framework == "torch" else module.numpy.asarray
    points = within(activation, GRID)
    own = {name: make(np.asarray(getattr(activation, name), np.float32)) for name in activation.parameter_names}
    implementation = getattr(activation.holding(**own), framework)(make(points.astype(np.float32)), module)
    observed = np.asarray(implementation, dtype=np.float64)
    expected = (
        ToleranceOptions(conditioning=True, ad_forms=True)
        .bounds(reference)
        .value(Rounded.stored(points, model("float32", flushes=True)))
    )
    return points[~(np.abs(observed - expected.value) <= expected.radius)]


@each(VARIANTS)
@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_that_the_implementation_computes_the_same_function(activation: Activation, framework: str) -> None:
    assert strays(activation, framework, activation).size == 0


@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_that_an_implementation_of_another_default_is_found(framework: str) -> None:
    assert strays(activations.Gelu(), framework, activations.GeluTanh()).size > 0
    assert strays(activations.Elu(alpha=0.25), framework, activations.Elu()).size > 0


def test_that_every_parameter_of_the_catalogue_is_tried_off_its_default() -> None:
    parameters = {(made.name, field.name) for made in DEFAULTS for field in dataclasses.fields(made)}
    tried = {
        (made.name, f.name) for made in VARIANTS for f in dataclasses.fields(made) if getattr(made, f.name) != f.default
    }
    assert parameters == tried
