"""Where functions are looked at: every 16-bit number, or a grid over all binades, dense where functions turn.

The numbers are float64 arrays of numbers that the dtype holds exactly.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from gradagree.arithmetics.model import FORMATS, Format
from gradagree.atlas.numbers import rounded_to
from gradagree.reference import Activation, ErrorFunction

SPECIAL = (0.0, -0.0, math.inf, -math.inf, math.nan)
TURNS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 16.0, 20.0, 64.0, 100.0)
"""Round numbers, near which many functions have a kink, a threshold or a turn."""
NEIGHBOURS = 4
ORDINARY = (-12, 12)
"""Binades that most inputs lie in; the grid is dense there."""


def numbers(function: Activation | ErrorFunction, dtype: str, density: int) -> np.ndarray:
    """Points inside the function's domain, with its edges: +-0 and NaN come first, the others in order.

    density is the number of points in an ordinary binade, and 0 means all numbers of a 16-bit dtype.
    """
    form = FORMATS[dtype]
    found = every(form) if density == 0 and form.precision <= 11 else grid(form, density or 64, thresholds(function))
    if function.domain == "positive":
        found = found[~(found < 0)]
    elif function.domain == "unit":
        found = found[~((found < 0) | (found > 1))]
    first = [0.0, -0.0] if function.domain == "unit" else [0.0, -0.0, math.nan]
    return np.concatenate([first, np.unique(found[~np.isnan(found) & (found != 0)])])


def every(form: Format) -> np.ndarray:
    """All finite numbers of a 16-bit format, and the infinities."""
    mantissa = 1 << (form.precision - 1)
    fractions = 1 + np.arange(mantissa) / mantissa
    normal = np.ldexp(fractions, np.arange(form.emin, form.emax + 1)[:, None]).ravel()
    subnormal = np.arange(1, mantissa) * form.smallest
    positive = np.concatenate([subnormal, normal, [math.inf]])
    return np.concatenate([-positive, positive])


def kinks_of(function: Activation | ErrorFunction) -> tuple[float, ...]:
    """The numbers at which the slope jumps; those of an error function are pairs."""
    return tuple(function.kinks) if isinstance(function, Activation) else ()


def thresholds(function: Activation | ErrorFunction) -> list[float]:
    """The function's kinks and parameters, and where functions of its kind turn."""
    given = [x for x in vars(function).values() if isinstance(x, int | float) and not isinstance(x, bool)]
    return sorted({*TURNS, *map(float, given), *kinks_of(function)})


def edges(form: Format) -> list[float]:
    """Largest, smallest normal, subnormals, 1/eps, their roots, and where exp overflows or underflows."""
    log_largest, log_smallest = math.log(form.largest), -math.log(form.smallest)
    found = [form.largest, form.smallest_normal, form.smallest, 2 / (2 * form.u), form.u, math.sqrt(form.largest)]
    found += [math.sqrt(form.smallest_normal), log_largest, log_smallest, -math.log(form.smallest_normal)]
    found += [x / 2 for x in (log_largest, log_smallest)] + [math.sqrt(x) for x in (log_largest, log_smallest)]
    found += [-math.log(form.u), -math.log(form.u) / 2, form.largest ** (1 / 3)]
    return [*found, *(math.sqrt(2 * x) for x in (log_largest, log_smallest, -math.log(form.u)))]


def grid(form: Format, density: int, special: Iterable[float]) -> np.ndarray:
    """Some numbers in each binade, many in the ordinary ones, all neighbours of the edges and thresholds."""
    sparse = max(2, density // 16)
    parts = []
    for exponent in range(form.emin - form.precision + 1, form.emax + 1):
        count = density if ORDINARY[0] <= exponent < ORDINARY[1] else sparse
        step = 1 if count == density or form.emax < 200 else 4
        if exponent % step == 0:
            fractions = 1 + (np.arange(count) + (exponent % 7) / 7 * (np.arange(count) > 0)) / count
            parts.append(np.ldexp(fractions, exponent))
    near = []
    for x in (*special, *edges(form)):
        if not 0 <= abs(x) <= form.largest:
            continue
        centre = float(rounded_to(np.asarray(abs(x)), form))
        near.append(neighbours(centre, form))
        near.append(centre / 2 * (1 + np.arange(-16, 17) / 128))
    positive = rounded_to(np.concatenate([*parts, *near, [math.inf]]), form)
    return np.unique(np.concatenate([-positive, positive]))


def neighbours(x: float, form: Format) -> np.ndarray:
    """x and the next few numbers of the format on both sides."""
    found = [x]
    for side in (-math.inf, math.inf):
        one = x
        for _ in range(NEIGHBOURS):
            one = next_to(one, side, form)
            found.append(one)
    return np.array(found)


def next_to(x: float, towards: float, form: Format) -> float:
    """The next number of the format."""
    if not math.isfinite(x):
        return x
    _, exponent = math.frexp(x)
    least = form.emin - form.precision + 1
    step = form.smallest if x == 0 else math.ldexp(1.0, max(exponent - form.precision, least))
    below = math.copysign(step, towards)
    if abs(x) == math.ldexp(0.5, exponent) and x != 0 and (x > 0) != (towards > 0):
        below = math.copysign(max(step / 2, form.smallest), towards)
    return float(rounded_to(np.asarray(x + below), form))


REAL_TARGETS = (0.0, 1.0, -2.5, 0.1875)
TARGETS: dict[str, tuple[float, ...]] = {
    "bits": (0.0, 1.0), "signs": (-1.0, 1.0), "positive": (0.0, 0.5, 1.0, 3.0, 96.0),
    "simplex": (0.0, 0.25, 1.0), "real": REAL_TARGETS,
}  # fmt: skip


def pairs(error: ErrorFunction, dtype: str, density: int) -> tuple[np.ndarray, np.ndarray]:
    """Outputs and targets of an error function that works entry by entry, each (N, 1).

    Every output meets every target of the function's kind; real targets are met where both are equal or nearly so too.
    """
    form = FORMATS[dtype]
    o = numbers(error, dtype, density)
    targets = TARGETS[error.targets]
    os, ts = [np.tile(o, len(targets))], [np.repeat(targets, len(o))]
    if error.targets == "real":
        some = o[np.isfinite(o)][:: max(1, len(o) // 512)]
        for shift in (0, 1, -3):
            os.append(some)
            ts.append(rounded_to(some + shift * form.u * np.abs(some), form))
    return np.concatenate(os)[:, None], np.concatenate(ts)[:, None]
