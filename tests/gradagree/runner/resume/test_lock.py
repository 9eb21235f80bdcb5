"""Only one run at a time writes to a folder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from gradagree.checker.verdict import Record
from gradagree.errors import UsageError


def test_that_two_runs_into_one_folder_are_refused(runs: Any, tmp_path: Path) -> None:
    messages: list[str] = []
    plan = runs.planned(2)

    def progress(record: Record) -> None:
        for resume in (False, True):
            with pytest.raises(UsageError) as caught:
                runs.execute(plan, tmp_path, resume=resume)
            messages.append(str(caught.value))

    runs.execute(plan, tmp_path, progress=progress)
    assert {*messages} == {f"{tmp_path} is being written by process {os.getpid()}: wait, or choose another --out"}
    assert len(runs.kept(tmp_path)) == 6
    assert not list(tmp_path.glob("earlier-*"))
    assert not (tmp_path / "run.lock").exists()


def test_that_a_lock_that_a_dead_process_left_is_taken_over(runs: Any, tmp_path: Path) -> None:
    (tmp_path / "run.lock").write_text("1\n")
    runs.execute(runs.planned(2), tmp_path)
    assert len(runs.kept(tmp_path)) == 6


def test_that_a_folder_removed_during_the_run_is_reported(runs: Any, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with pytest.raises(UsageError, match=r"^cannot write |was removed during the run"):
        runs.execute(
            runs.planned(40), folder,
            progress=lambda record: shutil.rmtree(folder, ignore_errors=True),
        )  # fmt: skip
