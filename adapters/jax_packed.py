"""Jax mode packed: padded per-operation programs."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gradagree.adapters.problem import (
    Answer,
    Problem,
    Unsupported,
    activation_parameters,
    by_node,
    with_parameters,
)
from gradagree.adapters.programs import near_mapping_limit
from gradagree.reference import Activation, ErrorFunction
from gradagree.reference.graph import INPUTS, parameter_name
from gradagree.reference.samples import allowed_width, as_targets, some_targets, to_domain

if TYPE_CHECKING:
    from gradagree.adapters.adapter import Adapter


# Arrays in the corner of larger ones
# -----------------------------------


def pad_with_zeros(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """x in the corner of zeros."""
    whole = np.zeros(shape)
    whole[tuple(slice(0, n) for n in x.shape)] = x
    return whole


def pad_with_edges(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """x in the corner of copies of its edges: inside whatever x is inside of."""
    return np.asarray(x[np.ix_(*(np.minimum(np.arange(m), n - 1) for m, n in zip(shape, x.shape, strict=True)))])


# Error functions that are a sum, or a mean, of what each entry has of its own
# ----------------------------------------------------------------------------


ROWS = 64
EXAMPLES = 3
MAX_ROUNDINGS = 64
"""Roundings that a sum of few terms may have. It decides how a case is asked, and never what its answer is worth."""


class LossReduction(NamedTuple):
    """How a framework's own form adds up examples, and the entries of a row: "sum", "mean", or None for neither."""

    examples: str | None
    entries: str | None

    def counts(self, examples: int, entries: int) -> float:
        """What one entry's own error, or with 1 for entries one example's, counts for."""
        return (examples if self.examples == "mean" else 1) ** -1.0 * (entries if self.entries == "mean" else 1) ** -1.0


def sample_operands(error: ErrorFunction) -> tuple[np.ndarray, np.ndarray]:
    """A few outputs and targets, (3, outputs), on which the summation of a loss is probed."""
    outputs = allowed_width(error, 4)
    o = to_domain(error.domain, np.arange(EXAMPLES * outputs).reshape(EXAMPLES, outputs) / 4 - 1)
    return o, some_targets(error, EXAMPLES, outputs)


def loss_reduction(whole: Any, examples: Any, entries: Any = None) -> LossReduction:
    """From E of all, of each example alone, and of each entry alone where that has a meaning."""
    return LossReduction(
        _reduction(whole, examples), None if entries is None else _reduction(examples, np.asarray(entries).T)
    )


def _reduction(whole: Any, parts: Any) -> str | None:
    total, count = np.sum(parts, axis=0), len(parts)
    ways = {"sum": total, "mean": total / count}
    return next((name for name, value in ways.items() if _same(np.asarray(whole), value) and np.any(value)), None)


@functools.lru_cache(maxsize=1024)
def is_separable(error: ErrorFunction, outputs: int) -> bool:
    """True if the loss of a row of `outputs` entries is a sum or a mean of the losses of its entries."""
    if error.targets in ("classes", "simplex") or error.domain in ("simplex", "log_simplex") or error.width(1) != 1:
        return False
    width = allowed_width(error, 3)
    if error.width(width) != width or error.width(outputs) != outputs:
        return False
    o, t = _spread(error, width)
    alone = o[..., None, None], t[..., None, None]
    slope, slopes = error.sensitivity(o[:, None], t[:, None])[:, 0], error.sensitivity(*alone)[..., 0, 0]
    way = _reduction(error.value(o[:, None], t[:, None]), error.value(*alone).T)
    return way is not None and bool(slopes.any()) and _same(slope, slopes / (width if way == "mean" else 1))


