"""The worker process of a framework: its handshake, the cleanup of its processes and files, and its isolation."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gradagree.arithmetic.model import FORMATS
from gradagree.cases.case import Arrays, Case
from gradagree.checker.response import Absent, Failure, Ready
from gradagree.runner import process, protocol
from gradagree.runner.process import ONE_THREAD, FrameworkProcess

FAKE = str(Path(__file__).parents[1] / "numpy_fake.py")
CASE = Case.parse("3-4b-2:id,tanh*2:sse:n5:f32:ordinary:s1")
PROC = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="this system has no /proc to look into")


@pytest.fixture
def arrays() -> Arrays:
    return CASE.arrays()


@pytest.fixture
def fake() -> Iterator[FrameworkProcess]:
    with FrameworkProcess("numpy_fake", [FAKE], limit=60) as started:
        yield started


def pid(framework: FrameworkProcess) -> int:
    assert framework._process is not None
    return framework._process.pid


def alive(number: int) -> bool:
    """Whether there is such a process; one that no one has waited for still is."""
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True


def test_that_a_framework_says_its_version_its_modes_and_what_the_probes_found(fake: FrameworkProcess) -> None:
    import numpy as np

    handshake = fake.handshake
    assert isinstance(handshake, Ready)
    assert (handshake.version, handshake.device) == (np.__version__, "cpu")
    assert "right" in handshake.modes
    assert set(handshake.probes) == set(FORMATS)
    assert {frozenset(probes) for probes in handshake.probes.values()} == {
        frozenset({"accumulator", "biases", "flushes", "fast_math", "exact"})
    }


def test_that_a_framework_that_is_not_installed_is_absent_with_the_line_to_type() -> None:
    with FrameworkProcess("not_here", [FAKE]) as absent:
        assert absent.handshake == Absent("not installed (No module named 'not_here'): pip install not-here")
    with FrameworkProcess("torch") as ours:
        if isinstance(ours.handshake, Absent):
            assert ours.handshake.reason.endswith(": pip install 'gradagree[torch]'")


@pytest.mark.parametrize(
    ("name", "reason"), [("stillborn", "SIGSEGV"), ("unheard_of", "exit code 1: KeyError: 'unheard_of'")]
)
def test_that_a_process_that_dies_at_its_start_says_how(name: str, reason: str, arrays: Arrays) -> None:
    with FrameworkProcess(name, [FAKE]) as dead:
        assert dead.handshake == Absent(f"its process did not start: {reason}", broken=True)
        (answer,) = dead.compute(CASE, arrays, ["right"])
        assert isinstance(answer, Failure)


def test_that_a_process_whose_start_never_ends_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "START_LIMIT", 3)
    begun = time.monotonic()
    with FrameworkProcess("slow", [FAKE]) as slow:
        assert isinstance(slow.handshake, Absent)
        assert slow.handshake.reason == "its process did not start: no result within 3 seconds"
        assert slow._process is None
    assert time.monotonic() - begun < 30


def test_that_a_stopped_process_is_gone_and_leaves_no_thread(arrays: Arrays) -> None:
    threads = set(threading.enumerate())
    with FrameworkProcess("numpy_fake", [FAKE]) as running:
        number = pid(running)
        assert alive(number)
        list(running.compute(CASE, arrays, ["right"]))
    assert not alive(number)
    for thread in set(threading.enumerate()) - threads:
        thread.join(timeout=30)
        assert not thread.is_alive()


def test_that_a_process_is_ended_in_the_middle_of_its_work(arrays: Arrays) -> None:
    begun = time.monotonic()
    with FrameworkProcess("numpy_fake", [FAKE], limit=600) as busy:
        number = pid(busy)
        answers = busy.compute(CASE, arrays, ["right", "sleep"])
        next(answers)
    assert not alive(number)
    assert time.monotonic() - begun < 60


def test_that_a_process_can_be_stopped_twice(fake: FrameworkProcess) -> None:
    fake.stop()
    fake.stop()


@PROC
def test_that_processes_leave_no_open_files_behind(arrays: Arrays) -> None:
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    for mode in ("right", "segfault", "garbage"):
        with FrameworkProcess("numpy_fake", [FAKE]) as running:
            list(running.compute(CASE, arrays, [mode, "right"]))
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before  # what tests before left open may be closed meanwhile


@PROC
def test_that_a_process_has_one_thread_for_its_sums(fake: FrameworkProcess) -> None:
    environment = Path(f"/proc/{pid(fake)}/environ").read_text().split("\0")
    assert {f"{name}={value}" for name, value in ONE_THREAD.items()} <= set(environment)


def test_that_a_process_ends_when_its_questions_do() -> None:
    command = [sys.executable, "-m", "gradagree.runner.worker", "numpy_fake", FAKE]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=True)
    length = int.from_bytes(done.stdout[:8], "little")
    assert len(done.stdout) == 8 + length
    assert isinstance(protocol._decoder.decode(done.stdout[8:]), Ready)


@pytest.mark.parametrize("name", ["random", "msgspec"])
def test_that_a_file_in_the_current_folder_is_not_taken_for_a_module(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"{name}.py").write_text("raise RuntimeError('not the module that was meant')\n")
    monkeypatch.chdir(tmp_path)
    with FrameworkProcess("numpy_fake", [FAKE]) as running:
        assert isinstance(running.handshake, Ready)


def test_that_what_a_child_of_the_process_holds_open_keeps_no_one_waiting(arrays: Arrays) -> None:
    begun = time.monotonic()
    with FrameworkProcess("numpy_fake", [FAKE], limit=1) as forking:
        (answer,) = forking.compute(CASE, arrays, ["fork_and_die"])
    assert isinstance(answer, Failure)
    # The child lives for ten seconds.
    assert time.monotonic() - begun < 8
