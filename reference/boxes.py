"""Backpropagation through nested boxes.

A box receives its current input p, applies its activation and its affine map, and passes the result c to the box inside
(in other terms: a layer with all that follows it; p is the primal input). The innermost box is the error box: it
receives the output o and returns the loss E. A box's sensitivity (cotangent) is the derivative of E with respect to its
input; each box computes its own from that of the box inside it, and returns it outwards.

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
"""Stack frames of the recursion for each box."""


class Gradient(NamedTuple):
    """Gradients of one box.

    Attributes:
        w: dE/dw, of shape (..., n, m), or None if the box has no weights.
        b: dE/db, of shape (..., m), or None if the box has no bias.
    """

    w: Any
    b: Any


class Backpropagation(NamedTuple):
    """Result of backpropagation through a box and all boxes inside it, from the outermost inwards.

    Attributes:
        E: The loss, of shape (...).
        sensitivities: The sensitivity of each box in the shape of its input, and of the error box.
        gradients: dE/dw and dE/db of each box.
        activations: For each box, the gradients of its activation's parameters, by name.
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
    """The innermost box: from the output o it computes the loss E.

    Attributes:
        error: The loss.
        t: Targets, of shape (..., examples, outputs), or (..., examples) if they are class numbers.
        weight: Factor of the loss, which is then the cotangent that reaches it.

    Example:
        >>> import numpy as np
        >>> from gradagree.reference.boxes import ErrorBox
        >>> from gradagree.reference.losses import SumOfSquares
        >>> box = ErrorBox(SumOfSquares(), np.array([[4.0]]))
        >>> float(box(np.array([[5.0]]))), box.pull(np.array([[5.0]])).tolist()
        (1.0, [[2.0]])
    """

    error: ErrorFunction
    t: Any
    weight: float = 1.0

    def __call__(self, o: Any) -> Any:
        """The loss E(o).

        Args:
            o: Outputs, of shape (..., examples, outputs).

        Returns:
            E, of shape (...).
        """
        E = self.error.value(o, self.t)
        return E if self.weight == 1 else self.weight * E

    def pull(self, o: Any) -> Any:
        """The sensitivity delta_o = dE/do.

        Args:
            o: Outputs, of shape (..., examples, outputs).

        Returns:
            delta_o, in the shape of o.
        """
        delta_o = self.error.sensitivity(o, self.t)
        return delta_o if self.weight == 1 else self.weight * delta_o

    def answer(self, o: Any) -> Backpropagation:
        """The loss and delta_o."""
        return Backpropagation(self(o), (self.pull(o),), ())


