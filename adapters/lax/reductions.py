"""Reductions, cumulative functions, and what orders entries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from gradagree.adapters.lax.table import LAX, placed
from gradagree.reference.operations.cumulative import running_log_sum_exp, running_max, running_min

REDUCTIONS: dict[str, Callable[..., Any]] = {
    "reduce_sum": np.sum, "reduce_max": np.max, "reduce_min": np.min, "reduce_prod": np.prod, "reduce_or": np.any,
    "reduce_and": np.all,
}  # fmt: skip


def reduction(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda params, x: function(x, axis=tuple(params["axes"])) if params["axes"] else x


LAX.update({name: reduction(function) for name, function in REDUCTIONS.items()})


def cumulative(function: Callable[..., Any]) -> Callable[..., Any]:
    def run(params: Any, x: Any) -> Any:
        axis = params["axis"]
        if not params["reverse"]:
            return function(x, axis=axis)
        return np.flip(function(np.flip(x, axis=axis), axis=axis), axis=axis)

    return run


CUMULATIVE: dict[str, Callable[..., Any]] = {
    "cumsum": np.cumsum, "cumprod": np.cumprod, "cummax": running_max, "cummin": running_min,
    "cumlogsumexp": running_log_sum_exp,
}  # fmt: skip
LAX.update({name: cumulative(function) for name, function in CUMULATIVE.items()})


LAX["argmax"] = lambda params, x: np.argmax(x, axis=params["axes"][0])
LAX["argmin"] = lambda params, x: np.argmin(x, axis=params["axes"][0])


@placed("sort")
def sort(params: dict[str, Any], operands: Sequence[Any]) -> Callable[..., Any]:
    """In the order of the first operands, for one key by value; the others follow."""
    axis, keys = params["dimension"], params["num_keys"]
    if len(operands) == 1:
        return lambda x: [np.sort(x, axis=axis)]
    order = np.lexsort([np.asarray(x) for x in reversed(operands[:keys])], axis=axis)
    return lambda *xs: [np.take_along_axis(x, order, axis=axis) for x in xs]


@placed("approx_top_k")
def approximate_top_k(params: dict[str, Any], operands: Sequence[Any]) -> Callable[..., Any] | None:
    """The entries that JAX chooses for the given numbers."""
    x = operands[0]
    axis = params["reduction_dimension"]
    own = {name: params[name] for name in ("recall_target", "reduction_input_size_override", "aggregate_to_topk")}
    pick = lax.approx_max_k if params["is_max_k"] else lax.approx_min_k
    chosen = np.asarray(pick(jnp.asarray(x, jnp.float32), params["k"], axis, **own)[1])
    return lambda x: [np.take_along_axis(x, chosen, axis=axis), chosen]


@placed("top_k")
def top_k(params: dict[str, Any], operands: Sequence[Any]) -> Callable[..., Any]:
    """The largest first; of equal ones, the first."""
    x = operands[0]
    axis = params.get("axis", np.ndim(x) - 1) % np.ndim(x)
    n = np.shape(x)[axis]
    ascending = np.argsort(np.flip(x, axis=axis), axis=axis, kind="stable")
    chosen = np.take(n - 1 - np.flip(ascending, axis=axis), np.arange(params["k"]), axis=axis)
    return lambda x: [np.take_along_axis(x, chosen, axis=axis), chosen]
