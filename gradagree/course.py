"""A training run: by hand, and by each framework from the same weights and the same polled pairs.

Along the way, from the reference's own weights, each framework's gradient on the pair polled next and its one step of
steepest descent are judged. Whole trajectories are recorded without a verdict: a bound on them passes 1 within tens of
steps.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gradagree.adapters import Adapter
from gradagree.arithmetics.model import FORMATS
from gradagree.arithmetics.quanta import rounded_to
from gradagree.casefile import CASES, kept_file, write_case
from gradagree.cases import Arrays, Case
from gradagree.files import make_folder, write_text
from gradagree.journal import Journal
from gradagree.judge import Framework, judge
from gradagree.lessons import Lesson, Pairs, picture
from gradagree.plan import DTYPES
from gradagree.reference.training import Stop, Trained, Weights, train
from gradagree.responses import Absent, Failure, failures
from gradagree.runner import protocol
from gradagree.runner.process import FrameworkProcess
from gradagree.verdict import Record

TRAIN = "train.json"


def training_mode(framework: str) -> str:
    """The mode in which a framework trains and is checked."""
    return Adapter.catalogue[framework].training_mode()


@dataclass
class Course:
    """One training run. every says after how many steps the frameworks are judged."""

    lesson: Lesson
    seed: int
    stop: Stop
    rate: float
    every: int
    frameworks: list[str]
    stochastic: bool = True
    learn: Pairs = field(init=False)
    held: Pairs = field(init=False)
    checkpoints: list[tuple[int, Weights]] = field(default_factory=list)
    curves: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    stopped: dict[str, str] = field(default_factory=dict)
    verdicts: dict[tuple[int, str], dict[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.learn, self.held = self.lesson.data()

    def run(
        self, journal: Journal, progress: Callable[[Record], None], described: Callable[[str, Any], None]
    ) -> Trained:
        """Train by hand, then by every framework, then judge the checkpoints."""
        make_folder(journal.folder / CASES)
        trained = self._by_hand()
        for name in self.frameworks:
            with FrameworkProcess(name) as process:
                described(name, process.handshake)
                self._by_framework(process, len(trained.errors) - 1)
                for record in self._judged(process, journal.folder):
                    journal.append(record)
                    progress(record)
        write_text(journal.folder / TRAIN, json.dumps(self._told(trained), indent=1) + "\n")
        return trained

    def _by_hand(self) -> Trained:
        begun = self.lesson.weights(self.seed)
        self.checkpoints = [(0, begun)]
        curve = self.curves["reference"] = {"error": [], "accuracy": []}

        def watch(_round: int, weights: Weights, E: float) -> None:
            curve["error"].append(E)
            curve["accuracy"].append(self.lesson.accuracy(weights, self.held))

        def each(steps: int, weights: Weights) -> None:
            if steps % self.every == 0:
                self.checkpoints.append((steps, weights))

        poll = self._poll if self.stochastic else None
        net, pairs = self.lesson.network, self.learn
        trained = train(net, begun, pairs.p, pairs.t, self.rate, self.stop, poll, watch, each)
        self.stopped["reference"] = trained.reason
        return trained

    def _poll(self, number: int) -> list[int]:
        return self.lesson.polled(self.seed, number, len(self.learn))

    def _by_framework(self, process: FrameworkProcess, rounds: int) -> None:
        """The framework's own training, for as many rounds as by hand."""
        name, mode = process.framework, training_mode(process.framework)
        if isinstance(process.handshake, Absent):
            self.stopped[name] = process.handshake.reason
            return
        case, arrays = self._case(self.lesson.weights(self.seed), "float64", self.learn.p, self.learn.t)
        polled = [self._poll(k) if self.stochastic else [] for k in range(rounds)]
        answer = process.train(case, arrays, mode, self.rate, polled)
        if isinstance(answer, Failure):
            self.stopped[name] = f"{answer.verdict}: {answer.reason}"
            return
        self.stopped[name] = f"as many rounds as by hand: {rounds}"
        n = len(arrays.weights)
        ways = [self.lesson.weights(self.seed)]
        for weights in answer.rounds:
            found = protocol.unpack_all(weights)
            ways.append(Weights(*(tuple(found.get(f"{name}{k}") for k in range(1, n + 1)) for name in "wb")))
        net, pairs = self.lesson.network, self.learn
        self.curves[name] = {
            "error": [float(net.boxes(way, pairs.t)(pairs.p)) for way in ways],
            "accuracy": [self.lesson.accuracy(way, self.held) for way in ways],
        }

    def _judged(self, process: FrameworkProcess, folder: Path) -> Any:
        """The record of every checkpoint in every dtype, on the pair that is polled next."""
        framework, mode = Framework.of(process.framework, process.handshake), training_mode(process.framework)
        for number, (steps, weights) in enumerate(self.checkpoints):
            pair = self._next_pair(steps)
            for dtype in DTYPES:
                case, arrays = self._case(weights, dtype, self.learn.p[pair], self.learn.t[pair])
                write_case(case, kept_file(folder, case))
                answers: Any = process.ask(case, arrays, [mode], self.rate)
                if isinstance(process.handshake, Absent):
                    answers = failures(process.handshake, [mode])
                for answer in answers:
                    record = judge(case, arrays, framework, answer, number, self.rate)
                    verdicts = self.verdicts.setdefault((steps, case.spec), {})
                    verdicts[f"{process.framework}:{mode}"] = str(record.verdict)
                    yield record

    def _next_pair(self, steps: int) -> slice:
        if not self.stochastic:
            return slice(None)
        number, place = divmod(steps, len(self.learn))
        k = self._poll(number)[place]
        return slice(k, k + 1)

    def _case(self, weights: Weights, dtype: str, p: np.ndarray, t: np.ndarray) -> tuple[Case, Arrays]:
        """The numbers as the dtype holds them, and the case that they make."""
        bits = FORMATS[dtype].precision

        def held(x: Any) -> Any:
            return None if x is None else rounded_to(x, bits)

        classes = t.dtype.kind == "i"
        arrays = Arrays(tuple(map(held, weights.w)), tuple(map(held, weights.b)), held(p), t if classes else held(t))
        net = self.lesson.network
        biases = (self.lesson.biased,) * (len(self.lesson.widths) - 1)
        digest = arrays.sha256[:12]
        return Case(
            self.lesson.widths, net.activations, net.error, len(p), dtype, "explicit", digest, biases, arrays
        ), arrays

    def _told(self, trained: Trained) -> dict[str, Any]:
        """``train.json``."""
        lesson = self.lesson
        return {
            "schema": 1,
            "dataset": lesson.dataset,
            "widths": lesson.widths,
            "activations": lesson.activations,
            "error": lesson.error,
            "biases": lesson.biased,
            "rate": self.rate,
            "way": "stochastic" if self.stochastic else "full",
            "pairs": len(self.learn),
            "held_out": len(self.held),
            "steps": trained.steps,
            "every": self.every,
            "stopped": self.stopped,
            "curves": self.curves,
            "checkpoints": self._checkpoints(),
            "network": picture(lesson, trained.weights, self.held),
        }

    def _checkpoints(self) -> list[dict[str, Any]]:
        """Every judgement: after how many steps and rounds, of which case, and each framework's verdict."""
        told = []
        for (steps, spec), verdicts in self.verdicts.items():
            number = steps // len(self.learn) if self.stochastic else steps
            told.append({"step": steps, "round": number, "spec": spec, "verdicts": verdicts})
        return told
