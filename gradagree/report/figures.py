"""Figures as SVG: axes, scales, histograms, intervals and curves."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from markupsafe import Markup

from gradagree.report.matrix import BARS, Histogram, Spread
from gradagree.report.text import brief, format_count

WIDTH, LEFT, RIGHT = 440, 72, 12
TOP, AXIS = 22, 34
SIDE = 30
"""Room beside the axis for what no logarithm places: exactly 0, and not finite."""
LOWEST, HIGHEST = -18, 6
MOST_DECADES = 6
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def share(x: float, low: float, high: float) -> float:
    """Where x lies between low and high, from 0 to 1; the nearer end for what lies beyond, the middle of nothing."""
    size = high / 2 - low / 2
    return min(max((x / 2 - low / 2) / size, 0.0), 1.0) if size > 0 else 0.5


def decades(low: int, high: int, most: int) -> list[int]:
    """Powers of ten between low and high at equal distances, about as many as most."""
    step = -(-max(high - low, 1) // most)
    return [decade for decade in range(low, high + 1) if decade % step == 0]


def power(decade: int) -> str:
    """10⁻³, or 1."""
    return "10" + str(decade).translate(SUPERSCRIPTS) if decade else "1"


MOST_STEPS = 5
ONES, FEW_DECADES = (1, 2, 5), 2
SPAN = 1.0
"""From so many decades on, a logarithm helps."""
MARGIN, ZERO = 0.04, 0.08
"""Room at both ends of a logarithmic scale, and below it for 0, as shares of it."""
SMALLEST, LARGEST = -307, 308
"""Powers of ten that float64 holds."""
MOST = sys.float_info.max
SAME = 1e-5
"""Numbers that differ by less than this share are drawn as equal."""


@dataclass(frozen=True)
class Scale:
    """A linear scale from low to high, or a logarithmic one from 10^low to 10^high.

    With zeros, 0 lies at the low end of a logarithmic scale, apart from the other numbers.
    """

    low: float
    high: float
    logarithmic: bool = False
    zeros: bool = False

    def at(self, x: float) -> float:
        """The position of x, from 0 at the low end to 1 at the high end; numbers beyond an end are at that end."""
        if not self.logarithmic:
            return share(x, self.low, self.high)
        if x <= 0:
            return 0.0
        floor = ZERO * self.zeros
        return floor + (1 - floor) * share(math.log10(x), self.low, self.high)

    def ticks(self, most: int = MOST_STEPS) -> list[tuple[float, str]]:
        """About `most` numbers to label at the axis, with their labels."""
        if self.logarithmic:
            return self._decades(most)
        step = nice_step(self.high / most - self.low / most)
        if not step:
            return [(x, f"{x:.3g}") for x in dict.fromkeys((self.low, self.high))]
        places = range(math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9) + 1)
        return [(place * step, f"{place * step:.6g}") for place in places]

    def _decades(self, most: int) -> list[tuple[float, str]]:
        low, high = max(math.ceil(self.low), SMALLEST), min(math.floor(self.high), LARGEST)
        found = [(10.0**decade, power(decade)) for decade in decades(low, high, most)]
        if high - low < FEW_DECADES:
            numbers = [one * 10.0**decade for decade in range(max(low - 1, SMALLEST), high + 1) for one in ONES]
            found = [(x, f"{x:g}") for x in numbers if self.low <= math.log10(x) <= self.high]
        return [(0.0, "0")] * self.zeros + found


def nice_step(least: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is at least so large; 0 where there is none."""
    if not 10.0**SMALLEST <= least < 10.0**LARGEST:
        return 0.0
    size = 10.0 ** math.floor(math.log10(least))
    return next((one * size for one in (*ONES, 10) if one * size >= least * (1 - 1e-9)), 0.0)


