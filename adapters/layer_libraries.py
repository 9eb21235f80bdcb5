"""Layers of flax.linen and equinox.nn, each as a function of the arrays of gradagree's layer of the same formula.

A function takes the library, the layer with its settings, and the arrays; it returns the value, or None where the
library has no such setting. The gradient of each array passes through the library's own module.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

from gradagree.reference.contract import implementation_names

LIBRARIES = {"flax": "jax", "equinox": "jax"}
"""Libraries of layers, and the framework whose arrays they take."""
implementation_names.update(LIBRARIES)  # a layer may have a method for each

Written = Callable[..., Any]


def is_found(library: str) -> bool:
    """True if a library is installed."""
    return importlib.util.find_spec(library) is not None


def library_function(library: str, layer: Any) -> Written | None:
    """A library's own module as a function of the arrays of a layer.

    Args:
        library: A name in `LIBRARIES`.
        layer: The layer. A method named after the library, with the library as a keyword, comes first.

    Returns:
        The function; None where the library has no such layer, or not with these settings.
    """
    method = getattr(layer, library, None)
    if method is not None:
        return functools.partial(method, **{library: importlib.import_module(library)})
    written = {"flax": FLAX, "equinox": EQUINOX}[library].get(layer.name)
    if written is None or not written.allows(layer):
        return None
    module = importlib.import_module({"flax": "flax.linen", "equinox": "equinox"}[library])
    return functools.partial(written.function, module, layer)


def imported(name: str) -> Any:
    """A module of JAX or of a library, which is imported only when a layer runs."""
    return importlib.import_module(name)


class Spelling:
    """A layer in a library.

    Args:
        function: It takes the library, the layer and the arrays.
        only: Settings that the library has, by name; others are free.
    """

    def __init__(self, function: Written, **only: Any) -> None:
        self.function, self.only = function, only

    def allows(self, layer: Any) -> bool:
        return all(getattr(layer, name) == value for name, value in self.only.items())


def last(x: Any) -> Any:
    """Channels from axis 1 to the end."""
    jnp = imported("jax.numpy")

    return jnp.moveaxis(x, 1, -1)


def first(x: Any) -> Any:
    """Channels from the end to axis 1."""
    jnp = imported("jax.numpy")

    return jnp.moveaxis(x, -1, 1)


def given(**arrays: Any) -> dict[str, Any]:
    """Parameters by name, without those that are None."""
    return {"params": {name: x for name, x in arrays.items() if x is not None}}


def flax_dense(nn: Any, layer: Any, x: Any, w: Any, b: Any = None) -> Any:
    return nn.Dense(w.shape[0], use_bias=b is not None).apply(given(kernel=w.T, bias=b), x)


def flax_embedding(nn: Any, layer: Any, w: Any, index: Any) -> Any:
    return nn.Embed(*w.shape).apply(given(embedding=w), index)


def flax_convolution(nn: Any, layer: Any, x: Any, w: Any, b: Any = None) -> Any:
    module = nn.Conv(
        w.shape[0], w.shape[2:], layer.stride, [(layer.padding, layer.padding)] * layer.axes,
        kernel_dilation=layer.dilation, feature_group_count=layer.groups, use_bias=b is not None,
    )  # fmt: skip
    kernel = w.transpose(*range(2, w.ndim), 1, 0)
    return first(module.apply(given(kernel=kernel, bias=b), last(x)))


def around(layer: Any, w: Any) -> list[tuple[int, int]]:
    """The zeros that a transposed convolution puts around its input, on each axis."""
    reach = [layer.dilation * (n - 1) - layer.padding for n in w.shape[2:]]
    return [(n, n + layer.output_padding) for n in reach]


def flipped(w: Any) -> Any:
    """A kernel in the opposite order along its windows."""
    jnp = imported("jax.numpy")

    return jnp.flip(w, tuple(range(2, w.ndim)))


def flax_transposed(nn: Any, layer: Any, x: Any, w: Any, b: Any = None) -> Any:
    strides = (layer.stride,) * layer.axes
    module = nn.ConvTranspose(
        w.shape[1], w.shape[2:], strides, around(layer, w), (layer.dilation,) * layer.axes, use_bias=b is not None
    )
    kernel = flipped(w).transpose(*range(2, w.ndim), 0, 1)
    return first(module.apply(given(kernel=kernel, bias=b), last(x)))


def flax_batch_norm(nn: Any, layer: Any, x: Any, w: Any, b: Any) -> Any:
    jnp = imported("jax.numpy")

    module = nn.BatchNorm(use_running_average=False, axis=1, epsilon=layer.eps)
    statistics = {"batch_stats": {"mean": jnp.zeros_like(w), "var": jnp.ones_like(w)}}
    return module.apply(given(scale=w, bias=b) | statistics, x, mutable=["batch_stats"])[0]


def flax_batch_norm_evaluation(nn: Any, layer: Any, x: Any, w: Any, b: Any, mean: Any, variance: Any) -> Any:
    module = nn.BatchNorm(use_running_average=True, axis=1, epsilon=layer.eps)
    return module.apply(given(scale=w, bias=b) | {"batch_stats": {"mean": mean, "var": variance}}, x)


def flax_layer_norm(nn: Any, layer: Any, x: Any, w: Any, b: Any) -> Any:
    return nn.LayerNorm(epsilon=layer.eps).apply(given(scale=w, bias=b), x)


def flax_rms_norm(nn: Any, layer: Any, x: Any, w: Any) -> Any:
    return nn.RMSNorm(epsilon=layer.eps).apply(given(scale=w), x)


def flax_group_norm(nn: Any, layer: Any, x: Any, w: Any, b: Any) -> Any:
    return first(nn.GroupNorm(num_groups=layer.groups, epsilon=layer.eps).apply(given(scale=w, bias=b), last(x)))


def flax_instance_norm(nn: Any, layer: Any, x: Any, w: Any, b: Any) -> Any:
    return first(nn.InstanceNorm(epsilon=layer.eps).apply(given(scale=w, bias=b), last(x)))


def flax_weight_norm(nn: Any, layer: Any, x: Any, v: Any, s: Any) -> Any:
    module = nn.WeightNorm(nn.Dense(v.shape[0], use_bias=False), epsilon=0.0)
    parameters = {"params": {"layer_instance": {"kernel": v.T}, "layer_instance/kernel/scale": s}}
    return module.apply(parameters, x)


def flax_attention(nn: Any, layer: Any, x: Any, w: Any, b: Any, u: Any, c: Any) -> Any:
    jnp = imported("jax.numpy")

    width = x.shape[-1]
    heads = (layer.heads, width // layer.heads)
    parameters: dict[str, Any] = {
        name: {"kernel": kernel.T.reshape(width, *heads), "bias": bias.reshape(heads)}
        for name, kernel, bias in zip(("query", "key", "value"), jnp.split(w, 3), jnp.split(b, 3), strict=True)
    }
    parameters["out"] = {"kernel": u.T.reshape(*heads, width), "bias": c}
    mask = nn.make_causal_mask(x[..., 0]) if layer.causal else None
    return nn.MultiHeadDotProductAttention(layer.heads).apply({"params": parameters}, x, mask=mask)


def flax_recurrent(nn: Any, cell: Any, parameters: Any, x: Any, states: int = 1) -> Any:
    """A cell along the first axis of x, from states of 0."""
    jnp = imported("jax.numpy")

    start = jnp.zeros((x.shape[1], cell.features), x.dtype)
    module = nn.RNN(cell, time_major=True)
    return module.apply({"params": {"cell": parameters}}, x, initial_carry=start if states == 1 else (start,) * states)


def gates(names: str, *arrays: Any) -> list[dict[str, Any]]:
    """The arrays of each gate: matrices as kernels, vectors as biases."""
    jnp = imported("jax.numpy")

    each = [jnp.split(x, len(names)) for x in arrays]
    return [{"kernel" if x.ndim > 1 else "bias": x.T for x in one} for one in zip(*each, strict=True)]


def flax_rnn(nn: Any, layer: Any, x: Any, w: Any, u: Any, b: Any, c: Any) -> Any:
    parameters = {"i": {"kernel": w.T, "bias": b + c}, "h": {"kernel": u.T}}
    return flax_recurrent(nn, nn.SimpleCell(u.shape[1]), parameters, x)


def flax_lstm(nn: Any, layer: Any, x: Any, w: Any, u: Any, b: Any, c: Any) -> Any:
    parameters = dict(zip(("ii", "if", "ig", "io"), gates("ifgo", w), strict=True))
    parameters |= dict(zip(("hi", "hf", "hg", "ho"), gates("ifgo", u, b + c), strict=True))
    return flax_recurrent(nn, nn.LSTMCell(u.shape[1]), parameters, x, 2)


def flax_gru(nn: Any, layer: Any, x: Any, w: Any, u: Any, b: Any, c: Any) -> Any:
    jnp = imported("jax.numpy")

    n = u.shape[1]
    both = jnp.concatenate([(b + c)[: 2 * n], b[2 * n :]])
    parameters = dict(zip(("ir", "iz", "in"), gates("rzn", w, both), strict=True))
    parameters |= dict(zip(("hr", "hz", "hn"), gates("rzn", u), strict=True))
    parameters["hn"] = parameters["hn"] | {"bias": c[2 * n :]}
    return flax_recurrent(nn, nn.GRUCell(n), parameters, x)


def window_of(layer: Any) -> tuple[Any, Any, Any]:
    """(window, strides, padding) of a pooling, for flax."""
    axes = layer.axes
    return (layer.size,) * axes, (layer.stride,) * axes, [(layer.padding, layer.padding)] * axes


def flax_max_pool(nn: Any, layer: Any, x: Any) -> Any:
    return first(nn.max_pool(last(x), *window_of(layer)))


def flax_average_pool(nn: Any, layer: Any, x: Any) -> Any:
    return first(nn.avg_pool(last(x), *window_of(layer), count_include_pad=layer.include_padding))


FLAX = {
    "dense": Spelling(flax_dense),
    "embedding": Spelling(flax_embedding, padding_idx=-1),
    "convolution": Spelling(flax_convolution, padding_mode="zeros"),
    "transposed_convolution": Spelling(flax_transposed, groups=1),
    "batch_norm": Spelling(flax_batch_norm),
    "batch_norm_evaluation": Spelling(flax_batch_norm_evaluation),
    "layer_norm_affine": Spelling(flax_layer_norm),
    "rms_norm_scaled": Spelling(flax_rms_norm),
    "group_norm": Spelling(flax_group_norm),
    "instance_norm": Spelling(flax_instance_norm),
    "weight_norm": Spelling(flax_weight_norm),
    "multi_head_attention": Spelling(flax_attention),
    "rnn": Spelling(flax_rnn, depth=1, both=False, packed=False),
    "lstm": Spelling(flax_lstm, depth=1, both=False, packed=False),
    "gru": Spelling(flax_gru, depth=1, both=False, packed=False),
    "max_pool": Spelling(flax_max_pool),
    "average_pool": Spelling(flax_average_pool),
}


def key() -> Any:
    """The key that modules of equinox are built with; their parameters are replaced."""
    jax = imported("jax")

    return jax.random.PRNGKey(0)


def with_arrays(eqx: Any, module: Any, **arrays: Any) -> Any:
    """A module with these parameters, by name; two underscores separate parts, and None is left out."""
    for path, x in arrays.items():
        if x is not None:
            module = eqx.tree_at(functools.partial(part, path.split("__")), module, x)
    return module


def part(path: list[str], module: Any) -> Any:
    return functools.reduce(getattr, path, module)


def each_row(function: Any, x: Any) -> Any:
    """A function of vectors, over all axes of x but the last."""
    jax = imported("jax")

    for _ in range(x.ndim - 1):
        function = jax.vmap(function)
    return function(x)


def equinox_dense(eqx: Any, layer: Any, x: Any, w: Any, b: Any = None) -> Any:
    module = eqx.nn.Linear(w.shape[1], w.shape[0], use_bias=b is not None, key=key())
    return each_row(with_arrays(eqx, module, weight=w, bias=b), x)


def equinox_embedding(eqx: Any, layer: Any, w: Any, index: Any) -> Any:
    return over(eqx.nn.Embedding(weight=w), index)


def over(function: Any, index: Any) -> Any:
    """A function of numbers, over all axes."""
    jax = imported("jax")

    for _ in range(index.ndim):
        function = jax.vmap(function)
    return function(index)


def bias_of(b: Any, axes: int) -> Any:
    return None if b is None else b.reshape(-1, *(1,) * axes)


def equinox_convolution(eqx: Any, layer: Any, x: Any, w: Any, b: Any = None) -> Any:
    jax = imported("jax")

    module = eqx.nn.Conv(
        layer.axes, x.shape[1], w.shape[0], w.shape[2:], layer.stride, layer.padding, layer.dilation, layer.groups,
        b is not None, layer.padding_mode.upper(), key=key(),
    )  # fmt: skip
    return jax.vmap(with_arrays(eqx, module, weight=w, bias=bias_of(b, layer.axes)))(x)


def equinox_transposed(eqx: Any, layer: Any, x: Any, w: Any, b: Any = None) -> Any:
    jax = imported("jax")

    groups, (inputs, each, *window) = layer.groups, w.shape
    module = eqx.nn.ConvTranspose(
        layer.axes, inputs, each * groups, tuple(window), layer.stride, layer.padding, layer.output_padding,
        layer.dilation, groups, b is not None, key=key(),
    )  # fmt: skip
    kernel = flipped(w).reshape(groups, inputs // groups, each, *window).swapaxes(1, 2)
    kernel = kernel.reshape(groups * each, inputs // groups, *window)
    return jax.vmap(with_arrays(eqx, module, weight=kernel, bias=bias_of(b, layer.axes)))(x)


def equinox_batch_norm(eqx: Any, layer: Any, x: Any, w: Any, b: Any) -> Any:
    jax = imported("jax")

    module, state = eqx.nn.make_with_state(eqx.nn.BatchNorm)(
        x.shape[1], "examples", layer.eps, mode="batch", dtype=x.dtype
    )
    module = with_arrays(eqx, module, weight=w, bias=b)
    return jax.vmap(module, axis_name="examples", in_axes=(0, None), out_axes=(0, None))(x, state)[0]


def equinox_layer_norm(eqx: Any, layer: Any, x: Any, w: Any, b: Any) -> Any:
    return each_row(with_arrays(eqx, eqx.nn.LayerNorm(x.shape[-1], layer.eps), weight=w, bias=b), x)


def equinox_rms_norm(eqx: Any, layer: Any, x: Any, w: Any) -> Any:
    return each_row(with_arrays(eqx, eqx.nn.RMSNorm(x.shape[-1], layer.eps, use_bias=False), weight=w), x)


def equinox_group_norm(eqx: Any, layer: Any, x: Any, w: Any, b: Any) -> Any:
    jax = imported("jax")

    module = eqx.nn.GroupNorm(layer.groups, x.shape[1], layer.eps)
    return jax.vmap(with_arrays(eqx, module, weight=w, bias=b))(x)


def equinox_weight_norm(eqx: Any, layer: Any, x: Any, v: Any, s: Any) -> Any:
    module = eqx.nn.WeightNorm(eqx.nn.Linear(v.shape[1], v.shape[0], use_bias=False, key=key()))
    return each_row(with_arrays(eqx, module, layer__weight=v, g=s.reshape(module.g.shape)), x)


def equinox_attention(eqx: Any, layer: Any, x: Any, w: Any, b: Any, u: Any, c: Any) -> Any:
    jax = imported("jax")

    module = eqx.nn.MultiheadAttention(
        layer.heads, x.shape[-1], use_query_bias=True, use_key_bias=True, use_value_bias=True, use_output_bias=True,
        key=key(),
    )  # fmt: skip
    named = {"output_proj__weight": u, "output_proj__bias": c}
    for name, weight, bias in zip(("query", "key", "value"), jax.numpy.split(w, 3), jax.numpy.split(b, 3), strict=True):
        named |= {f"{name}_proj__weight": weight, f"{name}_proj__bias": bias}
    module = with_arrays(eqx, module, **named)
    mask = jax.numpy.tril(jax.numpy.ones((x.shape[1],) * 2, bool)) if layer.causal else None
    return jax.vmap(lambda y: module(y, y, y, mask))(x)


def along_time(cell: Any, start: Any, output: Any, x: Any) -> Any:
    """A cell of vectors along the first axis of x, for each example."""
    jax = imported("jax")

    def step(state: Any, row: Any) -> Any:
        new = jax.vmap(cell)(row, state)
        return new, output(new)

    return jax.lax.scan(step, start, x)[1]


def equinox_lstm(eqx: Any, layer: Any, x: Any, w: Any, u: Any, b: Any, c: Any) -> Any:
    jnp = imported("jax.numpy")

    module = eqx.nn.LSTMCell(w.shape[1], u.shape[1], key=key())
    module = with_arrays(eqx, module, weight_ih=w, weight_hh=u, bias=b + c)
    start = jnp.zeros((x.shape[1], u.shape[1]), x.dtype)
    return along_time(module, (start, start), lambda state: state[0], x)


def equinox_gru(eqx: Any, layer: Any, x: Any, w: Any, u: Any, b: Any, c: Any) -> Any:
    jnp = imported("jax.numpy")

    n = u.shape[1]
    module = eqx.nn.GRUCell(w.shape[1], n, key=key())
    both = jnp.concatenate([(b + c)[: 2 * n], b[2 * n :]])
    module = with_arrays(eqx, module, weight_ih=w, weight_hh=u, bias=both, bias_n=c[2 * n :])
    return along_time(module, jnp.zeros((x.shape[1], n), x.dtype), lambda state: state, x)


def equinox_pool(kind: str, eqx: Any, layer: Any, x: Any) -> Any:
    jax = imported("jax")

    module = getattr(eqx.nn, f"{kind}{layer.axes}d")(layer.size, layer.stride, layer.padding)
    return jax.vmap(module)(x)


EQUINOX = {
    "dense": Spelling(equinox_dense),
    "embedding": Spelling(equinox_embedding, padding_idx=-1),
    "convolution": Spelling(equinox_convolution),
    "transposed_convolution": Spelling(equinox_transposed),
    "batch_norm": Spelling(equinox_batch_norm),
    "layer_norm_affine": Spelling(equinox_layer_norm),
    "rms_norm_scaled": Spelling(equinox_rms_norm),
    "group_norm": Spelling(equinox_group_norm),
    "weight_norm": Spelling(equinox_weight_norm),
    "multi_head_attention": Spelling(equinox_attention),
    "lstm": Spelling(equinox_lstm, depth=1, both=False, packed=False),
    "gru": Spelling(equinox_gru, depth=1, both=False, packed=False),
    "max_pool": Spelling(functools.partial(equinox_pool, "MaxPool")),
    "average_pool": Spelling(functools.partial(equinox_pool, "AvgPool"), include_padding=True),
}
