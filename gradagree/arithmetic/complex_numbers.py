"""Complex numbers as pairs of reals of any arithmetic, so that programs of complex arrays run on the tape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from scipy import special

from gradagree.arithmetic import structural
from gradagree.arithmetic.derived import fold_entries
from gradagree.arithmetic.duck import Duck, NoRule, Rules
from gradagree.reference.operations import complex_numbers as pairs
from gradagree.reference.operations.complex_numbers import HOLOMORPHIC, LOG_SUM_EXP, MAGNITUDE, PRODUCT, Pair
from gradagree.reference.operations.primitive import Primitive, midpoints


class Complex(Duck):
    """re + i im, two arrays of one shape; None stands for a part that is 0 everywhere."""

    __slots__ = ("im", "re")
    arithmetic = "complex"
    rules: ClassVar[Rules] = {}
    rank = 5

    def __init__(self, re: Any, im: Any) -> None:
        if re is None and im is None:
            raise ValueError("one part at least has a shape")
        if re is not None and im is not None and np.shape(re) != np.shape(im):
            re, im = np.broadcast_arrays(re, im)
        self.re = re
        self.im = im

    @classmethod
    def of(cls, x: Any) -> Self:
        """A number, an ordinary array or a real array of any arithmetic as a complex array."""
        if isinstance(x, cls):
            return x
        if isinstance(x, Duck):
            return cls(x, None)
        x = np.asarray(x)
        if x.dtype.kind != "c":
            return cls(x.astype(np.float64), None)
        re, im = (None if not part.any() else np.array(part) for part in (x.real, x.imag))
        return cls(np.zeros(x.shape) if re is None and im is None else re, im)

    def _parts(self) -> tuple[Any, ...]:
        return tuple(part for part in (self.re, self.im) if part is not None)

    def _like(self, *parts: Any) -> Self:
        """Of as many parts as there are; a part that is 0 stays so."""
        given = iter(parts)
        return type(self)(*(None if part is None else next(given) for part in (self.re, self.im)))

    def map(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Self:
        return self._like(*(function(part, *args, **kwargs) for part in self._parts()))

    def _lift(self, x: Any) -> Self:
        return self.of(x)

    def _join(self, function: Callable[..., Any], arrays: Any, axis: int = 0) -> Self:
        full = [self.of(array).pair for array in arrays]
        return type(self)(*(function(list(parts), axis=axis) for parts in zip(*full, strict=True)))

    @property
    def pair(self) -> Pair:
        """Both parts as arrays."""
        zeros = np.zeros(self.shape)
        return (zeros if self.re is None else self.re, zeros if self.im is None else self.im)

    @property
    def real(self) -> Any:
        return self.pair[0]

    @property
    def imag(self) -> Any:
        return self.pair[1]

    def conjugate(self) -> Complex:
        return conjugate(self)

    conj = conjugate

    @property
    def dtype(self) -> Any:
        return np.dtype(np.complex128)

    def _apply(self, key: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if key in (np.conjugate, np.positive):
            return conjugate(args[0]) if key is np.conjugate else self
        return super()._apply(key, name, args, kwargs)

    @property
    def middle(self) -> Any:
        raise NoRule("this operation is not covered for complex numbers")

    def astype(self, dtype: Any) -> Any:
        if np.dtype(dtype).kind == "c":
            return self
        raise NoRule("a complex array has no real dtype; write x.real or np.abs(x)")

    def stop_gradient(self) -> Self:
        return self.map(lambda part: part.stop_gradient() if hasattr(part, "stop_gradient") else part)


def conjugate(z: Complex) -> Complex:
    return Complex(z.re, None if z.im is None else -z.im)


def promotes(args: Any) -> bool:
    """True if one of the arguments of a function is a complex number or an array of them."""
    if isinstance(args, list | tuple):
        return any(map(promotes, args))
    return isinstance(args, complex) or (isinstance(args, np.ndarray | np.generic) and args.dtype.kind == "c")


def apply(function: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A function of real arrays of any arithmetic and of complex constants."""
    return Complex(np.zeros(()), None)._apply(function, name, args, kwargs)


def total(*terms: Any) -> Any:
    """The sum of terms, of which None is 0; None if all are."""
    known = [x for x in terms if x is not None]
    return None if not known else known[0] if len(known) == 1 else known[0] + known[1]


def times(x: Any, y: Any) -> Any:
    return None if x is None or y is None else x * y


