"""Networks as a stacked: how they are built, how deep they may be, leading axes, and the steepest descent."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from gradagree.arithmetic import Ball, Rounded
from gradagree.arithmetic.ball import precision
from gradagree.arithmetic.model import model
from gradagree.reference import Backpropagation, Box, ErrorBox, backpropagate, network
from gradagree.reference.activations import Identity, Relu, Sigmoid, Tanh
from gradagree.reference.boxes import boxes
from gradagree.reference.errors import Absolute, SumOfSquares

WIDTHS = (3, 4, 2)
STEP = 2.0**-60


@pytest.fixture(autouse=True)
def working_precision() -> Iterator[None]:
    with precision(400):
        yield


def quarters(seed: int, *shape: int) -> np.ndarray:
    """Multiples of 1/4 in [-2, 2]."""
    return np.random.default_rng(seed).integers(-8, 9, shape) / 4


def numbers(seed: int, *leading: int) -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray, np.ndarray]:
    """Weights, biases, targets and inputs of 3-4-2 with five examples, after leading axes."""
    weights = [quarters(seed + k, *leading, n, m) for k, (n, m) in enumerate(itertools.pairwise(WIDTHS))]
    biases = [quarters(seed + 10 + k, *leading, m) for k, m in enumerate(WIDTHS[1:])]
    return weights, biases, quarters(seed + 20, *leading, 5, 2), quarters(seed + 30, *leading, 5, 3)


def arrays(answer: Backpropagation) -> list[Any]:
    """All that an answer holds, in a fixed order."""
    return [answer.E, *answer.sensitivities, *(part for gradient in answer.gradients for part in gradient)]


@pytest.mark.parametrize(
    ("made", "weights", "biases"), [(0, 0, 0), (1, 2, 2), (4, 2, 2), (2, 2, 1), (2, 1, 2), (3, 1, 1), (0, 1, 1)]
)
def test_that_counts_that_make_no_network_are_refused(made: int, weights: int, biases: int) -> None:
    with pytest.raises(ValueError, match="do not make a network") as caught:
        network([Tanh()] * made, [np.eye(2)] * weights, [None] * biases, SumOfSquares(), np.zeros((1, 2)))
    assert str(caught.value) == (
        f"{made} activations, {weights} weights and {biases} biases do not make a network: "
        "give each box its activation, weights and bias (or None), and at most one output activation more"
    )


@pytest.mark.parametrize(("made", "weights"), [(1, 0), (1, 1), (2, 1), (3, 2), (3, 3)])
def test_that_counts_that_make_a_network_are_accepted(made: int, weights: int) -> None:
    box = network([Tanh()] * made, [np.eye(2)] * weights, [None] * weights, SumOfSquares(), np.zeros((1, 2)))
    assert len(list(boxes(box))) == made
    assert isinstance(list(boxes(box))[-1].inside, ErrorBox)
    assert len(arrays(backpropagate(box, np.ones((1, 2))))) == 1 + (made + 1) + 2 * made


def test_that_an_output_activation_is_a_box_without_weights() -> None:
    w, t, x = np.array([[2.0], [-1.0]]), np.array([[1.0]]), np.array([[3.0, 1.0]])
    answer = backpropagate(network([Identity(), Relu()], [w], [None], SumOfSquares(), t), x)
    assert answer.gradients[1] == (None, None)
    assert [delta.tolist() for delta in answer.sensitivities] == [[[16.0, -8.0]], [[8.0]], [[8.0]]]
    assert answer.gradients[0].w.tolist() == [[24.0], [8.0]]


def test_that_a_bias_may_be_missing_and_its_gradient_is_the_sum_over_examples() -> None:
    weights, biases, t, x = numbers(1)
    answer = backpropagate(network([Identity(), Relu()], weights, [None, biases[1]], Absolute(), t), x)
    assert answer.gradients[0].b is None
    np.testing.assert_array_equal(answer.gradients[1].b, answer.sensitivities[2].sum(axis=0))
    assert answer.gradients[1].b.shape == biases[1].shape


@pytest.mark.parametrize("depth", [1, 10, 3000])
def test_that_a_network_may_have_any_depth(depth: int) -> None:
    limit, w = sys.getrecursionlimit(), np.array([[-1.0]])
    box = network([Identity()] * depth, [w] * depth, [None] * depth, SumOfSquares(), np.array([[0.5]]))
    answer = backpropagate(box, np.array([[2.0]]))
    o = 2.0 * (-1) ** depth
    assert float(answer.E) == (o - 0.5) ** 2
    expected = [2 * (o - 0.5) * (-1) ** (depth - k) for k in range(depth + 1)]
    assert [float(delta.item()) for delta in answer.sensitivities] == expected
    assert len(answer.gradients) == depth
    assert sys.getrecursionlimit() == limit


def test_that_the_recursion_limit_is_restored_after_a_failure() -> None:
    limit = sys.getrecursionlimit()
    box = network([Tanh()] * 2000, [np.eye(2)] * 2000, [None] * 2000, SumOfSquares(), np.zeros((1, 2)))
    with pytest.raises(ValueError, match="mismatch"):
        backpropagate(box, np.ones((1, 3)))
    assert sys.getrecursionlimit() == limit


def test_that_a_network_leaves_its_inputs_unchanged() -> None:
    weights, biases, t, x = numbers(2)
    given = [*weights, *biases, t, x]
    before = [array.copy() for array in given]
    backpropagate(network([Sigmoid(), Tanh(), Relu()], weights, biases, SumOfSquares(), t), x)
    for array, copy in zip(given, before, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("leading", [(4,), (2, 3)], ids=str)
def test_that_draws_on_leading_axes_give_the_bits_of_one_at_a_time(leading: tuple[int, ...]) -> None:
    weights, biases, t, x = numbers(3, *leading)
    together = backpropagate(network([Identity(), Relu()], weights, biases, SumOfSquares(), t), x)
    for draw in np.ndindex(leading):
        alone = [[w[draw] for w in weights], [b[draw] for b in biases], SumOfSquares(), t[draw]]
        one = backpropagate(network([Identity(), Relu()], *alone), x[draw])
        for stacked, part in zip(arrays(together), arrays(one), strict=True):
            np.testing.assert_array_equal(stacked[draw], part)


def test_that_draws_that_round_agree_with_one_at_a_time_within_their_rounding() -> None:
    weights, biases, t, x = numbers(4, 3)
    store = lambda array: Rounded.stored(array, model("float64"))  # noqa: E731
    together = backpropagate(network([Tanh(), Sigmoid()], weights, biases, SumOfSquares(), t), x / 3)
    for draw in range(3):
        alone = [[store(w[draw]) for w in weights], [store(b[draw]) for b in biases], SumOfSquares(), t[draw]]
        one = backpropagate(network([Tanh(), Sigmoid()], *alone), store(x[draw] / 3))
        for stacked, part in zip(arrays(together), arrays(one), strict=True):
            assert (np.abs(stacked[draw] - part.value) <= part.radius).all()


def descent(seed: int) -> tuple[Any, Ball]:
    """E as a function of all weights of a network in one row, and its gradient there."""
    weights, _, t, x = numbers(seed)
    ends = np.cumsum([0, *(w.size for w in weights)])

    def box(row: Ball) -> Box:
        made = [row[i:j].reshape(w.shape) for (i, j), w in zip(itertools.pairwise(ends), weights, strict=True)]
        return network([Identity(), Tanh()], made, [None, None], SumOfSquares(), t)

    here = Ball.exact(np.concatenate([w.ravel() for w in weights]))
    answer = backpropagate(box(here), Ball.exact(x))
    gradient = np.concatenate([g.w.reshape(-1) for g in answer.gradients])
    return lambda change: box(here + change)(Ball.exact(x)), gradient


def length(row: Ball) -> Ball:
    return np.sqrt(np.sum(row * row))


def lower(E: Any, gradient: Ball, directions: list[Ball]) -> list[int]:
    """The directions in which a step of the gradient's length lowers the error more, to first order or really."""
    steps = [direction * (length(gradient) / length(direction)) for direction in directions]
    first = [np.sum(step * gradient) < -np.sum(gradient * gradient) for step in steps]
    really = [E(STEP * step) < E(-STEP * gradient) for step in steps]
    return [k for k in range(len(steps)) if first[k] or really[k]]


@pytest.mark.parametrize("seed", [5, 6])
def test_that_no_step_of_the_same_length_lowers_the_error_faster_than_that_against_the_gradient(seed: int) -> None:
    E, gradient = descent(seed)
    directions = [Ball.exact(quarters(seed + 100 + k, gradient.size)) for k in range(40)]
    nearly = [-gradient + STEP**0.5 * direction for direction in directions]
    assert lower(E, gradient, directions + nearly) == []


def test_that_a_step_that_is_not_the_steepest_is_found() -> None:
    E, gradient = descent(7)
    tilted = gradient + 2.0**-10 * Ball.exact(quarters(8, gradient.size))
    assert lower(E, tilted, [-gradient]) == [0]
