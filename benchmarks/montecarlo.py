"""Monte Carlo arithmetic: every rounding drawn at random, many times over; what variance arithmetic is held against.

Each result is multiplied by 1 + u x, x drawn evenly from [-1, 1] (Parker, Monte Carlo Arithmetic, 1997). Sums are
formed one term after the other, in an order drawn at random, each partial sum rounded in the accumulator.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from scipy import special

from gradagree.arithmetic.duck import Duck, Rules
from gradagree.arithmetic.model import Model
from gradagree.arithmetic.rounded import COMPARISONS


class Sampled(Duck):
    """samples (SAMPLES, ...): the same number as so many runs with other roundings would have it."""

    __slots__ = ("model", "random", "samples")
    arithmetic = "Monte Carlo"
    rules: ClassVar[Rules] = {}
    count: ClassVar[int] = 400

    def __init__(self, samples: Any, model: Model, random: np.random.Generator) -> None:
        self.samples = samples
        self.model = model
        self.random = random

    @classmethod
    def stored(cls, x: Any, model: Model, random: np.random.Generator) -> Sampled:
        x = np.asarray(x, dtype=np.float64)
        return cls(np.broadcast_to(x, (cls.count, *x.shape)), model, random)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.samples.shape[1:])

    @property
    def deviation(self) -> np.ndarray:
        """The standard deviation over the samples."""
        return np.asarray(np.std(self.samples, axis=0, ddof=1))

    def _parts(self) -> tuple[Any, ...]:
        return (self.samples,)

    def _like(self, *parts: Any) -> Sampled:
        return Sampled(parts[0], self.model, self.random)

    def _lift(self, x: Any) -> Sampled:
        return x if isinstance(x, Sampled) else Sampled.stored(x, self.model, self.random)

    def __getitem__(self, index: Any) -> Sampled:
        index = index if isinstance(index, tuple) else (index,)
        return self._like(self.samples[(slice(None), *index)])

    def map(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Sampled:
        """A structural function, sample by sample."""
        return self._like(np.stack([function(one, *args, **kwargs) for one in self.samples]))

    def rounded(self, exact: Any, u: float | None = None) -> Sampled:
        """Results, each with its own rounding in the dtype or another format; a result that is exact keeps its bits."""
        noise = self.random.uniform(-1, 1, exact.shape)
        return self._like(exact * (1 + (self.model.u if u is None else u) * noise))


def lifted(*xs: Any) -> list[Sampled]:
    known = next(x for x in xs if isinstance(x, Sampled))
    shaped = [known._lift(x) for x in xs]
    rank = max(len(x.shape) for x in shaped)
    return [x._like(x.samples.reshape(Sampled.count, *(1,) * (rank - len(x.shape)), *x.shape)) for x in shaped]


def rounds(f: Callable[..., Any]) -> Callable[..., Sampled]:
    """One operation, entry by entry, and its rounding."""

    def rule(*xs: Any) -> Sampled:
        xs = tuple(lifted(*xs))
        return xs[0].rounded(f(*(x.samples for x in xs)))

    return rule


def exactly(f: Callable[..., Any]) -> Callable[..., Any]:
    def rule(*xs: Any) -> Any:
        xs = tuple(lifted(*xs))
        return xs[0]._like(f(*(x.samples for x in xs)))

    return rule


def where(condition: Any, x: Any, y: Any) -> Sampled:
    condition, x, y = lifted(condition, x, y)
    return x._like(np.where(condition.samples, x.samples, y.samples))


def in_random_order(terms: np.ndarray, like: Sampled, axis: int) -> Sampled:
    """The sum of terms (samples, ...) along an axis."""
    terms = np.moveaxis(terms, axis, 0)
    total = np.zeros(terms.shape[1:])
    for k in like.random.permutation(terms.shape[0]):
        noise = like.random.uniform(-1, 1, total.shape)
        total = (total + terms[k]) * (1 + like.model.accumulator.u * noise)
    return like.rounded(total)


def total(x: Sampled, axis: Any = None, keepdims: bool = False) -> Sampled:
    axes = range(len(x.shape)) if axis is None else (axis,) if isinstance(axis, int) else axis
    places = sorted(a % len(x.shape) for a in axes)
    flat = np.moveaxis(x.samples, [p + 1 for p in places], range(1, len(places) + 1))
    flat = flat.reshape(flat.shape[0], -1, *flat.shape[len(places) + 1 :])
    added = in_random_order(flat, x, 1)
    return added._like(np.expand_dims(added.samples, [p + 1 for p in places])) if keepdims else added


def mean(x: Sampled, axis: Any = None, keepdims: bool = False) -> Any:
    added = total(x, axis, keepdims)
    return added / float(np.prod(x.shape) / max(np.prod(added.shape), 1))


def matmul(x: Any, y: Any) -> Sampled:
    x, y = lifted(x, y)
    products = x.samples[..., :, :, None] * y.samples[..., None, :, :]
    products = products * (1 + x.model.accumulator.u * x.random.uniform(-1, 1, products.shape))
    return in_random_order(products, x, -2)


def largest(x: Sampled, axis: Any = None, keepdims: bool = False) -> Sampled:
    return x._like(np.max(x.samples, axis=axis if axis is None or axis < 0 else axis + 1, keepdims=keepdims))


FUNCTIONS: tuple[Any, ...] = (
    np.add, np.subtract, np.multiply, np.divide, np.power, np.exp, np.expm1, np.log, np.tanh, np.logaddexp, np.square,
    special.expit, special.erf,
)  # fmt: skip
EXACT: tuple[Any, ...] = (np.negative, np.absolute, np.maximum, np.minimum, np.sign, np.positive, *COMPARISONS)
Sampled.rules.update({
    **{f: rounds(f) for f in FUNCTIONS}, **{f: exactly(f) for f in EXACT},
    np.where: where, np.sum: total, np.mean: mean, np.matmul: matmul, np.max: largest,
    np.bitwise_and: exactly(np.logical_and),
})  # fmt: skip
