"""Times side by side: the contestants take turns, so that a busy machine slows all of them alike."""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

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


def shared(time: Timed, among: int) -> Timed:
    """The time of one of so many that were timed together."""
    return {key: number / among if key != "rounds" else number for key, number in time.items()}


def process(command: Sequence[str], allowed: Sequence[int] = (0,)) -> int:
    """Run a command to its end; the memory in bytes of the largest of it and its children.

    Raises RuntimeError with what it said if it ends with another code than those allowed.
    """
    with tempfile.TemporaryFile() as said:
        running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said)
        _, status, used = os.wait4(running.pid, 0)
        running.returncode = code = os.waitstatus_to_exitcode(status)
        if code not in allowed:
            said.seek(0)
            raise RuntimeError(f"{' '.join(command)} ended with {code}: {said.read()[-500:].decode(errors='replace')}")
    return int(used.ru_maxrss) * 1024
