"""Stand-alone programs: run one script with its output, or many programs of which only the success matters."""

from __future__ import annotations

import contextlib
import functools
import io
import itertools
import json
import os
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from gradagree.adapters import Adapter
from gradagree.adapters.adapter import framework_of
from gradagree.runner.process import ONE_THREAD

PROGRAM_LIMIT = 300.0
"""Seconds for one program."""
PROGRAMS_PER_PROCESS = 200
"""A process takes a second or two to start."""
FORGET_AFTER = 150
"""Programs after which the framework drops what it has compiled, because it fills the memory."""
SUCCESS, FAILURE = "success", "failure"


class Output(NamedTuple):
    """The output of a script (with its standard error, if it ended in an unusual way), and its exit code."""

    text: str
    code: int


def run_script(path: Path) -> Output:
    """Run one script in a process of its own."""
    command = [sys.executable, str(path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PROGRAM_LIMIT, env=environment())
    except subprocess.TimeoutExpired:
        return Output(f"no answer within {PROGRAM_LIMIT:g} seconds", 1)
    unusual = done.returncode not in (0, 1) or not done.stdout
    return Output((done.stdout + (done.stderr if unusual else "")).strip(), done.returncode)


def run_programs(programs: Sequence[tuple[str, str]], processor: int | None = None) -> list[bool]:
    """For each program (framework, source): True if it ended without an error.

    With a number, it runs as on that one of the framework's other processors (`Adapter.other_processors`).
    """
    succeeded = [False] * len(programs)
    shares = split_by_framework([framework for framework, _ in programs])
    if not shares:
        return succeeded
    with ThreadPoolExecutor(min(len(shares), os.cpu_count() or 1)) as pool:
        frameworks = [programs[share[0]][0] for share in shares]
        sources = [[programs[index][1] for index in share] for share in shares]
        run = functools.partial(_run_share, processor)
        for share, results in zip(shares, pool.map(run, frameworks, sources), strict=True):
            for index, result in zip(share, results, strict=True):
                succeeded[index] = result
    return succeeded


def depend_on_processor(programs: Sequence[tuple[str, str]]) -> list[bool]:
    """For each program (framework, source) that succeeds here: True if it fails as on another processor."""
    found = [False] * len(programs)
    settings = [_other_processors(framework) for framework, _ in programs]
    for processor in range(max(map(len, settings), default=0)):
        rest = [k for k, some in enumerate(settings) if processor < len(some) and not found[k]]
        succeeded = run_programs([programs[k] for k in rest], processor)
        for k, success in zip(rest, succeeded, strict=True):
            found[k] = not success
    return found


def _other_processors(framework: str) -> tuple[dict[str, str], ...]:
    adapter = Adapter.catalogue.get(framework_of(framework))
    return () if adapter is None else adapter.other_processors


def split_by_framework(frameworks: Sequence[str]) -> list[list[int]]:
    """The indices for each process: neighbours of one framework together, the frameworks in turn."""
    indices: dict[str, list[int]] = {}
    for index, framework in enumerate(frameworks):
        indices.setdefault(framework, []).append(index)
    n = PROGRAMS_PER_PROCESS
    parts = [[these[k : k + n] for k in range(0, len(these), n)] for these in indices.values()]
    return [share for turn in itertools.zip_longest(*parts) for share in turn if share is not None]


def _run_share(processor: int | None, framework: str, sources: Sequence[str]) -> list[bool]:
    results: list[bool] = []
    settings = {} if processor is None else _other_processors(framework)[processor]
    while len(results) < len(sources):
        lines = _run_in_process(framework, sources[len(results) :], settings)
        results += [line == SUCCESS for line in lines]
        if len(results) < len(sources):
            results.append(False)
    return results


def _run_in_process(framework: str, sources: Sequence[str], settings: Mapping[str, str]) -> list[str]:
    """The lines that a process prints until it ends."""
    lines: list[str] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            [sys.executable, "-P", "-m", __name__, framework], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, cwd=folder, env={**environment(), **settings},
        ) as process,
    ):  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(OSError), process.stdin as stream:
            json.dump(list(sources), stream)
        process.stdout.readline()
        while len(lines) < len(sources):
            timer = threading.Timer(PROGRAM_LIMIT, process.kill)
            timer.start()
            line = process.stdout.readline()
            timer.cancel()
            if not line:
                break
            lines += [line.strip()] if line.strip() in (SUCCESS, FAILURE) else []
        process.kill()
    return lines


def environment() -> dict[str, str]:
    return {**os.environ, **ONE_THREAD}


def _outcome(source: str) -> str:
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            exec(source, {"__name__": "program"})
        except Exception:  # noqa: BLE001  (a program may raise anything)
            return FAILURE
    return SUCCESS


def _write_line(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _forget(library: str) -> None:
    adapter = Adapter.catalogue.get(framework_of(library))
    if adapter is not None:
        with contextlib.suppress(ImportError):
            adapter().forget()


def main(library: str) -> None:
    warnings.simplefilter("ignore")
    _write_line("ready")
    for count, source in enumerate(json.load(sys.stdin), 1):
        _write_line(_outcome(source))
        if count % FORGET_AFTER == 0:
            _forget(library)


if __name__ == "__main__":
    main(sys.argv[1])
