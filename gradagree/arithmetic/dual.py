"""Dual arithmetic: a value and its tangent, by the rules of forward-mode automatic differentiation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, ClassVar, Self

import numpy as np
from scipy import special

from gradagree.arithmetic.derived import fold_entries, order_and_ties
from gradagree.arithmetic.duck import Duck, NoRule, Rules
from gradagree.arithmetic.elimination import determinant, solve
from gradagree.arithmetic.rounded import COMPARISONS, Rounded
from gradagree.arithmetic.three_valued import split
from gradagree.reference.operations.casts import cast
from gradagree.reference.operations.complex_numbers import join_parts
from gradagree.reference.operations.cumulative import accumulate, running_log_sum_exp
from gradagree.reference.operations.derivatives import DERIVATIVES, PARTIALS
from gradagree.reference.operations.linalg import complex_lu_factors, eliminated, in_parts, lu_factors, lu_tangent
from gradagree.reference.operations.primitive import between, certain, midpoints, possible

Seed = Callable[[tuple[int, ...]], Any]
BY_MEAN: ContextVar[bool] = ContextVar("by_mean", default=False)
ANY_ORDER: ContextVar[bool] = ContextVar("any_order", default=False)


@contextmanager
def mean_at_ties() -> Iterator[None]:
    """Within this context, the tangent of the largest of equal entries is the mean of theirs.

    For a smooth function, in whose result the tangent of the largest entry cancels, such as the softmax.
    """
    token = BY_MEAN.set(True)
    try:
        yield
    finally:
        BY_MEAN.reset(token)


@contextmanager
def added_in_any_order() -> Iterator[None]:
    """Within this context, error bounds hold for tangents of several operands that are added in any order.

    Of x + y + z another order has the partial sum y + z, which is at most |y| + |z|.
    """
    token = ANY_ORDER.set(True)
    try:
        yield
    finally:
        ANY_ORDER.reset(token)


class IntermediateTangents:
    """Records the tangent of every dual number, with the roundings that another program may make there.

    Args:
        extra_roundings: Additional roundings of each function's derivative, which a framework may compute in more
            steps.
        any_order: Where tangents are added, reverse mode may have added further terms to the larger one first.
        seeds: Functions from a shape to a tangent, which replaces that of the intermediate array at this place.
    """

    active: ClassVar[IntermediateTangents | None] = None

    def __init__(self, extra_roundings: float, any_order: bool, seeds: Mapping[int, Seed]) -> None:
        self.extra_roundings, self.any_order, self.seeds = extra_roundings, any_order, seeds
        self.tangents: list[Any] = []
        self.applied: list[tuple[Any, Dual, int]] = []
        """Functions of one operand with their operand, and the place of their result in `tangents`."""
        self._derivatives: list[tuple[Rounded, Rounded]] = []

    def see(self, tangent: Any) -> Any:
        """Record the tangent of the next intermediate, or the seed in its place."""
        seed = self.seeds.get(len(self.tangents))
        if seed is not None and np.ndim(tangent):
            tangent = seed(np.shape(tangent))
        self.tangents.append(tangent)
        return tangent

    def derivative(self, tangent: Any) -> Any:
        """The derivative of a function with its extra roundings, where it is rounded at all."""
        if not self.extra_roundings or not isinstance(tangent, Rounded):
            return tangent
        size = np.where(tangent.radius > 0, np.abs(tangent.value), 0.0)
        wider = tangent.widen(self.extra_roundings * tangent.model.u * size)
        self._derivatives.append((wider, tangent))
        return wider

    def sum(self, tangent: Any, x: Any, y: Any) -> Any:
        """The sum of two tangents, with the rounding of a sum that adds further terms to the larger one first."""
        if not self.any_order or not isinstance(tangent, Rounded):
            return tangent
        smaller = np.minimum(*(np.abs(getattr(part, "value", part)) for part in (x, y)))
        return tangent.widen(tangent.model.u * smaller) if smaller.any() else tangent

    def without_extra(self, tangent: Any) -> Any:
        """The derivative of a function without its extra roundings; other tangents unchanged."""
        return next((plain for wider, plain in self._derivatives if wider is tangent), tangent)


@contextmanager
def record_tangents(
    extra_roundings: float = 0, any_order: bool = False, seeds: Mapping[int, Seed] = MappingProxyType({})
) -> Iterator[IntermediateTangents]:
    """Record the tangent of every intermediate value; see `IntermediateTangents` for the arguments."""
    before = IntermediateTangents.active
    IntermediateTangents.active = record = IntermediateTangents(extra_roundings, any_order, seeds)
    try:
        yield record
    finally:
        IntermediateTangents.active = before


def record_derivative(tangent: Any) -> Any:
    """Mark a tangent as the derivative of a library function."""
    record = IntermediateTangents.active
    return tangent if record is None else record.derivative(tangent)


def record_sum(tangent: Any, x: Any, y: Any) -> Any:
    """Mark a tangent as the sum of the tangents x and y."""
    tangent, record = in_any_order(tangent, x, y), IntermediateTangents.active
    return tangent if record is None else record.sum(tangent, x, y)


def in_any_order(tangent: Any, x: Any, y: Any) -> Any:
    """The sum or difference of the tangents x and y, with the rounding of other partial sums."""
    if not ANY_ORDER.get() or not hasattr(tangent, "widen"):
        return tangent
    sizes = [np.abs(midpoints(part)) for part in (x, y)]
    alone = np.logical_or(sizes[0] == 0, sizes[1] == 0)
    return tangent.widen(np.where(alone, 0.0, tangent.model.u * np.maximum(*sizes)))


class Dual(Duck):
    """value + tangent e, with e^2 = 0.

    Both have the same shape, or tangent has further leading axes: one tangent of each direction for the same value.
    """

    __slots__ = ("tangent", "value")
    arithmetic = "dual"
    rules: ClassVar[Rules] = {}
    rank = 2

    def __init__(self, value: Any, tangent: Any) -> None:
        record = IntermediateTangents.active
        self.value = value
        self.tangent = tangent if record is None else record.see(tangent)

    @classmethod
    def variable(cls, p: Any) -> Self:
        """The independent variable p: its tangent is 1 in every entry."""
        ones = np.ones(np.shape(p))
        return cls(p, p._lift(ones) if isinstance(p, Duck) else ones)

    def _parts(self) -> tuple[Any, ...]:
        shapes = np.shape(self.value), np.shape(self.tangent)
        if shapes[0] != shapes[1] and len(shapes[0]) == len(shapes[1]):
            return np.broadcast_to(self.value, np.broadcast_shapes(*shapes)), self.tangent
        return self.value, self.tangent

    def _like(self, *parts: Any) -> Self:
        return type(self)(*parts)

    def __getitem__(self, index: Any) -> Self:
        after_ellipsis = isinstance(index, tuple) and len(index) > 0 and index[0] is Ellipsis
        if after_ellipsis and all(isinstance(place, slice | int) or place is None for place in index[1:]):
            return self._like(self.value[index], self.tangent[index])
        return super().__getitem__(index)

    def _lift(self, x: Any) -> Dual:
        """A constant in the arithmetic of the value."""
        if isinstance(x, Dual):
            return x
        return lift(self.value._lift(x) if isinstance(self.value, Duck) else x)

    def stop_gradient(self) -> Any:
        """The value as a constant."""
        return self.value

    def _join(self, function: Callable[..., Any], arrays: Any, axis: Any = 0) -> Dual:
        """Joined values and tangents; the tangents of constants are zeros in each of the others' directions."""
        duals = [lift(x) for x in arrays]
        if axis is None or all(np.ndim(x.value) == np.ndim(x.tangent) for x in duals):
            return super()._join(function, arrays, axis)
        values = function([x.value for x in duals], axis=axis)
        at = axis if axis < 0 else axis - np.ndim(values)
        tangents = [x.tangent for x in duals]
        alike = None if function is np.stack else at
        return Dual(values, function(broadcast_but(tangents, alike), axis=at))

    @staticmethod
    def between(where: Any, x: Any, y: Any) -> Dual:
        """Value and tangent each lie between those of x and y."""
        x, y = lift(x), lift(y)
        return Dual(between(where, x.value, y.value), between(where, x.tangent, y.tangent))


