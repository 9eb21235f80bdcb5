"""Faults in functions of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.planted_faults.planting import Fault, Formula, with_cotangent
from gradagree.reference.activations import Glu, LayerNorm, LogSoftmax, Logsumexp, RmsNorm, Softmax

EPS = 2.0**-16


def widen(m: Any, x: Any) -> Any:
    """x in at least float32."""
    return m.cast(x, "float32") if "16" in m.dtype(x) else x


def mean(m: Any, x: Any) -> Any:
    return m.sum(x, -1) / x.shape[-1]


def exponentials(m: Any, p: Any) -> tuple[Any, Any]:
    """p less its largest entry, and the exponentials of that."""
    z = widen(m, p)
    z = z - m.largest(z)
    return z, m.exp(z)


def softmax(m: Any, p: Any) -> Any:
    _, e = exponentials(m, p)
    return m.cast(e / m.sum(e, -1), m.dtype(p))


def log_softmax(m: Any, p: Any) -> Any:
    z, e = exponentials(m, p)
    return m.cast(z - m.log(m.sum(e, -1)), m.dtype(p))


def log_sum_exp(m: Any, p: Any) -> Any:
    _, e = exponentials(m, p)
    return m.cast(m.largest(widen(m, p)) + m.log(m.sum(e, -1)), m.dtype(p))


def softmax_cotangent(m: Any, g: Any, p: Any) -> Any:
    a, wide = softmax(m, widen(m, p)), widen(m, g)
    return m.cast(a * (wide - m.sum(a * wide, -1)), m.dtype(p))


def log_softmax_cotangent(m: Any, g: Any, p: Any) -> Any:
    wide = widen(m, g)
    return m.cast(wide - softmax(m, widen(m, p)) * m.sum(wide, -1), m.dtype(p))


def normed(m: Any, p: Any, centred: bool, eps: float = EPS) -> tuple[Any, Any]:
    """The value of layer_norm or rms_norm, and the reciprocal length, in at least float32."""
    d = widen(m, p)
    d = d - mean(m, d) if centred else d
    r = 1 / m.sqrt(mean(m, d * d) + eps)
    return d * r, r


def norm_cotangent(m: Any, g: Any, p: Any, centred: bool) -> Any:
    (a, r), wide = normed(m, p, centred), widen(m, g)
    inner = wide - mean(m, wide) if centred else wide
    return m.cast(r * (inner - a * mean(m, a * wide)), m.dtype(p))


def halves(p: Any) -> tuple[Any, Any]:
    half = p.shape[-1] // 2
    return p[..., :half], p[..., half:]


def glu_cotangent(m: Any, g: Any, p: Any) -> Any:
    x, y = halves(p)
    s = m.sigmoid(y)
    return m.concatenate([g * s, g * x * (s * (1 - s))], -1)


SOFTMAX = Formula(Softmax, softmax, lambda m, g, p: (softmax_cotangent(m, g, p),))
LOG_SOFTMAX = Formula(LogSoftmax, log_softmax, lambda m, g, p: (log_softmax_cotangent(m, g, p),))
LOGSUMEXP = Formula(Logsumexp, log_sum_exp, lambda m, g, p: (softmax(m, p) * g,))
LAYER_NORM = Formula(
    LayerNorm,
    lambda m, p: m.cast(normed(m, p, True)[0], m.dtype(p)),
    lambda m, g, p: (norm_cotangent(m, g, p, True),),
)
RMS_NORM = Formula(
    RmsNorm,
    lambda m, p: m.cast(normed(m, p, False)[0], m.dtype(p)),
    lambda m, g, p: (norm_cotangent(m, g, p, False),),
)
GLU = Formula(Glu, lambda m, p: halves(p)[0] * m.sigmoid(halves(p)[1]), lambda m, g, p: (glu_cotangent(m, g, p),))


def _eps_outside(m: Any, g: Any, d: Any, p: Any) -> Any:
    """eps is added to the root in place of the mean of squares."""
    x, wide = widen(m, p), widen(m, g)
    r = 1 / (m.sqrt(mean(m, x * x)) + EPS)
    return m.cast(r * (wide - x * r * mean(m, x * r * wide)), m.dtype(p))


def _without_variance(m: Any, g: Any, d: Any, p: Any) -> Any:
    (_, r), wide = normed(m, p, True), widen(m, g)
    return m.cast(r * (wide - mean(m, wide)), m.dtype(p))


def _without_mean(m: Any, g: Any, d: Any, p: Any) -> Any:
    (a, r), wide = normed(m, p, True), widen(m, g)
    return m.cast(r * (wide - a * mean(m, a * wide)), m.dtype(p))


def _one_less(m: Any, g: Any, d: Any, p: Any) -> Any:
    """The sums over n entries are divided by n - 1."""
    (a, r), wide, n = normed(m, p, False), widen(m, g), p.shape[-1]
    return m.cast(r * (wide - a * m.sum(a * wide, -1) / max(n - 1, 1)), m.dtype(p))


def _exchanged(m: Any, g: Any, d: Any, p: Any) -> Any:
    x, y = halves(d)
    return m.concatenate([y, x], -1)


def _second(change: Callable[..., Any]) -> Callable[..., Any]:
    """A change of the cotangent of the second half of glu's operand."""

    def changed(m: Any, g: Any, d: Any, p: Any) -> Any:
        first, second = halves(d)
        return m.concatenate([first, change(m, g, second, *halves(p))], -1)

    return changed


