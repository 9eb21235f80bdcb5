"""Every ufunc of NumPy and scipy.special has a rule that encloses its answer, or is an error that names it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scipy import special

from gradagree.arithmetic import Ball, Dual, NoRule, Rounded
from gradagree.arithmetic.ball import precision
from gradagree.arithmetic.duck import ALIASES, Duck
from gradagree.arithmetic.model import model
from gradagree.arithmetic.three_valued import Trilean
from gradagree.arithmetic.variance import Variance

UFUNCS = {
    f"{home.__name__}.{name}": f
    for home in (np, special) for name, f in sorted(vars(home).items())
    if isinstance(f, np.ufunc) and f.nin <= 2
}  # fmt: skip
each_ufunc = pytest.mark.parametrize("f", UFUNCS.values(), ids=list(UFUNCS))
OPERANDS = [np.array([[0.3125, 0.75], [0.4375, 0.9375]]), np.array([[0.8125, 0.25], [0.5625, 0.4375]])]
ABOVE = (np.arccosh,)
FORM = model("float64")


@pytest.fixture(autouse=True)
def working_precision() -> Iterator[None]:
    with precision(200):
        yield


def operands(f: Any) -> list[np.ndarray]:
    return [x + (f in ABOVE) for x in OPERANDS[: f.nin]]


def known(f: Any, kind: Any) -> bool:
    f = ALIASES.get(f, f)
    return f in kind.rules or f in kind.derived


def answers(f: Any, xs: list[Any]) -> list[Any]:
    """The arrays of an answer; of a comparison, its numbers."""
    found = f(*xs)
    return [+x if isinstance(x, Trilean) else x for x in (found if isinstance(found, tuple) else (found,))]


def refused(f: Any, kind: Any, xs: list[Any]) -> bool:
    """Whether it has no rule; then the error must name it."""
    if known(f, kind):
        return False
    with pytest.raises(NoRule, match=f"arithmetic does not support {f.__name__}; "):
        f(*xs)
    return True


def outside(found: Any, plain: Any) -> bool:
    """Whether a number of NumPy's own is not within the radius."""
    if not isinstance(found, Rounded):
        return not np.array_equal(found, plain)
    return not (np.isfinite(found.radius) & (np.abs(found.value - plain) <= found.radius)).all()


def wrong(f: Any) -> list[bool]:
    xs = operands(f)
    return [
        outside(*pair) for pair in zip(answers(f, [Rounded.stored(x, FORM) for x in xs]), answers(f, xs), strict=True)
    ]


@each_ufunc
def test_that_a_radius_encloses_or_the_ufunc_is_refused(f: Any) -> None:
    if not refused(f, Rounded, [Rounded.stored(x, FORM) for x in operands(f)]):
        assert not any(wrong(f))


@each_ufunc
def test_that_a_ball_meets_the_radius_or_the_ufunc_is_refused(f: Any) -> None:
    xs = operands(f)
    if not refused(f, Ball, [Ball.exact(x) for x in xs]):
        pairs = zip(
            answers(f, [Rounded.stored(x, FORM) for x in xs]), answers(f, [Ball.exact(x) for x in xs]), strict=True
        )
        assert not any(outside(bound, getattr(ball, "middle", ball)) for bound, ball in pairs)


@each_ufunc
def test_that_the_value_of_a_dual_and_of_a_variance_is_numpys_or_the_ufunc_is_refused(f: Any) -> None:
    for kind in (Dual.variable, lambda x: Variance.stored(x, FORM)):
        xs = operands(f)
        made = [kind(x) for x in xs]
        if not refused(f, type(made[0]), made):
            bounds = answers(f, [Rounded.stored(x, FORM) for x in xs])
            pairs = zip(bounds, answers(f, made), strict=True)
            assert not any(outside(bound, getattr(found, "value", found)) for bound, found in pairs)


@each_ufunc
@pytest.mark.parametrize("places", [0, 1])
def test_that_the_first_or_second_operand_may_be_an_ordinary_one(f: Any, places: int) -> None:
    xs: list[Any] = operands(f)
    if len(xs) < 2:
        xs = [*xs, None][: f.nin]
        places = 0
    xs[places] = Rounded.stored(xs[places], FORM)
    if not refused(f, Rounded, xs):
        assert not any(outside(*pair) for pair in zip(answers(f, xs), answers(f, operands(f)), strict=True))


def test_that_there_are_many_of_both_kinds() -> None:
    with_rule = [f for f in UFUNCS.values() if known(f, Rounded)]
    assert len(with_rule) > 100
    assert len(UFUNCS) - len(with_rule) > 100


@pytest.mark.parametrize("f", [np.exp, np.hypot, special.gammaln, np.copysign], ids=lambda f: f.__name__)
def test_that_a_rule_that_does_not_enclose_is_found(f: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rule = Rounded.rules.get(f, Duck.derived.get(f))
    assert rule is not None
    monkeypatch.setitem(Rounded.rules, f, lambda *xs: rule(*xs) * (1 + 2.0**-40))
    assert any(wrong(f))
