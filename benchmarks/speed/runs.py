"""(a) `gradagree run` beside bare scripts on the same cases; (d) its memory and rate by the number of cases."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.speed import bare
from benchmarks.speed.timing import Timed, process, turns
from gradagree.runner.options import Plan

ONLY = {"activations": ",".join(bare.FUNCTIONS), "errors": ",".join(bare.ERRORS)}
BOTH = "torch:backward,jax:packed"
AGREED = (0, 1)
"""A run that finds a disagreement ends with 1; its time counts all the same."""


def beside_bare(cases: int, rounds: int) -> dict[str, Any]:
    """Whole processes: bare torch, bare jax on its tenth, packed on all; gradagree with torch, and with both."""
    with tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder) / f"{name}.npz" for name in ("torch", "jax")}
        modes = {"torch": "backward", "jax": "grad"}
        plan = Plan.make(cases=cases, dtypes="float64", modes="all", **ONLY)
        asked = {name: bare.written(plan, name, modes[name], file) for name, file in files.items()}
        script = [sys.executable, bare.__file__]
        contests = {
            "bare torch": lambda: process([*script, "torch", str(files["torch"])]),
            "bare jax": lambda: process([*script, "jax", str(files["jax"])]),
            "bare packed": lambda: process([*script, "packed", str(files["torch"])]),
            "gradagree, torch": lambda: run(cases, Path(folder) / "one", "--modes", "torch:backward"),
            "gradagree, torch and packed": lambda: run(cases, Path(folder) / "two", "--modes", BOTH),
            "gradagree, a default run": lambda: run(cases, Path(folder) / "three", "--profile", "ci"),
        }
        return {"cases": cases, "asked": asked, "times": turns(contests, rounds, warm=False)}


def run(cases: int, out: Path, *options: str) -> int:
    """`gradagree run` on so many cases in float64, without its report being looked at; its largest memory."""
    shutil.rmtree(out, ignore_errors=True)
    chosen = [f"--{name}={value}" for name, value in ONLY.items()]
    gradagree = [sys.executable, "-m", "gradagree", "run", f"--cases={cases}", "--dtypes=float64", f"--out={out}"]
    return process([*gradagree, *chosen, *options], AGREED)


def long_runs(counts: list[int]) -> list[dict[str, Any]]:
    """Cases a second and the largest memory of a process, by the number of cases, torch alone."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for cases in counts:
            peak = 0

            def work(cases: int = cases) -> None:
                nonlocal peak
                peak = run(cases, Path(folder) / f"{cases}", "--modes", "torch:backward")

            time: Timed = turns({"run": work}, 1, warm=False)["run"]
            found.append({"cases": cases, "seconds": time["median"], "rate": cases / time["median"], "peak": peak})
    return found
