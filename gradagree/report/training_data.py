"""The contents of train.json, and the verdicts of the gradient checks along a training run."""

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
from gradagree.reference.graph import parameter_name
from gradagree.report.matrix import Column
from gradagree.report.text import count_noun, format_count, short_name, value_of, visible

TRAIN = "train.json"
REFERENCE = "reference"
Count = Annotated[int, msgspec.Meta(ge=0)]
Numbers = tuple[float, ...]
"""NaN stands for a missing number."""
Stored = tuple[float | str | None, ...]
"""Numbers in a file: text if not finite, null if missing."""


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
    def rounds(self) -> int:
        return max(len(self.errors), len(self.accuracies), 1) - 1


@dataclass(frozen=True)
class Checkpoint:
    """A step at which gradients were checked; step and round are None if unknown."""

    step: int | None
    round: int | None
    spec: str
    verdicts: dict[Column, Verdict]


@dataclass(frozen=True)
class Example:
    """One example in the trained network: the input and cotangent of each operation, the loss last.

    parameters holds rows by name: entry [i][j] of ``w1`` leads from unit i of operation 1 to unit j of operation 2.
    """

    parameters: dict[str, tuple[Numbers, ...]]
    inputs: tuple[Numbers, ...]
    sensitivities: tuple[Numbers, ...]
    target: Numbers
    decision: int | None
    right: int | None


@dataclass(frozen=True)
class Training:
    """A training run. Texts are ready for display; None or an empty text means that the file lacks the value."""

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
        return short_name("-".join(self.widths))


def read_training(folder: Path) -> Training:
    """The training run of a results folder. Raises UsageError if there is none, or it cannot be read."""
    path = folder / TRAIN
    try:
        # the loss of a training that diverged is written as NaN or Infinity, which msgspec's own decoder refuses
        found = json.loads(path.read_text(encoding="utf-8"))
        return _training(msgspec.convert(found, TrainingFile))
    except FileNotFoundError:
        raise UsageError(f"{folder} is not the results folder of a training run: it has no {TRAIN}") from None
    except (OSError, ValueError, RecursionError, msgspec.MsgspecError) as wrong:
        raise UsageError(f"{path} cannot be read: {wrong}") from None


def _training(file: TrainingFile) -> Training:
    return Training(
        dataset=short_name(file.dataset), error=short_name(file.error), rate=short_name(file.rate or ""),
        way=short_name(file.way),
        pairs=file.pairs, held_out=file.held_out, steps=file.steps, every=file.every, biases=file.biases,
        widths=tuple(map(short_name, file.widths)), activations=tuple(map(short_name, file.activations)),
        curves=_curves(file), checkpoints=tuple(map(_checkpoint, file.checkpoints)), example=_example(file.network),
    )  # fmt: skip


def _curves(file: TrainingFile) -> tuple[LossCurve, ...]:
    """All trainers, also those of which only the stop reason is known; the reference first."""
    names = sorted(dict.fromkeys([*file.curves, *file.stopped]), key=lambda name: name != REFERENCE)
    entries = {name: file.curves.get(name, CurveEntry()) for name in names}
    return tuple(
        LossCurve(
            short_name(name), _numbers(entry.error), _numbers(entry.accuracy), visible(file.stopped.get(name, ""))
        )
        for name, entry in entries.items()
    )


def _checkpoint(entry: CheckpointEntry) -> Checkpoint:
    columns = {name: name.partition(":") for name in entry.verdicts}
    verdicts = {
        Column(short_name(columns[name][0]), short_name(columns[name][2])): v for name, v in entry.verdicts.items()
    }
    return Checkpoint(entry.step, entry.round, entry.spec, verdicts)


def _example(network: NetworkEntry | None) -> Example | None:
    if network is None or network.example is None or not any(network.example.inputs):
        return None
    one = network.example
    parameters = {parameter_name(k, "w"): _rows(w) for k, w in enumerate(network.weights, 1)}
    return Example(
        parameters, _rows(one.inputs), _rows(one.sensitivities), _numbers(one.target), one.decision, one.right
    )


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
    """Consecutive checkpoints with the same verdicts."""

    members: tuple[CheckpointOutcomes, ...]

    @property
    def name(self) -> str:
        """``step 0``, ``steps 0 to 20,500``."""
        steps = [member.checkpoint.step for member in self.members]
        if steps[0] is None or steps[-1] is None:
            return "unknown step"
        if len(steps) == 1:
            return f"step {format_count(steps[0])}"
        return f"steps {format_count(steps[0])} to {format_count(steps[-1])}"

    @property
    def extent(self) -> str:
        return count_noun(len(self.members), "checkpoint")

    def outcome(self, column: Column) -> Outcome | None:
        """The common verdict with the largest ratio; None if the column was not checked."""
        outcomes = [member.outcomes[column] for member in self.members if column in member.outcomes]
        ratios = [outcome.ratio for outcome in outcomes if outcome.ratio is not None]
        worst = max(ratios, key=lambda ratio: (ratio != ratio, ratio), default=None)
        return Outcome(outcomes[0].verdict, worst) if outcomes else None


def outcomes_along(training: Training, records: Iterable[Record]) -> list[CheckpointOutcomes]:
    """All checkpoints in order; records that belong to no checkpoint come last, at an unknown step.

    The verdict of a record takes precedence over that of train.json.
    """
    by_spec: dict[str, dict[Column, Outcome]] = {}
    for record in records:
        column = Column(short_name(record.framework), short_name(record.mode))
        ratio = None if record.ratio is None else value_of(record.ratio)
        by_spec.setdefault(record.spec, {})[column] = Outcome(record.verdict, ratio)
    found = []
    for checkpoint in training.checkpoints:
        stored = {column: Outcome(verdict) for column, verdict in checkpoint.verdicts.items()}
        found.append(CheckpointOutcomes(checkpoint, stored | by_spec.pop(checkpoint.spec, {})))
    return found + [CheckpointOutcomes(Checkpoint(None, None, spec, {}), rest) for spec, rest in by_spec.items()]


def stretches(found: Sequence[CheckpointOutcomes]) -> list[Stretch]:
    """Consecutive checkpoints with equal verdicts; unknown steps are grouped separately."""

    def state(one: CheckpointOutcomes) -> tuple[bool, dict[Column, Verdict]]:
        return one.checkpoint.step is None, {column: outcome.verdict for column, outcome in one.outcomes.items()}

    return [Stretch(tuple(members)) for _, members in itertools.groupby(found, state)]


def columns_of(found: Iterable[CheckpointOutcomes]) -> list[Column]:
    """Every framework and mode that was checked, in the order of first appearance."""
    return list(dict.fromkeys(column for one in found for column in one.outcomes))


def tally(found: Iterable[CheckpointOutcomes]) -> Counter[Verdict]:
    """The number of gradients with each verdict."""
    return Counter(outcome.verdict for one in found for outcome in one.outcomes.values())
