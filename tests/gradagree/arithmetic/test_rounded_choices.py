"""Rounded steps, orders, comparisons, running sums and products: exact results stay exact, undecided ones are open."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from gradagree.arithmetic import Rounded, exactness
from gradagree.arithmetic.model import FORMATS, model
from gradagree.arithmetic.three_valued import Trilean

TYPES: dict[str, Any] = {
    "float64": np.float64,
    "float32": np.float32,
    "float16": np.float16,
    "bfloat16": ml_dtypes.bfloat16,
}
STEPS = (np.ceil, np.floor, np.rint, np.trunc)
each_dtype = pytest.mark.parametrize("dtype", TYPES)
each_step = pytest.mark.parametrize("f", STEPS, ids=lambda f: f.__name__)


def stored(x: Any, dtype: str = "float32") -> Rounded:
    return Rounded.stored(x, model(dtype))


@each_step
def test_that_a_step_of_exact_numbers_is_exact_and_whole(f: Any) -> None:
    x = np.array([0.5, -1.5, 2.5, 3.0, 0.0, -0.25, 7.75])
    found = f(stored(x))
    assert (found.value.tolist(), found.radius.any(), found.q) == (f(x).tolist(), False, 0.0)
    assert f(stored(x * 8)).q == 1.0
    assert f(stored(np.zeros(2))).q == np.inf
    assert f(Rounded(x, 0.25, model("float32"))).q == exactness.UNKNOWN


@each_step
def test_that_a_step_is_exact_exactly_where_no_jump_is_within_the_radius(f: Any) -> None:
    middle, jumps = np.arange(-12, 13) / 4, 0.5 * (f is np.rint)
    found = f(Rounded(middle, 0.25, model("float64")))
    near = np.abs(middle - jumps - np.rint(middle - jumps)) <= 0.25
    near &= ~((f is np.trunc) & (np.abs(middle) < 0.75))
    assert (found.radius > 0).tolist() == near.tolist()
    assert (found.radius < 1.5).all()


def test_that_numbers_in_order_enclose_all_numbers_in_order() -> None:
    x = Rounded([1.0, 1.0, 2.0, -3.0, 1.75], [0.5, 2.0, 1.5, 0.0, 0.25], model("float64"))
    found = np.sort(x)
    for sides in itertools.product((-1, 0, 1), repeat=5):
        members = np.sort(x.value + np.array(sides) * x.radius)
        assert (np.abs(members - found.value) <= found.radius).all()
    assert not all(
        (np.abs(np.sort(x.value + np.array(sides) * x.radius) - found.value) <= np.sort(x.radius)).all()
        for sides in itertools.product((-1, 0, 1), repeat=5)
    )
    assert not np.sort(stored([3.0, 1.0, 2.0])).radius.any()


@pytest.mark.parametrize("f", [np.isfinite, np.isinf, np.isnan], ids=lambda f: f.__name__)
def test_that_a_question_is_open_where_a_number_may_not_fit_or_nothing_is_known(f: Any) -> None:
    x = Rounded([1.0, 3e38, np.nan, 2.0, np.inf], [0.5, np.inf, np.nan, np.nan, 0.0], model("float32"))
    answer = f(x)
    assert isinstance(answer, Trilean)
    assert answer.open.tolist() == [False, True, True, True, False]
    assert answer.true.tolist() == f(x.value).tolist()
    assert f(x[:1]).tolist() == f(x.value[:1]).tolist()


def test_that_the_sign_of_a_zero_is_open() -> None:
    answer = np.signbit(Rounded([1.0, -1.0, 0.0, 0.5, -0.0], [0.5, 0.0, 0.0, 1.0, 0.0], model("float32")))
    assert isinstance(answer, Trilean)
    assert answer.open.tolist() == [False, False, True, True, True]
    assert np.copysign(2.0, stored([0.0])).radius[0] >= 4
    assert np.copysign(2.0, stored([-1.0, 3.0])).tolist() == [-2.0, 2.0]


def orders(f: Any, x: np.ndarray, kind: Any) -> list[Any]:
    """The numbers taken together in each order, each result rounded to the format."""
    return [functools.reduce(lambda a, b: f(a, b).astype(kind), y) for y in itertools.permutations(x.astype(kind))]


@each_dtype
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_that_products_and_running_sums_enclose_every_order(dtype: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = (rng.uniform(-2, 2, 6) * 2.0 ** rng.integers(-3, 4, 6)).astype(TYPES[dtype]).astype(np.float64)
    product, added = np.prod(stored(x, dtype)), np.cumsum(stored(x, dtype))[-1]
    for found, f in ((product, np.multiply), (added, np.add)):
        observed = np.array([float(y) for y in orders(f, x, TYPES[dtype])])
        assert (np.abs(observed - found.value) <= found.radius).all()
        if dtype != "float64":
            assert (np.abs(observed - found.value) > found.radius / 16).any()


@each_dtype
def test_that_an_intermediate_product_that_may_not_fit_is_noticed(dtype: str) -> None:
    large = np.sqrt(FORMATS[dtype].largest) * 2
    assert np.isinf(np.prod(stored([large, large, 1 / large, 1 / large], dtype)).radius)
    assert np.isfinite(np.prod(stored([large, 1 / large, 1.0], dtype)).radius)
    small = 2.0 ** (FORMATS[dtype].emin // 2 - FORMATS[dtype].precision)
    lost = np.prod(stored([small, small, 2.0**8, 2.0**8, 2.0**8], dtype))
    assert abs(lost.value) <= lost.radius


@each_dtype
def test_that_whole_numbers_are_multiplied_and_added_without_rounding(dtype: str) -> None:
    x = stored([2.0, -3.0, 1.0, 4.0, -5.0], dtype)
    for exact in (np.prod(x), np.cumprod(x), np.cumsum(x), np.prod(x * [1, 0, 1, 1, 1]), np.prod(stored([0.1], dtype))):
        assert not exact.radius.any()
    assert np.prod(stored([0.5, -0.5, 1.5], dtype)).q == -3.0
    assert np.prod(stored(np.full(9, 1.0 + 2.0**-7), dtype)).radius > 0


def test_that_a_zero_among_numbers_that_fit_makes_a_product_zero() -> None:
    x = Rounded([0.0, 3.0, 0.1], [0.0, 0.5, 0.0], model("float32"))
    assert (np.prod(x).value, np.prod(x).radius) == (0, 0)
    assert np.cumprod(x[::-1]).radius.tolist()[2] == 0
    assert np.isinf(np.prod(Rounded([0.0, 3e38], [0.0, np.inf], model("float32"))).radius)


def test_that_an_angle_moves_by_less_than_pi_where_the_box_is_off_the_cut() -> None:
    x, y = (np.array([side[k] for side in itertools.product((-1, 0, 1), repeat=2)]) for k in (0, 1))
    for ordinate, abscissa, up, along in ((1.0, 1.0, 0.99, 1.5), (-0.5, 0.1, 0.4, 3.0), (0.1, 2.0, 0.5, 1.0)):
        found = np.arctan2(*(Rounded([z], [r], model("float64")) for z, r in ((ordinate, up), (abscissa, along))))
        angles = np.arctan2(ordinate + x * up, abscissa + y * along)
        assert (np.abs(angles - found.value) <= found.radius).all()
        assert found.radius < 2 * np.pi
    assert np.arctan2(stored([0.0]), stored([-1.0])).radius >= 2 * np.pi
