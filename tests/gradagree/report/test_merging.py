from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gradagree.checker.verdict import Record, Verdict
from gradagree.errors import UsageError
from gradagree.report import summarize, write_reports

Write = Callable[..., Path]


def test_that_shards_together_are_the_whole_run(
    tmp_path: Path, make: Callable[..., list[Record]], run_folder: Write, meta: dict[str, Any]
) -> None:
    records = make(cases=12, odd={Verdict.DISAGREE: 0.1})
    shards = [run_folder(tmp_path / f"{k}", records[k::3], meta | {"plan": {"jax:jit": 8}}) for k in range(3)]
    merged = write_reports(tmp_path / "merged", shards)
    whole = summarize({}, records)
    assert (merged.counts, merged.total) == (whole.counts, len(records))
    assert {f.cause: f.count for f in merged.findings} == {f.cause: f.count for f in whole.findings}
    assert not merged.missing
    assert {path.name for path in (tmp_path / "merged").iterdir()} == {"report.md", "report.html", "junit.xml"}


def test_that_identical_records_are_counted_once(
    tmp_path: Path, make: Callable[..., list[Record]], run_folder: Write
) -> None:
    records = make(cases=4)
    folders = [run_folder(tmp_path / "a", records), run_folder(tmp_path / "b", records[3:])]
    assert write_reports(tmp_path / "merged", folders).total == len(records)


def test_that_contradicting_folders_are_refused_by_name(
    tmp_path: Path, make: Callable[..., list[Record]], run_folder: Write
) -> None:
    records = make(cases=4)
    other = [msgspec.structs.replace(records[5], verdict=Verdict.DISAGREE)]
    folders = [run_folder(tmp_path / "a", records), run_folder(tmp_path / "b", other)]
    with pytest.raises(UsageError) as wrong:
        write_reports(tmp_path / "merged", folders)
    for name in (
        records[5].spec,
        f"{records[5].framework}:{records[5].mode}",
        "is agree in",
        "disagree in",
        str(folders[1]),
    ):
        assert name in str(wrong.value)
    assert not (tmp_path / "merged").exists()


def test_that_merged_plans_are_added_up(tmp_path: Path, make: Callable[..., list[Record]], run_folder: Write) -> None:
    folders = [run_folder(tmp_path / name, [], {"plan": {"jax:jit": 4}}) for name in "ab"]
    assert write_reports(tmp_path / "merged", folders).missing == {"jax:jit": 8}


def test_that_each_merged_run_keeps_its_command(tmp_path: Path, run_folder: Write) -> None:
    folders = [run_folder(tmp_path / name, [], {"command": f"gradagree run --shard {name}"}) for name in "ab"]
    write_reports(tmp_path / "merged", folders)
    for report in ("report.html", "report.md"):
        written = (tmp_path / "merged" / report).read_text(encoding="utf-8")
        assert all(f"gradagree run --shard {name}" in written for name in "ab")


def test_that_a_framework_is_installed_if_it_was_in_any_run(tmp_path: Path, run_folder: Write) -> None:
    metas = [{"frameworks": {"jax": {"installed": installed, "version": "1"}}} for installed in (False, True)]
    folders = [run_folder(tmp_path / str(k), [], one) for k, one in enumerate(metas)]
    assert write_reports(tmp_path / "merged", folders).frameworks["jax"]["installed"] is True


def test_that_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a results folder"):
        write_reports(tmp_path)
