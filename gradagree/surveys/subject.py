"""A function in one dtype with the points at which it is surveyed."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradagree.adapters import Unsupported, example_weight
from gradagree.adapters.pointwise import divides_by_batch, is_rows
from gradagree.arithmetic.model import FORMATS
from gradagree.arithmetic.rounding import round_to_format
from gradagree.reference import Activation, ErrorFunction
from gradagree.runner import protocol
from gradagree.surveys.formulas import formula, target_formula, vjp_formula, weight_formula
from gradagree.surveys.points import input_numbers, order_by_simplicity, output_target_pairs
from gradagree.surveys.rows import LOGITS, WIDE, WIDEST, input_rows, wide_rows

WIDEST_ROWS = "widest rows"
ROWS_ALONE = 512
"""Most rows of a loss that divides by the batch; each is evaluated in a batch of its own, which takes longer."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A function in one dtype at its points.

    points are (N,), or (N, n) rows; targets are (N, width), (N,) class numbers, or None. For functions of rows, ks are
    the outputs whose derivatives are computed, and js the inputs of second derivatives. With cotangents, (N, m) for
    activations of rows with m outputs and (N,) for all other functions, the derivative is the vjp. label names a target
    outside the definition of a loss. A loss is differentiated by its targets with by "target", and else by a weight of
    this name: then these are the points, targets are its outputs, and labels its targets beside a weight.
    """

    function: Activation | ErrorFunction
    dtype: str
    points: np.ndarray
    targets: np.ndarray | None = None
    ks: tuple[int, ...] | None = None
    js: tuple[int, ...] | None = None
    cotangents: np.ndarray | None = None
    label: str = ""
    by: str = ""
    labels: np.ndarray | None = None

    @classmethod
    def of(cls, function: Activation | ErrorFunction, dtype: str, density: int) -> Subject:
        """The function at its points; density as in `points.input_numbers`."""
        with np.errstate(all="ignore"):
            if not is_rows(function):
                if isinstance(function, Activation):
                    return cls(function, dtype, input_numbers(function, dtype, density))
                return cls(function, dtype, *output_target_pairs(function, dtype, density))
            x, targets = input_rows(function, dtype, density)
            if targets is not None and evaluates_alone(function):
                some = np.unique(np.linspace(0, len(x) - 1, ROWS_ALONE).astype(int))
                x, targets = x[some], targets[some]
        n = x.shape[1]
        m = (function.width(n) or 1) if isinstance(function, Activation) else 1
        return cls(function, dtype, x, targets, tuple(range(m)), tuple(range(n)))

    @classmethod
    def wide(cls, function: Activation | ErrorFunction, dtype: str, widest: bool = True) -> Iterator[Subject]:
        """The function at wide rows, with one row of each Jacobian and one column of each Hessian.

        The widest rows, which take gigabytes, are included on request and in dtypes that cannot count their entries.
        """
        for least in (WIDE, WIDEST) if widest and FORMATS[dtype].largest < WIDEST else (WIDE,):
            made = wide_rows(function, least) if is_rows(function) else None
            if made is not None:
                yield cls(function, dtype, *made, (0,), (0,))

    @property
    def is_wide(self) -> bool:
        return self.points.ndim == 2 and self.points.shape[1] >= WIDE

    @property
    def inputs(self) -> str:
        """The kind of inputs as rows of the survey name it; "" for the usual ones."""
        rows = (WIDEST_ROWS if self.points.shape[1] >= WIDEST else "wide rows") if self.is_wide else ""
        kinds = rows, self.label, "" if self.cotangents is None else "cotangents", self.differentiated_by
        return ", ".join(filter(None, kinds))

    @property
    def differentiated_by(self) -> str:
        """The operand of a loss by which it is differentiated, as rows of the survey name it; "" for the outputs."""
        return {"": "", "target": "targets"}.get(self.by, self.by)

    @property
    def kind(self) -> str:
        return "activation" if isinstance(self.function, Activation) else "error"

    @property
    def classes(self) -> bool:
        """Whether targets are class numbers."""
        return getattr(self.function, "targets", "") == "classes"

    @property
    def constants(self) -> tuple[np.ndarray, ...]:
        return tuple(x for x in (self.targets, self.labels, self.cotangents) if x is not None)

    @property
    def numbers(self) -> list[np.ndarray]:
        """Points, targets unless they are classes, and cotangents, each as rows."""
        targets = None if self.classes else self.targets
        return [x.reshape(len(x), -1) for x in (self.points, targets, self.labels, self.cotangents) if x is not None]

    @property
    def operands(self) -> np.ndarray:
        """Points and cotangents as rows."""
        return np.concatenate([x.reshape(len(x), -1) for x in (self.points, self.cotangents) if x is not None], axis=1)

    @property
    def sized(self) -> np.ndarray:
        """The numbers whose sizes make the region: points, cotangents, and outputs beside targets and weights."""
        if not self.by or self.targets is None:
            return self.operands
        return np.concatenate([self.operands, self.targets.reshape(len(self.targets), -1)], axis=1)

    @property
    def scale(self) -> np.ndarray:
        """The size of each cotangent, 1 without cotangents: the derivative is proportional to it."""
        if self.cotangents is None:
            return np.ones(len(self.points))
        return np.asarray(np.abs(self.cotangents).reshape(len(self.points), -1).max(axis=1))

    @functools.cached_property
    def sum_of_sizes(self) -> np.ndarray:
        """The sum of the absolute values of the terms of each entry of the vjp, in float64."""
        with np.errstate(all="ignore"):
            if self.cotangents is None or self.cotangents.ndim == 1:
                return np.abs(self.evaluate("slope", self.points))
            total, m = np.zeros(self.points.shape), self.cotangents.shape[1]
            for k in range(m):
                part = np.where(np.arange(m) == k, self.cotangents, 0.0)
                one = dataclasses.replace(self, cotangents=part).evaluate("slope", self.points)[:, 0]
                total += np.nan_to_num(np.abs(one), posinf=0.0)
            return total[:, None]

    @property
    def masks(self) -> bool:
        """Whether an entry of -infinity is masked out; such functions are smooth."""
        return self.function.name in LOGITS

    @property
    def differences(self) -> np.ndarray | None:
        """Targets that are subtracted from outputs entry by entry; None if there are none."""
        t = self.targets
        real = getattr(self.function, "targets", "") == "real" and t is not None and t.shape == self.points.shape
        return t if real else None

    @property
    def unsupported_reason(self) -> str:
        """Why the function is not surveyed in the dtype: a parameter is not representable, or it couples examples."""
        if isinstance(self.function, ErrorFunction):
            try:
                example_weight(self.function, 2)
            except Unsupported as coupled:
                return str(coupled)
        form = FORMATS[self.dtype]
        for name, value in vars(self.function).items():
            if (
                isinstance(value, float)
                and value
                and abs(round_to_format(np.asarray(value), form) - value) > form.u * abs(value)
            ):
                return f"{name}={value:g} is no number of {self.dtype}"
        return ""

    def formula(self, quantity: str) -> Callable[..., Any]:
        return formula(self.function, quantity, self.ks, self.js)

    def evaluate(self, quantity: str, points: Any, convert: Callable[[Any], Any] = lambda x: x) -> Any:
        """The quantity at points of any arithmetic, to which `convert` converts the targets unless they are classes."""
        operands = [] if self.targets is None else [self.targets if self.classes else convert(self.targets)]
        if self.by == "target":
            return target_formula(self.function)(points, *operands)
        if self.by:
            return weight_formula(self.function, self.by)(points, *operands, convert(self.labels))
        if self.cotangents is not None:
            return vjp_formula(self.function)(points, convert(self.cotangents), *operands)
        return self.formula(quantity)(points, *operands)

    def request(self, quantity: str, mode: str, windows: Any = None) -> protocol.PointwiseRequest:
        points, *constants = map(protocol.pack, (self.points, *self.constants))
        return protocol.PointwiseRequest(
            self.kind, str(self.function), self.dtype, quantity, mode, points, constants, self.ks, self.js, windows,
            weighted=self.cotangents is not None, by=self.by,
        )  # fmt: skip

    def at(self, places: Any) -> Subject:
        """The function at some of the points."""
        arrays = (self.targets, self.labels, self.cotangents)
        targets, labels, cotangents = (None if x is None else x[places] for x in arrays)
        return dataclasses.replace(
            self, points=self.points[places], targets=targets, labels=labels, cotangents=cotangents
        )

    @functools.cached_property
    def order(self) -> np.ndarray:
        """Indices of the points with their targets and cotangents, the most ordinary first."""
        return order_by_simplicity(np.concatenate(self.numbers, axis=1))


def evaluates_alone(function: Activation | ErrorFunction) -> bool:
    """Whether each row is evaluated in a batch of its own."""
    try:
        return divides_by_batch(function)
    except Unsupported:
        return False
