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
from gradagree.errors import UsageError
from gradagree.report import summarize, write_reports
from gradagree.report.provenance import merged_meta, records_of
from gradagree.runner import campaign
from gradagree.runner.options import Plan
from gradagree.runner.results import Journal

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


CASES, SHARDS = 60, 3
RunShard = Callable[..., Path]


def record_of(index: int, spec: str, dtype: str) -> Record:
    """A record that depends on the case alone; slopes at the kink differ between odd and even ones."""
    verdict = Verdict.DISAGREE if index % 7 == 0 else Verdict.AGREE
    return Record(
        index=index, case=f"{index:06d}", spec=spec, sha256="0" * 64, framework="torch", version="2", mode="backward",
        dtype=dtype, verdict=verdict, ratio=index / 100, sharpness=1e-7, share=1.0, function="tanh",
        slopes={"relu:0": ["left" if (index // 32) % 2 else "right"]},
    )  # fmt: skip


@pytest.fixture
def run_shard(tmp_path: Path) -> RunShard:
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
                record = record_of(index, case.spec, case.dtype)
                record = record if bent else msgspec.structs.replace(record, slopes={})
                conventions.see(record)
                journal.append(record)
            for record in conventions.findings():
                journal.append(record)
        return folder

    return made


def joined(folders: list[Path]) -> list[bytes]:
    return sorted(msgspec.json.encode(record) for record in records_of(folders))


def shards_of(run_shard: RunShard) -> list[Path]:
    return [run_shard(f"shard-{k}", f"{k}/{SHARDS}") for k in range(1, SHARDS + 1)]


def test_that_shards_joined_hold_the_records_of_the_whole(run_shard: RunShard) -> None:
    shards, whole = shards_of(run_shard), run_shard("whole")
    assert joined(shards) == joined([whole])
    assert sum(CONVENTION in str(line) for line in joined([whole])) == 1


def test_that_the_report_of_all_shards_is_that_of_the_whole_but_for_provenance(
    run_shard: RunShard, tmp_path: Path
) -> None:
    for name, folders in (("a", shards_of(run_shard)), ("b", [run_shard("whole")])):
        write_reports(tmp_path / name, sources=folders)
    texts = ((tmp_path / name / "report.md").read_text().splitlines() for name in "ab")
    one, other = ([line for line in text if not line.startswith("| started |")] for text in texts)
    assert [line for line in one if line not in other] == ["| seconds | `3.0` |", "| shards | `1/3, 2/3, 3/3` |"]
    assert [line for line in other if line not in one] == ["| seconds | `1.0` |"]


def test_that_a_gap_is_missing_records_and_named(run_shard: RunShard, tmp_path: Path) -> None:
    first, last = (run_shard(f"shard-{k}", f"{k}/{SHARDS}", bent=False) for k in (1, 3))
    summary = write_reports(tmp_path / "joined", sources=[first, last])
    missing = Plan.make(cases=CASES, frameworks="torch", modes="backward", shard="2/3").counts()
    assert summary.missing == missing
    assert "the run is incomplete" in summary.sentence
    assert "| shards | `1/3, 3/3; missing: 2/3` |" in (tmp_path / "joined" / "report.md").read_text()


def test_that_an_overlap_counts_once_and_is_named(run_shard: RunShard, tmp_path: Path) -> None:
    shards = shards_of(run_shard)
    shutil.copytree(shards[1], tmp_path / "again")
    summary = write_reports(tmp_path / "joined", sources=[*shards, tmp_path / "again"])
    assert summary.total == len(joined([run_shard("whole")]))
    assert summary.missing == {}
    assert "| shards | `1/3, 2/3 twice, 3/3` |" in (tmp_path / "joined" / "report.md").read_text()


def test_that_shards_of_different_cuts_may_overlap(run_shard: RunShard, tmp_path: Path) -> None:
    folders = [run_shard("half", "1/2"), run_shard("other half", "2/2"), run_shard("third", "1/3")]
    assert joined(folders) == joined([run_shard("whole")])


def test_that_shards_of_another_run_are_no_part_of_it(run_shard: RunShard) -> None:
    folders = [run_shard("a1", "1/2"), run_shard("a2", "2/2"), run_shard("b1", "1/2", seed=9)]
    metas = [json.loads((folder / "meta.json").read_text()) for folder in folders]
    merged = merged_meta(metas)
    assert [run.get("shards") or run.get("shard") for run in merged["runs"]] == ["1/2, 2/2", "1/2"]


def test_that_one_shard_alone_is_reported_as_it_is(run_shard: RunShard, capsys: pytest.CaptureFixture[str]) -> None:
    assert code(["report", str(run_shard("one", "1/2"))]) == 1
    assert "incomplete" not in capsys.readouterr().out
