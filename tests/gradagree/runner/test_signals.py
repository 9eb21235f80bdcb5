"""Signals to a run from outside: the first drains it, the second aborts it; the run can be resumed after either."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from gradagree.checker.verdict import Record
from gradagree.runner.process import ONE_THREAD
from gradagree.runner.results import read_meta, read_records

FAKE = str(Path(__file__).parents[1] / "numpy_fake.py")
OPTIONS = (
    "--frameworks numpy_fake --cases 60 --seed 4 --dtypes float32,float64 --activations tanh,relu --errors sse,mse"
)
LIMIT = 120.0
LAUNCH = """
import os, resource, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
os.execv(sys.argv[2], sys.argv[2:])
"""
"""Limits the size of files and heeds interrupts, which a shell's background ignores, and then becomes the command."""


def start(
    folder: Path, *words: str, modes: str = "right,raises", room: int = resource.RLIM_INFINITY
) -> subprocess.Popen[str]:
    """Start the command line in a process whose files are limited to `room` bytes."""
    options = words or ("--out", str(folder), *OPTIONS.split(), "--modes", modes)
    command = [sys.executable, "-m", "gradagree", "run", "--workers", "1", "--ext", FAKE, *options]
    environment = {**os.environ, **ONE_THREAD}
    return subprocess.Popen(
        [sys.executable, "-c", LAUNCH, str(room), *command],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip


def wait_for(folder: Path, count: int) -> None:
    """Wait until `count` records are written."""
    for _ in range(int(LIMIT / 0.02)):
        if (folder / "results.jsonl").exists() and (folder / "results.jsonl").read_bytes().count(b"\n") >= count:
            return
        time.sleep(0.02)
    raise AssertionError(f"no {count} records within {LIMIT} seconds")


def kept(folder: Path) -> list[Record]:
    records = (msgspec.structs.replace(record, seconds=0.0) for record in read_records(folder))
    return sorted(records, key=lambda record: (record.key, record.index))


def workers_of(process: int) -> list[int]:
    """The child processes of a process."""
    children = Path(f"/proc/{process}/task").glob("*/children")
    return [int(number) for path in children for number in path.read_text().split()]


def alive(number: int) -> bool:
    """Whether a process still runs; a zombie does not."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    """The records of an uninterrupted run."""
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    _, stderr = start(folder).communicate(timeout=LIMIT)
    assert "Traceback" not in stderr.replace("RuntimeError", "")
    return kept(folder)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_that_the_first_signal_drains_the_run_and_prints_how_to_resume_it(
    number: signal.Signals, tmp_path: Path, complete: list[Record]
) -> None:
    folder = tmp_path / "run"
    process = start(folder)
    wait_for(folder, 5)
    process.send_signal(number)
    shown, stderr = process.communicate(timeout=LIMIT)
    assert process.returncode == 130
    assert "gradagree: finishing the running cases; press Ctrl-C again to abort" in stderr
    assert (
        stderr.splitlines()[-1]
        == f"gradagree: interrupted; continue with: gradagree run --resume {folder} --ext {FAKE}"
    )
    assert "incomplete" in " ".join(shown.split())
    assert {"report.html", "report.md", "junit.xml"} <= {path.name for path in folder.iterdir()}
    assert 5 <= len(kept(folder)) < len(complete)
    start(folder, "--resume", str(folder)).communicate(timeout=LIMIT)
    assert kept(folder) == complete


def test_that_the_second_signal_aborts_the_run(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = start(folder, modes="right,sleep")
    wait_for(folder, 1)
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    time.sleep(1)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=LIMIT)
    assert (process.returncode, stderr.splitlines()[-1]) == (130, "gradagree: interrupted")
    assert time.monotonic() - begun < 8
    assert not (folder / "report.md").exists()
    assert len(kept(folder)) >= 1


@pytest.mark.parametrize("seed", [1, 2])
def test_that_a_run_killed_and_resumed_at_random_points_has_the_same_records(
    seed: int, tmp_path: Path, complete: list[Record]
) -> None:
    dice, folder = random.Random(seed), tmp_path / "run"
    process = start(folder)
    for count in sorted(dice.sample(range(1, len(complete) - 5), 3)):
        wait_for(folder, count)
        process.kill()
        process.communicate(timeout=LIMIT)
        process = start(folder, "--resume", str(folder))
    _, stderr = process.communicate(timeout=LIMIT)
    assert process.returncode == 1, stderr
    assert kept(folder) == complete
    assert read_meta(folder)["seconds"] > 0


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="this system has no /proc to look into")
def test_that_a_busy_worker_does_not_outlive_its_parent(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = start(folder, modes="right,deaf")
    wait_for(folder, 1)
    workers = workers_of(process.pid)
    process.kill()
    process.communicate(timeout=LIMIT)
    assert workers
    ends = time.monotonic() + 30
    while any(map(alive, workers)):
        assert time.monotonic() < ends
        time.sleep(0.1)


def test_that_a_second_run_into_the_folder_is_refused_in_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = start(folder, modes="right,sleep")
    wait_for(folder, 1)
    other = start(folder)
    shown, stderr = other.communicate(timeout=LIMIT)
    process.kill()
    process.communicate(timeout=LIMIT)
    assert (other.returncode, shown) == (2, "")
    assert stderr == f"gradagree: {folder} is being written by process {process.pid}: wait, or choose another --out\n"


def test_that_a_run_on_a_full_disk_ends_with_one_line_and_can_be_resumed(
    tmp_path: Path, complete: list[Record]
) -> None:
    folder = tmp_path / "run"
    process = start(folder, room=16_000)
    shown, stderr = process.communicate(timeout=LIMIT)
    assert (process.returncode, shown) == (2, "")
    assert stderr == f"gradagree: cannot write {folder}: File too large; choose another folder with --out\n"
    assert 0 < len(kept(folder)) < len(complete)
    assert not (folder / "results.jsonl").read_bytes().endswith(b"\n")
    start(folder, "--resume", str(folder)).communicate(timeout=LIMIT)
    assert kept(folder) == complete
