"""The error in ulp against the input, as SVG: a signed logarithmic axis, one line for each framework."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from gradagree.adapters import Adapter
from gradagree.adapters.adapter import UNPLACED
from gradagree.adapters.pointwise import library_frameworks
from gradagree.arithmetics.model import FORMATS
from gradagree.atlas.curves import BINS, DECADES, Curve
from gradagree.report.figures import power, share

WIDTH, HEIGHT = 520, 190
LEFT, RIGHT, TOP, BOTTOM = 46, 8, 24, 26
LOWEST = 0.25
"""ulp; smaller errors lie on the floor."""


def panel(dtype: str, curves: Sequence[Curve], kinks: Sequence[float]) -> Markup:
    """One panel; infinity and NaN are drawn at the top, on a line of their own."""
    top = math.log2(2.0 ** (FORMATS[dtype].precision + 2) / LOWEST)
    parts = [frame(dtype, top), *(kink_at(kink) for kink in kinks)]
    parts += [line(curve, top) for curve in sorted(curves, key=lambda c: place(c.framework))]
    words = "; ".join(f"{c.framework} {c.mode}: {described(c)}" for c in curves)
    whole = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>')
    return whole.format(
        WIDTH, HEIGHT, f"{dtype}: worst error in ulp against the input. {words}", Markup("").join(parts)
    )


def place(library: str) -> int:
    """The place of a framework in figures; libraries come after all frameworks that have one."""
    if library in Adapter.catalogue:
        return Adapter.catalogue[library].position
    return UNPLACED - 1 if library in library_frameworks() else UNPLACED


def described(curve: Curve) -> str:
    finite = [x for x in curve.worst if not isinstance(x, str)]
    text = f"at most {max(finite, default=0):.3g} ulp"
    return text + (", not finite in places" if "inf" in curve.worst else "")


def across(place: float) -> float:
    """From the left, for a place in bins."""
    return round(LEFT + (WIDTH - LEFT - RIGHT) * place / (2 * BINS), 1)


def place_of(x: float) -> float:
    """The bin of an input, in parts."""
    if x == 0:
        return BINS
    return BINS + math.copysign(BINS * share(math.log10(abs(x)), *DECADES), x)


def height_of(ulps: float | str, top: float) -> int:
    if isinstance(ulps, str):
        return TOP + 4
    up = max(math.log2(max(ulps, LOWEST) / LOWEST), 0) / top
    return round(HEIGHT - BOTTOM - up * (HEIGHT - BOTTOM - TOP - 12))


DECADES_SHOWN = [(s * 10.0**d, ("−" if s < 0 else "") + power(d)) for s in (-1, 1) for d in (-4, -2, 0, 2)] + [
    (0.0, "0")
]


def frame(dtype: str, top: float) -> Markup:
    """The dtype's name, faint lines, and the numbers at both axes."""
    floor = HEIGHT - BOTTOM
    tick, grid = Markup('<text x="{}" y="{}">{}</text>'), Markup("M{} {}{}{}")
    across_it = [(across(place_of(x)), name) for x, name in DECADES_SHOWN]
    heights = [(height_of(y, top), power(round(math.log10(y)))) for y in ulps_shown(dtype)]
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


def ulps_shown(dtype: str) -> list[float]:
    """1 and a few powers of ten, up to all of the dtype's digits."""
    step = 10.0 ** max(1, round(FORMATS[dtype].precision * math.log10(2) / 4))
    shown = [1.0]
    while shown[-1] * step <= 2.0 ** FORMATS[dtype].precision:
        shown.append(shown[-1] * step)
    return shown


def kink_at(kink: float) -> Markup:
    return Markup('<line class="kink" x1="{x}" y1="{}" x2="{x}" y2="{}"/>').format(
        TOP, HEIGHT - BOTTOM, x=across(place_of(kink))
    )


def line(curve: Curve, top: float) -> Markup:
    """Steps from bin to bin; a gap where nothing is known."""
    path: list[str] = []
    last: int | None = None
    for k, ulps in enumerate([*curve.worst, -1.0]):
        now = None if ulps == -1 else height_of(ulps, top)
        if now == last:
            continue
        if last is not None:
            path.append(f"H{across(k):g}")
        if now is not None:
            path.append(f"V{now}" if last is not None else f"M{across(k):g} {now}")
        last = now
    known = curve.framework if place(curve.framework) < UNPLACED else "other"
    return Markup('<path class="curve {}" d="{}"/>').format(known, "".join(path))
