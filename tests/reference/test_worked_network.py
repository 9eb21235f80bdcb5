"""Networks whose numbers are done by hand: one in exact fractions, and the classic one, 10-4-6-8-4, of 144 weights."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import flint
import numpy as np
import pytest

from gradagree.arithmetic import Ball, Rounded
from gradagree.arithmetic.ball import precision
from gradagree.arithmetic.model import model
from gradagree.reference import Backpropagation, Box, backpropagate, network
from gradagree.reference.activations import Identity, Relu, Tanh
from gradagree.reference.errors import SumOfSquares

BITS = 400
WIDTHS = (10, 4, 6, 8, 4)


@pytest.fixture(autouse=True)
def working_precision() -> Iterator[None]:
    with precision(BITS):
        yield


def unproved(found: Any, expected: Any) -> list[tuple[int, ...]]:
    """The entries of a ball array that are not proved to be the expected numbers, to half of the bits."""
    expected = np.asarray(expected, dtype=object)
    if found.shape != expected.shape:
        return [found.shape]
    sharp = flint.arb(2) ** (-BITS // 2)
    pairs = {k: (found.balls[k], flint.arb(expected[k])) for k in np.ndindex(expected.shape)}
    return [k for k, (x, y) in pairs.items() if not (x.overlaps(y) and x.rad() < sharp and y.rad() < sharp)]


def two_layers_of_relu() -> tuple[Box, np.ndarray]:
    """2-2-3 with biases; in the second example the first unit of the middle is off."""
    w1, b1 = np.array([[1.0, -0.5], [0.5, 1.0]]), np.array([0.25, -1.0])
    w2, b2 = np.array([[2.0, -1.0, 0.5], [1.0, 0.25, -2.0]]), np.array([0.0, 0.5, -0.25])
    t = np.array([[4.0, -1.0, 1.0], [0.0, 1.0, 0.0]])
    return network([Identity(), Relu()], [w1, w2], [b1, b2], SumOfSquares(), t), np.array([[1.0, 2.0], [-1.0, 1.0]])


def test_that_two_layers_of_relu_give_the_numbers_done_by_hand() -> None:
    box, x = two_layers_of_relu()
    answer = backpropagate(box, x)
    c = box.weigh(x)
    assert c.tolist() == [[2.25, 0.5], [-0.25, 0.5]]
    assert box.inside.weigh(c).tolist() == [[5.0, -1.625, -0.125], [0.5, 0.625, -1.25]]  # type: ignore[union-attr]
    assert answer.E == 1 + 0.625**2 + 1.125**2 + 0.5**2 + 0.375**2 + 1.25**2 == 4.609375
    assert [delta.tolist() for delta in answer.sensitivities] == [
        [[4.125 - 6.1875 / 2, 4.125 / 2 + 6.1875], [-5.8125 / 2, 5.8125]],
        [[4 + 1.25 - 1.125, 2 - 0.3125 + 4.5], [0.0, 1 - 0.1875 + 5]],
        [[2.0, -1.25, -2.25], [1.0, -0.75, -2.5]],
    ]
    outer, inner = answer.gradients
    assert outer.w.tolist() == [[4.125, 6.1875 - 5.8125], [2 * 4.125, 2 * 6.1875 + 5.8125]]
    assert outer.b.tolist() == [4.125, 6.1875 + 5.8125]
    assert inner.w.tolist() == [[4.5, -2.8125, -5.0625], [1.0 + 0.5, -0.625 - 0.375, -1.125 - 1.25]]
    assert inner.b.tolist() == [3.0, -2.0, -4.75]


def sparse_weights() -> list[np.ndarray]:
    """144 weights, most of them zero, such that each box's input is made of 1/2, T = tanh 1/2, U = tanh T, and 0."""
    weights = [np.zeros((n, m)) for n, m in itertools.pairwise(WIDTHS)]
    entries: list[dict[tuple[int, int], float]] = [
        {(0, 1): 1, (1, 0): 1, (3, 1): 1, (4, 3): 0.25, (9, 2): 1, (9, 3): 1},
        {(0, 0): 1, (0, 1): 0.5, (0, 5): 1, (1, 3): 3, (2, 1): 0.5, (2, 2): 1, (2, 5): 1, (3, 4): 1},
        {(0, 0): 1, (0, 2): 1, (0, 7): 0.5, (1, 3): 2, (2, 1): 1, (2, 2): 1, (2, 7): 0.5, (3, 4): -1,
         (4, 5): 1, (5, 6): 0.5},
        {(0, 0): 1, (1, 1): 1, (2, 2): 1, (3, 3): 1, (4, 3): 0.5, (5, 2): -1, (6, 2): 2, (7, 0): 1, (7, 3): -1},
    ]  # fmt: skip
    for w, some in zip(weights, entries, strict=True):
        for place, number in some.items():
            w[place] = number
    return weights


SPARSE_X = [1, 0.5, 0, -1, 2, 0, 0, 0.25, 0, -0.5]
SPARSE_T = [0, 1, -1, 0.5]


