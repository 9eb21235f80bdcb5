"""The contents of train.json, and the verdicts along a training."""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from gradagree.errors import UsageError
from gradagree.report.matrix import Column
from gradagree.report.provenance import mapping
from gradagree.report.text import counted, named, shown_number, value_of, visible
from gradagree.verdict import Record, Verdict

TRAIN = "train.json"
BY_HAND = "reference"
TEXTS, COUNTS = ("dataset", "error", "rate", "way"), ("pairs", "held_out", "steps", "every")
Numbers = tuple[float, ...]
"""NaN stands for what is no number."""


@dataclass(frozen=True)
class Curve:
    """The error and the accuracy on held-out examples of one who trained, by round, and why that training ended."""

    name: str
    errors: Numbers
    accuracies: Numbers
    stopped: str = ""

    @property
    def label(self) -> str:
        return "by hand" if self.name == BY_HAND else self.name

    @property
    def rounds(self) -> int:
        return max(len(self.errors), len(self.accuracies), 1) - 1


@dataclass(frozen=True)
class Checkpoint:
    """Where gradients and weight updates were judged; step and round are None where that is not known."""

    step: int | None
    round: int | None
    spec: str
    verdicts: dict[Column, Verdict]
    updates: dict[Column, Verdict]


@dataclass(frozen=True)
class Example:
    """One example in the trained network: each box's current input and sensitivity, the error box's last.

    weights[k][i][j] leads from unit i of box k to unit j of the next; a box without weights has none.
    """

    weights: tuple[tuple[Numbers, ...], ...]
    inputs: tuple[Numbers, ...]
    sensitivities: tuple[Numbers, ...]
    target: Numbers
    decision: int | None
    right: int | None


@dataclass(frozen=True)
class Training:
    """A training. Texts are as they are shown; None and the empty text stand for what is not told."""

    dataset: str
    widths: tuple[str, ...]
    activations: tuple[str, ...]
    error: str
    biases: bool | None
    rate: str
    way: str
    pairs: int | None
    held_out: int | None
    steps: int | None
    every: int | None
    curves: tuple[Curve, ...]
    checkpoints: tuple[Checkpoint, ...]
    example: Example | None

    @property
    def network(self) -> str:
        """``10-4-6-8-4``."""
        return named("-".join(self.widths))


def read_training(folder: Path) -> Training:
    """The folder's training. Raises UsageError where there is none, or it cannot be read."""
    path = folder / TRAIN
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError("it holds no JSON object")
        return _training(found)
    except FileNotFoundError:
        raise UsageError(f"{folder} holds no training: it has no {TRAIN}") from None
    except (OSError, ValueError, RecursionError) as wrong:
        raise UsageError(f"{path} cannot be read: {wrong}") from None


def _training(found: dict[str, Any]) -> Training:
    dataset, error, rate, way = (named(found[key]) if found.get(key) else "" for key in TEXTS)
    pairs, held_out, steps, every = (_count(found.get(key)) for key in COUNTS)
    biases = found.get("biases")
    return Training(
        dataset=dataset, error=error, rate=rate, way=way, pairs=pairs, held_out=held_out, steps=steps, every=every,
        widths=tuple(named(width) for width in _list(found.get("widths"))),
        activations=tuple(named(name) for name in _list(found.get("activations"))),
        biases=biases if isinstance(biases, bool) else None,
        curves=tuple(_curves(found)),
        checkpoints=tuple(_checkpoint(mapping(one)) for one in _list(found.get("checkpoints"))),
        example=_example(mapping(found.get("network"))),
    )  # fmt: skip


def _curves(found: dict[str, Any]) -> Iterator[Curve]:
    """Everyone who trained, also one of whom only the reason to stop is there; the derivation first."""
    curves, stopped = mapping(found.get("curves")), mapping(found.get("stopped"))
    for name in sorted(dict.fromkeys([*curves, *stopped]), key=lambda name: name != BY_HAND):
        curve = mapping(curves.get(name))
        reason = visible(stopped[name]) if stopped.get(name) else ""
        yield Curve(named(name), _numbers(curve.get("error")), _numbers(curve.get("accuracy")), reason)


def _checkpoint(found: dict[str, Any]) -> Checkpoint:
    return Checkpoint(
        _count(found.get("step")), _count(found.get("round")), str(found.get("spec") or ""),
        _verdicts(found.get("verdicts")), _verdicts(found.get("update")),
    )  # fmt: skip


def _verdicts(found: Any) -> dict[Column, Verdict]:
    """By framework and mode. Raises ValueError for a word that is no verdict."""
    split = {name: name.partition(":") for name in mapping(found)}
    return {
        Column(named(split[name][0]), named(split[name][2])): Verdict(verdict)
        for name, verdict in mapping(found).items()
    }


def _example(found: dict[str, Any]) -> Example | None:
    one = mapping(found.get("example"))
    inputs = _rows(one.get("inputs"))
    if not any(inputs):
        return None
    weights = tuple(_rows(w) for w in _list(found.get("weights")))
    return Example(
        weights, inputs, _rows(one.get("sensitivities")), _numbers(one.get("target")),
        _count(one.get("decision")), _count(one.get("right")),
    )  # fmt: skip


def _list(found: Any) -> list[Any]:
    return found if isinstance(found, list) else []


def _rows(found: Any) -> tuple[Numbers, ...]:
    return tuple(_numbers(row) for row in _list(found))


def _numbers(found: Any) -> Numbers:
    known = (int, float, str)
    return tuple(value_of(x) if isinstance(x, known) else math.nan for x in _list(found))


def _count(found: Any) -> int | None:
    return found if isinstance(found, int) and not isinstance(found, bool) and found >= 0 else None


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
