"""Padding, interpolation, sampling at a grid, and pixel shuffle."""

from __future__ import annotations

import itertools
from typing import Any, Literal

import numpy as np

from gradagree.reference.layer import Layer
from gradagree.reference.layers.convolution import NUMPY_PADDING, pad_by_copies, pad_by_copies_vjp
from gradagree.reference.operations.primitive import midpoints
from gradagree.reference.operations.scatter import scatter_add
from gradagree.reference.operations.windows import spread_out

CUBIC = -0.75
"""The parameter of the cubic kernel (Keys 1981) in PyTorch."""


class Padding(Layer):
    """The last axes, padded on both sides with a constant, or with copies of entries."""

    axes: int = 2
    padding: int = 1
    padding_mode: Literal["constant", "reflect", "replicate", "circular"] = "constant"
    settings = ("padding_mode=reflect", "padding_mode=replicate", "padding_mode=circular", "axes=1,padding=2")

    def value(self, x: Any) -> Any:
        if self.padding_mode == "constant":
            return spread_out(x, [(self.padding, self.padding)] * self.axes, [1] * self.axes)
        return pad_by_copies(x, self.axes, self.padding, self.padding_mode)

    def vjp(self, g: Any, x: Any) -> tuple[Any]:
        if self.padding_mode == "constant":
            return (spread_out(g, [(-self.padding, -self.padding)] * self.axes, [1] * self.axes),)
        return (pad_by_copies_vjp(g, self.axes, self.padding, self.padding_mode),)

    def example(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return {"x": rng.standard_normal((2, 2, *(4, 3)[: self.axes]))}

    def torch(self, x, *, torch):
        return torch.nn.functional.pad(x, [self.padding] * (2 * self.axes), self.padding_mode)

    def jax(self, x, *, jax):
        widths = [(0, 0), (0, 0), *[(self.padding, self.padding)] * self.axes]
        return jax.numpy.pad(x, widths, mode=NUMPY_PADDING.get(self.padding_mode, "constant"))


def cubic_kernel(distance: np.ndarray) -> np.ndarray:
    """The weight of an entry at a distance below 2."""
    d = np.abs(distance)
    near = ((CUBIC + 2) * d - (CUBIC + 3)) * d * d + 1
    far = ((CUBIC * d - 5 * CUBIC) * d + 8 * CUBIC) * d - 4 * CUBIC
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))


