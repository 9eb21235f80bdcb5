"""A function in one dtype with the points at which it is surveyed."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradagree.adapters import Unsupported, example_weight
from gradagree.adapters.pointwise import is_rows
from gradagree.arithmetic.dual import Dual, slope_of
from gradagree.arithmetic.model import FORMATS
from gradagree.arithmetic.rounding import round_to_format
from gradagree.reference import Activation, ErrorFunction
from gradagree.reference.losses.reduction import _EntryByEntry
from gradagree.runner import protocol
from gradagree.surveys.points import (
    LOGITS,
    WIDE,
    WIDEST,
    input_numbers,
    input_rows,
    order_by_simplicity,
    output_target_pairs,
    wide_rows,
)

# Formulas of the reference: value, derivative and second derivative on any arithmetic's arrays
# ---------------------------------------------------------------------------------------------


QUANTITIES = ("value", "slope", "second")


def with_sum_reduction(error: ErrorFunction) -> ErrorFunction:
    """The loss function with sum reduction, whose cotangent does not depend on the number of examples."""
    if any(field.name == "reduction" for field in dataclasses.fields(error)):
        return dataclasses.replace(error, reduction="sum")  # type: ignore[call-arg]
    return error


def formula(
    function: Activation | ErrorFunction, quantity: str, ks: tuple[int, ...] | None, js: tuple[int, ...] | None
) -> Callable[..., Any]:
    """The quantity as a function of (points, targets), in the shape that adapters return."""
    if isinstance(function, Activation):
        return (
            row_formula(function, quantity, ks or (), js or ())
            if is_rows(function)
            else elementwise_formula(function, quantity)
        )
    return loss_formula(with_sum_reduction(function), quantity, js)


def elementwise_formula(activation: Activation, quantity: str) -> Callable[..., Any]:
    if quantity != "second":
        return getattr(activation, {"value": "value", "slope": "derivative"}[quantity])

    def second(p: Any) -> Any:
        return slope_of(activation.derivative(Dual.variable(p)))

    return getattr(activation, "second", second)


def row_formula(activation: Activation, quantity: str, ks: tuple[int, ...], js: tuple[int, ...]) -> Callable[..., Any]:
    def unit(p: Any, k: int, n: int) -> Any:
        return lift(p, np.broadcast_to((np.arange(n) == k) * 1.0, (p.shape[0], n)))

    def slope(p: Any) -> Any:
        m = activation.width(p.shape[-1]) or 0
        return np.stack([activation.vjp(p, unit(p, k, m)) for k in ks], axis=1)

    def second(p: Any) -> Any:
        n, m = p.shape[-1], activation.width(p.shape[-1]) or 0
        along = [activation.vjp(Dual(p, unit(p, j, n)), unit(p, ks[0], m)) for j in js]
        return np.stack([lift_to_shape(p, slope_of(x)) for x in along], axis=1)

    return {"value": activation.value, "slope": slope, "second": second}[quantity]


def loss_formula(error: ErrorFunction, quantity: str, js: tuple[int, ...] | None) -> Callable[..., Any]:
    def value(o: Any, t: Any) -> Any:
        return error._term(o, t) if isinstance(error, _EntryByEntry) else error.value(o[:, None], t[:, None])

    def slope(o: Any, t: Any) -> Any:
        found = error.sensitivity(o, t)
        return found if js is None else found[:, None]

    def second(o: Any, t: Any) -> Any:
        found = []
        for j in js or (0,):
            along = np.broadcast_to((np.arange(o.shape[-1]) == j) * 1.0, o.shape)
            found.append(lift_to_shape(o, slope_of(error.sensitivity(Dual(o, lift(o, along)), t))))
        return found[0] if js is None else np.stack(found, axis=1)

    return {"value": value, "slope": slope, "second": second}[quantity]


def lift(like: Any, x: Any) -> Any:
    """x as an array of the arithmetic of `like`."""
    return x if isinstance(like, np.ndarray) or not isinstance(x, np.ndarray | float | int) else like._lift(x)


def lift_to_shape(like: Any, x: Any) -> Any:
    """x as an array of the arithmetic and the shape of `like`; a constant derivative is repeated."""
    return lift(like, np.broadcast_to(x, like.shape) if isinstance(x, np.ndarray | float | int) else x)


# Subjects
# --------


WIDEST_ROWS = "widest rows"


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
        """Indices of the points, the simplest first, with the simplicity of their targets."""
        rank = np.empty(len(self.points), dtype=int)
        rank[order_by_simplicity(self.points)] = np.arange(len(self.points))
        if self.targets is not None and self.targets.size and not self.classes:
            by_target = np.empty(len(self.points), dtype=int)
            by_target[order_by_simplicity(self.targets)] = np.arange(len(self.points))
            rank = rank + by_target
        return np.argsort(rank, kind="stable")
