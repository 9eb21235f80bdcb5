"""Pooling over sliding and adaptive windows, and unpooling."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gradagree.reference.layer import Layer
from gradagree.reference.operations.scatter import scatter_add
from gradagree.reference.operations.windows import spread_out, windows


def window_places(lengths: Any, size: int, stride: int, padding: int) -> np.ndarray:
    """The places of the entries of each window among the flattened last axes, of shape (*windows, entries); -1: zeros.

    Example:
        >>> window_places((4,), 2, 2, 0).tolist()
        [[0, 1], [2, 3]]
    """
    axes = len(lengths)
    numbers = np.arange(math.prod(lengths)).reshape(lengths)
    padded = spread_out(numbers, [(padding, padding)] * axes, [1] * axes, value=-1).astype(int)
    seen = windows(padded, [size] * axes, [stride] * axes, [1] * axes)
    return np.asarray(seen.reshape(*seen.shape[:axes], -1))


def adaptive_places(lengths: Any, outputs: Any) -> np.ndarray:
    """As `window_places`: window i of m goes from floor(i n / m) to ceil((i + 1) n / m); -1 fills up."""
    axes = len(lengths)
    places: Any = np.zeros((1,) * (2 * axes), dtype=int)
    inside: Any = np.ones((1,) * (2 * axes), dtype=bool)
    for k, (n, m) in enumerate(zip(lengths, outputs, strict=True)):
        starts, ends = np.arange(m) * n // m, -(-(np.arange(m) + 1) * n // m)
        entries = starts[:, None] + np.arange(max(ends - starts))
        shape = [1] * (2 * axes)
        shape[k], shape[axes + k] = entries.shape
        places = places + (np.minimum(entries, n - 1) * math.prod(lengths[k + 1 :])).reshape(shape)
        inside = inside & (entries < ends[:, None]).reshape(shape)
    found = np.where(inside, places, -1)
    return np.asarray(found.reshape(*found.shape[:axes], -1))


def taken(x: Any, places: np.ndarray, fill: float = 0.0) -> Any:
    """The entries of the windows over the last axes; fill where a place is -1."""
    axes = places.ndim - 1
    lead = np.shape(x)[: np.ndim(x) - axes]
    flat = np.reshape(x, (*lead, -1))[..., np.maximum(places, 0)]
    return flat if (places >= 0).all() else np.where(places >= 0, flat, fill)


def taken_vjp(g: Any, places: np.ndarray, shape: Any) -> Any:
    """The cotangent of x from that of the entries of its windows: each entry has the sum over its windows."""
    lengths = shape[len(shape) - places.ndim + 1 :]
    images, size = math.prod(shape) // math.prod(lengths), math.prod(lengths)
    start = size * np.arange(images).reshape(images, *[1] * places.ndim)
    everywhere = np.where(places >= 0, start + places, -1)
    return scatter_add(np.reshape(g, everywhere.shape), everywhere, shape)


def largest_vjp(g: Any, x: Any, places: np.ndarray) -> Any:
    """The cotangent of x of the largest entry of each window: that entry has it."""
    seen = taken(x, places, -np.inf)
    chosen = np.arange(places.shape[-1]) == np.asarray(np.argmax(seen, axis=-1))[..., None]
    return taken_vjp(np.where(chosen, np.expand_dims(g, -1), 0.0), places, np.shape(x))


class MaxPool(Layer):
    """The largest entry of each window; padding never is."""

    axes: int = 2
    size: int = 2
    stride: int = 2
    padding: int = 0
    settings = ("axes=1,size=3", "size=3,stride=2,padding=1", "axes=3", "size=3,stride=1")

    def _places(self, x: Any) -> np.ndarray:
        return window_places(np.shape(x)[np.ndim(x) - self.axes :], self.size, self.stride, self.padding)

    def value(self, x: Any) -> Any:
        return np.max(taken(x, self._places(x), -np.inf), axis=-1)

    def vjp(self, g: Any, x: Any) -> tuple[Any]:
        return (largest_vjp(g, x, self._places(x)),)

    def example(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return {"x": rng.standard_normal((2, 2, *(6, 5, 4)[: self.axes]))}

    def torch(self, x, *, torch):
        return getattr(torch.nn.functional, f"max_pool{self.axes}d")(x, self.size, self.stride, self.padding)

    def jax(self, x, *, jax):
        each, widths = [1, 1], [(0, 0), (0, 0), *[(self.padding, self.padding)] * self.axes]
        sizes, strides = (each + [n] * self.axes for n in (self.size, self.stride))
        return jax.lax.reduce_window(x, -jax.numpy.inf, jax.lax.max, sizes, strides, widths)


class AveragePool(Layer):
    """The mean of each window; with include_padding, the zeros of the padding count as entries."""

    axes: int = 2
    size: int = 2
    stride: int = 2
    padding: int = 0
    include_padding: bool = True
    settings = ("axes=1,size=3", "size=3,padding=1", "size=3,padding=1,include_padding=False", "axes=3")

    def _places(self, x: Any) -> np.ndarray:
        return window_places(np.shape(x)[np.ndim(x) - self.axes :], self.size, self.stride, self.padding)

    def _counts(self, places: np.ndarray) -> Any:
        return float(places.shape[-1]) if self.include_padding else np.sum(places >= 0, axis=-1).astype(float)

    def value(self, x: Any) -> Any:
        places = self._places(x)
        return np.sum(taken(x, places), axis=-1) / self._counts(places)

    def vjp(self, g: Any, x: Any) -> tuple[Any]:
        places = self._places(x)
        shared = np.expand_dims(g / self._counts(places), -1)
        return (taken_vjp(np.broadcast_to(shared, (*np.shape(g), places.shape[-1])), places, np.shape(x)),)

    def example(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return {"x": rng.standard_normal((2, 2, *(6, 5, 4)[: self.axes]))}

    def torch(self, x, *, torch):
        pool = getattr(torch.nn.functional, f"avg_pool{self.axes}d")
        return pool(x, self.size, self.stride, self.padding, count_include_pad=self.include_padding)

    def jax(self, x, *, jax):
        each, widths = [1, 1], [(0, 0), (0, 0), *[(self.padding, self.padding)] * self.axes]
        sizes, strides = (each + [n] * self.axes for n in (self.size, self.stride))

        def summed(z):
            return jax.lax.reduce_window(z, 0.0, jax.lax.add, sizes, strides, widths)

        count = self.size**self.axes if self.include_padding else summed(jax.numpy.ones_like(x))
        return summed(x) / count


class _AdaptivePool(Layer):
    """Pooling over a given number of windows that divide every axis."""

    axes: int = 2
    outputs: int = 3
    settings = ("axes=1,outputs=4", "outputs=1", "axes=3,outputs=2")

    def _places(self, x: Any) -> np.ndarray:
        return adaptive_places(np.shape(x)[np.ndim(x) - self.axes :], [self.outputs] * self.axes)

    def example(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return {"x": rng.standard_normal((2, 2, *(7, 5, 4)[: self.axes]))}


class AdaptiveAveragePool(_AdaptivePool):
    """The mean of each of m windows that divide every axis: window i from floor(i n / m) to ceil((i + 1) n / m)."""

    def value(self, x: Any) -> Any:
        places = self._places(x)
        return np.sum(taken(x, places), axis=-1) / np.sum(places >= 0, axis=-1).astype(float)

    def vjp(self, g: Any, x: Any) -> tuple[Any]:
        places = self._places(x)
        shared = np.expand_dims(g / np.sum(places >= 0, axis=-1).astype(float), -1)
        return (taken_vjp(np.broadcast_to(shared, (*np.shape(g), places.shape[-1])), places, np.shape(x)),)

    def torch(self, x, *, torch):
        return getattr(torch.nn.functional, f"adaptive_avg_pool{self.axes}d")(x, self.outputs)


class AdaptiveMaxPool(_AdaptivePool):
    """The largest entry of each of outputs windows that divide every axis."""

    def value(self, x: Any) -> Any:
        return np.max(taken(x, self._places(x), -np.inf), axis=-1)

    def vjp(self, g: Any, x: Any) -> tuple[Any]:
        return (largest_vjp(g, x, self._places(x)),)

    def torch(self, x, *, torch):
        return getattr(torch.nn.functional, f"adaptive_max_pool{self.axes}d")(x, self.outputs)


class LpPool(Layer):
    """(sum of x^2 over each window)^(1/2)."""

    axes: int = 2
    size: int = 2
    stride: int = 2
    settings = ("axes=1,size=3",)

    def _places(self, x: Any) -> np.ndarray:
        return window_places(np.shape(x)[np.ndim(x) - self.axes :], self.size, self.stride, 0)

    def value(self, x: Any) -> Any:
        seen = taken(x, self._places(x))
        return np.sqrt(np.sum(seen * seen, axis=-1))

    def vjp(self, g: Any, x: Any) -> tuple[Any]:
        places = self._places(x)
        share = np.expand_dims(g / self.value(x), -1)  # dy/dx = x / y
        return (taken_vjp(share * taken(x, places), places, np.shape(x)),)

    def example(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return {"x": rng.standard_normal((2, 2, *(6, 4)[: self.axes]))}

    def torch(self, x, *, torch):
        return getattr(torch.nn.functional, f"lp_pool{self.axes}d")(x, 2.0, self.size, self.stride)


class MaxUnpool(Layer):
    """The entries of x at their places in an array of zeros: the inverse of a pooling by maxima without overlap."""

    size: int = 2

    def _places(self, x: Any, index: Any) -> np.ndarray:
        """The place of each entry in the flattened result."""
        n, channels, *lengths = np.shape(x)
        image = math.prod(lengths) * self.size ** len(lengths)
        start = image * np.arange(n * channels).reshape(n, channels, *[1] * len(lengths))
        return start + np.asarray(index)

    def value(self, x: Any, index: Any) -> Any:
        shape = (*np.shape(x)[:2], *(self.size * n for n in np.shape(x)[2:]))
        return scatter_add(x, self._places(x, index), shape)

    def vjp(self, g: Any, x: Any, index: Any) -> tuple[Any, None]:
        return np.reshape(g, (-1,))[self._places(x, index)], None

    def example(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        x = rng.standard_normal((2, 2, 3, 2))
        row, column = np.indices((3, 2))
        inside = rng.integers(0, 2, (2, *x.shape))
        return {"x": x, "index": (2 * row + inside[0]) * 4 + 2 * column + inside[1]}

    def torch(self, x, index, *, torch):
        return torch.nn.functional.max_unpool2d(x, index, self.size)

    def jax(self, x, index, *, jax):
        n, channels, rows, columns = x.shape
        zeros = jax.numpy.zeros((n * channels, rows * columns * self.size**2), x.dtype)
        places = index.reshape(n * channels, -1)
        found = jax.vmap(lambda z, p, v: z.at[p].add(v))(zeros, places, x.reshape(n * channels, -1))
        return found.reshape(n, channels, rows * self.size, columns * self.size)
