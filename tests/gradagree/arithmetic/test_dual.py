"""The tangent of every dual rule contains the secants of its value, and over rounded numbers the true tangent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import flint
import numpy as np
import pytest
from scipy import special

from gradagree.arithmetic import Ball, Dual, Rounded
from gradagree.arithmetic.ball import lift, precision
from gradagree.arithmetic.dual import WITHOUT_DERIVATIVE, tangent_of
from gradagree.arithmetic.model import Model, model
from gradagree.arithmetic.rounded import COMPARISONS
from gradagree.reference.operations.casts import cast
from gradagree.reference.operations.cumulative import running_log_sum_exp
from gradagree.reference.operations.derivatives import DERIVATIVES
from gradagree.reference.operations.fourier import dft
from gradagree.reference.operations.linalg import complex_lu_factors, lu_factors

BITS = 400
STEP = flint.arb(2) ** -100
ANY, POSITIVE, UNIT, SHARE, ABOVE = (-4.0, 4.0), (0.25, 4.0), (-0.75, 0.75), (0.125, 0.875), (1.25, 4.0)
DOMAINS: dict[Any, tuple[float, float]] = {
    **dict.fromkeys((np.log, np.log2, np.log10, np.sqrt, special.entr, np.linalg.norm), POSITIVE),
    **dict.fromkeys((special.digamma, special.exp1, special.expi, special.gamma, special.gammaln), POSITIVE),
    **dict.fromkeys((np.arccos, np.arcsin, np.arctanh, np.log1p, special.erfinv, special.erfcx), UNIT),
    **dict.fromkeys((special.logit, special.ndtri, special.erfcinv), SHARE), np.arccosh: ABOVE,
}  # fmt: skip


class Example(NamedTuple):
    """A function that uses one rule, and the range of each of its operands."""

    rule: Any
    ranges: tuple[tuple[float, float], ...]
    function: Callable[..., Any]


def one(rule: Any) -> Example:
    return Example(rule, (DOMAINS.get(rule, ANY),), rule)


def two(rule: Any, x: tuple[float, float] = ANY, y: tuple[float, float] = ANY) -> Example:
    return Example(rule, (x, y), rule)


def chosen(rule: Any) -> Example:
    if rule in COMPARISONS:
        return Example(rule, (ANY, ANY), lambda x, y: np.where(rule(x, y), x * x, -3.0 * y))
    if rule in (np.argmax, np.argmin, np.argsort):
        return Example(rule, (ANY,), lambda x: np.ravel(x)[rule(np.ravel(x))] ** 2)
    return Example(rule, (ANY,), lambda x: np.where(rule(x), x * x, -3.0 * x))


EXAMPLES = [
    *(two(f) for f in (np.add, np.subtract, np.multiply, np.divide, np.matmul, np.maximum, np.minimum, np.logaddexp)),
    *(two(f) for f in (np.hypot, np.arctan2)), two(np.power, POSITIVE), two(special.xlogy, ANY, POSITIVE),
    two(special.xlog1py, ANY, UNIT), *(one(f) for f in DERIVATIVES), *(chosen(f) for f in WITHOUT_DERIVATIVE),
    *(one(f) for f in (np.positive, np.sum, np.mean, np.fabs, np.cumsum, np.sort)),
    *(one(f) for f in (np.prod, np.cumprod, running_log_sum_exp)),
    Example(np.max, (ANY,), lambda x: np.max(x, axis=-1)), Example(np.cumsum, (ANY,), lambda x: np.cumsum(x, axis=1)),
    Example(np.sum, (ANY, ANY), lambda x, y: np.sum(x * y, axis=0, keepdims=True)),
    Example(np.where, (ANY, ANY), lambda x, y: np.where(x > 0.3, x, y * y)),
    Example(np.power, (ANY,), lambda x: x**3 - 2 * x**2 + x**1 + x**0), Example(np.power, (ANY,), lambda x: x**-2),
    Example(np.power, (POSITIVE,), lambda x: x**0.5 + x**-1.5), Example(np.power, (ANY,), lambda x: 2.0**x),
    Example(np.power, (POSITIVE,), lambda x: x ** np.array([0.5, -2.0])),
    Example(np.divide, (ANY,), lambda x: 2.0 / x), Example(np.matmul, (ANY,), lambda x: np.ones((3, 2)) @ x @ x),
    Example(special.zeta, (POSITIVE,), lambda x: special.zeta(2.0, x)),
    Example(special.logsumexp, (ANY,), lambda x: np.logaddexp.reduce(x, axis=-1)),
    Example(cast, (ANY,), lambda x: cast(x * x, to="bfloat16", source="float32")),
    Example(dft, (ANY, ANY), lambda x, y: dft(np.stack([x, y * y]))),
    Example(np.linalg.det, (ANY,), lambda x: np.linalg.det(x + 9 * np.eye(2))),
    Example(np.linalg.solve, (ANY, ANY), lambda x, y: np.linalg.solve(x + 9 * np.eye(2), y)),
    Example(
        complex_lu_factors, (ANY,), lambda x: complex_lu_factors(np.stack([x + 9 * np.eye(2), x])),
    ),
    Example(lu_factors, (ANY,), lambda x: lu_factors(x + 9 * np.eye(2))),
]  # fmt: skip
DERIVED = [
    *(one(f) for f in (np.var, np.std, np.ptp, np.min, np.diff, special.entr, np.linalg.norm)),
    *(one(f) for f in (np.deg2rad, np.rad2deg, special.exp10, np.nan_to_num, np.round)),
    *(two(f) for f in (np.logaddexp2, np.copysign, np.remainder, np.fmod, np.floor_divide, np.dot, np.inner, np.outer)),
    *(two(f, POSITIVE, POSITIVE) for f in (special.rel_entr, special.kl_div, special.boxcox, special.boxcox1p)),
    two(special.huber, POSITIVE), two(special.pseudo_huber, POSITIVE), two(np.heaviside),
    Example(np.clip, (ANY,), lambda x: np.clip(x, -1.5, 2.5)),
    Example(np.einsum, (ANY, ANY), lambda x, y: np.einsum("ij,kj->ki", x, y)),
    Example(np.polyval, (ANY,), lambda x: np.polyval([1.0, -2.0, 0.5], x)),
    Example(np.average, (ANY, POSITIVE), lambda x, y: np.average(x, 1, y)),
    Example(np.select, (ANY, ANY), lambda x, y: np.select([x > 1, y > 1], [x * x, x * y], -x)),
]  # fmt: skip
EXAMPLES += DERIVED
each_example = pytest.mark.parametrize(
    "example", EXAMPLES, ids=[f"{k}-{e.rule.__name__}" for k, e in enumerate(EXAMPLES)]
)


@pytest.fixture(autouse=True)
def working_precision() -> Iterator[None]:
    with precision(BITS):
        yield


def points(example: Example, seed: int) -> list[np.ndarray]:
    """For each operand four short numbers in its range, on no kink, no two alike."""
    rng = np.random.default_rng(seed)
    return [np.round(rng.uniform(*ends, (2, 2)) * 64) / 64 + 2.0**-8 for ends in example.ranges]


def directions(example: Example, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed + 1000)
    return [rng.integers(1, 9, (2, 2)) / 4 * rng.choice([-1, 1], (2, 2)) for _ in example.ranges]


def wrong_tangents(example: Example, seed: int) -> int:
    """How many entries' tangents, from x to x + STEP d, are not proved to contain the secant, or are not sharp."""
    xs, ds = points(example, seed), directions(example, seed)
    here = [Ball.exact(x) for x in xs]
    there = [Ball(x.balls + d * STEP) for x, d in zip(here, ds, strict=True)]
    if example.rule in (np.max, np.min, np.ptp):
        way = here
    else:
        union = np.frompyfunc(lambda a, b: a.union(b), 2, 1)
        way = [Ball(union(a.balls, b.balls)) for a, b in zip(here, there, strict=True)]
    dual = example.function(*(Dual(x, Ball.exact(d)) for x, d in zip(way, ds, strict=True)))
    secant = (example.function(*there) - example.function(*here)) / Ball(STEP)
    pairs = zip(np.broadcast_to(lift(dual.tangent).balls, secant.shape).ravel(), secant.balls.ravel(), strict=True)
    sharp = flint.arb(2) ** -80
    return sum(not (tangent.overlaps(s) and tangent.rad() < sharp and s.rad() < sharp) for tangent, s in pairs)


