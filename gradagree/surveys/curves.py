"""Error curves: the largest error in ulps in bins of the input, and their figures in SVG."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
from markupsafe import Markup

from gradagree.adapters import Adapter
from gradagree.adapters.adapter import LAST_POSITION, framework_names, library_frameworks
from gradagree.arithmetic.model import FORMATS
from gradagree.report.figures import Scale, power
from gradagree.surveys.classify import ACCEPTED_ULPS
from gradagree.surveys.measurements import Measurement

DECADES = (-6.0, 4.0)
PER_DECADE = 6
BINS = int((DECADES[1] - DECADES[0]) * PER_DECADE)
"""Bins for each sign; smaller and larger inputs are in the outermost bins."""
EDGES = 10 ** np.linspace(*DECADES, BINS + 1)


class ErrorCurve(msgspec.Struct, frozen=True):
    """Largest error in ulps in each bin, from the most negative input on; -1 if there is none, "inf" for NaN."""

    function: str
    framework: str
    dtype: str
    quantity: str
    mode: str
    worst: list[float | str]


def error_curves(measurement: Measurement) -> Iterator[ErrorCurve]:
    """The curve of an elementwise function with default parameters; nothing for others."""
    subject = measurement.subject
    if str(subject.function) != subject.function.name or subject.operands.shape[1] > 1:
        return
    x, exact = subject.points.ravel(), measurement.exact
    errors, codes = measurement.errors.ulps, measurement.errors.codes
    with np.errstate(all="ignore"):
        bad = (exact.known > 0) & np.isfinite(exact.nearest) & ~np.isfinite(measurement.observed)
        accepted = np.where(codes.reshape(bad.shape) == 0, np.fmin(errors, ACCEPTED_ULPS), errors)
        ulps = np.where(bad, np.inf, accepted).ravel()
        index = np.clip(np.searchsorted(EDGES, np.abs(x)) - 1, 0, BINS - 1)
    index = np.where(x < 0, BINS - 1 - index, BINS + index)
    largest = np.full(2 * BINS, -1.0)
    usable = ~np.isnan(ulps) & np.isfinite(x)
    np.maximum.at(largest, index[usable], ulps[usable])
    worst: list[float | str] = [float(f"{y:.3g}") if np.isfinite(y) else "inf" for y in largest]
    yield ErrorCurve(
        function=subject.function.name, framework=measurement.framework, dtype=subject.dtype,
        quantity=measurement.quantity, mode=measurement.mode, worst=worst,
    )  # fmt: skip


WIDTH, HEIGHT = 520, 190
LEFT, RIGHT, TOP, BOTTOM = 46, 8, 24, 26
LOWEST = 0.25
"""Lower end of the error axis in ulps."""


def draw_panel(dtype: str, curves: Sequence[ErrorCurve], kinks: Sequence[float]) -> Markup:
    """The curves of one dtype; infinity and NaN are drawn on a separate line at the top."""
    scale = Scale(math.log10(LOWEST), math.log10(2.0 ** (FORMATS[dtype].precision + 2)), logarithmic=True)
    parts = [draw_frame(dtype, scale), *(draw_kink(kink) for kink in kinks)]
    parts += [draw_curve(curve, scale) for curve in sorted(curves, key=lambda c: position(c.framework))]
    words = "; ".join(f"{c.framework} {c.mode}: {describe_curve(c)}" for c in curves)
    whole = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>')
    return whole.format(WIDTH, HEIGHT, f"{dtype}: largest error in ulp by input. {words}", Markup("").join(parts))


def position(library: str) -> int:
    """Sort key of a framework in figures; libraries come after the frameworks that define a position."""
    if library in Adapter.catalogue:
        return Adapter.catalogue[library].position
    return LAST_POSITION - 1 if library in library_frameworks() else LAST_POSITION


def line_class(library: str) -> str:
    """The CSS class of a framework's curves: line1, line2, ... for those that define a position and libraries."""
    names = [name for name in [*framework_names(), *library_frameworks()] if position(name) < LAST_POSITION]
    return f"line{names.index(library) + 1}" if library in names else "other"