def broadcast_but(arrays: Sequence[Any], axis: int | None) -> list[Any]:
    """Arrays broadcast to one shape, but for the length of one axis, a negative number; None for all axes."""
    shapes = [list(np.shape(x)) for x in arrays]
    own = [1 if axis is None else shape[axis] for shape in shapes]
    if axis is not None:
        shapes = [[*shape[:axis], 1, *shape[len(shape) + axis + 1 :]] for shape in shapes]
    common = list(np.broadcast_shapes(*map(tuple, shapes)))
    found = []
    for x, length in zip(arrays, own, strict=True):
        if axis is not None:
            common[axis] = length
        found.append(np.broadcast_to(x, tuple(common)))
    return found


def lift(x: Any) -> Dual:
    return x if isinstance(x, Dual) else Dual(x, np.zeros(np.shape(x)))


def tangent_of(x: Any) -> Any:
    """The tangent of a dual array; zero for a constant."""
    return lift(x).tangent


def unary(f: Callable[[Any], Any], derivative: Callable[[Any, Any], Any]) -> Callable[[Dual], Dual]:
    def rule(x: Dual) -> Dual:
        y, record = f(x.value), IntermediateTangents.active
        if record is not None:
            record.applied.append((f, x, len(record.tangents)))
        return Dual(y, record_derivative(derivative(x.value, y) * x.tangent))

    return rule


