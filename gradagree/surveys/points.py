"""Inputs of a survey: grids of numbers, rows and targets, and rounding to a format."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from gradagree.arithmetic.model import FORMATS, Format
from gradagree.arithmetic.rounding import next_number, round_to_format
from gradagree.cases.regimes import Source
from gradagree.reference import Activation, ErrorFunction
from gradagree.reference.samples import TARGET_NUMBERS, allowed_width, target_rows

# Numbers of a format
# -------------------


WITH_SUBNORMALS = ("float16",)
"""Formats whose subnormal numbers are kept; in the others XLA, and torch in places, flushes them to 0."""
UNDERFLOW_FACTOR = 64
"""Largest factor by which an intermediate result that underflows may be multiplied later."""


def underflow_threshold(form: Format) -> float:
    """Numbers below this size are not distinguished from each other and from 0."""
    return UNDERFLOW_FACTOR * (form.smallest if form.name in WITH_SUBNORMALS else form.smallest_normal)


# Inputs of elementwise functions: every 16-bit number, or a grid over all binades
# -------------------------------------------------------------------------------


SPECIAL = (0.0, -0.0, math.inf, -math.inf, math.nan)
COMMON_THRESHOLDS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 16.0, 20.0, 64.0, 100.0)
"""Numbers near which many functions have a kink, a threshold or an extremum."""
NEIGHBOURS = 4
DENSE_BINADES = (-12, 12)
"""Exponents of the binades in which the grid is dense."""


def input_numbers(function: Activation | ErrorFunction, dtype: str, density: int) -> np.ndarray:
    """Points inside the function's domain, with its edges: +-0 and NaN come first, the others in order.

    density is the number of points in an ordinary binade, and 0 means all numbers of a 16-bit dtype.
    """
    form = FORMATS[dtype]
    found = (
        all_numbers(form) if density == 0 and form.precision <= 11 else grid(form, density or 64, thresholds(function))
    )
    if function.domain == "positive":
        found = found[~(found < 0)]
    elif function.domain == "unit":
        found = found[~((found < 0) | (found > 1))]
    first = [0.0, -0.0] if function.domain == "unit" else [0.0, -0.0, math.nan]
    return np.concatenate([first, np.unique(found[~np.isnan(found) & (found != 0)])])


def all_numbers(form: Format) -> np.ndarray:
    """All finite numbers of a 16-bit format, and the infinities."""
    mantissa = 1 << (form.precision - 1)
    fractions = 1 + np.arange(mantissa) / mantissa
    normal = np.ldexp(fractions, np.arange(form.emin, form.emax + 1)[:, None]).ravel()
    subnormal = np.arange(1, mantissa) * form.smallest
    positive = np.concatenate([subnormal, normal, [math.inf]])
    return np.concatenate([-positive, positive])


def kinks_of(function: Activation | ErrorFunction) -> tuple[float, ...]:
    """The kinks of an activation; () for loss functions, whose kinks are pairs of an output and a target."""
    return tuple(function.kinks) if isinstance(function, Activation) else ()


def thresholds(function: Activation | ErrorFunction) -> list[float]:
    """The function's kinks and parameters, and `COMMON_THRESHOLDS`."""
    given = [x for x in vars(function).values() if isinstance(x, int | float) and not isinstance(x, bool)]
    return sorted({*COMMON_THRESHOLDS, *map(float, given), *kinks_of(function)})


def format_edges(form: Format) -> list[float]:
    """Largest, smallest normal, subnormals, 1/eps, their roots, and where exp overflows or underflows."""
    log_largest, log_smallest = math.log(form.largest), -math.log(form.smallest)
    found = [form.largest, form.smallest_normal, form.smallest, 2 / (2 * form.u), form.u, math.sqrt(form.largest)]
    found += [math.sqrt(form.smallest_normal), log_largest, log_smallest, -math.log(form.smallest_normal)]
    found += [x / 2 for x in (log_largest, log_smallest)] + [math.sqrt(x) for x in (log_largest, log_smallest)]
    found += [-math.log(form.u), -math.log(form.u) / 2, form.largest ** (1 / 3)]
    return [*found, *(math.sqrt(2 * x) for x in (log_largest, log_smallest, -math.log(form.u)))]


def grid(form: Format, density: int, special: Iterable[float]) -> np.ndarray:
    """Numbers in each binade, many in the dense ones, and the neighbours of edges and of `special` numbers."""
    sparse = max(2, density // 16)
    parts = []
    for exponent in range(form.emin - form.precision + 1, form.emax + 1):
        count = density if DENSE_BINADES[0] <= exponent < DENSE_BINADES[1] else sparse
        step = 1 if count == density or form.emax < 200 else 4
        if exponent % step == 0:
            fractions = 1 + (np.arange(count) + (exponent % 7) / 7 * (np.arange(count) > 0)) / count
            parts.append(np.ldexp(fractions, exponent))
    near = []
    for x in (*special, *format_edges(form)):
        if not 0 <= abs(x) <= form.largest:
            continue
        centre = float(round_to_format(np.asarray(abs(x)), form))
        near.append(neighbours(centre, form))
        near.append(centre / 2 * (1 + np.arange(-16, 17) / 128))
    positive = round_to_format(np.concatenate([*parts, *near, [math.inf]]), form)
    return np.unique(np.concatenate([-positive, positive]))


def neighbours(x: float, form: Format) -> np.ndarray:
    """x and the next few numbers of the format on both sides."""
    found = [x]
    for side in (-math.inf, math.inf):
        one = x
        for _ in range(NEIGHBOURS):
            one = next_number(one, side, form)
            found.append(one)
    return np.array(found)


def order_by_simplicity(x: np.ndarray) -> np.ndarray:
    """Indices that sort the rows of x: fewest significant bits first, then sizes nearest to 1."""
    rows = np.where(np.isfinite(x), x, 0.0).reshape(len(x), -1)
    mantissa, exponent = np.frexp(rows)
    scaled = np.ldexp(np.abs(mantissa), 53).astype(np.int64)
    bits = np.where(scaled == 0, 0, 53 - np.log2(np.where(scaled == 0, 1, scaled & -scaled)))
    far = np.where(rows == 0, 0, np.abs(exponent - 1))
    return np.lexsort((far.sum(axis=1), (4 * bits + far).sum(axis=1)))


def output_target_pairs(error: ErrorFunction, dtype: str, density: int) -> tuple[np.ndarray, np.ndarray]:
    """Outputs and targets of an error function that works entry by entry, each (N, 1).

    Every output meets every target of the function's kind; real targets are met where both are equal or nearly so too.
    """
    form = FORMATS[dtype]
    o = input_numbers(error, dtype, density)
    targets = TARGET_NUMBERS[error.targets]
    os, ts = [np.tile(o, len(targets))], [np.repeat(targets, len(o))]
    if error.targets == "real":
        some = o[np.isfinite(o)][:: max(1, len(o) // 512)]
        for shift in (0, 1, -3):
            os.append(some)
            ts.append(round_to_format(some + shift * form.u * np.abs(some), form))
    return np.concatenate(os)[:, None], np.concatenate(ts)[:, None]


# Rows for functions of several numbers that belong together: ties, masks, one huge entry, certainty, wide spreads
# --------------------------------------------------------------------------------------------------------------


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
    if isinstance(function, Activation):
        return np.concatenate([x, masked_rows(x, n)]), None
    if function.domain == "positive":
        x = x[(x > 0).all(axis=1)]
    x = x[np.isfinite(x).all(axis=1)]
    return with_targets(function, np.concatenate([x, masked_rows(x, n)]) if function.name in LOGITS else x, n)


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
