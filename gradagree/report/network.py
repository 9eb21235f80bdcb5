"""Pictures of a network as SVG: nested operations, and the weights of a trained network."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from markupsafe import Markup

from gradagree.cases.text import shorten, split_case
from gradagree.checker.verdict import Record, Verdict
from gradagree.reference.graph import parameter_name
from gradagree.report.graph_picture import draw_graph
from gradagree.report.text import brief, count_noun, visible
from gradagree.report.training_data import Numbers, Training

UNIT, RADIUS = 32, 12.5
"""From unit to unit, and the radius of one."""


@dataclass(frozen=True)
class Frame:
    """One operation: its input enters through the left border, where its units lie."""

    x: float
    y: float
    width: float
    height: float
    units: tuple[int, ...] = ()

    def place(self, k: int) -> float:
        """Where the k-th of the units drawn lies, from the top."""
        return self.y + self.height / 2 + UNIT * (k - (len(self.units) - 1) / 2)


@dataclass(frozen=True)
class Nesting:
    """Distances between nested frames: room at the left, from left border to left border, between right borders, at
    the top and bottom of each frame, and the width of the innermost."""

    left: float
    step: float
    side: float
    strip: float
    innermost: float

    def frames(self, heights: Sequence[float], units: Sequence[tuple[int, ...]]) -> list[Frame]:
        """Frames around contents of these heights, each within the one before it, about a common middle line."""
        height, outer = 0.0, []
        for content in reversed(heights):
            height = max(height, content) + 2 * self.strip
            outer.append(height)
        outer.reverse()
        found = []
        for k, drawn in enumerate(units):
            width = self.innermost + (len(units) - 1 - k) * (self.step + self.side)
            x, y = self.left + self.step * k, 1 + (outer[0] - outer[k]) / 2
            found.append(Frame(x, y, width, outer[k], drawn))
        return found


NETWORK = Nesting(left=34, step=124, side=12, strip=26, innermost=170)
FAULT = Nesting(left=1, step=118, side=7, strip=6, innermost=140)


def frames(units: Sequence[tuple[int, ...]]) -> list[Frame]:
    """Frames that hold these units."""
    return NETWORK.frames([UNIT * len(drawn) for drawn in units], units)


def choose_units(numbers: Sequence[float], most: int, always: Collection[int] = ()) -> tuple[int, ...]:
    """A bounded number of indices, in order: the given ones, then those of the largest values (NaN is the largest)."""

    def rank(place: int) -> tuple[bool, float]:
        x = abs(numbers[place])
        return place not in always, -(math.inf if math.isnan(x) else x)

    return tuple(sorted(sorted(range(len(numbers)), key=rank)[:most]))


BAND = 44
"""Height of two lines of text."""
MOST = 6
"""Operations drawn; of a deeper network the first, the last, and those around the faulty one."""
OperationLabel = tuple[str, str, bool]
"""The two lines of text in a frame, and whether it is the faulty operation."""


def draw_faulty_operation(record: Record) -> Markup | None:
    """The picture; None where the record names no location, as in an end-to-end check, or cannot be read."""
    text = split_case(record.spec)
    if text.family and record.verdict is not Verdict.SUSPECT:
        return draw_graph(text, record.box)
    found = operation_labels(record)
    if record.verdict is Verdict.SUSPECT or not any(faulty for _, _, faulty in found):
        return None
    drawn = FAULT.frames([BAND] * len(found), [()] * len(found))
    width, height = f"{drawn[0].width + 2:g}", f"{drawn[0].height + 2:g}"
    parts = [_frame(*one, one[0] is drawn[-1]) for one in zip(drawn, found, strict=True)]
    words = ", ".join(f"{first} {second}{' (faulty)' * faulty}" for first, second, faulty in found)
    head = Markup(
        '<svg class="network" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" aria-label="{words}">'
    )
    return (
        head.format(w=width, h=height, words=f"Operations from the input to the loss: {words}")
        + Markup("").join(parts)
        + Markup("</svg>")
    )


def operation_labels(record: Record) -> list[OperationLabel]:
    """The texts of the picture, from the first operation to the loss."""
    parts = split_case(record.spec)
    if not parts.runs:
        return []
    names = [visible(name) for name, count in parts.runs for _ in range(min(count, 1000))]
    here = len(names) if record.box == "error" else record.box - 1 if isinstance(record.box, int) else -1
    units = [f" · {visible(width.rstrip('b'))} unit{'s' * (width.rstrip('b') != '1')}" for width in parts.widths]
    units += [""] * (len(names) - len(units))
    found = [(f"op {k + 1}{units[k]}", name, k == here) for k, name in enumerate(names)]
    kept, shown = _kept(len(found), min(here, len(found) - 1)), list[OperationLabel]()
    for gap, group in groupby(range(len(found)), lambda k: k not in kept):
        places = list(group)
        shown += [("\u22ef", f"{len(places):,} more", False)] if gap else [found[k] for k in places]
    return [*shown, ("loss", visible(parts.error), here == len(names))]


def _kept(count: int, here: int) -> set[int]:
    if count <= MOST:
        return set(range(count))
    return {k for k in (0, here - 1, here, here + 1, count - 1) if 0 <= k < count}


def _frame(frame: Frame, label: OperationLabel, innermost: bool) -> Markup:
    first, second, faulty = label
    shape = Markup('<rect class="{}" x="{:g}" y="{:g}" width="{:g}" height="{:g}" rx="3"/>').format(
        "faulty" if faulty else "frame", frame.x, frame.y, frame.width, frame.height
    )
    text = Markup('<text class="{}" x="{:g}" y="{:g}">{}</text>')
    x, middle = frame.x + 8, frame.y + frame.height / 2
    text_below = "\u2717 " * faulty + shorten(second, 15 if innermost else 12)
    return (
        shape
        + text.format("small", x, middle - 5, first)
        + text.format("loud" if faulty else "name", x, middle + 12, text_below)
    )


MOST_UNITS, MOST_BOXES, MOST_TITLE = 12, 12, 24
DISC, RING, LINE = 6.5, 5.0, 3.4
"""Largest radius of a disc, width of a ring and width of a line."""
ONE = Markup('<svg class="sample" viewBox="0 0 40 28" width="40" height="28" aria-hidden="true">{}</svg>')


@dataclass(frozen=True)
class DrawnLayer:
    """One node: its input p, its cotangent delta, and its weights (None for the loss)."""

    title: str
    p: Numbers
    delta: Numbers
    w: tuple[Numbers, ...] = ()
    is_loss: bool = False

    @property
    def wide(self) -> bool:
        """True if it has more units than are drawn."""
        return len(self.p) > MOST_UNITS

    def weight(self, i: int, j: int) -> float:
        return self.w[i][j] if i < len(self.w) and j < len(self.w[i]) else math.nan


def layers(training: Training) -> list[DrawnLayer]:
    """The operations of the example, from the input to the loss; none if there is no example."""
    example, found = training.example, []
    if example is None:
        return []
    for k, p in enumerate(example.inputs):
        delta = example.sensitivities[k] if k < len(example.sensitivities) else ()
        delta += (math.nan,) * (len(p) - len(delta))
        innermost = k == len(example.inputs) - 1
        names = (training.error,) if innermost else training.activations[k : k + 1]
        title = ": ".join(["loss" if innermost else f"operation {k + 1}", *filter(None, names)])
        w = example.parameters.get(parameter_name(k + 1, "w"), ()) if not innermost else ()
        found.append(DrawnLayer(title, p, delta, w, innermost))
    return found


def draw_network(training: Training) -> Markup:
    """The svg element: of a wide layer the units with the largest cotangents, of a deep network the last operations."""
    shown = layers(training)[-MOST_BOXES:]
    example = training.example
    if not shown or example is None:
        return Markup("")
    always = [place for place in (example.decision, example.right) if place is not None]
    units = [choose_units(layer.delta, MOST_UNITS, always if layer is shown[-1] else ()) for layer in shown]
    drawn = frames(units)
    parts = [part for layer, frame in zip(shown, drawn, strict=True) for part in _box(layer, frame, layer is shown[-1])]
    for layer, frame, inside in zip(shown, drawn, drawn[1:], strict=False):
        parts += _weights(layer, frame, inside)
    for layer, frame in zip(shown, drawn, strict=True):
        parts += _units(layer, frame)
    parts += _numbered(drawn[0])
    parts += _outcome(training, shown[-1], drawn[-1])
    words = "; ".join(f"{layer.title}, {count_noun(len(layer.p), 'unit')}, {_scales(layer)}" for layer in shown)
    return _svg(drawn[0], f"The network on one example. {words}. The same numbers stand in the tables below.", parts)


def _svg(outermost: Frame, words: str, parts: Sequence[Markup]) -> Markup:
    width, height = outermost.x + outermost.width + 2, outermost.height + 2
    whole = Markup(
        '<svg class="network" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" aria-label="{}">{}</svg>'
    )
    return whole.format(words, Markup("").join(parts), w=f"{width:g}", h=f"{height:g}")


def _box(layer: DrawnLayer, frame: Frame, innermost: bool) -> Iterator[Markup]:
    kind = "box innermost" if innermost else "box"
    yield Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}" rx="5"/>').format(
        kind, frame.x, frame.y, frame.width, frame.height
    )
    some = f", {len(frame.units)} of {len(layer.p)} units" if len(frame.units) < len(layer.p) else ""
    text = Markup('<text class="{}" x="{}" y="{}">{}</text>')
    yield text.format(
        "label", frame.x + 14, frame.y + 17, shorten(layer.title.replace("operation", "op"), MOST_TITLE) + some
    )
    yield text.format("small", frame.x + 14, frame.y + frame.height - 9, _scales(layer))


def _scales(layer: DrawnLayer) -> str:
    return f"largest |p| {brief(_largest(layer.p))}, |δ| {brief(_largest(layer.delta))}"


def _largest(numbers: Sequence[float]) -> float:
    """The largest finite |x|; 0 for none."""
    return max((abs(x) for x in numbers if math.isfinite(x)), default=0.0)


def _weights(layer: DrawnLayer, frame: Frame, inside: Frame) -> Iterator[Markup]:
    """Lines from the units of an operation to those of the next one, the largest weights on top."""
    line = Markup('<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}" stroke-width="{}" stroke-opacity="{}"/>')
    ends = frame.x + RADIUS, inside.x - RADIUS
    if not layer.w:
        for k, k_inside in zip(range(len(frame.units)), range(len(inside.units)), strict=False):
            yield line.format("w through", ends[0], frame.place(k), ends[1], inside.place(k_inside), 1, 1)
        return
    largest = _largest([x for row in layer.w for x in row]) or 1.0
    places = [(k, m, layer.weight(i, j)) for k, i in enumerate(frame.units) for m, j in enumerate(inside.units)]
    for k, m, w in sorted((place for place in places if math.isfinite(place[2])), key=lambda place: abs(place[2])):
        share, kind = abs(w) / largest, "w negative" if w < 0 else "w"
        strength = round(0.3 + LINE * share, 2), round(0.3 + 0.7 * share, 2)
        yield line.format(kind, ends[0], frame.place(k), ends[1], inside.place(m), *strength)


def _units(layer: DrawnLayer, frame: Frame) -> Iterator[Markup]:
    largest_p, largest_delta = _largest(layer.p) or 1.0, _largest(layer.delta) or 1.0
    for k, i in enumerate(frame.units):
        p, delta = layer.p[i], layer.delta[i]
        title = Markup("<title>{}, unit {}: p = {}, δ = {}</title>").format(layer.title, i, brief(p), brief(delta))
        yield Markup("<g>{}{}</g>").format(title, _unit(frame.x, frame.place(k), p / largest_p, delta / largest_delta))


def _unit(x: float, y: float, p: float, delta: float) -> Markup:
    """A unit whose disc has the area |p| and whose ring has the width |delta|, both at most 1."""
    circle = Markup('<circle class="{}" cx="{}" cy="{}" r="{}"{}/>')
    parts = [circle.format("unit", x, y, RADIUS, "")]
    if not (math.isfinite(p) and math.isfinite(delta)):
        parts.append(Markup('<text class="broken" x="{}" y="{}" text-anchor="middle">✗</text>').format(x, y + 5))
        return Markup("").join(parts)
    if delta:
        width = round(max(RING * abs(delta), 0.8), 2)
        stroke = Markup(' stroke-width="{}"').format(width)
        kind = "ring negative" if delta < 0 else "ring"
        parts.append(circle.format(kind, x, y, round(RADIUS - width / 2, 2), stroke))
    if p:
        parts.append(
            circle.format("disc negative" if p < 0 else "disc", x, y, round(max(DISC * abs(p) ** 0.5, 1), 2), "")
        )
    return Markup("").join(parts)


def _numbered(frame: Frame) -> Iterator[Markup]:
    text = Markup('<text class="small" x="{}" y="{}" text-anchor="end">{}</text>')
    return (text.format(frame.x - RADIUS - 6, frame.place(k) + 4, i) for k, i in enumerate(frame.units))


def _outcome(training: Training, layer: DrawnLayer, frame: Frame) -> Iterator[Markup]:
    """Beside each output: its number, its target, and whether it is the predicted or the correct class."""
    example = training.example
    assert example is not None
    text = Markup('<text class="{}" x="{}" y="{}">{}</text>')
    for k, i in enumerate(frame.units):
        x, y = frame.x + RADIUS + 8, frame.place(k)
        words = f"{i}: o {brief(layer.p[i])}" + (f", t {brief(example.target[i])}" if i < len(example.target) else "")
        yield text.format("label", x, y + 1, words)
        if i == example.decision and example.right is not None:
            good = i == example.right
            yield text.format(
                "label" if good else "wrong", x, y + 14, "✓ predicted, correct" if good else "✗ predicted, wrong"
            )
        elif i in (example.decision, example.right):
            yield text.format("label", x, y + 14, "predicted" if i == example.decision else "correct class")


def legend() -> list[tuple[Markup, str]]:
    """Samples of what the picture is made of, each with its meaning."""
    line = Markup('<line class="{}" x1="2" y1="14" x2="38" y2="14" stroke-width="2.4"/>')
    return [
        (ONE.format(_unit(20, 14, 1, 0)), "disc: input p > 0, area |p|"),
        (ONE.format(_unit(20, 14, -1, 0)), "open disc: p < 0"),
        (ONE.format(_unit(20, 14, 0, 0.7)), "ring: cotangent δ > 0, width |δ|"),
        (ONE.format(_unit(20, 14, 0, -0.7)), "broken ring: δ < 0"),
        (ONE.format(line.format("w")), "line: weight > 0, width |w|"),
        (ONE.format(line.format("w negative")), "broken line: weight < 0"),
    ]


MOST_ROWS, MOST_WEIGHTS, MOST_TABLES = 128, 16, 40


@dataclass(frozen=True)
class NodeTable:
    """An operation: for each unit p, delta and the weights that lead to the next one."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left_out: str = ""


def tables(training: Training) -> list[NodeTable]:
    """From the first node to the loss; nodes that do not fit are left out, with a remark."""
    return [_table(layer, training) for layer in layers(training)[-MOST_TABLES:]]


def _table(layer: DrawnLayer, training: Training) -> NodeTable:
    width = max((len(row) for row in layer.w), default=0)
    shown = min(width, MOST_WEIGHTS)
    target = training.example.target if training.example and layer.is_loss else ()
    head = ["unit", "p", "δ"] + ["t"] * bool(target) + [f"w to {j}" for j in range(shown)]
    rows = []
    for i in range(min(len(layer.p), MOST_ROWS)):
        numbers = [layer.p[i], layer.delta[i], *(target[i : i + 1] or [None] * bool(target))]
        rows.append((str(i), *map(brief, [*numbers, *(layer.weight(i, j) for j in range(shown))])))
    cut = [f"{len(layer.p) - MOST_ROWS} further units"] * (len(layer.p) > MOST_ROWS)
    cut += [f"the weights to {width - shown} further units"] * (width > shown)
    return NodeTable(layer.title, tuple(head), tuple(rows), " and ".join(cut))