@dataclass(frozen=True, eq=False)
class Box:
    """c = A(p) w + b, passed to the box inside; without w and b, c = A(p).

    Attributes:
        activation: The activation A.
        w: Weights, of shape (..., n, m), or None.
        b: Bias, of shape (..., m), or None.
        inside: The box that c is passed to.

    Example:
        >>> import numpy as np
        >>> from gradagree.reference.activations import Identity
        >>> from gradagree.reference.boxes import Box, ErrorBox
        >>> from gradagree.reference.losses import SumOfSquares
        >>> inner = ErrorBox(SumOfSquares(), np.array([[4.0]]))
        >>> box = Box(Identity(), np.array([[2.0], [1.0]]), np.array([1.0]), inner)
        >>> p = np.array([[1.0, 3.0]])
        >>> box.weigh(p).tolist(), float(box(p)), box.answer(p).delta_p.tolist()
        ([[6.0]], 4.0, [[8.0, 4.0]])
    """

    activation: Activation
    w: Any
    b: Any
    inside: Box | ErrorBox

    def weigh(self, p: Any) -> Any:
        """The value c = A(p) w + b, which is the input of the box inside.

        Args:
            p: Current input, of shape (..., examples, n).

        Returns:
            c, of shape (..., examples, m).
        """
        # c = A(p) w + b
        c = self.activation.value(p)
        if self.w is not None:
            c = c @ self.w
        return c if self.b is None else c + np.expand_dims(self.b, -2)

    def delta_a(self, delta_c: Any) -> Any:
        """The sensitivity of a = A(p), of shape (..., examples, n)."""
        # sum_j w_ij delta_c_j
        return delta_c if self.w is None else delta_c @ np.swapaxes(self.w, -1, -2)

    def parameter_gradients(self, p: Any, delta_c: Any) -> dict[str, Any]:
        """The gradient of each parameter of the activation, by name."""
        # dE/da = sum_i (dA/da)(p_i) delta_a_i, and dE/da_i = (dA/da)(p_i) delta_a_i where each entry has its own
        own, delta_a = self.activation, self.delta_a(delta_c)
        return {a: np.sum(own.by(a, p) * delta_a, axis=own.shared_along(a)) for a in own.parameter_names}

    def sensitivity(self, p: Any, delta_c: Any) -> Any:
        """The sensitivity of the current input, delta_p.

        Args:
            p: Current input, of shape (..., examples, n).
            delta_c: Sensitivity of the box inside, of shape (..., examples, m).

        Returns:
            delta_p, in the shape of p.
        """
        # delta_p_i = A'(p_i) sum_j w_ij delta_c_j
        return self.activation.vjp(p, self.delta_a(delta_c))

    def gradient(self, p: Any, delta_c: Any) -> Gradient:
        """dE/dw and dE/db, from p and delta_c as for `sensitivity`."""
        # dE/dw_ij = A(p_i) delta_c_j
        w = None if self.w is None else np.swapaxes(self.activation.value(p), -1, -2) @ delta_c
        # dE/db_j = delta_c_j
        b = None if self.b is None else np.sum(delta_c, axis=-2)
        return Gradient(w, b)

    def pull(self, p: Any, delta_c: Any) -> tuple[Any, Gradient]:
        """The vjp of the box.

        Args:
            p: Current input, of shape (..., examples, n).
            delta_c: Sensitivity of the box inside, of shape (..., examples, m).

        Returns:
            delta_p, and the gradient (dE/dw, dE/db).
        """
        return self.sensitivity(p, delta_c), self.gradient(p, delta_c)

    def __call__(self, p: Any) -> Any:
        """E as a function of the current input p."""
        box: Box | ErrorBox = self
        while isinstance(box, Box):
            p, box = box.weigh(p), box.inside
        return box(p)

    def answer(self, p: Any) -> Backpropagation:
        """The loss, and all sensitivities and gradients of this box and those inside it; `backpropagate` calls it."""
        inner = self.inside.answer(self.weigh(p))
        delta_p, gradient = self.pull(p, inner.delta_p)
        parameters = self.parameter_gradients(p, inner.delta_p)
        return Backpropagation(
            inner.E, (delta_p, *inner.sensitivities), (gradient, *inner.gradients), (parameters, *inner.activations)
        )


def network(
    activations: Sequence[Activation], weights: Sequence[Any], biases: Sequence[Any], error: ErrorFunction, t: Any,
    loss_weight: float = 1.0,
) -> Box:  # fmt: skip
    """Build nested boxes; the three sequences run from the outermost box inwards.

    Args:
        activations: Activation of each box; if there is one more than weights, the last is an output activation, a box
            without weights.
        weights: Weights w of each box, of shape (..., n, m).
        biases: Bias b of each box, of shape (..., m), or None.
        error: Loss, computed by the innermost box.
        t: Targets, of shape (..., examples, outputs), or (..., examples) if they are class numbers.
        loss_weight: Factor of the loss.

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
    box: Box | ErrorBox = ErrorBox(error, t, loss_weight)
    for activation, w, b in reversed(list(zip(activations, [*weights, *spare], [*biases, *spare], strict=True))):
        box = Box(activation, w, b, box)
    assert isinstance(box, Box)
    return box


def boxes(outermost: Box | ErrorBox) -> Iterator[Box]:
    """Iterate over the boxes from the outermost inwards, without the error box."""
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
    """Raise the recursion limit, so that networks of any depth fit on the stack."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(before + FRAMES_PER_BOX * depth)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)
