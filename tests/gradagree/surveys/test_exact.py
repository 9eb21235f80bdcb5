"""Exact values agree with an independent computation, and both methods with each other; balls are rounded correctly."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from pathlib import Path

import flint
import numpy as np
import pytest

from gradagree.arithmetic.ball import precision
from gradagree.arithmetic.model import FORMATS
from gradagree.arithmetic.rounding import round_to_format
from gradagree.reference import Activation, ErrorFunction
from gradagree.surveys import cache
from gradagree.surveys.exact import TO_ROUNDING, compute_exact_values, round_balls
from gradagree.surveys.subject import Subject

HALVES = ("float16", "bfloat16")


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("name", ["tanh", "gelu", "elu", "softplus"])
def test_that_float64_with_error_bounds_and_balls_agree(name: str, dtype: str) -> None:
    subject = Subject.of(Activation.named(name), dtype, 8)
    some = subject.at(np.arange(0, len(subject.points), 7))
    for quantity in ("value", "slope", "second"):
        both = compute_exact_values(some, quantity)
        balls = compute_exact_values(some, quantity, balls_only=True)
        known = (both.known > 0) & (balls.known > 0)
        assert known.sum() > 0.9 * len(known)
        assert 1 in both.known
        assert set(balls.known[known].tolist()) <= {2, TO_ROUNDING}
        assert np.array_equal(both.nearest[known], balls.nearest[known])


def test_that_the_derivative_of_tanh_is_known_where_float64_underflows() -> None:
    points = np.array([20.0, 300.0, -40.0])
    found = compute_exact_values(Subject(Activation.named("tanh"), "float64", points), "slope")
    for x, high, low in zip(points, found.high, found.low, strict=True):
        with precision(2000):
            gap = abs(1 / flint.arb(float(x)).cosh() ** 2 - flint.arb(float(high)) - flint.arb(float(low)))
            assert gap < flint.arb(float(high)) * 2.0**-60


def test_that_infinity_has_the_limit() -> None:
    points = np.array([math.inf, -math.inf, math.nan])
    found = compute_exact_values(Subject(Activation.named("gelu"), "float32", points), "slope")
    assert found.nearest[:2].tolist() == [1.0, 0.0]
    assert found.known.tolist()[2] == 0


def test_that_an_exact_value_beyond_the_dtype_rounds_to_infinity() -> None:
    found = compute_exact_values(Subject(Activation.named("exp"), "float16", np.array([12.0, 11.0])), "value")
    assert found.nearest.tolist() == [math.inf, float(round_to_format(np.exp(11.0), FORMATS["float16"]))]


def test_that_values_outside_the_domain_are_unknown() -> None:
    found = compute_exact_values(Subject(Activation.named("log"), "float32", np.array([0.0, 1.0])), "value")
    assert found.known[0] == 0
    assert found.nearest[1] == 0


@pytest.mark.parametrize("name", ["cross_entropy", "log_cosh", "gaussian_nll", "triplet_margin"])
def test_that_second_derivatives_are_the_derivatives_of_the_first(name: str) -> None:
    subject = Subject.of(ErrorFunction.named(name), "float64", 8)
    size = np.abs(subject.points).max(axis=1)
    some = subject.at(np.flatnonzero((size < 8) & (size > 0.1))[:40:3])
    step = 2.0**-20
    second = compute_exact_values(some, "second")
    j = 0
    moved = some.points + step * (np.arange(some.points.shape[1]) == j)
    here, there = (
        compute_exact_values(dataclasses.replace(some, points=x), "slope").high for x in (some.points, moved)
    )
    differences = ((there - here) / step).reshape(len(some.points), -1)
    claimed = second.high.reshape(len(some.points), -1)[:, : some.points.shape[1]]
    known = second.known.reshape(len(some.points), -1)[:, : some.points.shape[1]] > 0
    scale = np.abs(second.high).max() + np.abs(here).max()
    close = np.abs(differences - claimed) <= 2.0**-10 * scale
    assert np.mean(close[known]) > 0.9


def test_that_exact_values_are_cached_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADAGREE_CACHE", str(tmp_path / "kept"))
    subject = Subject.of(Activation.named("tanh"), "float16", 8)
    first = cache.cached_exact_values(subject, "slope")
    (path,) = (tmp_path / "kept" / "truth").glob("*.npz")
    monkeypatch.setattr(cache, "compute_exact_values", lambda *_: pytest.fail("it is in the cache"))
    again = cache.cached_exact_values(subject, "slope")
    assert np.array_equal(first.nearest, again.nearest, equal_nan=True)
    path.write_bytes(b"damaged")
    monkeypatch.undo()
    monkeypatch.setenv("GRADAGREE_CACHE", str(tmp_path / "kept"))
    assert np.array_equal(cache.cached_exact_values(subject, "slope").nearest, first.nearest, equal_nan=True)


def test_that_cache_keys_depend_on_points_and_parameters() -> None:
    one, other = (Subject.of(Activation.named(text), "float16", 8) for text in ("elu", "elu(alpha=2.0)"))
    keys = {
        cache.entry_key(one, "slope"),
        cache.entry_key(other, "slope"),
        cache.entry_key(one, "value"),
        cache.entry_key(one.at([1]), "slope"),
    }
    assert len(keys) == 4


FINGERPRINT = "94d39265dda299bf8d62f8552e4cc1b98cf8f93976620dbe10724dda9b14fc7c"
FUNCTIONS = (
    "celu", "elu", "erf", "gelu", "gelu_tanh", "hardshrink", "log_softmax", "logsumexp", "mish", "normalize", "relu",
    "selu", "sigmoid", "softmax", "softplus", "softsign", "tanh", "bce", "cross_entropy", "gaussian_nll",
    "huber", "kl_div", "poisson_nll", "sse",
)  # fmt: skip


def test_that_exact_values_change_only_with_the_version_of_their_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails after a change of results, increase `cache.RULES` and write down the new fingerprint."""
    monkeypatch.setenv("GRADAGREE_CACHE", "off")
    digest = hashlib.sha256()
    for name in FUNCTIONS:
        kind = Activation if name in Activation.catalogue else ErrorFunction
        for dtype in ("float16", "float64"):
            subject = Subject.of(kind.catalogue[name](), dtype, 2)
            some = subject.at(np.concatenate([subject.order[:24], subject.order[24 :: len(subject.order) // 24]]))
            for quantity in ("value", "slope", "second"):
                exact = cache.cached_exact_values(some, quantity)
                nearest = np.where(np.isnan(exact.nearest), np.nan, exact.nearest + 0.0)
                digest.update(exact.known.tobytes() + nearest.tobytes())
    assert (cache.RULES, digest.hexdigest()) == (3, FINGERPRINT)


@pytest.mark.parametrize("n", [3, 7, 1000, 1028])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_that_the_mean_of_ones_has_the_logarithm_0(dtype: str, n: int) -> None:
    zeros = Subject(Activation.named("logmeanexp"), dtype, np.zeros((1, n)), None, (0,), (0,))
    found = compute_exact_values(zeros, "value", balls_only=True)
    assert (found.high.tolist(), found.low.tolist(), found.nearest.tolist()) == ([[0.0]], [[0.0]], [[0.0]])


ONE = flint.arb(1)
TINY = ONE / 2**200


def rounded(ball: flint.arb, dtype: str) -> tuple[float, float, float, int]:
    """high, low, nearest, known."""
    with precision(320):
        high, low, nearest, known = round_balls(np.array([ball], dtype=object), FORMATS[dtype])
    return float(high[0]), float(low[0]), float(nearest[0]), int(known[0])


@pytest.mark.parametrize("dtype", FORMATS)
def test_that_a_number_beside_a_tie_is_rounded_to_its_own_side(dtype: str) -> None:
    half = ONE * FORMATS[dtype].u
    with precision(320):
        step = TINY if dtype == "float64" else half / 2**20
        above, below = ONE + half + step, ONE + half - step
    assert rounded(above, dtype)[2] == 1 + 2 * FORMATS[dtype].u
    assert rounded(below, dtype)[2] == 1.0


@pytest.mark.parametrize("dtype", FORMATS)
def test_that_a_ball_around_a_tie_has_no_nearest_number_unless_it_is_narrow(dtype: str) -> None:
    with precision(320):
        tie = ONE + ONE * FORMATS[dtype].u
        wide, narrow = tie + flint.arb(0, 2.0**-60), tie + flint.arb(0, 2.0**-150)
    assert rounded(wide, dtype)[3] == 0
    high, _, _, known = rounded(narrow, dtype)
    assert known == 1
    assert high == float(tie)


@pytest.mark.parametrize("dtype", FORMATS)
def test_that_numbers_beyond_the_dtype_are_infinite_or_zero(dtype: str) -> None:
    huge, small = ONE * 2**1030, ONE / 2**1100
    assert rounded(huge, dtype)[2:] == (math.inf, 1)
    assert rounded(-huge, dtype)[2:] == (-math.inf, 1)
    assert rounded(small, dtype)[2:] == (0.0, 1)
    assert rounded(flint.arb("nan"), dtype)[3] == 0


@pytest.mark.parametrize("dtype", FORMATS)
def test_that_the_midpoint_of_a_wide_ball_is_no_exact_value(dtype: str) -> None:
    least = flint.arb(FORMATS[dtype].smallest)
    with precision(320):
        tiny, about_one = (
            flint.arb(-0.0, 1) * least / 2**10,
            ONE + flint.arb(FORMATS[dtype].u / 8, FORMATS[dtype].u / 16),
        )
    assert rounded(tiny - least / 2**11, dtype) == (0.0, 0.0, 0.0, 1)
    assert rounded(about_one, dtype) == (1.0, 0.0, 1.0, 1)


# A''(p) of mish at 128, worked out with mpmath at 1,000 digits: f(p) = p tanh log(1 + exp p)
MISH = -6.72212123361684e-109


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_that_an_exact_value_below_the_smallest_number_is_printed_with_correct_digits_or_as_0(dtype: str) -> None:
    mish = Subject(Activation.named("mish"), dtype, np.array([128.0]))
    found = compute_exact_values(mish, "second", balls_only=True)
    assert found.known.tolist() == [2]
    assert abs(found.high[0] / MISH - 1) < 1e-14  # as many digits as MISH has
    # 1 - tanh^2 cancels in every precision of the ladder
    tanh = Subject(Activation.named("tanh"), dtype, np.array([30000.0]))
    found = compute_exact_values(tanh, "second", balls_only=True)
    assert (found.high[0], found.low[0], found.nearest[0], int(found.known[0])) == (0.0, 0.0, 0.0, TO_ROUNDING)


@pytest.mark.parametrize("seed", range(3))
def test_that_high_plus_low_is_the_midpoint(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for x, y in rng.standard_normal((20, 2)):
        with precision(320):
            ball = flint.arb(x) / flint.arb(y)
            high, low, nearest, known = rounded(ball, "float32")
            assert known == 1
            assert abs(ball - high - low) < abs(ball) / 2**100
        assert nearest == float(round_to_format(np.asarray(x / y), FORMATS["float32"]))
