"""Shards joined are the run that they are of; what is missing or there twice is told."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gradagree.checker.conventions import Conventions
from gradagree.checker.verdict import CONVENTION, Record, Verdict
from gradagree.cli.main import code
from gradagree.report import write_reports
from gradagree.report.provenance import merged_meta, records_of
from gradagree.runner import campaign
from gradagree.runner.options import Plan
from gradagree.runner.results import Journal

CASES, SHARDS = 60, 3
Make = Callable[..., Path]


def judged(index: int, spec: str, dtype: str) -> Record:
    """A record that depends on the case alone; slopes at the kink differ between odd and even ones."""
    verdict = Verdict.DISAGREE if index % 7 == 0 else Verdict.AGREE
    return Record(
        index=index, case=f"{index:06d}", spec=spec, sha256="0" * 64, framework="torch", version="2", mode="backward",
        dtype=dtype, verdict=verdict, ratio=index / 100, sharpness=1e-7, share=1.0, function="tanh",
        slopes={"relu:0": ["left" if (index // 32) % 2 else "right"]},
    )  # fmt: skip


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A function that writes the results folder of a shard, or of the whole."""

    def made(name: str, shard: str | None = None, bent: bool = True, **options: Any) -> Path:
        plan = Plan.make(**{
            "cases": CASES, "frameworks": "torch", "modes": "backward", "activations": "relu", "errors": "sse",
            "shard": shard, **options,
        })  # fmt: skip
        conventions, folder = Conventions(), tmp_path / name
        with Journal(folder) as journal:
            journal.write_meta({**campaign._meta(plan, "gradagree run", False, []), "seconds": 1.0})
            for index, case in plan.draw_cases():
                record = judged(index, case.spec, case.dtype)
                record = record if bent else msgspec.structs.replace(record, slopes={})
                conventions.see(record)
                journal.append(record)
            for record in conventions.findings():
                journal.append(record)
        return folder

    return made


def joined(folders: list[Path]) -> list[bytes]:
    return sorted(msgspec.json.encode(record) for record in records_of(folders))


def shards_of(make: Make) -> list[Path]:
    return [make(f"shard-{k}", f"{k}/{SHARDS}") for k in range(1, SHARDS + 1)]


def test_that_shards_joined_hold_the_records_of_the_whole(make: Make) -> None:
    shards, whole = shards_of(make), make("whole")
    assert joined(shards) == joined([whole])
    assert sum(CONVENTION in str(line) for line in joined([whole])) == 1


def test_that_the_report_of_all_shards_is_that_of_the_whole_but_for_provenance(make: Make, tmp_path: Path) -> None:
    for name, folders in (("a", shards_of(make)), ("b", [make("whole")])):
        write_reports(tmp_path / name, sources=folders)
    texts = ((tmp_path / name / "report.md").read_text().splitlines() for name in "ab")
    one, other = ([line for line in text if not line.startswith("| started |")] for text in texts)
    assert [line for line in one if line not in other] == ["| seconds | `3.0` |", "| shards | `1/3, 2/3, 3/3` |"]
    assert [line for line in other if line not in one] == ["| seconds | `1.0` |"]


def test_that_a_gap_is_missing_records_and_named(make: Make, tmp_path: Path) -> None:
    first, last = (make(f"shard-{k}", f"{k}/{SHARDS}", bent=False) for k in (1, 3))
    summary = write_reports(tmp_path / "joined", sources=[first, last])
    missing = Plan.make(cases=CASES, frameworks="torch", modes="backward", shard="2/3").counts()
    assert summary.missing == missing
    assert "the run is incomplete" in summary.sentence
    assert "| shards | `1/3, 3/3; missing: 2/3` |" in (tmp_path / "joined" / "report.md").read_text()


def test_that_an_overlap_counts_once_and_is_named(make: Make, tmp_path: Path) -> None:
    shards = shards_of(make)
    shutil.copytree(shards[1], tmp_path / "again")
    summary = write_reports(tmp_path / "joined", sources=[*shards, tmp_path / "again"])
    assert summary.total == len(joined([make("whole")]))
    assert summary.missing == {}
    assert "| shards | `1/3, 2/3 twice, 3/3` |" in (tmp_path / "joined" / "report.md").read_text()


def test_that_shards_of_different_cuts_may_overlap(make: Make, tmp_path: Path) -> None:
    folders = [make("half", "1/2"), make("other half", "2/2"), make("third", "1/3")]
    assert joined(folders) == joined([make("whole")])


def test_that_shards_of_another_run_are_no_part_of_it(make: Make) -> None:
    folders = [make("a1", "1/2"), make("a2", "2/2"), make("b1", "1/2", seed=9)]
    metas = [json.loads((folder / "meta.json").read_text()) for folder in folders]
    merged = merged_meta(metas)
    assert [run.get("shards") or run.get("shard") for run in merged["runs"]] == ["1/2, 2/2", "1/2"]


def test_that_one_shard_alone_is_reported_as_it_is(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    assert code(["report", str(make("one", "1/2"))]) == 1
    assert "incomplete" not in capsys.readouterr().out
