from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from gradagree.checker.verdict import Record, Verdict
from gradagree.report import print_summary, summarize
from gradagree.report.findings import grouped
from gradagree.report.text import replay

FOLDER = Path("reports") / "run-1"


def printed(records: list[Record], meta: dict[str, Any] | None = None, encoding: str = "utf-8", **options: Any) -> str:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=file, **({"width": 80} | options))
    print_summary(summarize(meta or {}, records), console, FOLDER)
    file.flush()
    return file.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]


def test_that_it_says_the_sentence_and_where_the_report_lies(every_verdict: list[Record]) -> None:
    said = printed(every_verdict)
    assert " ".join(said.split()).startswith(summarize({}, every_verdict).sentence)
    assert said.rstrip().endswith(str(FOLDER / "report.html"))


def test_that_no_line_is_wider_than_the_terminal_but_those_to_copy(every_verdict: list[Record]) -> None:
    wide = [line for line in printed(every_verdict).splitlines() if len(line) > 80]
    assert all(line.lstrip().startswith("gradagree replay '") for line in wide)


def test_that_the_worst_findings_can_be_replayed_by_copying_one_line(every_verdict: list[Record]) -> None:
    lines = [line.strip() for line in printed(every_verdict).splitlines()]
    groups = grouped(summarize({}, every_verdict).findings)
    worst = [replay(group.example.example) for group in groups[:5]]
    assert [line for line in lines if line.startswith("gradagree replay")] == worst
    assert f"{len(groups) - 5} further causes in the report." in lines


def test_that_the_table_has_a_word_for_each_framework_and_activation(make: Callable[..., list[Record]]) -> None:
    records = make(cases=30, odd={Verdict.DISAGREE: 0.05, Verdict.UNDECIDED: 0.05})
    said = printed(records)
    for name, cells in summarize({}, records).matrix.merged("Activation").items():
        (line,) = (line for line in said.splitlines() if line.split(" ")[0] == name)
        assert all(f"{cell.verdict} {cell.share.split(' ')[0]}" in line for cell in cells.values())


def test_that_many_frameworks_make_several_tables(make: Callable[..., list[Record]]) -> None:
    columns = [(f"framework{k}", "1", "grad") for k in range(6)]
    said = printed(make(cases=3, columns=columns))
    assert all(f"framework{k}" in said for k in range(6))
    assert max(map(len, said.splitlines())) <= 80


def test_that_a_file_gets_no_colours_and_a_terminal_does(every_verdict: list[Record]) -> None:
    assert "\x1b" not in printed(every_verdict)
    assert "\x1b[" in printed(every_verdict, force_terminal=True, color_system="standard")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_that_a_plain_terminal_gets_plain_signs(every_verdict: list[Record], encoding: str) -> None:
    said = printed(every_verdict, encoding=encoding)
    assert "x disagree" in said
    assert said.isascii()


def test_that_hostile_names_neither_steer_the_terminal_nor_are_styled(
    hostile: list[Record], hostile_meta: dict[str, Any]
) -> None:
    said = printed(hostile, hostile_meta)
    assert said.replace("\n", "").isprintable()
    assert "[bold red]x[/] :boom:" in said


def test_that_a_failed_probe_is_shown(make: Callable[..., list[Record]], meta: dict[str, Any]) -> None:
    meta["frameworks"]["jax"]["probes"]["float32"]["exact"] = False
    assert "probe failed: jax, float32" in printed(make(cases=2), meta)
    assert "probe failed" not in printed(make(cases=2))


def test_that_a_run_without_records_is_shown_as_empty() -> None:
    assert "Nothing was compared: there are no records." in printed([])
