"""The operands of a loss besides the outputs: its targets, and its own parameters with a gradient.

A mode with taps differentiates them too. A framework or a function may refuse that: such an operand has no gradient in
the answer, and the others are checked without it. So it is with zeros that only mean that no derivative reaches it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gradagree.adapters.loss_reduction import sample_operands
from gradagree.reference import ErrorFunction
from gradagree.reference.graph import operand_name
from gradagree.reference.samples import allowed_width, to_domain, varied_targets

if TYPE_CHECKING:
    from gradagree.adapters.problem import Backend, Problem

MOVES = (0.03125, -0.046875)
"""Distances by which targets are moved to see whether two formulas are the same function of all numbers."""
SAME_FUNCTION = 2.0**-30
"""Relative distance of the values of two formulas of the same function in float64."""


def loss_parameters(error: ErrorFunction) -> dict[str, np.ndarray]:
    """The numbers of a loss's parameters with a gradient, arrays of zero or one axes."""
    return {name: np.asarray(getattr(error, name), dtype=np.float64) for name in error.parameter_names}


def operand_arrays(problem: Problem, names: Sequence[str]) -> dict[str, np.ndarray]:
    """The numbers of operands of the loss, in the order in which they are tapped."""
    arrays = {"t": problem.targets, **loss_parameters(problem.error)}
    return {name: array for name, array in arrays.items() if name in names}


def differentiated(found: Mapping[str, np.ndarray], passes: Callable[[str], bool]) -> dict[str, np.ndarray]:
    """The gradients of operands by the names of their arrays; zeros only where a derivative passes to the operand."""
    return {operand_name(name): gradient for name, gradient in found.items() if gradient.any() or passes(name)}


def loss_in(
    adapter: Backend, error: ErrorFunction, dtype: str, tap: Callable[[Any], Any] = lambda x: x,
    tapped: Sequence[str] = (),
) -> Callable[..., Any]:  # fmt: skip
    """A framework's implementation of a loss, which holds the framework's arrays of the loss's own parameters."""
    if not error.parameter_names:
        return adapter.implementation(error)
    arrays = {name: adapter.array(x, dtype) for name, x in loss_parameters(error).items()}
    held = {name: tap(array) if name in tapped else array for name, array in arrays.items()}
    return adapter.implementation(error.holding(**held))


def same_beside_targets(error: ErrorFunction, loss: Callable[[np.ndarray, np.ndarray], float]) -> bool:
    """True if a loss is that of `error` for targets of any number, and not only for the kind that it is defined for.

    The derivative with respect to the targets is defined by the values beside them.
    """
    n, outputs = 3, allowed_width(error, 4)
    o = to_domain(error.domain, np.arange(n * outputs).reshape(n, outputs) / 4 - 1)
    for t in varied_targets(error, n, outputs):
        for move in MOVES:
            moved = t + move * (1 + np.arange(t.size).reshape(t.shape) % 3)
            with np.errstate(all="ignore"):
                expected, found = float(error.value(o, moved)), loss(o, moved)
            if not abs(found - expected) <= SAME_FUNCTION * abs(expected):
                return False
    return True


class LossOperands:
    """The operands that the modes of an adapter differentiate, by loss."""

    def __init__(self, adapter: Backend) -> None:
        self.adapter = adapter
        self._refused: set[tuple[ErrorFunction, str]] = set()
        self._same_beside: dict[ErrorFunction, bool] = {}
        self._passes: dict[tuple[ErrorFunction, str], bool] = {}

    def names(self, error: ErrorFunction, mode: str) -> list[str]:
        """The targets ``t`` and the parameters whose gradients a mode computes.

        Parameters are left out where each example has a gradient of its own, and targets where the implementation is
        another function than the formula beside them.
        """
        record = self.adapter.modes[mode]
        if record.forward or record.slow or (error, mode) in self._refused:
            return []
        parameters = () if record.per_example else error.parameter_names
        return [*(["t"] if self._has_target_gradient(error) else []), *parameters]

    def refuse(self, error: ErrorFunction, mode: str) -> None:
        """Differentiate no operand of this loss in this mode any more."""
        self._refused.add((error, mode))

    def passes(self, error: ErrorFunction, name: str) -> bool:
        """Whether the implementation passes a derivative on to an operand, so that zeros are its result."""
        key = error, name
        if key not in self._passes:
            try:
                self._passes[key] = self._passes_derivative(error, name)
            except Exception:  # noqa: BLE001  (a function that takes no such operand has no derivative by it)
                self._passes[key] = False
        return self._passes[key]

    def _passes_derivative(self, error: ErrorFunction, name: str) -> bool:
        o, (t, *_) = sample_operands(error)
        x = t if name == "t" else loss_parameters(error)[name]

        def loss(o: Any, x: Any) -> Any:
            if name == "t":
                return loss_in(self.adapter, error, "float64")(o, x)
            held = {key: self.adapter.array(y, "float64") for key, y in loss_parameters(error).items()}
            return self.adapter.implementation(error.holding(**{**held, name: x}))(
                o, self.adapter.constant(t, "float64")
            )

        label = name == "t" and error.targets not in ("real", "positive")
        outputs, operand = (self.adapter.array(y, "float64") for y in (o, x))
        return self.adapter.passes_derivative(loss, outputs, operand, label)

    def _has_target_gradient(self, error: ErrorFunction) -> bool:
        if error.targets in ("classes", "real", "positive"):
            return error.targets != "classes"
        if error not in self._same_beside:
            try:
                self._same_beside[error] = same_beside_targets(error, lambda o, t: self._value(error, o, t))
            except Exception:  # noqa: BLE001  (a loss that does not take such targets has no derivative there)
                self._same_beside[error] = False
        return self._same_beside[error]

    def _value(self, error: ErrorFunction, o: np.ndarray, t: np.ndarray) -> float:
        arrays = (self.adapter.constant(x, "float64") for x in (o, t))
        return float(self.adapter.back(loss_in(self.adapter, error, "float64")(*arrays)))
