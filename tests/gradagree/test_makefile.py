"""The Makefile: its commands exist, and every published report has a target that makes it."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path

import click
import pytest

from gradagree.cli.main import commands

ROOT = Path(__file__).parents[2]
MADE = {
    "report-agreement": ("reports/agreement", "reports/baseline.jsonl"),
    "report-survey": ("reports/survey", "docs"), "report-detection": ("benchmarks.detection",),
    "report-speed": ("benchmarks.speed",),
}  # fmt: skip


def makefile() -> str:
    return (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")


def recipe(target: str) -> str:
    (found,) = re.findall(rf"^{target}:.*\n((?:\t.*\n)+)", makefile(), re.MULTILINE)
    return found


def typed() -> list[str]:
    return re.findall(r"\$\(BIN\)/gradagree ([^;|&\n]*)", makefile())


def test_that_every_command_exists_with_its_options() -> None:
    assert len(typed()) > 5
    for line in typed():
        name, *words = shlex.split(line.replace("$$", "$"))
        known = {option for parameter in commands.commands[name].params for option in parameter.opts}
        assert isinstance(commands.commands[name], click.Command)
        assert {word for word in words if word.startswith("--")} <= known, line


@pytest.mark.parametrize("target", MADE)
def test_that_a_published_report_is_made_by_its_target(target: str) -> None:
    made = recipe(target)
    assert all(thing in made for thing in MADE[target])
    for module in re.findall(r"-m (benchmarks\.\w+)", made):
        assert importlib.util.find_spec("benchmarks") is None or importlib.util.find_spec(f"{module}.__main__")
        assert (ROOT / module.replace(".", "/") / "__main__.py").exists()


def test_that_reports_are_all_of_them_and_each_says_how_long_it_takes() -> None:
    (whole,) = re.findall(r"^reports: (.*?)  ##", makefile(), re.MULTILINE)
    assert whole.split() == list(MADE)
    told = (ROOT / "reports" / "README.md").read_text(encoding="utf-8")
    assert [target for target in MADE if f"| `make {target}` |" not in told] == []


def test_that_whatever_is_published_is_made_by_one_of_them_or_written_by_hand() -> None:
    told = " ".join([*map(recipe, MADE), (ROOT / "reports" / "README.md").read_text(encoding="utf-8")])
    ignored = {path.name for path in (ROOT / "reports").glob("*-*")}
    published = {path.name for path in (ROOT / "reports").iterdir()} - ignored - {"README.md"}
    assert {name for name in published if name not in told} == set()


def test_that_every_target_without_a_file_is_declared_so() -> None:
    targets = set(re.findall(r"^([a-z][\w-]*):", makefile(), re.MULTILINE))
    (phony,) = re.findall(r"^\.PHONY: (.*)$", makefile(), re.MULTILINE)
    assert targets == set(phony.split())