def scale_for(numbers: Iterable[float], from_zero: bool = False) -> Scale:
    """The scale that holds all finite numbers, its ends at ticks where it is linear."""
    finite = [x for x in numbers if math.isfinite(x)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    exponents = [math.log10(x) for x in finite if x > 0]
    if not from_zero and low >= 0 and exponents and max(exponents) - min(exponents) >= SPAN:
        margin = MARGIN * (max(exponents) - min(exponents))
        return Scale(min(exponents) - margin, max(exponents) + margin, logarithmic=True, zeros=low == 0)
    return _linear(min(low, 0.0) if from_zero else low, high, from_zero)


def _linear(low: float, high: float, from_zero: bool) -> Scale:
    step = nice_step(high / MOST_STEPS - low / MOST_STEPS)
    if step > SAME * max(abs(low), abs(high)):
        low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    else:
        margin = abs(high) / 2 or 1.0
        low, high = low if from_zero else low - margin, high + margin
    return Scale(max(low, -MOST), min(high, MOST))


@dataclass(frozen=True)
class Axis:
    """A horizontal logarithmic axis across the figure, with room beside it for 0 and non-finite numbers."""

    scale: Scale
    zeros: bool = False
    infinite: bool = False

    def at(self, x: float) -> float:
        """The position of x from the left."""
        if x == 0:
            return LEFT + 9
        if not math.isfinite(x):
            return WIDTH - RIGHT - 9
        start, end = LEFT + SIDE * self.zeros, WIDTH - RIGHT - SIDE * self.infinite
        return round(start + self.scale.at(x) * (end - start), 1)

    def bar(self, bar: float) -> float:
        """The position of the left end of a bar of a histogram."""
        return self.at(10.0 ** (bar / BARS))


def axis_for(histograms: Sequence[Histogram]) -> Axis:
    """Whole decades around the bars: at least 10^-1 to 10, at most 10^-18 to 10^6."""
    exponents = [bar / BARS for histogram in histograms for bar in histogram.bars]
    low = max(math.floor(min([*exponents, -1.0])), LOWEST)
    high = min(math.floor(max([*exponents, 0.0])) + 1, HIGHEST)
    zeros, infinite = any(h.zeros for h in histograms), any(h.infinite for h in histograms)
    return Axis(Scale(low, high, logarithmic=True), zeros, infinite)


def frame(axis: Axis, height: float, bound: str) -> Markup:
    """Decades below, faint lines up, the bound at 1 with its name on top."""
    floor, one = height - AXIS + 6, axis.at(1.0)
    line = Markup('<line class="{}" x1="{x}" y1="{}" x2="{x}" y2="{}"/>')
    text = Markup('<text class="tick" x="{}" y="{}" text-anchor="middle">{}</text>')
    ticks = axis.scale.ticks(MOST_DECADES)
    parts = [line.format("grid", TOP, floor, x=axis.at(x)) for x, _ in ticks]
    parts += [text.format(axis.at(x), floor + 16, label) for x, label in ticks]
    parts += [text.format(LEFT + 9, floor + 16, "0")] * axis.zeros
    parts += [text.format(WIDTH - RIGHT - 9, floor + 16, "∞")] * axis.infinite
    parts.append(line.format("bound", TOP - 4, floor, x=one))
    name = Markup('<text class="boundname" x="{}" y="{}" text-anchor="{}">{}</text>')
    parts.append(name.format(one, TOP - 9, "end" if one > WIDTH * 0.7 else "middle", bound))
    return Markup("").join(parts)


def figure(title: str, words: str, height: float, inside: Sequence[Markup]) -> Markup:
    """The svg element; title and words are read out in its place."""
    whole = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>')
    return whole.format(WIDTH, height, f"{title}. {words}", Markup("").join(inside))


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
    axis = axis_for([panel.histogram for panel in panels])
    height = TOP + PANEL * len(panels) + AXIS
    inside = [_panel(axis, TOP + PANEL * place, panel) for place, panel in enumerate(panels)]
    words = "; ".join(f"{label}: {_describe_histogram(histogram)}" for label, histogram in panels)
    return figure(title, words, height, [frame(axis, height, bound), *inside])


def intervals(title: str, groups: Sequence[tuple[str, Sequence[Interval]]], bound: str) -> Markup:
    """For each row a line from the 5th to the 95th percentile, a thick one for the middle half, a dot at the median."""
    rows = [(name, row) for name, rows in groups for row in rows]
    axis = axis_for([row.spread.histogram() for _, row in rows])
    height = TOP + sum(ROW * len(rows) + GAP for _, rows in groups) + AXIS
    inside, top = [frame(axis, height, bound)], TOP
    for name, members in groups:
        inside.append(Markup('<text class="label" x="0" y="{}">{}</text>').format(top + 14, name))
        inside += [_interval(axis, top + 28 + ROW * place, row) for place, row in enumerate(members)]
        top += ROW * len(members) + GAP
    words = "; ".join(f"{name}, {row.label}: median {brief(row.spread.quantile(0.5))}" for name, row in rows)
    return figure(title, words, height, inside)


def _panel(axis: Axis, top: float, panel: Panel) -> Markup:
    label, histogram = panel
    bars: Counter[int] = Counter()
    for bar, count in histogram.bars.items():
        bars[min(max(bar, int(axis.scale.low) * BARS), int(axis.scale.high) * BARS - 1)] += count
    floor = top + PANEL - 12
    scale = (PANEL - 26) / max([*bars.values(), histogram.zeros, histogram.infinite, 1])
    width = axis.bar(axis.scale.low * BARS + 1) - axis.bar(axis.scale.low * BARS) - 1
    shapes = [_bar(axis.bar(bar) + 0.5, floor, width, count * scale, bar >= 0) for bar, count in bars.items()]
    if histogram.zeros:
        shapes.append(_bar(LEFT + 9 - BAR / 2, floor, BAR, histogram.zeros * scale, False))
    if histogram.infinite:
        shapes.append(_bar(WIDTH - RIGHT - 9 - BAR / 2, floor, BAR, histogram.infinite * scale, True))
    line = Markup('<line class="floor" x1="{}" y1="{y}" x2="{}" y2="{y}"/>').format(LEFT, WIDTH - RIGHT, y=floor + 0.5)
    return Markup("").join(
        [_label("label", floor - 15, label), _label("small", floor, format_count(histogram.total)), *shapes, line]
    )


def _label(kind: str, y: float, text: str) -> Markup:
    return Markup('<text class="{}" x="{}" y="{}" text-anchor="end">{}</text>').format(kind, LEFT - 10, y, text)


def _bar(left: float, floor: float, width: float, height: float, beyond: bool) -> Markup:
    height = round(max(height, 1), 1)
    return Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>').format(
        "beyond" if beyond else "bar", round(left, 1), round(floor - height, 1), round(width, 1), height
    )


