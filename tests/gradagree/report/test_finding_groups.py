"""One finding for each cause: in the terminal and in all reports, the worst first, with the input at fault."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from gradagree.checker.verdict import Record, Verdict
from gradagree.report import print_summary, summarize
from gradagree.report.findings import grouped
from gradagree.report.html import page
from gradagree.report.markdown import document

SPEC = "2-3b-2:id,tanh:sse:n2:f64:ordinary:s1"


def wrong(function: str = "tanh", **changes: Any) -> Record:
    plain: dict[str, Any] = {
        "case": "1", "spec": SPEC, "sha256": "", "framework": "torch", "version": "2", "mode": "backward",
        "dtype": "float64", "verdict": Verdict.DISAGREE, "function": function, "box": 2, "entry": "delta_p[1,0]",
        "expected": "0x1p+0", "observed": "-0x1p+0", "tolerance": "0x1p-50", "ratio": 3.0,
    }  # fmt: skip
    return Record(**plain | changes)


ONE_CAUSE = [
    wrong(), wrong(mode="vmap"), wrong(entry="dw[0,1]", ratio=9.0), wrong(dtype="float32"),
    wrong("tanh(scale=2)", entry="db[0]"), wrong(verdict=Verdict.INACCURATE),
]  # fmt: skip


def printed(records: list[Record]) -> str:
    file = io.StringIO()
    print_summary(summarize({}, records), Console(file=file, width=200), Path("r"))
    return file.getvalue()


def headings(records: list[Record]) -> list[int]:
    """How many findings the page, the Markdown document and the terminal show."""
    summary = summarize({}, records)
    texts = ((page(summary), '<article class="finding">'), (document(summary), "\n### "))
    return [*(text.count(mark) for text, mark in texts), printed(records).count("gradagree replay")]


def test_that_arrays_dtypes_and_modes_of_one_function_are_one_finding() -> None:
    assert headings(ONE_CAUSE) == [1, 1, 1]
    (group,) = grouped(summarize({}, ONE_CAUSE).findings)
    assert (group.count, group.parts, group.dtypes) == (6, "delta_p, dw, db", "float64, float32")
    assert group.words == "torch backward 5, vmap 1"
    assert group.others == [(Verdict.INACCURATE, 1)]


@pytest.mark.parametrize(
    "other",
    [wrong("relu"), wrong(framework="jax"), wrong(function=None, box=None, reason="raised RuntimeError")],
    ids=["function", "framework", "crash"],
)
def test_that_another_cause_is_another_finding(other: Record) -> None:
    assert headings([*ONE_CAUSE, other]) == [2, 2, 2]


def test_that_the_worst_comes_first_and_an_entry_with_an_input_represents_it() -> None:
    records = [wrong("relu", ratio=5.0), *ONE_CAUSE, wrong("elu", verdict=Verdict.NONFINITE, ratio=1.0)]
    groups = grouped(summarize({}, records).findings)
    assert [group.example.cause.function for group in groups] == ["elu", "tanh", "relu"]
    assert groups[1].example.example.entry == "delta_p[1,0]"


def test_that_every_report_shows_the_input_at_fault() -> None:
    summary = summarize({}, ONE_CAUSE)
    for text in (page(summary), document(summary), printed(ONE_CAUSE)):
        assert "p[1,0] = 0." in text or "p[1,0] = -" in text


def test_that_the_headline_names_the_function_and_is_a_sentence() -> None:
    answer, details = summarize({}, [*ONE_CAUSE, wrong(verdict=Verdict.AGREE, function=None)]).headline
    assert answer == (
        "torch backward (4) and torch vmap (1) disagree with the reference in 5 of 7 gradients (5 disagree, in tanh)."
    )
    assert details == "Of the other 2, 1 agree and 1 inaccurate."


def test_that_reasons_of_records_that_were_not_compared_stay_in_the_headline() -> None:
    absent = wrong(verdict=Verdict.UNSUPPORTED, reason="no rule; write one", function=None)
    assert summarize({}, [absent]).headline == ("Nothing was compared in 1 record (torch: no rule; write one).", "")
