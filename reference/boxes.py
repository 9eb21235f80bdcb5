"""Backpropagation as boxes within boxes.

A box is given its current input p, activates it, weighs it, and hands the result c to the box inside. The innermost box
is the error box: it is given the output o and answers with the error E. A box's sensitivity is the derivative of E with
respect to its input; each box makes its own from that of the box inside it, and hands it outwards.

Shapes: p (..., examples, n), w (..., n, m), b (..., m), c and delta_c (..., examples, m).
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from gradagree.reference.contract import Activation, ErrorFunction

FRAMES_PER_BOX = 2


class Gradient(NamedTuple):
    """dE/dw and dE/db of one box; None where the box has no such weights."""

    w: Any
    b: Any


class Backpropagation(NamedTuple):
    """A box's answer to its current input: E, its own sensitivity and all those inside it, and the gradients.

    activations holds, for each box, dE/da of its activation's own weights, by name.
    """

    E: Any
    sensitivities: tuple[Any, ...]
    gradients: tuple[Gradient, ...]
    activations: tuple[dict[str, Any], ...] = ()

    @property
    def delta_p(self) -> Any:
        """The sensitivity of the outermost box."""
        return self.sensitivities[0]


@dataclass(frozen=True, eq=False)
class ErrorBox:
    """The innermost box: given the output o, it answers with the error E."""

    error: ErrorFunction
    t: Any

    def __call__(self, o: Any) -> Any:
        """E(o)."""
        return self.error.value(o, self.t)

    def pull(self, o: Any) -> Any:
        """delta_o = dE/do."""
        return self.error.sensitivity(o, self.t)

    def answer(self, o: Any) -> Backpropagation:
        return Backpropagation(self(o), (self.pull(o),), ())


@dataclass(frozen=True, eq=False)
class Box:
    """c = A(p) w + b, handed to the box inside. Without w and b, c = A(p)."""

    activation: Activation
    w: Any
    b: Any
    inside: Box | ErrorBox

    def weigh(self, p: Any) -> Any:
        """What the box hands inwards."""
        # c = A(p) w + b
        c = self.activation.value(p)
        if self.w is not None:
            c = c @ self.w
        return c if self.b is None else c + np.expand_dims(self.b, -2)

    def delta_a(self, delta_c: Any) -> Any:
        """The sensitivity of what is weighed."""
        # sum_j w_ij delta_c_j
        return delta_c if self.w is None else delta_c @ np.swapaxes(self.w, -1, -2)

    def pull_own(self, p: Any, delta_c: Any) -> dict[str, Any]:
        """dE/da of each of the activation's own weights."""
        # dE/da = sum_i (dA/da)(p_i) delta_a_i, and dE/da_i = (dA/da)(p_i) delta_a_i where each entry has its own
        own, delta_a = self.activation, self.delta_a(delta_c)
        return {a: np.sum(own.by(a, p) * delta_a, axis=own.shared_along(a)) for a in own.own_weights}

    def sensitivity(self, p: Any, delta_c: Any) -> Any:
        """The sensitivity of the current input."""
        # delta_p_i = A'(p_i) sum_j w_ij delta_c_j
        return self.activation.vjp(p, self.delta_a(delta_c))

    def gradient(self, p: Any, delta_c: Any) -> Gradient:
        """dE/dw and dE/db."""
        # dE/dw_ij = A(p_i) delta_c_j
        w = None if self.w is None else np.swapaxes(self.activation.value(p), -1, -2) @ delta_c
        # dE/db_j = delta_c_j
        b = None if self.b is None else np.sum(delta_c, axis=-2)
        return Gradient(w, b)

    def pull(self, p: Any, delta_c: Any) -> tuple[Any, Gradient]:
        """The box's sensitivity and gradient, from the sensitivity of the box inside."""
        return self.sensitivity(p, delta_c), self.gradient(p, delta_c)

    def __call__(self, p: Any) -> Any:
        """E as a function of the current input p."""
        box: Box | ErrorBox = self
        while isinstance(box, Box):
            p, box = box.weigh(p), box.inside
        return box(p)

    def answer(self, p: Any) -> Backpropagation:
        inner = self.inside.answer(self.weigh(p))
        delta_p, gradient = self.pull(p, inner.delta_p)
        own = self.pull_own(p, inner.delta_p)
        return Backpropagation(
            inner.E, (delta_p, *inner.sensitivities), (gradient, *inner.gradients), (own, *inner.activations)
        )


def network(
    activations: Sequence[Activation], weights: Sequence[Any], biases: Sequence[Any], error: ErrorFunction, t: Any
) -> Box:
    """Build boxes within boxes, from the inside out; the three sequences run from the outermost box inwards.

    Args:
        activations: Activation of each box; one more than there are weights is an output activation, a box without
            weights.
        weights: Weights w of each box, of shape (..., n, m).
        biases: Bias b of each box, of shape (..., m), or None.
        error: Error function of the innermost box.
        t: Targets, of shape (..., examples, outputs), or (..., examples) where they are class numbers.

    Returns:
        The outermost box.

    Raises:
        ValueError: The numbers of activations, weights and biases do not fit together.
    """
    if not len(weights) == len(biases) <= len(activations) <= len(weights) + 1 or not activations:
        raise ValueError(
            f"{len(activations)} activations, {len(weights)} weights and {len(biases)} biases do not make a network: "
            "give each box its activation, weights and bias (or None), and at most one output activation more"
        )
    spare = [None] * (len(activations) - len(weights))
    box: Box | ErrorBox = ErrorBox(error, t)
    for activation, w, b in reversed(list(zip(activations, [*weights, *spare], [*biases, *spare], strict=True))):
        box = Box(activation, w, b, box)
    assert isinstance(box, Box)
    return box


def boxes(outermost: Box | ErrorBox) -> Iterator[Box]:
    """The boxes from the outermost inwards, without the error box."""
    box = outermost
    while isinstance(box, Box):
        yield box
        box = box.inside


def backpropagate(outermost: Box, p: Any) -> Backpropagation:
    """Backpropagate through a network of any depth.

    Args:
        outermost: The network, as from `network`.
        p: Input of the outermost box, of shape (..., examples, n).

    Returns:
        E, the sensitivity of every box, and every dE/dw and dE/db.

    Example:
        >>> import numpy as np
        >>> from gradagree.reference import backpropagate, network
        >>> from gradagree.reference.activations import Identity
        >>> from gradagree.reference.errors import SumOfSquares
        >>> w, p, t = np.array([[2.0], [1.0]]), np.array([[1.0, 3.0]]), np.array([[4.0]])
        >>> answer = backpropagate(network([Identity()], [w], [None], SumOfSquares(), t), p)
        >>> float(answer.E), answer.gradients[0].w.tolist(), answer.delta_p.tolist()
        (1.0, [[2.0], [6.0]], [[4.0, 2.0]])
    """
    with _room_for(sum(1 for _ in boxes(outermost))):
        return outermost.answer(p)


@contextlib.contextmanager
def _room_for(depth: int) -> Iterator[None]:
    """Allow one recursion per box, however many there are."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(before + FRAMES_PER_BOX * depth)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)