def minus(x: Any) -> Any:
    return None if x is None else -x


def of_parts(re: Any, im: Any, shape: Sequence[int]) -> Complex:
    """The complex array of a shape, with parts that may have smaller shapes."""
    re, im = (x if x is None or np.shape(x) == tuple(shape) else np.broadcast_to(x, shape) for x in (re, im))
    return Complex(np.zeros(shape) if re is None and im is None else re, im)


def binary(function: Callable[[Complex, Complex], Pair]) -> Callable[..., Complex]:
    def rule(x: Any, y: Any) -> Complex:
        x, y = Complex.of(x), Complex.of(y)
        return of_parts(*function(x, y), np.broadcast_shapes(x.shape, y.shape))

    return rule


def divide(x: Any, y: Any) -> Complex:
    """By the reciprocal of y; by a real y, each part."""
    x, y = Complex.of(x), Complex.of(y)
    if y.im is None:
        shape = np.broadcast_shapes(x.shape, y.shape)
        re, im = (None if part is None else part / y.re for part in (x.re, x.im))
        return of_parts(re, im, shape)
    return multiply(x, unary("complex reciprocal")(y))


add = binary(lambda x, y: (total(x.re, y.re), total(x.im, y.im)))
subtract = binary(lambda x, y: (total(x.re, minus(y.re)), total(x.im, minus(y.im))))
multiply = binary(
    lambda x, y: (total(times(x.re, y.re), minus(times(x.im, y.im))), total(times(x.re, y.im), times(x.im, y.re)))
)


def recorded(operation: Primitive, *operands: Any, **parameters: Any) -> Any:
    """A primitive of arrays whose first axis holds the two parts; one application on a tape."""
    tape = next((x for x in operands if hasattr(x, "record")), None)
    return (operation.function if tape is None else lambda *xs, **p: tape.record(operation, *xs, **p))(
        *operands, **parameters
    )


def unary(name: str) -> Callable[..., Complex]:
    def rule(z: Any, **parameters: Any) -> Complex:
        found = recorded(HOLOMORPHIC[name], pairs.stacked(Complex.of(z).pair), **parameters)
        return Complex(found[0], found[1])

    return rule


def absolute(z: Any) -> Any:
    z = Complex.of(z)
    if z.re is None or z.im is None:
        return np.abs(z._parts()[0])
    return recorded(MAGNITUDE, pairs.stacked(z.pair))


def angle(z: Any, deg: bool = False) -> Any:
    re, im = Complex.of(z).pair
    found = np.arctan2(im, re)
    return np.rad2deg(found) if deg else found


def sign(z: Any) -> Any:
    """z / |z|, and 0 at 0."""
    z = Complex.of(z)
    size = absolute(z)
    zero = midpoints(size) == 0
    return divide(z, np.where(zero, 1.0, size) if zero.any() else size)


def matmul(x: Any, y: Any) -> Complex:
    x, y = Complex.of(x), Complex.of(y)
    left, right = x.ndim == 1, y.ndim == 1
    x = x.map(np.expand_dims, 0) if left else x
    y = y.map(np.expand_dims, 1) if right else y
    if x.im is None or y.im is None:  # a real matrix times both parts
        parts = [None if a is None or b is None else a @ b for a, b in ((x.re, y.re), (x.im, y.re), (x.re, y.im))]
        shape = next(np.shape(part) for part in parts if part is not None)
        found = of_parts(parts[0], total(*parts[1:]), shape)
    else:
        both = recorded(PRODUCT, pairs.stacked(x.pair), pairs.stacked(y.pair))
        found = Complex(both[0], both[1])
    axes = ((-2,) if left else ()) + ((-1,) if right else ())
    return found.map(np.squeeze, axes) if axes else found


def power(z: Any, exponent: Any) -> Any:
    """A constant power: 2 as a product, others as exp(exponent log z)."""
    if isinstance(exponent, Duck) or np.ndim(exponent):
        return unary("complex exp")(multiply(exponent, unary("complex log")(z)))
    if not isinstance(z, Duck):  # a constant to a complex power
        return unary("complex exp")(multiply(exponent, np.log(np.asarray(z, dtype=np.complex128))))
    exponent = complex(exponent)
    if exponent == 1:
        return z
    if exponent in (2, -1):
        return multiply(z, z) if exponent == 2 else unary("complex reciprocal")(z)
    return unary("complex power")(z, exponent=exponent)