def _spread(error: ErrorFunction, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Outputs and targets all over their kinds, (rows, width); no entry goes with its neighbours."""
    k = np.arange(ROWS * width).reshape(ROWS, width)
    fractions = (k * 0.6180339887498949) % 1, (k * 0.41421356237309515) % 1
    o, t = (8 * fraction - 4 for fraction in fractions)
    return to_domain(error.domain, o), as_targets(error.targets, t)


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal up to the rounding of a short sum; losses that are no sum differ by much more."""
    return bool(np.all(np.abs(a - b) <= MAX_ROUNDINGS * np.finfo(np.float64).eps * (np.abs(a) + np.abs(b) + 1)))


# jax's ``packed`` mode: every box alone, in programs that serve all architectures
# --------------------------------------------------------------------------------


MAX_EXAMPLES, MAX_WIDTH = 32, 80
"""The shape that everything is padded to."""


class Packed:
    """The programs of one adapter, by function."""

    def __init__(self, adapter: Adapter) -> None:
        self.adapter, self.jax = adapter, adapter.framework
        self._made: dict[Any, Any] = {}
        self._adding: dict[ErrorFunction, LossReduction] = {}

    def answer(self, problem: Problem) -> Answer:
        """The gradient, with taps. Raises Unsupported for what does not fit."""
        check_size(problem)
        started = time.perf_counter()
        whole, inside = [np.asarray(problem.inputs, dtype=np.float64)], []
        for activation, w, b in nodes(problem):
            inside.append(self.activated(activation, whole[-1], problem.dtype))
            whole.append(inside[-1] if w is None else self.weighted(inside[-1], w, b, problem.dtype))
        E, delta = self.error(problem, whole[-1])
        deltas: list[Any] = [delta]
        gradients: dict[str, Any] = {}
        for k in range(len(inside), 0, -1):
            (activation, w, b), p, a = nodes(problem)[k - 1], whole[k - 1], inside[k - 1]
            found: dict[str, Any] = {}
            if w is not None:
                delta, found["w"], found["b"] = self.weights_pulled(a, w, b, delta, problem.dtype)
            delta, *own = self.pulled(activation, p, delta, problem.dtype)
            found |= dict(zip(activation.own_weights, own, strict=True))
            gradients |= {parameter_name(k, name): x for name, x in found.items() if x is not None}
            deltas.append(delta)
        seconds = time.perf_counter() - started
        values, cotangents = ({INPUTS: xs[0], **by_node(xs[1:])} for xs in (whole, deltas[::-1]))
        ordered = {name: gradients[name] for name in problem.parameters}
        return Answer(E, values, cotangents, ordered, seconds)

    def activated(self, activation: Activation, p: np.ndarray, dtype: str) -> np.ndarray:
        """a = A(p), (examples, width)."""
        return self._activation(activation, p, None, dtype)[0]

    def pulled(self, activation: Activation, p: np.ndarray, delta: np.ndarray, dtype: str) -> list[np.ndarray]:
        """delta_p from delta_a, and the gradients of the activation's parameters."""
        return self._activation(activation, p, delta, dtype)[1:]

    def _activation(self, activation: Activation, p: np.ndarray, delta: np.ndarray | None, dtype: str) -> Any:
        """A(p), and what delta, or 0, is pulled back to; what is added copies the first row, and has no delta."""
        (n, width), rows = p.shape, activation.along_last_axis
        outputs, room = activation.width(width) or 0, width if rows else MAX_WIDTH
        own = activation_parameters([activation])
        numbers = [pad_with_edges(p, (MAX_EXAMPLES, room)), *(pad_with_edges(x, (room,) * x.ndim) for x in own)]
        sensitivity = pad_with_zeros(
            np.zeros((n, outputs)) if delta is None else delta, (MAX_EXAMPLES, outputs if rows else MAX_WIDTH)
        )
        program = self._program(
            (activation, rows and width), lambda: value_and_vjp(self.jax, self._function(activation))
        )
        a, delta_p, *slopes = program(*(self.adapter.array(x, dtype) for x in (*numbers, sensitivity)))
        back = self.adapter.back
        taken = (back(slope)[tuple(slice(k) for k in x.shape)] for slope, x in zip(slopes, own, strict=True))
        return [back(a)[:n, :outputs], back(delta_p)[:n, :width], *taken]

    def _function(self, activation: Activation) -> Callable[..., Any]:
        """A as a function of p and of its parameters."""
        return lambda *leaves: self.adapter.implementation(with_parameters([activation], leaves)[0])(leaves[0])

    def _program(self, key: Any, make: Callable[[], Any]) -> Any:
        """Compiled once; jax keeps a form of it for each dtype and shape."""
        if key not in self._made:
            if near_mapping_limit():
                self._made.clear()
                self.adapter.forget()
            self._made[key] = self.jax.jit(make())
        return self._made[key]

    def weighted(self, a: np.ndarray, w: np.ndarray, b: np.ndarray | None, dtype: str) -> np.ndarray:
        """c = a w + b."""
        zeros = np.zeros((len(a), w.shape[1]))
        return self._weights(a, w, b, zeros, dtype)[0]

    def weights_pulled(self, a: np.ndarray, w: np.ndarray, b: np.ndarray | None, delta: Any, dtype: str) -> Any:
        """delta_a, dE/dw, and dE/db or None."""
        return self._weights(a, w, b, delta, dtype)[1:]

    def _weights(self, a: np.ndarray, w: np.ndarray, b: np.ndarray | None, delta: Any, dtype: str) -> Any:
        n, inputs, outputs = *a.shape, w.shape[1]
        shapes = (MAX_EXAMPLES, MAX_WIDTH), (MAX_WIDTH, MAX_WIDTH), (MAX_WIDTH,), (MAX_EXAMPLES, MAX_WIDTH)
        numbers = (a, w, np.zeros(outputs) if b is None else b, delta)
        operands = [
            self.adapter.array(pad_with_zeros(x, shape), dtype) for x, shape in zip(numbers, shapes, strict=True)
        ]
        affine = self._program("affine", lambda: value_and_vjp(self.jax, lambda a, w, b: a @ w + b))
        c, delta_a, dw, db = (self.adapter.back(x) for x in affine(*operands))
        return c[:n, :outputs], delta_a[:n, :inputs], dw[:inputs, :outputs], None if b is None else db[:outputs]

    def error(self, problem: Problem, o: np.ndarray) -> tuple[float, np.ndarray]:
        """(E, delta_o): of each entry, or each example, alone, and summed; of all at once where they hang together."""
        error, dtype, t, (n, width) = problem.error, problem.dtype, problem.targets, o.shape
        way = self.adding(error)
        if way.examples is None:
            return self._loss(error, o, t, np.ones(()), None, dtype)
        by_entries = way.entries is not None and is_separable(error, width)
        room = (MAX_EXAMPLES, MAX_WIDTH if by_entries else width)
        targets = pad_with_edges(t, room if by_entries else (MAX_EXAMPLES, *t.shape[1:]))
        there = pad_with_zeros(np.ones((n, width) if by_entries else n), room[: 1 + by_entries])
        parts = n * width if by_entries else n
        counts = way.counts(n, width if by_entries else 1)
        E, delta = self._loss(
            error, pad_with_edges(o, room), targets, there, counts * parts if counts < 1 else None, dtype
        )
        return E, delta[:n, :width]

    def adding(self, error: ErrorFunction) -> LossReduction:
        """How the framework's own form adds up, from what it gives; a form that adds up wrongly is not put right."""
        if error not in self._adding:
            o, t = sample_operands(error)
            function = self.adapter.implementation(error)
            depths = range(3 if is_separable(error, o.shape[1]) else 2)
            each = self.jax.jit(lambda o, t: [map_leading_axes(self.jax, function, depth)(o, t) for depth in depths])
            found = each(self.adapter.array(o, "float64"), self.adapter.constant(t, "float64"))
            self._adding[error] = loss_reduction(*(self.adapter.back(E) for E in found))
        return self._adding[error]

    def _loss(
        self, error: ErrorFunction, o: np.ndarray, t: np.ndarray, there: np.ndarray, times: float | None, dtype: str
    ) -> tuple[float, np.ndarray]:
        """(E, delta_o) of all, examples, or their entries, that are there: their sum, or so many times their mean."""
        key = error, there.ndim, times is None, None if there.ndim == 2 else o.shape
        program = self._program(
            key, lambda: reduced_value_and_grad(self.jax, self.adapter.implementation(error), there.ndim, times is None)
        )
        numbers = (t, there, np.array(1.0 if times is None else times))
        E, delta = program(self.adapter.array(o, dtype), *(self.adapter.constant(x, dtype) for x in numbers))
        return float(self.adapter.back(E)), self.adapter.back(delta)


def map_leading_axes(jax: Any, function: Callable[..., Any], depth: int) -> Callable[..., Any]:
    """E of each index of the first so many axes alone."""

    def of_one(o: Any, t: Any) -> Any:
        return function(o.reshape((1,) * depth + o.shape), t.reshape((1,) * depth + t.shape))

    for _ in range(depth):
        of_one = jax.vmap(of_one)
    return of_one


def reduced_value_and_grad(jax: Any, function: Callable[..., Any], depth: int, plain: bool) -> Callable[..., Any]:
    """E and delta_o of (o, t, there, times): the plain sum, or so many times the mean, over the first so many axes."""
    each, added = map_leading_axes(jax, function, depth), jax.numpy.sum if plain else jax.numpy.mean

    def value_and_grad(o: Any, t: Any, there: Any, times: Any) -> tuple[Any, Any]:
        return jax.value_and_grad(lambda o: added(each(o, t), where=there != 0) * times)(o)

    return value_and_grad


def value_and_vjp(jax: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    """The value of a function of arrays, and the vjp of the cotangent, the last operand."""

    def value_and_pull(*operands: Any) -> tuple[Any, ...]:
        value, pull = jax.vjp(function, *operands[:-1])
        return value, *pull(operands[-1])

    return value_and_pull


def nodes(problem: Problem) -> list[Any]:
    """(activation, w, b) of each box; an activation of the output has neither w nor b."""
    spare = [None] * (len(problem.activations) - len(problem.weights))
    return list(zip(problem.activations, [*problem.weights, *spare], [*problem.biases, *spare], strict=True))


def check_size(problem: Problem) -> None:
    """Raises Unsupported."""
    widths = [problem.inputs.shape[1], *(w.shape[1] for w in problem.weights)]
    n = problem.inputs.shape[0]
    if n > MAX_EXAMPLES or max(widths) > MAX_WIDTH:
        raise Unsupported(f"packed: {n} examples, up to {max(widths)} wide; it holds {MAX_EXAMPLES} and {MAX_WIDTH}")
