"""The campaign on correct gradients: parts that are resumed, accusations that are judged again, and their table."""

from __future__ import annotations

import json
import sys

import pytest

from benchmarks import architectures
from benchmarks.correct_gradients import FAMILIES, Campaign, Line, decoded, judge_again, merged, parts_of
from gradagree.cases.case import Case
from gradagree.checker.verdict import Verdict
from gradagree.reference.layer import Layer

pytest.importorskip("torch")
DTYPES = 4


@pytest.fixture(scope="module")
def campaign():
    return Campaign(["torch:backward", "torch:grad"], ["dense", "mixer"])


def test_a_part_that_was_stopped_in_the_middle_is_resumed_without_gaps(campaign, tmp_path):
    path = tmp_path / "part000003.jsonl"
    campaign.run(1000, 3, path, 2)
    whole = path.read_text()
    head, *lines = whole.splitlines()
    assert json.loads(head)["start"] == 3
    assert len(lines) == 2 * 2 * 2 * DTYPES
    path.write_text("\n".join([head, *lines[:-3], lines[-3][:20]]))  # it ended while it was writing
    campaign.run(1000, 3, path, 2)
    assert [decoded(line)[:6] for line in path.read_text().splitlines()[1:]] == [decoded(x)[:6] for x in lines]


def test_every_family_is_drawn_and_chains_are_judged_by_their_own_check(campaign):
    cases = {family: campaign.case(5, family, 1) for family in FAMILIES}
    assert len(cases) == 6
    assert isinstance(cases["dense"], Case)
    assert {case.dtype for case in cases.values()} == {"float32"}
    assert {line.family for line in campaign.lines(5)} == {"dense", "mixer"}


def test_the_table_counts_the_records_of_all_parts(campaign, tmp_path):
    for start in (0, 7):
        campaign.run(1000, start, tmp_path / f"part{start:06d}.jsonl", 1)
    found = merged(tmp_path)
    assert found["records"] == sum(part["records"] for part in found["parts"]) == 2 * 2 * 2 * DTYPES
    assert sum(sum(row["verdicts"].values()) for row in found["table"]) == found["records"]
    assert [part["start"] for part in found["parts"]] == [0, 7]


def test_an_accusation_is_kept_with_its_case_and_judged_again(tmp_path, monkeypatch):
    campaign = Campaign(["torch:backward"], ["mixer"])
    kind = type(Layer.named("flatten"))
    right = kind.torch
    monkeypatch.setattr(kind, "torch", lambda self, x, *, torch: right(self, x * 1.01, torch=torch))
    campaign.run(1000, 0, tmp_path / "part000000.jsonl", 1)
    monkeypatch.setattr(kind, "torch", right)
    accused = [line for _, lines in parts_of(tmp_path) for line in lines if line.accused]
    assert {(line.verdict, line.function) for line in accused} == {(Verdict.VALUE_DIFFERS.value, "flatten")}
    assert all(line.proved for line in accused)
    again = judge_again(tmp_path)
    assert len(again) == len(accused)
    assert not any(Verdict(row[3]).fails for row in again)
    kept = merged(tmp_path)["accused"]
    assert [one["again"]["verdict"] for one in kept] == [row[3] for row in again]


def test_that_a_line_without_its_end_is_no_record():
    whole = Line(0, "mixer", "torch:grad", "float32", "tiny", "agree", None, None, "", 0.0, False, "")
    assert decoded(json.dumps(whole)) == whole
    assert decoded(json.dumps(whole)[:-4]) is None


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["correct", "--families", "mixers"], "--families mixers: give some of dense"),
        (["correct", "--modes", "torch:back"], "--modes torch:back: give some of "),
        (["merge", "--out", "nowhere"], "merge needs --out FOLDER, a folder with the parts of a campaign"),
        (["again"], "again needs --out FOLDER, a folder with the parts of a campaign"),
    ],
)
def test_that_unknown_options_are_one_line_and_the_report_stays(
    options: list[str], line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = architectures.PAGE.read_bytes()
    monkeypatch.setattr(sys, "argv", ["architectures", *options])
    with pytest.raises(SystemExit) as ended:
        architectures.main()
    assert ended.value.code == 2
    assert line in capsys.readouterr().err
    assert architectures.PAGE.read_bytes() == before
