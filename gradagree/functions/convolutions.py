"""Large convolutions, entry by entry: the products of matrices that they are, image by image.

The value is that of the windows of an image, as rows, and the kernels, as columns; the gradient of the kernels is that
of the cotangents of all images and their windows. An entry of the gradient of the images is a sum over the kernel's
positions that reach it: with stride s, the positions of each remainder by s are a product of their own (Dumoulin and
Visin, A guide to convolution arithmetic for deep learning, 2016).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from gradagree.adapters.operations import ConvolutionForm
from gradagree.arithmetic.model import Model
from gradagree.checker.verdict import Verdict
from gradagree.functions.judge import ArrayFinding
from gradagree.functions.products import Tally, check_product, parts, worst_entry

ENTRIES = 1 << 24
"""Entries of the windows of all images that are kept at once."""


class Product(NamedTuple):
    """A product of matrices that is a part of an array: left @ right (+ addend) = observed."""

    left: np.ndarray
    right: np.ndarray
    addend: np.ndarray | None
    observed: np.ndarray


def check_products(products: Iterator[Product | None], model: Model) -> ArrayFinding | None:
    """The finding of an array that consists of products; None if another judgement must decide."""
    whole, failing = Tally(), None
    for product in products:
        if product is None:
            return None
        part = Tally()
        found = check_product(*product, model, part)
        if isinstance(found, Tally):
            if not (part.finite and part.worst > 1) or product.addend is not None:
                return None
            found = worst_entry(product.left, product.right, product.observed, part, model)
            if not (found.verdict.fails or found.verdict is Verdict.AGREE):
                return None
            failing = found if found.verdict.fails else failing
            part.worst = found.ratio
        whole.merge(part)
    return failing or whole.finding()


def windows_of(x: np.ndarray, kernel: Sequence[int], form: ConvolutionForm) -> np.ndarray:
    """The windows of images (n, channels, *shape), as (n, *windows, channels, *kernel), without a copy."""
    rank = len(kernel)
    padded = np.pad(x, [(0, 0), (0, 0), *form.padding]) if any(map(any, form.padding)) else x
    sizes = [(k - 1) * d + 1 for k, d in zip(kernel, form.dilation, strict=True)]
    seen = np.lib.stride_tricks.sliding_window_view(padded, sizes, axis=tuple(range(2, 2 + rank)))
    steps = [slice(None, None, s) for s in (*form.stride, *form.dilation)]
    return np.moveaxis(seen[(slice(None), slice(None), *steps)], 1, 1 + rank)


def value_products(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, observed: np.ndarray, form: ConvolutionForm
) -> Iterator[Product]:
    """Each image and group: (windows, channels x kernel) @ (channels x kernel, outputs)."""
    groups = zip(*map(form.split, (x, w, observed), (1, 0, 1)), strict=True)
    for k, (images, kernels, y) in enumerate(groups):
        right, count = kernels.reshape(len(kernels), -1).T, len(kernels)
        addend = None if b is None else b[k * count : (k + 1) * count]
        for n in range(len(x)):
            left = windows_of(images[n : n + 1], w.shape[2:], form).reshape(-1, right.shape[0])
            yield Product(left, right, addend, y[n].reshape(count, -1).T)


def weight_products(x: np.ndarray, g: np.ndarray, observed: np.ndarray, form: ConvolutionForm) -> Iterator[Product]:
    """Some channels of each group: (outputs, images x windows) @ (images x windows, channels x kernel)."""
    kernel = observed.shape[2:]
    size = len(x) * math.prod(g.shape[2:]) * math.prod(kernel)
    for images, cotangents, y in zip(*map(form.split, (x, g, observed), (1, 1, 0)), strict=True):
        left = np.moveaxis(cotangents, 1, 0).reshape(len(y), -1)
        for some in parts(images.shape[1], max(1, ENTRIES // size)):
            right = windows_of(images[:, some], kernel, form).reshape(left.shape[1], -1)
            yield Product(left, right, None, y[:, some].reshape(len(y), -1))


class Phase(NamedTuple):
    """Positions along one axis with one remainder by the stride.

    positions: Of the images. taps: The kernel's positions that reach them. outputs: The output of each pair.
    """

    positions: np.ndarray
    taps: np.ndarray
    outputs: np.ndarray


def phases(n: int, outputs: int, kernel: int, stride: int, padding: Sequence[int], dilation: int) -> list[Phase]:
    """Output o and tap k reach position o stride + k dilation - padding; an output that there is not has number -1."""
    found = []
    for remainder in range(stride):
        positions = np.arange((remainder - padding[0]) % stride, n, stride)
        taps = np.flatnonzero(dilation * np.arange(kernel) % stride == remainder)
        at = (positions[:, None] + padding[0] - dilation * taps) // stride
        found.append(Phase(positions, taps, np.where((at >= 0) & (at < outputs), at, -1)))
    return [one for one in found if one.positions.size]


def input_products(
    g: np.ndarray, w: np.ndarray, observed: np.ndarray, form: ConvolutionForm
) -> Iterator[Product | None]:
    """Each image, group and remainder: (positions, outputs x taps) @ (outputs x taps, channels)."""
    rank = w.ndim - 2
    axes = [
        phases(*sizes) for sizes in zip(observed.shape[2:], g.shape[2:], w.shape[2:], form.stride, form.padding,
                                        form.dilation, strict=True)
    ]  # fmt: skip
    padded = np.pad(g, [(0, 0), (0, 0), *[(0, 1)] * rank])  # the output -1 is zero
    every: tuple[Any, ...] = (slice(None),)
    for cotangents, kernels, y in zip(*map(form.split, (padded, w, observed), (1, 0, 1)), strict=True):
        for chosen in itertools.product(*axes):
            pairs = [one.outputs.reshape(along(one.outputs.shape, k, rank)) for k, one in enumerate(chosen)]
            taps = kernels[every + every + np.ix_(*(one.taps for one in chosen))]
            right = np.moveaxis(taps, 1, -1).reshape(-1, taps.shape[1])
            for n in range(len(g)):
                seen = y[n][every + np.ix_(*(one.positions for one in chosen))]
                seen = seen.reshape(len(seen), -1).T
                if right.size:
                    picked = np.moveaxis(cotangents[n][every + tuple(pairs)], 0, rank)
                    yield Product(picked.reshape(-1, right.shape[0]), right, None, seen)
                elif seen.any():  # no kernel reaches these positions
                    yield None


def along(shape: Sequence[int], axis: int, rank: int) -> list[int]:
    """The shape of (positions, taps) of one axis among the positions of all axes, and then the taps of all."""
    lined = [1] * (2 * rank)
    lined[axis], lined[axis + rank] = shape
    return lined
