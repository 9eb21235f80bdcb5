"""Each finding's program is run: a finding that its own program does not show is none.

The programs of one framework run one after the other in a few processes, ``python -m gradagree.atlas.trying``, each of
which says that it is ready, reads its own as a JSON list and answers each with a line. Where one dies, that program has
shown nothing, and the next one goes on.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from gradagree.atlas.finding import Finding
from gradagree.runner.process import ONE_THREAD

LIMIT = 300.0
"""Seconds for one program."""
SHARE = 200
"""Programs of one process at most: it takes a second or two to start."""
FORGET = 150
"""Programs after which jax forgets what it compiled, for that fills the memory."""
RESULTS = "shown", "not shown"


def shows(findings: Sequence[Finding]) -> list[bool]:
    """Whether each finding's program ran to its end, which it does where what it asserts holds."""
    found = [False] * len(findings)
    shares = shared(findings)
    if not shares:
        return found
    with ThreadPoolExecutor(min(len(shares), os.cpu_count() or 1)) as pool:
        programs = [[findings[place].reproducer for place in share] for share in shares]
        for share, shown in zip(shares, pool.map(tried, programs), strict=True):
            for place, one in zip(share, shown, strict=True):
                found[place] = one
    return found


def shared(findings: Sequence[Finding]) -> list[list[int]]:
    """The places of each process's findings: those of one framework, neighbours together, in turn with the others'."""
    places: dict[str, list[int]] = {}
    for place, finding in enumerate(findings):
        places.setdefault(finding.framework, []).append(place)
    parts = [[theirs[k : k + SHARE] for k in range(0, len(theirs), SHARE)] for theirs in places.values()]
    return [share for turn in itertools.zip_longest(*parts) for share in turn if share is not None]


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
    lines: list[str] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            [sys.executable, "-P", "-m", "gradagree.atlas.trying"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, cwd=folder, env={**os.environ, **ONE_THREAD},
        ) as process,
    ):  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(OSError), process.stdin as stream:
            json.dump(list(programs), stream)
        process.stdout.readline()
        while len(lines) < len(programs):
            late = threading.Timer(LIMIT, process.kill)
            late.start()
            line = process.stdout.readline()
            late.cancel()
            if not line:
                break
            lines += [line.strip()] if line.strip() in RESULTS else []
        process.kill()
    return lines


def outcome(program: str) -> str:
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            exec(program, {"__name__": "program"})
        except Exception:  # noqa: BLE001
            return RESULTS[1]
    return RESULTS[0]


def told(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    warnings.simplefilter("ignore")
    told("ready")
    for turn, program in enumerate(json.load(sys.stdin), 1):
        told(outcome(program))
        if turn % FORGET == 0 and "jax" in sys.modules:
            sys.modules["jax"].clear_caches()


if __name__ == "__main__":
    main()