def _describe_histogram(histogram: Histogram) -> str:
    places = list(histogram.bars)
    parts = [f"{format_count(histogram.total)} records"]
    if places:
        parts.append(f"from {10 ** (places[0] / BARS):.1g} to {10 ** min((places[-1] + 1) / BARS, 308):.1g}")
    parts += [f"{format_count(histogram.zeros)} exactly 0"] * bool(histogram.zeros)
    return ", ".join(parts + [f"{format_count(histogram.infinite)} not finite"] * bool(histogram.infinite))


def _interval(axis: Axis, y: float, row: Interval) -> Markup:
    low, quarter, middle, three, high = (axis.at(row.spread.quantile(q)) for q in (0.05, 0.25, 0.5, 0.75, 0.95))
    line = Markup('<line class="{}" x1="{}" y1="{y}" x2="{}" y2="{y}"/>')
    dot = Markup('<circle class="dot" cx="{}" cy="{}" r="3.5"/>').format(middle, y)
    thin, thick = (
        line.format("thin", low, max(high, low + 1), y=y),
        line.format("thick", quarter, max(three, quarter + 2), y=y),
    )
    return Markup("").join([_label("small", y + 4, row.label), thin, thick, dot])


HEIGHT, CHART_TOP, FLOOR = 262, 14, 222
MOST_POINTS, MOST_TICKS = 480, 6
STYLES = ("band", "solid", "dashed", "dotted", "dashdotted")
"""From the lowest to the topmost: each leaves to be seen what lies below it."""


class Line(NamedTuple):
    """One curve: a number for each round from round 0, drawn in one of the styles."""

    label: str
    style: str
    numbers: tuple[float, ...]


def chart(title: str, lines: Sequence[Line], checked: Sequence[int] = (), percent: bool = False) -> Markup:
    """All lines on common axes; below them a tick at each round in which gradients were checked.

    Non-finite values interrupt a line; a cross at the top marks the first of them.
    """
    scale = scale_for([x for line in lines for x in line.numbers], from_zero=percent)
    rounds = max([*(len(line.numbers) - 1 for line in lines), *checked, 1])
    inside = [*_grid(scale, rounds, percent), *_checked_rounds(checked, rounds)]
    for line in sorted(lines, key=lambda line: STYLES.index(line.style)):
        inside += _draw_line(line, scale, rounds)
    words = "; ".join(f"{line.label}: {_describe_line(line, percent)}" for line in lines)
    return figure(title, words, HEIGHT, inside)


