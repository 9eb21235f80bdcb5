"""NumPy forms of JAX's primitives, by name; they run on every array type that NumPy dispatches to.

A form takes the primitive's parameters and its operands. Primitives that only move entries have one form for all: they
move the numbers of the entries in the same way.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax
from scipy import special

LAX: dict[str, Callable[..., Any]] = {}
"""A NumPy function for each covered primitive."""


def form(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a form under the names of primitives."""

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        LAX.update(dict.fromkeys(names, function))
        return function

    return add


PLAIN: dict[str, Any] = {
    "abs": np.abs, "acos": np.arccos, "acosh": np.arccosh, "add": np.add, "add_any": np.add, "and": np.bitwise_and,
    "asin": np.arcsin, "asinh": np.arcsinh, "atan": np.arctan, "atan2": np.arctan2, "atanh": np.arctanh,
    "bessel_i0e": special.i0e, "bessel_i1e": special.i1e, "cbrt": np.cbrt, "ceil": np.ceil, "cos": np.cos,
    "cosh": np.cosh, "digamma": special.digamma, "div": np.divide, "eq": np.equal, "erf": special.erf,
    "erf_inv": special.erfinv, "erfc": special.erfc, "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1,
    "floor": np.floor, "ge": np.greater_equal, "gt": np.greater, "is_finite": np.isfinite, "le": np.less_equal,
    "lgamma": special.gammaln, "log": np.log, "log1p": np.log1p, "logistic": special.expit, "lt": np.less,
    "max": np.maximum, "min": np.minimum, "mul": np.multiply, "ne": np.not_equal, "neg": np.negative,
    "not": np.invert, "or": np.bitwise_or, "pow": np.power, "rem": np.fmod, "sign": np.sign, "sin": np.sin,
    "sinh": np.sinh, "sqrt": np.sqrt, "square": np.square, "sub": np.subtract, "tan": np.tan, "tanh": np.tanh,
    "xor": np.bitwise_xor,
}  # fmt: skip


