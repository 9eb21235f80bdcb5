"""Training by steepest descent: each step changes each weight in proportion to its partial derivative.

Stochastic backpropagation uses one randomly sampled pair in each step; full-batch steepest descent uses all pairs. A
round is one step for each pair in the data set, sampled with replacement, or one full-batch step. The stop rules are
evaluated after each round, on the loss over all pairs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from gradagree.reference.boxes import Box, Gradient, backpropagate, network
from gradagree.reference.contract import Activation, ErrorFunction


class NetworkWeights(NamedTuple):
    """All weights and biases of a network, from the outermost box inwards.

    Attributes:
        w: Weights of each box, of shape (n, m).
        b: Bias of each box, of shape (m,), or None.

    Example:
        >>> import numpy as np
        >>> from gradagree.reference import Gradient
        >>> from gradagree.reference.training import NetworkWeights
        >>> weights = NetworkWeights((np.array([[1.0]]),), (None,))
        >>> weights.changed([Gradient(np.array([[4.0]]), None)], rate=0.5).w[0].tolist()
        [[-1.0]]
    """

    w: tuple[Any, ...]
    b: tuple[Any, ...]

    def changed(self, gradients: Sequence[Gradient], rate: float) -> NetworkWeights:
        """Take one step of steepest descent.

        Args:
            gradients: dE/dw and dE/db of each box, from the outermost inwards.
            rate: Learning rate.

        Returns:
            The weights w - rate dE/dw and biases b - rate dE/db.
        """
        # w_ij - rate dE/dw_ij
        w = tuple(w - rate * gradient.w for w, gradient in zip(self.w, gradients, strict=False))
        # b_j - rate dE/db_j
        b = tuple(None if b is None else b - rate * g.b for b, g in zip(self.b, gradients, strict=False))
        return NetworkWeights(w, b)


@dataclass(frozen=True)
class Network:
    """The fixed parts of a network: its activations and its loss.

    Attributes:
        activations: Activation of each box, from the outermost inwards; one more is an output activation.
        error: The loss.

    Example:
        >>> import numpy as np
        >>> from gradagree.reference.activations import Identity
        >>> from gradagree.reference.losses import SumOfSquares
        >>> from gradagree.reference.training import Network, NetworkWeights
        >>> weights = NetworkWeights((np.array([[2.0]]),), (np.array([1.0]),))
        >>> Network((Identity(),), SumOfSquares()).output(weights, np.array([[3.0]])).tolist()
        [[7.0]]
    """

    activations: tuple[Activation, ...]
    error: ErrorFunction

    def boxes(self, weights: NetworkWeights, t: Any) -> Box:
        """The network as nested boxes.

        Args:
            weights: Weights and biases of each box.
            t: Targets, of shape (examples, outputs), or (examples,) if they are class numbers.

        Returns:
            The outermost box.
        """
        return network(self.activations, weights.w, weights.b, self.error, t)

    def output(self, weights: NetworkWeights, p: Any) -> Any:
        """The forward pass.

        Args:
            weights: Weights and biases of each box.
            p: Inputs, of shape (examples, n).

        Returns:
            The outputs o, of shape (examples, outputs).
        """
        box: Any = self.boxes(weights, None)
        while isinstance(box, Box):
            p, box = box.weigh(p), box.inside
        return p


def decisions(o: Any) -> Any:
    """The predicted class of each example: the index of the largest output, the first one in a tie."""
    return np.argmax(o, axis=-1)


@dataclass(frozen=True)
class Stop:
    """Stop rules; training ends after the first round in which one of them holds.

    Attributes:
        low_enough: Stop if the loss is at most this.
        patience: Stop after this number of rounds without a new lowest loss; None disables the rule.
        rounds: The largest number of rounds.
        seconds: The largest duration, in seconds of wall time; None disables the rule.

    Example:
        >>> import time
        >>> from gradagree.reference.training import Stop
        >>> Stop(patience=2).reason([4.0, 1.0, 1.5, 1.25], time.monotonic())
        'the error no longer falls: not for 2 rounds'
    """

    low_enough: float = 0.0
    patience: int | None = None
    rounds: int = 100
    seconds: float | None = None

    def reason(self, errors: Sequence[float], begun: float) -> str | None:
        """The reason to stop, or None to continue.

        Args:
            errors: The loss before training and after each round.
            begun: `time.monotonic` at the start.

        Returns:
            One phrase that describes the rule that holds, or None.
        """
        if errors[-1] == 0:
            return "the error is zero"
        if errors[-1] <= self.low_enough:
            return f"the error is low enough: {errors[-1]:.6g}, at most {self.low_enough:g}"
        if not np.isfinite(errors[-1]):
            return "the error is not finite: the rate is too large"
        if self.patience is not None and len(errors) - 1 - int(np.argmin(errors)) >= self.patience:
            return f"the error no longer falls: not for {self.patience} rounds"
        if len(errors) - 1 >= self.rounds:
            return f"out of rounds: {self.rounds}"
        if self.seconds is not None and time.monotonic() - begun >= self.seconds:
            return f"out of time: {self.seconds:g} seconds"
        return None


class Trained(NamedTuple):
    """Result of a training run.

    Attributes:
        weights: Weights and biases at the end.
        errors: The loss before training and after each round.
        steps: Number of steps.
        reason: Why training ended.
    """

    weights: NetworkWeights
    errors: tuple[float, ...]
    steps: int
    reason: str


Step = Callable[[NetworkWeights, int], NetworkWeights]


def full_step(net: Network, p: Any, t: Any, rate: float) -> Step:
    """A step function that uses the gradient over all pairs."""

    def step(weights: NetworkWeights, _round: int) -> NetworkWeights:
        return weights.changed(backpropagate(net.boxes(weights, t), p).gradients, rate)

    return step


def sampled_steps(
    net: Network, weights: NetworkWeights, p: Any, t: Any, rate: float, sampled: Iterable[int]
) -> Iterator[NetworkWeights]:
    """Yield the weights after each step of stochastic backpropagation on the sampled pairs."""
    for k in sampled:
        gradients = backpropagate(net.boxes(weights, t[k : k + 1]), p[k : k + 1]).gradients
        weights = weights.changed(gradients, rate)
        yield weights


def train(
    net: Network,
    weights: NetworkWeights,
    p: Any,
    t: Any,
    rate: float,
    stop: Stop,
    sample: Callable[[int], Iterable[int]] | None = None,
    watch: Callable[[int, NetworkWeights, float], None] = lambda rounds, weights, E: None,
    each: Callable[[int, NetworkWeights], None] = lambda steps, weights: None,
) -> Trained:
    """Train by steepest descent until a stop rule holds.

    Args:
        net: The activations and the loss.
        weights: Weights and biases to start from.
        p: Inputs, of shape (examples, n).
        t: Targets, of shape (examples, outputs), or (examples,) if they are class numbers.
        rate: Learning rate: a weight changes by -rate times its partial derivative.
        stop: When to stop.
        sample: Returns, for the number of a round, the index of the example of each step, in order; by default, each
            round is one step on all examples.
        watch: Called before the first round and after each with the number of completed rounds, the weights, and the
            loss over all examples.
        each: Called after each step with the number of completed steps and the weights.

    Returns:
        The weights at the end, the losses, the number of steps, and the reason to stop.

    Example:
        >>> import numpy as np
        >>> from gradagree.reference.activations import Identity
        >>> from gradagree.reference.errors import SumOfSquares
        >>> from gradagree.reference.training import Network, Stop, NetworkWeights, train
        >>> net, start = Network((Identity(),), SumOfSquares()), NetworkWeights((np.array([[0.0]]),), (None,))
        >>> found = train(net, start, np.array([[1.0]]), np.array([[2.0]]), rate=0.25, stop=Stop(rounds=3))
        >>> found.errors, found.weights.w[0].tolist(), found.reason
        ((4.0, 1.0, 0.25, 0.0625), [[1.75]], 'out of rounds: 3')
    """
    begun, steps, full = time.monotonic(), 0, full_step(net, p, t, rate)
    errors: list[float] = []
    while True:
        errors.append(float(net.boxes(weights, t)(p)))
        watch(len(errors) - 1, weights, errors[-1])
        reason = stop.reason(errors, begun)
        if reason is not None:
            return Trained(weights, tuple(errors), steps, reason)
        if sample is None:
            weights, steps = full(weights, steps), steps + 1
            each(steps, weights)
            continue
        for changed in sampled_steps(net, weights, p, t, rate, sample(len(errors) - 1)):
            weights, steps = changed, steps + 1
            each(steps, weights)
