"""Causes of findings, and the smallest case of each."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gradagree.cases.case import Case
from gradagree.checker.verdict import Record, Verdict
from gradagree.report import summarize, write_reports
from gradagree.report.findings import Small, array_texts, cause_of, read_small, write_small
from gradagree.report.html import page
from gradagree.report.markdown import document

HOSTILE = ("<img src=x onerror=alert(1)>", "\"'><script>alert(1)</script>", 'it\'s "quoted"', "\x1b[31m\n")
SPEC = "10-4-1:id,tanh:sse:n8:f64:grid:s7"


def record(spec: str, box: Any, **changes: Any) -> Record:
    plain: dict[str, Any] = {"case": "1", "spec": spec, "sha256": "", "framework": "f", "version": "1", "mode": "m"}
    found = {"verdict": Verdict.DISAGREE, "function": "tanh", "entry": "dw[0,0]", "box": box, "ratio": 2.0}
    return Record(**(plain | {"dtype": "float64"} | found | changes))


@pytest.fixture
def folder(tmp_path: Path, run_folder: Callable[..., Path]) -> Path:
    """A run with one finding and its small case."""
    where = run_folder(tmp_path / "run", [record(SPEC, 2)], {})
    case = Case.parse("1-1:tanh:sse:n1:f64:grid:s7")
    small = Case.of(case, case.arrays())
    told = record(small.spec, 1, sha256=small.arrays().sha256, expected="0x1p-1", observed="0x1p-2", tolerance="0x1p-9")
    write_small(where, [(cause_of(record(SPEC, 2)), SPEC, small, told)])
    return where


def test_that_reports_show_the_smallest_case_with_its_numbers_and_the_command(folder: Path) -> None:
    write_reports(folder)
    (small,) = read_small([folder]).values()
    for name in ("report.html", "report.md"):
        text = re.sub(r"&#(\d+);", lambda found: chr(int(found[1])), (folder / name).read_text())
        assert "The smallest case that fails in the same way" in text
        assert small.record.spec in text
        assert all(inside in text for _, inside in array_texts(small))
        assert small.command in text
    assert (folder / small.file).exists()


def test_that_a_small_case_of_another_cause_is_not_shown(folder: Path, tmp_path: Path, run_folder: Any) -> None:
    other = run_folder(tmp_path / "other", [record(SPEC, 2, function="id")], {})
    (folder / "shrunk.jsonl").rename(other / "shrunk.jsonl")
    write_reports(other)
    assert "The smallest case" not in (other / "report.html").read_text()


def test_that_no_small_cases_leave_no_file(folder: Path) -> None:
    write_small(folder, [])
    assert not (folder / "shrunk.jsonl").exists()


@pytest.mark.parametrize("name", HOSTILE)
def test_that_a_hostile_small_case_stays_text(name: str) -> None:
    finding = record(SPEC, 2)
    summary = summarize({}, [finding])
    tame = set(re.findall(r"<(\w+)", page(summary)))
    arrays = {name: {"shape": [1], "values": [name, "0x1p+0"]}, "w1": {"values": name}, "x": {"shape": name}}
    told = msgspec.structs.replace(finding, spec=name, framework=name, mode=name, entry=name, expected=name)
    summary.small = {cause_of(finding): Small(cause_of(finding), name, told, arrays)}
    assert set(re.findall(r"<(\w+)", page(summary))) - tame <= {"div", "dl", "dt", "dd", "span"}
    prose = re.sub(r"\n```sh\n[^\n]*\n```", "", document(summary))
    assert "<img" not in prose
    assert "<script" not in prose


def test_that_many_numbers_are_counted() -> None:
    values = ["0x1p+0"] * 50
    small = Small(cause_of(record(SPEC, 2)), "", record(SPEC, 2), {"w1": {"shape": [5, 10], "values": values}})
    assert array_texts(small) == [("w1", "50 numbers")]


def test_that_of_many_small_arrays_the_numbers_are_counted_too() -> None:
    array = {"shape": [4], "values": ["0x1p+0"] * 4}
    few, many = ({f"w{k}": array for k in range(n)} for n in (50, 51))
    texts = [dict(array_texts(Small(cause_of(record(SPEC, 2)), "", record(SPEC, 2), one))) for one in (few, many)]
    assert [set(one.values()) for one in texts] == [{"[1, 1, 1, 1]"}, {"4 numbers"}]
