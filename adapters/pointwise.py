"""A single function on an array of points: value, derivative and second derivative, in every mode.

An elementwise function maps an array to one of its shape. Any other maps rows to rows: there `k` is the output that is
differentiated and `j` the input, and the result is the full Jacobian (rows, outputs, inputs), or for one output the
Hessian (rows, inputs, inputs). Points and constants (targets) are the framework's arrays.
"""

from __future__ import annotations

import copy
import functools
import importlib
from collections.abc import Callable
from contextlib import ContextDecorator
from typing import Any, Self

import numpy as np

from gradagree.adapters.modes import Mode
from gradagree.adapters.problem import Unsupported, example_weight
from gradagree.reference import Activation, ErrorFunction
from gradagree.reference.losses.reduction import _EntryByEntry

Function = Callable[..., Any]
REDUCTION = "_reduce"
"""The method of a loss that reduces the losses of entries or examples to one number."""


class Pointwise:
    """A framework's modes of a survey: functions from (f, x, constants, k, j) to an array, by name.

    Attributes:
        values: Modes of values.
        slopes: Modes of derivatives.
        seconds: Modes of second derivatives.
        pads: Whether it compiles for each number of points, so that a survey pads them to few lengths.
    """

    values: dict[str, Function]
    slopes: dict[str, Function]
    seconds: dict[str, Function]
    pads: bool = False

    def modes(self, quantity: str) -> dict[str, Function]:
        """The modes of "value", "slope" or "second"."""
        return {"value": self.values, "slope": self.slopes, "second": self.seconds}[quantity]

    def within(self, context: Callable[[], ContextDecorator]) -> Self:
        """Run each mode in a context, such as one that raises Unsupported for an error of the framework."""
        for modes in (self.values, self.slopes, self.seconds):
            modes.update({name: context()(mode) for name, mode in modes.items()})
        return self


class PointwiseByMode(Pointwise):
    """The modes of an adapter that defines none for surveys: values, and derivatives in its own reverse modes."""

    def __init__(self, adapter: Any) -> None:
        self.values = {"eager": lambda f, x, constants, k=None, j=None: f(x, *constants)}
        names = adapter.survey_modes()["slope"]
        self.slopes = {name: functools.partial(derivative_in_mode, adapter, adapter.modes[name]) for name in names}
        self.seconds = {}


def derivative_in_mode(
    adapter: Any, mode: Mode, f: Function, x: Any, constants: Any, k: Any = None, j: Any = None
) -> Any:
    """The gradient of the sum of f over all points, or of its output k."""

    def error(leaves: list[Any], targets: Any) -> Any:
        y = f(leaves[0], *targets)
        return adapter.sum(y if k is None else y[..., k]), []

    _, (gradient,) = mode.gradient(error, [True])([x], constants)
    return gradient


def framework_implementation(function: Activation | ErrorFunction, adapter: Any, dtype: str) -> Function:
    """The framework's implementation of a function, entry by entry or row by row, without a sum.

    Raises Unsupported if the class has none.
    """
    if isinstance(function, Activation) and function.parameter_names:
        arrays = {
            name: adapter.constant(np.asarray(float(getattr(function, name))), dtype)
            for name in function.parameter_names
        }
        return adapter.implementation(function.holding(**arrays))
    return adapter.implementation(without_reduction(function))


def library_implementation(function: ErrorFunction, adapter: Any, library: str) -> Function:
    """The implementation in a library on top of the framework: ``optax(o, t, optax, jax)``. Raises Unsupported."""
    method = getattr(without_reduction(function), library, None)
    if method is None:
        raise Unsupported(f"{function.name} has no implementation in {library}")
    module = importlib.import_module(library)

    def implementation(*operands: Any) -> Any:
        found = method(*operands, module, adapter.framework)
        if found is None:
            raise Unsupported(f"{library} has no {function} with these parameters")
        return found

    return implementation


def without_reduction(function: Any) -> Any:
    """A loss without its reduction: the losses of single entries or examples."""
    if isinstance(function, Activation) or not hasattr(function, REDUCTION):
        return function
    alone = copy.copy(function)
    object.__setattr__(alone, "reduction", "none")
    object.__setattr__(alone, REDUCTION, lambda e, asarray: e)
    return alone


def divides_by_batch(function: Activation | ErrorFunction) -> bool:
    """Whether a loss returns the mean over the examples; each example is then evaluated in a batch of its own.

    Raises Unsupported for a loss that couples the examples of a batch.
    """
    if isinstance(function, Activation) or hasattr(function, REDUCTION):
        return False
    return example_weight(function, 2) != 1


def is_rows(function: Activation | ErrorFunction) -> bool:
    """True if an example is a row of several numbers."""
    if isinstance(function, Activation):
        return function.along_last_axis
    return not isinstance(function, _EntryByEntry) or function.width(1) != 1 or function.targets == "simplex"
