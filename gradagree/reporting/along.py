"""The verdicts along a training: what was judged at each checkpoint, and the stretches in which nothing changes."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from gradagree.reporting.matrix import Column
from gradagree.reporting.texts import counted, named, shown_number, value_of
from gradagree.reporting.trained import Checkpoint, Training
from gradagree.verdict import Record, Verdict

__all__ = ["GRADIENT", "UPDATE", "Cell", "Judged", "Place", "Stretch", "judge_along", "places", "stretches", "tally"]

GRADIENT, UPDATE = "gradient", "update"


class Place(NamedTuple):
    """Whose, and which of the two: the gradient, or the change of the weights."""

    column: Column
    what: str


class Cell(NamedTuple):
    """A verdict, and the distance over the tolerance where a record tells it."""

    verdict: Verdict
    ratio: float | None = None


class Judged(NamedTuple):
    """A checkpoint with all that was judged there."""

    checkpoint: Checkpoint
    cells: dict[Place, Cell]


@dataclass(frozen=True)
class Stretch:
    """Consecutive checkpoints with the same verdicts; a ratio is the largest of them."""

    members: tuple[Judged, ...]

    @property
    def name(self) -> str:
        """``step 0``, ``steps 0 to 20,500``."""
        steps = [judged.checkpoint.step for judged in self.members]
        if steps[0] is None or steps[-1] is None:
            return "step not known"
        if len(steps) == 1:
            return f"step {shown_number(steps[0])}"
        return f"steps {shown_number(steps[0])} to {shown_number(steps[-1])}"

    @property
    def extent(self) -> str:
        return counted(len(self.members), "checkpoint")

    def cell(self, place: Place) -> Cell | None:
        cells = [judged.cells[place] for judged in self.members if place in judged.cells]
        ratios = [cell.ratio for cell in cells if cell.ratio is not None]
        worst = max(ratios, key=lambda ratio: (ratio != ratio, ratio), default=None)
        return Cell(cells[0].verdict, worst) if cells else None


def judge_along(training: Training, records: Iterable[Record]) -> list[Judged]:
    """All checkpoints in order; records found at none of them come last, at a step that is not known.

    Where a record tells the verdict of a gradient, that verdict counts.
    """
    by_spec: dict[str, dict[Place, Cell]] = {}
    for record in records:
        place = Place(Column(named(record.framework), named(record.mode)), GRADIENT)
        ratio = None if record.ratio is None else value_of(record.ratio)
        by_spec.setdefault(record.spec, {})[place] = Cell(record.verdict, ratio)
    judged = []
    for checkpoint in training.checkpoints:
        told = {Place(column, GRADIENT): Cell(verdict) for column, verdict in checkpoint.verdicts.items()}
        updates = {Place(column, UPDATE): Cell(verdict) for column, verdict in checkpoint.updates.items()}
        judged.append(Judged(checkpoint, told | by_spec.pop(checkpoint.spec, {}) | updates))
    spare = [Judged(Checkpoint(None, None, spec, {}, {}), cells) for spec, cells in by_spec.items()]
    return judged + spare


def stretches(judged: Sequence[Judged]) -> list[Stretch]:
    """The checkpoints, gathered while all verdicts stay the same; a step that is not known never joins one that is."""

    def state(one: Judged) -> tuple[bool, dict[Place, Verdict]]:
        return one.checkpoint.step is None, {place: cell.verdict for place, cell in one.cells.items()}

    return [Stretch(tuple(members)) for _, members in itertools.groupby(judged, state)]


def places(judged: Sequence[Judged]) -> dict[Column, list[str]]:
    """What was judged of each framework and mode, in the order in which it first comes."""
    found: dict[Column, dict[str, None]] = {}
    for one in judged:
        for place in one.cells:
            found.setdefault(place.column, {})[place.what] = None
    return {column: sorted(what) for column, what in found.items()}


def tally(judged: Iterable[Judged], what: str | None = None) -> Counter[Verdict]:
    """How many gradients and updates, or how many of one of them, have each verdict."""
    cells = (item for one in judged for item in one.cells.items())
    return Counter(cell.verdict for place, cell in cells if what in (None, place.what))