def test_that_every_rule_has_an_example() -> None:
    assert {example.rule for example in EXAMPLES if example not in DERIVED} == set(Dual.rules)


@each_example
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_that_the_tangent_contains_the_secant(example: Example, seed: int) -> None:
    assert wrong_tangents(example, seed) == 0


@each_example
def test_that_a_tangent_off_by_a_little_is_found(example: Example, monkeypatch: pytest.MonkeyPatch) -> None:
    rule: Any = Dual.rules.get(example.rule, Dual.derived.get(example.rule))

    def planted(*args: Any, **kwargs: Any) -> Any:
        made = rule(*args, **kwargs)
        return ~made if example.rule in WITHOUT_DERIVATIVE else Dual(made.value, made.tangent + 2.0**-60)

    monkeypatch.setitem(Dual.rules, example.rule, planted)
    assert wrong_tangents(example, 1) > 0


def escaped(found: Any, true: Any, made: Model) -> int:
    """How many true numbers are not proved to lie within the radius."""
    found, balls = found if isinstance(found, Rounded) else Rounded.constant(found, made), lift(true).balls
    value, radius = (np.broadcast_to(part, balls.shape).ravel() for part in (found.value, found.radius))
    triples = [t for t in zip(value, radius, balls.ravel(), strict=True) if np.isfinite(t[1])]
    return sum(not abs(y - flint.arb(float(v))) <= flint.arb(float(r)) for v, r, y in triples)


