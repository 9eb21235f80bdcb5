"""The activations along the last axis: their vjp, their implementations and their shapes against their values."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import flint
import numpy as np
import pytest

from gradagree.arithmetic import Ball, Rounded
from gradagree.arithmetic.ball import lift
from gradagree.arithmetic.model import model
from gradagree.checker.allowances import ToleranceOptions
from gradagree.checker.derivative_forms import ad_vjp
from gradagree.reference import Activation, activations

pytestmark = pytest.mark.usefixtures("working_precision")
BITS = 600
WIDTH = 6
MASK = (1.0, 0.0, 1.0, 1.0, 0.0, 1.0)
REGISTERED = [made for made in Activation.catalogue.values() if made.__module__.startswith("gradagree.reference")]
SLOPED = activations.PreluByColumn(a=(0.25, -0.5, 3.0, 0.0, 1.0, 0.125))
DEFAULTS = [SLOPED if made is type(SLOPED) else made() for made in REGISTERED if made().along_last_axis]
VARIANTS = [
    *DEFAULTS,
    activations.GumbelSoftmax(tau=0.5, noise=(0.5, -0.25, 1.0, 0.0, 0.75, -1.0)),
    activations.LayerNorm(eps=0.25),
    activations.Standardize(eps=0.25),
    activations.RmsNorm(eps=0.25),
    activations.Normalize(eps=2.0),
    activations.Dropout(rate=0.25, keep=MASK),
]


class Planted:
    """An activation with another vjp."""

    def __init__(self, activation: Activation, vjp: Callable[[Any, Any], Any]) -> None:
        self.value = activation.value
        self.vjp = vjp


def each(made: list[Activation]) -> Any:
    return pytest.mark.parametrize("activation", made, ids=str)


def rows(seed: int, examples: int = 40) -> np.ndarray:
    """Rows of dyadic numbers of many sizes, the first one zero but for an entry."""
    source = np.random.default_rng(seed)
    p = np.round(source.uniform(-64, 64, (examples, WIDTH))) / 16 * 2.0 ** source.integers(-12, 4, (examples, 1))
    p[0] = [0.0, 0.0, 1.5, 0.0, 0.0, 0.0]
    return p


def sensitivities(activation: Any, p: np.ndarray) -> np.ndarray:
    return rows(7, len(p))[:, : np.shape(activation.value(p))[-1]]


def wrong_vjps(activation: Any, p: np.ndarray) -> list[tuple[int, ...]]:
    """The entries of vjp that are not proved to be the transposed slope of the value, to half of the bits."""
    delta = sensitivities(activation, p)
    sharp, found = flint.arb(2) ** (-BITS // 2), lift(ad_vjp(activation, Ball.exact(p), Ball.exact(delta)))
    pulled = lift(activation.vjp(Ball.exact(p), Ball.exact(delta))).balls
    return [k for k in np.ndindex(p.shape) if not (pulled[k].overlaps(found.balls[k]) and pulled[k].rad() < sharp)]


@each(VARIANTS)
@pytest.mark.parametrize("seed", range(5))
def test_that_vjp_is_the_transposed_jacobian_times_the_cotangent(activation: Activation, seed: int) -> None:
    assert wrong_vjps(activation, rows(seed)) == []


@each(VARIANTS)
@pytest.mark.parametrize("factor", [1 + 1e-9, -1.0, 0.5])
def test_that_a_vjp_times_a_wrong_factor_is_found(activation: Activation, factor: float) -> None:
    planted = Planted(activation, lambda p, delta: activation.vjp(p, delta) * factor)
    assert wrong_vjps(planted, rows(1, 4)) != []


@each(DEFAULTS)
def test_that_a_vjp_wrong_in_one_entry_is_found_there(activation: Activation) -> None:
    here = np.zeros((4, WIDTH))
    here[2, 3] = 2.0**-60
    planted = Planted(activation, lambda p, delta: activation.vjp(p, delta) + here)
    assert wrong_vjps(planted, rows(2, 4)) == [(2, 3)]


@each(VARIANTS)
@pytest.mark.parametrize("leading", [(), (3,), (2, 3)], ids=str)
def test_that_shapes_follow_from_width_and_inputs_are_unchanged(
    activation: Activation, leading: tuple[int, ...]
) -> None:
    p = rows(3, 6).ravel()[: int(np.prod(leading)) * WIDTH].reshape(*leading, WIDTH)
    delta = np.ones((*leading, activation.width(WIDTH) or 0))
    before = p.copy()
    assert activation.value(p).shape == delta.shape
    assert activation.vjp(p, delta).shape == p.shape
    np.testing.assert_array_equal(p, before)


def test_that_odd_widths_have_no_halves() -> None:
    assert [activations.Glu().width(n) for n in (1, 2, 5, 6)] == [None, 1, None, 3]
    assert activations.Dropout(keep=MASK).width(5) is None


@each(VARIANTS)
@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_that_the_implementation_computes_the_same_function(activation: Activation, framework: str) -> None:
    module = pytest.importorskip(framework)
    make = module.tensor if framework == "torch" else module.numpy.asarray
    p = rows(5)
    own = {name: make(np.asarray(getattr(activation, name), np.float32)) for name in activation.parameter_names}
    implementation = getattr(activation.holding(**own), framework)(make(p.astype(np.float32)), module)
    observed = np.asarray(implementation, dtype=np.float64)
    rules = model("float32", flushes=True)
    expected = ToleranceOptions(conditioning=True, ad_forms=True).bounds(activation).value(Rounded.stored(p, rules))
    assert (np.abs(observed - expected.value) <= expected.radius).all()
    doubled = np.abs(2 * observed - expected.value) <= expected.radius
    assert not doubled[expected.value != 0].all(), "and twice as much is outside"


def test_that_every_parameter_of_the_catalogue_is_tried_off_its_default() -> None:
    parameters = {(made.name, field.name) for made in DEFAULTS for field in dataclasses.fields(made)}
    tried = {
        (made.name, f.name) for made in VARIANTS for f in dataclasses.fields(made) if getattr(made, f.name) != f.default
    }
    assert parameters == tried
