"""The products of matrices that JAX's products and convolutions are, and how their arrays are laid out for them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from gradagree.adapters.operations import Arrangement, ConvolutionForm


def products_of(
    name: str, params: Any, shapes: Sequence[Sequence[int]]
) -> tuple[ConvolutionForm | None, tuple[int, int, int | None] | None, Arrangement]:
    """(how a convolution moves, the positions of the factors of a product, how the arrays are laid out for it).

    Args:
        name: The name of the operation.
        params: The parameters of the primitive.
        shapes: The shapes of its operands and outputs.
    """
    if name == "lax.dot_general" and (arrangement := product_of(params, shapes[:2])) is not None:
        return None, (0, 1, None), arrangement
    if name == "lax.conv_general_dilated" and (found := convolution_of(params, shapes)) is not None:
        return found[0], None, found[1]
    return None, None, ()


def product_of(params: Any, shapes: Sequence[Sequence[int]]) -> Arrangement | None:
    """How the factors and the result of `dot_general` are one product of matrices; None with batch axes.

    Args:
        params: The parameters of the primitive.
        shapes: The shapes of both factors.
    """
    (sum_a, sum_b), (batch_a, _) = params["dimension_numbers"]
    if batch_a:
        return None
    free_a, free_b = ([k for k in range(len(s)) if k not in own] for s, own in zip(shapes, (sum_a, sum_b), strict=True))
    rows = math.prod(shapes[0][k] for k in free_a)
    columns = math.prod(shapes[1][k] for k in free_b)
    return (
        lambda x: np.transpose(x, (*free_a, *sum_a)).reshape(rows, -1),
        lambda x: np.transpose(x, (*sum_b, *free_b)).reshape(-1, columns),
        lambda x: x.reshape(rows, columns),
    )


def convolution_of(params: Any, shapes: Sequence[Sequence[int]]) -> tuple[ConvolutionForm, Arrangement] | None:
    """How `conv_general_dilated` moves, and how its images, kernels and outputs are laid out for that.

    With dilated images it is a transposed convolution. None where images are cropped, or dilated with strides.

    Args:
        params: The parameters of the primitive.
        shapes: The shapes of images, kernels and outputs.
    """
    numbers, groups = params["dimension_numbers"], params["feature_group_count"]
    stride, padding = tuple(params["window_strides"]), tuple(map(tuple, params["padding"]))
    spread, dilation = tuple(params["lhs_dilation"]), tuple(params["rhs_dilation"])
    if params["batch_group_count"] != 1 or len(stride) < 1 or min(map(min, padding)) < 0:
        return None
    orders = numbers.lhs_spec, numbers.rhs_spec, numbers.out_spec
    images, kernels, outputs = (lambda x, order=order: np.transpose(x, order) for order in orders)
    if set(spread) == {1}:
        return ConvolutionForm(stride, padding, dilation, groups), (images, kernels, outputs)
    sizes = [[shape[k] for k in order[2:]] for shape, order in zip(shapes, orders, strict=True)]
    spans = [(k - 1) * d for k, d in zip(sizes[1], dilation, strict=True)]
    before = [span - p for span, (p, _) in zip(spans, padding, strict=True)]
    if set(stride) != {1} or min(before) < 0:
        return None
    around = tuple(
        (p, max(0, (n - 1) * s + span + 1 - p - m))
        for p, n, s, span, m in zip(before, sizes[0], spread, spans, sizes[2], strict=True)
    )

    def exchanged(x: np.ndarray) -> np.ndarray:
        """Kernels (inputs, outputs / groups, *kernel) in reverse order."""
        w = np.transpose(x, orders[1])
        parts = w.reshape(groups, -1, *w.shape[1:])
        found = np.swapaxes(parts, 1, 2).reshape(groups * w.shape[1], -1, *w.shape[2:])
        return np.flip(found, tuple(range(2, found.ndim)))

    return ConvolutionForm(spread, around, dilation, groups, True), (images, exchanged, outputs)
