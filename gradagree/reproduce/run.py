"""Run programs, write the issue text."""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import itertools
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from gradagree.cases.case import Case
from gradagree.checker.verdict import ORDER, Record, plain
from gradagree.files import write_text
from gradagree.report.text import exact, prose, visible
from gradagree.reproduce.script import headline, script
from gradagree.runner.process import ONE_THREAD, FrameworkProcess
from gradagree.shrink import ModeProcess, can_shrink, shrink
from gradagree.shrink.cut import numbers_in

# Runs stand-alone programs: one script with its output, or many programs of which only the success matters
# ---------------------------------------------------------------------------------------------------------


PROGRAM_LIMIT = 300.0
"""Seconds for one program."""
PROGRAMS_PER_PROCESS = 200
"""A process takes a second or two to start."""
CLEAR_CACHES_AFTER = 150
"""Programs after which jax's compiled programs are dropped, because they fill the memory."""
SUCCESS, FAILURE = "success", "failure"


class Output(NamedTuple):
    """What a script printed (with its standard error, if it ended in an unusual way), and its exit code."""

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


def run_programs(programs: Sequence[tuple[str, str]]) -> list[bool]:
    """For each program (framework, source): True if it ended without an error."""
    succeeded = [False] * len(programs)
    shares = split_by_framework([framework for framework, _ in programs])
    if not shares:
        return succeeded
    with ThreadPoolExecutor(min(len(shares), os.cpu_count() or 1)) as pool:
        sources = [[programs[index][1] for index in share] for share in shares]
        for share, results in zip(shares, pool.map(_run_share, sources), strict=True):
            for index, result in zip(share, results, strict=True):
                succeeded[index] = result
    return succeeded


def split_by_framework(frameworks: Sequence[str]) -> list[list[int]]:
    """The indices for each process: neighbours of one framework together, the frameworks in turn."""
    indices: dict[str, list[int]] = {}
    for index, framework in enumerate(frameworks):
        indices.setdefault(framework, []).append(index)
    n = PROGRAMS_PER_PROCESS
    parts = [[these[k : k + n] for k in range(0, len(these), n)] for these in indices.values()]
    return [share for turn in itertools.zip_longest(*parts) for share in turn if share is not None]


def _run_share(sources: Sequence[str]) -> list[bool]:
    results: list[bool] = []
    while len(results) < len(sources):
        lines = _run_in_process(sources[len(results) :])
        results += [line == SUCCESS for line in lines]
        if len(results) < len(sources):
            results.append(False)
    return results


def _run_in_process(sources: Sequence[str]) -> list[str]:
    """The lines that a process prints until it ends."""
    lines: list[str] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            [sys.executable, "-P", "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, cwd=folder, env=environment(),
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


def main() -> None:
    warnings.simplefilter("ignore")
    _write_line("ready")
    for count, source in enumerate(json.load(sys.stdin), 1):
        _write_line(_outcome(source))
        if count % CLEAR_CACHES_AFTER == 0 and "jax" in sys.modules:
            sys.modules["jax"].clear_caches()


if __name__ == "__main__":
    main()


# A script and an issue text beside it, for one case
# --------------------------------------------------


SMALL = 24
"""So many numbers need not be made fewer."""
SECONDS = 20.0


class ScriptFiles(NamedTuple):
    """Where the script and the issue text lie, and its output and exit code."""

    script: Path
    issue: Path
    output: str
    exit_code: int


def write_script(
    case: Case, records: Sequence[Record], path: Path | None, extensions: Sequence[str]
) -> ScriptFiles | None:
    """Write the worst of the records down, its case made small where that can be done; None where nothing is wrong."""
    loud = [r for r in records if r.verdict.fails or r.verdict is r.verdict.INACCURATE]
    if not loud:
        return None
    record = min(loud, key=lambda r: ORDER[r.verdict])
    if numbers_in(case) > SMALL and can_shrink():
        with FrameworkProcess(record.framework, extensions) as process:
            small = shrink(case, record, ModeProcess(process, record.mode), SECONDS)
        case, record = small or (case, record)
    text = script(case, record)
    place = path or Path(f"gradagree-{case.alias}-{record.framework}-{record.mode}.py")
    write_text(place, text)
    output, exit_code = run_script(place)
    issue = place.with_suffix(".md")
    write_text(issue, issue_text(record, text, output))
    return ScriptFiles(place, issue, output, exit_code)


def issue_text(record: Record, text: str, output: str) -> str:
    """What to paste into an issue, in GitHub's Markdown."""
    lines = [f"# {prose(headline(record))}", ""]
    if record.expected is not None:
        radius = (
            ""
            if record.expected_radius is None
            else f" (proved by ball arithmetic, within {plain(record.expected_radius):.1e})"
        )
        lines += [
            (
                f"`{visible(record.entry)}` is expected to be {exact(record.expected, record.dtype)}{radius}; "
                f"{prose(visible(record.framework))} gives {exact(record.observed, record.dtype)}. A correct program "
                f"in {record.dtype} may be off by {plain(record.tolerance):.2g}."
            ),
            "",
        ]
    lines += [prose(visible(record.reason)), ""] * bool(record.reason)
    lines += ["To reproduce, with nothing but NumPy and the framework:", "", "````python", text.rstrip(), "````", ""]
    lines += ["It prints:", "", "````text", visible_lines(output), "````", "", "Versions:", ""]
    lines += [f"- {name} {version}" for name, version in versions(record)]
    return "\n".join([*lines, "", "Found by gradagree, which judges gradients by a derivation by hand.", ""])


def visible_lines(text: str) -> str:
    return "\n".join(visible(line, 400).replace("````", "'''") for line in text.splitlines()[-20:])


def versions(record: Record) -> list[tuple[str, str]]:
    found = [(visible(record.framework), visible(record.version)), ("numpy", importlib.metadata.version("numpy"))]
    return [*found, ("Python", platform.python_version()), (platform.system(), platform.machine())]
