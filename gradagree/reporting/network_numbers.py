"""The numbers of the network's picture as tables, one for each box."""

from __future__ import annotations

from dataclasses import dataclass

from gradagree.reporting.network_picture import Layer, layers
from gradagree.reporting.texts import brief
from gradagree.reporting.trained import Training

__all__ = ["Table", "tables"]

MOST_ROWS, MOST_WEIGHTS, MOST_TABLES = 128, 16, 40


@dataclass(frozen=True)
class Table:
    """A box: for each unit p, delta and the weights that lead inwards."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left_out: str = ""


def tables(training: Training) -> list[Table]:
    """From the outermost box to the error box, what is too much left out, and said to be."""
    return [_table(layer, training) for layer in layers(training)[-MOST_TABLES:]]


def _table(layer: Layer, training: Training) -> Table:
    width = max((len(row) for row in layer.w), default=0)
    shown = min(width, MOST_WEIGHTS)
    target = training.example.target if training.example and layer.title.startswith("error box") else ()
    head = ["unit", "p", "δ"] + ["t"] * bool(target) + [f"w to {j}" for j in range(shown)]
    rows = []
    for i in range(min(len(layer.p), MOST_ROWS)):
        numbers = [layer.p[i], layer.delta[i], *(target[i : i + 1] or [None] * bool(target))]
        rows.append((str(i), *map(brief, [*numbers, *(layer.weight(i, j) for j in range(shown))])))
    cut = [f"{len(layer.p) - MOST_ROWS} further units"] * (len(layer.p) > MOST_ROWS)
    cut += [f"the weights to {width - shown} further units"] * (width > shown)
    return Table(layer.title, tuple(head), tuple(rows), " and ".join(cut))