def reduction(function: Callable[..., Any]) -> Callable[..., Complex]:
    return lambda z, *args, **kwargs: Complex.of(z).map(function, *args, **kwargs)


def choose(condition: Any, x: Any, y: Any) -> Complex:
    x, y = Complex.of(x), Complex.of(y)
    shape = np.broadcast_shapes(np.shape(condition), x.shape, y.shape)
    ends = (x.re, y.re), (x.im, y.im)
    re, im = (
        None if a is None and b is None else np.where(condition, 0.0 if a is None else a, 0.0 if b is None else b)
        for a, b in ends
    )
    return of_parts(re, im, shape)


def equal(x: Any, y: Any) -> Any:
    both = zip(Complex.of(x).pair, Complex.of(y).pair, strict=True)
    return np.logical_and(*(a == b for a, b in both))


def variance(z: Any, axis: Any = None, *, ddof: float = 0, keepdims: bool = False, correction: float = 0) -> Any:
    """sum_i |z_i - mean z|^2 / (n - ddof)."""
    z = Complex.of(z)
    rest = subtract(z, z.map(np.mean, axis=axis, keepdims=True))
    squares = np.sum(squared_size(rest), axis=axis, keepdims=keepdims)
    return squares / float(z.size // max(np.size(squares), 1) - (ddof or correction))


def squared_size(z: Complex) -> Any:
    return total(*(None if part is None else part * part for part in (z.re, z.im)))


def norm(z: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """The norm of the magnitudes."""
    if ord in (None, "fro", 2) and (axis is None or not isinstance(axis, tuple) or ord != 2):
        return np.sqrt(np.sum(squared_size(Complex.of(z)), axis=axis, keepdims=keepdims))
    return np.linalg.norm(absolute(z), ord, axis, keepdims)


def logistic(z: Any) -> Complex:
    """(1 + tanh(z / 2)) / 2."""
    return multiply(0.5, add(1.0, unary("complex tanh")(multiply(0.5, z))))


def sinc(z: Any) -> Complex:
    """sin(pi z) / (pi z), and 1 at 0."""
    z = multiply(np.pi, z)
    zero = midpoints(absolute(z)) == 0
    safe = choose(zero, 1.0, z) if zero.any() else z
    found = divide(unary("complex sin")(safe), safe)
    return choose(zero, 1.0, found) if zero.any() else found


def log_sum_exp(z: Any, axis: Any = None, keepdims: bool = False) -> Complex:
    """log(sum_i exp z_i)."""
    z = Complex.of(z)
    over = tuple(range(z.ndim)) if axis is None else tuple(int(k) % z.ndim for k in np.atleast_1d(axis))
    both = recorded(LOG_SUM_EXP, pairs.stacked(z.pair), axes=over)
    found = Complex(both[0], both[1])
    return found if keepdims else found.map(np.squeeze, over)


def in_blocks(z: Complex) -> Any:
    """The real matrix [[a, -b], [b, a]] that multiplies the parts of vectors as a + i b does."""
    re, im = z.pair
    return np.concatenate([np.concatenate([re, -im], axis=-1), np.concatenate([im, re], axis=-1)], axis=-2)


def solve(a: Any, b: Any) -> Complex:
    a, b = Complex.of(a), Complex.of(b)
    n, vector = a.shape[-1], b.ndim == 1
    columns = np.concatenate(list(b.pair), axis=-1 if vector else -2)
    found = np.linalg.solve(in_blocks(a), columns)
    return Complex(found[:n], found[n:]) if vector else Complex(found[..., :n, :], found[..., n:, :])


def inverse(a: Any) -> Complex:
    a = Complex.of(a)
    found = np.linalg.inv(in_blocks(a))[..., : a.shape[-1]]
    return Complex(found[..., : a.shape[-1], :], found[..., a.shape[-1] :, :])


def determinant(a: Any) -> Complex:
    """The product of the pivots of elimination, whose rows are exchanged as for the given numbers."""
    a = Complex.of(a)
    found: Complex = Complex.of(np.ones(a.shape[:-2]))
    for _ in range(a.shape[-1]):
        first = np.argmax(midpoints(absolute(a[..., :, 0])), axis=-1)
        others = np.arange(a.shape[-2]) != first[..., None]
        order = np.concatenate([first[..., None], rows_of(others)], axis=-1)
        a = a.map(np.take_along_axis, order[..., None], axis=-2)
        found = multiply(found, multiply(a[..., 0, 0], np.where(first % 2 == 0, 1.0, -1.0)))
        rest, factors = a[..., 1:, 1:], divide(a[..., 1:, :1], a[..., :1, :1]) if a.shape[-2] > 1 else None
        a = rest if factors is None else subtract(rest, multiply(factors, a[..., :1, 1:]))
    return found


def rows_of(mask: np.ndarray) -> np.ndarray:
    """The places where a mask is true along its last axis, equally many in each row."""
    return np.argsort(~mask, axis=-1, kind="stable")[..., : mask.shape[-1] - 1]


def vdot(x: Any, y: Any) -> Any:
    """sum_i conj(x_i) y_i."""
    return matmul(conjugate(Complex.of(x)).map(np.ravel), np.ravel(y))


def real_parts(z: Any) -> Any:
    return Complex.of(z).pair[0]


def imaginary_parts(z: Any) -> Any:
    return Complex.of(z).pair[1]


def of_both(function: Callable[..., Any], join: Callable[..., Any]) -> Callable[..., Any]:
    """np.isnan and its relatives: of one part or of both."""
    return lambda z: join(*(function(part) for part in Complex.of(z).pair))


Complex.rules.update({
    np.add: add, np.subtract: subtract, np.multiply: multiply, np.divide: divide, np.negative: reduction(np.negative),
    np.matmul: matmul, np.power: power, np.square: lambda z: multiply(z, z), np.absolute: absolute,
    np.angle: angle, np.sign: sign, np.real: real_parts, np.imag: imaginary_parts, np.where: choose,
    np.equal: equal, np.not_equal: lambda x, y: np.logical_not(equal(x, y)),
    np.exp: unary("complex exp"), np.log: unary("complex log"), np.sqrt: unary("complex sqrt"),
    np.reciprocal: unary("complex reciprocal"), np.sin: unary("complex sin"), np.cos: unary("complex cos"),
    np.tan: unary("complex tan"), np.sinh: unary("complex sinh"), np.cosh: unary("complex cosh"),
    np.tanh: unary("complex tanh"), special.expit: logistic,
    np.log2: lambda z: multiply(1 / np.log(2.0), unary("complex log")(z)),
    np.log10: lambda z: multiply(1 / np.log(10.0), unary("complex log")(z)),
    np.log1p: lambda z: unary("complex log")(add(1.0, z)),
    np.exp2: lambda z: unary("complex exp")(multiply(np.log(2.0), z)),
    np.sum: reduction(np.sum), np.mean: reduction(np.mean), np.cumsum: reduction(np.cumsum),
    np.prod: fold_entries(np.multiply), np.var: variance, np.std: lambda z, *a, **k: np.sqrt(variance(z, *a, **k)),
    np.linalg.norm: norm, np.isnan: of_both(np.isnan, np.logical_or), np.isinf: of_both(np.isinf, np.logical_or),
    np.isfinite: of_both(np.isfinite, np.logical_and),
    **{getattr(np, name): unary(f"complex {name}")
       for name in ("arcsin", "arccos", "arctan", "arcsinh", "arccosh", "arctanh", "expm1")},
    np.sinc: sinc, special.logsumexp: log_sum_exp, np.linalg.solve: solve,
    np.linalg.inv: inverse, np.linalg.det: determinant,
})  # fmt: skip
SHARED = (
    *structural.STRUCTURAL, *structural.SPLITTING, *structural.JOINING, *structural.SHAPES,
    np.broadcast_arrays, np.pad, np.tril, np.triu, np.append, np.column_stack, np.hstack, np.vstack, np.dstack,
    np.atleast_1d, np.atleast_2d, np.atleast_3d, np.tensordot, np.dot, np.inner, np.einsum, np.outer, np.trace,
    np.average, np.diff, np.polyval, np.cumprod,
)  # fmt: skip
"""Functions that are written in terms of others, and hold for complex numbers as they stand."""
Complex.derived = {function: Duck.derived[function] for function in SHARED if function in Duck.derived}
Complex.derived[np.vdot] = vdot
Duck.derived.update({
    pairs.join_parts: lambda re, im: of_parts(re, im, np.broadcast_shapes(np.shape(re), np.shape(im))),
    np.real: lambda x: x, np.imag: lambda x: np.zeros(x.shape), np.angle: lambda x: np.where(x < 0, np.pi, 0.0),
})  # fmt: skip
