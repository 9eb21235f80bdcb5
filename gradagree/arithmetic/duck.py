"""Base class of array types that NumPy dispatches to (NEP 13, NEP 18), so that the reference runs on them unchanged."""

from __future__ import annotations

import contextlib
import contextvars
import difflib
import inspect
import sys
from collections.abc import Callable, Collection, Iterator
from typing import Any, ClassVar, NoReturn, Self

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from scipy import special

from gradagree.reference.operations.cumulative import running_log_sum_exp, running_max, running_min
from gradagree.reference.operations.primitive import OVERRIDABLE

REDUCTIONS: dict[Any, Any] = {
    (np.add, "reduce"): np.sum, (np.maximum, "reduce"): np.max, (np.minimum, "reduce"): np.min,
    (np.multiply, "reduce"): np.prod, (np.logaddexp, "reduce"): special.logsumexp,
    (np.logical_or, "reduce"): np.any, (np.logical_and, "reduce"): np.all,
    (np.add, "accumulate"): np.cumsum, (np.multiply, "accumulate"): np.cumprod,
    (np.maximum, "accumulate"): running_max, (np.minimum, "accumulate"): running_min,
    (np.logaddexp, "accumulate"): running_log_sum_exp,
}  # fmt: skip
"""Ufunc methods and the functions that they are equivalent to."""

ALIASES: dict[Callable[..., Any], Callable[..., Any]] = {
    np.amax: np.max, np.amin: np.min, np.conjugate: np.positive, np.fmax: np.maximum, np.fmin: np.minimum,
    np.float_power: np.power, np.degrees: np.rad2deg, np.radians: np.deg2rad, np.i0: special.i0,
    special.cbrt: np.cbrt, special.exp2: np.exp2, special.expm1: np.expm1, special.log1p: np.log1p,
    special.round: np.rint, getattr(special._ufuncs, "_zeta", special.zeta): special.zeta,
}  # fmt: skip
"""Functions that are equivalent to another one for inputs without NaN."""

DEFAULTS = (None, True, getattr(np, "_NoValue", None))
DEFAULT_ONLY = ("dtype", "initial", "out", "where")
"""Keyword arguments accepted only at their defaults."""
IGNORED = ("copy", "kind", "optimize", "stable")
"""Keyword arguments that do not change the result."""


def drop_defaults(kwargs: dict[str, Any]) -> dict[str, Any]:
    """The keyword arguments without those that only repeat a default; the default dtype is float64."""
    return {
        name: value
        for name, value in kwargs.items()
        if name not in IGNORED
        and not (name in DEFAULT_ONLY and any(value is default for default in DEFAULTS))
        and not (name == "dtype" and value in (float, np.float64, "float64"))
    }


REDUCING = (np.sum, np.prod, np.mean, np.var, np.std, np.max, np.min, np.cumsum, np.cumprod, np.ptp, np.average)


