"""Nothing that a file says or links to leads what is written elsewhere."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import msgspec
import pytest

from gradagree.checker.verdict import Record
from gradagree.errors import UsageError
from gradagree.report import write_reports
from gradagree.runner.results import Journal

FIELDS = [name for name in Record.__struct_fields__ if name not in ("verdict", "slopes", "schema", "index")]
HOSTILE = [
    "../../../outside",
    "/outside",
    "..",
    "\0",
    "x" * 5000,
    "a\nb",
    "\x1b[2J",
    "<script>",
    "$(touch outside)",
    "%2e%2e",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_that_no_text_in_results_leads_what_is_written_elsewhere(text: str, results: Path, tmp_path: Path) -> None:
    line = json.loads((results / "results.jsonl").read_bytes().splitlines()[0])
    hostile = [{**line, name: text} for name in FIELDS if isinstance(line.get(name), str)]
    (results / "results.jsonl").write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in hostile))
    meta = json.loads((results / "meta.json").read_text())
    meta = {**meta, "command": text, "started": text, "shard": text, "frameworks": {text: {"version": text}}}
    (results / "meta.json").write_text(json.dumps({**meta, "extensions": [text], "options": {text: text}}))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    write_reports(tmp_path / "out", sources=[results])
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    made = {path.relative_to(tmp_path / "out").as_posix() for path in set(after) - set(before)}
    assert made == {"report.md", "report.html", "junit.xml"}
    assert {path: after[path] for path in before} == before


@pytest.mark.parametrize("name", ["report.md.part", "report.md", "meta.json.part"])
def test_that_no_link_in_a_folder_leads_what_is_written_elsewhere(name: str, results: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious")
    (results / name).symlink_to(precious)
    with contextlib.suppress(UsageError):
        write_reports(results)
    assert precious.read_text() == "precious"


@pytest.mark.parametrize("name", ["results.jsonl", "run.lock"])
def test_that_no_link_leads_a_run_that_goes_on_elsewhere(name: str, results: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious")
    (results / name).unlink(missing_ok=True)
    (results / name).symlink_to(precious)
    with pytest.raises(UsageError, match=r"^cannot write "):
        Journal(results, resume=True)
    assert precious.read_text() == "precious"
