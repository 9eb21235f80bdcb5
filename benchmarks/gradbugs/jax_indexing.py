"""Bugs of JAX in scatter and gather: indices that are repeated, out of range or negative, and segments."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from benchmarks.gradbugs.bug import Bug
from benchmarks.gradbugs.kernels import jax_vjp, wide

SEGMENTS = 3


def segment_product(x: Any, segments: Any) -> Any:
    """The product of the numbers of each segment, multiplied in order."""
    return jnp.stack([jnp.prod(jnp.where(segments == k, wide(x), 1)) for k in range(SEGMENTS)]).astype(x.dtype)


def segment_product_backward(others: bool) -> Any:
    """The product of the others in the segment; by mistake 1, as if no segment had two numbers."""

    def backward(g: Any, x: Any, segments: Any) -> Any:
        x_ = wide(x)
        same = (segments[:, None] == segments) & ~jnp.eye(len(x), dtype=bool)
        rest = jnp.prod(jnp.where(same, x_, 1), -1) if others else jnp.ones_like(x_)
        return (wide(g)[segments] * rest).astype(x.dtype), None

    return backward


def segment_sum(x: Any, segments: Any) -> Any:
    """The sums of the segments; numbers without a segment are left out."""
    return jnp.stack([jnp.sum(jnp.where(segments == k, wide(x), 0)) for k in range(SEGMENTS)]).astype(x.dtype)


def segment_sum_backward(drop: bool) -> Any:
    """The cotangent of each number's segment; by mistake that of the last one for numbers without a segment."""

    def backward(g: Any, x: Any, segments: Any) -> Any:
        found = g[jnp.clip(segments, 0, SEGMENTS - 1)]
        return jnp.where(segments < SEGMENTS, found, 0) if drop else found, None

    return backward


def clipped_gather(x: Any, rows: Any) -> Any:
    return x[jnp.clip(rows, 0, x.shape[0] - 1)]


def clipped_gather_backward(clip: bool) -> Any:
    """The cotangents added to the rows; by mistake those of indices out of range are dropped."""

    def backward(g: Any, x: Any, rows: Any) -> Any:
        rows = jnp.clip(rows, 0, x.shape[0] - 1) if clip else rows
        return jnp.zeros_like(wide(x)).at[rows].add(wide(g), mode="drop").astype(x.dtype), None

    return backward


def sine_at(x: Any, row: int) -> Any:
    """x with the sine of one row in its place."""
    return x.at[row].set(jnp.sin(x[row]))


def sine_at_backward(of_row: bool) -> Any:
    """The gradient; by mistake the row is taken for a constant."""

    def backward(g: Any, x: Any, row: int) -> Any:
        return g.at[row].set(g[row] * jnp.cos(x[row]) if of_row else 0), None

    return backward


def scatter_maximum(x: Any, updates: Any, rows: Any) -> Any:
    """The larger of x and of the updates of each row; indices out of range count for the last row."""
    return x.at[jnp.clip(rows, 0, len(x) - 1)].max(updates)


def scatter_maximum_backward(clip: bool) -> Any:
    """The cotangents of the winners; by mistake the winners are looked up with indices that are not clipped."""

    def backward(g: Any, x: Any, updates: Any, rows: Any) -> Any:
        inside = jnp.clip(rows, 0, len(x) - 1)
        y = scatter_maximum(x, updates, rows)
        won = updates == (y[inside] if clip else y.at[rows].get(mode="fill", fill_value=jnp.inf))
        kept = jnp.zeros(len(x), bool).at[inside].max(won)
        return jnp.where(kept, 0, g), jnp.where(won, g[inside], 0), None

    return backward


BUGS = (
    Bug(
        "the product of a segment has the gradient of single numbers", "https://github.com/jax-ml/jax/issues/9296",
        "Incorrect gradient of function with segment_prod", "jax", "scatter and gather", "repeated indices",
        "where", jax_vjp(segment_product, segment_product_backward(False)),
        jax_vjp(segment_product, segment_product_backward(True)),
        lambda rng: [rng.uniform(0.5, 2, 7), np.array([0, 1, 1, 0, 2, 1, 0])], ("args[0]",), segment_product,
    ),
    Bug(
        "numbers without a segment get the gradient of the last one", "https://github.com/jax-ml/jax/issues/8634",
        "Incorrect gradient for segment sum", "jax", "scatter and gather", "indices out of range", "mask-not-applied",
        jax_vjp(segment_sum, segment_sum_backward(False)), jax_vjp(segment_sum, segment_sum_backward(True)),
        lambda rng: [rng.normal(size=7), np.array([0, 3, 1, 0, 2, 5, 1])], ("args[0]",), segment_sum,
    ),
    Bug(
        "the gradient of indices that were clipped is dropped", "https://github.com/jax-ml/jax/pull/7595",
        "Improve semantics of out-of-bounds indices in gather and scatter", "jax", "scatter and gather",
        "indices out of range", "where", jax_vjp(clipped_gather, clipped_gather_backward(False)),
        jax_vjp(clipped_gather, clipped_gather_backward(True)),
        lambda rng: [rng.normal(size=(4, 3)), np.array([0, 3, 6, 1, 9])], ("args[0]",), clipped_gather,
    ),
    Bug(
        "a function applied to one row has no gradient", "https://github.com/jax-ml/jax/issues/16684",
        "Bug: scatter_apply autodiff returns incorrect result", "jax", "scatter and gather", "one row",
        "entries-missing", jax_vjp(sine_at, sine_at_backward(False)), jax_vjp(sine_at, sine_at_backward(True)),
        lambda rng: [rng.normal(size=(3, 4)), 1], ("args[0]",), sine_at,
    ),
    Bug(
        "a maximum of scattered numbers forgets clipped indices", "https://github.com/jax-ml/jax/pull/40648",
        "[lax] Propagate mode in _scatter_extremal_jvp to fix invalid gradients with clip/drop (fixes #40626)", "jax",
        "scatter and gather", "indices out of range", "mask-not-applied",
        jax_vjp(scatter_maximum, scatter_maximum_backward(False)),
        jax_vjp(scatter_maximum, scatter_maximum_backward(True)),
        lambda rng: [np.linspace(-2, -1, 4), np.array([0.5, 1.5, 0.25, -3.0]), np.array([0, 7, 2, 1])],
        ("args[0]", "args[1]"), scatter_maximum,
    ),
)  # fmt: skip
