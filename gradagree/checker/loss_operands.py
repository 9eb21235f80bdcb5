"""The gradients of a loss by its other operands, its targets and parameters, from its value by dual numbers.

They run on any arithmetic, as those in `derivative_forms`: float64 numbers give gradients, rounded numbers error
bounds, balls exact values. So no loss needs a second derivative by hand. An entry is checked where the derivative
exists: it is finite, and the same beside the point.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gradagree.adapters import Unsupported, example_weight
from gradagree.adapters.loss_reduction import is_separable
from gradagree.arithmetic.dual import Dual, record_tangents, tangent_of
from gradagree.arithmetic.model import NARROW, Model
from gradagree.arithmetic.rounded import Rounded, round_once
from gradagree.checker.allowances import ToleranceOptions, underflow_allowance, with_model_radius
from gradagree.checker.comparison import Comparison
from gradagree.checker.conditioning import FRACTIONS, finite_or_zero
from gradagree.reference import ErrorFunction
from gradagree.reference.samples import midpoint, some_targets, to_domain

MAX_NUMBERS = 1 << 17
"""Entries of an array of all directions; beyond, only some entries of the gradient are checked."""
FEWEST = 8
"""At least this number of directions."""
SMOOTH = 2.0**-24
"""Largest change of a derivative, relative to the largest entry, over a few ulps where it exists."""
STEPS = ((0, 0), (1, 1), (-1, -1), (1, -1), (-1, 1))
"""The signs of the steps of outputs and targets to the points at which a derivative is compared; the first is none."""

Gradient = Callable[[ErrorFunction, Any, Any], Any]
"""From a loss, its outputs and its targets to the gradient of the checked entries, on one last axis."""


# The gradient by targets: of each entry alone, of each example alone, or of the batch.


def constant(x: Any) -> Any:
    """A constant beside dual numbers; one that is a dual number itself must not be taken for a variable."""
    return Dual(x, x._lift(np.zeros(x.shape))) if isinstance(x, Dual) else x


def lift_like(x: Any, units: np.ndarray) -> Any:
    return x._lift(units) if hasattr(x, "_lift") else units


def by_entries(factor: float, places: np.ndarray) -> Gradient:
    """Of a loss that is a sum of the losses of its entries, times a factor."""

    def gradient(error: ErrorFunction, o: Any, t: Any) -> Any:
        e = error.value(constant(o[..., None, None]), Dual.variable(t[..., None, None]))
        found = np.broadcast_to(tangent_of(e), t.shape) * factor
        return np.reshape(found, (*t.shape[:-2], -1))[..., places]

    return gradient


def by_examples(factor: float, columns: np.ndarray, examples: int) -> Gradient:
    """Of a loss that is a sum of the losses of its examples, times a factor: one direction for each column."""

    def gradient(error: ErrorFunction, o: Any, t: Any) -> Any:
        alone = t[..., None, :][None]
        units = np.eye(t.shape[-1])[columns].reshape(len(columns), *[1] * (alone.ndim - 2), t.shape[-1])
        units = np.broadcast_to(units, (len(columns), *alone.shape[1:]))
        E = error.value(constant(o[..., None, :]), Dual(alone, lift_like(t, units)))
        found = np.broadcast_to(tangent_of(E), (len(columns), *t.shape[:-1])) * factor
        return np.reshape(np.moveaxis(found, 0, -1), (*t.shape[:-2], examples * len(columns)))

    return gradient


def by_batch(places: np.ndarray) -> Gradient:
    """Of a loss that couples its examples: one direction for each entry."""

    def gradient(error: ErrorFunction, o: Any, t: Any) -> Any:
        shape = t.shape[-2:]
        units = np.eye(shape[0] * shape[1])[places].reshape(len(places), *[1] * (t.ndim - 2), *shape)
        units = np.broadcast_to(units, (len(places), *t.shape))
        E = error.value(constant(o), Dual(t[None], lift_like(t, units)))
        return np.moveaxis(np.broadcast_to(tangent_of(E), (len(places), *t.shape[:-2])), 0, -1)

    return gradient


def some(n: int, most: int) -> np.ndarray:
    """All of n places, or about `most` of them, with the first and the last."""
    return np.arange(n) if n <= most else np.unique(np.linspace(0, n - 1, most).astype(np.int64))


@functools.lru_cache(maxsize=1024)
def target_gradient(error: ErrorFunction, examples: int, outputs: int, width: int) -> tuple[Gradient, np.ndarray]:
    """The gradient by the targets, and the places of its entries in the flat array of targets."""
    numbers = examples * (outputs + width)
    most = max(FEWEST, MAX_NUMBERS // numbers)
    places = some(examples * width, MAX_NUMBERS)
    try:
        factor = example_weight(error, examples)
    except Unsupported:
        places = some(examples * width, most)
        return by_batch(places), places
    entry = entry_weight(error, outputs, width)
    if entry:
        return by_entries(entry * factor, places), places
    columns = some(width, most)
    return by_examples(factor, columns, examples), (np.arange(examples)[:, None] * width + columns).ravel()


def entry_weight(error: ErrorFunction, outputs: int, width: int) -> float | None:
    """The weight of one entry's loss in that of its example: 1 for sums, 1/n for means; None for any other loss."""
    if width != outputs or not is_separable(error, outputs):
        return None
    o = to_domain(error.domain, np.arange(outputs)[None] / 4 - 1)
    t = some_targets(error, 1, outputs)
    with np.errstate(all="ignore"):
        together = float(error.value(o, t))
        alone = float(np.sum(error.value(o[..., None, None], t[..., None, None])))
    slack = outputs * np.finfo(np.float64).eps * abs(alone)
    weights = (weight for weight in (1.0, 1.0 / outputs) if abs(together - weight * alone) <= slack)
    return next(weights, None)


