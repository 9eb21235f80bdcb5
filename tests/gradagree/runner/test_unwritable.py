"""Where nothing can be written: one line, exit 2, and what was written before stays readable."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gradagree.cli import main as cli
from gradagree.cli.main import code
from gradagree.runner.results import read_records

FAKE = Path(__file__).parents[1] / "numpy_fake.py"
NOWHERE = "/proc/self/nowhere"
RUN = (
    "run --cases 3 --seed 1 --workers 1 --shrink 0 --dtypes float32 --activations tanh --errors sse --frameworks torch"
)
LIMIT = 300
LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
from gradagree.cli.main import main
main(sys.argv[2:])
"""
"""The command line, where no file grows beyond so many bytes: a disk that is full at a place of one's choice."""

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="this system has no folder that no one writes")


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small results folder."""
    monkeypatch.chdir(tmp_path)
    done = limited(1 << 30, tmp_path, *OURS, "--out", "good")
    assert done.returncode == 0, done.stderr
    return tmp_path / "good"


OURS = ["run", "--ext", "fake.py", "--frameworks", "numpy_fake", "--modes", "right", "--cases", "8", "--seed", "3"]
OURS += ["--workers", "1", "--activations", "tanh,relu", "--errors", "sse", "--dtypes", "float32"]


def limited(size: int, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    shutil.copy(FAKE, folder / "fake.py")
    command = [sys.executable, "-c", LIMITED, str(size), *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=LIMIT, check=False)


def one_line(stderr: str) -> str:
    assert stderr.startswith("gradagree: cannot write "), stderr
    assert stderr.count("\n") == 1, stderr
    return stderr


def test_that_no_command_begins_where_it_cannot_write(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commands = {
        f"{RUN} --out {NOWHERE}", f"survey --activations tanh --out {NOWHERE}", f"report {results} --out {NOWHERE}",
        f"survey --kinks --activations relu --out {NOWHERE}", f"compare {results} {results} --out {NOWHERE}",
        f"compare {results} --extract {NOWHERE}.jsonl", f"train diabetes --rounds 1 --out {NOWHERE}",
    }  # fmt: skip
    capsys.readouterr()
    for typed in sorted(commands):
        assert code(typed.split()) == 2, typed
        assert "No such file or directory" in one_line(capsys.readouterr().err)


def test_that_a_file_to_start_from_is_refused_where_none_can_be(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir("/proc/self")
    assert code(["new", "activation", "bent_for_nowhere"]) == 2
    one_line(capsys.readouterr().err)


@pytest.mark.parametrize("size", [10, 900, 3200, 4200])
def test_that_a_disk_which_is_full_ends_a_run_in_one_line_and_keeps_what_was_written(size: int, tmp_path: Path) -> None:
    done = limited(size, tmp_path, *OURS, "--out", "full")
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert "File too large; choose another folder with --out" in one_line(done.stderr)
    begun = (tmp_path / "full" / "meta.json").exists()
    assert begun == (size > 3000)
    if begun:
        again = limited(1 << 30, tmp_path, "run", "--resume", "full", "--ext", "fake.py", "--workers", "1")
        assert again.returncode == 0, again.stderr
        assert len(list(read_records(tmp_path / "full"))) == 8


def test_that_a_page_which_does_not_fit_leaves_the_old_one(results: Path, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in results.iterdir()}
    largest = len(before["results.jsonl"])
    assert largest < len(before["report.html"])
    done = limited(largest, tmp_path, "report", "good")
    assert done.returncode == 2
    assert "report.html: File too large" in one_line(done.stderr)
    assert (results / "report.html").read_bytes() == before["report.html"]
    assert {path.name for path in results.iterdir()} == {*before}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no disk that is always full")
def test_that_a_full_disk_behind_standard_output_is_reported_in_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "gradagree", "list", "activations"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=LIMIT, check=False)
    assert (done.returncode, done.stderr) == (2, "gradagree: cannot write the output: No space left on device\n")


def raising(number: int) -> Callable[..., Any]:
    def raises(*_: Any, **__: Any) -> Any:
        raise OSError(number, os.strerror(number), "a\nfile")

    return raises


@pytest.mark.parametrize("number", [errno.EROFS, errno.EDQUOT, errno.ENOSPC, errno.EACCES])
def test_that_an_unexpected_error_is_reported_in_one_line(
    number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli.commands, "main", raising(number))
    assert code(["list", "modes"]) == 2
    assert capsys.readouterr().err == f"gradagree: cannot write a\\nfile: {os.strerror(number)}\n"


def test_that_another_error_of_the_system_is_one_of_our_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli.commands, "main", raising(errno.EBADF))
    assert code(["list", "modes"]) == 3
    assert "internal error" in capsys.readouterr().err
