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
from gradagree.surveys.formulas import formula
from gradagree.surveys.points import input_numbers, order_by_simplicity, output_target_pairs
from gradagree.surveys.rows import LOGITS, WIDE, WIDEST, input_rows, wide_rows

WIDEST_ROWS = "widest rows"
ROWS_ALONE = 512
"""Most rows of a loss that divides by the batch; each is evaluated in a batch of its own, which takes longer."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A function in one dtype at its points.

    points are (N,), or (N, n) rows; targets are (N, width), (N,) class numbers, or None. For functions of rows, ks are
    the outputs whose derivatives are computed, and js the inputs of second derivatives.
    """

    function: Activation | ErrorFunction
    dtype: str
    points: np.ndarray
    targets: np.ndarray | None = None
    ks: tuple[int, ...] | None = None
    js: tuple[int, ...] | None = None

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
        return (WIDEST_ROWS if self.points.shape[1] >= WIDEST else "wide rows") if self.is_wide else ""

    @property
    def kind(self) -> str:
        return "activation" if isinstance(self.function, Activation) else "error"

    @property
    def classes(self) -> bool:
        """Whether targets are class numbers."""
        return getattr(self.function, "targets", "") == "classes"

    @property
    def constants(self) -> tuple[np.ndarray, ...]:
        return () if self.targets is None else (self.targets,)

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
        formula = self.formula(quantity)
        if self.targets is None:
            return formula(points)
        return formula(points, self.targets if self.classes else convert(self.targets))

    def request(self, quantity: str, mode: str, windows: Any = None) -> protocol.PointwiseRequest:
        points, *constants = map(protocol.pack, (self.points, *self.constants))
        return protocol.PointwiseRequest(
            self.kind, str(self.function), self.dtype, quantity, mode, points, constants, self.ks, self.js, windows
        )

    def at(self, places: Any) -> Subject:
        """The function at some of the points."""
        targets = None if self.targets is None else self.targets[places]
        return dataclasses.replace(self, points=self.points[places], targets=targets)

    @functools.cached_property
    def order(self) -> np.ndarray:
        """Indices of the points with their targets, the most ordinary first."""
        parts = [self.points, *(t for t in self.constants if not self.classes)]
        return order_by_simplicity(np.concatenate([x.reshape(len(x), -1) for x in parts], axis=1))


def evaluates_alone(function: Activation | ErrorFunction) -> bool:
    """Whether each row is evaluated in a batch of its own."""
    try:
        return divides_by_batch(function)
    except Unsupported:
        return False
