"""Curves over the rounds of a training as SVG: those that coincide can still be told apart, also without colour."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from markupsafe import Markup

from gradagree.reporting.axes import LEFT, RIGHT, WIDTH, figure
from gradagree.reporting.scales import Logarithmic, Scale, nice_step, scale_for
from gradagree.reporting.texts import brief

__all__ = ["STYLES", "Line", "chart", "sample"]

HEIGHT, TOP, FLOOR = 262, 14, 222
MOST_POINTS, MOST_TICKS = 480, 6
STYLES = ("band", "solid", "dashed", "dotted", "dashdotted")
"""From the lowest to the topmost: each leaves to be seen what lies below it."""


class Line(NamedTuple):
    """One curve: a number for each round from round 0, drawn in one of the styles."""

    label: str
    style: str
    numbers: tuple[float, ...]


def chart(title: str, lines: Sequence[Line], judged: Sequence[int] = (), percent: bool = False) -> Markup:
    """All lines on common axes; below them a tick at each round in which gradients were judged.

    Numbers that are not finite interrupt a line; a cross stands on top where the first of them would be.
    """
    scale = scale_for([x for line in lines for x in line.numbers], from_zero=percent)
    rounds = max([*(len(line.numbers) - 1 for line in lines), *judged, 1])
    inside = [*_grid(scale, rounds, percent), *_judged(judged, rounds)]
    for line in sorted(lines, key=lambda line: STYLES.index(line.style)):
        inside += _drawn(line, scale, rounds)
    words = "; ".join(f"{line.label}: {_described(line, percent)}" for line in lines)
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
    return round(FLOOR - (FLOOR - TOP) * scale.at(number), 1)


def _grid(scale: Scale, rounds: int, percent: bool) -> Iterator[Markup]:
    line = Markup('<line class="{}" x1="{}" y1="{y}" x2="{}" y2="{y}"/>')
    text = Markup('<text class="tick" x="{}" y="{}" text-anchor="{}">{}</text>')
    for number, written in scale.ticks():
        y = _y(scale, number)
        yield line.format("grid", LEFT, WIDTH - RIGHT, y=y)
        yield text.format(LEFT - 8, y + 4, "end", written + " %" * percent)
    yield line.format("floor", LEFT, WIDTH - RIGHT, y=FLOOR + 0.5)
    step = max(int(nice_step(rounds / MOST_TICKS)), 1)
    for k in range(0, rounds + 1, step):
        yield text.format(_x(k, rounds), FLOOR + 22, "middle", f"{k:,}")
    yield text.format(WIDTH - RIGHT, FLOOR + 38, "end", "round")
    if isinstance(scale, Logarithmic):
        yield text.format(LEFT, FLOOR + 38, "start", "logarithmic scale")


def _judged(judged: Sequence[int], rounds: int) -> Iterator[Markup]:
    tick = Markup('<line class="judged" x1="{x}" y1="{}" x2="{x}" y2="{}"/>')
    for x in dict.fromkeys(_x(k, rounds) for k in judged):
        yield tick.format(FLOOR + 1, FLOOR + 8, x=x)


def _drawn(line: Line, scale: Scale, rounds: int) -> Iterator[Markup]:
    for stretch in _finite(line.numbers):
        points = [f"{_x(k, rounds)} {_y(scale, x)}" for k, x in _thinned(stretch)]
        if len(points) == 1:
            x, _, y = points[0].partition(" ")
            yield Markup('<circle class="point {}" cx="{}" cy="{}" r="{}"/>').format(line.style, x, y, _radius(line))
        else:
            yield Markup('<path class="curve {}" d="M{}"/>').format(line.style, "L".join(points))
    broken = next((k for k, x in enumerate(line.numbers) if not math.isfinite(x)), None)
    if broken is not None:
        cross = Markup('<text class="broken" x="{}" y="{}" text-anchor="middle">✗</text>')
        yield cross.format(_x(broken, rounds), TOP + 10)


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


def _thinned(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """At most so many points: of each group of neighbours the ends, the lowest and the highest."""
    size = -(-4 * len(points) // MOST_POINTS)
    if size <= 4:
        return points
    kept: dict[tuple[int, float], None] = {}
    for start in range(0, len(points), size):
        group = points[start : start + size]
        chosen = {group[0], group[-1], min(group, key=lambda p: p[1]), max(group, key=lambda p: p[1])}
        kept.update(dict.fromkeys(sorted(chosen)))
    return list(kept)


def _described(line: Line, percent: bool) -> str:
    if not line.numbers:
        return "nothing"
    first, final = (brief(line.numbers[k]) + " %" * percent for k in (0, -1))
    lost = sum(not math.isfinite(x) for x in line.numbers)
    words = f"{first} at round 0, {final} at round {len(line.numbers) - 1}"
    return words + (f", no finite number in {lost} of them" if lost else "")
