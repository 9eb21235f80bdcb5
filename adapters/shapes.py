"""Shapes of the results of users' implementations."""

from __future__ import annotations

import functools

import numpy as np

from gradagree.adapters.adapter import Adapter
from gradagree.adapters.problem import Problem, activation_parameters, with_parameters
from gradagree.reference import Activation
from gradagree.reference.samples import midpoint


def find_wrong_shape(adapter: Adapter, problem: Problem) -> str | None:
    """A message about the first activation whose implementation returns None or a wrong shape, or None.

    The wrong shape of an output activation, or one that broadcasts, may pass all other steps unnoticed.
    """
    n = problem.inputs.shape[1]
    for k, activation in enumerate(problem.activations):
        if not type(activation).__module__.startswith("gradagree.reference"):
            wrong = _wrong_shape(adapter, activation, problem.inputs.shape[0], n, problem.dtype)
            if wrong is not None:
                return wrong
        n = problem.weights[k].shape[1] if k < len(problem.weights) else activation.width(n) or 0
    return None


@functools.lru_cache(maxsize=1024)
def _wrong_shape(adapter: Adapter, activation: Activation, examples: int, n: int, dtype: str) -> str | None:
    """A message about the result of an implementation for inputs of shape (examples, n), or None."""
    p, shape = midpoint(activation.domain, np.zeros((examples, n))), (examples, activation.width(n) or 0)
    # an adapter may find the shape of a result without computing it
    call = getattr(adapter, "result_shape", lambda function, *operands: function(*operands))
    try:
        arrays = [adapter.constant(x, dtype) for x in activation_parameters([activation])]
        (held,) = with_parameters([activation], arrays)
        a = call(adapter.implementation(held), adapter.constant(p, dtype))
    except Exception:  # noqa: BLE001  (the answer of the same mode reports it)
        return None
    method = f"{type(activation).__name__}.{adapter.name}"
    if a is None:
        return f"{method} returns nothing: end it with `return` and the formula"
    found = tuple(getattr(a, "shape", () if isinstance(a, int | float) else shape))
    return None if found == shape else f"{method} returns shape {found} for p of shape {p.shape}; it must be {shape}"