def interpolation_matrix(n: int, m: int, mode: str, align_corners: bool) -> np.ndarray:
    """The weight of each of n entries in each of m new ones, of shape (m, n)."""
    at = np.arange(m) * (n - 1) / max(m - 1, 1) if align_corners else (np.arange(m) + 0.5) * n / m - 0.5
    found = np.zeros((m, n))
    if mode == "nearest":
        found[np.arange(m), np.arange(m) * n // m] = 1
        return found
    before = np.floor(at).astype(int)
    for k in range(-1, 3):
        distance = at - (before + k)
        weight = cubic_kernel(distance) if mode == "cubic" else np.maximum(1 - np.abs(distance), 0.0)
        np.add.at(found, (np.arange(m), np.clip(before + k, 0, n - 1)), weight)
    return found


class Interpolation(Layer):
    """Each of the last axes, resampled by a factor: sums of neighbours with the weights of the mode."""

    axes: int = 2
    factor: int = 2
    mode: Literal["nearest", "linear", "cubic"] = "linear"
    align_corners: bool = False
    settings = ("mode=nearest", "mode=cubic", "axes=1", "align_corners=True", "axes=3,mode=nearest")

    def _matrices(self, lengths: Any) -> list[np.ndarray]:
        return [interpolation_matrix(n, self.factor * n, self.mode, self.align_corners) for n in lengths]

    def value(self, x: Any) -> Any:
        for k, matrix in enumerate(self._matrices(np.shape(x)[2:]), 2):
            x = np.moveaxis(np.moveaxis(x, k, -1) @ matrix.T, -1, k)
        return x

    def vjp(self, g: Any, x: Any) -> tuple[Any]:
        for k, matrix in enumerate(self._matrices(np.shape(x)[2:]), 2):
            g = np.moveaxis(np.moveaxis(g, k, -1) @ matrix, -1, k)
        return (g,)

    def example(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return {"x": rng.standard_normal((2, 2, *(5, 3, 2)[: self.axes]))}

    def torch(self, x, *, torch):
        names = {"linear": ("linear", "bilinear", "trilinear"), "cubic": ("", "bicubic")}
        mode = "nearest" if self.mode == "nearest" else names[self.mode][self.axes - 1]
        corners = None if self.mode == "nearest" else self.align_corners
        return torch.nn.functional.interpolate(x, scale_factor=self.factor, mode=mode, align_corners=corners)


class GridSample(Layer):
    """x at the points of a grid, by bilinear weights; 0 outside.

    Shapes: x (examples, channels, rows, columns), grid (examples, points, 1, 2): coordinates (column, row) from -1 to
    1, which are the centres of the corner entries with align_corners, else their outer edges.
    """

    align_corners: bool = False
    settings = ("align_corners=True",)

    def _positions(self, x: Any, grid: Any) -> list[Any]:
        """(row, column) of each point, in entries."""
        found = []
        for axis, n in ((1, np.shape(x)[2]), (0, np.shape(x)[3])):
            z = grid[..., axis]
            found.append((z + 1) / 2 * (n - 1.0) if self.align_corners else ((z + 1) * n - 1) / 2)
        return found

    def _corners(self, x: Any, positions: list[Any]) -> list[tuple[np.ndarray, list[Any], list[float]]]:
        """For each of the four entries around a point: its place (-1: outside), weights and their derivatives."""
        rows, columns = np.shape(x)[2:]
        base = [np.floor(midpoints(z)).astype(int) for z in positions]
        found = []
        for step in itertools.product((0, 1), repeat=2):
            row, column = (b + s for b, s in zip(base, step, strict=True))
            inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
            place = np.where(inside, row * columns + column, -1)
            weights = [1 - (z - b) if s == 0 else z - b for z, b, s in zip(positions, base, step, strict=True)]
            found.append((place, weights, [-1.0 if s == 0 else 1.0 for s in step]))
        return found

    def _at(self, x: Any, place: np.ndarray) -> Any:
        """The entries of every channel at a place of each point; 0 outside."""
        n, channels = np.shape(x)[:2]
        start = np.arange(n * channels).reshape(n, channels, 1, 1) * np.shape(x)[2] * np.shape(x)[3]
        taken = np.reshape(x, (-1,))[start + np.maximum(place, 0)[:, None]]
        return np.where(place[:, None] >= 0, taken, 0.0)

    def value(self, x: Any, grid: Any) -> Any:
        total: Any = 0.0
        for place, (by_row, by_column), _ in self._corners(x, self._positions(x, grid)):
            total = total + self._at(x, place) * (by_row * by_column)[:, None]
        return total

    def vjp(self, g: Any, x: Any, grid: Any) -> tuple[Any, Any]:
        n, channels, rows, columns = np.shape(x)
        start = np.arange(n * channels).reshape(n, channels, 1, 1) * rows * columns
        by_x: Any = 0.0
        by_row: Any = 0.0
        by_column: Any = 0.0
        for place, (row, column), (row_sign, column_sign) in self._corners(x, self._positions(x, grid)):
            everywhere = np.where(place[:, None] >= 0, start + place[:, None], -1)
            by_x = by_x + scatter_add(g * (row * column)[:, None], everywhere, np.shape(x))
            dot = np.sum(g * self._at(x, place), axis=1)
            by_row = by_row + dot * (row_sign * column)
            by_column = by_column + dot * (column_sign * row)
        scales = [(m - 1) / 2 if self.align_corners else m / 2 for m in (columns, rows)]
        return by_x, np.stack([by_column * scales[0], by_row * scales[1]], axis=-1)

    def example(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return {"x": rng.standard_normal((2, 2, 3, 4)), "grid": rng.uniform(-1.25, 1.25, (2, 5, 1, 2))}

    def torch(self, x, grid, *, torch):
        return torch.nn.functional.grid_sample(x, grid, align_corners=self.align_corners)


class PixelShuffle(Layer):
    """Blocks of factor^2 channels as images that are larger by the factor (Shi et al. 2016)."""

    factor: int = 2

    def value(self, x: Any) -> Any:
        n, channels, rows, columns = np.shape(x)
        r = self.factor
        split = np.reshape(x, (n, channels // r**2, r, r, rows, columns))
        return np.reshape(np.transpose(split, (0, 1, 4, 2, 5, 3)), (n, channels // r**2, rows * r, columns * r))

    def vjp(self, g: Any, x: Any) -> tuple[Any]:
        n, channels, rows, columns = np.shape(x)
        r = self.factor
        split = np.reshape(g, (n, channels // r**2, rows, r, columns, r))
        return (np.reshape(np.transpose(split, (0, 1, 3, 5, 2, 4)), np.shape(x)),)

    def example(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return {"x": rng.standard_normal((2, 8, 3, 2))}

    def torch(self, x, *, torch):
        return torch.nn.functional.pixel_shuffle(x, self.factor)

    def jax(self, x, *, jax):
        n, channels, rows, columns = x.shape
        r = self.factor
        split = x.reshape(n, channels // r**2, r, r, rows, columns).transpose(0, 1, 4, 2, 5, 3)
        return split.reshape(n, channels // r**2, rows * r, columns * r)
