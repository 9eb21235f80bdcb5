"""The picture of a graph of layers as SVG: its nodes from the input down to the loss, and which values each takes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from markupsafe import Markup

from gradagree.cases.graph_text import split_node
from gradagree.cases.text import CaseText, shorten, split_outside_parentheses
from gradagree.errors import UsageError
from gradagree.report.text import visible

WIDTH, HEIGHT, GAP = 200, 30, 12
"""Width and height of a node, and the space between two."""
LANE = 14
"""From lane to lane of the connections that pass by other nodes."""
AROUND = 3
MOST_NODES = 14
"""Nodes drawn; of a larger graph the first, the last, and those around the faulty one."""
INPUT = 0


class DrawnNode(NamedTuple):
    """A node: its number (0 is the input, one more than the last node the loss), two texts, and what it takes."""

    number: int
    name: str
    detail: str
    inputs: tuple[int, ...]


def graph_nodes(parts: CaseText) -> list[DrawnNode]:
    """The input, the nodes and the loss of a graph's text; none if it cannot be read."""
    texts = split_outside_parentheses(parts.parts[1], ",")
    try:
        nodes = [split_node(k, text) for k, text in enumerate(texts, 1)]
    except UsageError:
        return []
    found = [DrawnNode(INPUT, "input", visible(parts.parts[0].partition("-")[2]), ())]
    for k, node in enumerate(nodes, 1):
        if any(i >= k for i in node.inputs):
            return []
        found.append(DrawnNode(k, visible(node.operation), "x".join(map(str, node.size)), node.inputs))
    return [*found, DrawnNode(len(nodes) + 1, visible(parts.error), "loss", (len(nodes),))]


def shown_numbers(nodes: Sequence[DrawnNode], here: int) -> list[int]:
    """The nodes to draw, in order: all of a small graph, otherwise the ends, the faulty one, and what is around it."""
    last = len(nodes) - 1
    if len(nodes) <= MOST_NODES:
        return list(range(last + 1))
    kept = {INPUT, last, *nodes[here].inputs, *range(here - AROUND, here + AROUND + 1)}
    return sorted(k for k in kept if 0 <= k <= last)


def draw_graph(parts: CaseText, box: int | str | None) -> Markup | None:
    """The picture of the graph of a record.

    Args:
        parts: The text of its case.
        box: The faulty node, or ``"error"`` for the loss.

    Returns:
        The svg element; None where the text cannot be read or no node of it is at fault.
    """
    nodes = graph_nodes(parts)
    here = len(nodes) - 1 if box == "error" else box if isinstance(box, int) else -1
    if not 0 < here < len(nodes):
        return None
    shown = shown_numbers(nodes, here)
    rows: list[int | str] = []
    for gap, group in groupby(range(len(nodes)), lambda k: k not in shown):
        numbers = list(group)
        rows += [f"{len(numbers):,} more"] if gap else numbers
    top = {row: 1 + place * (HEIGHT + GAP) for place, row in enumerate(rows)}
    edges = [(i, k) for k in shown for i in sorted(set(nodes[k].inputs)) if i in top]
    lanes = lanes_of([(top[i], top[k]) for i, k in edges], HEIGHT + GAP)
    left = 2 + LANE * max(lanes, default=0)
    drawn = [_edge(left, top[i], top[k], lane, k == here) for (i, k), lane in zip(edges, lanes, strict=True)]
    drawn += [_more(left, top[row], row) if isinstance(row, str) else _node(left, top[row], nodes[row], row == here)
              for row in rows]  # fmt: skip
    words = "; ".join(_words(nodes[k], len(nodes) - 1, k == here) for k in shown)
    size = f"{left + WIDTH + 2:g}", f"{len(rows) * (HEIGHT + GAP) - GAP + 2:g}"
    head = Markup('<svg class="network" viewBox="0 0 {} {}" width="{}" height="{}" role="img" aria-label="{}">')
    return head.format(*size, *size, f"The graph: {words}") + Markup("").join(drawn) + Markup("</svg>")


def lanes_of(ends: Sequence[tuple[float, float]], step: float) -> list[int]:
    """The lane of each connection: 0 for one to the next row, otherwise the first where it meets no other."""
    taken: list[list[tuple[float, float]]] = []
    found = []
    for start, end in ends:
        if end - start <= step:
            found.append(0)
            continue
        free = (k for k, lane in enumerate(taken) if all(end <= a or b <= start for a, b in lane))
        place = next(free, len(taken))
        if place == len(taken):
            taken.append([])
        taken[place].append((start, end))
        found.append(place + 1)
    return found


def _words(node: DrawnNode, last: int, faulty: bool) -> str:
    number = "" if node.number in (INPUT, last) else f"{node.number} "
    takes = f" of {' and '.join(map(str, node.inputs))}" if node.inputs and node.inputs != (node.number - 1,) else ""
    return f"{number}{node.name}{takes}{' (faulty)' * faulty}"


def _edge(left: float, start: float, end: float, lane: int, faulty: bool) -> Markup:
    kind = "edge faulty-edge" if faulty else "edge"
    if not lane:
        line = Markup('<path class="{}" d="M{:g} {:g}V{:g}"/>')
        return line.format(kind, left + WIDTH / 2, start + HEIGHT, end)
    line = Markup('<path class="{}" d="M{:g} {:g}H{:g}V{:g}H{:g}"/>')
    return line.format(kind, left, start + HEIGHT * 0.65, left - LANE * lane, end + HEIGHT * 0.35, left)


def _more(left: float, y: float, words: str) -> Markup:
    text = Markup('<text class="small" x="{:g}" y="{:g}">\u22ef {}</text>')
    return text.format(left + 10, y + HEIGHT / 2 + 5, words)


def _node(left: float, y: float, node: DrawnNode, faulty: bool) -> Markup:
    shape = Markup('<rect class="{}" x="{:g}" y="{:g}" width="{:g}" height="{:g}" rx="3"/>')
    text = Markup('<text class="{}" x="{:g}" y="{:g}">{}</text>')
    detail = Markup('<text class="small" x="{:g}" y="{:g}" text-anchor="end">{}</text>')
    number = f"{node.number} " if node.detail != "loss" and node.number else ""
    most = 22 - 4 * faulty - max(0, len(shorten(node.detail, 12)) - 7)  # bold letters are wider
    name = "\u2717 " * faulty + shorten(number + node.name, most)
    return (
        shape.format("faulty" if faulty else "frame", left, y, WIDTH, HEIGHT)
        + text.format("loud" if faulty else "name", left + 8, y + HEIGHT / 2 + 5, name)
        + detail.format(left + WIDTH - 8, y + HEIGHT / 2 + 5, shorten(node.detail, 12))
    )
