"""Boxes within boxes: each sensitivity and gradient is the slope of the error, on any network and for any box alone."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import flint
import numpy as np
import pytest

from gradagree.arithmetic import Ball, Dual
from gradagree.arithmetic.ball import lift, precision
from gradagree.reference import Activation, Box, ErrorBox, Gradient, backpropagate, errors, network
from gradagree.reference.boxes import boxes

BITS = 400
WIDTHS = (3, 4, 4, 2)
NETWORKS = {
    "id,tanh,sigmoid:sse": (["id", "tanh", "sigmoid"], errors.SumOfSquares()),
    "gelu,leaky_relu,softplus:mse": (["gelu", "leaky_relu", "softplus"], errors.MeanSquared()),
    "relu,elu,softsign,silu:huber": (["relu", "elu", "softsign", "silu"], errors.Huber()),
    "id,gelu_tanh,id,sigmoid:absolute": (["id", "gelu_tanh", "id", "sigmoid"], errors.Absolute()),
    "id,relu,tanh:bce_logits": (["id", "relu", "tanh"], errors.BinaryCrossEntropyOnLogits()),
    "id,tanh,hardtanh:cross_entropy": (["id", "tanh", "hardtanh"], errors.SoftmaxCrossEntropy()),
}


@pytest.fixture(autouse=True)
def working_precision() -> Iterator[None]:
    with precision(BITS):
        yield


def dyadic(seed: int, *shape: int) -> np.ndarray:
    """Odd multiples of 1/64 within 2 of zero: short, and on no kink."""
    return (2 * np.random.default_rng(seed).integers(-64, 64, shape) + 1) / 64


def chain(name: str, seed: int) -> list[tuple[Box, Any]]:
    """Each box of a network in ball arithmetic, from the outermost inwards, and its current input; one has no bias."""
    names, error = NETWORKS[name]
    weights = [dyadic(seed + k, n, m) for k, (n, m) in enumerate(itertools.pairwise(WIDTHS))]
    biases = [Ball.exact(dyadic(seed + 10, WIDTHS[1])), None, Ball.exact(dyadic(seed + 12, WIDTHS[3]))]
    t = {"real": dyadic(seed + 20, 3, 2), "bits": np.eye(3, 2), "classes": np.arange(3) % 2}[error.targets]
    made = [Activation.named(text) for text in names]
    box, p = network(made, [Ball.exact(w) for w in weights], biases, error, t), Ball.exact(dyadic(seed + 30, 3, 3))
    pairs = []
    for inner in boxes(box):
        pairs.append((inner, p))
        p = inner.weigh(p)
    return pairs


def seeded(x: Ball, entry: tuple[int, ...]) -> Dual:
    slope = np.zeros(x.shape)
    slope[entry] = 1.0
    return Dual(x, Ball.exact(slope))


def wrong(box: Box, p: Ball) -> set[str]:
    """Which of delta_p, w and b have an entry that is not proved to be the slope of E, to half of the bits."""
    answer, sharp = backpropagate(box, p), flint.arb(2) ** (-BITS // 2)
    claims = [("delta_p", p, answer.delta_p), ("w", box.w, answer.gradients[0].w), ("b", box.b, answer.gradients[0].b)]
    found = set()
    for part, variable, claimed in claims:
        for entry in np.ndindex(() if variable is None else variable.shape):
            if variable is None:
                continue
            dual = seeded(variable, entry)
            E = box(dual) if part == "delta_p" else dataclasses.replace(box, **{part: dual})(p)
            x, y = lift(E.tangent).balls.item(), lift(claimed).balls[entry]
            if not (x.overlaps(y) and x.rad() < sharp and y.rad() < sharp):
                found.add(part)
    return found


@pytest.mark.parametrize("name", [name for name in NETWORKS if "cross_entropy" not in name])
@pytest.mark.parametrize("seed", [1, 2])
def test_that_every_cotangent_and_gradient_is_the_derivative_of_the_loss(name: str, seed: int) -> None:
    assert [wrong(box, p) for box, p in chain(name, seed)] == [set()] * len(NETWORKS[name][0])


class Forgetful(Box):
    """delta_p without A'."""

    def pull(self, p: Any, delta_c: Any) -> Any:
        _, gradient = super().pull(p, delta_c)
        return delta_c @ self.w.T, gradient


class Reversed(Box):
    """w the wrong way round, which fits where it is square."""

    def pull(self, p: Any, delta_c: Any) -> Any:
        _, gradient = super().pull(p, delta_c)
        return self.activation.vjp(p, delta_c @ self.w), gradient


class Inactive(Box):
    """p in place of A(p)."""

    def pull(self, p: Any, delta_c: Any) -> Any:
        delta_p, gradient = super().pull(p, delta_c)
        return delta_p, Gradient(p.T @ delta_c, gradient.b)


class FirstOnly(Box):
    """The weights' gradients of the first example only."""

    def pull(self, p: Any, delta_c: Any) -> Any:
        delta_p, _ = super().pull(p, delta_c)
        return delta_p, Gradient(self.activation.value(p)[:1].T @ delta_c[:1], np.sum(delta_c[:1], axis=-2))


class Nearly(Box):
    """A factor of 1 + 1e-9 on dE/dw."""

    def pull(self, p: Any, delta_c: Any) -> Any:
        delta_p, gradient = super().pull(p, delta_c)
        return delta_p, gradient._replace(w=gradient.w * (1 + 1e-9))


@pytest.mark.parametrize(
    ("fault", "named"),
    [(Forgetful, {"delta_p"}), (Reversed, {"delta_p"}), (Inactive, {"w"}), (FirstOnly, {"w", "b"}), (Nearly, {"w"})],
)
def test_that_a_planted_fault_is_found_and_named(fault: type[Box], named: set[str]) -> None:
    box, p = chain("id,tanh,sigmoid:sse", 3)[1]
    box = dataclasses.replace(box, b=Ball.exact(dyadic(4, WIDTHS[2])))
    assert wrong(box, p) == set()
    assert wrong(fault(box.activation, box.w, box.b, box.inside), p) == named


def order(box: Box | ErrorBox, c: Ball, change: Ball, delta: Any) -> int:
    """Of what order what first order leaves of a change is: 2 where it quarters when the change is halved."""
    rests = []
    for step in (2.0**-60, 2.0**-61):
        rests.append(box(c + step * change) - box(c) - step * np.sum(change * delta))
    ratio = rests[0].balls.item() / rests[1].balls.item()
    return round(np.log2(abs(float(ratio.mid()))))


@pytest.mark.parametrize("name", [name for name in NETWORKS if "absolute" not in name])
@pytest.mark.parametrize("seed", [5, 6])
def test_that_small_changes_add_up_in_any_box_alone(name: str, seed: int) -> None:
    for box, p in chain(name, seed):
        change = Ball.exact(dyadic(seed + 50, *p.shape))
        delta = backpropagate(box, p).delta_p
        assert order(box, p, change, delta) == 2
        assert order(box, p, change, delta * (1 + 2.0**-30)) == 1


def test_that_small_changes_add_up_in_the_error_box() -> None:
    box, o, change = ErrorBox(errors.SumOfSquares(), dyadic(7, 3, 2)), Ball.exact(dyadic(8, 3, 2)), dyadic(9, 3, 2)
    assert order(box, o, Ball.exact(change), box.pull(o)) == 2
    assert order(box, o, Ball.exact(change), box.pull(o) / 2) == 1
