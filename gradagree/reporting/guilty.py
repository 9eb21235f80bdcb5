"""A small picture of a network as boxes within boxes, in which the guilty one stands out."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from markupsafe import Markup

from gradagree.casetext import shorten, split_outside_parentheses
from gradagree.reporting.matrix import parts_of
from gradagree.reporting.texts import visible
from gradagree.verdict import Record, Verdict

__all__ = ["guilty_box", "stations"]

STEP, ERROR, SIDE, TOP, BAND = 118, 140, 7, 6, 46
"""From left border to left border, the width of the error box, room at the right, and above, and for the text."""
MOST = 6
"""Boxes drawn; of a deeper network those around the guilty one, the first, and the last."""
Station = tuple[str, str, bool]
"""What stands in a frame in two lines, and whether it is the guilty one."""


def guilty_box(record: Record) -> Markup | None:
    """The picture; None where the record accuses no box, as one that was judged end to end, or cannot be read."""
    found = stations(record)
    if record.verdict is Verdict.SUSPECT or not any(loud for _, _, loud in found):
        return None
    count = len(found)
    width, height = STEP * (count - 1) + ERROR + SIDE * (count - 1) + 2, BAND + 2 * TOP * count
    drawn = [_frame(k, count, width, height, station) for k, station in enumerate(found)]
    words = ", ".join(f"{first} {second}{' (guilty)' * loud}" for first, second, loud in found)
    head = Markup(
        '<svg class="network" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" aria-label="{words}">'
    )
    return (
        head.format(w=width, h=height, words=f"Boxes from outside to inside: {words}")
        + Markup("").join(drawn)
        + Markup("</svg>")
    )


def stations(record: Record) -> list[Station]:
    """What the picture shows, from the outermost box to the error box."""
    parts = parts_of(record.spec)
    if not parts.activations:
        return []
    names, widths = list(_names(record.spec)), record.spec.partition(":")[0].split("-")
    here = len(names) if record.box == "error" else record.box - 1 if isinstance(record.box, int) else -1
    units = [f" · {visible(width.rstrip('b'))} unit{'s' * (width.rstrip('b') != '1')}" for width in widths]
    units += [""] * len(names)
    found = [(f"box {k + 1}{units[k]}", name, k == here) for k, name in enumerate(names)]
    kept, shown = _kept(len(found), min(here, len(found) - 1)), list[Station]()
    for gap, group in groupby(range(len(found)), lambda k: k not in kept):
        places = list(group)
        shown += [("\u22ef", f"{len(places):,} more", False)] if gap else [found[k] for k in places]
    return [*shown, ("error box", visible(parts.error), here == len(names))]


def _names(spec: str) -> Sequence[str]:
    """The activation of each box."""
    names: list[str] = []
    for piece in split_outside_parentheses(split_outside_parentheses(spec, ":")[1], ","):
        name, star, times = piece.rpartition("*")
        names += [visible(name)] * min(int(times), 1000) if star and times.isdigit() else [visible(piece)]
    return names


def _kept(count: int, here: int) -> set[int]:
    if count <= MOST:
        return set(range(count))
    return {k for k in (0, here - 1, here, here + 1, count - 1) if 0 <= k < count}


def _frame(k: int, count: int, width: float, height: float, station: Station) -> Markup:
    first, second, loud = station
    x, y = 1 + STEP * k, 1 + TOP * k
    shape = Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}" rx="3"/>').format(
        "guilty" if loud else "frame", x, y, width - x - 1 - SIDE * k, height - 2 * y
    )
    text = Markup('<text class="{}" x="{}" y="{}">{}</text>')
    middle = height / 2
    sign = "\u2717 " if loud else ""
    return (
        shape
        + text.format("small", x + 8, middle - 5, first)
        + text.format(
            "loud" if loud else "name",
            x + 8,
            middle + 12,
            sign + shorten(second, 15 if k == count - 1 else 12),
        )
    )
