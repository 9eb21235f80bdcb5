"""Three-valued logic: an answer is open exactly where both answers are possible."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradagree.arithmetic import Ball, Dual, NoRule, Rounded
from gradagree.arithmetic.model import model
from gradagree.arithmetic.three_valued import Trilean, split

STATES = list(itertools.product([True, False], [True, False]))
"""(the answer of the centres, whether the other is possible too)"""
AND, OR, NOT = (np.bitwise_and, np.logical_and), (np.bitwise_or, np.logical_or), (np.invert, np.logical_not)


def lift(x: Any) -> Rounded:
    return Rounded.constant(x, model("float32"))


def trilean(*states: tuple[bool, bool]) -> Trilean:
    true, open = zip(*states, strict=True)
    return Trilean(true, open, lift)


def possible(state: tuple[bool, bool]) -> set[bool]:
    """The answers that a state leaves possible."""
    true, open = state
    return {True, False} if open else {true}


def answers(x: Trilean) -> list[tuple[bool, set[bool]]]:
    """For each entry the answer of the centres, and all that are possible."""
    return [(bool(t), possible((t, o))) for t, o in zip(x.true.tolist(), x.open.tolist(), strict=True)]


COUNTS = (np.all, np.any, np.count_nonzero, np.max, np.mean, np.min, np.sum)
"""Functions along axes, which tests of their own are about."""


def test_that_every_rule_is_tested_here() -> None:
    assert set(Trilean.rules) == {*AND, *OR, *NOT, np.where, *COUNTS}


@pytest.mark.parametrize(
    ("rule", "logic"),
    [*((f, lambda a, b: a and b) for f in AND), *((f, lambda a, b: a or b) for f in OR)],
    ids=lambda f: f.__name__,
)
def test_that_and_and_or_leave_possible_what_their_operands_do(rule: Any, logic: Callable[[bool, bool], bool]) -> None:
    pairs = list(itertools.product(STATES, STATES))
    x, y = (trilean(*column) for column in zip(*pairs, strict=True))
    expected = [
        (logic(a[0], b[0]), {logic(i, j) for i, j in itertools.product(possible(a), possible(b))}) for a, b in pairs
    ]
    found = answers(rule(x, y))
    assert [some for _, some in found] == [some for _, some in expected]
    assert [centre for centre, some in found if len(some) == 2] == [
        centre for centre, some in expected if len(some) == 2
    ]


@pytest.mark.parametrize("rule", NOT)
def test_that_not_turns_every_possible_answer_round(rule: Any) -> None:
    assert answers(rule(trilean(*STATES))) == [(not state[0], {not a for a in possible(state)}) for state in STATES]


@pytest.mark.parametrize("truth", [True, False])
def test_that_ordinary_truths_may_stand_on_either_side(truth: bool) -> None:
    x, y = trilean(*STATES), np.full(len(STATES), truth)
    certain = trilean(*[(truth, False)] * len(STATES))
    for rule in (*AND, *OR):
        assert answers(rule(x, y)) == answers(rule(y, x)) == answers(rule(x, certain))


def test_that_the_operators_are_the_functions() -> None:
    x, y = trilean(*STATES), trilean(*STATES[::-1])
    assert answers(x & y) == answers(np.logical_and(x, y))
    assert answers(x | y) == answers(np.logical_or(x, y))
    assert answers(~x) == answers(np.logical_not(x))


@pytest.mark.parametrize(("state", "ends"), list(zip(STATES, [(2, 5), (2, 2), (2, 5), (5, 5)], strict=True)), ids=str)
def test_that_where_takes_every_possible_side(state: tuple[bool, bool], ends: tuple[float, float]) -> None:
    found = np.where(trilean(state), lift(2.0), lift(5.0))
    assert found.value[0] == (2.0 if state[0] else 5.0)
    assert found.value[0] - found.radius[0] <= ends[0]
    assert found.value[0] + found.radius[0] >= ends[1]
    assert state[1] or found.radius[0] == 0


def test_that_where_of_numbers_is_of_the_arithmetic_that_was_compared() -> None:
    found = np.where(trilean(*STATES), 2.0, 5.0)
    assert isinstance(found, Rounded)
    assert isinstance(np.where(trilean(*STATES), np.ones(4), 0.0), Rounded)
    assert (found.radius > 0).tolist() == [open for _, open in STATES]


def test_that_where_of_other_arithmetics_is_of_theirs() -> None:
    dual = Dual.variable(lift(np.ones(4)))
    assert isinstance(np.where(trilean(*STATES), dual, 0.0), Dual)
    assert isinstance(np.where(trilean(*STATES), 0.0, dual).tangent, Rounded)
    open_ball = Trilean([True], [True], Ball.exact)
    union = np.where(open_ball, Ball.exact([1.0]), Ball.exact([3.0])).balls[0]
    assert union.contains(1)
    assert union.contains(3)


def test_that_arithmetic_takes_true_for_one_and_false_for_zero() -> None:
    found = 3.0 * trilean(*STATES)
    assert isinstance(found, Rounded)
    assert found.value.tolist() == [3.0, 3.0, 0.0, 0.0]
    assert (found.radius >= 3).tolist() == [open for _, open in STATES]
    assert (trilean(*STATES) + trilean(*STATES)).value.tolist() == [2.0, 2.0, 0.0, 0.0]


def test_that_split_gives_answers_and_openness_of_ordinary_truths_too() -> None:
    assert [part.tolist() for part in split(trilean(*STATES))] == [list(column) for column in zip(*STATES, strict=True)]
    assert [part.tolist() for part in split([True, False])] == [[True, False], [False, False]]
    assert [part.tolist() for part in split(True)] == [True, False]


def test_that_a_trilean_has_no_truth_of_its_own() -> None:
    with pytest.raises(NoRule, match=r"the truth value of three-valued arrays is not known; use np\.where"):
        bool(trilean((True, False)))


def test_that_structure_keeps_answers_and_openness_together() -> None:
    x = trilean(*STATES)
    assert answers(x[::-1]) == answers(x)[::-1]
    assert answers(x.reshape(2, 2).T.reshape(4)) == [answers(x)[k] for k in (0, 2, 1, 3)]


def test_that_truth_values_are_stacked_with_ordinary_ones() -> None:
    open_one = Trilean([True, False], [True, False], Ball.exact)
    found = np.stack([open_one, np.array([False, True])])
    assert isinstance(found, Trilean)
    assert found.true.tolist() == [[True, False], [False, True]]
    assert found.open.tolist() == [[True, False], [False, False]]