def sample(style: str) -> Markup:
    """A short piece of a line, for the legend."""
    return Markup(
        '<svg class="sample" viewBox="0 0 40 12" width="40" height="12" aria-hidden="true">'
        '<path class="curve {}" d="M2 6H38"/></svg>'
    ).format(style)


def _x(k: float, rounds: int) -> float:
    return round(LEFT + (WIDTH - RIGHT - LEFT - 8) * k / rounds, 1)


def _y(scale: Scale, number: float) -> float:
    return round(FLOOR - (FLOOR - CHART_TOP) * scale.at(number), 1)


def _grid(scale: Scale, rounds: int, percent: bool) -> Iterator[Markup]:
    line = Markup('<line class="{}" x1="{}" y1="{y}" x2="{}" y2="{y}"/>')
    text = Markup('<text class="tick" x="{}" y="{}" text-anchor="{}">{}</text>')
    for number, label in scale.ticks():
        y = _y(scale, number)
        yield line.format("grid", LEFT, WIDTH - RIGHT, y=y)
        yield text.format(LEFT - 8, y + 4, "end", label + " %" * percent)
    yield line.format("floor", LEFT, WIDTH - RIGHT, y=FLOOR + 0.5)
    step = max(int(nice_step(rounds / MOST_TICKS)), 1)
    for k in range(0, rounds + 1, step):
        yield text.format(_x(k, rounds), FLOOR + 22, "middle", f"{k:,}")
    yield text.format(WIDTH - RIGHT, FLOOR + 38, "end", "round")
    if scale.logarithmic:
        yield text.format(LEFT, FLOOR + 38, "start", "logarithmic scale")


def _checked_rounds(checked: Sequence[int], rounds: int) -> Iterator[Markup]:
    tick = Markup('<line class="checked" x1="{x}" y1="{}" x2="{x}" y2="{}"/>')
    for x in dict.fromkeys(_x(k, rounds) for k in checked):
        yield tick.format(FLOOR + 1, FLOOR + 8, x=x)


def _draw_line(line: Line, scale: Scale, rounds: int) -> Iterator[Markup]:
    for stretch in _finite(line.numbers):
        points = [f"{_x(k, rounds)} {_y(scale, x)}" for k, x in _thin(stretch)]
        if len(points) == 1:
            x, _, y = points[0].partition(" ")
            yield Markup('<circle class="point {}" cx="{}" cy="{}" r="{}"/>').format(line.style, x, y, _radius(line))
        else:
            yield Markup('<path class="curve {}" d="M{}"/>').format(line.style, "L".join(points))
    broken = next((k for k, x in enumerate(line.numbers) if not math.isfinite(x)), None)
    if broken is not None:
        cross = Markup('<text class="broken" x="{}" y="{}" text-anchor="middle">✗</text>')
        yield cross.format(_x(broken, rounds), CHART_TOP + 10)


def _radius(line: Line) -> float:
    """Those below are larger, so that each of several equal points is seen."""
    return 7 - 1.4 * STYLES.index(line.style)


def _finite(numbers: Sequence[float]) -> Iterator[list[tuple[int, float]]]:
    """The stretches of finite numbers, each number with its round."""
    stretch: list[tuple[int, float]] = []
    for k, x in enumerate(numbers):
        if math.isfinite(x):
            stretch.append((k, x))
        elif stretch:
            yield stretch
            stretch = []
    if stretch:
        yield stretch


def _thin(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """A bounded number of points: of each group of neighbours the ends, the lowest and the highest."""
    size = -(-4 * len(points) // MOST_POINTS)
    if size <= 4:
        return points
    kept: dict[tuple[int, float], None] = {}
    for start in range(0, len(points), size):
        group = points[start : start + size]
        chosen = {group[0], group[-1], min(group, key=lambda p: p[1]), max(group, key=lambda p: p[1])}
        kept.update(dict.fromkeys(sorted(chosen)))
    return list(kept)


def _describe_line(line: Line, percent: bool) -> str:
    if not line.numbers:
        return "nothing"
    first, final = (brief(line.numbers[k]) + " %" * percent for k in (0, -1))
    lost = sum(not math.isfinite(x) for x in line.numbers)
    words = f"{first} at round 0, {final} at round {len(line.numbers) - 1}"
    return words + (f", no finite number in {lost} of them" if lost else "")
