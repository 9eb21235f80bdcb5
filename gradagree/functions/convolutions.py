"""Large convolutions, entry by entry: the products of matrices that they are, image by image.

The value is that of the windows of an image, as rows, and the kernels, as columns; the gradient of the kernels is that
of the cotangents of all images and their windows. An entry of the gradient of the images is a sum over the kernel's
positions that reach it: with stride s, the positions of each remainder by s are a product of their own (Dumoulin and
Visin, A guide to convolution arithmetic for deep learning, 2016).
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from gradagree.adapters.operations import ConvolutionForm
from gradagree.arithmetic.model import OWN, Model
from gradagree.checker.verdict import Verdict
from gradagree.functions.judge import ArrayFinding
from gradagree.functions.products import (
    Norms,
    Tally,
    check_slab,
    norms,
    parts,
    scales,
    slab_of,
    whole_slab,
    worst_entry,
)

ENTRIES = 1 << 22
"""Entries of the windows of all images that are kept at once."""


class Product(NamedTuple):
    """A product of matrices that is a part of an array: left @ right (+ addend) = observed.

    right: Makes the right factor. row_norms: Norms and largest magnitudes of the rows of left. column_norms: Those of
    the columns of right. value: The product, if it has been computed in another way.
    """

    left: np.ndarray
    right: Callable[[], np.ndarray]
    addend: np.ndarray | None
    observed: np.ndarray
    row_norms: Norms
    column_norms: Norms
    value: np.ndarray | None = None

    def compare(self, model: Model, tally: Tally) -> ArrayFinding | None:
        """Compare it, and tell the tally; None for one with an entry beyond its tolerance."""
        bounds = scales(self.left.shape[1], *self.row_norms, *self.column_norms, model)
        if bounds is None:
            tally.finite = False
            return None
        if self.value is None:
            slab = whole_slab(self.left, self.right(), bounds)
        else:
            value = self.value
            slab = slab_of(bounds, lambda down: value[down].copy())
        check_slab(slab, self.addend, self.observed, model, tally)
        return tally.finding()


Make = Callable[[np.ndarray], Iterator[Product | None]]
"""Makes the products of which an array consists; None where it is not one."""


def check_products(make: Make, observed: np.ndarray, model: Model) -> ArrayFinding | None:
    """The finding of an array that consists of products; None if another judgement must decide.

    Args:
        make: Takes an array of the shape of the observed one.
        observed: The framework's array.
        model: The rounding model.
    """
    whole, failing = Tally(), None
    for number, product in enumerate(make(observed)):
        if product is None:
            return None
        part = Tally()
        if product.compare(model, part) is None:
            if not (part.finite and part.worst > 1) or product.addend is not None:
                return None
            found = worst_entry(product.left, product.right(), product.observed, part, model)
            if not (found.verdict.fails or found.verdict is Verdict.AGREE):
                return None
            if found.verdict.fails and (failing is None or found.ratio > failing.ratio):
                failing = found._replace(entry=place_of(make, observed.shape, number, part.entry))
            part.worst = found.ratio
        whole.merge(part)
    return failing or whole.finding()


def place_of(make: Make, shape: tuple[int, ...], number: int, entry: tuple[int, ...]) -> tuple[int, ...]:
    """Where in an array an entry of one of its products is."""
    places = np.arange(math.prod(shape)).reshape(shape)
    products = (product for product in make(places) if product is not None)
    product = next(itertools.islice(products, number, None))
    return tuple(int(k) for k in np.unravel_index(int(product.observed[entry]), shape))


class WindowAxis(NamedTuple):
    """How windows lie along one axis of padded images: position p and tap t have entry start + p step + t apart."""

    start: int
    positions: int
    step: int
    taps: int
    apart: int


class ImageWindows:
    """The windows of images (n, channels, *shape), padded with zeros.

    Args:
        images: The images.
        padding: Zeros before and after, for each axis.
        axes: How the windows lie.
    """

    def __init__(self, images: np.ndarray, padding: Sequence[tuple[int, int]], axes: Sequence[WindowAxis]) -> None:
        self.axes = axes
        self.images = images
        if any(map(any, padding)):
            self.images = np.pad(self.images, [(0, 0), (0, 0), *padding])

    def view(self, images: np.ndarray) -> np.ndarray:
        """The windows of some images (n, channels, *shape), as (n, channels, *taps, *positions), without a copy."""
        every: Any = (..., *(slice(one.start, None) for one in self.axes))
        starts = images[every]
        taps, positions = [one.taps for one in self.axes], [one.positions for one in self.axes]
        strides = images.strides[2:]
        apart = [s * one.apart for s, one in zip(strides, self.axes, strict=True)]
        steps = [s * one.step for s, one in zip(strides, self.axes, strict=True)]
        return np.lib.stride_tricks.as_strided(
            starts, (*images.shape[:2], *taps, *positions), (*images.strides[:2], *apart, *steps), writeable=False
        )

    def columns(self, n: int) -> np.ndarray:
        """The windows of one image as columns: (channels x taps, positions)."""
        return self.matrix(self.images[n : n + 1])

    def matrix(self, images: np.ndarray) -> np.ndarray:
        """(channels x taps, images x positions)."""
        size = images.shape[1] * math.prod(one.taps for one in self.axes)
        images = np.asarray(images, dtype=np.float64)
        return np.moveaxis(self.view(images), 0, 1 + len(self.axes)).reshape(size, -1)

    def norms(self, n: int) -> Norms:
        """Norms and largest magnitudes of the windows of one image, from those of all channels at each position."""
        image = self.images[n].astype(np.float64)
        terms = len(image) * math.prod(one.taps for one in self.axes)
        squares = self.matrix(np.einsum("c...,c...->...", image, image)[None, None]).sum(axis=0)
        largest = self.matrix(np.max(np.abs(image), axis=0)[None, None]).max(axis=0)
        return np.sqrt(squares) * (1 + terms * OWN), largest.astype(np.float64)


def windows_of(
    images: np.ndarray, kernel: Sequence[int], outputs: Sequence[int], form: ConvolutionForm
) -> ImageWindows:
    """The windows that a convolution sees: one for each output."""
    sizes = zip(outputs, form.stride, kernel, form.dilation, strict=True)
    return ImageWindows(images, form.padding, [WindowAxis(0, *size) for size in sizes])


def value_products(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, observed: np.ndarray, form: ConvolutionForm
) -> Iterator[Product]:
    """Each image and group: (outputs, channels x kernel) @ (channels x kernel, windows)."""
    groups = zip(*map(form.split, (x, w, observed), (1, 0, 1)), strict=True)
    for k, (images, kernels, y) in enumerate(groups):
        count = len(kernels)
        left = kernels.reshape(count, -1).astype(np.float64)
        of_rows, windows = norms(left, 1), windows_of(images, w.shape[2:], y.shape[2:], form)
        addend = None if b is None else b[k * count : (k + 1) * count, None]
        for n in range(len(x)):
            right = functools.partial(windows.columns, n)
            yield Product(left, right, addend, y[n].reshape(count, -1), of_rows, windows.norms(n))


def weight_products(x: np.ndarray, g: np.ndarray, observed: np.ndarray, form: ConvolutionForm) -> Iterator[Product]:
    """Some channels of each group: (outputs, images x windows) @ (images x windows, channels x kernel)."""
    kernel = observed.shape[2:]
    size = len(x) * math.prod(g.shape[2:]) * math.prod(kernel)
    for images, cotangents, y in zip(*map(form.split, (x, g, observed), (1, 1, 0)), strict=True):
        left = np.moveaxis(cotangents, 1, 0).astype(np.float64, order="C").reshape(len(y), -1)
        of_rows, windows = norms(left, 1), windows_of(images, kernel, g.shape[2:], form)
        for some in parts(images.shape[1], max(1, ENTRIES // size)):
            right = windows.matrix(windows.images[:, some]).T
            seen = y[:, some].reshape(len(y), -1)
            yield Product(left, lambda right=right: right, None, seen, of_rows, norms(right, 0))  # type: ignore[misc]


class Phase(NamedTuple):
    """Positions along one axis with one remainder by the stride, and the taps of the kernel that reach them.

    axis: How the outputs lie that meet there, the last tap first. padding: Zeros before and after the outputs.
    """

    positions: slice
    taps: slice
    axis: WindowAxis
    padding: tuple[int, int]


def phases(n: int, outputs: int, kernel: int, stride: int, padding: Sequence[int], dilation: int) -> list[Phase]:
    """Output o and tap k reach position o stride + k dilation - padding."""
    found = []
    for remainder in range(stride):
        positions = np.arange((remainder - padding[0]) % stride, n, stride)
        taps = np.flatnonzero(dilation * np.arange(kernel) % stride == remainder)[::-1]
        if not positions.size:
            continue
        if not taps.size:
            found.append(Phase(every(positions), slice(0, 0), WindowAxis(0, len(positions), 1, 0, 1), (0, 0)))
            continue
        first = (positions[0] + padding[0] - dilation * taps[0]) // stride
        apart = dilation * (taps[0] - taps[1]) // stride if taps.size > 1 else 1
        last = first + len(positions) - 1 + (taps.size - 1) * apart
        before = max(0, -first)
        axis = WindowAxis(int(first + before), len(positions), 1, taps.size, int(apart))
        found.append(Phase(every(positions), every(taps), axis, (int(before), max(0, int(last) - outputs + 1))))
    return found


def every(places: np.ndarray) -> slice:
    """Places at equal distances as a slice."""
    step = int(places[1] - places[0]) if places.size > 1 else 1
    stop = int(places[-1]) + (1 if step > 0 else -1)
    return slice(int(places[0]), None if stop < 0 else stop, step)


def spread(shares: np.ndarray, shape: Sequence[int], form: ConvolutionForm) -> np.ndarray:
    """The images (channels, *shape) to which each output adds its shares (channels, *taps, *outputs)."""
    rank = len(shape)
    taps, outputs = shares.shape[1 : 1 + rank], shares.shape[1 + rank :]
    found = np.zeros((len(shares), *(n + sum(p) for n, p in zip(shape, form.padding, strict=True))))
    for tap in np.ndindex(*taps):
        places = [
            slice(k * d, k * d + (n - 1) * s + 1, s)
            for k, d, n, s in zip(tap, form.dilation, outputs, form.stride, strict=True)
        ]
        found[(slice(None), *places)] += shares[(slice(None), *tap)]
    return found[(slice(None), *(slice(p[0], p[0] + n) for n, p in zip(shape, form.padding, strict=True)))]


def input_products(
    g: np.ndarray, w: np.ndarray, observed: np.ndarray, form: ConvolutionForm, b: np.ndarray | None = None
) -> Iterator[Product | None]:
    """Each image, group and remainder: (channels, outputs x taps) @ (outputs x taps, positions).

    The value is that of one product for each image, (channels x kernel, outputs) @ (outputs, windows), whose entries
    are added up where they meet. b is what is added for each channel by a transposed convolution.
    """
    shape = observed.shape[2:]
    sizes = shape, g.shape[2:], w.shape[2:], form.stride, form.padding, form.dilation
    axes = [phases(*one) for one in zip(*sizes, strict=True)]
    for k, (cotangents, kernels, y) in enumerate(zip(*map(form.split, (g, w, observed), (1, 0, 1)), strict=True)):
        addend = None if b is None else b[k * kernels.shape[1] : (k + 1) * kernels.shape[1], None]
        reached = []
        for chosen in itertools.product(*axes):
            if all(one.axis.taps for one in chosen):
                reached.append(Reached.of(cotangents, kernels, chosen))
            elif b is not None or y[(..., *(one.positions for one in chosen))].any():  # no kernel reaches them
                yield None
        back = np.asarray(kernels, dtype=np.float64).reshape(len(kernels), -1).T
        for n in range(len(g)):
            shares = back @ cotangents[n].reshape(len(kernels), -1).astype(np.float64)
            value = spread(shares.reshape(*kernels.shape[1:], *g.shape[2:]), shape, form)
            yield from (one.product(n, value, y[n], addend) for one in reached)


class Reached(NamedTuple):
    """The positions with one remainder along each axis: the windows of outputs that reach them, and their taps."""

    positions: tuple[Any, ...]
    windows: ImageWindows
    taps: np.ndarray
    row_norms: Norms

    @classmethod
    def of(cls, cotangents: np.ndarray, kernels: np.ndarray, chosen: Sequence[Phase]) -> Reached:
        windows = ImageWindows(cotangents, [one.padding for one in chosen], [one.axis for one in chosen])
        some: Any = (..., *(one.taps for one in chosen))
        taps = np.moveaxis(kernels[some], 1, 0).astype(np.float64, order="C")
        left = taps.reshape(len(taps), -1)
        return cls((slice(None), *(one.positions for one in chosen)), windows, left, norms(left, 1))

    def product(self, n: int, value: np.ndarray, observed: np.ndarray, addend: np.ndarray | None) -> Product:
        """The product that the gradient of one image is at these positions."""
        known, seen = (x[self.positions].reshape(len(self.taps), -1) for x in (value, observed))
        right = functools.partial(self.windows.columns, n)
        return Product(self.taps, right, addend, seen, self.row_norms, self.windows.norms(n), known)