def _low_precision(m: Any, g: Any, d: Any, p: Any) -> Any:
    """In 16 bits, the sum over the row is rounded to 4 bits less; in 32 and 64 bits, to the next narrower dtype."""
    narrow = {"float64": "float32", "float32": "bfloat16", "float16": "bfloat16", "bfloat16": "bfloat16"}[m.dtype(p)]
    a = softmax(m, widen(m, p))
    total = m.sum(m.cast(m.cast(a * widen(m, g), narrow), m.dtype(a)), -1)
    return m.cast(a * (widen(m, g) - total), m.dtype(p))


def row_faults() -> list[Fault]:
    """All faults of this file."""
    return [*_reductions(), *_formulas(), *_operands()]


def _reductions() -> Iterator[Fault]:
    """Sums over a row that are missing, over another axis, over other entries or in low precision."""
    kind = "sums over rows"
    changes: dict[str, tuple[Formula, Callable[..., Any]]] = {
        "softmax without the sum": (SOFTMAX, lambda m, g, d, p: g * softmax(m, p) * (1 - softmax(m, p))),
        "softmax summed over the batch": (
            SOFTMAX, lambda m, g, d, p: softmax(m, p) * (g - m.sum(softmax(m, p) * g, -2))
        ),
        "log_softmax without the softmax": (LOG_SOFTMAX, lambda m, g, d, p: g - mean(m, g)),
        "log_softmax with the mean": (
            LOG_SOFTMAX, lambda m, g, d, p: g - softmax(m, p) * mean(m, g)
        ),
        "softmax of the last column": (
            SOFTMAX, lambda m, g, d, p: m.where((m.columns(p) == p.shape[-1] - 1) & (p.shape[-1] > 2), 0 * d, d)
        ),
        "softmax beyond column 64": (SOFTMAX, lambda m, g, d, p: m.where(m.columns(p) < 64, d, -d)),
        "log_softmax in batches above 32": (
            LOG_SOFTMAX, lambda m, g, d, p: m.where(m.rows(p) < 32, d, g)
        ),
        "softmax summed in low precision": (SOFTMAX, _low_precision),
        "rms_norm divides by one less": (RMS_NORM, _one_less),
        "logsumexp ignores its cotangent": (LOGSUMEXP, lambda m, g, d, p: softmax(m, p)),
        "logsumexp at ties": (
            LOGSUMEXP, lambda m, g, d, p: m.where(m.sum(m.cast(p == m.largest(p), "float32"), -1) > 1.5, 0.5 * d, d)
        ),
    }  # fmt: skip
    for name, (right, change) in changes.items():
        yield Fault(kind, name, right, with_cotangent(right, change))


def _formulas() -> Iterator[Fault]:
    """Terms of a norm's derivative that are missing or wrong."""
    kind = "formulas of rows"
    changes: dict[str, tuple[Formula, Callable[..., Any]]] = {
        "layer_norm without the variance's term": (LAYER_NORM, _without_variance),
        "layer_norm without the mean's term": (LAYER_NORM, _without_mean),
        "rms_norm with eps outside the root": (RMS_NORM, _eps_outside),
        "softmax of the negative": (SOFTMAX, lambda m, g, d, p: -softmax_cotangent(m, g, -p)),
        "rms_norm saturated rows": (
            RMS_NORM, lambda m, g, d, p: m.where(m.largest(m.abs(p)) > 16, 0 * d, d)
        ),
        "softmax of saturated rows": (SOFTMAX, lambda m, g, d, p: m.where(m.largest(p) > 10, 0 * d, d)),
    }  # fmt: skip
    for name, (right, change) in changes.items():
        yield Fault(kind, name, right, with_cotangent(right, change))


def _operands() -> Iterator[Fault]:
    """The second of two operands."""
    kind = "several operands"
    changes: dict[str, Callable[..., Any]] = {
        "glu with exchanged halves": _exchanged,
        "glu without the second half": _second(lambda m, g, d, x, y: 0 * d),
        "glu with the gate's value": _second(lambda m, g, d, x, y: g * x * m.sigmoid(y)),
        "glu with the sign of the gate": _second(lambda m, g, d, x, y: m.where(y < 0, -d, d)),
        "last entry of the second half": _second(
            lambda m, g, d, x, y: m.where((m.columns(y) == y.shape[-1] - 1) & (y.shape[-1] > 1), 2 * d, d)
        ),
    }
    for name, change in changes.items():
        yield Fault(kind, name, GLU, with_cotangent(GLU, change))
