"""The command line: its exit codes, and one line for everything that was typed wrong."""

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


class Said(NamedTuple):
    code: int
    out: str
    error: str


Say = Callable[..., Said]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Runs a command line within this process."""

    def run(*arguments: str) -> Said:
        ended = code([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Said(ended, captured.out, captured.err)

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
    framework: str, modes: str, expected: int, say: Say, fake: str
) -> None:
    said = say(*run_of(fake, modes, framework))
    assert said.code == expected, said.error
    assert {path.name for path in Path("results").iterdir()} >= {
        "meta.json",
        "results.jsonl",
        "report.html",
        "report.md",
    }
    assert "results" in said.out
    assert "Traceback" not in said.error


def test_that_a_run_without_known_differences_ignores_the_file_of_the_project(say: Say, fake: str) -> None:
    Path("gradagree-known.toml").write_text(KNOWN)
    assert say(*run_of(fake, "wrong")).code == 0
    assert say(*run_of(fake, "wrong"), "--known", "none", "--out", "others").code == 1


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
    mode: str, framework: str, expected: int, say: Say, fake: str
) -> None:
    assert say("replay", GOOD, "--ext", fake, "--frameworks", framework, "--modes", mode).code == expected


def test_that_lost_digits_fail_where_the_run_is_strict(say: Say, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    told = {"case": "000001", "spec": GOOD, "sha256": "0" * 64, "framework": "f", "version": "1", "mode": "m"}
    with Journal(folder) as journal:
        journal.write_meta({})
        journal.append(Record(**told, dtype="float64", verdict=Verdict.INACCURATE, box=1, entry="dw[0,0]"))
    assert say("report", folder).code == 0
    assert say("report", folder, "--strict").code == 1


@pytest.mark.parametrize("what", LISTS)
def test_that_everything_can_be_listed_with_its_extensions(what: str, say: Say, fake: str) -> None:
    plain, extended = say("list", what), say("list", what, "--ext", fake)
    assert plain.code == extended.code == 0
    assert plain.out.count("\n") > 1
    assert ("numpy_fake" in extended.out) == (what in ("frameworks", "modes"))


@pytest.mark.parametrize(
    "option", [["--help"], ["-h"], ["--version"], ["run", "--help"], ["replay", "-h"], ["list", "-h"]]
)
def test_that_help_and_version_are_no_error(option: list[str], say: Say) -> None:
    said = say(*option)
    assert (said.code, said.error) == (0, "")
    assert said.out


def test_that_without_a_command_the_commands_are_shown(say: Say) -> None:
    said = say()
    assert all(name in said.out + said.error for name in cli.commands.commands)
    assert not said.error.startswith("gradagree: Usage:")


def test_that_a_report_into_a_file_is_answered_in_one_line(say: Say, fake: str) -> None:
    say(*run_of(fake, "right", "not_here"))
    Path("a.file").write_text("")
    said = say("report", "results", "--out", "a.file")
    assert (said.code, said.error.count("\n")) == (2, 1)
    assert said.error.startswith("gradagree: cannot write a.file: ")


def test_that_an_error_of_our_own_is_reported_as_one(say: Say, fake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise ZeroDivisionError("our fault")

    monkeypatch.setattr(judging, "judge_all", broken)
    said = say(*run_of(fake, "right"))
    assert said.code == 3
    assert "Traceback" in said.error
    assert said.error.endswith("gradagree: internal error, please report it: our fault\n")


def test_that_an_interrupted_run_ends_with_its_own_code_and_keeps_its_records(
    say: Say, fake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(self: Any, record: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gradagree.report.console.Progress.__call__", interrupt)
    said = say(*run_of(fake, "right"))
    assert said.code == 130
    assert "Traceback" not in said.error
    assert len(list(read_records(Path("results")))) == 1
    assert read_meta(Path("results"))["seconds"] > 0


def test_that_an_interrupt_before_the_run_begins_ends_with_its_own_code(
    say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(campaign, "prepare", interrupt)
    said = say("run")
    assert (said.code, said.error.strip()) == (130, "gradagree: interrupted")


def test_that_a_cluster_without_dask_is_answered_with_what_to_install(
    say: Say, fake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    said = say(*run_of(fake, "right"), "--scheduler", "tcp://127.0.0.1:1")
    assert said.code == 2
    assert said.error == "gradagree: --scheduler needs dask.distributed: pip install 'gradagree[dask]'\n"
