"""Each finding's program is run: a finding that its own program does not show is none.

The programs of one framework run one after the other in one process, ``python -m gradagree.atlas.trying``, which reads
them as a JSON list and answers each with a line. Where the process dies, that program has shown nothing, and the next
one goes on.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from gradagree.atlas.finding import Finding
from gradagree.process import ONE_THREAD

__all__ = ["shows"]

LIMIT = 900.0
"""Seconds for all programs of one framework."""
FORGET = 150
"""Programs after which jax forgets what it compiled, for that fills the memory."""
RESULTS = "shown", "not shown"


def shows(findings: Sequence[Finding]) -> list[bool]:
    """Whether each finding's program ran to its end, which it does where what it asserts holds."""
    places: dict[str, list[int]] = {}
    for place, finding in enumerate(findings):
        places.setdefault(finding.framework, []).append(place)
    found = [False] * len(findings)
    if not places:
        return found
    with ThreadPoolExecutor(len(places)) as pool:
        programs = [[findings[place].reproducer for place in theirs] for theirs in places.values()]
        for theirs, shown in zip(places.values(), pool.map(tried, programs), strict=True):
            for place, one in zip(theirs, shown, strict=True):
                found[place] = one
    return found


def tried(programs: Sequence[str]) -> list[bool]:
    """One framework's programs."""
    shown: list[bool] = []
    while len(shown) < len(programs):
        lines = run(programs[len(shown) :])
        shown += [line == RESULTS[0] for line in lines]
        if len(shown) < len(programs):
            shown.append(False)
    return shown


def run(programs: Sequence[str]) -> list[str]:
    """What a process says of the programs, one after the other, as far as it came."""
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(subprocess.TimeoutExpired):
        done = subprocess.run(
            [sys.executable, "-P", "-m", "gradagree.atlas.trying"], input=json.dumps(list(programs)), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=folder, env={**os.environ, **ONE_THREAD},
            check=False, timeout=LIMIT,
        )  # fmt: skip
        return [line for line in done.stdout.splitlines() if line in RESULTS]
    return [RESULTS[1]] * len(programs)


def outcome(program: str) -> str:
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            exec(program, {"__name__": "program"})
        except Exception:  # noqa: BLE001
            return RESULTS[1]
    return RESULTS[0]


def main() -> None:
    warnings.simplefilter("ignore")
    for turn, program in enumerate(json.load(sys.stdin), 1):
        sys.stdout.write(outcome(program) + "\n")
        sys.stdout.flush()
        if turn % FORGET == 0 and "jax" in sys.modules:
            sys.modules["jax"].clear_caches()


if __name__ == "__main__":
    main()