def plain(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda params, *xs: function(*xs)


LAX.update({name: plain(function) for name, function in PLAIN.items()})


@form("copy", "copy_p", "stop_gradient", "optimization_barrier", "reduce_precision", "pvary")
def same(params: Any, x: Any, *_: Any) -> Any:
    return x


@form("convert_element_type")
def convert(params: Any, x: Any) -> Any:
    if jnp.issubdtype(params["new_dtype"], jnp.floating):
        return np.where(x, 1.0, 0.0) if getattr(x, "dtype", None) == np.bool_ else 1.0 * x
    return x != 0 if jnp.dtype(params["new_dtype"]).kind == "b" else np.trunc(x).astype(np.int64)


@form("round")
def round_(params: Any, x: Any) -> Any:
    """Half to even, or away from zero."""
    return np.rint(x) if int(params["rounding_method"]) == 1 else np.sign(x) * np.floor(np.abs(x) + 0.5)


@form("rsqrt")
def rsqrt(params: Any, x: Any) -> Any:
    return 1 / np.sqrt(x)


@form("integer_pow")
def integer_pow(params: Any, x: Any) -> Any:
    return x ** params["y"]


@form("clamp")
def clamp(params: Any, low: Any, x: Any, high: Any) -> Any:
    return np.minimum(np.maximum(x, low), high)


@form("select_n")
def select_n(params: Any, which: Any, *cases: Any) -> Any:
    if len(cases) == 2:
        return np.where(which != 0 if getattr(which, "dtype", None) != np.bool_ else which, cases[1], cases[0])
    return functools.reduce(lambda found, k: np.where(which == k, cases[k], found), range(1, len(cases)), cases[0])


def reduction(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda params, x: function(x, axis=tuple(params["axes"])) if params["axes"] else x


for name, function in {
    "reduce_sum": np.sum, "reduce_max": np.max, "reduce_min": np.min, "reduce_prod": np.prod, "reduce_or": np.any,
    "reduce_and": np.all,
}.items():  # fmt: skip
    LAX[name] = reduction(function)  # type: ignore[arg-type]


def cumulative(function: Callable[..., Any]) -> Callable[..., Any]:
    def run(params: Any, x: Any) -> Any:
        axis = params["axis"]
        if not params["reverse"]:
            return function(x, axis=axis)
        return np.flip(function(np.flip(x, axis=axis), axis=axis), axis=axis)

    return run


LAX["cumsum"], LAX["cumprod"] = cumulative(np.cumsum), cumulative(np.cumprod)


@form("dot_general")
def dot_general(params: Any, a: Any, b: Any) -> Any:
    """Batch axes first, then the free axes of a and of b: one batched matrix product."""
    (sum_a, sum_b), (batch_a, batch_b) = params["dimension_numbers"]
    free_a = [k for k in range(np.ndim(a)) if k not in (*sum_a, *batch_a)]
    free_b = [k for k in range(np.ndim(b)) if k not in (*sum_b, *batch_b)]
    batch = [np.shape(a)[k] for k in batch_a]
    rows, columns = [np.shape(a)[k] for k in free_a], [np.shape(b)[k] for k in free_b]
    terms = int(np.prod([np.shape(a)[k] for k in sum_a]))
    left = np.reshape(np.transpose(a, (*batch_a, *free_a, *sum_a)), (*batch, int(np.prod(rows)), terms))
    right = np.reshape(np.transpose(b, (*batch_b, *sum_b, *free_b)), (*batch, terms, int(np.prod(columns))))
    return np.reshape(left @ right, (*batch, *rows, *columns))


@form("sort")
def sort(params: Any, *operands: Any) -> Any:
    """Sorted by the first operand; the others in its order."""
    axis = params["dimension"]
    if len(operands) == 1:
        return [np.sort(operands[0], axis=axis)]
    order = np.argsort(operands[0], axis=axis)
    return [np.take_along_axis(x, order, axis=axis) for x in operands]


@form("top_k")
def top_k(params: Any, x: Any) -> Any:
    axis = params.get("axis", np.ndim(x) - 1)
    order = np.flip(np.argsort(x, axis=axis), axis=axis)
    first = np.take(order, np.arange(params["k"]), axis=axis)
    return [np.take_along_axis(x, first, axis=axis), first]


@form("split")
def split(params: Any, x: Any) -> Any:
    ends = [int(k) for k in np.cumsum(params["sizes"])[:-1]]
    return np.split(x, ends, axis=params["axis"])


def numbers(shape: Sequence[int], first: int = 0) -> Any:
    """The numbers of the entries of an array of this shape."""
    return jnp.arange(first, first + int(np.prod(shape)), dtype=jnp.int32).reshape(shape)


def gather(params: dict[str, Any], operands: Sequence[Any]) -> Callable[..., Any]:
    """The form of a gather: JAX itself says where each entry comes from."""
    x, indices = operands
    own = {name: params[name] for name in ("dimension_numbers", "slice_sizes", "mode")}
    found = lax.gather(numbers(np.shape(x)), jnp.asarray(indices), fill_value=-1, **own)
    places = np.asarray(found)
    filled = params.get("fill_value")
    outside = np.nan if filled is None else filled

    def run(x: Any, _: Any) -> Any:
        picked = np.ravel(x)[np.maximum(places, 0)]
        return np.where(places < 0, outside, picked) if (places < 0).any() else picked

    return run


@form("concatenate")
def concatenate(params: Any, *xs: Any) -> Any:
    return np.concatenate(xs, axis=params["dimension"])


@form("pad")
def pad(params: Any, x: Any, value: Any) -> Any:
    """Low, high and interior padding; negative widths cut."""
    places = np.arange(int(np.prod(np.shape(x)))).reshape(np.shape(x))
    for axis, (low, high, inner) in enumerate(params["padding_config"]):
        n = places.shape[axis]
        spread = np.full([*places.shape[:axis], n + max(n - 1, 0) * inner, *places.shape[axis + 1 :]], -1)
        spread[(slice(None),) * axis + (slice(None, None, inner + 1),)] = places
        widths = [(0, 0)] * places.ndim
        widths[axis] = (max(low, 0), max(high, 0))
        places = np.pad(spread, widths, constant_values=-1)
        places = places[(slice(None),) * axis + (slice(max(-low, 0), places.shape[axis] - max(-high, 0)),)]
    return np.where(places < 0, value, np.ravel(x)[np.maximum(places, 0)])


def starts(x: Any, sizes: Sequence[int], at: Sequence[Any]) -> tuple[slice, ...]:
    """The window of a dynamic slice, moved inside the array."""
    first = [min(max(int(k), 0), n - m) for k, n, m in zip(at, np.shape(x), sizes, strict=True)]
    return tuple(slice(k, k + m) for k, m in zip(first, sizes, strict=True))


@form("dynamic_slice")
def dynamic_slice(params: Any, x: Any, *at: Any) -> Any:
    return x[starts(x, params["slice_sizes"], at)]


@form("dynamic_update_slice")
def dynamic_update_slice(params: Any, x: Any, update: Any, *at: Any) -> Any:
    places = np.full(np.shape(x), -1)
    places[starts(x, np.shape(update), at)] = np.arange(int(np.prod(np.shape(update)))).reshape(np.shape(update))
    return np.where(places < 0, x, np.ravel(update)[np.maximum(places, 0)])


@form("reshape")
def reshape(params: Any, x: Any) -> Any:
    return np.reshape(x, tuple(params["new_sizes"]))


@form("squeeze")
def squeeze(params: Any, x: Any) -> Any:
    return np.squeeze(x, tuple(params["dimensions"])) if params["dimensions"] else x


@form("expand_dims")
def expand_dims(params: Any, x: Any) -> Any:
    return np.expand_dims(x, tuple(params["dimensions"]))


@form("transpose")
def transpose(params: Any, x: Any) -> Any:
    return np.transpose(x, tuple(params["permutation"]))


@form("rev")
def rev(params: Any, x: Any) -> Any:
    return np.flip(x, tuple(params["dimensions"]))


@form("slice")
def slice_(params: Any, x: Any) -> Any:
    steps = params["strides"] or (1,) * np.ndim(x)
    ends = zip(params["start_indices"], params["limit_indices"], steps, strict=True)
    return x[tuple(slice(a, b, c) for a, b, c in ends)]


@form("broadcast_in_dim")
def broadcast_in_dim(params: Any, x: Any, *_: Any) -> Any:
    shape, at = tuple(params["shape"]), params["broadcast_dimensions"]
    own = [1] * len(shape)
    for k, n in zip(at, np.shape(x), strict=True):
        own[k] = n
    return np.broadcast_to(np.reshape(x, own), shape)


def scatter_places(name: str, params: dict[str, Any], operands: Sequence[Any]) -> Callable[..., Any]:
    """The form of a scatter: the place of each update, by the gather that reads where the scatter writes."""
    x, indices, updates = operands
    own = params["dimension_numbers"]
    window = [k for k in range(np.ndim(x)) if k not in (*own.inserted_window_dims, *own.operand_batching_dims)]
    sizes = [1] * np.ndim(x)
    for k, at in zip(window, own.update_window_dims, strict=True):
        sizes[k] = np.shape(updates)[at]
    numbers_of = lax.GatherDimensionNumbers(
        offset_dims=own.update_window_dims,
        collapsed_slice_dims=own.inserted_window_dims,
        start_index_map=own.scatter_dims_to_operand_dims,
        operand_batching_dims=own.operand_batching_dims,
        start_indices_batching_dims=own.scatter_indices_batching_dims,
    )
    found = lax.gather(
        numbers(np.shape(x)), jnp.asarray(indices), numbers_of, tuple(sizes), mode=params["mode"], fill_value=-1,
    )  # fmt: skip
    places = np.asarray(found)

    def run(x: Any, _: Any, updates: Any) -> Any:
        if name == "scatter-add":
            return np.reshape(add_at(np.ravel(x), places, updates), np.shape(x))
        source = np.full(int(np.prod(np.shape(x))), -1)
        source[places[places >= 0]] = np.arange(places.size).reshape(places.shape)[places >= 0]
        return np.reshape(np.where(source >= 0, np.ravel(updates)[np.maximum(source, 0)], np.ravel(x)), np.shape(x))

    return run


def add_at(x: Any, places: np.ndarray, updates: Any) -> Any:
    """x with each update added at its place, by one sum for each place."""
    kept = places.ravel() >= 0
    order = np.argsort(places.ravel()[kept], kind="stable")
    found, counts = np.unique(places.ravel()[kept], return_counts=True)
    if not found.size:
        return x
    most = int(counts.max())
    sources = np.full((x.shape[0], most), int(kept.sum()))
    rank = np.arange(order.size) - np.repeat(np.cumsum(counts) - counts, counts)
    sources[np.repeat(found, counts), rank] = order
    terms = np.concatenate([np.ravel(updates)[kept], np.zeros(1)])[sources]
    return np.sum(np.concatenate([np.expand_dims(x, 1), terms], axis=1), axis=1)
