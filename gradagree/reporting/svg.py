"""Figures as SVG: histograms over decades, and intervals on a logarithmic axis."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from gradagree.reporting.axes import AXIS, LEFT, RIGHT, TOP, WIDTH, Axis, axis_for, figure, frame
from gradagree.reporting.spread import BARS, Histogram, Spread
from gradagree.reporting.texts import brief, shown_number

__all__ = ["Interval", "Panel", "histograms", "intervals"]

PANEL, ROW, GAP = 66, 18, 26
BAR = 10
"""Width of a bar beside the axis."""


class Panel(NamedTuple):
    """One histogram of a figure."""

    label: str
    histogram: Histogram


class Interval(NamedTuple):
    """One row of an interval figure."""

    label: str
    spread: Spread


def histograms(title: str, panels: Sequence[Panel], bound: str) -> Markup:
    """One panel above the other on a common axis; the bound lies at 1, and bars from there on stand out."""
    axis = _axis([panel.histogram for panel in panels])
    height = TOP + PANEL * len(panels) + AXIS
    inside = [_panel(axis, TOP + PANEL * place, panel) for place, panel in enumerate(panels)]
    words = "; ".join(f"{label}: {_described(histogram)}" for label, histogram in panels)
    return figure(title, words, height, [frame(axis, height, bound), *inside])


def intervals(title: str, groups: Sequence[tuple[str, Sequence[Interval]]], bound: str) -> Markup:
    """For each row a line from the 5th to the 95th percentile, a thick one for the middle half, a dot at the median."""
    rows = [(name, row) for name, rows in groups for row in rows]
    axis = _axis([row.spread.histogram() for _, row in rows])
    height = TOP + sum(ROW * len(rows) + GAP for _, rows in groups) + AXIS
    inside, top = [frame(axis, height, bound)], TOP
    for name, members in groups:
        inside.append(Markup('<text class="label" x="0" y="{}">{}</text>').format(top + 14, name))
        inside += [_interval(axis, top + 28 + ROW * place, row) for place, row in enumerate(members)]
        top += ROW * len(members) + GAP
    words = "; ".join(f"{name}, {row.label}: median {brief(row.spread.quantile(0.5))}" for name, row in rows)
    return figure(title, words, height, inside)


def _axis(found: Sequence[Histogram]) -> Axis:
    exponents = [bar / BARS for histogram in found for bar in histogram.bars]
    return axis_for(exponents, any(h.zeros for h in found), any(h.infinite for h in found))


def _panel(axis: Axis, top: float, panel: Panel) -> Markup:
    label, histogram = panel
    bars: Counter[int] = Counter()
    for bar, count in histogram.bars.items():
        bars[min(max(bar, axis.low * BARS), axis.high * BARS - 1)] += count
    floor = top + PANEL - 12
    scale = (PANEL - 26) / max([*bars.values(), histogram.zeros, histogram.infinite, 1])
    width = axis.at(axis.low + 1 / BARS) - axis.at(axis.low) - 1
    shapes = [_bar(axis.at(bar / BARS) + 0.5, floor, width, count * scale, bar >= 0) for bar, count in bars.items()]
    if histogram.zeros:
        shapes.append(_bar(LEFT + 9 - BAR / 2, floor, BAR, histogram.zeros * scale, False))
    if histogram.infinite:
        shapes.append(_bar(WIDTH - RIGHT - 9 - BAR / 2, floor, BAR, histogram.infinite * scale, True))
    line = Markup('<line class="floor" x1="{}" y1="{y}" x2="{}" y2="{y}"/>').format(LEFT, WIDTH - RIGHT, y=floor + 0.5)
    return Markup("").join(
        [_label("label", floor - 15, label), _label("small", floor, shown_number(histogram.total)), *shapes, line]
    )


def _label(kind: str, y: float, text: str) -> Markup:
    return Markup('<text class="{}" x="{}" y="{}" text-anchor="end">{}</text>').format(kind, LEFT - 10, y, text)


def _bar(left: float, floor: float, width: float, height: float, beyond: bool) -> Markup:
    height = round(max(height, 1), 1)
    return Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>').format(
        "beyond" if beyond else "bar", round(left, 1), round(floor - height, 1), round(width, 1), height
    )


def _described(histogram: Histogram) -> str:
    places = list(histogram.bars)
    parts = [f"{shown_number(histogram.total)} records"]
    if places:
        parts.append(f"from {10 ** (places[0] / BARS):.1g} to {10 ** min((places[-1] + 1) / BARS, 308):.1g}")
    parts += [f"{shown_number(histogram.zeros)} exactly 0"] * bool(histogram.zeros)
    return ", ".join(parts + [f"{shown_number(histogram.infinite)} not finite"] * bool(histogram.infinite))


def _interval(axis: Axis, y: float, row: Interval) -> Markup:
    low, quarter, middle, three, high = (axis.place(row.spread.quantile(q)) for q in (0.05, 0.25, 0.5, 0.75, 0.95))
    line = Markup('<line class="{}" x1="{}" y1="{y}" x2="{}" y2="{y}"/>')
    dot = Markup('<circle class="dot" cx="{}" cy="{}" r="3.5"/>').format(middle, y)
    thin, thick = (
        line.format("thin", low, max(high, low + 1), y=y),
        line.format("thick", quarter, max(three, quarter + 2), y=y),
    )
    return Markup("").join([_label("small", y + 4, row.label), thin, thick, dot])
