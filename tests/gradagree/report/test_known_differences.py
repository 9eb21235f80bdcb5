"""Known differences in reports: shown as known, never failing; stale and expired ones fail."""

from __future__ import annotations

import datetime
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from gradagree.checker.verdict import Record, Verdict
from gradagree.report import print_summary, summarize
from gradagree.report.html import page
from gradagree.report.junit import suites
from gradagree.report.markdown import document
from gradagree.runner.known_entry import Entry

SPEC = "2-3-1:id,tanh,relu:sse:n8:f64:grid:s7"
WRITERS: list[Callable[[Any], str]] = [page, document, suites]
YESTERDAY = datetime.date.today() - datetime.timedelta(days=1)
REASON = "rounded to float32 upstream"


def record(verdict: Verdict = Verdict.DISAGREE, **changes: Any) -> Record:
    plain: dict[str, Any] = {"case": "1", "spec": SPEC, "sha256": "", "framework": "jax", "version": "0.10.2"}
    if verdict.fails:
        plain |= {"function": "tanh", "box": 2, "entry": "dw[0,0]", "ratio": 3.0}
    return Record(**(plain | {"mode": "jit", "dtype": "float64", "verdict": verdict} | changes))


def known(**changes: Any) -> dict[str, Any]:
    plain = {"framework": "jax", "function": "tanh", "class": "disagree", "reason": REASON}
    entry = msgspec.convert(plain | changes, Entry)
    return {"known": [entry.to_json()]}


def test_that_a_known_difference_does_not_fail_and_an_unknown_one_beside_it_does() -> None:
    records = [record(), record(Verdict.AGREE, spec=SPEC + "1")]
    assert summarize({}, records).exit == 1
    summary = summarize(known(), records)
    assert (summary.exit, summary.failing, summary.accepted.total) == (0, 0, 1)
    assert summarize(known(), [*records, record(function="relu")]).exit == 1
    assert summarize(known(), [*records, record(Verdict.NONFINITE)]).exit == 1


def test_that_a_run_of_known_differences_alone_compared_something() -> None:
    assert summarize(known(), [record()]).exit == 0


@pytest.mark.parametrize(
    ("entry", "state"),
    [
        ({}, "known"),
        ({"class": "nonfinite"}, "stale: 1 compared, none differs this way; remove or correct the entry"),
        ({"function": "relu"}, "stale: 1 compared, none differs this way; remove or correct the entry"),
        ({"function": "gelu"}, "not met: no such gradient was compared"),
        ({"mode": "grad"}, "not met: no such gradient was compared"),
        ({"version": "<0.10"}, "not met: no such gradient was compared"),
    ],
)
def test_that_an_entry_stands_as_its_records_say(entry: dict[str, Any], state: str) -> None:
    check_standing(entry, state)


def test_that_an_entry_expires_at_the_end_of_its_day() -> None:
    today = datetime.date.today()
    check_standing({"expiry": today}, "known")
    check_standing({"expiry": today - datetime.timedelta(days=1)}, f"expired on {today - datetime.timedelta(days=1)}")


def check_standing(entry: dict[str, Any], state: str) -> None:
    summary = summarize(known(**entry), [record()])
    (standing,) = summary.accepted.standings()
    assert standing.state == state
    assert bool(summary.accepted.outdated) == state.startswith(("stale", "expired"))


def test_that_a_stale_and_an_expired_entry_fail_a_run_in_which_all_agrees() -> None:
    agrees = [record(Verdict.AGREE)]
    assert summarize({}, agrees).exit == 0
    assert summarize(known(), agrees).exit == 1
    assert summarize(known(function="gelu"), agrees).exit == 0
    assert summarize(known(function="gelu", expiry=YESTERDAY), agrees).exit == 1


def test_that_what_was_not_compared_makes_no_entry_stale() -> None:
    assert not summarize(known(), [record(Verdict.ABSENT), record(Verdict.UNSUPPORTED)]).accepted.outdated


def test_that_a_crash_that_names_no_function_is_known_by_those_of_its_case() -> None:
    crash = record(Verdict.CRASHED, function=None)
    assert summarize(known(**{"class": "crashed"}), [crash]).exit == 0
    assert summarize(known(**{"class": "crashed", "function": "gelu"}), [crash]).exit == 1
    assert summarize(known(**{"class": "crashed", "function": "*"}), [crash]).exit == 0


def test_that_lost_digits_that_are_known_pass_a_strict_run() -> None:
    lost, strict = [record(Verdict.INACCURATE, function="tanh")], {"strict": True}
    assert summarize(strict, lost).exit == 1
    assert summarize(strict | known(**{"class": "inaccurate"}), lost).exit == 0


@pytest.mark.parametrize("written", WRITERS, ids=["html", "markdown", "junit"])
def test_that_every_report_tells_what_is_known_and_why(written: Callable[[Any], str]) -> None:
    told = written(summarize(known(), [record()]))
    assert REASON in told
    assert "known" in told
    assert REASON not in written(summarize({}, [record()]))


def test_that_the_counters_add_up_with_what_is_known() -> None:
    summary = summarize(known(), [record(), record(function="relu"), record(Verdict.AGREE)])
    assert sum(summary.unknown.values()) + summary.accepted.total == summary.total
    assert "disagree, known</span>" in page(summary)


def test_that_the_answer_tells_what_is_known_and_what_is_outdated_clause() -> None:
    said = summarize(known(), [record(), record(Verdict.AGREE)]).sentence
    assert said.startswith("jax 0.10.2 agrees with the reference on 1 of 2 gradients; 1 known to differ")
    assert "1 known difference is stale" in summarize(known(), [record(Verdict.AGREE)]).sentence


def test_that_the_terminal_tells_what_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    print_summary(summarize(known(), [record()]), Console(width=120), Path())
    said = capsys.readouterr().out
    assert re.search(r"known +jax tanh disagree +1 ", said)
    assert "disagree (known)" in said


def test_that_in_junit_a_known_difference_passes_and_a_stale_one_fails() -> None:
    passed, failed = (
        ET.fromstring(suites(summarize(known(), [record(verdict)]))) for verdict in (Verdict.DISAGREE, Verdict.AGREE)
    )
    assert (passed.get("failures"), failed.get("failures")) == ("0", "1")
    assert not list(passed.iter("properties"))


def test_that_a_merged_report_keeps_what_each_run_knew(tmp_path: Path, run_folder: Callable[..., Path]) -> None:
    from gradagree.report import write_reports

    folders = [run_folder(tmp_path / "one", [record()], known())]
    folders.append(run_folder(tmp_path / "two", [record(Verdict.AGREE, spec=SPEC + "1")], {}))
    assert write_reports(tmp_path / "both", folders).exit == 0
    assert write_reports(tmp_path / "both", folders, known=[]).exit == 1


HOSTILE = ("<img src=x onerror=alert(1)>", "a|b`c`", "[x](javascript:alert(1))", "\x1b[31m\n# no heading")


@pytest.mark.parametrize("name", HOSTILE)
def test_that_hostile_entries_stay_text(name: str) -> None:
    changes = {"function": name, "reason": name, "link": name}
    summary = summarize(known(**changes), [record(function=name), record(Verdict.AGREE)])
    assert summary.accepted.total == 1
    html, markdown, junit = (written(summary) for written in WRITERS)
    assert "<img" not in html + junit
    assert "<img" not in re.sub(r"`[^`]*`", "", markdown)
    assert all(text.replace("\n", "").replace("\t", "").isprintable() for text in (html, markdown, junit))
    rows = [line for line in markdown.split("\n") if line.startswith("| known |")]
    assert [line.count("|") for line in rows] == [7]