def bind_reduction_arguments(
    function: Callable[..., Any], args: Any, kwargs: dict[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """Positional arguments of a reduction after array and axis, as keyword arguments."""
    if function not in REDUCING or len(args) <= 2:
        return args, kwargs
    names = list(inspect.signature(function).parameters)[2:]
    return args[:2], {**dict(zip(names, args[2:], strict=False)), **kwargs}


class NoRule(TypeError):
    """An arithmetic has no rule for a function, or not for these arguments."""


SHIFTED = "z = x - np.max(x, axis=-1, keepdims=True)"
INSTEAD = {
    "np.asarray": "x itself, or np.stack([x, y])",
    "logsumexp": "np.logaddexp.reduce(x, axis=-1)",
    "softmax": f"{SHIFTED}, then np.exp(z) / np.sum(np.exp(z), axis=-1, keepdims=True)",
    "log_softmax": f"{SHIFTED}, then z - np.log(np.sum(np.exp(z), axis=-1, keepdims=True))",
    "polygamma": "digamma(x) and zeta(n + 1, x)",
}
"""Alternatives for Python functions that convert their arguments to ordinary arrays."""


def missing_rule_error(arithmetic: str, name: str, known: Collection[str]) -> NoRule:
    """The error for an unsupported function, with the closest supported name and all supported names."""
    near = difflib.get_close_matches(name.split(".")[0], known, 1)
    hint = f"did you mean {near[0]}? " if near and near[0] != name.split(".")[0] else ""
    return NoRule(
        f"{arithmetic} arithmetic does not support {name}; {hint}write the formula with functions that it supports: "
        + ", ".join(sorted(known))
    )


def in_place_error(arithmetic: str, name: str) -> NoRule:
    """The error for x += y and for out=."""
    return NoRule(
        f"{arithmetic} arrays cannot be changed in place by {name}; write x = x + y for x += y, and do not use out="
    )


def argument_error(arithmetic: str, name: str, rule: Callable[..., Any], args: Any, kwargs: Any) -> NoRule | None:
    """The error for arguments that a rule does not accept; None if it accepts them."""
    try:
        inspect.signature(rule).bind(*args, **kwargs)
    except TypeError as wrong:
        return NoRule(f"{arithmetic} arithmetic supports {name}, but not with these arguments: {wrong}")
    return None


def conversion_error(arithmetic: str) -> NoRule:
    """The error for a conversion to an ordinary array, with the name of the library function that tried it."""
    function, frame = "np.asarray", sys._getframe(2)
    while frame is not None and frame.f_globals.get("__name__", "").split(".")[0] in ("numpy", "scipy"):
        if not frame.f_code.co_name.startswith(("_", "wrapper", "<")):
            function = frame.f_code.co_name
        frame = frame.f_back  # type: ignore[assignment]
    advice = INSTEAD.get(function, "the formula with NumPy's functions and those of scipy.special")
    if arithmetic == "three-valued":
        advice = "np.where(condition, x, y)"
    return NoRule(f"{arithmetic} arithmetic does not support {function}, which needs ordinary arrays; write {advice}")


Rules = dict[Callable[..., Any], Callable[..., Any]]
QUIET: contextvars.ContextVar[bool] = contextvars.ContextVar("QUIET", default=False)
"""True within `quiet`."""


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Rules say nothing of overflow and of invalid operations, as NumPy would."""
    token = QUIET.set(True)
    try:
        with np.errstate(all="ignore"):
            yield
    finally:
        QUIET.reset(token)


def method(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as a method of the array that is its first argument."""
    return lambda x, *args, **kwargs: function(x, *args, **kwargs)


class Duck(NDArrayOperatorsMixin):
    """An array of components of one shape, with a rule for each NumPy function that it supports.

    A subclass fills ``rules`` (ufuncs and functions), ``_parts`` and ``_like``; ``derived`` holds the functions that
    are written in terms of others, shared by all arithmetics. A function without a rule raises NoRule with its name
    and never gives a silent wrong result.
    """

    __slots__ = ()
    arithmetic: ClassVar[str]
    rules: ClassVar[Rules]
    derived: ClassVar[Rules] = {function: function.__wrapped__ for function in OVERRIDABLE}
    between: ClassVar[Callable[..., Any]]
    """``between(where, x, y)`` is x; where marked, any number between x and y (from `three_valued`)."""
    rank: ClassVar[int] = 1
    """Priority in mixed operations: an array of higher rank has components of lower rank."""

    def _parts(self) -> tuple[Any, ...]:
        """The components; the first gives the shape."""
        raise NotImplementedError

    def _like(self, *parts: Any) -> Self:
        """An array of the same type from other components."""
        raise NotImplementedError

    def map(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Self:
        """Apply a structural function (one that only moves entries) to each component."""
        return self._like(*(function(part, *args, **kwargs) for part in self._parts()))

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        for x in inputs:
            if isinstance(x, Duck) and x.rank > self.rank:
                return NotImplemented
        if method == "__call__":
            return self._apply(ufunc, ufunc.__name__, inputs, kwargs)
        if method in ("reduce", "accumulate"):
            kwargs.setdefault("axis", 0)
        return self._apply(REDUCTIONS.get((ufunc, method)), f"{ufunc.__name__}.{method}", inputs, kwargs)

    def __array_function__(self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        if function is np.shape:
            return self.shape
        if len(types) > 1 and any(issubclass(kind, Duck) and kind.rank > self.rank for kind in types):
            return NotImplemented
        args, kwargs = bind_reduction_arguments(function, args, kwargs)
        return self._apply(function, function.__name__, args, kwargs)

    def _apply(self, key: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        key = ALIASES.get(key, key)
        if kwargs:
            if kwargs.get("out") is not None:
                raise in_place_error(self.arithmetic, name)
            kwargs = drop_defaults(kwargs)
        rule = self.rules.get(key, self.derived.get(key))
        if rule is None:
            raise missing_rule_error(self.arithmetic, name.strip("_"), self.known())
        try:
            if QUIET.get():
                return rule(*args, **kwargs)
            with quiet():
                return rule(*args, **kwargs)
        except TypeError as wrong:
            raise argument_error(self.arithmetic, name, rule, args, kwargs) or wrong from None

    @classmethod
    def known(cls) -> set[str]:
        """The names of all supported functions."""
        return {function.__name__.strip("_") for function in (*cls.rules, *cls.derived, *ALIASES)}

    def _join(self, function: Callable[..., Any], arrays: Any, axis: int = 0) -> Self:
        parts = zip(*(self._lift(array)._parts() for array in arrays), strict=True)
        return self._like(*(function(part, axis=axis) for part in parts))

    def _lift(self, x: Any) -> Self:
        """x as an array of this type."""
        raise NotImplementedError

    def __getitem__(self, index: Any) -> Self:
        return self._like(*(part[index] for part in self._parts()))

    def __setitem__(self, index: Any, value: Any) -> NoReturn:
        raise NoRule(
            f"{self.arithmetic} arrays do not support item assignment; use np.where, np.concatenate or np.stack"
        )

    def __iter__(self) -> Iterator[Self]:
        return (self[i] for i in range(self.shape[0]))

    def __len__(self) -> int:
        return self.shape[0]

    def __bool__(self) -> bool:
        raise NoRule(f"the truth value of {self.arithmetic} arrays is not known; use np.where instead of if")

    def __array__(self, *args: Any, **kwargs: Any) -> None:
        raise conversion_error(self.arithmetic)

    def __float__(self, *_: Any) -> float:
        raise NoRule(
            f"an entry of a {self.arithmetic} array is not a float; use NumPy functions instead of the math module"
        )

    item = tolist = method(__float__)

    @property
    def shape(self) -> tuple[int, ...]:
        return self._parts()[0].shape

    @property
    def ndim(self) -> int:
        return self._parts()[0].ndim

    @property
    def size(self) -> int:
        return self._parts()[0].size

    @property
    def dtype(self) -> np.dtype[np.float64]:
        """The dtype for ordinary arrays that a formula creates."""
        return np.dtype(np.float64)

    @property
    def T(self) -> Self:
        return self.map(np.transpose)

    def reshape(self, *shape: Any) -> Self:
        return self.map(np.reshape, shape[0] if len(shape) == 1 else shape)

    def transpose(self, *axes: Any) -> Self:
        return self.map(np.transpose, axes[0] if len(axes) == 1 else axes or None)

    def copy(self) -> Self:
        return self

    def astype(self, dtype: Any) -> Any:
        """The array itself; for a comparison, 1.0 where it is true."""
        if np.dtype(dtype) != np.float64:
            raise NoRule(
                f"{self.arithmetic} arrays already have the dtype of the program; write astype(float), not {dtype}"
            )
        return +self

    sum, mean, prod, max, min = (method(f) for f in (np.sum, np.mean, np.prod, np.max, np.min))
    var, std, cumsum, cumprod, clip = (method(f) for f in (np.var, np.std, np.cumsum, np.cumprod, np.clip))
    dot, round, repeat, take, squeeze = (method(f) for f in (np.dot, np.round, np.repeat, np.take, np.squeeze))
    argmax, argmin, argsort, diagonal = (method(f) for f in (np.argmax, np.argmin, np.argsort, np.diagonal))
    swapaxes, ravel, flatten, trace = (method(f) for f in (np.swapaxes, np.ravel, np.ravel, np.trace))