def binary(f: Callable[[Any, Any], Any], partials: Any) -> Callable[[Any, Any], Dual]:
    """A function of two operands: the tangent sums over the operands that are not constant."""

    def rule(x: Any, y: Any) -> Dual:
        plain = [operand.value if isinstance(operand, Dual) else operand for operand in (x, y)]
        z = f(*plain)
        pairs = zip((x, y), partials, strict=True)
        tangents = [partial(*plain, z) * operand.tangent for operand, partial in pairs if isinstance(operand, Dual)]
        return Dual(z, record_derivative(sum(tangents)))

    return rule


def linear(f: Callable[..., Any]) -> Callable[..., Dual]:
    """Linear functions, applied to value and tangent."""

    def rule(x: Dual, axis: Any = None, keepdims: bool = False) -> Dual:
        names = {"axis": axis, **({"keepdims": True} if keepdims else {})}
        return x.map(f, **names) if axis is None else Dual(f(x.value, **names), f(x.tangent, **names))

    return rule


def add(x: Any, y: Any) -> Dual:
    x, y = lift(x), lift(y)
    return Dual(x.value + y.value, record_sum(x.tangent + y.tangent, x.tangent, y.tangent))


def subtract(x: Any, y: Any) -> Dual:
    x, y = lift(x), lift(y)
    return Dual(x.value - y.value, record_sum(x.tangent - y.tangent, x.tangent, y.tangent))


def product(f: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Dual]:
    def rule(x: Any, y: Any) -> Dual:
        x, y = lift(x), lift(y)
        parts = f(x.tangent, y.value), f(x.value, y.tangent)
        return Dual(f(x.value, y.value), record_sum(parts[0] + parts[1], *parts))

    return rule


def divide(x: Any, y: Any) -> Dual:
    x, y = lift(x), lift(y)
    z = x.value / y.value
    if IntermediateTangents.active is not None:  # a framework may multiply -x y' by 1 / y^2
        IntermediateTangents.active.tangents.append(x.value * y.tangent)
    parts = x.tangent / y.value, z / y.value * y.tangent
    return Dual(z, in_any_order(parts[0] - parts[1], *parts))


def power(x: Any, n: Any) -> Dual:
    if isinstance(n, Duck) or np.ndim(n):
        return binary(np.power, PARTIALS[np.power])(x, n)
    if n == 0:
        return Dual(x.value**0, np.zeros(np.shape(x)))
    return Dual(x.value**n, (x.tangent if n == 1 else n * x.value ** (n - 1) * x.tangent))


def zeta(s: Any, x: Any) -> Dual:
    """Hurwitz zeta function of x; its derivative is -s zeta(s + 1, x)."""
    if isinstance(s, Duck):
        raise NoRule("dual arithmetic supports zeta(s, x) only for ordinary numbers s")
    return unary(lambda x: special.zeta(s, x), lambda x, y: -s * special.zeta(s + 1, x))(x)


def where(condition: Any, x: Any, y: Any) -> Dual:
    x, y = lift(x), lift(y)
    return Dual(np.where(condition, x.value, y.value), np.where(condition, x.tangent, y.tangent))


