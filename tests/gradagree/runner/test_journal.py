"""What is written stays: records as they come, earlier runs beside them, and no file half written."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, strategies as st

from gradagree.checker.verdict import Record, Verdict
from gradagree.errors import UsageError
from gradagree.runner import results as journal
from gradagree.runner.results import Journal, read_meta, read_records

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


def record(index: int = 0, **fields: Any) -> Record:
    defaults = {
        "case": "000001",
        "spec": "1-1:id:sse:n1:f64:grid:s1",
        "sha256": "0" * 64,
        "framework": "f",
        "version": "1",
    }
    return Record(**{**defaults, "index": index, "mode": "m", "dtype": "float64", "verdict": Verdict.AGREE, **fields})


def written(folder: Path, count: int = 3) -> list[Record]:
    """A results folder with so many records."""
    records = [record(index) for index in range(count)]
    with Journal(folder) as open_journal:
        open_journal.write_meta({"cases": count})
        for one in records:
            open_journal.append(one)
    return records


def complaint(function: Callable[[], Any]) -> str:
    with pytest.raises(UsageError) as caught:
        function()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@given(
    st.builds(
        record, index=st.integers(0), verdict=st.sampled_from(Verdict), reason=TEXTS, spec=TEXTS, seconds=NUMBERS,
        ratio=st.none() | NUMBERS | st.sampled_from(["nan", "inf"]), box=st.none() | st.integers() | st.just("error"),
        expected=st.none() | NUMBERS.map(float.hex),
    )
)  # fmt: skip
def test_that_a_record_is_read_as_it_was_written(one: Record) -> None:
    line = msgspec.json.encode(one)
    assert b"\n" not in line
    assert journal._decoder.decode(line) == one


def test_that_records_come_back_in_their_order(tmp_path: Path) -> None:
    records = written(tmp_path / "new" / "folder", 5)
    assert list(read_records(tmp_path / "new" / "folder")) == records
    assert read_meta(tmp_path / "new" / "folder") == {"cases": 5}


def test_that_a_record_can_be_read_while_the_run_goes_on(tmp_path: Path) -> None:
    with Journal(tmp_path) as open_journal:
        for index in range(3):
            open_journal.append(record(index))
            assert [one.index for one in read_records(tmp_path)] == list(range(index + 1))


@pytest.mark.parametrize("torn", [1, 10, 100])
def test_that_a_torn_last_line_is_left_out(tmp_path: Path, torn: int) -> None:
    records = written(tmp_path)
    path = tmp_path / "results.jsonl"
    os.truncate(path, path.stat().st_size - torn)
    assert list(read_records(tmp_path)) == records[:-1]


def test_that_an_empty_results_file_has_no_records(tmp_path: Path) -> None:
    written(tmp_path, 0)
    assert list(read_records(tmp_path)) == []


DAMAGES = {
    "empty": b"", "text": b"hello", "array": b"[1, 2]", "no fields": b"{}", "bytes": b"\xff\xfe\0",
    "nested": b"[" * 10**6, "nested objects": b'{"a":' * 10**6, "cut": msgspec.json.encode(record())[:40],
    "verdict": msgspec.json.encode(record()).replace(b"agree", b"agre"),
    "bad text": msgspec.json.encode(record(reason="?")).replace(b'"?"', b'"\xff"'),
    "infinite": msgspec.json.encode(record(seconds=0.5)).replace(b"0.5", b"1e999"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_that_a_damaged_line_is_named(tmp_path: Path, damage: str) -> None:
    records = written(tmp_path)
    path = tmp_path / "results.jsonl"
    path.write_bytes(path.read_bytes() + DAMAGES[damage] + b"\n" + msgspec.json.encode(record(9)) + b"\n")
    read = read_records(tmp_path)
    assert [next(read) for _ in records] == records
    assert complaint(lambda: next(read)).startswith(f"{path}, line 4 is not a record: ")


def test_that_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    assert complaint(lambda: list(read_records(tmp_path))).startswith(
        f"{tmp_path} is not a results folder: results.jsonl: "
    )
    assert complaint(lambda: read_meta(tmp_path)) == f"{tmp_path} is not a results folder: it has no meta.json"


@pytest.mark.parametrize("text", [b"", b"[]", b"3", b"{", b"\xff", b"[" * 10**6, b'{"a":' * 10**6])
def test_that_a_damaged_meta_file_is_refused(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "meta.json").write_bytes(text)
    assert complaint(lambda: read_meta(tmp_path)).startswith(f"{tmp_path / 'meta.json'} cannot be read: ")


def test_that_earlier_runs_are_kept_with_their_files(tmp_path: Path) -> None:
    for run in range(3):
        written(tmp_path, run + 1)
        (tmp_path / "report.md").write_text(f"run {run}")
    (tmp_path / "junit.xml").write_text("<testsuites/>")
    assert len(list(read_records(tmp_path))) == 3
    for run in range(2):
        kept = tmp_path / f"earlier-{run + 1}"
        assert len(list(read_records(kept))) == read_meta(kept)["cases"] == run + 1
        assert (kept / "report.md").read_text() == f"run {run}"
    assert not (tmp_path / "earlier-3").exists()


def test_that_an_earlier_run_keeps_its_name_when_another_is_taken(tmp_path: Path) -> None:
    (tmp_path / "earlier-1").mkdir()
    for run in range(2):
        written(tmp_path, run + 1)
    assert not list((tmp_path / "earlier-1").iterdir())
    assert len(list(read_records(tmp_path / "earlier-2"))) == 1


def test_that_files_of_others_stay_where_they_are(tmp_path: Path) -> None:
    written(tmp_path)
    (tmp_path / "thesis.tex").write_text("precious")
    (tmp_path / "src").mkdir()
    written(tmp_path)
    assert (tmp_path / "thesis.tex").exists()
    assert (tmp_path / "src").is_dir()


@pytest.mark.parametrize("place", ["file", "file/below", "n" * 300])
def test_that_a_folder_that_cannot_be_written_is_refused_with_advice(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("a regular file")
    message = complaint(lambda: Journal(tmp_path / place))
    assert message.startswith(f"cannot write {tmp_path / place}: ")
    assert message.endswith("; choose another folder with --out")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no disk that is always full")
def test_that_a_full_disk_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "results.jsonl").symlink_to("/dev/full")

    def write() -> None:
        with Journal(tmp_path) as full:
            full.append(record())

    assert complaint(write).startswith(f"cannot write {tmp_path}: No space left on device; ")


def test_that_meta_is_the_old_or_the_new_one_whatever_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_journal = Journal(tmp_path)
    open_journal.write_meta({"seconds": 1})

    def full_disk(path: Path, text: str, **_: Any) -> None:
        with path.open("w") as file:
            file.write(text[: len(text) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full_disk)
    assert "No space left on device" in complaint(lambda: open_journal.write_meta({"seconds": 2}))
    open_journal.close()
    assert read_meta(tmp_path) == {"seconds": 1}


def test_that_meta_leaves_no_other_file_behind(tmp_path: Path) -> None:
    written(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"meta.json", "results.jsonl"}
    assert json.loads((tmp_path / "meta.json").read_text()) == {"cases": 3}