def by_hand() -> dict[str, Any]:
    """The numbers of the network of sparse weights, in T, U, V and the slopes S, R, Q of tanh there."""
    T = flint.arb(0.5).tanh()
    U, V = T.tanh(), T.tanh().tanh()
    S, R, Q = 1 - T * T, 1 - U * U, 1 - V * V
    a, b = R * (2 * Q * V + V + 2.5), R * (V + 2.5 - 2 * Q * (1 + V))
    deltas = [
        [1.5, S * (a + 1), 0, 1.5, -0.5, 0, 0, 0, 0, S * (b + 1) - 2],
        [S * (a + 1), 1.5, S * (b + 1), -2],
        [a, -2, b, 0.5, -2, 2],
        [2 * Q * V, -2 * Q * (1 + V), 2, -1, -0.5, -2, 4, 2 * V + 1],
        [2 * V, -2 * (1 + V), 2, -1],
    ]
    outputs = [SPARSE_X, [T, 0, -T, 0], [U, 0, -U, 0, 0, 0], [V, -V, 0, 0, 0, 0, 0, 0]]
    w = [[[ai * dj for dj in delta] for ai in row] for row, delta in zip(outputs, deltas[1:], strict=True)]
    return {"E": V * V + (1 + V) * (1 + V) + 1 + 0.25, "deltas": deltas, "w": w}


def classic(weights: list[np.ndarray], x: Any, t: Any, arithmetic: Any = Ball.exact) -> tuple[Backpropagation, Box]:
    """10-4-6-8-4: identity, tanh, tanh, tanh, without biases, sum of squares."""
    activations = [Identity(), Tanh(), Tanh(), Tanh()]
    box = network(activations, [arithmetic(w) for w in weights], [None] * 4, SumOfSquares(), np.atleast_2d(t))
    return backpropagate(box, arithmetic(np.atleast_2d(x))), box


def test_that_the_classic_network_has_144_weights() -> None:
    assert [w.size for w in sparse_weights()] == [40, 24, 48, 32]
    assert sum(w.size for w in sparse_weights()) == 144


def test_that_the_classic_network_gives_the_numbers_done_by_hand() -> None:
    answer, _ = classic(sparse_weights(), SPARSE_X, SPARSE_T)
    hand = by_hand()
    assert unproved(answer.E, hand["E"]) == []
    assert [unproved(delta, [row]) for delta, row in zip(answer.sensitivities, hand["deltas"], strict=True)] == [[]] * 5
    assert [unproved(gradient.w, w) for gradient, w in zip(answer.gradients, hand["w"], strict=True)] == [[]] * 4
    assert [gradient.b for gradient in answer.gradients] == [None] * 4


def test_that_float64_is_as_near_to_the_numbers_done_by_hand_as_rounding_allows() -> None:
    plain, _ = classic(sparse_weights(), SPARSE_X, SPARSE_T, np.asarray)
    rounded, _ = classic(sparse_weights(), SPARSE_X, SPARSE_T, lambda x: Rounded.stored(x, model("float64")))
    for number, bound, hand in zip(plain.sensitivities, rounded.sensitivities, by_hand()["deltas"], strict=True):
        distance = [abs(flint.arb(x) - y) for x, y in zip(number[0], hand, strict=True)]
        assert all(d <= flint.arb(r) for d, r in zip(distance, bound.radius[0], strict=True))


def dense_numbers(examples: int) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Short dyadic weights, inputs and targets, none of them zero, no two rows alike."""
    weights = [
        ((7 * np.arange(n)[:, None] + 5 * np.arange(m) + 3 * k) % 11 - 5.5) / 8
        for k, (n, m) in enumerate(itertools.pairwise(WIDTHS))
    ]
    grid = np.arange(examples)[:, None]
    return weights, ((5 * grid + 3 * np.arange(10)) % 13 - 6.5) / 4, ((2 * grid + 7 * np.arange(4)) % 5 - 2.5) / 2


def in_loops(weights: list[np.ndarray], x: np.ndarray, t: np.ndarray) -> tuple[Any, list[Any], list[Any]]:
    """One example: E, every delta and every dE/dw, entry by entry from the derivation's two formulas."""
    p = [flint.arb(number) for number in x]
    outputs, slopes = [], []
    for k, w in enumerate(weights):
        outputs.append(p if k == 0 else [number.tanh() for number in p])
        slopes.append([flint.arb(1) if k == 0 else 1 / number.cosh() ** 2 for number in p])
        p = [sum(a * w[i, j] for i, a in enumerate(outputs[k])) for j in range(w.shape[1])]
    difference = [o - ti for o, ti in zip(p, t, strict=True)]
    E, deltas, gradients = sum(d * d for d in difference), [[2 * d for d in difference]], []
    for a, slope, w in reversed(list(zip(outputs, slopes, weights, strict=True))):
        delta_c = deltas[0]
        gradients.insert(0, [[ai * dj for dj in delta_c] for ai in a])
        deltas.insert(0, [s * sum(w[i, j] * dj for j, dj in enumerate(delta_c)) for i, s in enumerate(slope)])
    return E, deltas, gradients


@pytest.mark.parametrize("examples", [1, 3])
def test_that_the_classic_network_gives_the_numbers_of_the_derivation_in_loops(examples: int) -> None:
    weights, x, t = dense_numbers(examples)
    answer, _ = classic(weights, x, t)
    each = [in_loops(weights, *row) for row in zip(x, t, strict=True)]
    assert unproved(answer.E, sum(E for E, _, _ in each)) == []
    for k, delta in enumerate(answer.sensitivities):
        assert unproved(delta, [deltas[k] for _, deltas, _ in each]) == []
    for k, gradient in enumerate(answer.gradients):
        assert unproved(gradient.w, sum(np.array(gradients[k], dtype=object) for _, _, gradients in each)) == []


@pytest.mark.parametrize("place", [(0, 0), (3, 5)])
def test_that_a_number_off_by_the_least_bit_is_found_in_its_place(place: tuple[int, int]) -> None:
    weights, x, t = dense_numbers(1)
    answer, _ = classic(weights, x, t)
    _, _, gradients = in_loops(weights, x[0], t[0])
    gradients[1][place[0]][place[1]] *= 1 + flint.arb(2) ** -150
    assert unproved(answer.gradients[1].w, gradients[1]) == [place]