def maximum(x: Any, y: Any) -> Dual:
    """The tangent of the larger one; NaN at a certain tie of different tangents, where there is no derivative.

    Programs may also compute it as y' + [x > y] (x' - y').
    """
    both = isinstance(x, Dual) and isinstance(y, Dual)
    x, y = lift(x), lift(y)
    tangent = np.where(x.value > y.value, x.tangent, y.tangent)
    if both and np.ndim(tangent) == max(np.ndim(x.value), np.ndim(y.value)):
        by_difference = y.tangent + np.where(x.value > y.value, x.tangent - y.tangent, 0.0)
        tangent = between(np.ones(np.shape(tangent), dtype=bool), tangent, by_difference)
    tie, open = split((x.value == y.value) & (x.tangent != y.tangent))
    return Dual(np.maximum(x.value, y.value), np.where(tie & ~open, np.nan, tangent))


def minimum(x: Any, y: Any) -> Dual:
    return -maximum(-x, -y)


def largest(x: Dual, axis: Any = None, keepdims: bool = False) -> Dual:
    """The tangent of the largest entry; of several, any number between theirs: the mean, or that of one of them."""
    value = np.max(x.value, axis=axis, keepdims=True)
    equal = possible(x.value == value)
    tangent = np.sum(np.where(equal, x.tangent, 0.0), axis=axis, keepdims=True)
    tied = np.sum(equal, axis=axis, keepdims=True) > 1
    if tied.any() and BY_MEAN.get():
        tangent = tangent / np.sum(np.where(equal, 1.0, 0.0), axis=axis, keepdims=True)
    elif tied.any():
        ends = (np.where(equal, x.tangent, end) for end in (np.inf, -np.inf))
        least, most = (f(end, axis=axis, keepdims=True) for f, end in zip((np.min, np.max), ends, strict=True))
        tangent = between(tied, np.where(tied, least, tangent), np.where(tied, most, tangent))
    return Dual(value, tangent) if keepdims else Dual(np.squeeze(value, axis), np.squeeze(tangent, axis))


def sort(x: Dual, axis: int = -1) -> Dual:
    """The tangents in the order of the values; NaN for equal values."""
    parts = x._parts()
    order, tied = order_and_ties(parts[0], axis)
    value, tangent = (np.take_along_axis(part, order, axis=axis) for part in parts)
    return Dual(value, np.where(tied, np.nan, tangent))


def running_product(x: Dual, axis: int | None = None) -> Dual:
    """One factor after the other, y_k' = y_{k-1}' x_k + y_{k-1} x_k'.

    Programs may also compute it as y_k (x_0' / x_0 + ... + x_k' / x_k) up to the first factor 0.
    """
    one_by_one = accumulate(np.multiply, x, axis)
    if np.shape(x.value) != np.shape(x.tangent):
        return one_by_one
    nonzero = certain(x.value != 0)
    y = one_by_one.value
    before = np.logical_and.accumulate(nonzero if axis is not None else nonzero.ravel(), axis=axis or 0)
    other = y * np.cumsum(x.tangent / np.where(nonzero, x.value, 1.0), axis=axis)
    return Dual(y, between(before, one_by_one.tangent, other))


def product_of_entries(x: Dual, axis: Any = None, keepdims: bool = False) -> Dual:
    """The product along axes, whose derivative by a factor is the product of the others.

    Programs may also compute it as the product over this factor.
    """
    found = fold_entries(np.multiply)(x, axis, keepdims)
    if np.shape(x.value) != np.shape(x.tangent):
        return found
    divides = certain(x.value != 0)
    names = {"axis": axis, "keepdims": True}
    other = np.prod(x.value, **names) * np.sum(x.tangent / np.where(divides, x.value, 1.0), **names)
    other = np.reshape(other, np.shape(found.tangent))
    return Dual(found.value, between(np.reshape(np.all(divides, **names), other.shape), found.tangent, other))


def log_sum_exp(x: Dual, axis: Any = None, keepdims: bool = False) -> Dual:
    z = np.logaddexp.reduce(x.value, axis=axis, keepdims=True)
    found = Dual(z, np.sum(np.exp(x.value - z) * x.tangent, axis=axis, keepdims=True))
    return found if keepdims else np.squeeze(found, axis)  # type: ignore[call-overload]


