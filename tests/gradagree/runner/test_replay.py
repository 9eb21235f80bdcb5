"""One case again: how it is found, and what is shown of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from gradagree.adapters import Adapter
from gradagree.cases.case import Case
from gradagree.cases.file import write_case
from gradagree.checker.verdict import Record, Verdict
from gradagree.errors import UsageError
from gradagree.report.console import print_replay
from gradagree.runner.extensions import load
from gradagree.runner.options import Plan
from gradagree.runner.replay import ReplayResult, find_case, replay
from gradagree.runner.results import Journal

FAKE = Path(__file__).parents[1] / "numpy_fake.py"
CASES = [Case.parse(f"3-4b-2:id,tanh*2:cross_entropy:n5:f64:ordinary:s{seed}") for seed in range(3)]


@pytest.fixture(autouse=True)
def a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Adapter, "catalogue", dict(Adapter.catalogue))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def fake(tmp_path: Path) -> str:
    """The file of the frameworks in NumPy, loaded."""
    copy = tmp_path / "numpy_fake.py"
    copy.write_text(FAKE.read_text())
    load([str(copy)])
    return str(copy)


def record(case: Case, alias: str) -> Record:
    description = {"case": alias, "spec": case.spec, "sha256": "", "framework": "f", "version": "1", "mode": "m"}
    return Record(**description, dtype=case.dtype, verdict=Verdict.AGREE)


def results(folder: Path, cases: list[Case]) -> Path:
    with Journal(folder) as journal:
        for case in cases:
            journal.append(record(case, case.alias))
    return folder


def complaint(text: str, folder: Path | None = None) -> str:
    with pytest.raises(UsageError) as caught:
        find_case(text, folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_that_a_text_stands_for_its_case() -> None:
    assert find_case(CASES[1].spec) == CASES[1]


def test_that_a_file_stands_for_the_case_in_it() -> None:
    write_case(CASES[1], Path("case.json"))
    assert find_case("case.json").arrays().sha256 == CASES[1].arrays().sha256
    assert find_case(str(Path("case.json").resolve())) == find_case("case.json")


def test_that_an_alias_stands_for_a_case_of_the_folder_that_is_named() -> None:
    results(Path("one"), CASES[:2])
    assert find_case(CASES[1].alias, Path("one")) == CASES[1]
    assert (
        complaint(CASES[2].alias, Path("one"))
        == f"no case {CASES[2].alias} in one; name another results folder with --dir"
    )


def test_that_an_alias_that_two_cases_share_is_refused() -> None:
    with Journal(Path("one")) as journal:
        for case in CASES[:2]:
            journal.append(record(case, "123456"))
    complaint("123456", Path("one"))


def test_that_without_a_folder_the_newest_run_is_searched_and_the_current_folder_before_it() -> None:
    for place, case in enumerate(CASES[:2]):
        file = results(Path("reports") / f"run-{1 - place}", [case]) / "results.jsonl"
        os.utime(file, (1000 + place, 1000 + place))
    assert find_case(CASES[1].alias) == CASES[1]
    assert "no case" in complaint(CASES[0].alias)
    results(Path(), [CASES[2]])
    assert find_case(CASES[2].alias) == CASES[2]
    assert "no case" in complaint(CASES[1].alias)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "'' is not a case, a case file, or a six-digit alias"),
        ("nonsense", "'nonsense' is not a case, a case file, or a six-digit alias"),
        ("12345", "'12345' is not a case"),
        ("1234567", "'1234567' is not a case"),
        ("000000", "an alias needs a results folder; give it with --dir"),
        ("2-3:id", "'2-3:id' is no case: write WIDTHS:"),
        ("2-3:id:sse:n1:f64:grid:s1:", "'2-3:id:sse:n1:f64:grid:s1:' is no case: write WIDTHS:"),
        ("folder", "'folder' is not a case"),
        ("n" * 300, "'nnn"),
    ],
)
def test_that_a_text_that_names_no_case_is_refused(text: str, expected: str) -> None:
    Path("folder").mkdir()
    assert complaint(text).startswith(expected)


def replayed(fake: str, modes: str, frameworks: str = "numpy_fake") -> list[ReplayResult]:
    return list(replay(CASES[0], Plan.of(CASES[:1], frameworks, modes), [fake]))


def test_that_every_mode_is_shown_with_the_comparisons_behind_its_record(fake: str) -> None:
    shown = replayed(fake, "right,wrong,raises")
    assert [(one.record.mode, one.record.verdict) for one in shown] == [
        ("right", Verdict.AGREE), ("wrong", Verdict.DISAGREE), ("raises", Verdict.CRASHED),
    ]  # fmt: skip
    right, wrong, raises = shown
    # Forward, then the error box, then outwards; the last box has no weights, the first has biases.
    order = [(c.box, c.part) for c in right.comparisons]
    assert order == [
        (1, "c"), (2, "c"), (3, "c"), ("error", "E"), ("error", "delta_p"), (3, "delta_p"), (2, "delta_p"), (2, "dw"),
        (1, "delta_p"), (1, "dw"), (1, "db"),
    ]  # fmt: skip
    assert {(c.box, c.part) for c in wrong.comparisons if c.verdict.fails} == {(1, "dw")}
    assert not raises.comparisons


def test_that_a_framework_that_is_absent_is_shown_as_such(fake: str) -> None:
    (shown,) = replayed(fake, "right", "not_here")
    assert (shown.record.verdict, shown.comparisons) == (Verdict.ABSENT, ())


def test_that_arrays_of_a_file_are_those_that_the_framework_is_given(fake: str) -> None:
    arrays = CASES[0].arrays()
    arrays.inputs[0, 0] = 0.75
    case = Case.of(CASES[0], arrays)
    (shown,) = replay(case, Plan.of([case], "numpy_fake", "right"), [fake])
    assert (shown.record.verdict, shown.record.sha256) == (Verdict.AGREE, arrays.sha256)


def test_that_boxes_findings_and_reasons_are_printed(fake: str, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert print_replay(CASES[0], replayed(fake, "right,wrong,raises")) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == CASES[0].spec
    assert f"{CASES[0].size} weights, 5 examples, float64, sha256 {CASES[0].arrays().sha256[:16]}" in lines[1]
    text = "\n".join(lines)
    assert "numpy_fake" in text
    assert "dw[" in text
    assert "(proved)" in text
    assert "raised RuntimeError: expected scalar type Float" in text
    assert "None" not in text
    assert print_replay(CASES[0], replayed(fake, "right", "not_here")) == 5
    assert "not installed" in capsys.readouterr().out