@each_example
@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
def test_that_over_rounded_numbers_value_and_tangent_enclose_the_true_ones(example: Example, dtype: str) -> None:
    xs, ds = points(example, 4), directions(example, 4)
    made, stored = model(dtype), [np.round(x * 16) / 16 + 1 / 32 for x in xs]
    pairs = list(zip(stored, ds, strict=True))
    found = example.function(*(Dual(Rounded.stored(x, made), Rounded.stored(d, made)) for x, d in pairs))
    true = example.function(*(Dual(Ball.exact(x), Ball.exact(d)) for x, d in pairs))
    assert [escaped(getattr(found, part), getattr(true, part), made) for part in ("value", "tangent")] == [0, 0]


def far(found: Any, bound: Any) -> bool:
    """Whether a number is not within the radius that the reference's own rounding has."""
    with np.errstate(invalid="ignore"):
        return not (np.abs(found - getattr(bound, "value", bound)) <= getattr(bound, "radius", 0.0)).all()


OWN_ROUNDING = (np.linalg.det, np.linalg.solve, complex_lu_factors)
"""LAPACK and NumPy's complex numbers round otherwise."""


@each_example
def test_that_plain_numbers_give_the_values_and_tangents_of_exact_ones(example: Example) -> None:
    pairs = list(zip(points(example, 5), directions(example, 5), strict=True))
    found = example.function(*(Dual(x, d) for x, d in pairs))
    bound = example.function(*(Dual(*(Rounded.stored(part, model("float64")) for part in pair)) for pair in pairs))
    if example not in DERIVED and example.rule not in OWN_ROUNDING:
        np.testing.assert_array_equal(found.value, example.function(*(x for x, _ in pairs)))
    for part in ("value", "tangent"):
        assert not far(getattr(found, part), getattr(bound, part))
        assert far(getattr(found, part) + 1, getattr(bound, part))


@pytest.mark.parametrize("extreme", [np.maximum, np.minimum])
def test_that_at_a_tie_the_larger_and_the_smaller_have_no_tangent(extreme: Any) -> None:
    found = extreme(Dual.variable(np.array([0.0, 1.0, -1.0])), 0.0)
    tangents = [1.0, 0.0] if extreme is np.maximum else [0.0, 1.0]
    assert np.isnan(found.tangent[0])
    assert found.tangent[1:].tolist() == tangents
    assert found.value.tolist() == extreme([0.0, 1.0, -1.0], 0.0).tolist()


def test_that_at_a_tie_the_largest_of_many_has_the_mean_tangent() -> None:
    found = np.max(
        Dual(np.array([[2.0, 2.0, 1.0], [0.0, 5.0, 4.0]]), np.array([[1.0, 3.0, 7.0], [1.0, 2.0, 3.0]])), axis=-1
    )
    assert (found.value.tolist(), found.tangent.tolist()) == ([2.0, 5.0], [2.0, 2.0])


def test_that_the_tangent_at_zero_of_the_size_and_the_sign_is_zero() -> None:
    for f in (np.abs, np.fabs, np.sign):
        assert f(Dual.variable(np.zeros(2))).tangent.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("x", [2.0, [1.0, 2.0]], ids=str)
