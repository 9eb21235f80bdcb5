"""Training runs: the reference and each framework from the same weights, with gradient checks along the way."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gradagree.adapters import Adapter
from gradagree.adapters.adapter import framework_names
from gradagree.arithmetic.model import FORMATS
from gradagree.arithmetic.rounding import round_to_precision
from gradagree.cases.case import Arrays, Case
from gradagree.cases.file import CASES, case_path, write_case
from gradagree.checker.judge import Framework, judge
from gradagree.checker.response import Absent, Failure, failures
from gradagree.checker.verdict import Record
from gradagree.errors import UsageError, nearest
from gradagree.files import make_folder, write_text
from gradagree.reference.training import NetworkWeights, Stop, Trained, train
from gradagree.runner import protocol
from gradagree.runner.campaign import describe_framework, environment
from gradagree.runner.options import DTYPES, check_seed, parse_list
from gradagree.runner.process import FrameworkProcess
from gradagree.runner.results import Journal
from gradagree.train.config import Examples, TrainingConfig, find_config, network_example

TRAIN_FILE = "train.json"


def training_mode(framework: str) -> str:
    """The mode in which a framework is trained and checked."""
    return Adapter.catalogue[framework].training_mode()


@dataclass
class TrainingRun:
    """One training run; the frameworks' gradients are checked every `every` steps."""

    config: TrainingConfig
    seed: int
    stop: Stop
    rate: float
    every: int
    frameworks: list[str]
    stochastic: bool = True
    examples: Examples = field(init=False)
    held_out: Examples = field(init=False)
    checkpoints: list[tuple[int, NetworkWeights]] = field(default_factory=list)
    curves: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    stopped: dict[str, str] = field(default_factory=dict)
    verdicts: dict[tuple[int, str], dict[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.examples, self.held_out = self.config.data()

    def run(
        self, journal: Journal, progress: Callable[[Record], None], record_handshake: Callable[[str, Any], None]
    ) -> Trained:
        """Train the reference, then each framework, and check its gradients at the checkpoints."""
        make_folder(journal.folder / CASES)
        trained = self._train_reference()
        for name in self.frameworks:
            with FrameworkProcess(name) as process:
                record_handshake(name, process.handshake)
                self._train_framework(process, len(trained.errors) - 1)
                for record in self._check(process, journal.folder):
                    journal.append(record)
                    progress(record)
        write_text(journal.folder / TRAIN_FILE, json.dumps(self._to_json(trained), indent=1) + "\n")
        return trained

    def _train_reference(self) -> Trained:
        initial = self.config.weights(self.seed)
        self.checkpoints = [(0, initial)]
        curve = self.curves["reference"] = {"error": [], "accuracy": []}

        def record_epoch(_epoch: int, weights: NetworkWeights, E: float) -> None:
            curve["error"].append(E)
            curve["accuracy"].append(self.config.accuracy(weights, self.held_out))

        def keep_checkpoint(steps: int, weights: NetworkWeights) -> None:
            if steps % self.every == 0:
                self.checkpoints.append((steps, weights))

        sample = self._sample_epoch if self.stochastic else None
        trained = train(
            self.config.network, initial, self.examples.p, self.examples.t, self.rate, self.stop, sample, record_epoch,
            keep_checkpoint,
        )  # fmt: skip
        self.stopped["reference"] = trained.reason
        return trained

    def _sample_epoch(self, number: int) -> list[int]:
        return self.config.sample_epoch(self.seed, number, len(self.examples))

    def _train_framework(self, process: FrameworkProcess, rounds: int) -> None:
        """Train the framework for the same number of epochs as the reference."""
        name, mode = process.framework, training_mode(process.framework)
        if isinstance(process.handshake, Absent):
            self.stopped[name] = process.handshake.reason
            return
        case, arrays = self._case(self.config.weights(self.seed), "float64", self.examples.p, self.examples.t)
        epochs = [self._sample_epoch(k) if self.stochastic else [] for k in range(rounds)]
        response = process.train(case, arrays, mode, self.rate, epochs)
        if isinstance(response, Failure):
            self.stopped[name] = f"{response.verdict}: {response.reason}"
            return
        self.stopped[name] = f"same number of rounds as the reference: {rounds}"
        trajectory = [self.config.weights(self.seed)]
        trajectory += [self.config.weights_of(protocol.unpack_all(packed)) for packed in response.rounds]
        network, p, t = self.config.network, self.examples.p, self.examples.t
        self.curves[name] = {
            "error": [float(network.boxes(weights, t)(p)) for weights in trajectory],
            "accuracy": [self.config.accuracy(weights, self.held_out) for weights in trajectory],
        }

    def _check(self, process: FrameworkProcess, folder: Path) -> Any:
        """The record of each checkpoint in each dtype, on the example that is sampled next."""
        framework, mode = Framework.of(process.framework, process.handshake), training_mode(process.framework)
        for number, (steps, weights) in enumerate(self.checkpoints):
            chosen = self._next_examples(steps)
            for dtype in DTYPES:
                case, arrays = self._case(weights, dtype, self.examples.p[chosen], self.examples.t[chosen])
                write_case(case, case_path(folder, case))
                responses: Any = process.compute(case, arrays, [mode], self.rate)
                if isinstance(process.handshake, Absent):
                    responses = failures(process.handshake, [mode])
                for response in responses:
                    record = judge(case, arrays, framework, response, number, self.rate)
                    verdicts = self.verdicts.setdefault((steps, case.spec), {})
                    verdicts[f"{process.framework}:{mode}"] = str(record.verdict)
                    yield record

    def _next_examples(self, steps: int) -> slice:
        if not self.stochastic:
            return slice(None)
        epoch, step = divmod(steps, len(self.examples))
        k = self._sample_epoch(epoch)[step]
        return slice(k, k + 1)

    def _case(self, weights: NetworkWeights, dtype: str, p: np.ndarray, t: np.ndarray) -> tuple[Case, Arrays]:
        """The case and its arrays, rounded to the dtype."""
        bits = FORMATS[dtype].precision

        def store(x: Any) -> Any:
            return None if x is None else round_to_precision(x, bits)

        classes = t.dtype.kind == "i"
        arrays = Arrays(
            tuple(map(store, weights.w)), tuple(map(store, weights.b)), store(p), t if classes else store(t)
        )
        net = self.config.network
        biases = (self.config.biased,) * (len(self.config.widths) - 1)
        digest = arrays.sha256[:12]
        return Case(
            self.config.widths, net.activations, net.error, len(p), dtype, "explicit", digest, biases, arrays
        ), arrays

    def _to_json(self, trained: Trained) -> dict[str, Any]:
        """``train.json``."""
        config = self.config
        return {
            "schema": 1,
            "dataset": config.dataset,
            "widths": config.widths,
            "activations": config.activations,
            "error": config.error,
            "biases": config.biased,
            "rate": self.rate,
            "way": "stochastic" if self.stochastic else "full",
            "pairs": len(self.examples),
            "held_out": len(self.held_out),
            "steps": trained.steps,
            "every": self.every,
            "stopped": self.stopped,
            "curves": self.curves,
            "checkpoints": self._checkpoints(),
            "network": network_example(config, trained.weights, self.held_out),
        }

    def _checkpoints(self) -> list[dict[str, Any]]:
        """Each check: step, epoch, case, and the verdict of each framework."""
        checkpoints = []
        for (steps, spec), verdicts in self.verdicts.items():
            number = steps // len(self.examples) if self.stochastic else steps
            checkpoints.append({"step": steps, "round": number, "spec": spec, "verdicts": verdicts})
        return checkpoints


WAYS = ("stochastic", "full")
CHECKPOINTS = 8
"""Default number of gradient checks in a run, approximately."""


def parse_training_run(
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
) -> TrainingRun:
    """The training run for the options of the command. Raises UsageError that names the invalid option."""
    config = find_config(dataset)
    if way not in WAYS:
        raise UsageError(f"--way: unknown name {way!r}; {nearest(way, WAYS)}")
    for option, value in (("rounds", rounds), ("patience", patience), ("every", every)):
        if value is not None and value < 1:
            raise UsageError(f"--{option} {value}: give a whole number of at least 1")
    for option, number in (("rate", rate), ("seconds", seconds)):
        if number is not None and not (math.isfinite(number) and number > 0):
            raise UsageError(f"--{option} {number:g}: give a number above 0")
    if not (math.isfinite(low_enough) and low_enough >= 0):
        raise UsageError(f"--low-enough {low_enough:g}: give a loss of at least 0")
    check_seed(seed)
    default = [name for name in framework_names() if Adapter.catalogue[name].trains()]
    names = default if frameworks is None else parse_list("--frameworks", frameworks)
    for name in names:
        if name not in Adapter.catalogue:
            raise UsageError(f"--frameworks: {name!r} cannot be trained; {nearest(name, default)}")
    stochastic = way == "stochastic"
    rounds = rounds or config.rounds
    stop = Stop(low_enough, patience, rounds, seconds)
    count = len(config.data()[0])
    steps = every or max(1, rounds * (count if stochastic else 1) // CHECKPOINTS)
    return TrainingRun(config, seed, stop, rate or config.rate, steps, names, stochastic)


def run_training(
    training: TrainingRun, folder: Path, command: str, strict: bool, progress: Callable[[Record], None]
) -> Trained:
    """Execute a training run into a results folder: its records, ``meta.json`` and ``train.json``."""
    start = time.monotonic()
    meta: dict[str, Any] = {
        **environment(command),
        "seed": training.seed,
        "strict": strict,
        "options": {"dtypes": list(DTYPES), "regimes": [training.config.dataset]},
        "frameworks": {},
    }
    with Journal(folder) as journal:
        journal.write_meta(meta)

        def record_handshake(name: str, handshake: Any) -> None:
            meta["frameworks"][name] = describe_framework(handshake)

        try:
            return training.run(journal, progress, record_handshake)
        finally:
            meta["seconds"] = round(time.monotonic() - start, 3)
            journal.write_meta(meta)
