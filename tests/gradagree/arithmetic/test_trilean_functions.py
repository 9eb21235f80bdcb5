"""Counts of open comparisons, and whether any or all hold: every way to decide the open ones is enclosed."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from gradagree.arithmetic import NoRule, Rounded
from gradagree.arithmetic.model import model
from gradagree.arithmetic.three_valued import Trilean, split

FORM = model("float32")
X = Rounded(
    [[1.0, 0.25, -2.0], [-1.0, -3.0, 0.125], [2.0, 3.0, 4.0]], [[0.5, 0.5, 1.0], [0.5, 1.0, 0.5], [1.0] * 3], FORM
)
WAYS = [X.value + np.array([[0, a, 0], [0, 0, b], [0, 0, 0]]) for a, b in itertools.product((-0.5, 0.0), repeat=2)]


@pytest.mark.parametrize("f", [np.sum, np.mean, np.max, np.min, np.count_nonzero], ids=lambda f: f.__name__)
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_that_a_count_encloses_every_way_to_decide(f: Any, axis: Any) -> None:
    found = f(X > 0, axis=axis)
    for way in WAYS:
        assert (np.abs(f((way > 0) * 1.0, axis=axis) - found.value) <= found.radius).all()
    if f not in (np.max, np.min):
        assert any((np.abs(f((way > 0) * 1.0, axis=axis) - found.value) > found.radius / 4).any() for way in WAYS)


@pytest.mark.parametrize("f", [np.any, np.all], ids=lambda f: f.__name__)
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_that_any_and_all_are_open_exactly_where_they_depend_on_what_is_open(f: Any, axis: Any) -> None:
    true, open = split(f(X > 0, axis=axis))
    answers = np.array([f(way > 0, axis=axis) for way in WAYS])
    assert np.array_equal(open, answers.any(axis=0) & ~answers.all(axis=0))
    assert np.array_equal(true, f(X.value > 0, axis=axis))


def test_that_reductions_of_logical_functions_are_any_and_all() -> None:
    for reduce, f in ((np.logical_or.reduce, np.any), (np.logical_and.reduce, np.all)):
        assert [part.tolist() for part in split(reduce(X > 0, axis=1))] == [p.tolist() for p in split(f(X > 0, axis=1))]
    assert np.where(np.any(X > 0, axis=1, keepdims=True), X, 0.0).shape == (3, 3)


def test_that_a_comparison_picks_no_entries() -> None:
    open = X > 0
    assert isinstance(open, Trilean)
    for pick in (lambda: X[open], lambda: np.zeros((3, 3))[open], lambda: np.asarray(open)):
        with pytest.raises(NoRule, match=r"three-valued .* needs ordinary arrays; write np.where\(condition, x, y\)"):
            pick()
