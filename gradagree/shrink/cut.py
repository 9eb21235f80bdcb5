"""Smaller cases, described by integers: 0 is the simplest, the largest leaves a part unchanged.

Structure: the number of operations before and after the faulty one, the loss, the dtype, the number of examples and
units, the biases and activations. Numbers: the significant bits of each.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from gradagree.arithmetic.model import FORMATS
from gradagree.arithmetic.rounding import round_to_precision
from gradagree.cases.case import Arrays, Case, target_shape
from gradagree.cases.file import check_arrays
from gradagree.cases.graph_case import AnyCase, GraphArrays, GraphCase
from gradagree.checker.verdict import split_entry
from gradagree.errors import UsageError
from gradagree.reference import Activation, ErrorFunction
from gradagree.reference.graph import INPUTS, parameter_name, value_name
from gradagree.shrink.failing_case import FailingCase

Draw = Callable[[int], int]
"""Chooses an integer from 0 to the given one."""
TARGETS = "targets"
SIMPLE_DTYPE = "float64"
AXES = {
    "delta_p": ("example", "unit"), "dt": ("example", "unit"), "c": ("example", "output"), "dw": ("unit", "output"),
    "db": ("output",),
}  # fmt: skip
"""The axes of an operation's arrays, by their names in records."""


def cut(original: FailingCase, location: int | None, draw: Draw) -> Case:
    """A smaller case. Raises UsageError, ValueError or IndexError if the remaining parts do not fit together."""
    return _Cutter(original, location, draw).cut()


