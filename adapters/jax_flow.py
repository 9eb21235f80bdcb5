"""Whether derivatives flow from an argument of a JAX program to its results."""

from __future__ import annotations

from typing import Any

STOPS = "stop_gradient"
CALLS = ("jit", "pjit", "closed_call", "core_call", "checkpoint")
"""Primitives that call a program of their own with the same arguments."""


def derivatives_flow(program: Any, place: int) -> bool:
    """Whether some result depends on an argument by floating-point numbers that no ``stop_gradient`` cuts off.

    A function with a derivative of its own counts as one that passes derivatives on. program is the result of
    ``jax.make_jaxpr``, and place that of the argument among all its arrays.
    """
    return any(_reached(program.jaxpr, [k == place for k in range(len(program.jaxpr.invars))]))


def _reached(jaxpr: Any, given: list[bool]) -> list[bool]:
    reached = {variable for variable, one in zip(jaxpr.invars, given, strict=True) if one}
    for equation in jaxpr.eqns:
        operands = [_is_variable(x) and x in reached for x in equation.invars]
        if not any(operands) or equation.primitive.name == STOPS:
            continue
        found = [True] * len(equation.outvars)
        if equation.primitive.name in CALLS and "jaxpr" in equation.params:
            called = equation.params["jaxpr"]
            found = _reached(getattr(called, "jaxpr", called), operands)
        reached |= {x for x, one in zip(equation.outvars, found, strict=True) if one and _is_floating(x)}
    return [_is_variable(x) and x in reached for x in jaxpr.outvars]


def _is_variable(x: Any) -> bool:
    return not hasattr(x, "val")


def _is_floating(x: Any) -> bool:
    return x.aval.dtype.kind not in "biu"
