"""The overlaps, by hand: which sums are taken, which classes count, and with what weights."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from gradagree.reference import ErrorFunction
from gradagree.reference.errors import BinaryDice, Dice, DiceOfProbabilities, GeneralizedDice

PROBABILITIES = np.array([[0.25, 0.75], [0.5, 0.5]])
HOT = np.array([[0.0, 1.0], [1.0, 0.0]])
ROUNDINGS = 32
"""More than any formula here has; numbers are of size 1."""


def missed(both: Any, p: Any, t: Any) -> Fraction:
    """1 - (I + 1) / ((P + T)/2 + 1)."""
    both, p, t = map(Fraction, (both, p, t))
    return 1 - (both + 1) / ((p + t) / 2 + 1)


ALONE = [[missed(0, "1/4", 0), missed("3/4", "3/4", 1)], [missed("1/2", "1/2", 1), missed(0, "1/2", 0)]]
TOGETHER = [missed("1/2", "3/4", 1), missed("3/4", "5/4", 1)]


def near(error: ErrorFunction, o: np.ndarray, t: np.ndarray, exact: Fraction) -> bool:
    return bool(abs(error.value(o, t) - float(exact)) <= ROUNDINGS * np.finfo(np.float64).eps)


@pytest.mark.parametrize(
    ("error", "exact"),
    [
        (DiceOfProbabilities(), sum(map(sum, ALONE)) / 4),
        (DiceOfProbabilities(reduction="sum"), sum(map(sum, ALONE))),
        (DiceOfProbabilities(together=True), sum(TOGETHER) / 2),
        (DiceOfProbabilities(together=True, weight=(2.0, 0.5)), (2 * TOGETHER[0] + TOGETHER[1] / 2) / 2),
        (DiceOfProbabilities(ignore_background=True), (ALONE[0][1] + ALONE[1][1]) / 2),
        (DiceOfProbabilities(together=True, ignore_background=True), TOGETHER[1]),
    ],
    ids=str,
)
def test_that_entries_are_alone_or_the_examples_of_each_class_together(error: Any, exact: Fraction) -> None:
    assert near(error, PROBABILITIES, HOT, exact)
    assert not near(error, PROBABILITIES, HOT, exact + Fraction(1, 2**40))
    logits = Dice(**{name: getattr(error, name) for name in vars(error)})
    assert near(logits, np.log(PROBABILITIES), HOT, exact)


def test_that_the_outputs_of_an_example_are_together_in_the_dice_of_bits() -> None:
    o, t = np.zeros((2, 2)), np.array([[1.0, 0.0], [1.0, 1.0]])
    assert near(BinaryDice(), o, t, (missed("1/2", 1, 1) + missed(1, 1, 2)) / 2)


def test_that_a_class_counts_the_less_the_more_examples_it_has() -> None:
    o, t = np.zeros((3, 2)), np.array([0, 1, 1])
    hit, miss = missed("1/2", "1/2", 1), missed(0, "1/2", 0)
    sizes = [hit + 2 * miss, miss + 2 * hit]
    weights = [1 / Fraction(2), 1 / Fraction(5)]
    exact = sum(w * size for w, size in zip(weights, sizes, strict=True)) / (sum(weights) / 2) / 6
    assert near(GeneralizedDice(eps=1.0), o, t, exact)
    only = weights[1] * sizes[1] / (sum(weights) / 2) / 3
    assert near(GeneralizedDice(eps=1.0, ignore_background=True), o, t, only)


@pytest.mark.parametrize("error", [Dice(), DiceOfProbabilities(), GeneralizedDice()], ids=str)
def test_that_one_class_is_none(error: ErrorFunction) -> None:
    assert error.width(1) is None
    assert error.width(2) == 2
    assert BinaryDice().width(1) == 1