def running_log_sum_exp_of(x: Dual, axis: int | None = None) -> Dual:
    """y_k = log(exp x_0 + ... + exp x_k), one entry after the other.

    Programs may also compute its tangent as a mean of the tangents, with the weights exp(x_i - m) for a number m.
    """
    found = accumulate(np.logaddexp, x, axis)
    if np.shape(x.value) != np.shape(x.tangent) or not np.size(x.tangent):
        return found
    numbers = midpoints(x.value)
    largest = np.max(numbers) if axis is None else np.max(numbers, axis=axis, keepdims=True)
    weights = np.exp(x.value - largest)
    mean = np.cumsum(weights * x.tangent, axis=axis) / np.cumsum(weights, axis=axis)
    return Dual(found.value, between(midpoints(np.cumsum(weights, axis=axis)) > 0, found.tangent, mean))


def determinant_of(x: Dual) -> Dual:
    """The product of the pivots. Programs may also compute its tangent as det(a) tr(a^-1 a')."""
    found = determinant(x)
    if np.shape(x.value) != np.shape(x.tangent) or not np.shape(x.value)[-1]:
        return found
    trace = np.sum(np.linalg.solve(x.value, x.tangent) * np.eye(np.shape(x.value)[-1]), axis=(-2, -1))
    return Dual(found.value, between(midpoints(found.value) != 0, found.tangent, found.value * trace))


def solution(a: Any, b: Any) -> Dual:
    """x = a^-1 b by elimination. Programs may also compute its tangent as a^-1 (b' - a' x)."""
    found = solve(a, b)
    alike = all(np.shape(x.value) == np.shape(x.tangent) for x in (a, b) if isinstance(x, Dual))
    if not alike or np.ndim(b) == 1 or not np.size(found.value):
        return found
    plain = a.value if isinstance(a, Dual) else a
    right = tangent_of(b)
    if isinstance(a, Dual):
        right = right - a.tangent @ found.value
    other = np.linalg.solve(plain, right)
    return Dual(found.value, between(np.isfinite(midpoints(other)), found.tangent, other))


def lu_factors_of(x: Dual) -> Dual:
    """The factors by elimination. Programs may also compute their tangents from those of the product."""
    found = eliminated(x)
    if np.shape(x.value) != np.shape(x.tangent) or not np.size(x.value):
        return found
    other = lu_tangent(found.value, x.tangent)
    return Dual(found.value, between(np.isfinite(midpoints(other)), found.tangent, other))


def complex_lu_factors_of(x: Dual) -> Dual:
    """As `lu_factors_of`."""
    found: Dual = complex_lu_factors.__wrapped__(x)  # type: ignore[attr-defined]
    if np.shape(x.value) != np.shape(x.tangent) or not np.size(x.value):
        return found
    other = in_parts(lu_tangent(*(join_parts(part[0], part[1]) for part in (found.value, x.tangent))))
    return Dual(found.value, between(np.isfinite(midpoints(other)), found.tangent, other))


def convert(x: Dual, **formats: Any) -> Dual:
    return Dual(cast(x.value, **formats), cast(x.tangent, **formats))


def on_values(f: Callable[..., Any]) -> Callable[..., Any]:
    """Functions without a derivative: truth values and indices."""
    return lambda *xs, **kwargs: f(*(lift(x).value for x in xs), **kwargs)


WITHOUT_DERIVATIVE = (*COMPARISONS, np.isfinite, np.isinf, np.isnan, np.signbit, np.argmax, np.argmin, np.argsort)

Dual.rules.update({
    np.add: add, np.subtract: subtract, np.multiply: product(np.multiply), np.matmul: product(np.matmul),
    np.divide: divide, np.positive: lambda x: x, np.maximum: maximum, np.minimum: minimum, np.where: where,
    np.sum: linear(np.sum), np.mean: linear(np.mean), np.cumsum: linear(np.cumsum), np.max: largest, np.sort: sort,
    np.cumprod: running_product, np.prod: product_of_entries, running_log_sum_exp: running_log_sum_exp_of,
    special.logsumexp: log_sum_exp, special.zeta: zeta, cast: convert, np.linalg.det: determinant_of,
    np.linalg.solve: solution, lu_factors: lu_factors_of, complex_lu_factors: complex_lu_factors_of,
    np.fabs: unary(np.absolute, DERIVATIVES[np.absolute]),
    **{f: unary(f, derivative) for f, derivative in DERIVATIVES.items()},
    **{f: binary(f, pair) for f, pair in PARTIALS.items()},
    **{f: on_values(f) for f in WITHOUT_DERIVATIVE}, np.power: power,
})  # fmt: skip
