"""Faults in losses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.planted_faults.planting import Fault, Formula, with_cotangent
from benchmarks.planted_faults.rows import exponentials, softmax, widen
from gradagree.reference.errors import (
    Absolute,
    BinaryCrossEntropyOnLogits,
    Hinge,
    Huber,
    MeanSquared,
    PoissonNll,
    SoftmaxCrossEntropy,
    SumOfSquares,
)


def count(o: Any) -> int:
    """The number of entries of o."""
    return int(o.shape[-1] * o.shape[-2])


def symmetric(reference: Any, term: Callable[..., Any], slope: Callable[..., Any], mean: bool = True) -> Formula:
    """A loss of o - t, entry by entry: from term(m, d) and its derivative."""

    def cotangents(m: Any, g: Any, o: Any, t: Any) -> Any:
        do = m.cast(g * slope(m, widen(m, o) - widen(m, t)) / (count(o) if mean else 1), m.dtype(o))
        return do, -do

    def value(m: Any, o: Any, t: Any) -> Any:
        total = m.sum(term(m, widen(m, o) - widen(m, t)))
        return m.cast(total / (count(o) if mean else 1), m.dtype(o))

    return Formula(reference, value, cotangents)


def huber_term(m: Any, d: Any) -> Any:
    near = m.clip(d, -1.0, 1.0)
    return 0.5 * near * near + (m.abs(d) - m.abs(near))


SSE = symmetric(SumOfSquares, lambda m, d: d * d, lambda m, d: 2 * d, mean=False)
MSE = symmetric(MeanSquared, lambda m, d: d * d, lambda m, d: 2 * d)
L1 = symmetric(Absolute, lambda m, d: m.abs(d), lambda m, d: m.sign(d), mean=False)
HUBER = symmetric(Huber, huber_term, lambda m, d: m.clip(d, -1.0, 1.0))


def logits_value(m: Any, o: Any, t: Any) -> Any:
    o, t, dtype = widen(m, o), widen(m, t), m.dtype(o)
    return m.cast(m.sum(t * m.softplus(-o) + (1 - t) * m.softplus(o)) / count(o), dtype)


def logits_cotangents(m: Any, g: Any, o: Any, t: Any) -> Any:
    x, y, n = widen(m, o), widen(m, t), count(o)
    slope = m.where(y > 0.5, -m.sigmoid(-x), m.sigmoid(x))
    return m.cast(g * slope / n, m.dtype(o)), m.cast(-g * x / n, m.dtype(o))


LOGITS = Formula(BinaryCrossEntropyOnLogits, logits_value, logits_cotangents)


def entropy_value(m: Any, o: Any, t: Any) -> Any:
    z, e = exponentials(m, o)
    right = m.one_hot(t, z)
    return m.cast(m.sum(right * (m.log(m.sum(e, -1)) - z)) / o.shape[-2], m.dtype(o))


def entropy_cotangents(m: Any, g: Any, o: Any, t: Any) -> Any:
    z, e = exponentials(m, o)
    right, total = m.one_hot(t, z), m.sum(e, -1)
    others = m.sum(e * (1 - right), -1)
    slope = m.where(right > 0.5, -others / total, e / total)
    return m.cast(g * slope / o.shape[-2], m.dtype(o)), None


CROSS_ENTROPY = Formula(SoftmaxCrossEntropy, entropy_value, entropy_cotangents)


def hinge_value(m: Any, o: Any, t: Any) -> Any:
    return m.sum(m.maximum(1 - t * o, 0 * o)) / count(o)


def hinge_cotangents(m: Any, g: Any, o: Any, t: Any) -> Any:
    inside = t * o < 1
    return m.where(inside, -t * g, 0 * o) / count(o), m.where(inside, -o * g, 0 * o) / count(o)


HINGE = Formula(Hinge, hinge_value, hinge_cotangents)


def poisson_value(m: Any, o: Any, t: Any) -> Any:
    return m.sum(m.exp(o) - t * o) / count(o)


def poisson_cotangents(m: Any, g: Any, o: Any, t: Any) -> Any:
    scale = g / count(o)  # the product of g and the exponential may overflow
    return scale * (m.exp(o) - t), -scale * o


POISSON = Formula(PoissonNll, poisson_value, poisson_cotangents)


class MaskedSse(SumOfSquares):
    """E = sum of (o - t)^2 where t is not 0: targets of 0 are padding."""

    name = "masked_sse"

    def value(self, o: Any, t: Any) -> Any:
        import numpy as np

        return np.sum(np.where(t != 0, (o - t) ** 2, 0 * o), axis=(-2, -1))

    def sensitivity(self, o: Any, t: Any) -> Any:
        import numpy as np

        return np.where(t != 0, 2 * (o - t), 0 * o)


def masked_cotangents(m: Any, g: Any, o: Any, t: Any) -> Any:
    do = m.where(t != 0, 2 * g * (o - t), 0 * o)
    return do, -do


MASKED = Formula(MaskedSse, lambda m, o, t: m.sum(m.where(t != 0, (o - t) * (o - t), 0 * o)), masked_cotangents)


class WeightedSse(SumOfSquares):
    """E = sum of w_j (o_j - t_j)^2, where w_j is 1, 2 or 3 in turn."""

    name = "weighted_sse"

    def _weights(self, o: Any) -> Any:
        import numpy as np

        return 1.0 + np.arange(o.shape[-1]) % 3

    def value(self, o: Any, t: Any) -> Any:
        import numpy as np

        return np.sum(self._weights(o) * (o - t) ** 2, axis=(-2, -1))

    def sensitivity(self, o: Any, t: Any) -> Any:
        return 2 * self._weights(o) * (o - t)


def weighted_value(m: Any, o: Any, t: Any) -> Any:
    w = m.cast(1 + m.columns(o) % 3, m.dtype(o))
    return m.sum(w * (o - t) * (o - t))


def weighted_cotangents(m: Any, g: Any, o: Any, t: Any) -> Any:
    do = 2 * g * m.cast(1 + m.columns(o) % 3, m.dtype(o)) * (o - t)
    return do, -do


WEIGHTED = Formula(WeightedSse, weighted_value, weighted_cotangents)


def loss_faults() -> list[Fault]:
    """All faults of this file."""
    made = (_upstream, _counts, _sizes, _branches, _formulas)
    return [fault for kind in made for fault in kind()]


def _planted(kind: str, changes: dict[str, tuple[Formula, Callable[..., Any]]]) -> Iterator[Fault]:
    for name, (right, change) in changes.items():
        yield Fault(kind, name, right, with_cotangent(right, change))


def _upstream() -> Iterator[Fault]:
    """The cotangent of the loss is not used as it is."""
    yield from _planted("upstream cotangent", {
        "sse ignores its cotangent": (SSE, lambda m, g, d, o, t: 2 * (o - t)),
        "cross_entropy ignores its cotangent": (CROSS_ENTROPY, lambda m, g, d, o, t: d / g),
        "mse squares its cotangent": (MSE, lambda m, g, d, o, t: g * d),
        "logits with the sign of the cotangent": (LOGITS, lambda m, g, d, o, t: d / m.abs(g)),
    })  # fmt: skip


def _counts() -> Iterator[Fault]:
    """A mean is taken over the wrong number."""
    yield from _planted("reductions", {
        "mse divides by the rows only": (MSE, lambda m, g, d, o, t: d * o.shape[-1]),
        "mse divides by the columns only": (MSE, lambda m, g, d, o, t: d * o.shape[-2]),
        "cross_entropy divides by all entries": (CROSS_ENTROPY, lambda m, g, d, o, t: d / o.shape[-1]),
        "logits divide twice by the batch": (LOGITS, lambda m, g, d, o, t: d / o.shape[-2]),
        "sum where a mean is meant": (HUBER, lambda m, g, d, o, t: d * count(o)),
    })  # fmt: skip


def _sizes() -> Iterator[Fault]:
    """Wrong beyond a batch size or a number of outputs."""
    yield from _planted("columns and rows", {
        "mse in batches above 32": (MSE, lambda m, g, d, o, t: m.where(m.rows(o) < 32, d, 0 * d)),
        "cross_entropy in batches above 64": (
            CROSS_ENTROPY, lambda m, g, d, o, t: d * (1.5 if o.shape[-2] > 64 else 1)
        ),
        "sse of the last output": (
            SSE, lambda m, g, d, o, t: m.where((m.columns(o) == o.shape[-1] - 1) & (o.shape[-1] > 1), -d, d)
        ),
        "huber of the last example": (
            HUBER, lambda m, g, d, o, t: m.where((m.rows(o) == o.shape[-2] - 1) & (o.shape[-2] > 1), 0 * d, d)
        ),
        "cross_entropy beyond 32 classes": (
            CROSS_ENTROPY, lambda m, g, d, o, t: m.where(m.columns(o) < 32, d, 0 * d)
        ),
        "logits beyond 64 outputs": (LOGITS, lambda m, g, d, o, t: m.where(m.columns(o) < 64, d, -d)),
    })  # fmt: skip


def _branches() -> Iterator[Fault]:
    """Wrong in one branch, at ties, at saturated outputs, or in one dtype."""
    yield from _planted("branches", {
        "huber without its clip": (HUBER, lambda m, g, d, o, t: g * (o - t) / count(o)),
        "huber with a sign beyond its clip": (
            HUBER, lambda m, g, d, o, t: m.where(o - t < -1, -d, d)
        ),
        "hinge without its mask": (HINGE, lambda m, g, d, o, t: -t * g / count(o)),
        "mask ignored": (MASKED, lambda m, g, d, o, t: 2 * g * (o - t)),
    })  # fmt: skip
    yield from _planted("kinks", {
        "l1 with slope 3 at ties": (L1, lambda m, g, d, o, t: m.where(o == t, 3 * g * m.full(o, 1), d)),
        "hinge with the wrong sign at its margin": (
            HINGE, lambda m, g, d, o, t: m.where(t * o == 1, t * g / count(o), d)
        ),
    })  # fmt: skip
    yield from _planted("special inputs", {
        "logits saturated at 12": (LOGITS, lambda m, g, d, o, t: m.where(m.abs(o) > 12, 0 * d, d)),
        "cross_entropy of saturated rows": (
            CROSS_ENTROPY, lambda m, g, d, o, t: m.where(m.largest(o) > 10, 0 * d, d)
        ),
        "sse at equal numbers": (SSE, lambda m, g, d, o, t: m.where(o == t, g * m.full(o, 1), d)),
        "mse of huge outputs": (MSE, lambda m, g, d, o, t: m.where(m.abs(o) > 2.0**12, 0 * d, d)),
    })  # fmt: skip
    yield from _planted("dtypes", {
        "logits only in bfloat16": (LOGITS, lambda m, g, d, o, t: 1.25 * d if m.dtype(o) == "bfloat16" else d),
        "sse only in float16": (SSE, lambda m, g, d, o, t: d / 2 if m.dtype(o) == "float16" else d),
        "mse in float32 only": (MSE, lambda m, g, d, o, t: d * (1 + 1e-3) if m.dtype(o) == "float32" else d),
    })  # fmt: skip


def _formulas() -> Iterator[Fault]:
    """Wrong everywhere."""
    yield from _planted("formulas", {
        "mse without its 2": (MSE, lambda m, g, d, o, t: d / 2),
        "logits without their targets": (LOGITS, lambda m, g, d, o, t: g * m.sigmoid(o) / count(o)),
        "cross_entropy without the right class": (
            CROSS_ENTROPY, lambda m, g, d, o, t: g * softmax(m, o) / o.shape[-2]
        ),
        "poisson without the exponential": (POISSON, lambda m, g, d, o, t: g * (1 - t) / count(o)),
        "weights of the columns ignored": (WEIGHTED, lambda m, g, d, o, t: 2 * g * (o - t)),
        "columns' weights reversed": (
            WEIGHTED, lambda m, g, d, o, t: 2 * g * m.flip(m.cast(1 + m.columns(o) % 3, m.dtype(o)), (0,)) * (o - t)
        ),
    })  # fmt: skip
