"""Rows for functions of several numbers that belong together: ties, masks, one huge entry, certainty, wide spreads."""

from __future__ import annotations

import math

import numpy as np

from gradagree.arithmetics.model import FORMATS, Format
from gradagree.atlas.numbers import rounded_to
from gradagree.drawing import Source
from gradagree.reference import Activation, ErrorFunction
from gradagree.reference.samples import allowed_width

SHAPES: dict[int, tuple[tuple[float, ...], ...]] = {
    2: ((1, 1), (1, 0), (0, 1), (1, -1), (1, 0.5), (-1, -1), (1, 1.0009765625), (0, 0), (-1, 0)),
    3: ((1, 1, 1), (1, 0, 0), (0, 0, 1), (1, 1, 0), (1, -1, 0), (1, 0.5, 0.25), (-1, -1, -1), (-1, 0, 0), (0, 1, 1),
        (1, 2, 3), (1, 0.875, 0.75), (-1, 1, 1), (0, 0, 0)),
    4: ((1, 1, 1, 1), (1, 0, 0, 0), (0, 0, 0, 1), (1, 1, 0, 0), (1, -1, 1, -1), (1, 0.5, 1, 0.5), (1, 0, 1, 0),
        (1, 0, 0, 1), (1, 0.5, -1, 0.25), (-1, -1, -1, -1), (1, 2, 3, 4), (0, 0, 0, 0), (1, 0, -1, 0), (0, 1, 1, 0)),
    6: ((1, 1, 1, 1, 1, 1), (1, 0, 0, 0, 0, 0), (0, 0, 1, 0, 0, 0), (1, 0, 1, 0, 0, 1), (1, 0.5, 1, 0.5, 0, 0),
        (0, 0, 0, 0, 0, 0), (1, 0, 0, 1, 1, 1), (1, -1, 0.5, 0.25, 0, 1)),
}  # fmt: skip
"""Directions of rows; each is taken in many sizes."""
RANDOM = 24


def width_of(function: Activation | ErrorFunction) -> int:
    """How many numbers a row has: 3 where that is allowed."""
    return allowed_width(function, 4 if getattr(function, "targets", "") == "real" and function.width(3) is None else 3)


