"""The contents of train.json, and the verdicts along a training."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec

from gradagree.checker.verdict import Record, Verdict
from gradagree.errors import UsageError
from gradagree.report.matrix import Column
from gradagree.report.text import counted, named, shown_number, value_of, visible

TRAIN = "train.json"
BY_HAND = "reference"
Count = Annotated[int, msgspec.Meta(ge=0)]
Numbers = tuple[float, ...]
"""NaN stands for a missing number."""
Stored = tuple[float | str | None, ...]
"""Numbers as a file holds them: text where they are not finite, null where they are missing."""


class CurveEntry(msgspec.Struct):
    """The entry of one trainer in ``curves``, by round."""

    error: Stored = ()
    accuracy: Stored = ()


class CheckpointEntry(msgspec.Struct):
    """An entry of ``checkpoints``; verdicts are keyed by ``framework:mode``."""

    step: Count | None = None
    round: Count | None = None
    spec: str = ""
    verdicts: dict[str, Verdict] = {}


class ExampleEntry(msgspec.Struct):
    """The entry ``example`` of ``network``."""

    inputs: tuple[Stored, ...] = ()
    sensitivities: tuple[Stored, ...] = ()
    target: Stored = ()
    decision: Count | None = None
    right: Count | None = None


class NetworkEntry(msgspec.Struct):
    """The entry ``network``."""

    weights: tuple[tuple[Stored, ...], ...] = ()
    example: ExampleEntry | None = None


class TrainingFile(msgspec.Struct):
    """The contents of train.json."""

    dataset: str = ""
    widths: tuple[int | str, ...] = ()
    activations: tuple[str, ...] = ()
    error: str = ""
    biases: bool | None = None
    rate: float | str = ""
    way: str = ""
    pairs: Count | None = None
    held_out: Count | None = None
    steps: Count | None = None
    every: Count | None = None
    stopped: dict[str, str] = {}
    curves: dict[str, CurveEntry] = {}
    checkpoints: tuple[CheckpointEntry, ...] = ()
    network: NetworkEntry | None = None


@dataclass(frozen=True)
class LossCurve:
    """The loss and the held-out accuracy of one trainer by round, and why its training stopped."""

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
    """A step at which gradients were checked; step and round are None where they are not known."""

    step: int | None
    round: int | None
    spec: str
    verdicts: dict[Column, Verdict]


@dataclass(frozen=True)
class Example:
    """One example in the trained network: the input and cotangent of each operation, the loss last.

    weights[k][i][j] leads from unit i of operation k to unit j of the next; one without weights has no entries.
    """

    weights: tuple[tuple[Numbers, ...], ...]
    inputs: tuple[Numbers, ...]
    sensitivities: tuple[Numbers, ...]
    target: Numbers
    decision: int | None
    right: int | None


@dataclass(frozen=True)
class Training:
    """A training. Texts are ready to be shown; None and the empty text stand for what the file does not say."""

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
    curves: tuple[LossCurve, ...]
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
        # the loss of a training that diverged is written as NaN or Infinity, which msgspec's own decoder refuses
        found = json.loads(path.read_text(encoding="utf-8"))
        return _training(msgspec.convert(found, TrainingFile))
    except FileNotFoundError:
        raise UsageError(f"{folder} holds no training: it has no {TRAIN}") from None
    except (OSError, ValueError, RecursionError, msgspec.MsgspecError) as wrong:
        raise UsageError(f"{path} cannot be read: {wrong}") from None


def _training(file: TrainingFile) -> Training:
    return Training(
        dataset=named(file.dataset), error=named(file.error), rate=named(file.rate or ""), way=named(file.way),
        pairs=file.pairs, held_out=file.held_out, steps=file.steps, every=file.every, biases=file.biases,
        widths=tuple(map(named, file.widths)), activations=tuple(map(named, file.activations)),
        curves=_curves(file), checkpoints=tuple(map(_checkpoint, file.checkpoints)), example=_example(file.network),
    )  # fmt: skip


def _curves(file: TrainingFile) -> tuple[LossCurve, ...]:
    """All trainers, also those of which only the reason to stop is known; the derivation first."""
    names = sorted(dict.fromkeys([*file.curves, *file.stopped]), key=lambda name: name != BY_HAND)
    entries = {name: file.curves.get(name, CurveEntry()) for name in names}
    return tuple(
        LossCurve(named(name), _numbers(entry.error), _numbers(entry.accuracy), visible(file.stopped.get(name, "")))
        for name, entry in entries.items()
    )


def _checkpoint(entry: CheckpointEntry) -> Checkpoint:
    columns = {name: name.partition(":") for name in entry.verdicts}
    verdicts = {Column(named(columns[name][0]), named(columns[name][2])): v for name, v in entry.verdicts.items()}
    return Checkpoint(entry.step, entry.round, entry.spec, verdicts)


def _example(network: NetworkEntry | None) -> Example | None:
    if network is None or network.example is None or not any(network.example.inputs):
        return None
    one = network.example
    return Example(
        tuple(_rows(w) for w in network.weights), _rows(one.inputs), _rows(one.sensitivities), _numbers(one.target),
        one.decision, one.right,
    )  # fmt: skip


def _rows(stored: Iterable[Stored]) -> tuple[Numbers, ...]:
    return tuple(map(_numbers, stored))


def _numbers(stored: Stored) -> Numbers:
    return tuple(map(value_of, stored))


class Outcome(NamedTuple):
    """A verdict, and the distance over the tolerance where a record holds it."""

    verdict: Verdict
    ratio: float | None = None


class CheckpointOutcomes(NamedTuple):
    """A checkpoint with the outcome of each framework and mode."""

    checkpoint: Checkpoint
    outcomes: dict[Column, Outcome]


@dataclass(frozen=True)
class Stretch:
    """Consecutive checkpoints with the same verdicts; its ratio is the largest of theirs."""

    members: tuple[CheckpointOutcomes, ...]

    @property
    def name(self) -> str:
        """``step 0``, ``steps 0 to 20,500``."""
        steps = [member.checkpoint.step for member in self.members]
        if steps[0] is None or steps[-1] is None:
            return "step not known"
        if len(steps) == 1:
            return f"step {shown_number(steps[0])}"
        return f"steps {shown_number(steps[0])} to {shown_number(steps[-1])}"

    @property
    def extent(self) -> str:
        return counted(len(self.members), "checkpoint")

    def outcome(self, column: Column) -> Outcome | None:
        outcomes = [member.outcomes[column] for member in self.members if column in member.outcomes]
        ratios = [outcome.ratio for outcome in outcomes if outcome.ratio is not None]
        worst = max(ratios, key=lambda ratio: (ratio != ratio, ratio), default=None)
        return Outcome(outcomes[0].verdict, worst) if outcomes else None


def outcomes_along(training: Training, records: Iterable[Record]) -> list[CheckpointOutcomes]:
    """All checkpoints in order; records of no checkpoint come last, at an unknown step.

    Where a record holds the verdict of a gradient, that verdict counts.
    """
    by_spec: dict[str, dict[Column, Outcome]] = {}
    for record in records:
        column = Column(named(record.framework), named(record.mode))
        ratio = None if record.ratio is None else value_of(record.ratio)
        by_spec.setdefault(record.spec, {})[column] = Outcome(record.verdict, ratio)
    found = []
    for checkpoint in training.checkpoints:
        stored = {column: Outcome(verdict) for column, verdict in checkpoint.verdicts.items()}
        found.append(CheckpointOutcomes(checkpoint, stored | by_spec.pop(checkpoint.spec, {})))
    return found + [CheckpointOutcomes(Checkpoint(None, None, spec, {}), rest) for spec, rest in by_spec.items()]


def stretches(found: Sequence[CheckpointOutcomes]) -> list[Stretch]:
    """Checkpoints grouped while all verdicts stay the same; an unknown step never joins a known one."""

    def state(one: CheckpointOutcomes) -> tuple[bool, dict[Column, Verdict]]:
        return one.checkpoint.step is None, {column: outcome.verdict for column, outcome in one.outcomes.items()}

    return [Stretch(tuple(members)) for _, members in itertools.groupby(found, state)]


def columns_of(found: Iterable[CheckpointOutcomes]) -> list[Column]:
    """Every framework and mode that was checked, in the order in which it first comes."""
    return list(dict.fromkeys(column for one in found for column in one.outcomes))


def tally(found: Iterable[CheckpointOutcomes]) -> Counter[Verdict]:
    """How many gradients have each verdict."""
    return Counter(outcome.verdict for one in found for outcome in one.outcomes.values())
