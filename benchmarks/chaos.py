"""A run in a storm: its worker processes killed at random, or itself killed and gone on with, against a calm one.

python benchmarks/chaos.py --cases 10000 --kills 200            # workers are killed
python benchmarks/chaos.py --cases 40 --parent-kills 1000       # the run is killed, and resumed, so many times
python benchmarks/chaos.py --isolation --cases 1000             # what processes of their own cost
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from gradagree.adapters import Adapter
from gradagree.cases.case import problem_of
from gradagree.checker.response import handshake, respond
from gradagree.cli.main import code
from gradagree.runner import scheduler as drivers
from gradagree.runner.campaign import prepare
from gradagree.runner.options import Plan
from gradagree.runner.process import FrameworkProcess
from gradagree.runner.results import read_records

FAKE = str(Path(__file__).parents[1] / "tests" / "gradagree" / "numpy_fake.py")
OPTIONS = {"seed": 3, "dtypes": "float32", "activations": "tanh,relu", "errors": "sse,mse"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--parent-kills", type=int, default=0)
    parser.add_argument("--isolation", action="store_true")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.isolation:
        isolation(options)
    elif options.parent_kills:
        parents(options)
    else:
        workers(options)


def planned(cases: int, modes: str = "numpy_fake:right") -> Plan:
    framework = modes.partition(":")[0]
    return prepare([FAKE], {**OPTIONS, "cases": cases, "frameworks": framework, "modes": modes})


def workers(options: argparse.Namespace) -> None:
    """So many kills, evenly spread over the records, at random moments."""
    plan = planned(options.cases)
    begun, busy = time.perf_counter(), processor()
    calm = {record.index: record.verdict for record in drivers.run_plan(plan, [FAKE], options.workers)}
    alone, alone_busy = time.perf_counter() - begun, processor() - busy
    made: list[FrameworkProcess] = []

    class Watched(FrameworkProcess):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            made.append(self)

    drivers.FrameworkProcess = Watched  # type: ignore[misc]
    begun, busy, dice = time.perf_counter(), processor(), random.Random(options.seed)
    kills, wrong, found = 0, 0, Counter[int]()
    for count, record in enumerate(drivers.run_plan(plan, [FAKE], options.workers), 1):
        found[record.index] += 1
        if record.verdict is not calm[record.index]:
            wrong += 1
            print(f"wrong: {record.spec}: {record.verdict} {record.reason}", file=sys.stderr)
        while kills < options.kills * count / options.cases:
            threading.Timer(dice.uniform(0, 0.05), kill, [dice.choice(made)]).start()
            kills += 1
    stormy, stormy_busy = time.perf_counter() - begun, processor() - busy
    once = sum(number == 1 for number in found.values())
    print(f"{options.cases} cases, {kills} kills: {once} verdicts, {wrong} wrong;")
    for what, calm_one, other in (("wall", alone, stormy), ("processor", alone_busy, stormy_busy)):
        more = f"{100 * (other / calm_one - 1):+.0f} %, {(other - calm_one) / kills:.2f} s a kill"
        print(f"{what}: {calm_one:.1f} s calm, {other:.1f} s in the storm, {more}")


def processor() -> float:
    """Seconds of processors that this process and those that it has seen end have taken."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def kill(process: FrameworkProcess) -> None:
    running = process._process
    if running is not None:
        running.kill()


def parents(options: argparse.Namespace) -> None:
    """One run after another, each killed at random points of its journal and resumed until it is through."""
    dice, kills, runs, same = random.Random(options.seed), 0, 0, 0
    with tempfile.TemporaryDirectory() as place:
        calm = Path(place, "calm")
        os.waitpid(start(calm, options), 0)
        whole = kept(calm)
        while kills < options.parent_kills:
            runs += 1
            folder = Path(place, f"run-{runs}")
            process, turns = start(folder, options), min(20, options.parent_kills - kills)
            while turns and not written_or_ended(folder, process, dice.randint(0, 4)):
                time.sleep(dice.uniform(0, 0.01))
                os.kill(process, signal.SIGKILL)
                kills += os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) < 0
                turns -= 1
                process = start(folder, options, resume=(folder / "meta.json").exists())
            if not turns:
                os.waitpid(process, 0)
            same += alike(kept(folder), whole)
            print(f"{kills} kills, {runs} runs, {same} the same", file=sys.stderr, flush=True)
    print(
        f"{kills} kills of the parent in {runs} runs of {len(whole)} records: {same} ended as the undisturbed run did"
    )


def alike(found: list[Any], whole: list[Any]) -> bool:
    if found != whole:
        print(f"not the same: {len(found)} of {len(whole)} records", file=sys.stderr)
    return found == whole


def start(folder: Path, options: argparse.Namespace, resume: bool = False) -> int:
    """The number of a process that runs the command line, forked here so that nothing is imported anew."""
    words = [f"--{name}={value}" for name, value in OPTIONS.items()]
    words += ["--cases", str(options.cases), "--modes", "numpy_fake:right", "--frameworks", "numpy_fake"]
    words = ["--resume", str(folder)] if resume else [*words, "--out", str(folder)]
    if (process := os.fork()) == 0:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os._exit(code(["run", "--ext", FAKE, "--workers", "1", "--shrink", "0", *words]))
    return process


def written_or_ended(folder: Path, process: int, more: int) -> bool:
    """Wait until so many more records are written, or the run is through: whether it is."""
    path = folder / "results.jsonl"
    wanted = written(path) + more
    while not path.exists() or written(path) < wanted:
        if os.waitpid(process, os.WNOHANG)[0]:
            return True
        time.sleep(0.002)
    return False


def written(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def kept(folder: Path) -> list[Any]:
    records = (msgspec.structs.replace(record, seconds=0.0) for record in read_records(folder))
    return sorted(records, key=lambda record: record.index)


class InThread(FrameworkProcess):
    """The same answers without a process."""

    def start(self) -> Any:
        self._adapter = Adapter.catalogue[self.framework]()
        with self._adapter.settings():
            self.handshake = handshake(self._adapter)
        return self.handshake

    def compute_all(self, asked: Any) -> Iterator[tuple[int, Any]]:
        with self._adapter.settings():
            for place, (case, arrays, modes) in enumerate(asked):
                for mode in modes:
                    yield place, respond(self._adapter, problem_of(case, arrays), mode)


def isolation(options: argparse.Namespace) -> None:
    """Wall time with a process and without, in turns, from the first record on: the start is torch's import."""
    plan = Plan.make(cases=options.cases, frameworks="torch", modes="torch:backward")
    seconds: dict[str, list[float]] = {"process": [], "thread": []}
    for name, kind in (("thread", InThread), ("process", FrameworkProcess)) * 2:
        drivers.FrameworkProcess = kind  # type: ignore[misc]
        found = drivers.run_plan(plan, workers=1)
        next(found)
        begun = time.perf_counter()
        count = sum(1 for _ in found)
        seconds[name].append(time.perf_counter() - begun)
    apart, together = (min(seconds[name]) for name in ("process", "thread"))
    print(
        f"{count} records: {apart:.1f} s in processes, {together:.1f} s without: {100 * (apart / together - 1):+.1f} %"
    )


if __name__ == "__main__":
    main()
