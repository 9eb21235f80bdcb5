"""Inputs of elementwise functions: every 16-bit number, or a grid over all binades; and targets."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from gradagree.arithmetic.model import FORMATS, Format
from gradagree.arithmetic.rounding import next_number, round_to_format
from gradagree.reference import Activation, ErrorFunction
from gradagree.reference.samples import TARGET_NUMBERS

WITH_SUBNORMALS = ("float16",)
"""Formats whose subnormal numbers are kept; in the others XLA, and torch in places, flushes them to 0."""
UNDERFLOW_FACTOR = 64
"""Largest factor by which an intermediate result that underflows may be multiplied later."""


def underflow_threshold(form: Format) -> float:
    """Numbers below this size are not distinguished from each other and from 0."""
    return UNDERFLOW_FACTOR * (form.smallest if form.name in WITH_SUBNORMALS else form.smallest_normal)


SPECIAL = (0.0, -0.0, math.inf, -math.inf, math.nan)
COMMON_THRESHOLDS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 16.0, 20.0, 64.0, 100.0)
"""Numbers near which many functions have a kink, a threshold or an extremum."""
ENTRY_RANGES = {
    "real": (-math.inf, math.inf), "positive": (0.0, math.inf), "unit": (0.0, 1.0), "simplex": (0.0, 1.0),
    "log_simplex": (-math.inf, 0.0),
}  # fmt: skip
"""The numbers that a single entry may be, for each domain."""
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
    low, high = ENTRY_RANGES[function.domain]
    found = found[~((found < low) | (found > high))]
    first = [0.0, -0.0] if function.domain in ("unit", "simplex") else [0.0, -0.0, math.nan]
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


def distance_from_one(x: np.ndarray) -> np.ndarray:
    """The distance of each size from 1 in binades, rounded; 0 for zeros and numbers that are not finite."""
    sizes = np.abs(np.where(np.isfinite(x) & (x != 0), x, 1.0))
    return np.asarray(np.rint(np.abs(np.log2(sizes))), dtype=int)


def order_by_simplicity(x: np.ndarray) -> np.ndarray:
    """Indices that sort the rows of x: sizes nearest to 1 first, then fewest significant bits, then fewest signs."""
    rows = np.where(np.isfinite(x), x, 0.0).reshape(len(x), -1)
    mantissa, _ = np.frexp(rows)
    scaled = np.ldexp(np.abs(mantissa), 53).astype(np.int64)
    bits = np.where(scaled == 0, 0, 53 - np.log2(np.where(scaled == 0, 1, scaled & -scaled)))
    return np.lexsort(((rows < 0).sum(axis=1), bits.sum(axis=1), distance_from_one(rows).sum(axis=1)))


def output_target_pairs(error: ErrorFunction, dtype: str, density: int) -> tuple[np.ndarray, np.ndarray]:
    """Outputs and targets of an error function that works entry by entry, each (N, 1).

    Every output is combined with every target of the function's kind, and with real targets equal or next to it.
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
