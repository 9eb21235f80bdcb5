"""The command line: its exit codes, and one line for each invalid input."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gradagree import run as run_from_python
from gradagree.adapters import Adapter
from gradagree.checker import judge as judging
from gradagree.checker.verdict import Record, Verdict
from gradagree.cli import main as cli
from gradagree.cli.main import LISTS, code
from gradagree.errors import UsageError
from gradagree.runner import campaign
from gradagree.runner.results import Journal, read_meta, read_records

KNOWN = """\
[[known]]
framework = "numpy_fake"
function = "*"
class = "disagree"
reason = "planted"
"""
GOOD = "3-4b-2:id,tanh*2:sse:n5:f64:ordinary:s1"


class Done(NamedTuple):
    code: int
    out: str
    error: str


RunCommand = Callable[..., Done]


@pytest.fixture
def run_command(capsys: pytest.CaptureFixture[str]) -> RunCommand:
    """Runs a command line within this process."""

    def run(*arguments: str) -> Done:
        ended = code([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Done(ended, captured.out, captured.err)

    return run


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The file of the frameworks in NumPy, in what becomes the current folder."""
    monkeypatch.setattr(Adapter, "catalogue", dict(Adapter.catalogue))
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copy(Path(__file__).parents[1] / "numpy_fake.py", tmp_path)).name


def run_of(fake: str, modes: str, framework: str = "numpy_fake") -> list[str]:
    options = ["--frameworks", framework, "--modes", modes, "--cases", "2", "--workers", "1"]
    return ["run", "--ext", fake, "--shrink", "0", "--out", "results", *options]


@pytest.mark.parametrize(
    ("framework", "modes", "expected"),
    [
        ("numpy_fake", "right", 0),
        ("numpy_fake,not_here", "right", 0),
        ("numpy_fake", "wrong", 1),
        ("numpy_fake", "right,wrong", 1),
        ("numpy_fake", "segfault", 1),
        ("not_here", "right", 5),
    ],
)
def test_that_a_run_ends_with_the_code_of_its_verdicts(
    framework: str, modes: str, expected: int, run_command: RunCommand, fake: str
) -> None:
    done = run_command(*run_of(fake, modes, framework))
    assert done.code == expected, done.error
    assert {path.name for path in Path("results").iterdir()} >= {
        "meta.json",
        "results.jsonl",
        "report.html",
        "report.md",
    }
    assert "results" in done.out
    assert "Traceback" not in done.error


def test_that_a_run_without_known_differences_ignores_the_file_of_the_project(
    run_command: RunCommand, fake: str
) -> None:
    Path("gradagree-known.toml").write_text(KNOWN)
    assert run_command(*run_of(fake, "wrong")).code == 0
    assert run_command(*run_of(fake, "wrong"), "--known", "none", "--out", "others").code == 1


def test_that_a_run_from_python_writes_the_same_reports(fake: str) -> None:
    Path("gradagree-known.toml").write_text(KNOWN)
    options = {"ext": [fake], "frameworks": "numpy_fake", "modes": "wrong", "cases": 1, "workers": 1}
    records = run_from_python(out="results", **options)
    assert all(record.verdict.fails for record in records)
    assert "planted" in Path("results/report.md").read_text()
    assert [entry["reason"] for entry in read_meta(Path("results"))["known"]] == ["planted"]
    run_from_python(out="others", known="none", **options)
    assert read_meta(Path("others"))["known"] == []
    with pytest.raises(UsageError, match="--workers 0: give a whole number of at least 1"):
        run_from_python(out="others", **{**options, "workers": 0})


@pytest.mark.parametrize(
    ("mode", "framework", "expected"),
    [("right", "numpy_fake", 0), ("wrong", "numpy_fake", 1), ("right", "not_here", 5)],
)
def test_that_a_replay_ends_with_the_code_of_its_verdicts(
    mode: str, framework: str, expected: int, run_command: RunCommand, fake: str
) -> None:
    assert run_command("replay", GOOD, "--ext", fake, "--frameworks", framework, "--modes", mode).code == expected


def test_that_lost_digits_fail_where_the_run_is_strict(run_command: RunCommand, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    fields = {"case": "000001", "spec": GOOD, "sha256": "0" * 64, "framework": "f", "version": "1", "mode": "m"}
    with Journal(folder) as journal:
        journal.write_meta({})
        journal.append(Record(**fields, dtype="float64", verdict=Verdict.INACCURATE, box=1, entry="dw[0,0]"))
    assert run_command("report", folder).code == 0
    assert run_command("report", folder, "--strict").code == 1


@pytest.mark.parametrize("what", LISTS)
def test_that_everything_can_be_listed_with_its_extensions(what: str, run_command: RunCommand, fake: str) -> None:
    plain, extended = run_command("list", what), run_command("list", what, "--ext", fake)
    assert plain.code == extended.code == 0
    assert plain.out.count("\n") > 1
    assert ("numpy_fake" in extended.out) == (what in ("frameworks", "modes"))


@pytest.mark.parametrize(
    "option", [["--help"], ["-h"], ["--version"], ["run", "--help"], ["replay", "-h"], ["list", "-h"]]
)
def test_that_help_and_version_exit_with_0(option: list[str], run_command: RunCommand) -> None:
    done = run_command(*option)
    assert (done.code, done.error) == (0, "")
    assert done.out


def test_that_without_a_command_the_commands_are_shown(run_command: RunCommand) -> None:
    done = run_command()
    assert all(name in done.out + done.error for name in cli.commands.commands)
    assert not done.error.startswith("gradagree: Usage:")


def test_that_a_report_into_a_file_is_an_error_in_one_line(run_command: RunCommand, fake: str) -> None:
    run_command(*run_of(fake, "right", "not_here"))
    Path("a.file").write_text("")
    done = run_command("report", "results", "--out", "a.file")
    assert (done.code, done.error.count("\n")) == (2, 1)
    assert done.error.startswith("gradagree: cannot write a.file: ")


def test_that_an_internal_error_is_reported_as_one(
    run_command: RunCommand, fake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise ZeroDivisionError("our fault")

    monkeypatch.setattr(judging, "judge_all", broken)
    done = run_command(*run_of(fake, "right"))
    assert done.code == 3
    assert "Traceback" in done.error
    assert done.error.endswith("gradagree: internal error, please report it: our fault\n")


def test_that_an_interrupted_run_ends_with_its_own_code_and_keeps_its_records(
    run_command: RunCommand, fake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(self: Any, record: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gradagree.report.console.Progress.__call__", interrupt)
    done = run_command(*run_of(fake, "right"))
    assert done.code == 130
    assert "Traceback" not in done.error
    assert len(list(read_records(Path("results")))) == 1
    assert read_meta(Path("results"))["seconds"] > 0


def test_that_an_interrupt_before_the_run_begins_ends_with_its_own_code(
    run_command: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(campaign, "prepare", interrupt)
    done = run_command("run")
    assert (done.code, done.error.strip()) == (130, "gradagree: interrupted")


def test_that_a_cluster_without_dask_is_an_error_that_says_what_to_install(
    run_command: RunCommand, fake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    done = run_command(*run_of(fake, "right"), "--scheduler", "tcp://127.0.0.1:1")
    assert done.code == 2
    assert done.error == "gradagree: --scheduler needs dask.distributed: pip install 'gradagree[dask]'\n"