# The gradient by a parameter: one direction for each of its numbers.


def parameter_gradient(name: str, shape: tuple[int, ...]) -> Gradient:
    """The gradient by a parameter of the loss, whose numbers the loss holds."""

    def gradient(error: ErrorFunction, o: Any, t: Any) -> Any:
        given: Any = getattr(error, name)
        value = np.asarray(given, dtype=np.float64) if not hasattr(given, "_parts") else given
        found = []
        for unit in np.eye(max(1, int(np.prod(shape)))):
            moved = Dual(value, lift_like(value, unit.reshape(shape)))
            found.append(tangent_of(error.holding(**{name: moved}).value(constant(o), constant(t))))
        return np.stack(found, axis=-1)

    return gradient


# Where the derivative exists, and its error bounds.


def stepped(x: np.ndarray, signs: Sequence[int], negative: bool = True) -> np.ndarray:
    """x moved by a few ulps, another number of them for each entry, along a new first axis; 0 only up if not negative.

    A share of 0 has no derivative, but a negative one would leave those of the others undefined too.
    """
    steps = (1 + np.arange(x.size).reshape(x.shape) % 5) * np.spacing(np.abs(x))
    return np.stack([x + np.where((x == 0) & (not negative), abs(sign), sign) * steps for sign in signs])