@dataclass(frozen=True)
class _Cutter:
    """Cuts one case by drawn integers; location is the number of the faulty node, if one is known."""

    original: FailingCase
    location: int | None
    draw: Draw

    def cut(self) -> Case:
        case = self.original.case
        first, last = self.nodes()
        keeps_loss = self.draw(1) == 1 or (self.location or 0) > case.depth
        dtypes = list(dict.fromkeys([SIMPLE_DTYPE, case.dtype]))
        dtype = dtypes[self.draw(len(dtypes) - 1)]
        examples = self.subset(case.batch, self.position("example"))
        units = [self.units(k) for k in range(first, last + 2)]
        activations, arrays = self.layers(first, last, units)
        inputs = self.original.values[value_name(first - 1)][np.ix_(examples, units[0])]
        outputs = units[-1]
        if activations and parameter_name(last, "w") not in self.arrays:
            outputs = _output_units(activations[-1], units[-2])
        if not arrays:
            activations = activations or [Activation.named("id")]
            arrays = {parameter_name(1, "w"): np.eye(activations[-1].width(inputs.shape[-1]) or 0)}
        named = arrays | {INPUTS: inputs}
        if keeps_loss and last == case.depth:
            targets = self.targets(examples, outputs)
            return _validated(Case.of_named(activations, case.error, dtype, named | {TARGETS: targets}))
        squares, zeros = ErrorFunction.named("sse"), np.zeros((len(examples), len(outputs)))
        weight = Case.of_named(activations, squares, dtype, named | {TARGETS: zeros}).loss_weight
        targets = self.targets_of_squares(last, examples, outputs, dtype, weight)
        return _validated(Case.of_named(activations, squares, dtype, named | {TARGETS: targets}))

    @functools.cached_property
    def arrays(self) -> Mapping[str, np.ndarray]:
        """The arrays of the original case, by name."""
        return dict(self.original.arrays.by_name)

    def nodes(self) -> tuple[int, int]:
        """The first and the last node that stay; those around the faulty one, if it is known."""
        depth = self.original.case.depth
        if self.location is None:
            first = depth - self.draw(depth - 1)
            return first, min(depth, first + self.draw(depth - 1))
        before = self.draw(self.location - 1)
        after = 0 if self.location > depth else self.draw(depth - self.location)
        return self.location - before, min(depth, self.location + after)

    def units(self, node: int) -> np.ndarray:
        """The units of a node's input that stay, the worst one first where their order is free."""
        case = self.original.case
        width = self.original.values[value_name(node - 1)].shape[-1]
        free = node > case.depth or not case.activations[node - 1].along_last_axis
        axes = {} if self.location is None else {self.location: "unit", self.location + 1: "output"}
        return self.subset(width, self.position(axes[node]) if free and node in axes else None)

    def position(self, axis: str) -> int | None:
        """The example, the input unit or the output unit of the record's entry."""
        array, index = split_entry(self.original.record.entry)
        axes = AXES.get(array, ())
        return dict(zip(axes, index, strict=True)).get(axis) if len(axes) == len(index) else None

    def subset(self, n: int, first: int | None) -> np.ndarray:
        """Some of n indices, in order but for the first one."""
        order = np.arange(n)
        if first is not None and first < n:
            order = np.concatenate([[first], order[order != first]])
        return order[: 1 + self.draw(n - 1)]

    def layers(self, first: int, last: int, units: list[np.ndarray]) -> tuple[list[Activation], dict[str, np.ndarray]]:
        """The activations, and the weights and biases by their new names."""
        activations: list[Activation] = []
        arrays: dict[str, np.ndarray] = {}
        for new, k in enumerate(range(first, last + 1), 1):
            simple = k != self.location and self.draw(1) == 0
            activation = Activation.named("id") if simple else self.original.case.activations[k - 1]
            activations.append(activation)
            w, b = (self.arrays.get(parameter_name(k, name)) for name in ("w", "b"))
            rows, columns = units[new - 1], units[new]
            if w is not None:
                arrays[parameter_name(new, "w")] = w[_output_units(activation, rows)][:, columns]
            if b is not None and self.draw(1) == 1:
                arrays[parameter_name(new, "b")] = b[columns]
        return activations, arrays

    def targets(self, examples: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """The targets of the original loss for these examples and outputs."""
        case, t = self.original.case, self.original.arrays.targets[examples]
        if case.error.targets == "classes":
            return np.minimum(t, len(outputs) - 1)
        _, width = target_shape(case.error, len(examples), len(outputs))
        t = t[:, outputs] if t.shape[-1] == case.outputs and width == len(outputs) else t[:, :width]
        if case.error.targets == "simplex":
            t = np.concatenate([t[:, :1] + 1 - t.sum(axis=-1, keepdims=True), t[:, 1:]], axis=-1)
        return t

    def targets_of_squares(
        self, node: int, examples: np.ndarray, outputs: np.ndarray, dtype: str, weight: float
    ) -> np.ndarray:
        """Targets for which a sum of squares, times its weight, has the cotangent of a node's value."""
        # t = c - delta_c / (2 weight)
        name, kept = value_name(node), np.ix_(examples, outputs)
        targets = self.original.values[name][kept] - self.original.cotangents[name][kept] / (2 * weight)
        return round_to_precision(targets, FORMATS[dtype].precision)


def _output_units(activation: Activation, units: np.ndarray) -> np.ndarray:
    """The outputs of an activation that belong to these units of its input."""
    return np.arange(activation.width(len(units)) or 0) if activation.along_last_axis else units


def _validated(case: Case) -> Case:
    """The case. Raises UsageError or ValueError if its arrays do not fit it."""
    arrays = case.arrays()
    if any(not np.isfinite(array).all() for array in arrays.by_name.values()):
        raise UsageError("numbers that are not finite")
    check_arrays(case, arrays)
    return case


def numbers_in(case: AnyCase) -> int:
    """The number of entries of all arrays of a case."""
    return sum(array.size for array in case.arrays().by_name.values())


def coarsen(case: AnyCase, draw: Draw) -> AnyCase:
    """The case with fewer significant bits: 0, 1 or -1, and so on up to all that there are."""
    precision, arrays = FORMATS[case.dtype].precision, dict(case.arrays().by_name)
    names = [*(name for name in case.parameter_names if name in arrays), INPUTS, TARGETS]
    coarse = {name: _coarsen(arrays[name], draw, precision) for name in names}
    if isinstance(case, GraphCase):
        return GraphCase.of(case, GraphArrays(arrays | coarse))
    return _validated(Case.of(case, Arrays.of(coarse)))


def _coarsen(array: np.ndarray, draw: Draw, precision: int) -> np.ndarray:
    entries = [_coarsen_number(x, draw, precision) for x in np.asarray(array).ravel()]
    return np.array(entries, dtype=array.dtype).reshape(array.shape)


def _coarsen_number(x: np.generic, draw: Draw, precision: int) -> float | int:
    if isinstance(x, np.integer):
        return draw(int(x))
    value, bits = float(x), draw(precision + 1)
    if bits <= 1:
        return float(np.copysign(1.0, value)) if bits else 0.0
    return value if bits > precision else float(round_to_precision(np.asarray(value), bits - 1))
