"""From the train command's options to a training run in a results folder."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gradagree.adapters import Adapter
from gradagree.campaign import describe, environment
from gradagree.course import Course
from gradagree.errors import UsageError, nearest
from gradagree.journal import Journal
from gradagree.lessons import lesson
from gradagree.plan import DTYPES, check_seed, parse_list
from gradagree.reference.training import Stop, Trained
from gradagree.verdict import Record

WAYS = ("stochastic", "full")
CHECKPOINTS = 8
"""How often to judge, about, if the user does not say."""


def course_of(
    *,
    dataset: str,
    frameworks: str | None = None,
    way: str = "stochastic",
    rate: float | None = None,
    rounds: int | None = None,
    low_enough: float = 0.0,
    patience: int | None = None,
    seconds: float | None = None,
    every: int | None = None,
    seed: int = 0,
) -> Course:
    """The training run that options stand for. Raises UsageError, naming the option that does not fit."""
    chosen = lesson(dataset)
    if way not in WAYS:
        raise UsageError(f"--way: unknown name {way!r}; {nearest(way, WAYS)}")
    for option, value in (("rounds", rounds), ("patience", patience), ("every", every)):
        if value is not None and value < 1:
            raise UsageError(f"--{option} {value}: give a whole number of at least 1")
    for option, number in (("rate", rate), ("seconds", seconds)):
        if number is not None and not (math.isfinite(number) and number > 0):
            raise UsageError(f"--{option} {number:g}: give a number above 0")
    if not (math.isfinite(low_enough) and low_enough >= 0):
        raise UsageError(f"--low-enough {low_enough:g}: give an error of at least 0")
    check_seed(seed)
    usual = [kind.name for kind in sorted(Adapter.catalogue.values(), key=lambda kind: kind.position) if kind.trains()]
    names = usual if frameworks is None else parse_list("--frameworks", frameworks)
    for name in names:
        if name not in Adapter.catalogue:
            raise UsageError(f"--frameworks: {name!r} does not train here; {nearest(name, usual)}")
    stochastic = way == "stochastic"
    rounds = rounds or chosen.rounds
    stop = Stop(low_enough, patience, rounds, seconds)
    pairs = len(chosen.data()[0])
    steps = every or max(1, rounds * (pairs if stochastic else 1) // CHECKPOINTS)
    return Course(chosen, seed, stop, rate or chosen.rate, steps, names, stochastic)


def attend(course: Course, folder: Path, command: str, strict: bool, progress: Callable[[Record], None]) -> Trained:
    """Run a course into a results folder: its records, ``meta.json`` and ``train.json``."""
    begun = time.monotonic()
    meta: dict[str, Any] = {
        **environment(command),
        "seed": course.seed,
        "strict": strict,
        "options": {"dtypes": list(DTYPES), "regimes": [course.lesson.dataset]},
        "frameworks": {},
    }
    with Journal(folder) as journal:
        journal.meta(meta)

        def described(name: str, handshake: Any) -> None:
            meta["frameworks"][name] = describe(handshake)

        try:
            return course.run(journal, progress, described)
        finally:
            meta["seconds"] = round(time.monotonic() - begun, 3)
            journal.meta(meta)
