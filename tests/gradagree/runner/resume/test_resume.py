"""A run that is stopped anywhere and resumed has the same records as an uninterrupted one."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gradagree.checker import judge as judging
from gradagree.checker.verdict import Record, Verdict
from gradagree.runner.campaign import resume_plan
from gradagree.runner.results import read_meta


def test_that_a_run_cut_off_at_any_byte_ends_with_the_same_records(runs: Any, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    runs.execute(runs.planned(2), folder)
    complete, content = runs.kept(folder), (folder / "results.jsonl").read_bytes()
    assert len(complete) == 6
    ends = [i for i, byte in enumerate(content, 1) if byte == ord("\n")]
    near = {length for end in ends for length in range(end - 2, end + 3) if 0 <= length <= len(content)}
    for length in sorted({*near, *range(0, len(content), 97)}):
        (folder / "results.jsonl").write_bytes(content[:length])
        assert runs.resume(folder) is False
        assert runs.kept(folder) == complete, length


@pytest.mark.parametrize("tail", [b"\0" * 500, b'{"schema"', b"\xff\xfe", b'{"case": "\0\0'])
def test_that_an_incomplete_last_line_is_dropped(tail: bytes, runs: Any, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    runs.execute(runs.planned(2), folder)
    complete, path = runs.kept(folder), folder / "results.jsonl"
    first = path.read_bytes().splitlines(keepends=True)[0]
    path.write_bytes(first + tail)
    runs.resume(folder)
    assert runs.kept(folder) == complete


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_that_a_run_stopped_again_and_again_ends_with_the_same_records(seed: int, runs: Any, tmp_path: Path) -> None:
    plan, dice = runs.planned(25), random.Random(seed)
    runs.execute(plan, tmp_path / "complete", workers=2)
    folder = tmp_path / "stopped"
    runs.stopped_after(1, folder, plan)
    sizes = [len(runs.kept(folder))]
    while len(runs.kept(folder)) < len(runs.kept(tmp_path / "complete")):
        stop, left = threading.Event(), [dice.randint(1, 20)]

        def progress(record: Record, stop: threading.Event = stop, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] <= 0:
                stop.set()

        runs.resume(folder, progress=progress, draining=stop)
        sizes.append(len(runs.kept(folder)))
    assert len(sizes) > 2
    assert runs.kept(folder) == runs.kept(tmp_path / "complete")


def test_that_no_case_is_computed_again(runs: Any, tmp_path: Path) -> None:
    plan = runs.planned(10)
    runs.stopped_after(7, tmp_path, plan)
    before, again = runs.kept(tmp_path), []
    runs.resume(tmp_path, progress=again.append)
    assert {(r.index, r.mode) for r in again} & {(r.index, r.mode) for r in before} == set()
    assert len(before) + len(again) == sum(plan.counts().values())


def test_that_a_finding_from_all_records_is_reported_once(
    runs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge_all = judging.judge_all

    def left_or_right(requests: Any) -> Iterator[Record]:
        for record in judge_all(requests):
            side = "left" if record.index % 2 else "right"
            yield msgspec.structs.replace(record, slopes={"bent:0": [side]})

    monkeypatch.setattr(judging, "judge_all", left_or_right)
    plan = runs.planned(12, modes="right")
    runs.execute(plan, tmp_path / "complete")
    runs.stopped_after(5, tmp_path / "stopped", plan)
    assert [r.spec for r in runs.kept(tmp_path / "stopped")].count("convention:bent:0") == 1
    runs.resume(tmp_path / "stopped")
    assert runs.kept(tmp_path / "stopped") == runs.kept(tmp_path / "complete")
    (finding,) = (r for r in runs.kept(tmp_path / "complete") if r.spec.startswith("convention:"))
    assert finding.verdict is Verdict.DISAGREE


def test_that_a_shard_is_resumed_as_the_same_shard(runs: Any, tmp_path: Path) -> None:
    plan = runs.planned(40, shard="2/3", regimes="grid")
    runs.execute(plan, tmp_path / "complete", strict=True)
    runs.stopped_after(4, tmp_path / "stopped", plan)
    plan_again, _ = resume_plan(tmp_path / "stopped", [runs.file])
    assert plan_again == plan
    runs.resume(tmp_path / "stopped")
    assert runs.kept(tmp_path / "stopped") == runs.kept(tmp_path / "complete")


def test_that_seconds_add_up_and_meta_keeps_its_command(runs: Any, tmp_path: Path) -> None:
    runs.stopped_after(3, tmp_path, runs.planned(4))
    meta = json.loads((tmp_path / "meta.json").read_text())
    (tmp_path / "meta.json").write_text(json.dumps({**meta, "seconds": 1000.0, "command": "the first"}))
    runs.resume(tmp_path)
    assert read_meta(tmp_path)["seconds"] > 1000
    assert read_meta(tmp_path)["command"] == "the first"
