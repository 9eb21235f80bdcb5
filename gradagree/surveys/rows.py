"""Rows for functions of several numbers: ties, masks, one huge entry, confident predictions, wide spreads."""

from __future__ import annotations

import math

import numpy as np

from gradagree.arithmetic.model import FORMATS, Format
from gradagree.arithmetic.rounding import round_to_format
from gradagree.cases.regimes import Source
from gradagree.reference import Activation, ErrorFunction
from gradagree.reference.samples import allowed_width, target_rows

PATTERNS: dict[int, tuple[tuple[float, ...], ...]] = {
    2: ((1, 1), (1, 0), (0, 1), (1, -1), (1, 0.5), (-1, -1), (1, 1.0009765625), (0, 0), (-1, 0)),
    3: ((1, 1, 1), (1, 0, 0), (0, 0, 1), (1, 1, 0), (1, -1, 0), (1, 0.5, 0.25), (-1, -1, -1), (-1, 0, 0), (0, 1, 1),
        (1, 2, 3), (1, 0.875, 0.75), (-1, 1, 1), (0, 0, 0)),
    4: ((1, 1, 1, 1), (1, 0, 0, 0), (0, 0, 0, 1), (1, 1, 0, 0), (1, -1, 1, -1), (1, 0.5, 1, 0.5), (1, 0, 1, 0),
        (1, 0, 0, 1), (1, 0.5, -1, 0.25), (-1, -1, -1, -1), (1, 2, 3, 4), (0, 0, 0, 0), (1, 0, -1, 0), (0, 1, 1, 0)),
    6: ((1, 1, 1, 1, 1, 1), (1, 0, 0, 0, 0, 0), (0, 0, 1, 0, 0, 0), (1, 0, 1, 0, 0, 1), (1, 0.5, 1, 0.5, 0, 0),
        (0, 0, 0, 0, 0, 0), (1, 0, 0, 1, 1, 1), (1, -1, 0.5, 0.25, 0, 1)),
}  # fmt: skip
"""Rows up to a factor; each is scaled to many sizes."""
RANDOM_ROWS = 24


def row_width(function: Activation | ErrorFunction) -> int:
    """The number of entries in a row: 3 if the function allows it."""
    return allowed_width(function, 4 if getattr(function, "targets", "") == "real" and function.width(3) is None else 3)


