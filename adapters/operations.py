"""The operations of a model as it runs: each with a NumPy function that computes the same, and how it may be split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np

from gradagree.adapters.formats import PARTS
from gradagree.reference.operations.complex_numbers import join_parts, stacked

Arrangement = tuple[Callable[[np.ndarray], np.ndarray], ...]
"""For each operand and then for the output, its entries in the order of a product or a convolution."""


class ConvolutionForm(NamedTuple):
    """How images (n, channels, *shape) meet kernels (outputs, channels / groups, *kernel).

    padding has the zeros before and after, for each axis. A transposed one takes outputs to images: it is the gradient
    of the convolution by its images.
    """

    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    groups: int
    transposed: bool = False

    def split(self, x: np.ndarray, axis: int) -> list[np.ndarray]:
        """The part of each group along an axis."""
        return np.split(x, self.groups, axis=axis) if self.groups > 1 else [x]


@dataclass
class ModelOperation:
    """One operation that a model has called.

    Args:
        name: The framework's name, such as ``aten.addmm``, or the name of a custom function.
        module: The qualified name of the module whose own code called it; empty for the model itself.
        place: File and line of the user's program that called it, if known.
        arguments: Names of its floating-point operands: those of the operation's signature.
        dtypes: Dtypes of the operands, then of the outputs; of the parts of complex arrays, which are stacked.
        function: Computes the floating-point outputs from these operands, in NumPy; None if no form is known.
        factors: For a matrix product, the positions of its factors, and that of an array that is added, or None.
        convolution: For a convolution of images with kernels, to which numbers for each output may be added.
        arrangement: How its arrays are laid out for the product or the convolution; empty if they are.
        rows: For an operation that takes rows of its only operand, the positions of the rows.
        moves: True if it only moves entries, so that its results are exact.
        once: True if each entry is one sum, difference or product, which is rounded once.
        rule: The name of its backward pass, for a function with one of its own.
        reason: Why it has no NumPy form.
        labels: What each operand is called by the user, such as the name of a parameter; empty where it has no name.
        graph: What the function computes, once it has been traced.
    """

    name: str
    module: str
    place: str
    arguments: list[str]
    dtypes: list[str]
    function: Callable[..., Sequence[Any]] | None = None
    factors: tuple[int, int, int | None] | None = None
    convolution: ConvolutionForm | None = None
    arrangement: Arrangement = ()
    rows: np.ndarray | None = None
    moves: bool = False
    once: bool = False
    rule: str = ""
    reason: str = ""
    labels: list[str] = field(default_factory=list)
    graph: Any = None


@dataclass(frozen=True)
class PassedGradient:
    """What an operation has passed back to one value: its operands at these positions.

    observed: The framework's array; None where it passed none.
    """

    operands: tuple[int, ...]
    observed: np.ndarray | None


class ModelObserver(Protocol):
    """What is told of each operation of a model, once on the way forward and once on the way back."""

    def value(self, operation: ModelOperation, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray]) -> None:
        """An operation has computed its outputs."""

    def gradient(
        self, operation: ModelOperation, inputs: Sequence[np.ndarray], cotangents: Sequence[np.ndarray | None],
        passed: Sequence[PassedGradient],
    ) -> None:  # fmt: skip
        """An operation has passed the cotangents of its outputs to its operands."""

    def total(
        self, module: str, label: str, dtype: str, parts: Sequence[np.ndarray], observed: np.ndarray | None
    ) -> None:
        """The contributions to one gradient have been added; a missing sum is None."""

    def unknown(self, module: str, name: str, place: str, reason: str) -> None:
        """An operation cannot be checked."""


def as_parts(x: np.ndarray) -> np.ndarray:
    """A complex array as a real one whose first axis holds its real and imaginary part; any other as it is."""
    return np.stack((x.real, x.imag)) if x.dtype.kind == "c" else x


def on_parts(
    function: Callable[..., Sequence[Any]], dtypes: Sequence[str], count: int
) -> tuple[Callable[..., Sequence[Any]], list[str]]:
    """(a function of arrays that stand for complex ones as `as_parts` makes them, the dtypes of these arrays).

    Args:
        function: Takes and returns arrays that may be complex.
        dtypes: Dtypes of its operands, then of its outputs.
        count: The number of its operands.
    """
    pairs = [dtype in PARTS for dtype in dtypes]
    if not any(pairs):
        return function, list(dtypes)

    def on_pairs(*arrays: Any) -> Sequence[Any]:
        given = [join_parts(x[0], x[1]) if pair else x for x, pair in zip(arrays, pairs[:count], strict=True)]
        found = zip(function(*given), pairs[count:], strict=True)
        return [stacked((np.real(y), np.imag(y))) if pair else y for y, pair in found]

    return on_pairs, [PARTS.get(dtype, dtype) for dtype in dtypes]
