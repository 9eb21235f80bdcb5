"""Training as derived: one polled pair a step, or all pairs at once, until a stop rule holds."""

from __future__ import annotations

import numpy as np
import pytest

from gradagree.reference import backpropagate
from gradagree.reference.activations import Identity, Relu, Tanh
from gradagree.reference.errors import SumOfSquares
from gradagree.reference.training import Network, NetworkWeights, Stop, decisions, sampled_steps, train

NET = Network((Identity(), Tanh()), SumOfSquares())
LINEAR = Network((Identity(),), SumOfSquares())


def numbers(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-8, 9, shape) / 8


def problem(seed: int, pairs: int = 6) -> tuple[NetworkWeights, np.ndarray, np.ndarray]:
    weights = NetworkWeights((numbers(seed, 3, 4), numbers(seed + 1, 4, 2)), (numbers(seed + 2, 4), None))
    return weights, numbers(seed + 3, pairs, 3), numbers(seed + 4, pairs, 2)


def test_that_one_step_on_one_weight_is_the_one_worked_out_by_hand() -> None:
    # E = (p w - t)^2 with p = 2, w = 3, t = 5: dE/dw = 2 (6 - 5) 2 = 4, so that w becomes 3 - 4/8 = 2.5 and o = t.
    p, t = np.array([[2.0]]), np.array([[5.0]])
    trained = train(LINEAR, NetworkWeights((np.array([[3.0]]),), (None,)), p, t, 1 / 8, Stop(rounds=5))
    assert trained.errors == (1.0, 0.0)
    assert trained.weights.w[0] == 2.5
    assert (trained.steps, trained.reason) == (1, "the error is zero")


@pytest.mark.parametrize("seed", range(5))
def test_that_a_sampled_step_changes_each_weight_in_proportion_to_its_partial_derivative(seed: int) -> None:
    weights, p, t = problem(seed)
    for k, changed in zip([2, 0], sampled_steps(NET, weights, p, t, 0.25, [2, 0]), strict=True):
        gradients = backpropagate(NET.boxes(weights, t[k : k + 1]), p[k : k + 1]).gradients
        for w, after, gradient in zip(weights.w, changed.w, gradients, strict=True):
            np.testing.assert_array_equal(after, w - 0.25 * gradient.w)
        np.testing.assert_array_equal(changed.b[0], weights.b[0] - 0.25 * gradients[0].b)
        assert changed.b[1] is None
        weights = changed


@pytest.mark.parametrize("seed", range(5))
def test_that_full_batch_descent_is_the_sum_of_the_steps_of_all_pairs(seed: int) -> None:
    weights, p, t = problem(seed)
    together = train(NET, weights, p, t, 0.25, Stop(rounds=1)).weights
    alone = [next(sampled_steps(NET, weights, p, t, 0.25, [k])) for k in range(len(p))]
    exact = summed(weights.w[0], [one.w[0] for one in alone])
    scale = np.sum([np.abs(one.w[0]) + np.abs(weights.w[0]) for one in alone], axis=0)
    assert (np.abs(together.w[0] - exact) <= 4 * len(p) * np.finfo(float).eps * scale).all()


def summed(start: np.ndarray, ends: list[np.ndarray]) -> np.ndarray:
    return start + np.sum([end - start for end in ends], axis=0)


def test_that_a_small_full_step_lowers_the_error() -> None:
    weights, p, t = problem(3)
    trained = train(NET, weights, p, t, 2.0**-10, Stop(rounds=20))
    assert all(after < before for before, after in zip(trained.errors, trained.errors[1:], strict=False))


@pytest.mark.parametrize(
    ("stop", "rate", "reason"),
    [
        (Stop(rounds=3), 2.0**-10, "out of rounds: 3"),
        (Stop(low_enough=1e9), 2.0**-10, "the error is low enough: "),
        (Stop(patience=2, rounds=99), 8.0, "the error no longer falls: not for 2 rounds"),
        (Stop(seconds=0.0, rounds=99), 2.0**-10, "out of time: 0 seconds"),
    ],
)
def test_that_the_rule_that_stopped_it_is_reported(stop: Stop, rate: float, reason: str) -> None:
    weights, p, t = problem(1)
    assert train(NET, weights, p, t, rate, stop).reason.startswith(reason)


def test_that_a_rate_that_is_too_large_is_reported_as_such() -> None:
    weights = NetworkWeights((np.full((2, 2), 2.0),), (None,))
    relu = Network((Relu(),), SumOfSquares())
    with np.errstate(all="ignore"):
        trained = train(relu, weights, np.ones((1, 2)), np.zeros((1, 2)), 1e200, Stop(rounds=9))
    assert trained.reason == "the error is not finite: the rate is too large"


def test_that_watch_and_each_see_every_round_and_every_step() -> None:
    weights, p, t = problem(2)
    rounds: list[tuple[int, float]] = []
    steps: list[int] = []
    trained = train(
        NET, weights, p, t, 2.0**-6, Stop(rounds=2), lambda k: [k, 1, 1],
        lambda number, _, E: rounds.append((number, E)), lambda number, _: steps.append(number),
    )  # fmt: skip
    assert rounds == list(enumerate(trained.errors))
    assert steps == [1, 2, 3, 4, 5, 6]


def test_that_sampled_pairs_are_used_in_their_order() -> None:
    weights, p, t = problem(4)
    ways = [train(NET, weights, p, t, 0.25, Stop(rounds=1), lambda _, o=order: o).weights for order in ([0, 1], [1, 0])]
    assert not np.array_equal(ways[0].w[0], ways[1].w[0])


def test_that_the_decision_is_the_largest_output_and_the_first_of_a_tie() -> None:
    np.testing.assert_array_equal(decisions(np.array([[0.0, 2.0, 1.0], [1.0, 1.0, 0.0]])), [1, 0])


def test_that_training_leaves_the_weights_it_was_given_as_they_were() -> None:
    weights, p, t = problem(5)
    kept = [w.copy() for w in weights.w]
    train(NET, weights, p, t, 0.25, Stop(rounds=2), lambda _: [0, 1])
    for w, before in zip(weights.w, kept, strict=True):
        np.testing.assert_array_equal(w, before)
