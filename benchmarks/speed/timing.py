"""Times side by side: the contestants take turns, so that a busy machine slows all of them alike."""

from __future__ import annotations

import resource
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["Timed", "process", "turns"]

Timed = dict[str, Any]
"""median, least and most, in seconds."""


def turns(contests: dict[str, Callable[[], object]], rounds: int, warm: bool = True) -> dict[str, Timed]:
    """Each contestant's times over so many rounds, after one to warm up."""
    times: dict[str, list[float]] = {name: [] for name in contests}
    for turn in range(rounds + warm):
        for name, contest in contests.items():
            begun = time.perf_counter()
            contest()
            if turn >= warm:
                times[name].append(time.perf_counter() - begun)
    return {name: told(taken) for name, taken in times.items()}


def told(taken: Sequence[float]) -> Timed:
    return {"median": statistics.median(taken), "least": min(taken), "most": max(taken), "rounds": len(taken)}


def process(command: Sequence[str], allowed: Sequence[int] = (0,)) -> int:
    """Run a command to its end; its peak memory in bytes, or that of the largest child so far.

    Raises RuntimeError with what it said if it ends with another code than those allowed.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in allowed:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-500:]}")
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
