"""The duration of the run with default options, beside that of another checkout of gradagree, by turns.

    python -m benchmarks.run_duration OTHER [--cases 24] [--rounds 3] [--out FILE]

OTHER is the root of the other checkout. Prints the least and the median of the seconds that a run takes, and the median
of the processor's time of the run with its workers; --out adds them to the file of `benchmarks.tolerances`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]


def seconds(root: Path, cases: int, seed: int) -> tuple[float, float]:
    """The time of one run of a checkout, and the processor's time. Raises RuntimeError if it does not finish."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "gradagree",
            "run",
            "--cases",
            str(cases),
            "--seed",
            str(seed),
            "--shrink",
            "0",
        ]
        environment = {**os.environ, "PYTHONPATH": str(root)}
        run = subprocess.run(
            [*command, "--out", f"{folder}/run"],
            env=environment,
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
    if run.returncode not in (0, 1):
        raise RuntimeError(f"the run of {root} ended with exit code {run.returncode}:\n{run.stderr[-2000:]}")
    elapsed, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return elapsed, sum(getattr(after, part) - getattr(before, part) for part in ("ru_utime", "ru_stime"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("other", type=Path, help="root of the other checkout")
    parser.add_argument("--cases", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="file of benchmarks.tolerances")
    options = parser.parse_args()
    found: dict[str, list[tuple[float, float]]] = {"before": [], "now": []}
    for seed in range(options.rounds):
        for name, root in (("before", options.other.resolve()), ("now", ROOT)):
            found[name].append(seconds(root, options.cases, seed))
            print(f"{name}, seed {seed}: {found[name][-1][0]:.1f} s, processor {found[name][-1][1]:.1f} s", flush=True)
    versions = {}
    for name, times in found.items():
        walls, processor = zip(*times, strict=True)
        versions[name] = {
            "least": min(walls), "median": statistics.median(walls), "processor": statistics.median(processor),
        }  # fmt: skip
        print(name, {key: round(x, 1) for key, x in versions[name].items()})
    if options.out:
        kept = json.loads(options.out.read_text(encoding="utf-8"))
        kept["duration"] = {"cases": options.cases, "rounds": options.rounds, "versions": versions}
        options.out.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
