"""Error bounds of activations and losses: other formulas, and the conditioning scale."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.special import erfc, expit, log_ndtr, ndtr

from gradagree.arithmetic.model import model
from gradagree.arithmetic.rounded import Rounded
from gradagree.checker.allowances import ToleranceOptions
from gradagree.checker.conditioning import CONDITIONING_POINTS, conditioning_scale
from gradagree.checker.proofs import sample_batch
from gradagree.reference import Activation, ErrorFunction
from gradagree.reference.activations import Identity, Tanh

F = np.float32
CONDITIONED = ToleranceOptions(conditioning=True)
RULES = {dtype: model(dtype) for dtype in ("float64", "float32")}
CLASSIC = (
    "elu", "gelu", "gelu_tanh", "hardtanh", "id", "leaky_relu", "relu", "sigmoid", "silu", "softplus", "softsign",
    "tanh",
)  # fmt: skip
CLASSIC_ERRORS = ("absolute", "bce_logits", "cross_entropy", "huber", "mse", "sse")
"""Functions with other formulas at hand."""
SMOOTH = sorted(set(CLASSIC) - {"id"})


ROOT_2, ROOT_PI = F(np.sqrt(2)), F(np.sqrt(np.pi))


def points(seed: int, shape: tuple[int, ...] = (40, 5), reach: int = 6) -> np.ndarray:
    """Numbers of float32 near and far, a few of them on kinks."""
    source = np.random.default_rng(seed)
    x = source.normal(size=shape) * 2.0 ** source.integers(-20, reach - 2, shape)
    x.flat[:4] = 0.0, 1.0, -1.0, -0.0
    return np.clip(x, -(2.0**reach), 2.0**reach).astype(F).astype(np.float64)


OTHER_VALUES: dict[str, tuple[Callable[[Any], Any], ...]] = {
    "tanh": (lambda p: 2 * expit(2 * p) - 1, lambda p: np.expm1(2 * p) / (np.expm1(2 * p) + F(2))),
    "sigmoid": (lambda p: F(0.5) * (1 + np.tanh(p / 2)), lambda p: 1 / (1 + np.exp(-p))),
    "relu": (lambda p: p * (p > 0), lambda p: (p + np.abs(p)) / 2),
    "elu": (
        lambda p: np.where(p > 0, p, np.exp(p) - 1),
        lambda p: np.where(p > 0, p, np.tanh(p / 2) * (np.exp(p) + 1)),
    ),
    "softplus": (lambda p: np.log1p(np.exp(p)), lambda p: np.log(1 + np.exp(p))),
    "silu": (lambda p: p / (1 + np.exp(-p)), lambda p: p * F(0.5) * (1 + np.tanh(p / 2))),
    "gelu": (lambda p: p * ndtr(p), lambda p: p * F(0.5) * erfc(-p / ROOT_2), lambda p: p * np.exp(log_ndtr(p))),
    "softsign": (lambda p: p / (1 + np.abs(p)), lambda p: np.sign(p) * (1 - 1 / (1 + np.abs(p)))),
}
OTHER_SLOPES: dict[str, tuple[Callable[[Any], Any], ...]] = {
    "tanh": (
        lambda p: 1 - np.tanh(p) * np.tanh(p),
        lambda p: 1 / np.square(np.cosh(p)),
        lambda p: (1 - np.tanh(p)) * (1 + np.tanh(p)),
    ),
    "sigmoid": (lambda p: expit(p) * expit(-p), lambda p: F(0.25) * (1 - np.square(np.tanh(p / 2)))),
    "elu": (lambda p: np.where(p > 0, F(1), np.where(p > 0, p, np.expm1(p)) + F(1)),),
    "silu": (lambda p: expit(p) + p * expit(p) * expit(-p), lambda p: p * expit(p) + expit(p) * (1 - p * expit(p))),
    "gelu": (lambda p: ndtr(p) + p * np.exp(-p * p / 2) / (ROOT_2 * ROOT_PI),),
    "softsign": (lambda p: np.square(1 / (1 + np.abs(p))), lambda p: np.square(1 - np.abs(p) / (1 + np.abs(p)))),
}


def spellings(table: dict[str, tuple[Callable[[Any], Any], ...]]) -> Any:
    named = [(name, k, f) for name, others in table.items() for k, f in enumerate(others)]
    return pytest.mark.parametrize(("name", "spelled"), [pytest.param(n, f, id=f"{n}-{k}") for n, k, f in named])


def within(found: np.ndarray, expected: Rounded) -> np.ndarray:
    return (found == expected.value) | (np.abs(found - expected.value) <= expected.radius)


@spellings(OTHER_VALUES)
@pytest.mark.parametrize("seed", range(3))
def test_that_other_formulas_in_float32_stay_within_the_bounds(name: str, spelled: Any, seed: int) -> None:
    p = points(seed)
    with np.errstate(all="ignore"):
        found = np.asarray(spelled(p.astype(F)))
    assert found.dtype == F
    finite = np.isfinite(found)
    bounds = CONDITIONED.bounds(Activation.named(name)).value(Rounded.stored(p, RULES["float32"]))
    assert finite.mean() > 0.5
    assert within(found, bounds)[finite].all(), p[finite & ~within(found, bounds)]


@spellings(OTHER_SLOPES)
@pytest.mark.parametrize("seed", range(3))
def test_that_other_derivatives_in_float32_stay_within_the_bounds(name: str, spelled: Any, seed: int) -> None:
    p = points(seed)
    with np.errstate(all="ignore"):
        found = np.asarray(spelled(p.astype(F)))
    assert found.dtype == F
    bounds = (
        ToleranceOptions(conditioning=True)
        .bounds(Activation.named(name))
        .derivative(Rounded.stored(p, RULES["float32"]))
    )
    off_kinks = ~np.isin(p, Activation.named(name).kinks) & np.isfinite(found)
    assert within(found, bounds)[off_kinks].all(), p[off_kinks & ~within(found, bounds)]


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("dtype", RULES)
@pytest.mark.parametrize("part", ["value", "derivative"])
def test_that_a_formula_wrong_by_a_thousandth_is_outside(name: str, dtype: str, part: str) -> None:
    p = points(7, reach=3)
    bounds = getattr(CONDITIONED.bounds(Activation.named(name)), part)(Rounded.stored(p, RULES[dtype]))
    wrong = bounds.value * (1 + 2.0**-10)
    large = np.abs(bounds.value) > np.max(np.abs(bounds.value)) / 8
    assert large.any()
    assert not within(wrong, bounds)[large].any()


@pytest.mark.parametrize("name", CLASSIC)
@pytest.mark.parametrize("dtype", RULES)
def test_that_the_conditioning_scale_widens_and_moves_no_center(name: str, dtype: str) -> None:
    activation, p = Activation.named(name), Rounded.stored(points(3), RULES[dtype])
    for part in ("value", "derivative"):
        tight, natural = (getattr(ToleranceOptions(wide).bounds(activation), part)(p) for wide in (False, True))
        assert np.all(np.abs(getattr(activation, part)(p.value) - tight.value) <= tight.radius)
        assert np.array_equal(tight.value, natural.value)
        assert np.all(natural.radius >= tight.radius)
        assert np.all((natural.radius > 0) == (tight.radius > 0)), "what is exact needs no scale"


def test_that_the_identity_returns_its_input_and_its_derivative_is_exact() -> None:
    p = Rounded.stored(points(1), RULES["float32"])
    assert ToleranceOptions().bounds(Identity()).value(p) is p
    assert not CONDITIONED.bounds(Identity()).derivative(p).radius.any()


def test_that_an_activations_own_vjp_is_used() -> None:
    class _Pulling(Tanh):
        def vjp(self, p: Any, delta_a: Any) -> Any:
            return 3 * delta_a

    p = Rounded.stored(points(1), RULES["float64"])
    delta = Rounded.stored(points(2), RULES["float64"])
    assert np.array_equal(ToleranceOptions(ad_forms=True).bounds(_Pulling()).vjp(p, delta).value, 3 * delta.value)
    assert np.array_equal(
        ToleranceOptions(ad_forms=True).bounds(Tanh()).vjp(p, delta).value, Tanh().derivative(p.value) * delta.value
    )


@pytest.mark.parametrize("name", CLASSIC)
@pytest.mark.parametrize("part", ["value", "derivative"])
def test_that_the_conditioning_scale_is_the_largest_absolute_value_between_zero_and_the_input(
    name: str, part: str
) -> None:
    activation = Activation.named(name)
    function = getattr(activation, part)
    for x in (*points(2, (20,)), 0.0, 2.0**22, -(2.0**22)):
        scale = float(conditioning_scale(activation, part, np.array([x]))[0])
        way = np.sign(x) * CONDITIONING_POINTS[abs(x) >= CONDITIONING_POINTS]
        with np.errstate(over="ignore"):
            assert scale >= np.max(np.abs(np.broadcast_to(function(way), way.shape)), initial=0)
            assert scale >= np.abs(function(np.array([x])))[0]
    bounded = name in ("tanh", "sigmoid", "softsign", "hardtanh")
    assert not bounded or scale <= 1


@pytest.mark.parametrize("name", CLASSIC_ERRORS)
@pytest.mark.parametrize("dtype", RULES)
def test_that_the_conditioning_scale_only_widens_the_bounds_of_losses(name: str, dtype: str) -> None:
    error = ErrorFunction.named(name)
    o, t = sample_batch(error)
    stored = t if error.targets == "classes" else Rounded.stored(t, RULES[dtype])
    for part in ("value", "sensitivity"):
        tight, natural = (
            getattr(ToleranceOptions(wide).bounds(error), part)(Rounded.stored(o, RULES[dtype]), stored)
            for wide in (False, True)
        )
        right = getattr(error, part)(o, t)
        assert np.array_equal(tight.value, right)
        assert np.array_equal(natural.value, right)
        assert np.all(natural.radius >= tight.radius)
        assert np.all(natural.radius < np.max(np.abs(right)) * 2.0**-10), "a thousandth is outside"
