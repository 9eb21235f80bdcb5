from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from gradagree.checker.verdict import Record, Verdict
from gradagree.report import summarize
from gradagree.report.findings import grouped
from gradagree.report.markdown import code, document, prose
from gradagree.report.text import format_count, replay, visible

LIMIT = 900_000


def tokens(text: str) -> list[Token]:
    """Every block and inline token of the text."""
    found: list[Token] = []
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        found += [token, *(token.children or [])]
    return found


def test_that_the_sentence_comes_first_and_the_findings_next(make: Callable[..., list[Record]]) -> None:
    summary = summarize({}, make(odd={Verdict.DISAGREE: 0.1}))
    text = document(summary)
    headings = re.findall(r"^## (.*)", text, re.MULTILINE)
    assert headings[0] == "Findings"
    assert text.index(prose(summary.sentence)) < text.index("## Findings")


def test_that_every_verdict_stands_there_with_its_count_and_meaning(every_verdict: list[Record]) -> None:
    summary = summarize({}, every_verdict)
    text = document(summary)
    for verdict, n in summary.counts.items():
        assert re.search(
            rf"^\|[^|]*\b{verdict}\b[^|]*\| {format_count(n)} \| {re.escape(verdict.meaning)} \|", text, re.MULTILINE
        )
    assert f"| all | {format_count(len(every_verdict))} |" in text


def test_that_every_finding_has_its_replay_command_in_a_code_block(every_verdict: list[Record]) -> None:
    summary = summarize({}, every_verdict)
    fences = [token.content.strip() for token in tokens(document(summary)) if token.type == "fence"]
    assert fences == [replay(group.example.example) for group in grouped(summary.findings)]


def test_that_hostile_names_stay_text(hostile: list[Record], hostile_meta: dict[str, Any]) -> None:
    found = tokens(document(summarize(hostile_meta, hostile)))
    assert not [token for token in found if token.type in ("link_open", "image", "html_block")]
    assert {token.content for token in found if token.type == "html_inline"} <= {"<code>", "</code>"}
    headings = [token.content for token in found if token.type == "inline" and "not a heading" in token.content]
    assert headings


def test_that_hostile_names_do_not_add_cells_to_a_table(hostile: list[Record], hostile_meta: dict[str, Any]) -> None:
    text = document(summarize(hostile_meta, hostile))
    blocks = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert blocks
    for block in blocks:
        columns = len(re.findall(r" --- \|", block))
        assert {line.replace("\\|", "").count("|") for line in block.splitlines()} == {columns + 1}


@pytest.mark.parametrize(
    "name", ["plain", "a b", "<b>", "a|b", "`", "a`b", "\\", "&lt;", "*x*", "$x$", "[a](b)", "日本"]
)
def test_that_markdown_gives_a_name_back_as_it_was(name: str) -> None:
    for written in (code(name), prose(name)):
        (inline,) = (token for token in MarkdownIt().parse(f"x {written} y") if token.type == "inline")
        texts = [
            token.content for token in inline.children or [] if token.type in ("text", "code_inline", "text_special")
        ]
        assert "".join(texts) == f"x {name} y"


def heavy(count: int, verdict: Verdict) -> list[Record]:
    """Records that all differ, each as long as it can be in signs that take the most bytes."""
    return [
        Record(
            index=99 * k, case=f"{k}" * 40, spec=f"{k}-" + "𝕏" * 1900, sha256="", framework=f"{k % 50}" + "𝕏|" * 99,
            version=f"{k}" + "𝕏<" * 99, mode=f"{k % 7}" + "<|" * 99, dtype=f"{k % 20}" + "|𝕏" * 99, verdict=verdict,
            function=f"{k}" + "𝕏|<" * 99, box="𝕏" * 99, entry="<𝕏" * 99, reason=f"{k}" + "<|𝕏`" * 999, expected="nan",
        )
        for k in range(count)
    ]  # fmt: skip


@pytest.mark.parametrize("verdict", [Verdict.CRASHED, Verdict.CONVENTION, Verdict.ABSENT, Verdict.AGREE])
def test_that_it_fits_into_the_summary_of_a_job_whatever_it_holds(verdict: Verdict) -> None:
    names = [f"{k}" + "𝕏|" * 99 for k in range(3000)]
    meta = {"plan": dict.fromkeys(names, 3), "options": {name: name for name in names}}
    frameworks = {name: {"installed": False, "reason": name * 9, "probes": {"x": {"exact": False}}} for name in names}
    text = document(summarize(meta | {"frameworks": frameworks}, heavy(1500, verdict)))
    assert len(text.encode()) < LIMIT


def test_that_what_does_not_fit_is_counted() -> None:
    text = document(summarize({}, heavy(600, Verdict.CRASHED)))
    left_out = int(re.findall(r"^([\d,]+) more causes in results\.jsonl", text, re.MULTILINE)[0].replace(",", ""))
    assert text.count("```sh") + left_out == 600


def test_that_no_records_are_a_report_of_nothing() -> None:
    assert "None: nothing was compared." in document(summarize({}, []))


def test_that_missing_and_absent_ones_are_listed(meta: dict[str, Any]) -> None:
    text = document(summarize(meta | {"plan": {"torch:backward": 3}}, []))
    assert "| ? not recorded | `torch backward` | planned, but the run has no record of it | 3 |" in text
    assert f"| – absent | `mx` | {prose(visible('not installed: pip install mx'))} | – |" in text
