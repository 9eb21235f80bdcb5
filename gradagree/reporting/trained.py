"""What ``train.json`` tells about a training, whatever of it is there."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradagree.errors import UsageError
from gradagree.reporting.matrix import Column
from gradagree.reporting.provenance import mapping
from gradagree.reporting.texts import named, value_of, visible
from gradagree.verdict import Verdict

__all__ = ["BY_HAND", "TRAIN", "Checkpoint", "Curve", "Example", "Training", "read_training"]

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