def describe_curve(curve: ErrorCurve) -> str:
    finite = [x for x in curve.worst if not isinstance(x, str)]
    text = f"at most {max(finite, default=0):.3g} ulp"
    return text + (", not finite in places" if "inf" in curve.worst else "")


def x_of_bin(place: float) -> float:
    """The x coordinate of a position in bins."""
    return round(LEFT + (WIDTH - LEFT - RIGHT) * place / (2 * BINS), 1)


def bin_of(x: float) -> float:
    """The position of an input in bins, not rounded."""
    if x == 0:
        return BINS
    return BINS + math.copysign(BINS * Scale(*DECADES, logarithmic=True).at(abs(x)), x)


def y_of(ulps: float | str, scale: Scale) -> int:
    if isinstance(ulps, str):
        return TOP + 4
    return round(HEIGHT - BOTTOM - scale.at(ulps) * (HEIGHT - BOTTOM - TOP - 12))


DECADE_TICKS = [(s * 10.0**d, ("−" if s < 0 else "") + power(d)) for s in (-1, 1) for d in (-4, -2, 0, 2)] + [
    (0.0, "0")
]


def draw_frame(dtype: str, scale: Scale) -> Markup:
    """Label, grid lines and tick labels of a panel."""
    floor = HEIGHT - BOTTOM
    tick, grid = Markup('<text x="{}" y="{}">{}</text>'), Markup("M{} {}{}{}")
    across_it = [(x_of_bin(bin_of(x)), name) for x, name in DECADE_TICKS]
    heights = [(y_of(y, scale), power(round(math.log10(y)))) for y in ulp_ticks(dtype)]
    lines = [grid.format(x, TOP, "V", floor) for x, _ in across_it]
    lines += [grid.format(LEFT, y, "H", WIDTH - RIGHT) for y, _ in heights]
    below = [tick.format(x, floor + 15, name) for x, name in across_it]
    beside = [tick.format(LEFT - 6, y + 4, name) for y, name in [*heights, (TOP + 4, "NaN, ∞")]]
    parts = [
        Markup('<text class="label" x="{}" y="14">{}</text>').format(LEFT, dtype),
        Markup('<path class="grid" d="{}"/>').format(Markup("").join(lines)),
        Markup('<g class="tick" text-anchor="middle">{}</g>').format(Markup("").join(below)),
        Markup('<g class="tick" text-anchor="end">{}</g>').format(Markup("").join(beside)),
        Markup('<line class="floor" x1="{}" y1="{y}" x2="{}" y2="{y}"/>').format(LEFT, WIDTH - RIGHT, y=floor),
    ]
    return Markup("").join(parts)


def ulp_ticks(dtype: str) -> list[float]:
    """Ticks of the error axis: 1 and some powers of ten, up to the dtype's precision."""
    step = 10.0 ** max(1, round(FORMATS[dtype].precision * math.log10(2) / 4))
    shown = [1.0]
    while shown[-1] * step <= 2.0 ** FORMATS[dtype].precision:
        shown.append(shown[-1] * step)
    return shown


def draw_kink(kink: float) -> Markup:
    return Markup('<line class="kink" x1="{x}" y1="{}" x2="{x}" y2="{}"/>').format(
        TOP, HEIGHT - BOTTOM, x=x_of_bin(bin_of(kink))
    )


def draw_curve(curve: ErrorCurve, scale: Scale) -> Markup:
    """A curve as steps from bin to bin, with a gap where a bin has no value."""
    path: list[str] = []
    last: int | None = None
    for k, ulps in enumerate([*curve.worst, -1.0]):
        now = None if ulps == -1 else y_of(ulps, scale)
        if now == last:
            continue
        if last is not None:
            path.append(f"H{x_of_bin(k):g}")
        if now is not None:
            path.append(f"V{now}" if last is not None else f"M{x_of_bin(k):g} {now}")
        last = now
    return Markup('<path class="curve {}" d="{}"/>').format(line_class(curve.framework), "".join(path))