def rows(function: Activation | ErrorFunction, dtype: str, density: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Rows (R, n) inside the function's domain, and targets for error functions: (R,) classes, or (R, width)."""
    form, n = FORMATS[dtype], width_of(function)
    x = np.concatenate([shaped(n, form, density), offset(n, form), drawn(function, n, form)])
    if isinstance(function, Activation):
        return np.concatenate([x, masked(x, n)]), None
    if function.domain == "positive":
        x = x[(x > 0).all(axis=1)]
    x = x[np.isfinite(x).all(axis=1)]
    return met(function, np.concatenate([x, masked(x, n)]) if function.name in LOGITS else x, n)


def sizes(form: Format, density: int) -> np.ndarray:
    """From the smallest numbers to the largest, dense in the ordinary ones."""
    step = 3 if density >= 32 or density == 0 else 9
    powers = np.ldexp(1.0, np.arange(form.emin - 2, form.emax + 1, step if form.emax < 200 else 8 * step))
    ordinary = np.array([0.5, 1, 2, 3, 4, 6, 8, 10, 12, 16, 17, 20, 24, 32, 40, 64, 80, 90, 100, 104, 128, 200, 256])
    ends = [form.largest, math.sqrt(form.largest), 1.5 * math.sqrt(form.largest), math.log(form.largest), 300.0, 750.0]
    return np.unique(rounded_to(np.concatenate([powers, ordinary, ends, [1e-3, 1e-5, 1 / 64]]), form))


def shaped(n: int, form: Format, density: int) -> np.ndarray:
    shapes = np.array(SHAPES.get(n, ((1.0,) * n, (1.0,) + (0.0,) * (n - 1), tuple(range(n)))))
    with np.errstate(over="ignore"):
        found = rounded_to((sizes(form, density)[:, None, None] * shapes).reshape(-1, n), form)
    return np.unique(found[np.isfinite(found).all(axis=1)], axis=0)


def offset(n: int, form: Format) -> np.ndarray:
    """Small differences on a large common number, which squares and exponentials lose."""
    found = []
    for size in (1.0, 16.0, 100.0, 1000.0, 30000.0, 1 / form.u / 4):
        for k in range(1, 4):
            found.append(size + size * 4 * form.u * k * np.arange(n))
    return rounded_to(np.array(found), form)


def drawn(function: Activation | ErrorFunction, n: int, form: Format) -> np.ndarray:
    """Ordinary rows, the same in every run."""
    source = Source(f"survey {function} {form.name}")
    rows = np.concatenate([source.dyadic((RANDOM // 3, n), min(form.precision, 16), e) for e in (0, 2, 4)])
    return np.abs(rows) if function.domain == "positive" else rows


WIDER, WIDEST = 1027, 65_539
"""Entries of wide rows; float16 has no number as large as the second, which sums of ones reach."""
PAIRED = ("multiclass_perceptron", "multiclass_hinge", "multilabel_margin", "multiclass_sparsemax")
"""Functions of all pairs of entries; wide rows would take too long to prove."""
SMOOTH = ("layer_norm", "rms_norm", "standardize", "logmeanexp", "softmin")
"""With the functions of logits, those without kinks: on the widest rows no sides are looked at."""
HEADS = {
    WIDER: ((0.0, 0.0), (1.0, 1.0), (100.0, 100.0), (1.0, 0.0), (10.0, 0.0), (20.0, 0.0), (1000.0, 0.0), (-1000.0, 0.0),
            (30000.0, 0.0), (0.0, 16.0), (256.0, 256.0)),
    WIDEST: ((1.0, 1.0), (16.0, 0.0)),
}  # fmt: skip
"""Of wide rows: the first entry, and all the others."""


def wide(function: Activation | ErrorFunction, least: int = WIDER) -> tuple[np.ndarray, np.ndarray | None] | None:
    """Rows of so many entries or some more, and their targets; None for functions that have none."""
    n = next((m for m in range(least, least + 6) if function.width(m) is not None), None)
    if n is None or function.name in PAIRED or function.domain != "real":
        return None
    if least == WIDEST and function.name not in (*LOGITS, *SMOOTH):
        return None
    found = np.array([[a] + [b] * (n - 1) for a, b in HEADS[least]])
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


def masked(x: np.ndarray, n: int) -> np.ndarray:
    """Some of the rows with one entry masked by -infinity."""
    some = x[:: max(1, len(x) // 16)].copy()
    some[np.arange(len(some)), np.arange(len(some)) % n] = -math.inf
    return some


def met(error: ErrorFunction, x: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Each row with several targets."""
    if error.targets == "classes":
        return np.tile(x, (n, 1)), np.repeat(np.arange(n), len(x))
    width = error.width(n) or 0
    if width == 0:
        return x, np.zeros((len(x), 0))
    choices = np.array(targets(error.targets, width))
    os, ts = np.tile(x, (len(choices), 1)), np.repeat(choices, len(x), axis=0)
    if error.targets == "real" and width == n:
        return np.concatenate([os, x]), np.concatenate([ts, x])
    return os, ts


def targets(kind: str, width: int) -> list[list[float]]:
    """A few targets of each kind."""
    first, ramp = [1.0] + [0.0] * (width - 1), [k / 2 for k in range(width)]
    if kind == "simplex":
        return [first, [1 / 4] * (width - 1) + [1 - (width - 1) / 4], first[::-1]]
    if kind == "bits":
        return [first, [0.0] * width, [1.0] * width]
    if kind == "signs":
        return [[1.0] * width, [-1.0] * width]
    if kind == "positive":
        return [[x + 0.5 for x in ramp]]
    return [ramp, first, [0.0] * width]