@dataclass(frozen=True)
class OperandGradient:
    """The gradient of a loss by one operand, on the framework's own output and targets.

    gradient is that of the entries at some places of the operand's flat array.
    """

    error: ErrorFunction
    name: str
    o: np.ndarray
    t: np.ndarray
    shape: tuple[int, ...]
    gradient: Gradient
    all_places: np.ndarray

    @classmethod
    def of(cls, error: ErrorFunction, name: str, o: np.ndarray, t: np.ndarray) -> OperandGradient:
        if name == "t":
            return cls(error, name, o, t, t.shape, *target_gradient(error, *o.shape, t.shape[-1]))
        shape = np.shape(getattr(error, name))
        return cls(error, name, o, t, shape, parameter_gradient(name, shape), np.arange(int(np.prod(shape))))

    @functools.cached_property
    def plain(self) -> tuple[np.ndarray, np.ndarray]:
        """The gradient in float64, and whether each entry exists."""
        classes = self.error.targets == "classes"
        signs = list(zip(*STEPS, strict=True))
        o = stepped(self.o, signs[0])
        t = np.stack([self.t] * len(STEPS)) if classes else stepped(self.t, signs[1], self.error.targets == "real")
        with np.errstate(all="ignore"):
            found = np.asarray(self.gradient(self.error, o, t))
            spread = np.max(found, axis=0) - np.min(found, axis=0)
            exists = spread <= SMOOTH * np.max(np.abs(found[0]), initial=0.0, where=np.isfinite(found[0]))
            exists &= spread <= np.max(np.abs(found), axis=0) / 2  # a jump that is small beside other entries
        return found[0], exists

    @functools.cached_property
    def checked(self) -> np.ndarray:
        """Which of the entries at `all_places` are checked: those that exist."""
        return np.flatnonzero(self.plain[1])

    @property
    def places(self) -> np.ndarray:
        """The places of the checked entries."""
        return np.asarray(self.all_places[self.checked])

    def located(self, found: Comparison, which: np.ndarray) -> Comparison:
        """A comparison of some of the checked entries, with its indices in the array of the operand."""
        if not found.index:
            return found

        def index(place: tuple[int, ...]) -> tuple[int, ...]:
            return tuple(int(i) for i in np.unravel_index(self.places[which[place[0]]], self.shape))

        doubtful = tuple(one._replace(place=index(one.place)) for one in found.doubtful)
        return replace(found, index=index(found.index), doubtful=doubtful)

    def of_arrays(self, error: ErrorFunction, o: Any, t: Any) -> Any:
        """The gradient of the checked entries in the arithmetic of the arrays."""
        return self.gradient(error, o, t)[..., self.checked]

    def bounds(self, o: Rounded, t: Any, how: ToleranceOptions) -> Rounded:
        """The gradient of the checked entries, within the error bounds of any correct formula.

        To the radius of the gradient by dual numbers the model of a correct program adds 8 u of its size and of its
        change for a relative change of all operands; with conditioning, of its largest entry and its largest change on
        the way from the middle of the domain, what underflow may lose, and for a parameter sums in the dtype itself.
        """
        if how.rounded_once and o.model.narrow:
            targets = t.with_model(o.model.wide) if isinstance(t, Rounded) else t
            return round_once(self.bounds(o.with_model(o.model.wide), targets, how), o.model)
        narrow = how.conditioning and self.name != "t"
        o = o.with_model(o.model.narrow_sums if narrow else o.model.broadcast_sums)
        with np.errstate(all="ignore"):
            with record_tangents(any_order=True):
                found = o._lift(self.of_arrays(self.held(o.model), o, t))
            if how.own_formula:
                return self.stored_examples(found, o.model)
            scale = np.abs(found.value) + self._change
            if how.conditioning:
                scale = scale + self._largest + self._on_the_way
            bound: Rounded = with_model_radius(found, scale)
            lost: Any = NARROW * o.model.quantum
            if how.conditioning:
                lost = lost + finite_or_zero(underflow_allowance(scale, self._squares, o.model))
            bound = bound.widen(np.where(bound.radius != 0, lost, 0.0))
        return self.stored_examples(bound, o.model)

    def stored_examples(self, bound: Rounded, model: Model) -> Rounded:
        """With the rounding of what a program stores for each example, where it does."""
        if not model.per_example:
            return bound
        return bound.widen(np.where(bound.radius != 0, model.u * np.abs(bound.value), 0.0))

    def held(self, model: Model) -> ErrorFunction:
        """The loss with its parameters as the framework holds them."""
        arrays = {name: np.asarray(getattr(self.error, name)) for name in self.error.parameter_names}
        return self.error.holding(**{name: Rounded.constant(x, model) for name, x in arrays.items()})

    @functools.cached_property
    def _change(self) -> np.ndarray:
        """The change of the gradient along all operands or along their absolute values, whichever is larger."""
        found = [self._along(way) for way in (lambda x: x, np.abs)]
        return finite_or_zero(np.fmax(*found))

    def _along(self, way: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        t: Any = self.t if self.error.targets == "classes" else Dual(self.t, way(self.t))
        return self._change_of(Dual(self.o, way(self.o)), t)

    def _change_of(self, o: Dual, t: Any) -> np.ndarray:
        """The change of the gradient along the tangents of its operands."""
        try:
            change = tangent_of(self.of_arrays(self.error, o, t))
        except (TypeError, ValueError, IndexError):  # a formula without rules for dual numbers of dual numbers
            return np.zeros(len(self.checked))
        return np.abs(np.broadcast_to(change, (len(self.checked),)))

    @functools.cached_property
    def _on_the_way(self) -> np.ndarray:
        """The largest change of the gradient along the way from the middle of the domain, or along its absolute value.

        As in the value of a loss: |o - start| times the largest derivative on the way.
        """
        start = midpoint(self.error.domain, self.o)
        way = self.o - start
        ways = [(start + f * way, side) for f in FRACTIONS for side in (way, np.abs(way))]
        return finite_or_zero(np.fmax.reduce([self._change_of(Dual(o, side), self.t) for o, side in ways]))

    @functools.cached_property
    def _largest(self) -> np.ndarray:
        """The largest entry of the gradient, of the same example, between the middle of the domain and the outputs."""
        start = midpoint(self.error.domain, self.o)
        sizes = [np.abs(self.of_arrays(self.error, start + f * (self.o - start), self.t)) for f in FRACTIONS]
        found = np.zeros(len(self.o))
        np.maximum.at(found, self._examples, finite_or_zero(np.fmax.reduce(sizes)))
        return np.asarray(found[self._examples])

    @functools.cached_property
    def _squares(self) -> np.ndarray:
        """The sum of squares of the outputs and targets of the example of each entry; of the batch for a parameter."""
        squares = np.sum(self.o**2, axis=-1) + np.sum(np.square(self.t.reshape(len(self.t), -1)), axis=-1)
        return np.asarray(squares[self._examples] if self.name == "t" else np.sum(squares))

    @functools.cached_property
    def _examples(self) -> np.ndarray:
        """The example of each checked entry; 0 for a parameter, which belongs to all."""
        return self.places // self.shape[-1] if self.name == "t" else np.zeros_like(self.places)
