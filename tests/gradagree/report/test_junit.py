from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

import pytest

from gradagree.checker.verdict import Record, Verdict
from gradagree.report import summarize
from gradagree.report.junit import suites
from gradagree.report.matrix import MOST_FAILURES, SIZE
from gradagree.report.text import format_exact, visible


def parsed(records: list[Record], meta: dict[str, Any] | None = None) -> ET.Element:
    return ET.fromstring(suites(summarize(meta or {}, records)).encode())


def test_that_there_is_one_test_for_each_framework_mode_and_block(every_verdict: list[Record]) -> None:
    blocks = {(r.framework, r.mode, r.index // SIZE) for r in every_verdict}
    root = parsed(every_verdict)
    cases = root.findall("testsuite/testcase")
    assert len(cases) == len({(case.get("classname"), case.get("name")) for case in cases}) == len(blocks)
    assert root.get("tests") == str(len(blocks))


def test_that_every_failing_record_is_listed_with_its_numbers(make: Callable[..., list[Record]]) -> None:
    records = make(cases=30, odd={Verdict.DISAGREE: 0.05, Verdict.CRASHED: 0.02})
    failing = [r for r in records if r.verdict.fails]
    text = "\n".join(failure.text or "" for failure in parsed(records).iter("failure"))
    assert failing
    for r in failing:
        assert f"{r.verdict}: {r.spec}" in text
        if r.verdict is Verdict.DISAGREE:
            assert f"operation {r.box} ({r.function}), {r.entry}" in text
            numbers = [format_exact(x, r.dtype) for x in (r.expected, r.observed)]
            assert "expected  {}\n  observed  {}\n  tolerance".format(*numbers) in text


def test_that_failures_of_a_block_stand_in_one_element_which_counts_them_all(make: Callable[..., list[Record]]) -> None:
    records = make(cases=SIZE, odd={Verdict.DISAGREE: 1.0})
    for case in parsed(records).iter("testcase"):
        (failure,) = case.findall("failure")
        assert (failure.get("message") or "").startswith(f"{2 * SIZE} records of {2 * SIZE}")
        assert (failure.text or "").count("disagree: ") == MOST_FAILURES
        assert f"and {2 * SIZE - MOST_FAILURES} further records" in (failure.text or "")


@pytest.mark.parametrize("verdict", [Verdict.UNSUPPORTED, Verdict.ABSENT, Verdict.UNDECIDED, Verdict.OUT_OF_RANGE])
def test_that_a_block_in_which_nothing_was_decided_is_skipped_with_the_reason(
    make: Callable[..., list[Record]], verdict: Verdict
) -> None:
    root = parsed(make(cases=3, odd={verdict: 1.0}))
    skipped = root.findall("testsuite/testcase/skipped")
    assert root.get("skipped") == root.get("tests") == str(len(skipped)) == "3"
    assert all(str(verdict) in (element.get("message") or "") for element in skipped)


def test_that_one_decided_record_keeps_a_block_from_being_skipped(make: Callable[..., list[Record]]) -> None:
    records = make(cases=3, odd={Verdict.ABSENT: 1.0}) + make(cases=1)
    assert parsed(records).get("skipped") == "0"


@pytest.mark.parametrize("strict", [False, True])
def test_that_inaccurate_fails_only_when_strict(make: Callable[..., list[Record]], strict: bool) -> None:
    root = parsed(make(cases=3, odd={Verdict.INACCURATE: 1.0}), {"strict": strict})
    assert int(root.get("failures", "")) == 3 * strict


def test_that_totals_are_those_of_the_suites(every_verdict: list[Record]) -> None:
    root = parsed(every_verdict)
    for key, tag in (("tests", "testcase"), ("failures", "failure"), ("skipped", "skipped")):
        assert int(root.get(key, "")) == sum(int(s.get(key, "")) for s in root) == len(list(root.iter(tag)))


def test_that_hostile_names_stay_text(hostile: list[Record], hostile_meta: dict[str, Any]) -> None:
    written = suites(summarize(hostile_meta, hostile))
    root = ET.fromstring(written.encode())
    known = {"testsuites", "testsuite", "testcase", "failure", "skipped", "system-out"}
    assert {element.tag for element in root.iter()} <= known
    texts = "\n".join(element.text or "" for element in root.iter("failure"))
    assert all(visible(r.reason) in texts for r in hostile if r.verdict is Verdict.CRASHED)
    assert written.replace("\n", "").isprintable()


def test_that_a_test_has_no_properties(every_verdict: list[Record]) -> None:
    assert not list(parsed(every_verdict).iter("properties"))


def test_that_blocks_beyond_the_room_are_gathered(
    monkeypatch: pytest.MonkeyPatch, make: Callable[..., list[Record]]
) -> None:
    monkeypatch.setattr("gradagree.report.matrix.MOST_BLOCKS", 3)
    records = make(cases=3 * SIZE)
    summary = summarize({}, records)
    assert sum(block.counts.total() for block in summary.blocks.known.values()) == len(records)
    assert [place.name for place, _ in summary.blocks.of(next(iter(summary.columns)))] == [
        "cases 0 to 49",
        "further cases",
    ]


def test_that_no_records_are_a_valid_file() -> None:
    assert parsed([]).get("tests") == "0"
