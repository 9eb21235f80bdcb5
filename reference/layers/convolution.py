"""Convolution and transposed convolution in any number of dimensions."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from gradagree.reference.layer import Layer
from gradagree.reference.operations.moves import moved
from gradagree.reference.operations.windows import convolution, spread_out, windows

NUMPY_PADDING = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}
"""NumPy's names of the ways to pad, which JAX shares; the keys are PyTorch's."""


def padded_places(n: int, padding: int, mode: str) -> np.ndarray:
    """The place that each entry of a padded axis is a copy of."""
    return np.pad(np.arange(n), padding, mode=NUMPY_PADDING[mode])  # type: ignore[call-overload]


def pad_by_copies(x: Any, axes: int, padding: int, mode: str) -> Any:
    """The last axes of an array, padded on both sides with copies of its entries."""
    for axis in range(np.ndim(x) - axes, np.ndim(x)):
        x = np.take(x, padded_places(np.shape(x)[axis], padding, mode), axis=axis)
    return x


def pad_by_copies_vjp(g: Any, axes: int, padding: int, mode: str) -> Any:
    """The cotangents of the copies of an entry, added up."""
    for axis in range(np.ndim(g) - axes, np.ndim(g)):
        shape = list(np.shape(g))
        shape[axis] -= 2 * padding
        places = padded_places(shape[axis], padding, mode)
        (g,) = moved(np.take)(g, None, np.empty(shape), places, axis=axis)[:1]
    return g


def exchanged(w: Any, groups: int) -> Any:
    """Weights with inputs and outputs of each group exchanged, and with their spatial axes reversed."""
    outputs, inputs, *sizes = np.shape(w)
    grouped = np.reshape(w, (groups, outputs // groups, inputs, *sizes))
    swapped = np.reshape(np.swapaxes(grouped, 1, 2), (groups * inputs, outputs // groups, *sizes))
    return np.flip(swapped, axis=tuple(range(2, 2 + len(sizes))))


def transposed_convolution(
    x: Any, w: Any, stride: int, widths: list[tuple[int, int]], dilation: int, groups: int
) -> Any:
    """The transpose of `convolution` with weights w, whose outputs are the channels of x; widths are zeros around x."""
    axes = np.ndim(x) - 2
    return convolution(
        x, exchanged(w, groups), [1] * axes, widths, [dilation] * axes, groups, gaps=[stride] * axes
    )  # fmt: skip


def in_one_sum(x: Any, w: Any, b: Any, stride: int, dilation: int, groups: int) -> Any:
    """The convolution of padded inputs, with the bias as a term of the sum, which a program may begin with.

    Each group has one more channel, of ones, whose weights are the bias and zeros.
    """
    (n, channels, *lengths), (outputs, own, *sizes) = np.shape(x), np.shape(w)
    each = [1] * len(sizes)
    grouped = np.reshape(x, (n, groups, channels // groups, *lengths))
    grouped = np.concatenate([grouped, np.ones((n, groups, 1, *lengths))], axis=2)
    first = np.zeros(sizes)
    first[(0,) * len(sizes)] = 1.0
    weights = np.concatenate([w, np.reshape(b, (outputs, 1, *each)) * first], axis=1)
    with_ones = np.reshape(grouped, (n, groups * (own + 1), *lengths))
    return convolution(
        with_ones, weights, [stride] * len(sizes), [(0, 0)] * len(sizes), [dilation] * len(sizes), groups
    )  # fmt: skip


def weights_vjp(g: Any, x: Any, sizes: Any, stride: int, dilation: int, groups: int) -> Any:
    """sum over n and i of g[n, o, i] x[n, c, stride i + dilation k], of padded inputs x."""
    axes = len(sizes)
    counts = np.shape(g)[2:]
    seen = windows(x, counts, [dilation] * axes, [stride] * axes)
    seen = seen[(slice(None), slice(None), *(slice(0, k) for k in sizes))]
    n, channels, outputs = np.shape(x)[0], np.shape(x)[1], np.shape(g)[1]
    seen = np.reshape(seen, (n, groups, channels // groups, math.prod(sizes), math.prod(counts)))
    found = np.einsum(
        "ngom,ngckm->gock", np.reshape(g, (n, groups, outputs // groups, math.prod(counts))), seen
    )  # fmt: skip
    return np.reshape(found, (outputs, channels // groups, *sizes))


class Convolution(Layer):
    """y[n, o, i] = b_o + sum over c and k of w[o, c, k] x[n, c, stride i + dilation k], x padded on both sides."""

    axes: int = 2
    stride: int = 1
    padding: int = 0
    padding_mode: Literal["zeros", "reflect", "replicate", "circular"] = "zeros"
    dilation: int = 1
    groups: int = 1
    bias: bool = True
    settings = (
        "axes=1,stride=2,padding=1", "stride=2,padding=1,bias=False", "groups=2,dilation=2", "padding=1,groups=2",
        "padding=2,padding_mode=reflect", "padding=1,padding_mode=replicate", "padding=1,padding_mode=circular",
        "axes=3,padding=1",
    )  # fmt: skip

    def _padded(self, x: Any) -> Any:
        if self.padding_mode == "zeros":
            return spread_out(x, [(self.padding, self.padding)] * self.axes, [1] * self.axes)
        return pad_by_copies(x, self.axes, self.padding, self.padding_mode)

    def value(self, x: Any, w: Any, b: Any = None) -> Any:
        each = [1] * self.axes
        y = convolution(
            self._padded(x), w, [self.stride] * self.axes, [(0, 0)] * self.axes, [self.dilation] * self.axes,
            self.groups,
        )  # fmt: skip
        return y if b is None else y + np.reshape(b, (-1, *each))

    def other_value(self, x: Any, w: Any, b: Any = None) -> Any:
        return None if b is None else in_one_sum(self._padded(x), w, b, self.stride, self.dilation, self.groups)

    def vjp(self, g: Any, x: Any, w: Any, b: Any = None) -> tuple[Any, ...]:
        sizes, padded = np.shape(w)[2:], self._padded(x)
        widths = []
        for n, m, k in zip(np.shape(padded)[2:], np.shape(g)[2:], sizes, strict=True):
            before = self.dilation * (k - 1)
            widths.append((before, n - self.stride * (m - 1) - 1))
        by_padded = transposed_convolution(g, w, self.stride, widths, self.dilation, self.groups)
        if self.padding_mode == "zeros":
            by_x = spread_out(by_padded, [(-self.padding, -self.padding)] * self.axes, [1] * self.axes)
        else:
            by_x = pad_by_copies_vjp(by_padded, self.axes, self.padding, self.padding_mode)
        by_w = weights_vjp(g, padded, sizes, self.stride, self.dilation, self.groups)
        return (by_x, by_w) if b is None else (by_x, by_w, np.sum(g, axis=(0, *range(2, np.ndim(g)))))

    def example(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        lengths = (6, 5, 4)[: self.axes]
        found = {
            "x": rng.standard_normal((2, 4, *lengths)),
            "w": rng.standard_normal((6, 4 // self.groups, *(3, 2, 3)[: self.axes])),
        }
        return found | ({"b": rng.standard_normal(6)} if self.bias else {})

    def torch(self, x, w, b=None, *, torch):
        functional = torch.nn.functional
        padding = self.padding
        if self.padding_mode != "zeros":
            x, padding = functional.pad(x, [self.padding] * (2 * self.axes), self.padding_mode), 0
        convolve = getattr(functional, f"conv{self.axes}d")
        return convolve(x, w, b, self.stride, padding, self.dilation, self.groups)

    def jax(self, x, w, b=None, *, jax):
        widths = [(self.padding, self.padding)] * self.axes
        if self.padding_mode != "zeros":
            x = jax.numpy.pad(x, [(0, 0), (0, 0), *widths], mode=NUMPY_PADDING[self.padding_mode])
            widths = [(0, 0)] * self.axes
        y = jax.lax.conv_general_dilated(
            x, w, [self.stride] * self.axes, widths, rhs_dilation=[self.dilation] * self.axes,
            feature_group_count=self.groups,
        )  # fmt: skip
        return y if b is None else y + b.reshape(-1, *[1] * self.axes)


class TransposedConvolution(Layer):
    """The transpose of a convolution: y[n, o, stride i + dilation k - padding] adds w[c, o, k] x[n, c, i], and b_o."""

    axes: int = 2
    stride: int = 1
    padding: int = 0
    output_padding: int = 0
    dilation: int = 1
    groups: int = 1
    bias: bool = True
    settings = (
        "axes=1,stride=2,padding=1,output_padding=1", "stride=2,padding=1", "groups=2,dilation=2,bias=False",
        "axes=3,stride=2",
    )  # fmt: skip

    def _widths(self, sizes: Any) -> list[tuple[int, int]]:
        """Zeros before and after the spread inputs, along each spatial axis."""
        edges = [self.dilation * (k - 1) - self.padding for k in sizes]
        return [(edge, edge + self.output_padding) for edge in edges]

    def value(self, x: Any, w: Any, b: Any = None) -> Any:
        y = transposed_convolution(x, w, self.stride, self._widths(np.shape(w)[2:]), self.dilation, self.groups)
        return y if b is None else y + np.reshape(b, (-1, *[1] * self.axes))

    def other_value(self, x: Any, w: Any, b: Any = None) -> Any:
        if b is None:
            return None
        spread = spread_out(x, self._widths(np.shape(w)[2:]), [self.stride] * self.axes)
        return in_one_sum(spread, exchanged(w, self.groups), b, 1, self.dilation, self.groups)

    def vjp(self, g: Any, x: Any, w: Any, b: Any = None) -> tuple[Any, ...]:
        each, sizes = [1] * self.axes, np.shape(w)[2:]
        padded = spread_out(g, [(self.padding, self.padding)] * self.axes, each)
        used = [
            self.stride * (n - 1) + self.dilation * (k - 1) + 1 for n, k in zip(np.shape(x)[2:], sizes, strict=True)
        ]
        padded = padded[(slice(None), slice(None), *(slice(0, n) for n in used))]
        by_x = convolution(
            padded, w, [self.stride] * self.axes, [(0, 0)] * self.axes, [self.dilation] * self.axes, self.groups
        )  # fmt: skip
        by_w = weights_vjp(x, padded, sizes, self.stride, self.dilation, self.groups)
        return (by_x, by_w) if b is None else (by_x, by_w, np.sum(g, axis=(0, *range(2, np.ndim(g)))))

    def example(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        found = {
            "x": rng.standard_normal((2, 4, *(4, 3, 3)[: self.axes])),
            "w": rng.standard_normal((4, 6 // self.groups, *(3, 2, 3)[: self.axes])),
        }
        return found | ({"b": rng.standard_normal(6)} if self.bias else {})

    def torch(self, x, w, b=None, *, torch):
        convolve = getattr(torch.nn.functional, f"conv_transpose{self.axes}d")
        return convolve(x, w, b, self.stride, self.padding, self.output_padding, self.groups, self.dilation)

    def jax(self, x, w, b=None, *, jax):
        inputs, outputs, *sizes = w.shape
        grouped = w.reshape(self.groups, inputs // self.groups, outputs, *sizes).swapaxes(1, 2)
        flipped = grouped.reshape(self.groups * outputs, inputs // self.groups, *sizes)
        flipped = jax.numpy.flip(flipped, axis=tuple(range(2, 2 + self.axes)))
        y = jax.lax.conv_general_dilated(
            x, flipped, [1] * self.axes, self._widths(sizes), lhs_dilation=[self.stride] * self.axes,
            rhs_dilation=[self.dilation] * self.axes, feature_group_count=self.groups,
        )  # fmt: skip
        return y if b is None else y + b.reshape(-1, *[1] * self.axes)
