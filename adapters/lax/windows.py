"""Windows that slide over an array: pooling and convolution."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gradagree.adapters.lax.table import form, placed


def axis_places(n: int, window: int, stride: int, padding: Sequence[int], base: int, dilation: int) -> np.ndarray:
    """The entry that each position of a window along one axis covers, (windows, positions); -1 outside."""
    low, high = padding
    spread = (n - 1) * base + 1 if n else 0
    count = max((spread + low + high - (window - 1) * dilation - 1) // stride + 1, 0)
    at = np.arange(count)[:, None] * stride + np.arange(window) * dilation - low
    return np.where((at >= 0) & (at < spread) & (at % base == 0), at // base, -1)


def window_places(
    shape: Sequence[int], window: Sequence[int], strides: Sequence[int], padding: Sequence[Sequence[int]],
    base: Sequence[int], dilation: Sequence[int],
) -> np.ndarray:  # fmt: skip
    """The number of the entry under each position of each window, in the flattened array; -1 in the padding.

    Returns:
        Integers of shape (windows along each axis..., positions along each axis...).
    """
    rank = len(shape)
    places, outside = np.zeros((1,) * (2 * rank), dtype=np.int64), np.zeros((1,) * (2 * rank), dtype=bool)
    for k, values in enumerate(zip(shape, window, strides, padding, base, dilation, strict=True)):
        own = axis_places(*values)
        lined = [1] * (2 * rank)
        lined[k], lined[k + rank] = own.shape
        own = own.reshape(lined)
        places = places + own * int(np.prod(shape[k + 1 :]))
        outside = outside | (own < 0)
    return np.where(outside, -1, places)


def pooled(reduce: Callable[..., Any], neutral: Callable[[Any], float]) -> Callable[..., Any]:
    """A reduction over windows; positions in the padding do not count."""

    def at(params: dict[str, Any], operands: Sequence[Any]) -> Callable[..., Any] | None:
        x = operands[0]
        places = window_places(
            np.shape(x), params["window_dimensions"], params["window_strides"], params["padding"],
            params["base_dilation"], params["window_dilation"],
        )  # fmt: skip
        axes = tuple(range(np.ndim(x), 2 * np.ndim(x)))
        outside = places < 0
        fill = neutral(x)
        if fill != 0 and outside.all(axis=axes).any():
            return None
        kept = np.maximum(places, 0)

        def run(x: Any, *_: Any) -> Any:
            picked = np.ravel(x)[kept]
            return reduce(np.where(outside, fill, picked) if outside.any() else picked, axis=axes)

        return run

    return at


def beyond(x: Any) -> float:
    """A power of two above all magnitudes."""
    largest = float(np.max(np.abs(np.asarray(x, dtype=np.float64)), initial=1.0))
    return float(2.0 ** (np.ceil(np.log2(largest)) + 1)) if np.isfinite(largest) else np.inf


def total(x: Any, axis: tuple[int, ...]) -> Any:
    """The sum over the last axes, of which each partial sum may be stored."""
    lined = np.reshape(x, (*np.shape(x)[: -len(axis)], -1))
    return np.cumsum(lined, axis=-1)[..., -1]


placed("reduce_window_sum")(pooled(total, lambda x: 0.0))
placed("reduce_window_max")(pooled(np.max, lambda x: -beyond(x)))
placed("reduce_window_min")(pooled(np.min, beyond))


@form("conv_general_dilated")
def convolution(params: Any, x: Any, w: Any) -> Any:
    """One product of matrices for each group of features: the windows of x, times the kernel."""
    numbers = params["dimension_numbers"]
    x, w = np.transpose(x, numbers.lhs_spec), np.transpose(w, numbers.rhs_spec)
    groups, batches = params["feature_group_count"], params["batch_group_count"]
    if batches > 1:
        rows = np.shape(x)[0] // batches
        filters = np.shape(w)[0] // batches
        parts = [
            grouped(params, x[k * rows : (k + 1) * rows], w[k * filters : (k + 1) * filters], 1) for k in range(batches)
        ]
        found = np.concatenate(parts, axis=1)
    else:
        found = grouped(params, x, w, groups)
    return np.transpose(found, [int(k) for k in np.argsort(numbers.out_spec)])


def grouped(params: Any, x: Any, w: Any, groups: int) -> Any:
    """Batch, features, space; kernel as output features, input features, space."""
    batch, _, *space = np.shape(x)
    filters, own, *window = np.shape(w)
    places = window_places(
        space, window, params["window_strides"], params["padding"], params["lhs_dilation"], params["rhs_dilation"]
    )
    out = places.shape[: len(space)]
    windows, positions = int(np.prod(out)), int(np.prod(window))
    places = places.reshape(windows, positions)
    flat = np.reshape(x, (batch, groups, own, int(np.prod(space))))
    picked = flat[:, :, :, np.maximum(places, 0)]
    if (places < 0).any():
        picked = np.where(places < 0, 0.0, picked)
    left = np.reshape(np.transpose(picked, (0, 1, 3, 2, 4)), (batch, groups, windows, own * positions))
    right = np.swapaxes(np.reshape(w, (groups, filters // groups, own * positions)), -1, -2)
    found = np.swapaxes(left @ right, -1, -2)
    return np.reshape(found, (batch, filters, *out))
