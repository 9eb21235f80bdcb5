"""The installed command, in a process of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gradagree.runner.results import read_records

SCRIPT = shutil.which("gradagree", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
COMMANDS = [[sys.executable, "-m", "gradagree"]] + ([[SCRIPT]] if SCRIPT else [])
LIMIT = 120


@pytest.fixture(params=COMMANDS, ids=lambda command: Path(command[-1]).name)
def command(request: pytest.FixtureRequest) -> list[str]:
    return list(request.param)


@pytest.fixture
def fake(tmp_path: Path) -> str:
    return Path(shutil.copy(Path(__file__).parents[1] / "numpy_fake.py", tmp_path)).name


def ended(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=LIMIT, check=False)


def run_of(fake: str, modes: str, cases: int) -> list[str]:
    options = ["--modes", modes, "--cases", str(cases), "--workers", "1", "--out", "results"]
    return ["run", "--ext", fake, "--frameworks", "numpy_fake", *options]


def test_that_the_command_is_installed() -> None:
    assert SCRIPT is not None


@pytest.mark.parametrize(("mode", "expected"), [("right", 0), ("wrong", 1)])
def test_that_a_run_ends_with_the_code_of_its_verdicts(
    mode: str, expected: int, command: list[str], fake: str, tmp_path: Path
) -> None:
    done = ended([*command, *run_of(fake, mode, 1)], tmp_path)
    assert (done.returncode, done.stderr) == (expected, "")
    assert len(list(read_records(tmp_path / "results"))) == 2


def test_that_a_mistake_is_one_line_on_standard_error(command: list[str], tmp_path: Path) -> None:
    done = ended([*command, "run", "--dtypes", "float31"], tmp_path)
    message = "gradagree: --dtypes: unknown name 'float31'; did you mean 'float32'?\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", message)
    assert list(tmp_path.iterdir()) == []


def test_that_a_reader_who_leaves_early_sees_no_traceback(command: list[str], tmp_path: Path) -> None:
    listing = subprocess.Popen(
        [*command, "list", "activations"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert listing.stdout is not None
    listing.stdout.close()
    _, error = listing.communicate(timeout=LIMIT)
    assert error == b""


def heed_interrupts() -> None:
    """A shell starts what runs in its background with interrupts ignored, and a child would inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.mark.filterwarnings("ignore:os.fork")
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="this system has no groups of processes")
def test_that_an_interrupt_from_the_keyboard_keeps_records_and_leaves_no_process(
    command: list[str], fake: str, tmp_path: Path
) -> None:
    running = subprocess.Popen(
        [*command, *run_of(fake, "right,prints", 10_000)], cwd=tmp_path, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed_interrupts,
    )  # fmt: skip
    results = tmp_path / "results" / "results.jsonl"
    deadline = time.monotonic() + LIMIT
    while not (results.exists() and results.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(running.pid, signal.SIGINT)
    _, error = running.communicate(timeout=LIMIT)
    assert (running.returncode, "gradagree run --resume" in error, "Traceback" in error) == (130, True, False)
    assert len(list(read_records(tmp_path / "results"))) > 0
    with pytest.raises(ProcessLookupError):
        os.killpg(running.pid, 0)
