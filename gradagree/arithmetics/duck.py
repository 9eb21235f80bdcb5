"""Arrays that NumPy hands its functions to (NEP 13 and NEP 18), so that the reference runs on them unchanged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Self

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

__all__ = ["Duck", "NoRule"]

numpy: Any = np
"""NumPy without its types, which do not know of arrays such as these."""

Rules = dict[Callable[..., Any], Callable[..., Any]]

STRUCTURAL = (
    np.broadcast_to, np.expand_dims, np.flip, np.moveaxis, np.ravel, np.repeat, np.reshape, np.roll, np.squeeze,
    np.swapaxes, np.take, np.take_along_axis, np.tile, np.transpose,
)  # fmt: skip
"""Functions that move entries and compute nothing."""

JOINING = (np.concatenate, np.stack)


class NoRule(TypeError):
    """An arithmetic was asked for a function that it has no rule for."""


class Duck(NDArrayOperatorsMixin):
    """An array of several components, all of one shape, with a rule for each NumPy function that it knows.

    A subclass fills ``rules`` (ufuncs and functions), ``_parts`` and ``_like``; a function that it has no rule for is
    an error naming the function, never a silent wrong answer.
    """

    __slots__ = ()
    arithmetic: ClassVar[str]
    rules: ClassVar[Rules]
    rank: ClassVar[int] = 1
    """Arrays of a higher rank have components of a lower one, and take over where both meet."""

    def _parts(self) -> tuple[Any, ...]:
        """The components; the first one gives the shape."""
        raise NotImplementedError

    def _like(self, *parts: Any) -> Self:
        """The same kind of array from other components."""
        raise NotImplementedError

    def map(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Self:
        """The array whose components are those of this one, rearranged by a structural function."""
        return self._like(*(function(part, *args, **kwargs) for part in self._parts()))

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if any(isinstance(x, Duck) and x.rank > self.rank for x in inputs):
            return NotImplemented
        key: Any = ufunc if method == "__call__" else REDUCTIONS.get((ufunc, method))
        if kwargs.pop("out", None) is not None or key not in self.rules:
            raise self._no_rule(f"{ufunc.__name__}{'' if method == '__call__' else '.' + method}")
        if method == "reduce":
            kwargs.setdefault("axis", 0)
        with np.errstate(all="ignore"):
            return self.rules[key](*inputs, **kwargs)

    def __array_function__(self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        if any(issubclass(kind, Duck) and kind.rank > self.rank for kind in types):
            return NotImplemented
        with np.errstate(all="ignore"):
            if function in self.rules:
                return self.rules[function](*args, **kwargs)
            if function in STRUCTURAL:
                return args[0].map(function, *args[1:], **kwargs)
            if function in JOINING:
                return self._join(function, *args, **kwargs)
            if function in SHAPES:
                return function(np.empty(args[0].shape), *args[1:], **kwargs)
        raise self._no_rule(function.__name__)

    def _join(self, function: Callable[..., Any], arrays: Any, axis: int = 0) -> Self:
        parts = zip(*(self._lift(array)._parts() for array in arrays), strict=True)
        return self._like(*(function(part, axis=axis) for part in parts))

    def _lift(self, x: Any) -> Self:
        """x as an array of this kind."""
        raise NotImplementedError

    def _no_rule(self, name: str) -> NoRule:
        return NoRule(
            f"{self.arithmetic} arithmetic has no rule for {name}; write the formula with functions that it knows: "
            + ", ".join(sorted({rule.__name__ for rule in self.rules}))
        )

    def __getitem__(self, index: Any) -> Self:
        return self._like(*(part[index] for part in self._parts()))

    def __iter__(self) -> Iterator[Self]:
        return (self[i] for i in range(self.shape[0]))

    def __len__(self) -> int:
        return self.shape[0]

    def __bool__(self) -> bool:
        raise NoRule(f"the truth of {self.arithmetic} arrays is not known: use np.where instead of if")

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(np.shape(self._parts()[0]))

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))

    @property
    def T(self) -> Self:
        return self.map(np.transpose)

    def reshape(self, *shape: Any) -> Self:
        return self.map(np.reshape, shape[0] if len(shape) == 1 else shape)

    def sum(self, axis: Any = None, keepdims: bool = False) -> Any:
        return numpy.sum(self, axis=axis, keepdims=keepdims)

    def mean(self, axis: Any = None, keepdims: bool = False) -> Any:
        return numpy.mean(self, axis=axis, keepdims=keepdims)

    def max(self, axis: Any = None, keepdims: bool = False) -> Any:
        return numpy.max(self, axis=axis, keepdims=keepdims)


SHAPES = (np.empty_like, np.full_like, np.ndim, np.ones_like, np.shape, np.size, np.zeros_like)
"""Functions that look only at the shape; they answer with ordinary arrays."""

REDUCTIONS: dict[Any, Any] = {
    (np.add, "reduce"): np.sum,
    (np.maximum, "reduce"): np.max,
    (np.minimum, "reduce"): np.min,
}