def input_rows(function: Activation | ErrorFunction, dtype: str, density: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Rows (R, n) inside the function's domain, and targets for error functions: (R,) classes, or (R, width)."""
    form, n = FORMATS[dtype], row_width(function)
    x = np.concatenate([pattern_rows(n, form, density), offset_rows(n, form), random_rows(function, n, form)])
    x = rows_in_domain(function.domain, x, form)
    if isinstance(function, Activation):
        return (np.concatenate([x, masked_rows(x, n)]) if function.domain in MASKED_DOMAINS else x), None
    masked = function.name in LOGITS and function.domain in MASKED_DOMAINS
    return with_targets(function, np.concatenate([x, masked_rows(x, n)]) if masked else x, n)


MASKED_DOMAINS = ("real", "log_simplex")
"""Domains with -infinity."""


def rows_in_domain(domain: str, x: np.ndarray, form: Format) -> np.ndarray:
    """The finite rows inside the domain; for distributions, rows of non-negative numbers divided by their sums.

    The simplex has zeros, single ones, and entries of all sizes. The probabilities of log_simplex are positive.
    """
    x = x[np.isfinite(x).all(axis=1)]
    if domain == "real":
        return x
    if domain == "positive":
        return x[(x > 0).all(axis=1)]
    if domain == "unit":
        return x[((x >= 0) & (x <= 1)).all(axis=1)]
    x = x[(x >= 0).all(axis=1) & (x > 0).any(axis=1)]
    x = np.concatenate([x, with_small_entries(x.shape[1], form)])
    if domain == "log_simplex":
        x = x[(x > 0).all(axis=1)]
    x = x / x.max(axis=1, keepdims=True)  # the sum of large numbers may overflow
    x = x / x.sum(axis=1, keepdims=True)
    if domain == "simplex":
        return np.unique(round_to_format(x, form), axis=0)
    with np.errstate(divide="ignore"):
        x = round_to_format(np.log(x), form)
    return np.unique(x[np.isfinite(x).all(axis=1)], axis=0)


def with_small_entries(n: int, form: Format) -> np.ndarray:
    """Rows of a 1 and small numbers of all sizes: one of them beside zeros, or all alike."""
    exponents = np.arange(form.emin - form.precision + 1, 0, max(1, -form.emin // 16))
    small = np.ldexp(1.0, exponents)[:, None]
    first, second = np.arange(n) == 0, np.arange(n) == 1
    rows = [first + small * ~first, first + small * second, second + small * first, ~first + small * first]
    return np.concatenate(rows).astype(np.float64)


def row_sizes(form: Format, density: int) -> np.ndarray:
    """Factors of `PATTERNS`, from the smallest numbers to the largest."""
    step = 3 if density >= 32 or density == 0 else 9
    powers = np.ldexp(1.0, np.arange(form.emin - 2, form.emax + 1, step if form.emax < 200 else 8 * step))
    ordinary = np.array([0.5, 1, 2, 3, 4, 6, 8, 10, 12, 16, 17, 20, 24, 32, 40, 64, 80, 90, 100, 104, 128, 200, 256])
    ends = [form.largest, math.sqrt(form.largest), 1.5 * math.sqrt(form.largest), math.log(form.largest), 300.0, 750.0]
    return np.unique(round_to_format(np.concatenate([powers, ordinary, ends, [1e-3, 1e-5, 1 / 64]]), form))


def pattern_rows(n: int, form: Format, density: int) -> np.ndarray:
    shapes = np.array(PATTERNS.get(n, ((1.0,) * n, (1.0,) + (0.0,) * (n - 1), tuple(range(n)))))
    with np.errstate(over="ignore"):
        found = round_to_format((row_sizes(form, density)[:, None, None] * shapes).reshape(-1, n), form)
    return np.unique(found[np.isfinite(found).all(axis=1)], axis=0)


def offset_rows(n: int, form: Format) -> np.ndarray:
    """Rows with small differences and a large mean, which cancel in squares and exponentials."""
    found = []
    for size in (1.0, 16.0, 100.0, 1000.0, 30000.0, 1 / form.u / 4):
        for k in range(1, 4):
            found.append(size + size * 4 * form.u * k * np.arange(n))
    return round_to_format(np.array(found), form)


def random_rows(function: Activation | ErrorFunction, n: int, form: Format) -> np.ndarray:
    """Random rows of ordinary size, the same in every run."""
    source = Source(f"survey {function} {form.name}")
    rows = np.concatenate([source.dyadic((RANDOM_ROWS // 3, n), min(form.precision, 16), e) for e in (0, 2, 4)])
    return np.abs(rows) if function.domain == "positive" else rows


WIDE, WIDEST = 1027, 65_539
"""Least number of entries of wide rows; a sum of WIDEST ones overflows in float16."""
QUADRATIC = ("multiclass_perceptron", "multiclass_hinge", "multilabel_margin", "multiclass_sparsemax")
"""Functions of all pairs of entries, whose exact values of wide rows would take too long."""
SMOOTH_ROWS = ("layer_norm", "rms_norm", "standardize", "logmeanexp", "softmin")
"""Functions of rows without kinks, besides `LOGITS`; only these have the widest rows."""
WIDE_VALUES = {
    WIDE: ((0.0, 0.0), (1.0, 1.0), (100.0, 100.0), (1.0, 0.0), (10.0, 0.0), (20.0, 0.0), (1000.0, 0.0), (-1000.0, 0.0),
            (30000.0, 0.0), (0.0, 16.0), (256.0, 256.0)),
    WIDEST: ((1.0, 1.0), (16.0, 0.0)),
}  # fmt: skip
"""Wide rows as their first entry and the value of all others."""


def wide_rows(function: Activation | ErrorFunction, least: int = WIDE) -> tuple[np.ndarray, np.ndarray | None] | None:
    """Rows of at least this many entries, and their targets; None if the function has no such rows."""
    n = next((m for m in range(least, least + 6) if function.width(m) is not None), None)
    if n is None or function.name in QUADRATIC or function.domain != "real":
        return None
    if least == WIDEST and function.name not in (*LOGITS, *SMOOTH_ROWS):
        return None
    found = np.array([[a] + [b] * (n - 1) for a, b in WIDE_VALUES[least]])
    if isinstance(function, Activation):
        return found, None
    if function.targets == "classes":
        return np.tile(found, (2, 1)), np.repeat([0, n - 1], len(found))
    width = function.width(n) or 0
    first = np.broadcast_to(np.arange(width) == 0, (len(found), width)) * 1.0
    return found, (2 * first - 1 if function.targets == "signs" else first)


LOGITS = ("softmax", "log_softmax", "logsumexp", "gumbel_softmax", "cross_entropy", "soft_cross_entropy",
          "poly_cross_entropy", "kl_div", "kl_div_of_logs", "nll")  # fmt: skip
"""Functions of logits, which may be masked by -infinity."""


def masked_rows(x: np.ndarray, n: int) -> np.ndarray:
    """A selection of the rows, each with one entry masked by -infinity."""
    some = x[:: max(1, len(x) // 16)].copy()
    some[np.arange(len(some)), np.arange(len(some)) % n] = -math.inf
    return some


def with_targets(error: ErrorFunction, x: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Each row with several targets."""
    if error.targets == "classes":
        return np.tile(x, (n, 1)), np.repeat(np.arange(n), len(x))
    width = error.width(n) or 0
    if width == 0:
        return x, np.zeros((len(x), 0))
    choices = np.array(target_rows(error.targets, width))
    os, ts = np.tile(x, (len(choices), 1)), np.repeat(choices, len(x), axis=0)
    if error.targets == "real" and width == n:
        return np.concatenate([os, x]), np.concatenate([ts, x])
    return os, ts
