"""Smaller cases, described by integers: 0 is the simplest, the largest leaves a part unchanged.

Structure: how many operations stay before and after the faulty one, the loss, the dtype, how many examples and units,
which biases and activations. Numbers: how many significant bits of each stay.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from gradagree.arithmetic.exactness import rounded_to
from gradagree.arithmetic.model import FORMATS
from gradagree.cases.case import Arrays, Case, target_shape
from gradagree.cases.file import check_arrays
from gradagree.errors import UsageError
from gradagree.reference import Activation, ErrorFunction
from gradagree.shrink.context import FailingCase

Draw = Callable[[int], int]
"""Chooses a whole number from 0 to the given one."""
PLAIN = "float64"


@dataclass
class Cutter:
    """Cuts one case by drawn integers."""

    whole: FailingCase
    location: int | None
    draw: Draw

    def cut(self) -> Case:
        """Raises UsageError, ValueError or IndexError where the parts that are left do not fit each other."""
        depth = self.whole.case.depth
        first, last = self.boxes()
        keeps_error = self.draw(1) == 1 or (self.location or 0) > depth
        dtypes = list(dict.fromkeys([PLAIN, self.whole.case.dtype]))
        dtype = dtypes[self.draw(len(dtypes) - 1)]
        examples = self.ordered(self.whole.case.batch, self.place("example"))[
            : 1 + self.draw(self.whole.case.batch - 1)
        ]
        units = [self.units(k) for k in range(first, last + 2)]
        kept = keeps_error and last == depth
        return self.assembled(first, last, dtype, examples, units, kept)

    def boxes(self) -> tuple[int, int]:
        """The outermost and the innermost box that stay; those around the location one, where one is named."""
        depth = self.whole.case.depth
        if self.location is None:
            first = depth - self.draw(depth - 1)
            return first, min(depth, first + self.draw(depth - 1))
        outer = self.draw(self.location - 1)
        inner = 0 if self.location > depth else self.draw(depth - self.location)
        return self.location - outer, min(depth, self.location + inner)

    def units(self, box: int) -> np.ndarray:
        """Which units of a box's input stay, the location one first where the order is free."""
        p = self.whole.inputs[box - 1]
        activations = self.whole.case.activations
        free = box > len(activations) or not activations[box - 1].along_last_axis
        roles = {} if self.location is None else {self.location: "unit", self.location + 1: "output"}
        place = self.place(roles[box]) if box in roles else None
        return self.ordered(p.shape[-1], place if free else None)[: 1 + self.draw(p.shape[-1] - 1)]

    def place(self, of: str) -> int | None:
        """The example, the input unit or the output unit of the faulty operation at the worst entry."""
        axes = {"delta_p": ("example", "unit"), "c": ("example", "output"), "dw": ("unit", "output"), "db": ("output",)}
        names = axes.get(self.whole.part, ())
        found = dict(zip(names, self.whole.index, strict=False)) if len(names) == len(self.whole.index) else {}
        return found.get(of)

    @staticmethod
    def ordered(n: int, first: int | None) -> np.ndarray:
        order = np.arange(n)
        return order if first is None or first >= n else np.concatenate([[first], order[order != first]])

    def assembled(
        self, first: int, last: int, dtype: str, examples: np.ndarray, units: list[np.ndarray], kept: bool
    ) -> Case:
        whole, case = self.whole, self.whole.case
        activations, weights, biases = [], [], []
        for k in range(first, last + 1):
            plain = k != self.location and self.draw(1) == 0
            activation = Activation.named("id") if plain else case.activations[k - 1]
            activations.append(activation)
            if k > len(whole.arrays.weights):
                continue
            rows, columns = units[k - first], units[k - first + 1]
            weights.append(self.rows(activation, whole.arrays.weights[k - 1], rows)[:, columns])
            b = whole.arrays.biases[k - 1]
            biases.append(None if b is None or self.draw(1) == 0 else b[columns])
        p = whole.inputs[first - 1][np.ix_(examples, units[0])]
        outputs = units[-1]
        if last > len(whole.arrays.weights) and activations:
            outputs = self.through(activations[-1], units[-2])
        if not weights:
            activations = activations or [Activation.named("id")]
            weights, biases = [np.eye(activations[-1].width(p.shape[-1]) or 0)], [None]
        if kept:
            error, targets = case.error, self.targets(examples, outputs)
        else:
            error, picked = ErrorFunction.named("sse"), np.ix_(examples, outputs)
            targets = whole.inputs[last][picked] - whole.cotangents[last][picked] / 2
            targets = rounded_to(targets, FORMATS[dtype].precision)
        return build_case(activations, error, dtype, Arrays(tuple(weights), tuple(biases), p, targets))

    def through(self, activation: Activation, units: np.ndarray) -> np.ndarray:
        """The outputs that belong to these units, where no weights are between."""
        return np.arange(activation.width(len(units)) or 0) if activation.along_last_axis else units

    def rows(self, activation: Activation, w: np.ndarray, units: np.ndarray) -> np.ndarray:
        """The rows of w that belong to what the activation makes of these units."""
        if not activation.along_last_axis:
            return w[units]
        return w[: activation.width(len(units)) or 0]

    def targets(self, examples: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        case, t = self.whole.case, self.whole.arrays.targets[examples]
        if case.error.targets == "classes":
            return np.minimum(t, len(outputs) - 1)
        _, width = target_shape(case.error, len(examples), len(outputs))
        t = t[:, outputs] if t.shape[-1] == case.outputs and width == len(outputs) else t[:, :width]
        if case.error.targets == "simplex":
            t = np.concatenate([t[:, :1] + 1 - t.sum(axis=-1, keepdims=True), t[:, 1:]], axis=-1)
        return t


def cut(whole: FailingCase, location: int | None, draw: Draw) -> Case:
    """The case that is left. Raises UsageError, ValueError or IndexError where there is none."""
    return Cutter(whole, location, draw).cut()


def build_case(activations: list[Activation], error: ErrorFunction, dtype: str, arrays: Arrays) -> Case:
    widths = (arrays.weights[0].shape[0], *(w.shape[1] for w in arrays.weights))
    first = arrays.inputs.shape[-1]
    biased = tuple(b is not None for b in arrays.biases)
    case = Case((first, *widths[1:]), tuple(activations), error, len(arrays.inputs), dtype, biases=biased)
    return check_case(case, arrays)


def check_case(case: Case, arrays: Arrays) -> Case:
    if any(not np.isfinite(array).all() for _, array in arrays.named()):
        raise UsageError("numbers that are not finite")
    check_arrays(case, arrays)
    return Case.of(case, arrays)


def numbers_in(case: Case) -> int:
    """How many numbers a case has in all."""
    return sum(array.size for _, array in case.arrays().named())


def coarsen(case: Case, draw: Draw) -> Case:
    """The case with numbers of few significant bits: 0, 1 or -1, and so on up to all that there are."""
    precision = FORMATS[case.dtype].precision

    def rounded(x: np.ndarray) -> np.ndarray:
        flat = [_coarsen(v, draw, precision) for v in np.asarray(x).ravel()]
        return np.array(flat, dtype=x.dtype).reshape(x.shape)

    arrays = case.arrays()
    weights = tuple(rounded(w) for w in arrays.weights)
    biases = tuple(None if b is None else rounded(b) for b in arrays.biases)
    changed = Arrays(weights, biases, rounded(arrays.inputs), rounded(arrays.targets))
    return check_case(replace(case, regime="ordinary", seed=0, explicit=None), changed)


def _coarsen(x: np.generic, draw: Draw, precision: int) -> float | int:
    if isinstance(x, np.integer):
        return draw(int(x))
    value, bits = float(x), draw(precision + 1)
    if bits <= 1:
        return float(np.copysign(1.0, value)) if bits else 0.0
    return value if bits > precision else float(rounded_to(np.asarray(value), bits - 1))
