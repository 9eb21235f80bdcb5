"""The findings of a results folder, each with a smaller case."""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path
from typing import Any

import pytest

from gradagree.adapters import Adapter
from gradagree.cases.case import Case
from gradagree.checker.verdict import plain
from gradagree.runner.extensions import load
from gradagree.shrink import can_shrink, read_small, shrink_findings

FAKE = Path(__file__).parents[1] / "numpy_fake.py"
SECONDS = 20.0
pytestmark = pytest.mark.skipif(importlib.util.find_spec("hypothesis") is None, reason="Hypothesis is not installed")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, list[str]]:
    """A run of a framework with a wrong mode and a mode that raises, and its extensions."""
    from gradagree.runner.campaign import execute
    from gradagree.runner.options import Plan

    monkeypatch.setattr(Adapter, "catalogue", dict(Adapter.catalogue))
    copy = tmp_path / "numpy_fake.py"
    copy.write_text(FAKE.read_text())
    load([str(copy)])
    cases = [Case.parse(f"3-4b-2:id,tanh*2:cross_entropy:n5:f64:ordinary:s{seed}") for seed in range(2)]
    plan = Plan.of(cases, "numpy_fake", "right,wrong,raises")
    execute(plan, tmp_path / "run", extensions=[str(copy)], workers=1)
    return tmp_path / "run", [str(copy)]


def test_that_each_cause_of_a_run_gets_a_small_case(folder: tuple[Path, list[str]]) -> None:
    path, extensions = folder
    made = shrink_findings(path, 4 * SECONDS, extensions)
    small = read_small([path])
    assert made == len(small) >= 2
    assert {one.record.mode for one in small.values()} == {"wrong", "raises"}
    for cause, one in small.items():
        assert (one.record.verdict, one.record.framework) == (cause.verdict, cause.framework)
        assert (path / "cases" / f"{one.record.sha256[:12]}.f64.json").exists()
        assert plain(one.arrays["inputs"]["values"][0]) in (-1, 0, 1)


def test_that_the_time_limit_holds(folder: tuple[Path, list[str]]) -> None:
    path, extensions = folder
    started_at = time.monotonic()
    assert shrink_findings(path, 1e-9, extensions) == 0
    assert time.monotonic() - started_at < SECONDS
    assert read_small([path]) == {}


def test_that_without_hypothesis_a_message_says_what_to_install(
    folder: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert can_shrink()
    monkeypatch.setattr("gradagree.shrink.results.can_shrink", lambda: False)
    messages: list[str] = []
    assert shrink_findings(folder[0], SECONDS, folder[1], messages.append) == 0
    assert messages == ["findings are not shrunk, because Hypothesis is not installed: pip install 'gradagree[shrink]'"]


def test_that_damaged_lines_are_skipped(tmp_path: Path) -> None:
    (tmp_path / "shrunk.jsonl").write_bytes(b"{}\n\xff\nnonsense\n")
    assert read_small([tmp_path, tmp_path / "none"]) == {}


def test_that_an_error_in_shrinking_becomes_a_message(
    folder: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("gradagree.shrink.results.shrink", broken)
    messages: list[str] = []
    assert shrink_findings(folder[0], SECONDS, folder[1], messages.append) == 0
    assert all("cannot be shrunk: ZeroDivisionError: oh" in line for line in messages)
    assert messages