def test_that_a_variable_has_tangent_one_and_a_constant_tangent_zero(x: Any) -> None:
    for arithmetic in (np.asarray, Ball.exact, lambda x: Rounded.stored(x, model("float32"))):
        made = Dual.variable(arithmetic(x))
        one, zero = tangent_of(made), tangent_of(arithmetic(x))
        assert type(one) is type(made.value)
        assert np.shape(one) == np.shape(zero) == np.shape(x)
        assert (one - 1 == 0).all()
        assert (zero == 0).all()


def test_that_a_constant_exponent_costs_no_logarithm() -> None:
    """So that the tangent of (-2)^3 is known, and that of a power at 0."""
    x = Dual.variable(np.array([-2.0, 0.0]))
    for power in (x ** np.array([3.0, 2.0]), x ** np.array([3, 2])):
        assert (power.value.tolist(), power.tangent.tolist()) == ([-8.0, 0.0], [12.0, 0.0])
    assert np.isnan((x ** Dual.variable(np.array([3.0, 2.0]))).tangent[0])


def test_that_equal_numbers_in_order_have_no_tangent() -> None:
    found = np.sort(Dual(np.array([3.0, 1.0, 1.0, 2.0]), np.array([1.0, 2.0, 3.0, 4.0])))
    assert found.value.tolist() == [1.0, 1.0, 2.0, 3.0]
    assert np.isnan(found.tangent).tolist() == [True, True, False, False]
    assert found.tangent[2:].tolist() == [4.0, 1.0]


@pytest.mark.parametrize(
    ("f", "tangent"), [(np.sinc, 0.0), (special.exprel, 0.5), (special.i1, 0.5), (special.i1e, 0.5), (special.i0e, 0.0)]
)
def test_that_a_tangent_whose_formula_divides_by_zero_is_its_limit(f: Any, tangent: float) -> None:
    for x in (np.zeros(2), Rounded.stored(np.zeros(2), model("float32")), Ball.exact(np.zeros(2))):
        assert (f(Dual.variable(x)).tangent == tangent).all()


def test_that_rules_use_the_output_where_frameworks_do() -> None:
    """Over a coarse output 1 - y^2 differs from 1 / cosh^2, which a framework does not form."""
    coarse = lambda x: np.round(x * 16) / 16  # noqa: E731
    x, y = 1.0, coarse(np.tanh(1.0))
    assert DERIVATIVES[np.tanh](x, y) == 1 - y**2
    assert DERIVATIVES[special.expit](x, y) == y * (1 - y)
    assert DERIVATIVES[np.exp](x, y) == y


LEAN = {
    "sums and products": lambda x: np.sum(x * np.tanh(x), axis=-1) / (1 + np.max(x**2, axis=-1)),
    "parts beside each other": lambda x: np.sum(np.maximum(x[..., None, :] - x[..., :, None], 0), axis=-1),
    "another shape": lambda x: np.reshape(np.exp(x), (*x.shape[:-1], 2, 2)) * 2,
    "rows": lambda x: x[:, 1:] * x[:, :1],
    "some of them": lambda x: x[:, np.array([2, 0])] * np.exp(x)[..., [1, 1], :],
    "the order": lambda x: np.sort(x, axis=-1) * np.arange(4.0),
    "together": lambda x: np.concatenate([x, np.sin(x)], axis=-1),
    "beside constants": lambda x: np.concatenate([np.sin(x), np.zeros_like(x[..., :2])], axis=-1),
    "on top of constants": lambda x: np.stack([np.ones_like(x), np.exp(x)], axis=-2),
    "all": lambda x: np.sum(x, axis=(-2, -1)),
    "logsumexp": lambda x: np.logaddexp.reduce(x, axis=-1),
}


@pytest.mark.parametrize("name", LEAN)
def test_that_one_value_serves_for_many_directions(name: str) -> None:
    x, directions = np.random.default_rng(4).normal(size=(3, 4)), np.random.default_rng(5).normal(size=(7, 3, 4))
    lean, full = (tangent_of(LEAN[name](Dual(v, directions))) for v in (x[None], np.broadcast_to(x, directions.shape)))
    np.testing.assert_array_equal(lean, full)
    assert full.any()


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_that_constants_are_joined_in_every_direction(axis: int) -> None:
    x, directions = np.random.default_rng(6).normal(size=(4, 4)), np.random.default_rng(7).normal(size=(5, 4, 4))
    for join in (np.concatenate, np.stack):
        found = tangent_of(join([np.zeros((4, 4)), Dual(x, directions)], axis=axis))
        expected = [join([np.zeros((4, 4)), direction], axis=axis) for direction in directions]
        np.testing.assert_array_equal(found, np.stack(expected))
